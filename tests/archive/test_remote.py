from __future__ import annotations

import logging
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from archive.fetched import wait_until
from archive.handclock import HandClock
from archive.tars import MP4_START, written_by_tarfile
from localhub import Faults, LocalHub
from opens2v_data.archive import Part, Piece, careful, flights, http, http_options, remote
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.fetch import Delivered, Fetcher, FetchOptions, Wanted
from opens2v_data.archive.http import HttpOptions
from opens2v_data.archive.httpstore import HttpStore
from opens2v_data.archive.remote import HubStore
from opens2v_data.errors import (
    ArchiveError,
    MissingPieceError,
    RemoteError,
    RevisionMovedError,
    ShortReadError,
)

REPO = "someone/release"
PIECES = ("Videos/p/p.tar.split.000", "Videos/p/p.tar.split.001", "Videos/p/p.tar.split.002")
pytestmark = pytest.mark.usefixtures("fresh_quotas")
ONE_429 = Faults(p429=0.5, seed=1125, retry_after_seconds=1)  # the first request of a route, and none of the next four
FAST = HttpOptions(backoff_seconds=0.01, timeout_seconds=100)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("release")
    rng = random.Random(0)
    for path, size in zip(PIECES, (200_000, 100_003, 70_001), strict=True):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(rng.randbytes(size))
    (root / "small file+é.json").write_bytes(b'{"a": 1}')
    return root


@pytest.fixture
def hub(folder: Path) -> Iterator[LocalHub]:
    with LocalHub({REPO: folder}) as server:
        yield server


