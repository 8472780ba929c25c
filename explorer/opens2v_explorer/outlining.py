"""Where does a mask end? Its edge as an SVG path along the pixels' sides, exact to the pixel.

Every corner of the edge is a vertex at which one side runs along the row and one along the column. On each row of vertices the
corners bound its horizontal sides two by two, on each column its vertical ones, so that the loops follow from two sorts:

    corners   a---b       row of a, b: side a-b     column of a, c: side a-c
              |   |
              c---d

Where two pixels touch by a corner only, it counts twice. Filled by the even-odd rule, the path paints the mask's pixels, and no
others.
"""

from __future__ import annotations

import numpy as np


def outline_path(mask: np.ndarray) -> str:
    """Return the edge of a `(H, W) bool` mask as an SVG path in its pixels; "" for an empty mask."""
    padded = np.pad(np.asarray(mask, bool), 1)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    is_corner = a ^ b ^ c ^ d
    is_double = (a == d) & (b == c) & (a != b)
    ys, xs = np.nonzero(is_corner | is_double)
    if not ys.size:
        return ""
    times = np.where(is_double[ys, xs], 2, 1)
    ys, xs = np.repeat(ys, times), np.repeat(xs, times)
    across = np.arange(ys.size) ^ 1  # np.nonzero goes row by row
    by_column = np.lexsort((ys, xs))
    along = np.empty_like(by_column)
    along[by_column] = by_column[np.arange(ys.size) ^ 1]
    return "".join(_loops(xs.tolist(), ys.tolist(), across.tolist(), along.tolist()))


def _loops(xs: list[int], ys: list[int], across: list[int], along: list[int]) -> list[str]:
    parts: list[str] = []
    is_done = [False] * len(xs)
    for start in range(len(xs)):
        if is_done[start]:
            continue
        parts.append(f"M{xs[start]} {ys[start]}")
        at = start
        while True:
            beside = across[at]
            below = along[beside]
            is_done[at] = is_done[beside] = True
            parts.append(f"h{xs[beside] - xs[at]}")
            if below == start:
                break
            parts.append(f"v{ys[below] - ys[beside]}")
            at = below
        parts.append("z")
    return parts
