"""A few clips whole, for the Hub's viewer: mp4, outlined frame and cut-outs as bytes in a parquet file.

Pictures are drawn by a function the caller gives, since nothing here may import the loaders. The file's schema carries the
`huggingface` metadata that `datasets` writes, by which the viewer knows which column is a video and which an image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.errors import ArchiveError, DecodeError
from opens2v_data.rows import FILE_TYPE, read_rows
from opens2v_data.triples import Pair, Triple

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V
    from opens2v_data.query import Config

PREVIEW_FILE = "preview/preview.parquet"

MAX_CLIP_BYTES = 16 << 20
"""Longer clips are left out; clips are some 2 MB (UPSTREAM.md: 11 TB, 5.4 M clips)."""

ROW_GROUP_BYTES = 32 << 20
"""A row group is closed at this size, so with its last clip it stays far below the viewer's limit of 286 MiB (HUB.md)."""

MAX_TRIES_PER_ROW = 4
"""Clips looked at per row wanted, before the rest is given up: a release whose videos do not decode is not read to its end."""

PAIRS_WORTH_SHOWING = (
    "class_id = partner_class_id AND object_id IS NOT NULL AND partner_object_id IS NOT NULL "
    "AND image_similarity < 0.97"
)
"""Not the same picture twice, and ids that may name what the pair says."""


@dataclass(frozen=True, kw_only=True)
class CutOutPicture:
    """A subject cut out of its frame: its class and a PNG."""

    class_name: str
    png: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What is drawn of one clip.

    Attributes:
        overlay_jpeg: the annotated frame with every subject outlined.
        cut_outs: its subjects, one per region.
    """

    overlay_jpeg: bytes = field(repr=False)
    cut_outs: tuple[CutOutPicture, ...]


Draw = Callable[[Triple, bytes], Pictures]
"""Draws a triple, given its mp4. Raises DecodeError when the video does not give the annotated frame."""

_VIDEO, _IMAGE = {"_type": "Video"}, {"_type": "Image"}

_COLUMNS: tuple[tuple[str, pa.DataType, dict[str, Any]], ...] = (
    ("video", FILE_TYPE, _VIDEO),
    ("mask_overlay", FILE_TYPE, _IMAGE),
    ("caption", pa.string(), {"dtype": "string", "_type": "Value"}),
    ("classes", pa.list_(pa.string()), {"feature": {"dtype": "string", "_type": "Value"}, "_type": "List"}),
    ("cutouts", pa.list_(FILE_TYPE), {"feature": _IMAGE, "_type": "List"}),
    ("views", pa.list_(FILE_TYPE), {"feature": _IMAGE, "_type": "List"}),
    ("partner_overlay", FILE_TYPE, _IMAGE),
    ("image_similarity", pa.float32(), {"dtype": "float32", "_type": "Value"}),
    ("aesthetic", pa.float32(), {"dtype": "float32", "_type": "Value"}),
    ("motion", pa.float32(), {"dtype": "float32", "_type": "Value"}),
    ("tech", pa.float64(), {"dtype": "float64", "_type": "Value"}),
    ("fps", pa.float32(), {"dtype": "float32", "_type": "Value"}),
    ("width", pa.int32(), {"dtype": "int32", "_type": "Value"}),
    ("height", pa.int32(), {"dtype": "int32", "_type": "Value"}),
    ("part", pa.string(), {"dtype": "string", "_type": "Value"}),
    ("clip_key", pa.string(), {"dtype": "string", "_type": "Value"}),
    ("clip_id", pa.int32(), {"dtype": "int32", "_type": "Value"}),
    ("partner_clip_key", pa.string(), {"dtype": "string", "_type": "Value"}),
)

SCHEMA = pa.schema(
    [(name, kind) for name, kind, _ in _COLUMNS],
    metadata={"huggingface": json.dumps({"info": {"features": {name: feature for name, _, feature in _COLUMNS}}})},
)
"""`video`, `mask_overlay`, `partner_overlay` and the elements of `cutouts` and `views` are `{bytes, path}`; `classes` names
`cutouts` one by one; `partner_*` and `image_similarity` are null where the row was not chosen for a pair."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What came of making a preview.

    Attributes:
        path: the file; None when the catalog has no clip with masks, and so there is none.
        clip_ids: the clips in it, in order.
        skipped: (clip, why) for clips that were chosen but could not be shown.
    """

    path: Path | None
    clip_ids: tuple[int, ...]
    skipped: tuple[tuple[int, str], ...]


def write_preview(
    dataset: OpenS2V,
    path: Path,
    *,
    num_rows: int,
    draw: Draw,
    progress: Callable[[str, int, int], None] | None = None,
) -> Preview:
    """Write the preview's parquet file; the same catalog and release give the same bytes.

    Args:
        dataset: the catalog, and where its bytes are.
        path: the file; its folder is made.
        num_rows: how many clips, fewer where there are no more that can be shown.
        draw: draws a triple.
        progress: called with "preview", how many rows are done and how many are wanted.

    Raises:
        ValueError: `num_rows` below 1.
        ArchiveError: clips were tried and none could be shown, as when the release is not here.
    """
    if num_rows < 1:
        raise ValueError(f"a preview has at least 1 row, got {num_rows}; leave it out instead")
    shown: list[int] = []
    skipped: list[tuple[int, str]] = []
    seen: set[int] = set()
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting: list[dict[str, Any]] = []
    waiting_bytes = 0
    # Clips and pictures are compressed already, and no reader seeks in them by value.
    with pq.ParquetWriter(path, SCHEMA, compression="none", use_dictionary=False, write_statistics=False) as writer:

        def close_group() -> None:
            nonlocal waiting_bytes
            if waiting:
                writer.write_table(pa.Table.from_pylist(waiting, schema=SCHEMA), row_group_size=len(waiting))
                waiting.clear()
                waiting_bytes = 0

        for config, row_id in choose_rows(dataset):
            if len(shown) == num_rows or len(shown) + len(skipped) >= MAX_TRIES_PER_ROW * num_rows:
                break
            row = _row(dataset, config, row_id)
            triple = Triple.from_row(row["clip"] if config == "nexus-cross" else row)
            clip_id = triple.clip.clip_id
            if clip_id in seen:
                continue
            seen.add(clip_id)
            try:
                made = _shown(dataset, triple, Pair.from_row(row) if config == "nexus-cross" else None, draw)
            except (ArchiveError, DecodeError) as error:
                skipped.append((clip_id, str(error)))
                continue
            waiting.append(made)
            shown.append(clip_id)
            waiting_bytes += sum(len(file["bytes"]) for file in _files(made))
            if waiting_bytes >= ROW_GROUP_BYTES:
                close_group()
            if progress is not None:
                progress("preview", len(shown), num_rows)
        close_group()
    if not shown:
        path.unlink()
        if skipped:
            raise ArchiveError(
                f"expected clips for a preview, found none that can be shown of {len(skipped)} tried; the first: "
                f"{skipped[0][1]}. Name the release with --release, or publish with --no-preview"
            )
    return Preview(path=path if shown else None, clip_ids=tuple(shown), skipped=tuple(skipped))


def choose_rows(dataset: OpenS2V) -> Iterator[tuple[Config, int]]:
    """Give rows that show variety, the best first: every fourth with views, every fourth a pair, the rest any with masks.

    Each kind is taken from all over the catalog, so that every part has its share: first the middle, then the quarters, and so
    on (the van der Corput sequence). Nothing is random.
    """
    with_masks = "num_masks > 0 AND ann_frame_idx IS NOT NULL"
    regular = _spread(_ids(dataset, "regular", with_masks))
    views = _spread(_ids(dataset, "nexus-gpt", with_masks))
    pairs = _spread(_ids(dataset, "nexus-cross", f"{with_masks} AND {PAIRS_WORTH_SHOWING}"))
    # The rarer kinds first: in a small catalog the same clips are of several.
    kinds: tuple[Config, ...] = ("nexus-gpt", "nexus-cross", "regular", "regular")
    for found in zip_longest(views, pairs, regular, regular):
        for kind, row_id in zip(kinds, found, strict=True):
            if row_id is not None:
                yield kind, row_id


def _ids(dataset: OpenS2V, config: Config, where: str) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *dataset.query.row_ids(config, where)])


def _spread(ids: np.ndarray) -> Iterator[int]:
    """Give ids from all over, each once: position n is that at the fraction whose binary digits are n's, reversed."""
    bits = max(1, (len(ids) - 1).bit_length()) if len(ids) else 0
    for number in range(1 << bits if len(ids) else 0):
        at = int(format((number + 1) % (1 << bits), f"0{bits}b")[::-1], 2)
        if at < len(ids):
            yield int(ids[at])


