"""Which rows look enough alike to share a batch? Those of one bucket: aspect ratio and duration.

    aspect     9:16  3:4  1:1  4:3  16:9  21:9           the nearest by ratio: edges are their geometric means
    duration   <49f  49-144f  145-288f  289f+            frames; half-open inside
    bucket     "16:9 145-288f"

The edges are fixed and not taken from the data, so that a bucket means the same in every slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import log
from typing import Literal, get_args

import numpy as np

By = Literal["aspect*duration", "aspect", "duration"]
UNKNOWN = "unknown"
CHUNK_ROWS = 1 << 18  # rows worked on at once: some MB of temporaries whatever the slice


@dataclass(frozen=True, kw_only=True)
class BucketEdges:
    """What the buckets are.

    Attributes:
        aspects: (width, height) of the classes; a picture belongs to the nearest in width / height, by ratio.
        duration_edges_frames: ascending; a clip of exactly an edge belongs to the longer bucket. Default: with upstream's
            49 frames and stride 3, clips under 49 frames repeat some, under 145 = 48 * 3 + 1 go closer than the stride.
    """

    aspects: tuple[tuple[int, int], ...] = ((9, 16), (3, 4), (1, 1), (4, 3), (16, 9), (21, 9))
    duration_edges_frames: tuple[int, ...] = (49, 145, 289)

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            ValueError: not ascending, or a number that is not above 0.
        """
        if not self.aspects or any(width < 1 or height < 1 for width, height in self.aspects):
            raise ValueError(f"aspects must be (width, height) pairs above 0, at least one, not {self.aspects}")
        ratios = [width / height for width, height in self.aspects]
        if any(left >= right for left, right in pairwise(ratios)):
            raise ValueError(f"aspects must ascend in width / height, not {self.aspects}")
        edges = (0, *self.duration_edges_frames)
        if any(left >= right for left, right in pairwise(edges)):
            raise ValueError(f"duration_edges_frames must ascend and be above 0, not {self.duration_edges_frames}")

    @property
    def aspect_names(self) -> tuple[str, ...]:
        """Names of the aspect classes, the one of unknown size last."""
        return (*(f"{width}:{height}" for width, height in self.aspects), UNKNOWN)

    @property
    def duration_names(self) -> tuple[str, ...]:
        """Names of the duration classes, the one of unknown duration last."""
        edges = self.duration_edges_frames
        if not edges:
            return ("any duration", UNKNOWN)
        inner = (f"{low}-{high - 1}f" for low, high in pairwise(edges))
        return (f"<{edges[0]}f", *inner, f"{edges[-1]}f+", UNKNOWN)


@dataclass(frozen=True, kw_only=True, eq=False)
class Buckets:
    """The bucket of each row.

    Attributes:
        codes: `(N,) uint16`, index into `names`.
        names: of the buckets that have rows, in the order of the edges; `("all",)` without bucketing.
    """

    codes: np.ndarray
    names: tuple[str, ...]

    def __repr__(self) -> str:
        counts = np.bincount(self.codes, minlength=len(self.names))
        return f"Buckets({', '.join(f'{name}: {count}' for name, count in zip(self.names, counts, strict=True))})"


def assign_buckets(
    by: By | None,
    *,
    width: np.ndarray | None = None,
    height: np.ndarray | None = None,
    num_frames: np.ndarray | None = None,
    num_rows: int | None = None,
    edges: BucketEdges | None = None,
) -> Buckets:
    """Put each row into a bucket.

    Args:
        by: what buckets are made of; None puts all rows into one.
        width, height: `(N,)` pixels of the picture, after the crop if it is cropped; below 1 or NaN: unknown.
        num_frames: `(N,)` frames of the range that is sampled; below 1 or NaN: unknown.
        num_rows: N, needed only where no array is given.

    Raises:
        ValueError: an unknown `by`, a column that it needs is missing, or columns of different lengths.
    """
    if by is not None and by not in get_args(By):
        raise ValueError(f"buckets must be one of {', '.join(get_args(By))} or None, not {by!r}")
    edges = edges or BucketEdges()
    parts = by.split("*") if by else []
    given = {"width": width, "height": height, "num_frames": num_frames}
    wanted = [*(("width", "height") if "aspect" in parts else ()), *(("num_frames",) if "duration" in parts else ())]
    if missing := [name for name in wanted if given[name] is None]:
        raise ValueError(f'buckets="{by}" needs the columns {", ".join(wanted)}; missing: {", ".join(missing)}')
    lengths = {name: len(column) for name, column in given.items() if column is not None}
    if num_rows is not None:
        lengths["num_rows"] = num_rows
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"columns must have one row each for every row, found {lengths or 'no column and no num_rows'}"
        )
    total = next(iter(lengths.values()))
    if not parts:
        return Buckets(codes=np.zeros(total, np.uint16), names=("all",))
    aspect_names = edges.aspect_names if "aspect" in parts else ("",)
    duration_names = edges.duration_names if "duration" in parts else ("",)
    codes = np.zeros(total, np.uint16)
    for start in range(0, total, CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        if "aspect" in parts and width is not None and height is not None:
            codes[rows] = _aspect_codes(width[rows], height[rows], edges) * len(duration_names)
        if "duration" in parts and num_frames is not None:
            codes[rows] += _duration_codes(num_frames[rows], edges).astype(np.uint16)
    names = [" ".join(filter(None, (aspect, duration))) for aspect in aspect_names for duration in duration_names]
    present = np.bincount(codes, minlength=len(names)) > 0
    dense = np.cumsum(present) - 1
    return Buckets(
        codes=dense.astype(np.uint16)[codes],
        names=tuple(name for name, here in zip(names, present, strict=True) if here),
    )


def _aspect_codes(width: np.ndarray, height: np.ndarray, edges: BucketEdges) -> np.ndarray:
    known = (width >= 1) & (height >= 1)  # False for NaN
    ratio = np.log(np.where(known, width, 1) / np.where(known, height, 1))
    middles = [log(width / height) for width, height in edges.aspects]
    between = [(low + high) / 2 for low, high in pairwise(middles)]
    return np.where(known, np.searchsorted(between, ratio, side="right"), len(edges.aspects)).astype(np.uint16)


def _duration_codes(num_frames: np.ndarray, edges: BucketEdges) -> np.ndarray:
    known = num_frames >= 1
    code = np.searchsorted(edges.duration_edges_frames, np.where(known, num_frames, 1), side="right")
    return np.where(known, code, len(edges.duration_edges_frames) + 1)