@pytest.fixture(params=["sockets", "obstore"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> http.Way:
    """The way that ranges are first read by; http:// goes by sockets unless told otherwise."""
    monkeypatch.setattr(http, "READS_BY_SOCKETS", request.param == "sockets")
    return request.param


def store_of(hub: LocalHub, **options: Any) -> HubStore:
    return HubStore(
        REPO, **{"revision": hub.head(REPO), "endpoint": hub.endpoint, "token": False, "options": FAST} | options
    )


def read_many(store: HubStore, folder: Path, count: int, *, seed: int = 0, threads: int = 16) -> None:
    rng = random.Random(seed)
    data = {path: (folder / path).read_bytes() for path in PIECES}
    ranges = []
    for _ in range(count):
        path = rng.choice(PIECES)
        start = rng.randrange(len(data[path]))
        ranges.append((path, start, rng.randrange(len(data[path]) - start)))

    def check(wanted: tuple[str, int, int]) -> None:
        path, start, length = wanted
        read = store.read_range if start % 2 else store.read_buffer
        assert read(path, start, length) == data[path][start : start + length]

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(check, ranges))


def test_ranges_of_many_threads_are_right_and_each_piece_is_resolved_once(
    hub: LocalHub, folder: Path, way: http.Way
) -> None:
    store = store_of(hub)
    read_many(store, folder, 120)
    assert store._flight(PIECES[0]).resolved(store).address.way == way
    counts = hub.counts()
    assert counts.resolve.num_requests == len(PIECES) == store.counters.num_resolves
    assert counts.cdn.num_bytes == store.counters.num_bytes
    assert store.counters.num_retries == 0


@pytest.mark.usefixtures("way")
def test_clips_may_be_had_as_buffers_that_are_not_copied(hub: LocalHub, folder: Path) -> None:
    data = [(folder / path).read_bytes() for path in PIECES]
    pieces = tuple(Piece(path=path, size_bytes=len(one)) for path, one in zip(PIECES, data, strict=True))
    part = Part(name="p", layout="split-tar", pieces=pieces)
    sizes = [50_000, 170_000, 60_000]  # the second lies in two pieces
    offsets = [0, 50_000, 300_003]
    wanted = [
        Wanted(key=None, part=part, name="clip", offset=offset, size_bytes=size, has_ftyp=False)
        for offset, size in zip(offsets, sizes, strict=True)
    ]
    for as_buffers in (True, False):
        options = FetchOptions(as_buffers=as_buffers, merge_gap_bytes=0)
        clips = [clip for clip in Fetcher(store_of(hub), options).fetch(wanted[::2]) if isinstance(clip, Delivered)]
        assert [type(clip.data) for clip in clips] == [memoryview if as_buffers else bytes] * 2
        clips += [clip for clip in Fetcher(store_of(hub), options).fetch(wanted[1:2]) if isinstance(clip, Delivered)]
        for clip in clips:
            start = clip.wanted.offset
            assert bytes(clip.data) == b"".join(data)[start : start + clip.wanted.size_bytes]


def test_sizes_cost_no_request_besides_the_address(hub: LocalHub, folder: Path) -> None:
    store = store_of(hub)
    for path in PIECES:
        assert store.size(path) == (folder / path).stat().st_size
        store.read_range(path, 0, 10)
    assert hub.counts().resolve.num_requests == len(PIECES)
    assert hub.counts().api.num_requests == 0


def test_a_small_file_is_served_by_the_hub_itself(hub: LocalHub) -> None:
    store = store_of(hub)
    assert store.size("small file+é.json") == 8
    assert store.read_range("small file+é.json", 1, 3) == b'"a"'
    assert hub.counts().cdn.num_requests == 0


def test_a_small_file_may_be_redirected_on_the_hub(folder: Path) -> None:
    with LocalHub({REPO: folder}, redirect_small_files=True) as server:
        assert store_of(server).read_range("small file+é.json", 0, 8) == b'{"a": 1}'


def test_the_tree_is_read_over_its_pages_with_hashes(folder: Path) -> None:
    with LocalHub({REPO: folder}, page_size=2) as server:
        store = store_of(server)
        found = list(store.walk())
        assert [file.path for file in found] == sorted([*PIECES, "small file+é.json"])
        assert [file.path for file in store.walk("Videos/p")] == list(PIECES)
        assert list(store.walk("absent")) == []
        assert server.counts().tree.num_requests >= 3
    by_path = {file.path: file for file in found}
    assert by_path[PIECES[0]].size_bytes == 200_000
    assert len(by_path[PIECES[0]].sha256 or "") == 64
    assert by_path["small file+é.json"].sha256 is None


def test_a_branch_is_pinned_to_its_commit_of_now(hub: LocalHub, folder: Path, tmp_path: Path) -> None:
    store = store_of(hub, revision="main")
    first = hub.head(REPO)
    assert store.uri == f"hf://datasets/{REPO}@{first}"
    other = shutil.copytree(folder, tmp_path / "other")
    (other / PIECES[0]).write_bytes(b"x" * 5_000)
    assert hub.move(REPO, other) != first
    assert store.read_range(PIECES[0], 0, 20) == (folder / PIECES[0]).read_bytes()[:20]
    assert store_of(hub, revision="main").read_range(PIECES[0], 0, 3) == b"xxx"


def test_a_commit_that_is_gone_is_refused_with_advice(hub: LocalHub) -> None:
    with pytest.raises(RevisionMovedError, match=r"has no revision 0{40}.*make the catalog of it anew"):
        store_of(hub, revision="0" * 40).read_range(PIECES[0], 0, 1)
    with pytest.raises(RevisionMovedError, match="has no revision nobranch"):
        _ = store_of(hub, revision="nobranch").commit


def test_what_is_not_there_is_said_to_be_missing(hub: LocalHub) -> None:
    with pytest.raises(MissingPieceError, match=r"has no file Videos/p/p\.tar\.split\.009"):
        store_of(hub).read_range("Videos/p/p.tar.split.009", 0, 1)
    with pytest.raises(RemoteError, match=r"expected a dataset nobody/nothing .*log in") as caught:
        _ = HubStore("nobody/nothing", revision="main", endpoint=hub.endpoint, token=False, options=FAST).commit
    assert caught.value.status == 404


def test_a_range_past_the_end_is_a_short_read(hub: LocalHub) -> None:
    with pytest.raises(ShortReadError, match="expected 10 bytes from byte 70000 on, the file has 70001"):
        store_of(hub).read_range(PIECES[2], 70_000, 10)
    with pytest.raises(ValueError, match="must not be negative"):
        store_of(hub).read_range(PIECES[2], -1, 10)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "Videos/../../x", "a\0b"])
