"""Reads a little more than asked for where the next need will want it: a walk over a tar goes on just behind its last read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_GAP_BYTES = 1 << 16  # up to here, reading on is cheaper than a seek or another request
_MAX_WINDOW_BYTES = 1 << 20


class ReadAhead:
    """Keeps the last bytes read, and reads more than asked for while members are small.

    What is asked for in large (a scan) is read as asked.

    Args:
        read: gives `length` bytes from `start`.
        size_bytes: of all there is.
        at_least: how much a small read takes anyway, bytes: the headers of a member that come together.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], size_bytes: int, *, at_least: Callable[[], int] = lambda: 0
    ) -> None:
        self._read = read
        self._size_bytes = size_bytes
        self._at_least = at_least
        self._start = 0
        self._data = b""
        self._window_bytes = 0

    def read(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start`."""
        skip = start - self._start
        if skip >= 0 and skip + length <= len(self._data):
            return self._data[skip : skip + length]
        ahead = length
        if length <= _MAX_GAP_BYTES:
            is_near = 0 <= skip <= len(self._data) + _MAX_GAP_BYTES
            self._window_bytes = min(max(2 * self._window_bytes, 2 * length), _MAX_WINDOW_BYTES) if is_near else 0
            ahead = max(length, self._window_bytes, self._at_least())
        else:
            self._window_bytes = 0
        end = min(start + ahead, self._size_bytes)
        self._data = self._read(start, end - start)
        self._start = start
        return self._data[:length]
