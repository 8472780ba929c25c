"""HTTP/1.1 on a non-blocking socket: requests in, responses out, files by sendfile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from localhub.faults import Fate

MAX_HEAD_BYTES = 65536
# One sendfile call at most, so that a client that reads as fast as we write cannot keep the loop for itself.
SEND_STEP_BYTES = 4 << 20
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(kw_only=True)
class Request:
    """A request whose body is still on the wire.

    Args:
        method: GET, HEAD, POST, PUT.
        path: as sent, still quoted, without the query.
        query: parameters by name.
        headers: by lower-case name.
        body: the body's chunks, to be read once.
    """

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: AsyncIterator[bytes]

    @property
    def segments(self) -> list[str]:
        """The path's components, each unquoted by itself: a quoted `refs%2Fpr%2F1` stays one."""
        return [unquote(segment) for segment in self.path.strip("/").split("/")]

    async def read(self) -> bytes:
        """Return the whole body."""
        return b"".join([chunk async for chunk in self.body])

    async def read_json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(await self.read() or b"null")


@dataclass(frozen=True, kw_only=True)
class FileBody:
    """A part of a file on disk."""

    path: Path
    start: int
    length: int


@dataclass(kw_only=True)
class Response:
    """An answer; its Content-Length is that of the body."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | FileBody = b""

    @property
    def num_body_bytes(self) -> int:
        """Length of the body in bytes."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.length

    @classmethod
    def of_json(cls, value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
        """Return a JSON answer."""
        headers = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        return cls(status=status, headers=headers, body=json.dumps(value).encode())


class Refusal(Exception):
    """An answer that is not what was asked for, shaped so that huggingface_hub raises the right class.

    Args:
        status: HTTP status.
        message: goes into the body and `X-Error-Message`.
        code: goes into `X-Error-Code`, which huggingface_hub chooses the class by.
        headers: further headers.
    """

    def __init__(
        self, status: int, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message, **({"X-Error-Code": code} if code else {}), **(headers or {})}
        self.response = Response.of_json({"error": message}, status=status, headers=headers)


def parse_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return the half-open span of bytes that a Range header asks of a file.

    Several ranges, and what is not a range, are ignored, as RFC 9110 allows.

    Args:
        header: value of the Range header.
        size_bytes: the file's size.

    Returns:
        `(start, end)`, or None when the whole file is to be sent.

    Raises:
        ValueError: no byte of the file is in the range (416).
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if not match or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(int(last) + 1 if last else size_bytes, size_bytes)
        if last and int(last) < start:
            return None
    if start >= end:
        raise ValueError(f"no byte of {size_bytes} is in {header}")
    return start, end


class Connection:
    """One client's connection.

    Args:
        sock: non-blocking.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._free_at = 0.0

    async def read_request(self) -> Request | None:
        """Return the next request, or None when the client has hung up.

        Raises:
            ValueError: it is not HTTP/1.
        """
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise ValueError(f"request head exceeds {MAX_HEAD_BYTES} bytes")
            if not await self._fill():
                return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        method, target, version = first.split(" ")
        if not version.startswith("HTTP/1."):
            raise ValueError(f"expected HTTP/1, found {version!r}")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        path, _, query = target.partition("?")
        return Request(
            method=method,
            path=path,
            query=parse_qs(query, keep_blank_values=True),
            headers=headers,
            body=self._body(headers),
        )

    async def send(self, response: Response, *, head_only: bool, fate: Fate, sent: Callable[[int], None]) -> bool:
        """Send a response.

        Args:
            response: what to send.
            head_only: leave the body out (HEAD).
            fate: whether and where to cut it, and at what pace to send.
            sent: told of each number of body bytes handed to the socket.

        Returns:
            Whether the connection can go on; False when it was cut.
        """
        length = 0 if head_only else response.num_body_bytes
        if fate.cut is not None and not length:
            return False
        allowed = length if fate.cut is None else int(fate.cut * length)
        head = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}", f"Date: {formatdate(usegmt=True)}"]
        head += [f"{name}: {value}" for name, value in response.headers.items()]
        if response.status != 304:
            head.append(f"Content-Length: {response.num_body_bytes}")
        data = ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")
        if isinstance(response.body, bytes):
            sent(allowed)
            await self._loop.sock_sendall(self._sock, data + response.body[:allowed])
        else:
            await self._loop.sock_sendall(self._sock, data)
            await self._send_file(response.body, allowed, fate.bandwidth_bytes_per_second, sent)
        return fate.cut is None

    async def _send_file(
        self, body: FileBody, length: int, bandwidth: float | None, sent: Callable[[int], None]
    ) -> None:
        if not length:
            return
        step = SEND_STEP_BYTES if bandwidth is None else max(4096, int(bandwidth / 50))
        file = os.open(body.path, os.O_RDONLY)
        try:
            offset, end = body.start, body.start + length
            while offset < end:
                wanted = min(step, end - offset)
                if bandwidth is not None:
                    # bytes arrive after the time they take on the line, the last ones too
                    self._free_at = max(self._free_at, time.monotonic()) + wanted / bandwidth
                    await asyncio.sleep(self._free_at - time.monotonic())
                count = self._send_some(file, body.path, offset, wanted)
                offset += count
                sent(count)  # before the loop turns, so that who has read the last byte finds it counted
                if bandwidth is not None:
                    self._free_at -= (wanted - count) / bandwidth
                await (asyncio.sleep(0) if count else self._wait_until_writable())
        finally:
            os.close(file)

    def _send_some(self, file: int, path: Path, offset: int, length: int) -> int:
        try:
            count = os.sendfile(self._sock.fileno(), file, offset, length)
        except BlockingIOError:
            return 0
        if not count:
            raise ConnectionError(f"{path} ended at byte {offset}, {length} or more short")
        return count

    async def _wait_until_writable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_writer(self._sock, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            self._loop.remove_writer(self._sock)

    async def _fill(self) -> bool:
        chunk = await self._loop.sock_recv(self._sock, 1 << 18)
        self._buffer += chunk
        return bool(chunk)

    async def _take(self, most: int) -> bytes:
        if not self._buffer and not await self._fill():
            raise ConnectionError("the client hung up inside a body")
        chunk = bytes(self._buffer[:most])
        del self._buffer[: len(chunk)]
        return chunk

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            if not await self._fill():
                raise ConnectionError("the client hung up inside a body")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        return line

    async def _body(self, headers: dict[str, str]) -> AsyncIterator[bytes]:
        if headers.get("expect", "").lower() == "100-continue":
            await self._loop.sock_sendall(self._sock, b"HTTP/1.1 100 Continue\r\n\r\n")
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while missing := int((await self._line()).split(b";")[0], 16):
                while missing:
                    chunk = await self._take(missing)
                    missing -= len(chunk)
                    yield chunk
                await self._line()
            while await self._line():  # trailers
                pass
            return
        missing = int(headers.get("content-length", "0"))
        while missing:
            chunk = await self._take(missing)
            missing -= len(chunk)
            yield chunk
