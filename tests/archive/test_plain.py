from __future__ import annotations

import logging
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from archive.fetched import wait_until
from archive.rawserver import Asked, RawServer, Step, answer_to, data_at
from localhub import Faults, LocalHub
from opens2v_data.archive import careful, http, plain
from opens2v_data.archive.answers import AddressRefusedError
from opens2v_data.archive.exchange import UnsuitableError
from opens2v_data.archive.http import Address, read_address
from opens2v_data.archive.http_options import Counters, HttpOptions
from opens2v_data.archive.httpstore import HttpStore
from opens2v_data.archive.plain import Connections
from opens2v_data.archive.remote import HubStore
from opens2v_data.errors import ArchiveError, MissingPieceError, RemoteError, ShortReadError

FAST = HttpOptions(backoff_seconds=0.01, timeout_seconds=10)


@pytest.fixture(scope="module")
def running() -> Iterator[RawServer]:
    with RawServer() as server:
        yield server


@pytest.fixture
def server(running: RawServer) -> RawServer:
    running.start_anew()
    return running


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


def read(
    connections: Connections, server: RawServer, start: int, length: int, *, timeout: float = 10.0
) -> bytes | None:
    return connections.read(server.url, start, length, where="a file", timeout_seconds=timeout)


def store_of(server: RawServer, **options: Any) -> HttpStore:
    return HttpStore(server.url.partition("/a?")[0], options=FAST, **options)


def first_then(first: Callable[[Asked], list[Step]]) -> Callable[[Asked], list[Step]]:
    """Give the first request another answer than the others, which get what they ask for."""
    seen: list[Asked] = []

    def script(asked: Asked) -> list[Step]:
        seen.append(asked)
        return first(asked) if len(seen) == 1 else [answer_to(asked)]

    return script


# -- connections -------------------------------------------------------------------------------------------------------


def test_ranges_one_after_the_other_share_a_connection(connections: Connections, server: RawServer) -> None:
    for start in range(0, 60, 3):
        assert read(connections, server, start, start + 1) == data_at(start, 2 * start + 1)
    assert server.num_connections == 1
    asked = server.asked[-1]
    assert (asked.target, asked.start, asked.stop) == ("/a?Signature=SECRET", 57, 115)
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert asked.headers["accept-encoding"] == "identity"
    assert not {"authorization", "cookie"} & set(asked.headers)


def test_a_store_has_one_pool_for_all_its_files(server: RawServer) -> None:
    store = store_of(server)
    for name in ("a", "b", "c/d"):
        assert store.read_range(name, 5, 10) == data_at(5, 15)
        buffer = store.read_buffer(name, 5, 10)
        assert isinstance(buffer, memoryview) and buffer.readonly and bytes(buffer) == data_at(5, 15)
    assert server.num_connections == 1
    assert [asked.target for asked in server.asked[::2]] == ["/a", "/b", "/c/d"]
    assert store.counters.num_retries == 0
    store.close()
    assert store.read_range("a", 0, 3) == data_at(0, 3)
    assert server.num_connections == 2


def test_a_large_body_comes_whole(connections: Connections, server: RawServer) -> None:
    data = data_at(0, 251) * 8_000
    server.script = lambda asked: [answer_to(asked, body=data[asked.start : asked.stop])]
    for length in (4_095, 4_096, 4_097, 1_000_000, len(data)):
        got = read(connections, server, 0, length)
        assert type(got) is bytes
        assert got == data[:length]
    assert server.num_connections == 1


def test_threads_have_a_connection_each_and_few_are_kept(
    connections: Connections, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "MAX_IDLE", 2)
    barrier = threading.Barrier(6)

    def script(asked: Asked) -> list[Step]:
        if asked.start < 6:
            barrier.wait()
        return [answer_to(asked)]

    server.script = script
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda start: read(connections, server, start, 9), range(6))) == [
            data_at(start, start + 9) for start in range(6)
        ]
    assert server.num_connections == 6
    assert repr(connections) == "Connections(2 idle)"
    for start in range(10, 14):
        assert read(connections, server, start, 9) == data_at(start, start + 9)
    assert server.num_connections == 6


def test_a_connection_unused_for_too_long_is_not_used_again(
    connections: Connections, server: RawServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "IDLE_SECONDS", -1.0)
    for _ in range(3):
        read(connections, server, 0, 9)
    assert server.num_connections == 3
    assert repr(connections) == "Connections(0 idle)"


def test_closing_holds_for_what_is_in_use_too(connections: Connections, server: RawServer) -> None:
    def script(asked: Asked) -> list[Step]:
        connections.close()
        return [answer_to(asked)]

    server.script = script
    for _ in range(3):
        assert read(connections, server, 0, 9) == data_at(0, 9)
    assert server.num_connections == 3