def test_paths_that_leave_the_repository_are_refused(hub: LocalHub, path: str) -> None:
    for store in (store_of(hub), HttpStore(hub.cdn_endpoint)):
        with pytest.raises(ArchiveError, match="is refused"):
            store.read_range(path, 0, 1)
    assert hub.counts().resolve.num_requests == 0


def test_the_token_goes_to_the_hub_and_nowhere_else(folder: Path) -> None:
    with LocalHub() as server:
        server.add_repo(REPO, folder, private=True)
        with pytest.raises(RemoteError, match=r"the Hub answered 401.*hf auth login"):
            store_of(server).read_range(PIECES[0], 0, 1)
        store = store_of(server, token=server.token)
        read_many(store, folder, 30)
        assert store.read_range("small file+é.json", 0, 8) == b'{"a": 1}'
        assert server.counts().cdn_with_token == 0


def test_the_token_does_not_follow_a_redirect_of_the_plain_way(folder: Path) -> None:
    with LocalHub() as server:
        server.add_repo(REPO, folder, private=True)
        store = store_of(server, token=server.token)
        flight = store._flight(PIECES[0])
        resolved = flight.resolved(store)
        flight._num_refused = 2
        resolved.expires_at = float("-inf")
        assert store.read_range(PIECES[0], 5, 10) == (folder / PIECES[0]).read_bytes()[5:15]
        assert flight.resolved(store).is_plain
        assert server.counts().cdn.num_requests == 1
        assert server.counts().cdn_with_token == 0


def test_addresses_that_expire_midway_are_had_anew_once_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = HandClock()
    for module in (flights, remote):
        monkeypatch.setattr(module, "time", clock)
    with LocalHub({REPO: folder}, url_lifetime_seconds=600) as server:
        store = store_of(server)
        for seed in range(6):
            read_many(store, folder, 30, seed=seed)
            clock.advance(400)
        assert store.counters.num_expired == 2 * len(PIECES)
        assert server.counts().resolve.num_requests == 3 * len(PIECES)


@pytest.mark.usefixtures("way")
def test_a_refused_address_is_renewed_by_one_thread_for_all(hub: LocalHub, folder: Path) -> None:
    store = store_of(hub)
    for path in PIECES:
        flight = store._flight(path)
        address = flight.resolved(store).address
        address.url, address._store = address.url.replace("Signature=", "Signature=0"), None
    read_many(store, folder, 60, threads=30)
    assert hub.counts().resolve.num_requests == 2 * len(PIECES)


@pytest.mark.usefixtures("way")
def test_faults_of_every_kind_leave_the_bytes_right(hub: LocalHub, folder: Path) -> None:
    hub.faults = Faults(
        p503=0.05, p429=0.02, retry_after_seconds=0, p_cut=0.02, p_wrong_length=0.03, p_whole_file=0.03, seed=3
    )
    store = store_of(hub)
    read_many(store, folder, 300)
    assert store.counters.num_retries > 10
    assert hub.counts().cdn.statuses[503] > 0


def test_retry_after_of_both_hosts_is_honoured(hub: LocalHub) -> None:
    for route in ("resolve", "cdn"):
        store = store_of(hub)
        hub.faults = replace(ONE_429, applies_to=frozenset({route}))
        begun = time.monotonic()
        store.read_range(PIECES[0], 0, 100)
        assert time.monotonic() - begun > 0.95
        assert hub.counts()[route].statuses[429] == 1  # type: ignore[index]
        hub.reset_counts()


def test_the_quota_is_kept_by_waiting_not_by_being_refused(folder: Path) -> None:
    with LocalHub({REPO: folder}, resolve_quota=(4, 1.0)) as server:
        for _ in range(4):
            store = store_of(server)
            for path in PIECES:
                store.size(path)
        assert server.counts().resolve.num_requests >= 12
        assert server.counts().resolve.statuses.get(429, 0) <= 1


def test_a_server_that_never_gives_anything_is_reported_with_its_last_answer(hub: LocalHub) -> None:
    store = store_of(hub)
    store.size(PIECES[0])
    hub.faults = Faults(p503=1.0)
    with pytest.raises(RemoteError, match=r"no bytes in 6 attempts; at last .* the server answered 503") as caught:
        store.read_range(PIECES[0], 0, 10)
    assert (caught.value.status, caught.value.is_retryable) == (503, True)
    with pytest.raises(RemoteError, match="where its bytes are could not be had, at last: the Hub answered 503"):
        store.read_range(PIECES[1], 0, 10)