def _row(dataset: OpenS2V, config: Config, row_id: int) -> dict[str, Any]:
    return read_rows(dataset.query, dataset.media, config, [row_id]).to_pylist()[0]


def _shown(dataset: OpenS2V, triple: Triple, pair: Pair | None, draw: Draw) -> dict[str, Any]:
    clip = triple.clip
    video = _video(dataset, triple)
    pictures = draw(triple, video)
    partner = None
    if pair is not None:
        right = pair.right.clip
        overlay = draw(pair.right, _video(dataset, pair.right)).overlay_jpeg
        partner = {"bytes": overlay, "path": f"{right.key}.jpg"}
    return {
        "video": {"bytes": video, "path": f"{clip.key}.mp4"},
        "mask_overlay": {"bytes": pictures.overlay_jpeg, "path": f"{clip.key}.jpg"},
        "caption": clip.caption,
        "classes": [cut_out.class_name for cut_out in pictures.cut_outs],
        "cutouts": [
            {"bytes": cut_out.png, "path": f"{number:02d}.png"} for number, cut_out in enumerate(pictures.cut_outs)
        ],
        "views": [
            {"bytes": dataset.media.read_file(view.path), "path": f"{view.view_idx:02d}.png"} for view in triple.views
        ],
        "partner_overlay": partner,
        "image_similarity": None if pair is None else pair.image_similarity,
        "aesthetic": clip.aesthetic,
        "motion": clip.motion,
        "tech": clip.tech,
        "fps": clip.fps,
        "width": clip.width,
        "height": clip.height,
        "part": clip.part,
        "clip_key": clip.key,
        "clip_id": clip.clip_id,
        "partner_clip_key": None if pair is None else pair.right.clip.key,
    }


def _files(row: dict[str, Any]) -> list[dict[str, Any]]:
    single = (row["video"], row["mask_overlay"], row["partner_overlay"])
    return [file for file in (*single, *row["cutouts"], *row["views"]) if file is not None]


def _video(dataset: OpenS2V, triple: Triple) -> bytes:
    video = triple.clip.video
    if video is not None and video.size_bytes > MAX_CLIP_BYTES:
        raise ArchiveError(f"{video.member} has {video.size_bytes} bytes, a preview takes clips up to {MAX_CLIP_BYTES}")
    return dataset.read_bytes(video)
