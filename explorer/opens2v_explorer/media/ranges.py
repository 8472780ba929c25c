"""Which bytes does a Range header ask for? (RFC 9110, section 14)"""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)


class Unsatisfiable(Exception):
    """The range lies outside of the file: 416."""


def wanted_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return the half-open range of a file that is asked for; None: the whole file.

    What is no range, or several of them, is ignored, as the RFC allows: the answer is then the whole file.

    Raises:
        Unsatisfiable: it starts past the end, or asks for the last 0 bytes.
    """
    found = None if header is None else _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:  # the last so many
        length = min(int(found[2]), size_bytes)
        if not length:
            raise Unsatisfiable
        return size_bytes - length, size_bytes
    start = int(found[1])
    last = int(found[2]) if found[2] else size_bytes - 1
    if found[2] and last < start:
        return None
    if start >= size_bytes:
        raise Unsatisfiable
    return start, min(last + 1, size_bytes)