def test_no_signed_address_is_told_to_anyone(hub: LocalHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = store_of(hub)
    hub.faults = Faults(p_cut=1.0, applies_to=frozenset({"cdn"}))
    with pytest.raises(RemoteError, match="no bytes in 6 attempts") as caught:
        store.read_range(PIECES[0], 0, 100_000)
    texts = [repr(store), str(caught.value), repr(caught.value.__cause__), caplog.text, repr(store._flights)]
    address = store._flight(PIECES[0]).resolved(store).address
    assert "Signature=" in address.url
    for text in [*texts, repr(address), repr(caught.getrepr())]:
        assert "Signature=" not in text
        assert address.url not in text


def test_a_store_is_sent_to_other_processes_with_its_commit(hub: LocalHub, folder: Path) -> None:
    store = store_of(hub, revision="main")
    commit = store.commit
    again = pickle.loads(pickle.dumps(store))
    assert again.commit == commit
    assert again.read_range(PIECES[1], 7, 9) == (folder / PIECES[1]).read_bytes()[7:16]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_reads_although_its_parent_has_read(hub: LocalHub, folder: Path) -> None:
    program = f"""
import os, sys
from opens2v_data.archive.remote import HubStore
store = HubStore({REPO!r}, revision={hub.head(REPO)!r}, endpoint={hub.endpoint!r}, token=False)
first = store.read_range({PIECES[0]!r}, 0, 50_000)
child = os.fork()
if child == 0:
    os._exit(0 if store.read_range({PIECES[0]!r}, 0, 50_000) == first and store.read_range({PIECES[1]!r}, 0, 9) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], timeout=200, check=False)
    assert done.returncode == 0


def test_a_plain_server_gives_sizes_and_ranges(hub: LocalHub, folder: Path) -> None:
    # The Hub's second host refuses what is not signed; Python's own server knows no ranges.
    server = subprocess.Popen(
        [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split(" port ")[1].split()[0]
        store = HttpStore(f"http://127.0.0.1:{port}", options=FAST)
        data = (folder / PIECES[0]).read_bytes()
        assert store.size(PIECES[0]) == len(data)
        assert store.read_ranges(PIECES[0], [(0, 5), (1_000, 100)]) == [data[:5], data[1_000:1_100]]
        assert store.read_range("small file+é.json", 0, 8) == b'{"a": 1}'
        with pytest.raises(MissingPieceError, match="the server has no such file"):
            store.size("absent")
        with pytest.raises(MissingPieceError, match="the server has no such file"):
            pickle.loads(pickle.dumps(store)).read_range("absent", 0, 1)
    finally:
        server.terminate()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def test_nobody_there_is_said_after_a_few_attempts() -> None:
    store = HttpStore("http://127.0.0.1:9", options=HttpOptions(attempts=2, backoff_seconds=0.01))
    with pytest.raises(RemoteError, match="no bytes in 2 attempts; at last a, bytes 0 to 1: the connection failed"):
        store.read_range("a", 0, 1)


@pytest.mark.parametrize("text", ["ftp://x/y", "http://", "https://host/path?signed=1"])
def test_an_address_that_is_no_base_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected http\(s\)://HOST/PATH without a query"):
        HttpStore(text)


def test_without_the_extra_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'pip install "opens2v-data\[hub\]"'):
        HubStore("a/b")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Expires=1000000600&Signature=x", 600.0),
        ("X-Amz-Date=20010909T014640Z&X-Amz-Expires=3600&X-Amz-Signature=x", 3600.0),
        ("X-Amz-Date=20010909T004640Z&X-Amz-Expires=3600", None),
        ("Expires=soon", None),
        ("Signature=x", None),
    ],
)
def test_how_long_an_address_is_good_is_told_by_the_server_s_clock(query: str, expected: float | None) -> None:
    date = "Sun, 09 Sep 2001 01:46:40 GMT"  # 1,000,000,000 s
    assert flights.lifetime_seconds(f"https://cdn.example/a?{query}", date) == expected


def test_addresses_are_renewed_before_they_end_by_a_clock_of_whole_seconds(folder: Path) -> None:
    with LocalHub({REPO: folder}, url_lifetime_seconds=1) as server:
        store = store_of(server)
        begun = time.monotonic()
        while (seconds := time.monotonic() - begun) < 3.3:
            store.read_range(PIECES[0], 0, 100)
            time.sleep(0.02)
        assert server.counts().resolve.num_requests <= 2 * seconds + 2
        assert not store._flight(PIECES[0]).resolved(store).is_plain


@pytest.mark.parametrize("with_token", [False, True])
def test_small_files_are_read_where_the_hub_redirects_them_to(folder: Path, with_token: bool) -> None:
    with LocalHub(redirect_small_files=True) as server:
        server.add_repo(REPO, folder, private=with_token)
        store = store_of(server, token=server.token if with_token else False)
        assert store.read_range("small file+é.json", 1, 5) == b'"a": '
        assert server.counts().cdn_with_token == 0


def test_the_token_is_kept_on_the_same_origin_only() -> None:
    handler = careful._SameHostRedirect()
    request = urllib.request.Request("https://hub.example/a", headers={"Range": "bytes=0-1"})
    request.add_unredirected_header("Authorization", "Bearer secret")
    for target, is_kept in (
        ("https://hub.example/b", True),
        ("http://hub.example/b", False),
        ("https://hub.example:8443/b", False),
        ("https://cdn.example/b", False),
    ):
        found = handler.redirect_request(request, None, 302, "Found", {}, target)
        assert found.has_header("Authorization") is is_kept
        assert found.get_header("Range") == "bytes=0-1"


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_forked_while_a_thread_asks_for_an_address_reads_all_the_same(hub: LocalHub) -> None:
    hub.faults = Faults(latency_seconds=0.5, applies_to=frozenset({"resolve"}))
    program = f"""
import os, sys, threading, time
from opens2v_data.archive.remote import HubStore
store = HubStore({REPO!r}, revision={hub.head(REPO)!r}, endpoint={hub.endpoint!r}, token=False)
threading.Thread(target=store.read_range, args=({PIECES[0]!r}, 0, 10), daemon=True).start()
time.sleep(0.2)
child = os.fork()
if child == 0:
    os._exit(0 if len(store.read_range({PIECES[0]!r}, 0, 10)) == 10 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=200, check=False).returncode == 0


@pytest.mark.parametrize(("route", "by_sockets"), [("cdn", True), ("cdn", False), ("resolve", True)])
def test_ctrl_c_does_not_wait_for_a_server(hub: LocalHub, route: Any, by_sockets: bool) -> None:
    hub.faults = Faults(latency_seconds=600, applies_to=frozenset({route}))
    program = f"""
from opens2v_data.archive import http
from opens2v_data.archive.remote import HubStore
http.READS_BY_SOCKETS = {by_sockets}
store = HubStore({REPO!r}, revision={hub.head(REPO)!r}, endpoint={hub.endpoint!r}, token=False)
print("ready", flush=True)
store.read_range({PIECES[0]!r}, 0, 10)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert wait_until(lambda: hub.counts()[route].num_requests > 0)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=100)
    assert error.rstrip().endswith("KeyboardInterrupt")


def test_an_address_that_is_none_is_in_no_message() -> None:
    address = http.Address("http://127.0.0.1:1/o b?Signature=SECRET", HttpOptions())
    with pytest.raises(RemoteError, match="no bytes in 2 attempts") as caught:
        http.read_address(
            address,
            0,
            1,
            label="a",
            options=HttpOptions(attempts=2, backoff_seconds=0.01),
            counters=http.Counters(),
        )
    assert "SECRET" not in f"{caught.value}{caught.value.__cause__}"


def test_sizes_of_a_plain_server_are_asked_for_again() -> None:
    seen: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers["Range"])
            if len(seen) < 3:
                self.send_response(503)
                self.send_header("Content-Length", "0")
            else:
                self.send_response(206)
                self.send_header("Content-Range", "bytes 0-0/1234")
                self.send_header("Content-Length", "1")
            self.end_headers()
            if len(seen) >= 3:
                self.wfile.write(b"x")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert HttpStore(f"http://127.0.0.1:{server.server_port}", options=FAST).size("a") == 1_234
    finally:
        server.shutdown()
        server.server_close()
    assert seen == ["bytes=0-0"] * 3


def test_waiting_because_the_server_says_so_can_be_seen(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(hub)
    store.size(PIECES[0])
    assert store.counters.waiting_until == 0.0
    hub.faults = replace(ONE_429, applies_to=frozenset({"cdn"}))
    begun = time.monotonic()
    seen_seconds: list[float] = []
    monkeypatch.setattr(
        http_options, "sleep", lambda seconds: seen_seconds.append(store.counters.waiting_until - begun)
    )
    store.read_range(PIECES[0], 0, 10)
    assert len(seen_seconds) == 1 and seen_seconds[0] >= 1.0


def test_a_body_that_trickles_is_given_up_and_said_to_be_slow(hub: LocalHub) -> None:
    # 4 KiB each half second: no wait is as long as the timeout, and all of it would take 5 s.
    store = store_of(hub, options=HttpOptions(attempts=2, backoff_seconds=0.01, timeout_seconds=1.0))
    store.size(PIECES[0])
    hub.faults = Faults(bandwidth_bytes_per_second=8_192, applies_to=frozenset({"cdn"}))
    with pytest.raises(RemoteError, match=r"bytes 0 to 40000: \d+ of 40000 bytes came in the time there is") as caught:
        store.read_range(PIECES[0], 0, 40_000)
    assert caught.value.is_retryable
    assert hub.counts().cdn.num_requests == 2


def test_a_slow_body_that_comes_in_time_is_read(hub: LocalHub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # obstore has a second for all of it; a repetition gets one more for each 64 KiB.
    monkeypatch.setattr(http, "READS_BY_SOCKETS", False)
    store = store_of(hub, options=HttpOptions(attempts=8, backoff_seconds=0.01, timeout_seconds=1.0))
    store.size(PIECES[0])
    hub.faults = Faults(bandwidth_bytes_per_second=130_000, applies_to=frozenset({"cdn"}))
    assert store.read_range(PIECES[0], 0, 190_000) == (folder / PIECES[0]).read_bytes()[:190_000]
    assert store.counters.num_retries >= 1


def test_a_proxy_that_ignores_ranges_is_read_from_the_start_up_to_a_limit(
    hub: LocalHub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(hub)
    store.size(PIECES[0])
    hub.faults = Faults(p_whole_file=1.0, applies_to=frozenset({"cdn"}))
    assert store.read_range(PIECES[0], 120_000, 5_000) == (folder / PIECES[0]).read_bytes()[120_000:125_000]
    monkeypatch.setattr(careful, "MAX_WASTE_BYTES", 100_000)
    assert store.read_range(PIECES[0], 90_000, 10_000) == (folder / PIECES[0]).read_bytes()[90_000:100_000]
    with pytest.raises(RemoteError, match=r"the server ignores byte ranges \(status 200\)"):
        store.read_range(PIECES[0], 120_000, 5_000)


def test_an_index_of_a_private_repository_needs_the_token_which_only_the_hub_sees(tmp_path: Path) -> None:
    files = [(f"p/{number}.mp4", MP4_START + bytes(20_000)) for number in range(40)]
    tar = written_by_tarfile(files)
    paths = (tmp_path / "p.tar.split.000", tmp_path / "p.tar.split.001")
    paths[0].write_bytes(tar[:400_000])
    paths[1].write_bytes(tar[400_000:])
    pieces = tuple(Piece(path=path.name, size_bytes=path.stat().st_size) for path in paths)
    part = Part(name="p", layout="split-tar", pieces=pieces)
    options = ChainOptions(max_chains=4, min_chain_bytes=100_000, scan_bytes=65_536, probe_requests=2)
    with LocalHub(lfs_threshold_bytes=1) as server:
        server.add_repo(REPO, tmp_path, private=True)
        scan = ChainScan(store_of(server, token=server.token), part, options=options)
        assert [member.name for member in scan] == [name for name, _ in files]
        assert server.counts().cdn.num_requests > 10
        assert server.counts().cdn_with_token == 0
        with pytest.raises(RemoteError, match=r"the Hub answered 401.*hf auth login"):
            list(ChainScan(store_of(server), part, options=options))
