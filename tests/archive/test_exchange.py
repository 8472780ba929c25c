from __future__ import annotations

import socket
import time
from email.message import Message
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.rawserver import data_at
from opens2v_data.archive.answers import retry_after_seconds
from opens2v_data.archive.exchange import (
    MAX_HEAD_BYTES,
    Answer,
    GoneError,
    OddAnswerError,
    Target,
    UnsuitableError,
    ask,
    read_body,
)
from opens2v_data.errors import RemoteError


class Cut:
    """A socket whose bytes come in given chunks, with waits that the kernel ends between them."""

    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = [chunk for chunk in chunks if chunk]
        self._has_waited = False
        self.sent = b""

    def send(self, data: memoryview) -> int:
        self.sent += bytes(data[:50])
        return min(50, len(data))

    def recv(self, length: int) -> bytes:
        self._has_waited = not self._has_waited
        if self._has_waited:
            raise BlockingIOError
        if not self._chunks:
            return b""
        chunk = self._chunks.pop(0)
        if len(chunk) > length:
            self._chunks.insert(0, chunk[length:])
        return chunk[:length]

    def recv_into(self, buffer: Any, length: int, flags: int) -> int:
        assert flags == socket.MSG_WAITALL
        chunk = self.recv(length)
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def close(self) -> None:
        pass


def read(chunks: list[bytes], start: int, length: int) -> bytes | None:
    sock: Any = Cut(chunks)
    until = time.monotonic() + 60
    request = Target.of("http://h/a").request(start, start + length - 1)
    answer = ask(sock, request, until)
    assert sock.sent == request
    return read_body(sock, answer, length, where="a", until=until) if answer.is_the_range(start, length) else None


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:stop] for start, stop in pairwise(edges)]


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, int, int]:
    """An answer as servers may write it, with the range that it answers."""
    start, length = draw(st.integers(0, 5_000)), draw(st.integers(1, 20_000))
    end_of_line = draw(st.sampled_from([b"\r\n", b"\n"]))
    fields = [
        ("Content-Length", str(length)),
        ("Content-Range", f"bytes {start}-{start + length - 1}/{draw(st.sampled_from(['*', '1', '999999']))}"),
        *draw(st.lists(st.sampled_from([("ETag", '"x:y"'), ("Server", "é \t ü"), ("X", ""), ("Via", "a, b")]))),
    ]
    blank = st.sampled_from(["", " ", "\t ", "   "])
    spelt = st.sampled_from([str.lower, str.upper, str.title, str])
    lines = [f"{draw(spelt)(name)}:{draw(blank)}{value}{draw(blank)}" for name, value in draw(st.permutations(fields))]
    interim = b"".join(
        end_of_line.join([b"HTTP/1.1 " + first, b"Link: </a>", b"", b""])
        for first in draw(st.lists(st.sampled_from([b"100 Continue", b"102", b"103 Early Hints"]), max_size=2))
    )
    status = draw(st.sampled_from(["HTTP/1.1 206 Partial Content", "HTTP/1.1 206", "HTTP/1.1 206 ", "HTTP/1.0 206 é"]))
    head = end_of_line.join([line.encode("latin-1") for line in [status, *lines]] + [b"", b""])
    return interim + head + data_at(start, start + length), start, length


@settings(max_examples=80, deadline=None)
@given(answers(), st.lists(st.integers(0, 30_000), max_size=12))
def test_an_answer_is_read_however_it_is_written_and_cut(answer: tuple[bytes, int, int], places: list[int]) -> None:
    data, start, length = answer
    assert read(cut_at(data, places), start, length) == data_at(start, start + length)


