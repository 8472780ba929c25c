"""Rows as users get them: one per clip or pair, nested and self-contained. Both faces and the command line give these.

regular      every column of clips, caption, video, subjects (class name, bbox, scores, mask as RLE)
nexus-gpt    the same, and views
nexus-cross  a pair's columns; `clip` and `partner` are structs like a row of regular
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from opens2v_data.arrays import string_array
from opens2v_data.catalog.schemas import CLIPS, PAIRS
from opens2v_data.errors import QueryError
from opens2v_data.media import Media
from opens2v_data.query import Config, Query
from opens2v_data.release.records import MaskRecord
from opens2v_data.triples import clip_address

BATCH_ROWS = 512
"""Rows made at a time, some 16 MB with masks like the real sample's. 64, 256, 512, 1024 rows gave 1.7, 3.8, 5.4, 6.6 k rows/s."""

FILE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""How `datasets` stores a video or image: bytes null, path an address or a file."""

MASK_TYPE = pa.struct(
    [
        ("frame_idx", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("score", pa.float32()),
        ("counts", pa.string()),
    ]
)
SUBJECT_TYPE = pa.struct(
    [
        ("object_id", pa.int16()),
        ("class_name", pa.string()),
        ("bbox", pa.list_(pa.float32())),
        ("gme_score", pa.float32()),
        ("aes_score", pa.float32()),
        ("mask", MASK_TYPE),
    ]
)
VIEW_TYPE = pa.struct(
    [
        ("view_idx", pa.int32()),
        ("class_name", pa.string()),
        ("object_id", pa.int16()),
        ("image", FILE_TYPE),
        ("path", pa.string()),
        ("source_path", pa.string()),
    ]
)

_HIDDEN = ("path", "json_offset")
_CLIP_COLUMNS = [(field.name, field.type) for field in CLIPS.arrow if field.name not in _HIDDEN]
_AT = [name for name, _ in _CLIP_COLUMNS].index("fps")
_REGULAR = [
    *_CLIP_COLUMNS[:_AT],
    ("caption", pa.string()),
    ("video", FILE_TYPE),
    ("subjects", pa.list_(SUBJECT_TYPE)),
    *_CLIP_COLUMNS[_AT:],
    ("caption_alternatives", pa.list_(pa.string())),
    ("video_path", pa.string()),
    ("video_size_bytes", pa.int64()),
    ("background_path", pa.string()),
]
_PAIR_COLUMNS = [
    ("pair_id", pa.int64()),
    ("class_name", pa.string()),
    ("partner_class_name", pa.string()),
    *((field.name, field.type) for field in PAIRS.arrow if field.name not in ("clip_ref", "partner_ref")),
]


def row_schema(config: Config) -> pa.Schema:
    """Return the Arrow schema of a config's rows; `video` and `image` are structs of bytes (null) and path."""
    if config == "regular":
        return pa.schema(_REGULAR)
    if config == "nexus-gpt":
        return pa.schema([*_REGULAR, ("views", pa.list_(VIEW_TYPE))])
    clip = pa.struct(_REGULAR)
    return pa.schema([*_PAIR_COLUMNS, ("clip", clip), ("partner", clip)])


def check_columns(config: Config, columns: Sequence[str] | None) -> list[str]:
    """Return the columns to give, all by default.

    Raises:
        QueryError: one is not a column of the config.
        ValueError: none at all, or one twice.
        TypeError: a text instead of a list of names.
    """
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, got the text {columns!r}")
    names = row_schema(config).names
    chosen = names if columns is None else list(columns)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"columns must name at least one column and none twice, got {columns!r}")
    if unknown := [name for name in chosen if name not in names]:
        raise QueryError(f"config {config} has no column {', '.join(map(repr, unknown))}; it has {', '.join(names)}")
    return chosen


def read_rows(
    query: Query, media: Media, config: Config, ids: Sequence[int] | np.ndarray, *, columns: Sequence[str] | None = None
) -> pa.Table:
    """Return the rows of some ids, in the order of the ids; reads tables and masks, no video.

    Args:
        query, media: of one catalog.
        config: what the ids count.
        ids: ascending clip ids, or pair ids for "nexus-cross".
        columns: top-level columns to give.
    """
    chosen = check_columns(config, columns)
    schema = pa.schema([row_schema(config).field(name) for name in chosen])
    if config == "nexus-cross":
        made = _pair_columns(query, media, ids, set(chosen))
    else:
        made = _clip_columns(query, media, np.asarray(ids, np.int64), set(chosen))
    return pa.table([made[field.name] for field in schema], schema=schema)


def iter_rows(
    query: Query,
    media: Media,
    config: Config = "regular",
    where: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    limit: int | None = None,
    lo: int | None = None,
    hi: int | None = None,
    batch_rows: int = BATCH_ROWS,
) -> Iterator[pa.Table]:
    """Give the rows that a condition names, in id order, some at a time.

    Raises:
        QueryError: the condition or a column is not one that the config can answer.
    """
    check_columns(config, columns)
    for ids in query.row_ids(config, where, lo=lo, hi=hi, limit=limit):
        for start in range(0, len(ids), batch_rows):
            yield read_rows(query, media, config, ids[start : start + batch_rows], columns=columns)


