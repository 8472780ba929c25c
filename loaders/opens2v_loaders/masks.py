"""Which pixels are a subject's? COCO compressed run lengths to masks and back, and the regions several masks share.

    mask, column by column   0 0 0 1 1 0 1 …       zeros first
    run lengths              3, 2, 1, 1, …         the first may be 0
    differences              3, 2, 1, -1, …        from the fourth on: minus the run two before
    characters               5 bits each, lowest first, + 32 when more follow, + 48; the last one's bit 4 is the sign

Areas, boxes and overlaps come from the runs, without painting a pixel. A string that is not such a mask (outside of the
alphabet, ends within a number, runs that are negative or do not fill the picture) is a `DecodeError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import DecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.triples import MaskRLE

_MORE, _SIGN, _LOW = 0x20, 0x10, 0x1F
_MAX_CHARACTERS = 7  # 35 bits: more than any picture has pixels, and far from where int64 overflows


def decode_counts(counts: bytes) -> np.ndarray:
    """Return the run lengths of a compressed string: `(R,) int64`, zeros and ones in turn, zeros first.

    Raises:
        DecodeError: not COCO compressed run lengths.
    """
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not codes.size:
        return codes
    if (outside := np.flatnonzero((codes < 0) | (codes > 63))).size:
        at = int(outside[0])
        raise DecodeError(
            f"a mask's characters are '0' (48) to 'o' (111); found byte {counts[at]} at {at} of {len(counts)}"
        )
    ends = np.flatnonzero(codes & _MORE == 0)
    if not ends.size or ends[-1] != codes.size - 1:
        raise DecodeError(f"a mask's string ends within a number, after {len(counts)} characters: it is cut off")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if (longest := int(lengths.max())) > _MAX_CHARACTERS:
        raise DecodeError(f"a mask's run has at most {_MAX_CHARACTERS} characters; found one of {longest}")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    values = np.add.reduceat((codes & _LOW) << shifts, starts)
    values -= np.where(codes[ends] & _SIGN, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    if values.min() < 0:
        raise DecodeError(f"a mask's runs are lengths; run {int(np.argmin(values))} is {int(values.min())}")
    return values


def encode_counts(runs: np.ndarray) -> bytes:
    """Return run lengths as COCO's compressed string; the inverse of `decode_counts`."""
    values = np.asarray(runs, np.int64).copy()
    values[3:] -= np.asarray(runs, np.int64)[1:-2]
    chunk = np.arange(_MAX_CHARACTERS)
    # Bits below chunk k + 1, the sign included, hold the value: then character k is the last.
    is_last = (values[:, None] >> (5 * chunk + 4)) == (values[:, None] >> 63)
    lengths = is_last.argmax(axis=1) + 1
    codes = (values[:, None] >> (5 * chunk)) & _LOW
    codes += np.where(chunk < lengths[:, None] - 1, _MORE, 0) + 48
    return codes[chunk < lengths[:, None]].astype(np.uint8).tobytes()


def rle_area(counts: bytes) -> int:
    """Return how many pixels the mask has."""
    return int(decode_counts(counts)[1::2].sum())


def decode_rle(mask: MaskRLE) -> np.ndarray:
    """Return the mask as `(H, W) bool`, C order.

    Raises:
        DecodeError: not COCO compressed run lengths, or not of this size.
    """
    runs = run_lengths(mask)
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(pixels.reshape(mask.width, mask.height).T)


def encode_rle(mask: np.ndarray) -> bytes:
    """Return a `(H, W)` mask (anything not 0 is in) as COCO's compressed string."""
    if mask.ndim != 2:
        raise ValueError(f"a mask is (H, W), not {mask.shape}")
    pixels = np.asarray(mask, bool).T.reshape(-1)
    if not pixels.size:
        return b"0"
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    first = [0, 0] if pixels[0] else [0]
    return encode_counts(np.diff(np.concatenate((first, changes, [pixels.size]))))


