"""The index of a part by many chains at once: what it costs, and how it ends."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from archive.chained import MANY, SlowStore, many_members, told, two_megabytes
from archive.fetched import wait_until
from archive.tars import (
    END_MARKER,
    VirtualTar,
    cut,
    extension,
    header,
    padded,
    pax_record,
    random_cuts,
    random_tar,
    written_by_tarfile,
)
from localhub import Faults, LocalHub
from opens2v_data.archive import MemberScan, MemoryStore, Part
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.http import HttpOptions
from opens2v_data.archive.remote import HubStore
from opens2v_data.errors import ArchiveError, MissingPieceError, RemoteError


def test_threads_give_what_one_walk_gives_with_and_without_a_log(tmp_path: Path):
    for seed in range(80):
        rng = random.Random(seed)
        tar = random_tar(rng)
        memory, part = cut(tar, random_cuts(rng, tar))
        log = tmp_path / f"{seed}.chains" if seed % 2 else None
        scan = ChainScan(SlowStore(memory.files), part, options=MANY, log=log)
        assert told(scan) == told(MemberScan(memory, part)), f"seed {seed}"
        if log is not None:
            assert told(scan) == told(MemberScan(memory, part)), f"seed {seed}, from the log"
            assert scan.stats.num_resumed_elements > 0 or not any(tar)


@pytest.mark.parametrize(
    "extensions", [b"", extension(b"L", b"long" * 30 + b"\0"), extension(b"x", pax_record(b"mtime", b"1.5"))]
)
def test_an_index_costs_at_most_1_15_requests_per_member_whatever_stands_before_a_file(extensions: bytes):
    num_members = 8_000
    store = VirtualTar(two_megabytes(num_members), num_pieces=3, extensions=extensions, seconds_per_request=0.001)
    scan = ChainScan(store, store.part)
    members = list(scan)
    assert len(members) == num_members
    assert [m.header_offset for m in members] == store.starts[:-1]
    assert all(m.size_bytes == size for m, size in zip(members, store.sizes, strict=True))
    assert scan.stats.num_chains > 50 and scan.stats.num_false_starts == 0
    assert (scan.stats.num_requests, scan.stats.num_bytes) == (store.num_requests, store.num_bytes)
    assert store.max_concurrent <= ChainOptions().max_chains
    assert store.num_requests <= 1.15 * num_members
    assert store.num_bytes <= 60_000 * num_members  # 3% of the tar, nearly all for finding where chains start


@pytest.mark.parametrize(
    "first",
    [[4_000_000_000], [40_000] * 500, [0] * 300, [300_000_000] * 5],
    ids=["one of 4 GB", "small ones", "empty ones", "large ones"],
)
def test_what_a_tar_begins_with_does_not_keep_chains_from_starting(first: list[int]):
    sizes = first + two_megabytes(4_000)
    store = VirtualTar(sizes, num_pieces=2, seconds_per_request=0.002)
    scan = ChainScan(store, store.part)
    assert [m.size_bytes for m in scan] == sizes
    assert scan.stats.num_chains > 15
    assert store.num_requests <= 1.15 * len(sizes)


def test_small_members_share_requests_and_few_members_get_few_chains():
    store, part = cut(written_by_tarfile([(f"{i}.mp4", bytes(900)) for i in range(3000)]))
    scan = ChainScan(store, part)
    assert len(list(scan)) == 3000
    assert store.num_requests <= 20

    few = VirtualTar(two_megabytes(20))
    scan = ChainScan(few, few.part)
    assert len(list(scan)) == 20
    assert scan.stats.num_chains == 1
    assert few.num_requests <= 22


def test_a_tar_of_an_old_kind_without_magic_is_walked_from_byte_0_after_a_few_scans():
    tar = b"".join(header(b"%d.mp4" % i, 5000, typeflag=b"\0", magic=b"") + bytes(5120) for i in range(300))
    store, part = cut(tar + END_MARKER)
    scan = ChainScan(store, part, options=MANY)
    assert len(list(scan)) == 300
    assert scan.stats.num_chains == 1
    assert scan.stats.num_barren_scans < 8 + MANY.max_chains


def test_a_tar_in_a_payload_is_a_false_start_that_is_dropped_and_counted():
    inner = written_by_tarfile([(f"inner{i}.mp4", bytes(3000)) for i in range(100)])
    tar = written_by_tarfile([("a.mp4", b"1"), ("inner.tar", inner), ("b.mp4", b"2"), ("c.mp4", bytes(9000))])
    store, part = cut(tar, [5000, 300_001])
    scan = ChainScan(SlowStore(store.files), part, options=MANY)
    assert [member.name for member in scan] == ["a.mp4", "inner.tar", "b.mp4", "c.mp4"]
    assert scan.stats.num_false_starts >= 1
    assert scan.stats.num_repaired_bytes > 512


def test_an_error_that_passes_is_asked_again_and_counted():
    store, part = cut(many_members(100))
    broken = SlowStore(
        store.files,
        fault=lambda number: RemoteError("busy", status=503, is_retryable=True) if number % 3 == 0 else None,
    )
    options = ChainOptions(
        max_chains=4, min_chain_bytes=500_000, scan_bytes=65_536, backoff_seconds=0.001, max_retries=30
    )
    scan = ChainScan(broken, part, options=options)
    assert told(scan) == told(MemberScan(store, part))
    assert scan.stats.num_retries > 20
    assert scan.stats.num_requests == broken.num_requests


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RemoteError("forbidden", status=403), "part total_part1, byte .*forbidden"),
        (RemoteError("busy", status=503, is_retryable=True), "part total_part1, byte .*busy"),
        (MissingPieceError("gone"), "part total_part1, byte .*gone"),
    ],
    ids=["refused", "never-passes", "missing"],
)
def test_an_error_that_does_not_pass_stops_the_scan_and_a_later_one_goes_on(
    tmp_path: Path, error: ArchiveError, message: str
):
    memory, part = cut(many_members(120), [1_000_001])
    log = tmp_path / "part.chains"
    options = ChainOptions(
        max_chains=4, min_chain_bytes=500_000, scan_bytes=65_536, backoff_seconds=0.001, max_retries=2, save_seconds=9.0
    )
    broken = SlowStore(memory.files, fault=lambda number: error if number > 60 else None)
    failed = ChainScan(broken, part, options=options, log=log)
    with pytest.raises(type(error), match=message):
        list(failed)
    assert bool(failed.stats.num_retries) == (isinstance(error, RemoteError) and error.is_retryable)

    memory.num_requests = 0
    scan = ChainScan(memory, part, options=options, log=log)
    resumed = list(scan)
    assert scan.stats.num_resumed_elements > 30
    assert memory.num_requests < 110
    assert resumed == list(MemberScan(memory, part))


def threads_of_scans() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("opens2v-chains")]


def test_leaving_the_loop_or_an_exception_of_progress_stops_all_threads_and_keeps_what_was_found(tmp_path: Path):
    memory, part = cut(many_members(600))
    go_on = threading.Event()

    def stand_still(number: int) -> None:
        if number > 60:
            go_on.wait(100)

    slow = SlowStore(memory.files, fault=stand_still)
    slow.seconds = 0.004
    log = tmp_path / "part.chains"
    options = ChainOptions(max_chains=4, min_chain_bytes=500_000, scan_bytes=65_536)
    members = iter(ChainScan(slow, part, options=options, log=log))
    assert next(members).name == "v/" + "n" * 120 + ".mp4"
    assert threads_of_scans()
    go_on.set()
    members.close()  # type: ignore[attr-defined]
    assert wait_until(lambda: not threads_of_scans())
    assert log.stat().st_size > 100

    class Cancelled(Exception):
        pass

    def progress(done: int, total: int) -> None:
        raise Cancelled(f"at {done} of {total}")

    with pytest.raises(Cancelled, match=r"at \d+ of \d+"):
        list(ChainScan(slow, part, options=options, log=log, progress=progress))
    assert wait_until(lambda: not threads_of_scans())
    assert list(ChainScan(memory, part, options=options, log=log)) == list(MemberScan(memory, part))


def test_progress_grows_to_the_size_of_the_part():
    calls: list[tuple[int, int]] = []

    class Watched(VirtualTar):
        def read_range(self, path: str, start: int, length: int) -> bytes:
            assert wait_until(lambda: len(calls) >= self.num_requests // 400)
            return super().read_range(path, start, length)

    store = Watched(two_megabytes(2_000), seconds_per_request=0.002)
    options = ChainOptions(max_chains=8)
    assert len(list(ChainScan(store, store.part, options=options, progress=lambda *call: calls.append(call)))) == 2_000
    assert len(calls) > 3
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {store.part.size_bytes}
    assert calls[-1][0] == store.part.size_bytes


def test_a_missing_or_changed_piece_is_found_before_the_first_member():
    store, part = cut(header(b"a", 400_000) + padded(bytes(400_000)), [100_000, 200_000, 300_000])
    store.files["Videos/total_part1/total_part1.tar.split.002"] += b"!"
    with pytest.raises(MissingPieceError, match=r"split\.002 has 100001 bytes, recorded were 100000"):
        next(iter(ChainScan(store, part)))
    assert store.num_requests == 0


def test_unpacked_files_and_numbers_that_make_no_sense_are_the_callers_mistake():
    with pytest.raises(ValueError, match="part p holds unpacked files, not a tar; use index_files"):
        ChainScan(MemoryStore({}), Part(name="p", layout="files", root="Videos/p"))
    with pytest.raises(ValueError, match="max_chains must be at least 1, got 0"):
        ChainOptions(max_chains=0)
    with pytest.raises(ValueError, match="scan_bytes must be a multiple of 512, got 1000"):
        ChainOptions(scan_bytes=1000)
    with pytest.raises(ValueError, match="min_chain_bytes must be at least 1, got 0"):
        ChainOptions(min_chain_bytes=0)
    with pytest.raises(ValueError, match=r"save_seconds must be positive .* got 0 and 0\.5"):
        ChainOptions(save_seconds=0)


INTERRUPTED = """
import sys
from opens2v_data.archive import Part, Piece
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.remote import HubStore

