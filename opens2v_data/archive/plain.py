"""Exact byte ranges from plain http:// addresses, by sockets that stay open.

200 ranges of 2 MB, 30 ms away, by 32 threads on 2 cores cost 0.40-0.46 CPU-s per GB this way and 0.75-0.89 by obstore, of which
the kernel's copy is 0.12-0.15; beside a thread of Python that computes both take twice as long. With TLS it is the other way
round: obstore takes 1.26-1.36 CPU-s per GB at 1,000 MB/s, Python's `ssl` 2.55 at 470 MB/s and, beside a thread that computes,
9-12 at 100 MB/s (16 KB a call, each of which takes the interpreter's lock). So https:// goes by obstore. `benchmarks/fetch.py`
shows both ways.
"""

from __future__ import annotations

import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opens2v_data.archive.answers import connection_failed, refusal
from opens2v_data.archive.exchange import (
    GoneError,
    LateError,
    OddAnswerError,
    Target,
    UnsuitableError,
    ask,
    connect,
    is_quiet,
    read_body,
)
from opens2v_data.archive.forked import forget_after_fork
from opens2v_data.archive.http_options import SLOWEST_BYTES_PER_SECOND
from opens2v_data.errors import RemoteError

if TYPE_CHECKING:
    import socket

    from opens2v_data.archive.exchange import Answer

MAX_IDLE = 128
"""Connections kept open and unused, of all hosts together: as many as a fetcher uses at most by default."""

IDLE_SECONDS = 15.0
"""A connection unused for longer is closed at the next request: servers do so after 15 s to 75 s."""


class Connections:
    """Connections of one store to http:// hosts; safe to call from several threads.

    Those of a parent process are not used in a forked one, which opens its own.
    """

    def __init__(self) -> None:
        self._start_anew()
        forget_after_fork(self)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Idle] = []  # the one unused for longest first
        self._direct: dict[str, bool] = {}

    def __repr__(self) -> str:
        return f"Connections({len(self._idle)} idle)"

    def __del__(self) -> None:
        for one in self.__dict__.get("_idle", ()):
            one.sock.close()

    def can_read(self, url: str) -> bool:
        """Say whether an address may be tried: plain http:// to a host that no proxy stands before."""
        try:
            host = Target.of(url).netloc
        except UnsuitableError:
            return False
        if host not in self._direct:
            proxies = urllib.request.getproxies()
            has_proxy = bool(proxies.get("http") or proxies.get("all"))
            self._direct[host] = not has_proxy or bool(urllib.request.proxy_bypass(host))
        return self._direct[host]

    def read(self, url: str, start: int, length: int, *, where: str, timeout_seconds: float) -> bytes | None:
        """Return exactly `length` bytes from `start`, or None when the server sent something else than these.

        Args:
            url: for which `can_read` is true; it may be signed.
            start, length: the range; not empty.
            where: what it is called in messages.
            timeout_seconds: from connecting to the end of the headers; the body has a second more for each 64 KiB.

        Raises:
            UnsuitableError: this address is to be read by another client, at once and from now on.
            AddressRefusedError, MissingPieceError, ShortReadError: as the status says.
            RemoteError: another status, with the wait it asks for; or the connection failed, was cut or too slow.
        """
        target = Target.of(url)
        until = time.monotonic() + timeout_seconds
        idle = self._idle
        is_reusable = False
        try:
            sock, answer = self._ask(target, target.request(start, start + length - 1), until)
            try:
                if answer.status >= 400:
                    raise refusal(where, answer.status, answer)
                if answer.status >= 300 or not answer.has_plain_body:
                    raise UnsuitableError("the server redirects, codes bodies or does not say their length")
                if not answer.is_the_range(start, length):
                    return None
                data = read_body(sock, answer, length, where=where, until=until + length / SLOWEST_BYTES_PER_SECOND)
                is_reusable = answer.stays_open and len(answer.rest) <= length
                return data
            finally:
                if not (is_reusable and self._give_back(idle, target, sock)):
                    sock.close()
        except OddAnswerError:
            return None
        except GoneError:
            raise RemoteError(
                f"{where}: the server closed the connection before it answered", is_retryable=True
            ) from None
        except LateError:
            raise RemoteError(f"{where}: no answer came in {timeout_seconds:g} s", is_retryable=True) from None
        except OSError as error:
            raise connection_failed(where, error) from None

    def close(self) -> None:
        """Close what is unused now, and the others when their answers are read; it can still be used."""
        with self._lock:
            idle, self._idle = self._idle, []
        for one in idle:
            one.sock.close()

    def _ask(self, target: Target, request: bytes, until: float) -> tuple[socket.socket, Answer]:
        sock = self._take(target)
        if sock is not None:
            # The server may close a connection just as it is used again, which is no fault: then ask by a new one.
            with suppress(GoneError):
                return sock, ask(sock, request, until)
        sock = connect(target, until)
        return sock, ask(sock, request, until)

    def _take(self, target: Target) -> socket.socket | None:
        """Return a connection to a host, of several the last used; None where there is none that is sound."""
        while True:
            with self._lock:
                old = _take_old(self._idle)
                fitting = [at for at, one in enumerate(self._idle) if one.netloc == target.netloc]
                found = self._idle.pop(fitting[-1]).sock if fitting else None
            for sock in old:
                sock.close()
            if found is None or is_quiet(found):
                return found
            found.close()

    def _give_back(self, idle: list[_Idle], target: Target, sock: socket.socket) -> bool:
        """Keep a connection for the next request; return whether it was, which it is not if `close` was called since."""
        with self._lock:
            if idle is not self._idle:
                return False
            idle.append(_Idle(netloc=target.netloc, sock=sock, since=time.monotonic()))
            old = _take_old(idle)
        for one in old:
            one.close()
        return True

    def _after_fork(self) -> None:
        # Closing takes nothing from the parent, which has descriptors of its own. Its threads may have held the lock.
        idle = self._idle
        self._start_anew()
        for one in idle:
            one.sock.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Idle:
    netloc: str
    sock: socket.socket
    since: float


def _take_old(idle: list[_Idle]) -> list[socket.socket]:
    """Take away and return what is unused for too long, or too many."""
    oldest = time.monotonic() - IDLE_SECONDS
    count = len(idle) - min(MAX_IDLE, sum(one.since >= oldest for one in idle))
    old = [one.sock for one in idle[:count]]
    del idle[:count]
    return old