def mask_bbox(mask: MaskRLE) -> tuple[int, int, int, int] | None:
    """Return the smallest half-open `(x1, y1, x2, y2)` around the mask, pixels; None when it is empty."""
    starts, ends = _ones(run_lengths(mask))
    if not starts.size:
        return None
    height = mask.height
    spans_columns = starts // height != (ends - 1) // height
    top = np.where(spans_columns, 0, starts % height).min()
    bottom = np.where(spans_columns, height, (ends - 1) % height + 1).max()
    return int(starts[0] // height), int(top), int((ends[-1] - 1) // height + 1), int(bottom)


def mask_iou(a: MaskRLE, b: MaskRLE) -> float:
    """Return intersection over union of two masks of one size; 0.0 when both are empty."""
    if (a.height, a.width) != (b.height, b.width):
        raise ValueError(f"masks of {a.height}x{a.width} and {b.height}x{b.width} (height x width) cannot be compared")
    runs_a, runs_b = run_lengths(a), run_lengths(b)
    both = _intersection(runs_a, runs_b)
    union = int(runs_a[1::2].sum()) + int(runs_b[1::2].sum()) - both
    return both / union if union else 0.0


def region_clusters(masks: Sequence[MaskRLE | None], iou: float = 0.8) -> list[list[int]]:
    """Group masks that show the same region: those linked by overlaps of at least `iou`.

    Upstream detects one object under several phrases ("person", "individual", "woman"). Links carry on (a~b, b~c puts
    a, b and c together), so the groups do not depend on the order.

    Args:
        masks: None (no mask), an empty mask and an unreadable one are each a region of their own; masks of different
            sizes never share one.
        iou: the least overlap, (0, 1].

    Returns:
        Indices into `masks`, each exactly once; groups in order of their first index.
    """
    if not 0 < iou <= 1:
        raise ValueError(f"iou must lie in (0, 1], not {iou}")
    runs = [_runs_or_none(mask) for mask in masks]
    areas = [0 if one is None else int(one[1::2].sum()) for one in runs]
    group = list(range(len(masks)))
    for i, a in enumerate(masks):
        for j, b in enumerate(masks[:i]):
            runs_i, runs_j = runs[i], runs[j]
            if group[i] == group[j] or a is None or b is None or runs_i is None or runs_j is None:
                continue
            if (a.height, a.width) != (b.height, b.width) or min(areas[i], areas[j]) < iou * max(areas[i], areas[j], 1):
                continue
            both = _intersection(runs_i, runs_j)
            if both >= iou * (areas[i] + areas[j] - both):
                old, new = max(group[i], group[j]), min(group[i], group[j])
                group = [new if g == old else g for g in group]
    clusters: dict[int, list[int]] = {}
    for index, g in enumerate(group):
        clusters.setdefault(g, []).append(index)
    return list(clusters.values())


def run_lengths(mask: MaskRLE) -> np.ndarray:
    """Return the run lengths of a mask, zeros and ones in turn: `(R,) int64`, as many in all as it has pixels.

    Raises:
        DecodeError: not COCO compressed run lengths, or not of this size.
    """
    runs = decode_counts(mask.counts)
    expected, found = mask.height * mask.width, int(runs.sum())
    if found != expected:
        size = f"{mask.height}x{mask.width} (height x width)"
        raise DecodeError(f"a mask of {size} has {expected} pixels; its runs have {found}")
    return runs


def _runs_or_none(mask: MaskRLE | None) -> np.ndarray | None:
    try:
        return None if mask is None else run_lengths(mask)
    except DecodeError:
        return None


def _ones(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return half-open starts and ends of the runs of ones that are not empty, in column-major pixel numbers."""
    bounds = np.cumsum(runs)
    starts, ends = bounds[:-1][::2], bounds[1::2]
    filled = ends > starts[: len(ends)]
    return starts[: len(ends)][filled], ends[filled]


def _intersection(a: np.ndarray, b: np.ndarray) -> int:
    """Return the pixels two masks share: how many of `a` lie before each end of a run of `b`, less before its start."""
    starts, ends = _ones(b)
    bounds = np.concatenate(([0], np.cumsum(a)))
    before = np.concatenate(([0], np.cumsum(np.where(np.arange(len(a)) % 2, a, 0))))
    # Straight lines between whole numbers below 2^53: exact after rounding.
    return int(np.rint(np.interp(ends, bounds, before) - np.interp(starts, bounds, before)).sum())
