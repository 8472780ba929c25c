"""A server that answers what a test says, byte by byte, and counts connections and requests."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

Step = bytes | float | Literal["close", "reset"]
"""Bytes to send, seconds to wait, or an end of the connection."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request.

    Attributes:
        target: path and query.
        headers: by lower-case names.
        connection: its number, from 0 on.
        start, stop: the half-open range asked for.
    """

    target: str
    headers: dict[str, str]
    connection: int
    start: int
    stop: int


def data_at(start: int, stop: int) -> bytes:
    """Return the bytes that every file has there."""
    return bytes(number * 7 % 251 for number in range(start, stop))


def answer_to(
    asked: Asked,
    *,
    status: str = "206 Partial Content",
    fields: Iterable[str] = (),
    body: bytes | None = None,
    shown: str | None = None,
    length: int | None = None,
) -> bytes:
    """Return a whole answer; what is not given is as it should be."""
    body = data_at(asked.start, asked.stop) if body is None else body
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Range: {shown or f'bytes {asked.start}-{asked.stop - 1}/100000'}",
        f"Content-Length: {len(body) if length is None else length}",
        *fields,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class RawServer:
    """Answers each request by the steps that `script` gives.

    Attributes:
        script: what to do about a request; every file is right unless it is set.
        asked: requests so far.
        num_connections: accepted so far.
        ended: numbers of those that are over, as far as this server is concerned.
    """

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._door = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._open: list[socket.socket] = []
        self.port: int = self._door.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{self.port}/a?Signature=SECRET"
        self.start_anew()
        threading.Thread(target=self._accept, daemon=True).start()

    def start_anew(self) -> None:
        """Forget what was asked, and answer everything as it should be."""
        self.script: Callable[[Asked], Iterable[Step]] = lambda asked: [answer_to(asked)]
        self.asked: list[Asked] = []
        self.num_connections = 0
        self.ended: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._door.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._open.append(sock)
            number, self.num_connections = self.num_connections, self.num_connections + 1
            threading.Thread(target=self._serve, args=(sock, number, self.ended), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int, ended: set[int]) -> None:
        try:
            with sock, sock.makefile("rb") as lines:
                while first := lines.readline():
                    headers = {}
                    while (line := lines.readline().decode("latin-1").strip()) != "":
                        name, _, value = line.partition(":")
                        headers[name.lower()] = value.strip()
                    start, _, last = headers.get("range", "bytes=0-0").removeprefix("bytes=").partition("-")
                    asked = Asked(
                        target=first.split()[1].decode(),
                        headers=headers,
                        connection=number,
                        start=int(start),
                        stop=int(last) + 1,
                    )
                    self.asked.append(asked)
                    for step in self.script(asked):
                        if step == "reset":
                            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        if isinstance(step, str):
                            return
                        if isinstance(step, bytes):
                            sock.sendall(step)
                        else:
                            time.sleep(step)
        except OSError:
            pass  # the client has hung up
        finally:
            ended.add(number)
