"""One byte range by HTTP, exactly: a fast way that almost always works, and a careful one that understands all answers.

    http://    sockets of our own (archive/plain.py), which understand refusals and leave odd answers to the careful way
    https://   obstore (Rust, one pool of connections per address; the GIL is free meanwhile); it gives bytes or a vague error.
               Also http:// through a proxy, and where the server redirects or codes bodies
    careful    urllib (archive/careful.py), after a fast way failed, and where a header goes along

Addresses may be signed: they are in no message, log or repr. What a caller sees is named by `label`, a path of the release.
"""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from opens2v_data.archive import careful
from opens2v_data.archive.answers import AddressRefusedError
from opens2v_data.archive.daemons import interruptible
from opens2v_data.archive.exchange import UnsuitableError
from opens2v_data.archive.http_options import USER_AGENT, Counters, HttpOptions, backoff
from opens2v_data.archive.plain import Connections
from opens2v_data.errors import MissingExtraError, RemoteError
from opens2v_data.waiting import sleep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opens2v_data.archive.stores import Buffer

T = TypeVar("T")
Way = Literal["sockets", "obstore", "careful"]

READS_BY_SOCKETS = True
"""Whether http:// is read by sockets of our own; False for tests and benchmarks that look at obstore without TLS."""


class Address:
    """Where a file's bytes are served.

    Args:
        url: its address, perhaps signed.
        options: for its connections.
        headers: sent to that server only, never along a redirect.
        connections: to http:// hosts, of a store; by default its own.
    """

    def __init__(
        self,
        url: str,
        options: HttpOptions,
        *,
        headers: Mapping[str, str] | None = None,
        connections: Connections | None = None,
    ) -> None:
        self.url = url
        self.headers = dict(headers or {})
        self.connections = connections or Connections()
        self.suits_sockets = True
        self._options = options
        self._store: Any = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "Address(…)"

    @property
    def way(self) -> Way:
        """The way to try first."""
        if self.headers:
            return "careful"
        if READS_BY_SOCKETS and self.suits_sockets and self.connections.can_read(self.url):
            return "sockets"
        return "obstore" if _can_use_obstore() else "careful"

    @property
    def store(self) -> Any:
        """The obstore store for this address."""
        with self._lock:
            if self._store is None:
                from obstore.store import HTTPStore

                self._store = HTTPStore.from_url(
                    self.url,
                    client_options={
                        "allow_http": self.url.startswith("http://"),
                        "timeout": timedelta(seconds=self._options.timeout_seconds),
                        "user_agent": USER_AGENT,
                    },
                    retry_config={"max_retries": 0},
                )
            return self._store


def read_address(
    address: Address,
    start: int,
    length: int,
    *,
    label: str,
    options: HttpOptions,
    counters: Counters,
    as_buffer: bool = False,
) -> Buffer:
    """Return exactly `length` bytes from `start`.

    Args:
        address: where.
        start, length: the range.
        label: what the bytes are called in messages.
        options: how patient to be.
        counters: told of requests and bytes.
        as_buffer: give a `memoryview` where a fast way has read; of obstore's memory, which then is not copied.

    Raises:
        AddressRefusedError: 401 or 403.
        MissingPieceError: 404.
        ShortReadError: the file ends before the range does.
        RemoteError: the server gave something else, or nothing, each time.
    """
    if length == 0:
        return b""
    where = f"{label}, bytes {start} to {start + length}"

    def once(attempt: int) -> Buffer | None:
        way = address.way if attempt == 0 else "careful"
        if way == "sockets":
            data = _read_by_sockets(address, start, length, where, options)
            return memoryview(data) if as_buffer and data is not None else data
        if way == "obstore":
            return _read_by_obstore(address, start, length, as_buffer=as_buffer)
        return careful.read_carefully(
            address.url, start, length, headers=address.headers, where=where, timeout_seconds=options.timeout_seconds
        )

    data = _repeat(once, label=f"{label}, byte {start}", options=options, counters=counters)
    counters.add(num_bytes=length)
    return data


def ask_size(address: Address, *, label: str, options: HttpOptions, counters: Counters) -> int:
    """Return how long a file is, from the answer to one byte of it: that also shows whether the server knows ranges.

    Raises:
        AddressRefusedError, MissingPieceError, RemoteError: as `read_address`.
    """

    def once(_: int) -> int:
        return careful.ask_size(
            address.url, headers=address.headers, label=label, timeout_seconds=options.timeout_seconds
        )

    return _repeat(once, label=label, options=options, counters=counters)


def _repeat(once: Callable[[int], T | None], *, label: str, options: HttpOptions, counters: Counters) -> T:
    """Call until there is an answer; None means none came, for a reason unknown, and the next attempt is made at once."""
    last: RemoteError | None = None
    for attempt in range(options.attempts):
        counters.add(num_requests=1, num_retries=int(attempt > 0))
        try:
            answer = interruptible(lambda attempt=attempt: once(attempt))
        except RemoteError as error:
            if not error.is_retryable or (error.retry_after_seconds or 0) > options.max_retry_after_seconds:
                raise
            last = error
            if attempt + 1 == options.attempts:
                break
            if error.retry_after_seconds is not None:
                counters.wait(error.retry_after_seconds)
            else:
                sleep(backoff(attempt, options))
        else:
            if answer is not None:
                return answer
    raise RemoteError(
        f"{label}: no bytes in {options.attempts} attempts; at last {last or 'no answer'}; check the connection, then run again",
        status=last.status if last else None,
        is_retryable=True,
    ) from last


# -- the fast ways -----------------------------------------------------------------------------------------------------


def _read_by_sockets(address: Address, start: int, length: int, where: str, options: HttpOptions) -> bytes | None:
    """Return the bytes, or None when something else came."""
    try:
        return address.connections.read(
            address.url, start, length, where=where, timeout_seconds=options.timeout_seconds
        )
    except UnsuitableError:
        address.suits_sockets = False
        return None


_first_user: list[int] = []


def _can_use_obstore() -> bool:
    """Obstore's threads do not live on in a forked process, where a call would wait for ever: go the careful way there."""
    if not _first_user:
        try:
            import obstore  # noqa: F401
        except ImportError as error:
            raise MissingExtraError(package="obstore", extra="hub", needed_for="reading over HTTP") from error
        _first_user.append(os.getpid())
    return _first_user[0] == os.getpid()


def _read_by_obstore(address: Address, start: int, length: int, *, as_buffer: bool) -> Buffer | None:
    """Return the bytes, or None when they did not come; obstore's messages hold the address, so none goes further."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        answer = address.store.get("", options={"range": (start, start + length)})
        if answer.range != (start, start + length):
            return None
        # As a stream its chunks are copied once, into `bytes`; joined first they would be copied again, which costs 0.2 CPU-s
        # per GB more (benchmarks/fetch.py, the two clients of obstore alone). Joined and not copied they cost 0.1 less, as
        # `bytes` are zeroed before they are filled.
        data = memoryview(answer.bytes()) if as_buffer else next(answer.stream(min_chunk_size=length), b"")
    except UnauthenticatedError:
        raise AddressRefusedError(401) from None
    except PermissionDeniedError:
        raise AddressRefusedError(403) from None
    except (BaseError, OSError, ValueError):
        return None
    return data if len(data) == length else None
