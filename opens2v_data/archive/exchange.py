"""One request for a byte range and its answer, on a socket.

    ours      GET …, Range: bytes=a-b
    theirs    status line, headers, blank line │ body
              one deadline for all of these    │ read straight into the `bytes` that are returned, in one call where it can be

Headers are read strictly: what one reader takes for two lines another takes for one. Who gets an odd answer asks anew by a client
that knows more.
"""

from __future__ import annotations

import io
import re
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from opens2v_data.archive.answers import connection_failed, cut_short, too_slow
from opens2v_data.archive.http_options import USER_AGENT
from opens2v_data.waiting import WAKE_SECONDS

MAX_HEAD_BYTES = 1 << 16
"""Of an answer's status lines and headers; what is longer is no answer."""

_FIRST_BYTES = 4096  # asked for at first: a head, and little of the body, as that is copied
_HEAD_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: .*)?")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = re.compile(r"[!-~]+")
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/(?:[0-9]+|\*)")
_WAKE = struct.pack("@ll", 0, int(WAKE_SECONDS * 1e6))  # a timeval


class UnsuitableError(Exception):
    """An address that cannot be read this way, now or later: it redirects, say, or codes bodies. Read it otherwise."""


class GoneError(Exception):
    """The connection ended before anything of an answer came."""


class LateError(Exception):
    """The time for it is over."""


class OddAnswerError(Exception):
    """Not an answer as HTTP/1 has them."""


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Target:
    """An address as connections and requests have it.

    Attributes:
        host, port: what to connect to.
        netloc: what the server is called: the host, and the port where it is not 80.
        path: with the query, which may be a signature.
    """

    host: str
    port: int
    netloc: str
    path: str

    @classmethod
    def of(cls, url: str) -> Target:
        """Read an address.

        Raises:
            UnsuitableError: it is not http://HOST[:PORT]/PATH[?QUERY], all quoted.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
            if not host.isascii():
                host = host.encode("idna").decode("ascii")
        except ValueError:  # UnicodeError is one
            raise UnsuitableError("the address has no such host") from None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        is_visible = _VISIBLE.fullmatch(host) and _VISIBLE.fullmatch(path)
        if parts.scheme != "http" or not is_visible or "@" in parts.netloc:
            raise UnsuitableError("the address is not a plain http:// one")
        name = f"[{host}]" if ":" in host else host
        netloc = name if port in (None, 80) else f"{name}:{port}"
        return cls(host=host, port=80 if port is None else port, netloc=netloc, path=path)

    def request(self, first: int, last: int) -> bytes:
        """Return a request for the bytes from `first` to `last`, both included."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: {self.netloc}\r\nUser-Agent: {USER_AGENT}\r\nAccept: */*\r\n"
            f"Accept-Encoding: identity\r\nRange: bytes={first}-{last}\r\n\r\n"
        ).encode("ascii")


