"""How large is a mask, and does it lie in its box? Told from run lengths, without painting a pixel.

What tables can tell of masks, `sql/quality/` tells of a whole catalog. Areas and places stand in the mask blobs, which are read
clip by clip (2 ms of CPU a clip with ten masks): ask for the clips of a slice. Compressed run lengths are:

    characters   6 bits each, + 48: 5 bits of a number, lowest first, and one that says that more follow
    numbers      a run of zeros, a run of ones, …, column by column; from the fourth on minus the run two before

Some masks are decoded at once: 1,244 masks of 3,200 characters took 0.34 s of CPU one by one, 0.23 s in tens, and in hundreds,
which no longer fit the cache, 0.46 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from opens2v_data.query.conditions import Query
    from opens2v_data.release.records import MaskRecord

FAR_IOU = 0.5
"""A mask is far from its box where the box around it overlaps that by less. Of the real sample's 44 masks 3 are, all of
"grassy area" (0.15); glasses reach 0.86, all others 0.9."""

TINY_RATIO = 0.001
"""A mask is tiny below this share of its frame: 30 x 30 pixels of 1280 x 720, as `tiny_subjects` has it of boxes."""

CLIPS_AT_ONCE = 128
"""4 MB of run lengths with ten masks of 3,200 characters a clip."""

CHARACTERS_AT_ONCE = 32_768

SCHEMA = pa.schema(
    [
        ("clip_id", pa.int32()),
        ("object_id", pa.int16()),
        ("class_name", pa.string()),
        ("area", pa.int64()),
        ("area_ratio", pa.float64()),
        ("mask_x1", pa.int32()),
        ("mask_y1", pa.int32()),
        ("mask_x2", pa.int32()),
        ("mask_y2", pa.int32()),
        ("box_iou", pa.float64()),
        ("is_empty", pa.bool_()),
        ("is_tiny", pa.bool_()),
        ("is_far", pa.bool_()),
    ]
)

_MORE, _SIGN, _LOW = 0x20, 0x10, 0x1F
_MAX_CHARACTERS = 7  # 35 bits: more than any picture has pixels, and far from where int64 overflows


@dataclass(frozen=True, kw_only=True)
class Extents:
    """Areas and places of N masks; 0 and empty boxes where `is_readable` is not.

    Attributes:
        areas: `(N,) int64`, pixels.
        boxes: `(N, 4) int64`, half-open x1, y1, x2, y2 in pixels; zeros for an empty mask.
        is_readable: `(N,) bool`; not: no COCO run lengths, or not as many as the mask's size says.
    """

    areas: np.ndarray
    boxes: np.ndarray
    is_readable: np.ndarray


def measure_masks(query: Query, clip_ids: Iterable[int]) -> pa.Table:
    """Measure the masks of some clips on their annotated frames.

    Args:
        query: of the catalog.
        clip_ids: any ids, each once or more; ids that name no clip or a clip without masks give no row.

    Returns:
        A row per subject with a mask, by clip_id and object_id, with the columns of `SCHEMA`: area, pixels (null: the run lengths
        cannot be read, and so all after it); area_ratio, share of the mask's own frame (null: it has no pixel);
        mask_x1, mask_y1, mask_x2, mask_y2, the smallest half-open box around it (null: it is empty); box_iou of that box and the
        subject's own (null: no box, or an empty mask); is_empty; is_tiny, below `TINY_RATIO` but not empty; is_far, below
        `FAR_IOU`, null as box_iou.

    Raises:
        CatalogDamagedError: a table or a blob is damaged.
        ArchiveError: a server does not give them.
    """
    ids = np.unique(np.fromiter(clip_ids, np.int64))
    tables = [_measured(query, ids[at : at + CLIPS_AT_ONCE].tolist()) for at in range(0, len(ids), CLIPS_AT_ONCE)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def mask_extents(masks: Sequence[MaskRecord]) -> Extents:
    """Return areas and boxes of masks."""
    pieces: list[Extents] = []
    start, num_characters = 0, 0
    for stop, mask in enumerate(masks, start=1):
        num_characters += len(mask.counts)
        if num_characters >= CHARACTERS_AT_ONCE or stop == len(masks):
            pieces.append(_extents(masks[start:stop]))
            start, num_characters = stop, 0
    if not pieces:
        return _extents(masks)
    return Extents(
        areas=np.concatenate([piece.areas for piece in pieces]),
        boxes=np.concatenate([piece.boxes for piece in pieces]),
        is_readable=np.concatenate([piece.is_readable for piece in pieces]),
    )


def _extents(masks: Sequence[MaskRecord]) -> Extents:
    count = len(masks)
    texts = [mask.counts.encode() for mask in masks]
    heights = np.fromiter((mask.height for mask in masks), np.int64, count)
    sizes = heights * np.fromiter((mask.width for mask in masks), np.int64, count)
    areas, boxes = np.zeros(count, np.int64), np.zeros((count, 4), np.int64)
    lengths = np.fromiter(map(len, texts), np.int64, count)
    codes = np.frombuffer(b"".join(texts), np.uint8).astype(np.int64) - 48
    of_code = np.repeat(np.arange(count), lengths)
    is_last = codes & _MORE == 0
    is_readable = np.ones(count, bool)
    is_readable[of_code[(codes < 0) | (codes > 63)]] = False
    has_text = lengths > 0
    # A number may not go on in the next mask.
    is_readable[has_text] &= is_last[np.cumsum(lengths)[has_text] - 1]
    kept = is_readable[of_code]
    codes, of_code, is_last = codes[kept], of_code[kept], is_last[kept]
    ends = np.flatnonzero(is_last)
    starts = np.concatenate(([0], ends[:-1] + 1)) if ends.size else ends
    num_characters = ends - starts + 1
    owners = of_code[starts]
    is_readable[owners[num_characters > _MAX_CHARACTERS]] = False
    runs = _runs(codes, starts, ends, owners)
    is_readable[owners[runs < 0]] = False
    totals = _sums(runs, owners, count)
    is_readable &= totals == sizes
    of_run = is_readable[owners]
    runs, owners = runs[of_run], owners[of_run]
    is_one = _ranks(owners) % 2 == 1
    stops = np.cumsum(runs)
    stops -= (np.cumsum(totals * is_readable) - totals * is_readable)[owners]
    begins = stops - runs
    seen = is_one & (runs > 0)
    owners, begins, stops = owners[seen], begins[seen], stops[seen]
    if owners.size:
        areas = _sums(stops - begins, owners, count)
        first = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
        height = heights[owners]
        spans_columns = begins // height != (stops - 1) // height
        lefts, rights = begins // height, (stops - 1) // height + 1
        tops = np.where(spans_columns, 0, begins % height)
        bottoms = np.where(spans_columns, height, (stops - 1) % height + 1)
        boxes[owners[first]] = np.stack(
            (
                np.minimum.reduceat(lefts, first),
                np.minimum.reduceat(tops, first),
                np.maximum.reduceat(rights, first),
                np.maximum.reduceat(bottoms, first),
            ),
            axis=1,
        )
    return Extents(areas=areas, boxes=boxes, is_readable=is_readable)


def _runs(codes: np.ndarray, starts: np.ndarray, ends: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return run lengths from characters; numbers of more than `_MAX_CHARACTERS` give any."""
    if not starts.size:
        return starts
    lengths = ends - starts + 1
    # Shifts past 63 bits are undefined, and such masks are not readable anyway.
    shifts = np.minimum(5 * (np.arange(codes.size) - np.repeat(starts, lengths)), 55)
    values = np.add.reduceat((codes & _LOW) << shifts, starts)
    values -= np.where(codes[ends] & _SIGN, np.int64(1) << np.minimum(5 * lengths, 60), 0)
    ranks = _ranks(owners)
    for chain in (ranks % 2 == 1, (ranks % 2 == 0) & (ranks > 0)):
        at = np.flatnonzero(chain)
        if at.size:
            sums = np.cumsum(values[at])
            is_first = np.concatenate(([True], owners[at][1:] != owners[at][:-1]))
            before = (sums - values[at])[is_first]
            values[at] = sums - np.repeat(before, np.diff(np.append(np.flatnonzero(is_first), at.size)))
    return values