def test_an_answer_may_be_cut_at_any_byte() -> None:
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 OK\r\nContent-Range: bytes 3-12/99\r\ncontent-length:10\r\n\r\n"
    data += data_at(3, 13)
    for place in range(len(data)):
        assert read([data[:place], data[place:]], 3, 10) == data_at(3, 13)
        with pytest.raises((GoneError, ConnectionResetError, RemoteError), match=r"connection ended|expected 10"):
            read([data[:place]], 3, 10)
    assert read([data[at : at + 1] for at in range(len(data))], 3, 10) == data_at(3, 13)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 206\r\n\r\n",
        b"http/1.1 206 OK\r\n\r\n",
        b"HTTP/1.1 2060 OK\r\n\r\n",
        b"\r\n\r\n",
        b"<html>no such page</html>\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 206 OK\r\nContent-Length : 10\r\n\r\n",
        b"HTTP/1.1 206 OK\r\nContent-Length: 10\r\n  folded\r\n\r\n",
        b"HTTP/1.1 206 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 206 OK\r\nX: a\rContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 206 OK\r\nX: \0\r\n\r\n",
        b"HTTP/1.1 206 OK\r\n" + b"X: a\r\n" * (MAX_HEAD_BYTES // 6),
        b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEAD_BYTES // 25) + b"HTTP/1.1 100 Continue\r\n",
        b"H" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_no_answer_is_said_to_be_odd(head: bytes) -> None:
    with pytest.raises(OddAnswerError, match=r"status line|no header|no end|another protocol"):
        read([head], 0, 10)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["Content-Range: bytes 0-9/99"],
        ["Content-Length: 10"],
        ["Content-Range: bytes 0-8/99", "Content-Length: 9"],
        ["Content-Range: bytes 1-10/99", "Content-Length: 10"],
        ["Content-Range: bytes 00-9/99", "Content-Length: 10"],
        ["Content-Range: bytes 0-9", "Content-Length: 10"],
        ["Content-Range: bytes 0-9/99", "Content-Length: 9"],
        ["Content-Range: bytes 0-9/99", "Content-Length: 10", "Content-Length: 10"],
        ["Content-Range: bytes 0-9/99", "Content-Length: 10, 9"],
        [f"Content-Range: bytes 0-{'9' * 5_000}/99", "Content-Length: 10"],
        ["Content-Range: bytes 0-9/99", "Content-Length: 10", "Transfer-Encoding: chunked"],
        ["Content-Range: bytes 0-9/99", "Content-Length: 10", "Content-Encoding: gzip"],
    ],
)
def test_what_is_not_exactly_the_range_is_not_taken_for_it(fields: list[str]) -> None:
    for status in ("206 Partial Content", "200 OK"):
        head = "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()
        assert not Answer(head, memoryview(b"")).is_the_range(0, 10)


@pytest.mark.parametrize(
    ("head", "stays_open"),
    [
        (b"HTTP/1.1 206 OK\r\n\r\n", True),
        (b"HTTP/1.1 206 OK\r\nConnection: keep-alive\r\n\r\n", True),
        (b"HTTP/1.1 206 OK\r\nConnection: Upgrade, Close\r\n\r\n", False),
        (b"HTTP/1.0 206 OK\r\n\r\n", False),
    ],
)
def test_whether_a_connection_stays_open_is_read_from_the_headers(head: bytes, stays_open: bool) -> None:
    assert Answer(head, memoryview(b"")).stays_open is stays_open


@pytest.mark.parametrize(
    ("url", "host", "port", "netloc", "path"),
    [
        ("http://Example.org", "example.org", 80, "example.org", "/"),
        ("http://example.org:80/a%20b?x=1&y=%2F#part", "example.org", 80, "example.org", "/a%20b?x=1&y=%2F"),
        ("http://[::1]:8080/a", "::1", 8080, "[::1]:8080", "/a"),
        (
            "HTTP://bücher.example/ä?".replace("ä", "%C3%A4"),
            "xn--bcher-kva.example",
            80,
            "xn--bcher-kva.example",
            "/%C3%A4",
        ),
    ],
)
def test_an_address_is_taken_apart(url: str, host: str, port: int, netloc: str, path: str) -> None:
    target = Target.of(url)
    assert (target.host, target.port, target.netloc, target.path) == (host, port, netloc, path)
    assert f"Host: {netloc}\r\n".encode() in target.request(0, 9)
    assert repr(target) == object.__repr__(target)


@pytest.mark.parametrize(
    "url",
    [
        "https://h/a",
        "http:///a",
        "http://h:x/a",
        "http://h:99999/a",
        "http://user:password@h/a",
        "http://h/o b",
        "http://h/a?é",
        "http://[h/a",
        f"http://{'ü' * 70}.example/a",
        "/a",
    ],
)
def test_an_address_of_another_kind_is_left_to_others(url: str) -> None:
    with pytest.raises(UnsuitableError, match="the address"):
        Target.of(url)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("3", 3.0), (" 7 ", 7.0), ("", None), ("²", None), ("soon", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_a_wait_that_a_server_asks_for_is_a_number_or_a_date(text: str, seconds: float | None) -> None:
    headers = Message()
    headers["retry-after"] = text
    assert retry_after_seconds(headers) == seconds
    head = f"HTTP/1.1 429 Too Many\r\nRETRY-AFTER: {text}\r\n\r\n".encode("latin-1")
    assert retry_after_seconds(Answer(head, memoryview(b""))) == seconds
