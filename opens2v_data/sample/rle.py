"""Masks as COCO compressed run lengths, written without pycocotools (which the tests compare with)."""

from __future__ import annotations

import numpy as np


def encode_mask(mask: np.ndarray) -> str:
    """Encode a mask as upstream stores it.

    Runs go down the columns, starting with a run of zeros. From the fourth run on, the difference to the run before the
    last is written; each number takes 5 bits a character, lowest first, bit 0x20 for "more follows", offset 48
    (pycocotools, `common/maskApi.c`, `rleToString`).

    Args:
        mask: (H, W) bool.
    """
    return compress_runs(run_lengths(mask))


def run_lengths(mask: np.ndarray) -> list[int]:
    """Count the runs of a mask, column by column, the first of zeros (and possibly empty)."""
    flat = np.asarray(mask, dtype=bool).ravel(order="F")
    if flat.size == 0:
        return []
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    edges = np.concatenate(([0], changes, [flat.size]))
    runs = np.diff(edges).tolist()
    return [0, *runs] if flat[0] else runs


def compress_runs(runs: list[int]) -> str:
    """Write run lengths as COCO's string."""
    text: list[str] = []
    for position, run in enumerate(runs):
        value = run - runs[position - 2] if position > 2 else run
        while True:
            low, value = value & 0x1F, value >> 5
            # Arithmetic shift: a negative number ends at -1 once its sign bit (0x10) is written.
            more = value != (-1 if low & 0x10 else 0)
            text.append(chr((low | (0x20 if more else 0)) + 48))
            if not more:
                break
    return "".join(text)