def connect(target: Target, until: float) -> socket.socket:
    """Return a new connection.

    Raises:
        LateError, OSError: there is none.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise LateError("the time is over")
    sock = socket.create_connection((target.host, target.port), timeout=left)
    try:
        # From here on the kernel ends each wait after a moment, to look at the deadline. With a timeout of Python's there would
        # be a poll before each read, and MSG_WAITALL would not wait; as it does, a body takes a few calls, each of which takes
        # the interpreter's lock.
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for which in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            sock.setsockopt(socket.SOL_SOCKET, which, _WAKE)
    except BaseException:
        sock.close()
        raise
    return sock


def is_quiet(sock: socket.socket) -> bool:
    """Say whether the server has neither closed an unused connection nor sent what nobody asked for."""
    try:
        sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class Answer:
    """An answer's head.

    Attributes:
        status: of it.
        rest: what has come of its body.
        stays_open: whether the connection can be used again.
    """

    def __init__(self, head: bytes, rest: memoryview) -> None:
        first, *lines = head.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
        status = _STATUS_LINE.fullmatch(first)
        if status is None:
            raise OddAnswerError("no status line of HTTP/1")
        self.status, self.rest = int(status[2]), rest
        self._fields: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not _NAME.fullmatch(name) or b"\r" in value or b"\0" in value:
                raise OddAnswerError("a line that is no header")
            key, text = name.decode("ascii").lower(), value.strip(b" \t").decode("latin-1")
            self._fields[key] = f"{self._fields[key]}, {text}" if key in self._fields else text
        tokens = [token.strip().lower() for token in self._fields.get("connection", "").split(",")]
        self.stays_open = status[1] == b"1" and "close" not in tokens

    def get(self, name: str, /) -> str | None:
        """Return a header, by its name in any case."""
        return self._fields.get(name.lower())

    @property
    def has_plain_body(self) -> bool:
        """Whether its body is the bytes themselves, with their length before them."""
        return "content-length" in self._fields and not {"transfer-encoding", "content-encoding"} & self._fields.keys()

    def is_the_range(self, start: int, length: int) -> bool:
        """Say whether its body is exactly these bytes."""
        given = _RANGE.fullmatch(self.get("Content-Range") or "")
        return (
            self.status == 206
            and self.has_plain_body
            and self.get("Content-Length") == str(length)
            and given is not None
            and given.groups() == (str(start), str(start + length - 1))
        )


def ask(sock: socket.socket, request: bytes, until: float) -> Answer:
    """Send a request and read the head of its answer; where that fails the socket is closed.

    Raises:
        GoneError: the connection ended before.
        LateError: it did not come in time.
        OddAnswerError: something else came.
        OSError: the connection broke.
    """
    try:
        _send(sock, request, until)
        return _read_head(sock, until)
    except BaseException:
        sock.close()
        raise


def _send(sock: socket.socket, request: bytes, until: float) -> None:
    left = memoryview(request)
    while left:
        _check(until)
        try:
            left = left[sock.send(left) :]
        except BlockingIOError:
            continue
        except ConnectionError:
            raise GoneError("the connection ended before an answer") from None


def _read_head(sock: socket.socket, until: float) -> Answer:
    got = b""
    num_before = num_searched = 0  # bytes of interim answers; bytes that hold no end
    while True:
        end = _HEAD_END.search(got, max(0, num_searched - 2))
        if end is None:
            num_searched = len(got)
            if num_before + len(got) > MAX_HEAD_BYTES:
                raise OddAnswerError(f"no end of the headers in {MAX_HEAD_BYTES} bytes")
            got += _receive(sock, until, is_first=not (num_before or got))
            continue
        answer = Answer(got[: end.end()], memoryview(got)[end.end() :])
        if answer.status >= 200:
            return answer
        if answer.status == 101:
            raise OddAnswerError("another protocol, which nobody asked for")
        num_before += end.end()
        num_searched, got = 0, got[end.end() :]


def _receive(sock: socket.socket, until: float, *, is_first: bool) -> bytes:
    while True:
        _check(until)
        try:
            chunk = sock.recv(_FIRST_BYTES)
        except BlockingIOError:
            continue
        except ConnectionError:
            if is_first:
                raise GoneError("the connection ended before an answer") from None
            raise
        if chunk:
            return chunk
        if is_first:
            raise GoneError("the connection ended before an answer")
        raise ConnectionResetError("the connection ended inside the headers")


def _check(until: float) -> None:
    if time.monotonic() >= until:
        raise LateError("the time is over")


def read_body(sock: socket.socket, answer: Answer, length: int, *, where: str, until: float) -> bytes:
    """Return the body of an answer, which has this length.

    Raises:
        RemoteError: it ended early, or did not come in time.
    """
    body = _Body(sock, answer.rest, length, until)
    try:
        data = io.BufferedReader(body, _FIRST_BYTES).read(length)
    except LateError:
        raise too_slow(where, body.num_read, length) from None
    except OSError as error:
        raise connection_failed(f"{where}, {body.num_read} of {length} bytes came", error) from None
    if len(data) != length:
        raise cut_short(where, len(data), length, answer.status)
    return data


class _Body(io.RawIOBase):
    """A body for a `BufferedReader`, which reads a large one straight into the `bytes` that it returns.

    A `bytearray` made into `bytes` is zeroed, filled and copied: 1.10 CPU-s per GB where this takes 0.42.
    """

    def __init__(self, sock: socket.socket, rest: memoryview, length: int, until: float) -> None:
        self._sock, self._rest, self._length, self._until = sock, rest, length, until
        self.num_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        length = min(len(buffer), self._length - self.num_read)
        if length and self._rest:
            length = min(length, len(self._rest))
            buffer[:length] = self._rest[:length]
            self._rest = self._rest[length:]
        elif length:
            length = self._receive(buffer, length)
        self.num_read += length
        return length

    def _receive(self, buffer: Any, length: int) -> int:
        while True:
            _check(self._until)
            with suppress(BlockingIOError):
                return self._sock.recv_into(buffer, length, socket.MSG_WAITALL)