endpoint, commit, *pieces = sys.argv[1:]
pieces = [Piece(path=path, size_bytes=int(size)) for path, size in (piece.split("=") for piece in pieces)]
store = HubStore("me/clips", revision=commit, endpoint=endpoint, token=False)
part = Part(name="p", layout="split-tar", pieces=tuple(pieces))
list(ChainScan(store, part, options=ChainOptions(max_chains=16, min_chain_bytes=1_000_000, scan_bytes=65_536)))
"""


@pytest.mark.parametrize("route", ["resolve", "cdn"])
def test_ctrl_c_ends_a_scan_although_its_requests_wait_for_minutes(tmp_path: Path, route: Any):
    pytest.importorskip("obstore", reason="reading from the Hub needs the extra hub")
    store, part = cut(many_members(300), [1_000_001, 7_654_321])
    for path, data in store.files.items():
        (tmp_path / "repo" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / path).write_bytes(data)
    with LocalHub({"me/clips": tmp_path / "repo"}) as hub:
        hub.faults = Faults(p429=1.0, retry_after_seconds=250, applies_to=frozenset({route}))
        pieces = [f"{piece.path}={piece.size_bytes}" for piece in part.pieces]
        command = [sys.executable, "-c", INTERRUPTED, hub.endpoint, hub.head("me/clips"), *pieces]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
        assert wait_until(lambda: 429 in getattr(hub.counts(), route).statuses)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=200)[1]  # and not 250 s
        assert "KeyboardInterrupt" in told
        assert process.returncode == -signal.SIGINT


def test_over_a_faulty_hub_the_index_is_that_of_the_local_files(tmp_path: Path):
    pytest.importorskip("obstore", reason="reading from the Hub needs the extra hub")
    store, part = cut(many_members(300), [1_000_001, 7_654_321])
    for path, data in store.files.items():
        (tmp_path / "repo" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "repo" / path).write_bytes(data)
    faults = Faults(p503=0.05, p429=0.01, p_cut=0.05, p_wrong_length=0.02, seed=1, applies_to=frozenset({"cdn"}))
    options = ChainOptions(max_chains=16, min_chain_bytes=1_000_000, scan_bytes=65_536, backoff_seconds=0.01)
    with LocalHub({"me/clips": tmp_path / "repo"}) as hub:
        remote = HubStore("me/clips", endpoint=hub.endpoint, token=False, options=HttpOptions(backoff_seconds=0.01))
        quiet = ChainScan(remote, part, options=options, origin=remote.uri)
        assert told(quiet) == told(MemberScan(store, part))
        counts = hub.counts()
        assert counts.resolve.num_requests == len(part.pieces)
        assert counts.cdn.num_requests <= 1.15 * 300
        assert counts.cdn.num_requests == quiet.stats.num_requests

        hub.faults = faults
        faulty = ChainScan(remote, part, options=options, origin=remote.uri, log=tmp_path / "log")
        assert told(faulty) == told(MemberScan(store, part))
        assert {503, 429} <= hub.counts().cdn.statuses.keys()
