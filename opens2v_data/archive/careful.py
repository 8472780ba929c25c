"""One byte range by the standard library, which logs nothing: redirects, servers that know no ranges, odd answers.

Every request has a connection of its own. Status, Content-Range and length are looked at one by one.
"""

from __future__ import annotations

import http.client
import io
import os
import re
import time
import urllib.error
import urllib.request
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from opens2v_data.archive.answers import connection_failed, cut_short, refusal, too_slow
from opens2v_data.archive.http_options import SLOWEST_BYTES_PER_SECOND, USER_AGENT
from opens2v_data.errors import RemoteError, ShortReadError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

T = TypeVar("T")

MAX_WASTE_BYTES = 32 << 20
"""A server that ignores ranges sends a file from its start: up to here that is read and cut, beyond it refused."""

_CHUNK_BYTES = 1 << 18
_SIZE = re.compile(r"[0-9]{1,18}")


def read_carefully(
    url: str, start: int, length: int, *, headers: Mapping[str, str], where: str, timeout_seconds: float
) -> bytes:
    """Return exactly `length` bytes from `start`.

    Args:
        url: where.
        start, length: the range.
        headers: sent to that server only; the token goes along a redirect on the same scheme, host and port.
        where: what the range is called in messages.
        timeout_seconds: for the answer's headers, from connecting on; the body has a second more for each 64 KiB.

    Raises:
        AddressRefusedError, MissingPieceError, ShortReadError, RemoteError: as `read_address` of `archive/http.py`.
    """
    give_up_at = time.monotonic() + timeout_seconds + length / SLOWEST_BYTES_PER_SECOND

    def body(answer: Any) -> bytes:
        return _body(answer, start, length, where, give_up_at)

    return _get(url, start, length, headers, where, timeout_seconds, body)


def ask_size(url: str, *, headers: Mapping[str, str], label: str, timeout_seconds: float) -> int:
    """Return how long a file is, from the answer to one byte of it: that also shows whether the server knows ranges.

    Raises:
        AddressRefusedError, MissingPieceError, RemoteError: as `read_carefully`.
    """

    def total(answer: Any) -> int:
        text = answer.headers.get("Content-Range", "").rpartition("/")[2] if answer.status == 206 else ""
        text = text or answer.headers.get("Content-Length") or ""
        if not _SIZE.fullmatch(text):
            raise RemoteError(f"{label}: the server does not say how long it is", status=answer.status)
        return int(text)

    try:
        return _get(url, 0, 1, headers, label, timeout_seconds, total)
    except ShortReadError:
        return 0  # an empty file has no first byte


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
        raise connection_failed(label, error) from None


def origin_of(url: str) -> tuple[str, str]:
    """Return scheme and host with port."""
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _get(
    url: str,
    start: int,
    length: int,
    headers: Mapping[str, str],
    where: str,
    timeout_seconds: float,
    use: Callable[[Any], T],
) -> T:
    request = urllib.request.Request(url, headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"})
    for name, value in headers.items():
        request.add_unredirected_header(name, value)
    request.add_header("Range", f"bytes={start}-{start + length - 1}")
    try:
        with _opener(follows=True).open(request, timeout=timeout_seconds) as answer:
            return use(answer)
    except urllib.error.HTTPError as error:
        refused = refusal(where, error.code, error.headers)
        error.close()
    except (OSError, http.client.HTTPException) as error:
        raise connection_failed(where, error) from None
    raise refused


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
        raise cut_short(where, len(data), length, answer.status)
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
            raise too_slow(where, length - missing, length)
    return b"".join(chunks)


# -- what urllib does not do by itself -------------------------------------------------------------------------------


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


class _HeadReader(io.RawIOBase):
    """A socket's bytes, of which those of the headers have one timeout for all: else each that comes begins it anew."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self._raw = sock, sock.makefile("rb", buffering=0)
        self._timeout = sock.gettimeout()
        self._until = None if self._timeout is None else time.monotonic() + self._timeout

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        if self._until is not None:
            left = self._until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def head_is_read(self) -> None:
        """Give each read the whole timeout again."""
        if self._until is not None:
            self._until = None
            self._sock.settimeout(self._timeout)

    def close(self) -> None:
        if not self.closed:
            self.head_is_read()  # a proxy's answer to CONNECT, after which the socket goes on
            self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self._reader = _HeadReader(sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        super().begin()
        self._reader.head_is_read()


class _Connection(http.client.HTTPConnection):
    response_class = _Answer


class _TlsConnection(http.client.HTTPSConnection):
    response_class = _Answer


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_Connection, req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(context=context)
        self._trust = context

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(_TlsConnection, req, context=self._trust)


@cache
def _opener(*, follows: bool) -> urllib.request.OpenerDirector:
    context: ssl.SSLContext | None = None
    if "SSL_CERT_FILE" not in os.environ:
        # The certificates that huggingface_hub trusts; a slim container has none of its own.
        with suppress(ImportError):
            import ssl

            import certifi

            context = ssl.create_default_context(cafile=certifi.where())
    redirects = _SameHostRedirect() if follows else _NoRedirect()
    return urllib.request.build_opener(redirects, _Http(), _Https(context))