def _ranks(owners: np.ndarray) -> np.ndarray:
    """Return each number's place among those of its mask; owners are sorted."""
    if not owners.size:
        return owners
    first = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
    return np.arange(owners.size) - np.repeat(first, np.diff(np.append(first, owners.size)))


def _sums(values: np.ndarray, owners: np.ndarray, count: int) -> np.ndarray:
    sums = np.zeros(count, np.int64)
    if owners.size:
        first = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
        sums[owners[first]] = np.add.reduceat(values, first)
    return sums


def _measured(query: Query, ids: list[int]) -> pa.Table:
    subjects = query.fetch("masked_subjects", ids).to_pydict()
    masks = query.catalog.read_masks(ids)
    mask_of = {(clip, mask.frame_idx, mask.object_id): mask for clip, found in masks.items() for mask in found}
    keys = zip(subjects["clip_id"], subjects["ann_frame_idx"], subjects["object_id"], strict=True)
    chosen = [mask_of.get(key) for key in keys]
    # `has_mask` says that there is one; a blob of another ingest has not.
    rows = [row for row, mask in enumerate(chosen) if mask is not None]
    found = [mask for mask in chosen if mask is not None]
    extents = mask_extents(found)
    sizes = np.fromiter((mask.height * mask.width for mask in found), np.float64, len(found))
    edges = np.array([[subjects[name][row] for name in ("x1", "y1", "x2", "y2")] for row in rows], np.float64)
    box_iou = _iou(extents.boxes.astype(np.float64), edges.reshape(-1, 4))
    is_empty = extents.areas == 0
    no_mask, no_size = ~extents.is_readable, ~extents.is_readable | (sizes == 0)
    no_iou = no_mask | is_empty | np.isnan(box_iou)
    ratio = extents.areas / np.where(sizes == 0, 1, sizes)
    columns = [
        pa.array([subjects[name][row] for row in rows], SCHEMA.field(name).type)
        for name in ("clip_id", "object_id", "class_name")
    ]
    columns += [pa.array(extents.areas, mask=no_mask), pa.array(ratio, mask=no_size)]
    columns += [pa.array(extents.boxes[:, edge].astype(np.int32), mask=no_mask | is_empty) for edge in range(4)]
    columns.append(pa.array(box_iou, mask=no_iou))
    columns += [
        pa.array(is_empty, mask=no_mask),
        pa.array(~is_empty & (ratio < TINY_RATIO), mask=no_mask),
        pa.array(box_iou < FAR_IOU, mask=no_iou),
    ]
    return pa.table(columns, schema=SCHEMA)


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return intersection over union of boxes, row by row; NaN where a box has a NaN or both have no area."""
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=1)
    area_a, area_b = (np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1) for box in (a, b))
    union = area_a + area_b - shared
    return np.divide(shared, union, out=np.full(len(a), np.nan), where=union > 0)