@pytest.mark.parametrize(
    "ending",
    [
        lambda asked: [answer_to(asked), "close"],
        lambda asked: [answer_to(asked), "reset"],
        lambda asked: [answer_to(asked, fields=["Connection: close"])],
        lambda asked: [answer_to(asked).replace(b"HTTP/1.1", b"HTTP/1.0", 1), "close"],
        lambda asked: [answer_to(asked) + b"more than was asked for"],
        lambda asked: [answer_to(asked), b"HTTP/1.1 408 Request Timeout\r\n\r\n", "close"],
    ],
)
def test_a_connection_that_has_ended_is_replaced_and_nothing_is_tried_again(
    server: RawServer, ending: Callable[[Asked], list[Step]]
) -> None:
    store = store_of(server)
    server.script = ending
    for number in range(3):
        assert store.read_range("a", 0, 9) == data_at(0, 9)
        assert wait_until(lambda number=number: number in server.ended)  # before it is used again
    assert server.num_connections == 3
    assert (store.counters.num_requests, store.counters.num_retries) == (3, 0)


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_ends_as_it_is_used_again_is_replaced(server: RawServer, end: Any) -> None:
    store = store_of(server)
    seen: set[int] = set()

    def script(asked: Asked) -> list[Step]:
        if asked.connection in seen:
            return [end]
        seen.add(asked.connection)
        return [answer_to(asked)]

    server.script = script
    for start in range(4):
        assert store.read_range("a", start, 9) == data_at(start, start + 9)
    assert server.num_connections == 4
    assert len(server.asked) == 7
    assert (store.counters.num_requests, store.counters.num_retries) == (4, 0)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_opens_its_own_and_leaves_the_parents_alone(server: RawServer) -> None:
    program = f"""
import os, sys
from opens2v_data.archive.httpstore import HttpStore
store = HttpStore({server.url.partition("/a?")[0]!r})
def is_right(start):
    return len(store.read_range("a", start, 9)) == 9
good = is_right(0)
child = os.fork()
if child == 0:
    os._exit(0 if is_right(1) and is_right(2) else 1)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code or not (good and is_right(3)))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=200, check=False).returncode == 0
    assert [(asked.connection, asked.start) for asked in server.asked] == [(0, 0), (1, 1), (1, 2), (0, 3)]


def test_a_store_that_is_sent_elsewhere_opens_its_own(server: RawServer) -> None:
    store = store_of(server)
    store.read_range("a", 0, 9)
    again = pickle.loads(pickle.dumps(store))
    assert again.read_range("a", 1, 9) == data_at(1, 10)
    assert store.read_range("a", 2, 9) == data_at(2, 11)
    assert [asked.connection for asked in server.asked] == [0, 1, 0]


def test_hosts_may_have_addresses_of_version_6() -> None:
    try:
        server = RawServer("::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    with server:
        connections = Connections()
        assert connections.read(server.url, 3, 9, where="a file", timeout_seconds=10) == data_at(3, 12)
        assert server.asked[0].headers["host"] == f"[::1]:{server.port}"
        connections.close()


# -- answers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "fields", "kind"),
    [
        ("400 Bad Request", [], RemoteError),
        ("401 Unauthorized", [], AddressRefusedError),
        ("403 Forbidden", [], AddressRefusedError),
        ("404 Not Found", [], MissingPieceError),
        ("408 Request Timeout", ["Connection: close"], RemoteError),
        ("416 Range Not Satisfiable", [], ShortReadError),
        ("429 Too Many Requests", ["Retry-After: 17"], RemoteError),
        ("503 Service Unavailable", ["retry-after: Thu, 01 Jan 1970 00:00:00 GMT"], RemoteError),
        ("500 Oops", ["Retry-After: soon", "Transfer-Encoding: chunked"], RemoteError),
    ],
)
def test_a_refusal_means_the_same_whichever_way_it_came(
    connections: Connections, server: RawServer, status: str, fields: list[str], kind: type[Exception]
) -> None:
    server.script = lambda asked: [answer_to(asked, status=status, fields=fields, body=b"")]
    with pytest.raises(kind, match=r"a file|the server answered") as by_sockets:
        read(connections, server, 5, 10)
    with pytest.raises(kind, match=r"a file|the server answered") as by_urllib:
        careful.read_carefully(server.url, 5, 10, headers={}, where="a file", timeout_seconds=10)
    assert type(by_sockets.value) is type(by_urllib.value)
    assert str(by_sockets.value) == str(by_urllib.value)
    assert vars(by_sockets.value) == vars(by_urllib.value)
    assert repr(connections) == "Connections(0 idle)"


def test_a_wait_that_the_server_asks_for_is_known_from_the_first_answer(server: RawServer) -> None:
    store = store_of(server)
    server.script = first_then(lambda asked: [answer_to(asked, status="429 Slow", fields=["Retry-After: 0"], body=b"")])
    assert store.read_range("a", 0, 9) == data_at(0, 9)
    assert len(server.asked) == 2
    assert store.counters.waiting_until > 0
    server.script = lambda asked: [answer_to(asked, status="503 Later", fields=["Retry-After: 1000"], body=b"")]
    with pytest.raises(RemoteError, match="a, bytes 0 to 9: the server answered 503") as caught:
        store.read_range("a", 0, 9)
    assert caught.value.retry_after_seconds == 1_000
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "odd",
    [
        lambda asked: [answer_to(asked, shown="bytes 6-15/100")],
        lambda asked: [answer_to(asked, body=b"short", shown=f"bytes {asked.start}-{asked.start + 4}/100")],
        lambda asked: [answer_to(asked, status="200 OK", body=data_at(0, 100))],
        lambda asked: [b"SSH-2.0-OpenSSH\r\n\r\n", "close"],
        lambda asked: [answer_to(asked, fields=[" folded"])],
        lambda asked: [b"HTTP/1.1 206 OK\r\n", b"X: " + bytes(70_000).replace(b"\0", b"x")],
        lambda asked: [answer_to(asked, status="204 No Content", body=b"")],
    ],
)
def test_an_odd_answer_is_asked_for_again_the_careful_way(
    server: RawServer, odd: Callable[[Asked], list[Step]]
) -> None:
    store = store_of(server)
    server.script = first_then(odd)
    assert store.read_range("a", 5, 10) == data_at(5, 15)
    assert [asked.headers.get("connection") for asked in server.asked] == [None, "close"]
    assert store._address("a").way == "sockets"
    assert store.read_range("a", 6, 10) == data_at(6, 16)
    assert server.num_connections == 3


@pytest.mark.parametrize(
    "coded",
    [
        lambda asked: [answer_to(asked, status="302 Found", fields=["Location: /b"], body=b"")],
        lambda asked: [answer_to(asked, status="308 Moved", fields=["Location: /b"], body=b"")],
        lambda asked: [answer_to(asked, fields=["Content-Encoding: gzip"])],
        lambda asked: [answer_to(asked, fields=["Transfer-Encoding: chunked"], body=b"0\r\n\r\n")],
        lambda asked: [answer_to(asked).replace(b"Content-Length: 10\r\n", b""), "close"],
    ],
)
def test_where_sockets_are_no_good_obstore_reads_from_then_on(
    connections: Connections, server: RawServer, coded: Callable[[Asked], list[Step]]
) -> None:
    pytest.importorskip("obstore", reason="the extra hub is not installed")
    server.script = coded
    with pytest.raises(UnsuitableError, match="redirects, codes bodies or does not say their length"):
        read(connections, server, 5, 10)
    store = store_of(server)
    server.script = first_then(coded)
    for start in range(3):
        assert store.read_range("a", start, 10) == data_at(start, start + 10)
    assert store._address("a").way == "obstore"
    assert (store.counters.num_requests, store.counters.num_retries) == (4, 1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([b"close before the head", "close"], r"a file: the connection failed \(ConnectionResetError\)"),
        (["close"], "a file: the server closed the connection before it answered"),
        (["reset"], "a file: the server closed the connection before it answered"),
        (["cut", "close"], "a file: 6 bytes came, expected 10"),
        (["cut", 0.05, "reset"], r"a file, \d of 10 bytes came: the connection failed \(ConnectionResetError: "),
    ],
)
def test_a_connection_that_breaks_is_a_fault_to_try_again(
    connections: Connections, server: RawServer, steps: list[Any], message: str
) -> None:
    server.script = lambda asked: [answer_to(asked)[:-4] if step == "cut" else step for step in steps]
    with pytest.raises(RemoteError, match=message) as caught:
        read(connections, server, 5, 10)
    assert caught.value.is_retryable
    assert repr(connections) == "Connections(0 idle)"


def test_headers_that_trickle_have_one_deadline(connections: Connections, server: RawServer) -> None:
    def script(asked: Asked) -> Iterator[Step]:
        for byte in answer_to(asked, fields=["X: " + "x" * 1_000]):
            yield bytes([byte])
            yield 0.02

    server.script = script
    with pytest.raises(RemoteError, match=r"a file: no answer came in 1 s") as caught:
        read(connections, server, 5, 10, timeout=1.0)
    assert caught.value.is_retryable
    with pytest.raises(RemoteError, match=r"a file: the connection failed \(TimeoutError") as caught:
        careful.read_carefully(server.url, 5, 10, headers={}, where="a file", timeout_seconds=1.0)
    assert caught.value.is_retryable
    with pytest.raises(RemoteError, match=r"a file: the connection failed \(TimeoutError") as caught:
        careful.head(server.url, {}, label="a file", timeout_seconds=1.0)


def test_a_body_that_trickles_has_a_deadline(connections: Connections, server: RawServer) -> None:
    server.script = lambda asked: [answer_to(asked)[:-400], *[b"x", 0.2] * 400]
    with pytest.raises(
        RemoteError, match=r"a file: \d+ of 1000 bytes came in the time there is, slower than 65536"
    ) as caught:
        read(connections, server, 5, 1_000, timeout=1.0)
    assert caught.value.is_retryable


def test_a_body_that_pauses_longer_than_the_kernel_waits_is_whole(connections: Connections, server: RawServer) -> None:
    server.script = lambda asked: [
        0.3,
        *(answer_to(asked)[at : at + 60] for at in (0, 60)),
        0.3,
        answer_to(asked)[120:],
    ]
    assert read(connections, server, 5, 3_000) == data_at(5, 3_005)


def test_no_address_is_in_any_message(server: RawServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    scripts: list[Callable[[Asked], list[Step]]] = [
        lambda asked: ["close"],
        lambda asked: ["reset"],
        lambda asked: [answer_to(asked)[:-4], "close"],
        lambda asked: [answer_to(asked, status="503 no", body=b"")],
        lambda asked: [answer_to(asked, status="302 no", fields=[f"Location: {server.url}"], body=b"")],
        lambda asked: [answer_to(asked, shown="bytes 7-8/9")],
        lambda asked: [server.url.encode(), "close"],
    ]
    options = HttpOptions(attempts=2, backoff_seconds=0.001)
    for script in scripts:
        server.script = script
        address = Address(server.url, options)
        with pytest.raises((ArchiveError, AddressRefusedError)) as caught:
            read_address(address, 5, 10, label="a file", options=options, counters=Counters())
        told = "".join(traceback.format_exception(caught.value))
        for text in (told, repr(address), repr(address.connections), caplog.text):
            assert "SECRET" not in text


# -- which way ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def without_proxies(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_a_host_behind_a_proxy_is_left_to_others(without_proxies: pytest.MonkeyPatch) -> None:
    url = "http://files.example/a"
    assert Connections().can_read(url)
    without_proxies.setenv("https_proxy", "http://proxy.example:1")
    assert Connections().can_read(url)
    for name in ("http_proxy", "ALL_PROXY"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, "http://proxy.example:1")
            assert not Connections().can_read(url)
            patch.setenv("no_proxy", "other.example,.example")
            assert Connections().can_read(url)
            assert not Connections().can_read("http://files.elsewhere/a")


def test_a_proxy_is_asked_where_there_is_one(server: RawServer) -> None:
    program = """