def _clip_columns(query: Query, media: Media, ids: np.ndarray, wanted: set[str]) -> dict[str, Any]:
    clips = query.fetch("clips", ids)
    if clips.num_rows != len(ids):
        missing = sorted(set(ids.tolist()) - set(clips.column("clip_id").to_pylist()))
        raise QueryError(f"no clip has id {missing[:5]}; ids run from 0 to {query.catalog.num_rows('clips') - 1}")
    made: dict[str, Any] = {name: clips.column(name) for name, _ in _CLIP_COLUMNS}
    made["caption"] = clips.column("caption")
    made["caption_alternatives"] = clips.column("alternatives")
    made["background_path"] = clips.column("background_path")
    made["video_size_bytes"] = clips.column("video_size_bytes")
    places = (clips.column(name).to_pylist() for name in ("part", "video_name", "video_offset", "video_size_bytes"))
    root = query.catalog.uri
    addresses = string_array(
        [
            None if name is None else clip_address(root, part, name, at, size)
            for part, name, at, size in zip(*places, strict=True)
        ]
    )
    made["video_path"] = addresses
    made["video"] = _files(addresses)
    if "subjects" in wanted:
        made["subjects"] = _subjects(query, clips, ids)
    if "views" in wanted:
        made["views"] = _views(query, media, ids)
    return made


def _pair_columns(query: Query, media: Media, ids: Sequence[int] | np.ndarray, wanted: set[str]) -> dict[str, Any]:
    pairs = query.fetch("pairs", ids)
    made: dict[str, Any] = {name: pairs.column(name) for name, _ in _PAIR_COLUMNS}
    sides = [side for side in ("clip", "partner") if side in wanted]
    if not sides:
        return made
    clip_ids = {side: pairs.column("clip_id" if side == "clip" else "partner_clip_id").to_numpy() for side in sides}
    unique = np.unique(np.concatenate(list(clip_ids.values())))
    rows = read_rows(query, media, "regular", unique).combine_chunks()
    structs = pa.StructArray.from_arrays([column.combine_chunks() for column in rows.columns], fields=list(rows.schema))
    for side in sides:
        made[side] = structs.take(pa.array(np.searchsorted(unique, clip_ids[side])))
    return made


def _subjects(query: Query, clips: pa.Table, ids: np.ndarray) -> pa.Array:
    rows = query.fetch("subjects", ids).combine_chunks()
    clip_id = rows.column("clip_id").to_numpy()
    masks = query.catalog.read_masks(ids)
    frame_of = dict(zip(clips.column("clip_id").to_pylist(), clips.column("ann_frame_idx").to_pylist(), strict=True))
    by_object: dict[tuple[int, int], MaskRecord] = {
        (clip, mask.object_id): mask
        for clip, found in masks.items()
        for mask in found
        if mask.frame_idx == frame_of[clip]
    }
    pairs = zip(clip_id.tolist(), rows.column("object_id").to_pylist(), strict=True)
    chosen = [by_object.get(pair) for pair in pairs]
    has_no_mask = pa.array([mask is None for mask in chosen], pa.bool_())
    mask_columns = [pa.array([getattr(mask, field.name, None) for mask in chosen], field.type) for field in MASK_TYPE]
    mask_array = pa.StructArray.from_arrays(mask_columns, fields=list(MASK_TYPE), mask=has_no_mask)
    corners = [rows.column(name).combine_chunks() for name in ("x1", "y1", "x2", "y2")]
    has_box = corners[0].is_valid().to_numpy(zero_copy_only=False)
    values = np.stack([corner.to_numpy(zero_copy_only=False) for corner in corners], axis=1)[has_box]
    ends = np.concatenate([[0], np.cumsum(has_box * 4)]).astype(np.int32)
    offsets = pa.array(ends, pa.int32(), mask=np.append(~has_box, False))
    boxes = pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), pa.float32()))
    plain = {name: rows.column(name).combine_chunks() for name in ("object_id", "class_name", "gme_score", "aes_score")}
    made = plain | {"bbox": boxes, "mask": mask_array}
    structs = pa.StructArray.from_arrays([made[field.name] for field in SUBJECT_TYPE], fields=list(SUBJECT_TYPE))
    return pa.ListArray.from_arrays(pa.array(_offsets(clip_id, ids), pa.int32()), structs)


def _views(query: Query, media: Media, ids: np.ndarray) -> pa.Array:
    rows = query.fetch("views", ids).combine_chunks()
    paths = rows.column("path").to_pylist()
    images = _files(pa.array([media.file_path(path) for path in paths], pa.string()))
    plain = ("view_idx", "class_name", "object_id", "path", "source_path")
    made: dict[str, Any] = {name: rows.column(name).combine_chunks() for name in plain}
    made["image"] = images
    structs = pa.StructArray.from_arrays(
        [made[field.name].cast(field.type) for field in VIEW_TYPE], fields=list(VIEW_TYPE)
    )
    return pa.ListArray.from_arrays(pa.array(_offsets(rows.column("clip_id").to_numpy(), ids), pa.int32()), structs)


def _files(paths: pa.Array) -> pa.Array:
    nothing = pa.nulls(len(paths), pa.binary())
    return pa.StructArray.from_arrays([nothing, paths], fields=list(FILE_TYPE), mask=paths.is_null())


def _offsets(clip_id: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Return list offsets, `(len(ids) + 1,)`, of rows sorted by clip."""
    return np.append(np.searchsorted(clip_id, ids), len(clip_id)).astype(np.int32)
