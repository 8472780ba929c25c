"""Where the next tar header may lie, for a walk that starts in the middle of a tar.

    joined    0            512 x n                                            512 x m
    tar       ┤ payload ··· ┼ ············ bytes of an mp4 ···· ┤pad├ header ──┼ payload ···
    scan                    ├── scan ──┼── scan ──┼── scan ──┼─ found ┤

A block found so is a candidate and no more: a payload can hold a tar, or blocks made to look like headers. Whoever uses it
must not trust it before the walk from byte 0 arrives there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opens2v_data.archive.tarheader import BLOCK_BYTES, HeaderFault, parse_header
from opens2v_data.archive.tarwalk import Need

if TYPE_CHECKING:
    from collections.abc import Generator

_MAGIC = b"ustar"  # of USTAR, PAX and GNU; V7 has none, and cannot be told from a payload's bytes
_MAGIC_AT = 257


def find_candidate(data: bytes, position: int = 0) -> int | None:
    """Return where the first block lies that reads as a header, or None.

    Args:
        data: bytes of the joined tar from a multiple of 512 on, in whole blocks.
        position: a multiple of 512 within `data`, to look from.
    """
    at = data.find(_MAGIC, position + _MAGIC_AT)
    while at >= 0:
        start = at - _MAGIC_AT
        if start % BLOCK_BYTES == 0 and len(data) - start >= BLOCK_BYTES:
            try:
                parse_header(data[start : start + BLOCK_BYTES])
            except HeaderFault:
                pass
            else:
                return start
        at = data.find(_MAGIC, at + 1)
    return None


def resync(start: int, stop: int, *, scan_bytes: int) -> Generator[Need, bytes, int | None]:
    """Find the first candidate that starts in `[start, stop)`; yields needs as a walk does.

    Args:
        start: a multiple of 512 in the joined tar.
        stop: where to give up; whole blocks only are looked at.
        scan_bytes: how much to ask for at once; a multiple of 512.
    """
    stop -= (stop - start) % BLOCK_BYTES
    while start < stop:
        data = yield Need(start, min(scan_bytes, stop - start))
        found = find_candidate(data)
        if found is not None:
            return start + found
        start += len(data)
    return None
