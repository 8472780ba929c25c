"""What `query.py` asks of every system, and what the systems' answers share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

AESTHETIC, MOTION, GME, SUBJECT, WORD = 5.5, 0.01, 0.3, "woman", "guitar"
HIST_COLUMNS = ("aesthetic", "motion", "tech", "fps")
BINS = 30
NUM_TOP, PAGE_ROWS, NUM_RANDOM = 50, 50, 64
PAGE_COLUMNS = (
    "clip_id",
    "part",
    "clip_key",
    "aesthetic",
    "motion",
    "tech",
    "fps",
    "num_frames",
    "width",
    "height",
    "num_subjects",
)
"""Ours by default."""


@dataclass(frozen=True, kw_only=True)
class Questions:
    """What is asked besides the constants above.

    Attributes:
        ids: 64 random clips, of which masks, clips and subjects are wanted.
        key: of one clip, and `key_hash` of it.
        page_after: aesthetic and clip id of a row in the middle; the page starts behind it.
        ranges: of the histograms' columns.
        categories: file with clip_id and category, which is worked out once.
    """

    ids: list[int]
    key: str
    key_hash: int
    page_after: tuple[float, int]
    ranges: dict[str, tuple[float, float]]
    categories: Path


def questions(root: Path, seed: int = 0) -> Questions:
    """Draw the questions for a catalog."""
    import pyarrow.parquet as pq

    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.catalog.hashing import key_hash
    from opens2v_data.query.derived import Definition, known_tables

    catalog = Catalog.open(root)
    rng = np.random.default_rng(seed)
    ids = sorted(rng.choice(catalog.num_rows("clips"), NUM_RANDOM, replace=False).tolist())
    with pq.ParquetFile(root / "clips.parquet") as clips:
        group = clips.read_row_group(clips.num_row_groups // 2, columns=["clip_id", "clip_key", "aesthetic"])
    rows = [row for row in group.to_pylist() if row["aesthetic"] is not None and 5.7 < row["aesthetic"] < 5.9]
    groups = catalog.manifest.tables["clips"].row_groups
    ranges = {
        name: (
            float(min(group.ranges[name][0] for group in groups)),
            float(max(group.ranges[name][1] for group in groups)),
        )
        for name in HIST_COLUMNS
    }
    derived = known_tables(catalog, Definition.load(None))
    if derived is None:
        raise SystemExit(f"expected the categories of {root}, found none; run this without --one first")
    return Questions(
        ids=ids,
        key=group.column("clip_key")[77].as_py(),
        key_hash=key_hash(group.column("clip_key")[77].as_py()),
        page_after=(rows[0]["aesthetic"], rows[0]["clip_id"]),
        ranges=ranges,
        categories=derived["clip_categories"],
    )


def pieces(root: Path) -> pa.Table:
    """Return every piece of the release: part, where it starts in the part's joined tar, its path; by part and start."""
    from opens2v_data.catalog.catalog import Catalog

    rows: list[tuple[str, int, str]] = []
    for part in Catalog.open(root).manifest.source.parts:
        starts = np.cumsum([0, *(piece.size_bytes for piece in part.pieces[:-1])]).tolist()
        rows += [(part.name, start, piece.path) for start, piece in zip(starts, part.pieces, strict=True)]
    rows.sort()
    names = ("part", "piece_start", "piece")
    return pa.table(dict(zip(names, zip(*rows, strict=True), strict=True)))


def read_blobs(root: Path, places: pa.Table) -> dict[int, list[Any]]:
    """Return the masks at some places: the same reading and decoding for every system but ours."""
    from opens2v_data.catalog.masks import blob_file, unpack_masks

    found: dict[int, list[Any]] = {}
    files = {idx: (root / blob_file(idx)).open("rb", buffering=0) for idx in set(places.column("file_idx").to_pylist())}
    columns = (places.column(name).to_pylist() for name in ("clip_id", "file_idx", "offset", "size_bytes"))
    for clip_id, file_idx, offset, size in zip(*columns, strict=True):
        files[file_idx].seek(offset)
        found[clip_id] = unpack_masks(files[file_idx].read(size))
    for file in files.values():
        file.close()
    return found
