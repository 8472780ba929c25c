"""Files on any server that knows byte ranges."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from opens2v_data.archive.answers import AddressRefusedError
from opens2v_data.archive.forked import forget_after_fork
from opens2v_data.archive.http import Address, ask_size, read_address
from opens2v_data.archive.http_options import Counters, HttpOptions
from opens2v_data.archive.plain import Connections
from opens2v_data.archive.stores import Buffer, check_name, check_range
from opens2v_data.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Sequence


class RangesOverHttp:
    """The reading half of a `Store`, on top of one way to read a range."""

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from byte `start` on.

        Raises:
            MissingPieceError: there is no such file.
            ShortReadError: the file ends before the range does.
            RevisionMovedError: the commit is gone, or the Hub answers for another.
            RemoteError: no access, or the servers gave nothing however often they were asked.
        """
        return bytes(self._read(path, start, length, as_buffer=False))

    def read_buffer(self, path: str, start: int, length: int) -> Buffer:
        """Return what `read_range` does, perhaps as a `memoryview`."""
        return self._read(path, start, length, as_buffer=True)

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several `(start, length)` ranges, in the order given."""
        return [self.read_range(path, start, length) for start, length in ranges]

    def _read(self, path: str, start: int, length: int, *, as_buffer: bool) -> Buffer:
        """Read a range, as a `memoryview` where it can be had without a copy and `as_buffer` is set."""
        raise NotImplementedError


class HttpStore(RangesOverHttp):
    """Files below an address; a `Store`.

    Sizes are asked for once per file. It can be pickled to other processes; each opens connections of its own.

    Args:
        base_url: `http://` or `https://`, without a query.
        options: how patient to be.

    Attributes:
        counters: what was asked of the server.
    """

    def __init__(self, base_url: str, *, options: HttpOptions | None = None) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query:
            raise ValueError(f"expected http(s)://HOST/PATH without a query, got {base_url!r}")
        self.uri = base_url.rstrip("/")
        self.options = options or HttpOptions()
        self.counters = Counters()
        self._addresses: dict[str, Address] = {}
        self._sizes: dict[str, int] = {}
        self._connections = Connections()
        self._lock = threading.Lock()
        forget_after_fork(self)

    def __repr__(self) -> str:
        return f"HttpStore({self.uri!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _new_http_store, (self.uri, self.options)

    def size(self, path: str) -> int:
        """Return the file's size in bytes, as the server says."""
        if path not in self._sizes:
            address = self._address(path)
            try:
                self._sizes[path] = ask_size(
                    address, label=f"{self.uri}/{path}", options=self.options, counters=self.counters
                )
            except AddressRefusedError as error:
                raise RemoteError(
                    f"{self.uri}/{path}: the server answered {error.status}", status=error.status
                ) from None
        return self._sizes[path]

    def _read(self, path: str, start: int, length: int, *, as_buffer: bool) -> Buffer:
        check_range(start, length)
        address = self._address(path)
        try:
            return read_address(
                address, start, length, label=path, options=self.options, counters=self.counters, as_buffer=as_buffer
            )
        except AddressRefusedError as error:
            raise RemoteError(f"{self.uri}/{path}: the server answered {error.status}", status=error.status) from None

    def close(self) -> None:
        """Forget connections; the store can still be used."""
        with self._lock:
            self._addresses.clear()
        self._connections.close()

    def _after_fork(self) -> None:
        self._lock, self._addresses = threading.Lock(), {}
        self.counters.after_fork()

    def _address(self, path: str) -> Address:
        with self._lock:
            if path not in self._addresses:
                check_name(path, self.uri)
                self._addresses[path] = Address(
                    f"{self.uri}/{quote(path)}", self.options, connections=self._connections
                )
            return self._addresses[path]


def _new_http_store(uri: str, options: HttpOptions) -> HttpStore:
    return HttpStore(uri, options=options)
