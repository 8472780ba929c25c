"""One byte range by HTTP, exactly: a fast way that almost always works, and a careful one that understands refusals.

    fast      obstore (Rust, one pool of connections per address; the GIL is free meanwhile); it gives bytes or a vague error
    careful   urllib, after the fast way failed: status, Retry-After, Content-Range and length are looked at one by one

Addresses may be signed: they are in no message, log or repr. What a caller sees is named by `label`, a path of the release.
"""

from __future__ import annotations

import http.client
import os
import random
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from opens2v_data.archive.daemons import start as start_thread
from opens2v_data.errors import MissingExtraError, MissingPieceError, RemoteError, ShortReadError
from opens2v_data.waiting import result_of, sleep

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opens2v_data.archive.stores import Buffer

T = TypeVar("T")

MAX_WASTE_BYTES = 32 << 20
"""A server that ignores ranges sends a file from its start: up to here that is read and cut, beyond it refused."""

SLOWEST_BYTES_PER_SECOND = 1 << 16
"""A body may take a second for each so many bytes, besides the time of its request; what comes slower is given up."""

_CHUNK_BYTES = 1 << 18
_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_USER_AGENT = "opens2v-data"


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """How patient a store is.

    Attributes:
        attempts: requests for one range, the first included.
        timeout_seconds: for one request, from connecting to its last byte. 2 MB at 64 kB/s take 30 s. A repetition gets a
            second more for each 64 KiB of its range.
        backoff_seconds: before a repetition; doubles each time, with jitter. After the fast way failed there is no wait.
        max_backoff_seconds: the longest of these waits.
        max_retry_after_seconds: a server that asks for a longer wait than this gets its refusal reported instead. The Hub's
            windows are 300 s long.
    """

    attempts: int = 6
    timeout_seconds: float = 60.0
    backoff_seconds: float = 0.2
    max_backoff_seconds: float = 10.0
    max_retry_after_seconds: float = 330.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")
        for name in ("timeout_seconds", "backoff_seconds", "max_backoff_seconds", "max_retry_after_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


@dataclass
class Counters:
    """What a store has asked of its server so far.

    Attributes:
        num_requests: requests for bytes, repetitions included.
        num_bytes: bytes delivered.
        num_retries: repetitions.
        num_resolves: calls of the Hub's `/resolve`, which are what its quota counts.
        num_expired: signed addresses that were refused before or after their time.
        waiting_until: by the monotonic clock: a thread sleeps until then because the server said so; 0.0 when none ever did.
    """

    num_requests: int = 0
    num_bytes: int = 0
    num_retries: int = 0
    num_resolves: int = 0
    num_expired: int = 0
    waiting_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        """Add to some of them."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def wait(self, seconds: float) -> None:
        """Sleep because the server said so, for all to see."""
        with self._lock:
            self.waiting_until = max(self.waiting_until, time.monotonic() + seconds)
        sleep(seconds)

    def after_fork(self) -> None:
        """Forget a lock that a thread of the parent may have held."""
        self._lock = threading.Lock()


class AddressRefusedError(Exception):
    """401 or 403: the address has expired, or was never allowed. `status` is which."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status


class Address:
    """Where a file's bytes are served.

    Args:
        url: its address, perhaps signed.
        options: for its connections.
        headers: sent to that server only, never along a redirect.
    """

    def __init__(self, url: str, options: HttpOptions, *, headers: Mapping[str, str] | None = None) -> None:
        self.url = url
        self.headers = dict(headers or {})
        self._options = options
        self._store: Any = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return "Address(…)"

    @property
    def is_fast(self) -> bool:
        """Whether the fast way can be tried."""
        return not self.headers and _can_use_obstore()

    @property
    def store(self) -> Any:
        """The obstore store for this address; None where the fast way cannot be used."""
        if not self.is_fast:
            return None
        with self._lock:
            if self._store is None:
                from obstore.store import HTTPStore

                self._store = HTTPStore.from_url(
                    self.url,
                    client_options={
                        "allow_http": self.url.startswith("http://"),
                        "timeout": timedelta(seconds=self._options.timeout_seconds),
                        "user_agent": _USER_AGENT,
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
        as_buffer: give what obstore's memory holds, as a `memoryview`, where it was obstore that read.

    Raises:
        AddressRefusedError: 401 or 403.
        MissingPieceError: 404.
        ShortReadError: the file ends before the range does.
        RemoteError: the server gave something else, or nothing, each time.
    """
    if length == 0:
        return b""

    def once(attempt: int) -> Buffer | None:
        if attempt == 0 and address.is_fast:
            return _interruptible(lambda: _read_fast(address, start, length, as_buffer=as_buffer))
        return _read_carefully(address, start, length, label, options)

    data = _repeat(once, label=f"{label}, byte {start}", options=options, counters=counters)
    counters.add(num_bytes=length)
    return data


def ask_size(address: Address, *, label: str, options: HttpOptions, counters: Counters) -> int:
    """Return how long a file is, from the answer to one byte of it: that also shows whether the server knows ranges.

    Raises:
        AddressRefusedError, MissingPieceError, RemoteError: as `read_address`.
    """
    return _repeat(lambda _: _ask_size(address, label, options), label=label, options=options, counters=counters)


def _repeat(once: Callable[[int], T | None], *, label: str, options: HttpOptions, counters: Counters) -> T:
    """Call until there is an answer; None means none came, for a reason unknown, and the next attempt is made at once."""
    last: RemoteError | None = None
    for attempt in range(options.attempts):
        counters.add(num_requests=1, num_retries=int(attempt > 0))
        try:
            answer = once(attempt)
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


def _interruptible(call: Callable[[], T]) -> T:
    """Call in another thread when this is the main one: Ctrl-C does not reach it inside obstore."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    return result_of(start_thread(call, name="opens2v-read"))


def backoff(number: int, options: HttpOptions) -> float:
    """Return how long to wait before repetition `number`, counted from 0."""
    return min(options.max_backoff_seconds, options.backoff_seconds * 2**number) * random.uniform(0.5, 1.5)


# -- the fast way ----------------------------------------------------------------------------------------------------

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


def _read_fast(address: Address, start: int, length: int, *, as_buffer: bool) -> Buffer | None:
    """Return the bytes, or None when they did not come; obstore's messages hold the address, so none goes further."""
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

    try:
        store = address.store
        if store is None:
            return None
        answer = store.get("", options={"range": (start, start + length)})
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


# -- by the standard library, which logs nothing ----------------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


class _SameHostRedirect(urllib.request.HTTPRedirectHandler):
    """Take the token along on the same scheme, host and port, and nowhere else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        found = super().redirect_request(req, fp, code, msg, headers, newurl)
        if found is not None and origin_of(newurl) == origin_of(req.full_url):
            for name, value in req.unredirected_hdrs.items():
                if name.lower() == "authorization":
                    found.add_unredirected_header(name, value)
        return found


def origin_of(url: str) -> tuple[str, str]:
    """Return scheme and host with port."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


@cache
def _opener(*, follows: bool) -> urllib.request.OpenerDirector:
    handlers: list[Any] = [_SameHostRedirect() if follows else _NoRedirect()]
    if "SSL_CERT_FILE" not in os.environ:
        # The certificates that huggingface_hub trusts; a slim container has none of its own.
        with suppress(ImportError):
            import ssl

            import certifi

            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=certifi.where())))
    return urllib.request.build_opener(*handlers)