from opens2v_data.archive.httpstore import HttpStore
store = HttpStore("http://files.invalid/release")
assert len(store.read_range("a", 5, 10)) == 10
assert store.counters.num_retries == 0
"""
    proxy = server.url.partition("/a?")[0]
    done = subprocess.run([sys.executable, "-c", program], env={"http_proxy": proxy}, timeout=200, check=False)
    assert done.returncode == 0
    assert [asked.target for asked in server.asked] == ["http://files.invalid/release/a"]


def test_the_way_is_chosen_by_the_address(without_proxies: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore", reason="the extra hub is not installed")
    assert Address("http://h/a", FAST).way == "sockets"
    assert Address("https://h/a", FAST).way == "obstore"
    assert Address("http://user@h/a", FAST).way == "obstore"
    assert Address("http://h/a", FAST, headers={"Accept": "*/*"}).way == "careful"
    monkeypatch.setattr(http, "READS_BY_SOCKETS", False)
    assert Address("http://h/a", FAST).way == "obstore"


@pytest.mark.usefixtures("fresh_quotas")
def test_the_bytes_are_those_of_the_careful_way(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(data_at(0, 251) * 2_000)
    with LocalHub({"someone/release": tmp_path}) as hub:
        store = HubStore("someone/release", revision=hub.head("someone/release"), endpoint=hub.endpoint, token=False)
        address = store._flight("a.bin").resolved(store).address
        hub.faults = Faults(p503=0.1, p_cut=0.1, p_wrong_length=0.1, p_whole_file=0.1, seed=1)
        for start in range(0, 400_000, 13_337):
            counters = Counters()
            got = read_address(address, start, 60_001, label="a", options=FAST, counters=counters)
            hub.faults = Faults()
            asked = careful.read_carefully(address.url, start, 60_001, headers={}, where="a", timeout_seconds=10)
            assert got == asked == (data_at(0, 251) * 2_000)[start : start + 60_001]
            hub.faults = Faults(p503=0.1, p_cut=0.1, p_wrong_length=0.1, p_whole_file=0.1, seed=start)