def head(url: str, headers: Mapping[str, str], *, label: str, timeout_seconds: float) -> tuple[int, Any]:
    """Return status and headers of what a server answers to HEAD; a redirect is an answer.

    HTTP clients that log at level DEBUG would log where it leads, which may be a signed address.

    Raises:
        RemoteError: it does not answer.
    """
    request = urllib.request.Request(url, headers=dict(headers), method="HEAD")
    try:
        with _opener(follows=False).open(request, timeout=timeout_seconds) as answer:
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, error.headers
    except (OSError, http.client.HTTPException) as error:
        raise _failed(label, error) from None


def _failed(where: str, error: Exception) -> RemoteError:
    # Only what the system says: other texts may hold the address.
    reason = getattr(error, "reason", error)
    text = f": {reason.strerror}" if isinstance(reason, OSError) and reason.strerror else ""
    name = type(reason if isinstance(reason, Exception) else error).__name__
    return RemoteError(f"{where}: the connection failed ({name}{text})", is_retryable=True)


def _read_carefully(address: Address, start: int, length: int, label: str, options: HttpOptions) -> bytes:
    where = f"{label}, bytes {start} to {start + length}"
    give_up_at = time.monotonic() + options.timeout_seconds + length / SLOWEST_BYTES_PER_SECOND
    return _get(address, start, length, where, options, lambda answer: _body(answer, start, length, where, give_up_at))


def _ask_size(address: Address, label: str, options: HttpOptions) -> int:
    def total(answer: Any) -> int:
        text = answer.headers.get("Content-Range", "").rpartition("/")[2] if answer.status == 206 else ""
        text = text or answer.headers.get("Content-Length") or ""
        if not text.isdigit():
            raise RemoteError(f"{label}: the server does not say how long it is", status=answer.status)
        return int(text)

    try:
        return _get(address, 0, 1, label, options, total)
    except ShortReadError:
        return 0  # an empty file has no first byte


def _get(address: Address, start: int, length: int, where: str, options: HttpOptions, use: Callable[[Any], T]) -> T:
    request = urllib.request.Request(address.url, headers={"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"})
    for name, value in address.headers.items():
        request.add_unredirected_header(name, value)
    request.add_header("Range", f"bytes={start}-{start + length - 1}")
    try:
        with _opener(follows=True).open(request, timeout=options.timeout_seconds) as answer:
            return use(answer)
    except urllib.error.HTTPError as error:
        status, wait = error.code, retry_after_seconds(error.headers)
        error.close()
    except (OSError, http.client.HTTPException) as error:
        raise _failed(where, error) from None
    if status in (401, 403):
        raise AddressRefusedError(status)
    if status == 404:
        raise MissingPieceError(f"{where}: the server has no such file; check the address and the revision")
    if status == 416:
        raise ShortReadError(
            f"{where}: the file at the server ends before; the upload has changed, or the index is not of it"
        )
    raise RemoteError(
        f"{where}: the server answered {status}",
        status=status,
        is_retryable=status in _RETRIED,
        retry_after_seconds=wait,
    )


def _body(answer: Any, start: int, length: int, where: str, give_up_at: float) -> bytes:
    skip = 0
    if answer.status == 206:
        given = answer.headers.get("Content-Range", "")
        if not given.startswith(f"bytes {start}-"):
            raise RemoteError(
                f"{where}: asked for these, the server sent {given or 'others'!r}", status=206, is_retryable=True
            )
    else:
        # The whole file, by a server or proxy that does not know ranges.
        skip = start
        if start + length > MAX_WASTE_BYTES:
            raise RemoteError(
                f"{where}: the server ignores byte ranges (status {answer.status})",
                status=answer.status,
                is_retryable=True,
            )
    data = _read_until(answer, skip + length, where, give_up_at + skip / SLOWEST_BYTES_PER_SECOND)[skip:]
    if len(data) != length:
        raise RemoteError(
            f"{where}: {len(data)} bytes came, expected {length}", status=answer.status, is_retryable=True
        )
    return data


def _read_until(answer: Any, length: int, where: str, give_up_at: float) -> bytes:
    """Return up to `length` bytes of a body; a server that sends now and then a byte keeps no socket's timeout from passing."""
    chunks: list[bytes] = []
    missing = length
    while missing:
        chunk = answer.read1(min(missing, _CHUNK_BYTES))
        if not chunk:
            break
        chunks.append(chunk)
        missing -= len(chunk)
        if missing and time.monotonic() >= give_up_at:
            raise RemoteError(
                f"{where}: {length - missing} of {length} bytes came in the time there is, slower than "
                f"{SLOWEST_BYTES_PER_SECOND} bytes a second",
                is_retryable=True,
            )
    return b"".join(chunks)


def retry_after_seconds(headers: Any) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait: a number, or a date."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isdigit():
        return float(text)
    if not text:
        return None
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
