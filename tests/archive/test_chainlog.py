"""What a run keeps of its chains, for the next: cut, damaged, of another upload, or killed at it."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.chained import MANY, SlowStore, many_members, told, two_megabytes
from archive.fetched import wait_until
from archive.tars import VirtualTar, cut
from opens2v_data.archive import MemberScan, MemoryStore, Part, Piece
from opens2v_data.archive.chainlog import ChainLog
from opens2v_data.archive.chainmap import pack_element, unpack_elements
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.tarwalk import Element
from opens2v_data.errors import ArchiveError


def indexed_with_log(tmp_path: Path) -> tuple[MemoryStore, Part, Path]:
    store, part = cut(many_members(60), [300_000])
    log = tmp_path / "part.chains"
    options = ChainOptions(max_chains=4, min_chain_bytes=500_000, scan_bytes=65_536, save_seconds=0.005)
    slow = SlowStore(store.files)
    slow.seconds = 0.01
    assert len(list(ChainScan(slow, part, options=options, log=log, origin="here@1"))) == 60
    return store, part, log


def test_a_log_cut_or_damaged_anywhere_costs_requests_and_changes_nothing(tmp_path: Path):
    store, part, log = indexed_with_log(tmp_path)
    whole = log.read_bytes()
    expected = list(MemberScan(store, part))
    rng = random.Random(0)
    resumed = set()
    for length in [0, 1, 15, 16, 47, 48, 49, *(rng.randrange(48, len(whole)) for _ in range(30)), len(whole)]:
        content = bytearray(whole[:length])
        if length >= 48:
            content += rng.choice([b"", bytes(100), b"torn"])
        if len(content) > 48 and rng.random() < 0.4:
            content[rng.randrange(48, len(content))] ^= 1 << rng.randrange(8)
        log.write_bytes(content)
        scan = ChainScan(store, part, options=MANY, log=log, origin="here@1")
        assert list(scan) == expected
        resumed.add(scan.stats.num_resumed_elements)
        again = ChainScan(store, part, options=MANY, log=log, origin="here@1")  # what was added is good as well
        assert list(again) == expected
        assert again.stats.num_resumed_elements >= scan.stats.num_resumed_elements
    assert len(resumed) > 3


@pytest.mark.parametrize(
    "tail", [bytes(100), b"torn", b"\x10\0\0\0\0\0\0\0" + bytes(16)], ids=["zeros", "cut", "damaged"]
)
def test_what_stands_behind_the_last_whole_frame_is_cut_off(tmp_path: Path, tail: bytes):
    _, part, log = indexed_with_log(tmp_path)
    whole = log.read_bytes()
    log.write_bytes(whole + tail)
    opened = ChainLog(log, part, origin="here@1")
    assert opened.take()
    opened.close()
    assert log.read_bytes() == whole


def test_a_finished_log_answers_with_a_few_requests(tmp_path: Path):
    store, part, log = indexed_with_log(tmp_path)
    store.num_requests = 0
    assert len(list(ChainScan(store, part, log=log, origin="here@1"))) == 60
    assert store.num_requests <= 3


def test_a_log_of_another_upload_is_refused(tmp_path: Path):
    store, part, log = indexed_with_log(tmp_path)
    with pytest.raises(
        ArchiveError, match=r"log .* was kept for another upload than part total_part1 with its 2 pieces"
    ):
        next(iter(ChainScan(store, part, log=log, origin="here@2")))
    first, second = part.pieces
    moved = [Piece(path=first.path, size_bytes=first.size_bytes + 512), second]
    with pytest.raises(ArchiveError, match="index the upload it is of, or remove the log and start anew"):
        ChainLog(log, Part(name=part.name, layout="split-tar", pieces=tuple(moved)), origin="here@1")
    log.write_bytes(b"Dear diary")
    with pytest.raises(ArchiveError, match="expected what an earlier run kept, found a file of 10 bytes"):
        ChainLog(log, part, origin="here@1")
    assert log.read_bytes() == b"Dear diary"
    with pytest.raises(ArchiveError, match=r"cannot be opened: .*check the folder"):
        ChainLog(tmp_path / "no such folder" / "log", part, origin="here@1")


def test_a_log_whose_chains_contradict_each_other_is_refused(tmp_path: Path):
    store, part = cut(many_members(5))
    log = ChainLog(tmp_path / "log", part, origin="")
    element = Element(512, 1024, 100, b"0", b"a", b"")
    log.append([(0, pack_element(element) * 2)])
    log.close()
    with pytest.raises(ArchiveError, match="is damaged: chain 0 goes back from 1536 to 512; remove it and start anew"):
        list(ChainScan(store, part, log=tmp_path / "log"))


def test_one_log_serves_one_scan_at_a_time(tmp_path: Path):
    store, part, log = indexed_with_log(tmp_path)
    members = iter(ChainScan(store, part, log=log, origin="here@1"))
    next(members)
    with pytest.raises(ArchiveError, match="another process is indexing with it; wait for it to end"):
        next(iter(ChainScan(store, part, log=log, origin="here@1")))
    members.close()  # type: ignore[attr-defined]
    assert len(list(ChainScan(store, part, log=log, origin="here@1"))) == 60


def test_a_disk_that_is_full_stops_the_scan_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store, part = cut(many_members(60))
    slow = SlowStore(store.files)
    slow.seconds = 0.01

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    options = ChainOptions(max_chains=2, save_seconds=0.01, min_chain_bytes=500_000, scan_bytes=65_536)
    members = iter(ChainScan(slow, part, options=options, log=tmp_path / "log"))
    next(members)
    monkeypatch.setattr("opens2v_data.archive.chainlog.os.write", full)
    with pytest.raises(ArchiveError, match=r"cannot be written: .*No space left.*make room, and run again"):
        list(members)


elements = st.builds(
    lambda offset, size, flag, name, head: Element(offset * 512, offset * 512 + 512, size, flag, name, head),
    st.integers(0, 2**40),
    st.integers(0, 2**50),
    st.sampled_from([b"0", b"5", b"L", b"x"]),
    st.binary(max_size=300),
    st.binary(max_size=3000),
)


@given(st.lists(elements, max_size=5), st.integers(1, 20))
def test_packed_elements_come_back_with_what_names_and_ftyp_need(found: list[Element], less: int):
    packed = b"".join(map(pack_element, found))
    kept = [e if e.is_extension else e._replace(head=e.head[:8]) for e in found]
    assert list(unpack_elements(packed)) == kept
    if packed:
        with pytest.raises(ValueError, match=r"is cut after|are left, an element takes"):
            list(unpack_elements(packed[:-less]) if less < len(packed) else unpack_elements(b"?"))


KILLED = """
import sys, time
sys.path[:0] = sys.argv[1].split(":")
from pathlib import Path
from archive.tars import VirtualTar
from archive.chained import two_megabytes
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.http import HttpOptions
from opens2v_data.archive.remote import HubStore

class Stops(VirtualTar):
    def read_range(self, path, start, length):
        if log.exists() and log.stat().st_size > int(sys.argv[3]):
            time.sleep(1_000)
        return super().read_range(path, start, length)

log = Path(sys.argv[2])
store = Stops(two_megabytes(3_000), num_pieces=4, seconds_per_request=0.01)
options = ChainOptions(max_chains=8, save_seconds=0.02)
scan = ChainScan(store, store.part, options=options, log=log, origin="virtual")
count = sum(1 for _ in scan)
print(count, scan.stats.num_resumed_elements, store.num_requests)
"""


def test_after_kill_9_at_any_moment_a_rerun_goes_on_and_the_result_is_the_same(tmp_path: Path):
    log = tmp_path / "part.chains"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", KILLED, f"{root}:{root / 'tests'}", str(log)]
    sizes = []
    for wanted in (1_000, 9_000, 25_000):
        # It goes on, and stops by itself before its end: we may stand still for longer than it takes.
        process = subprocess.Popen([*command, str(wanted + 5_000)], stdout=subprocess.DEVNULL)
        assert wait_until(lambda wanted=wanted: log.exists() and log.stat().st_size > wanted)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL  # it was not done
        sizes.append(log.stat().st_size)
    assert sizes == sorted(sizes)

    store = VirtualTar(two_megabytes(3_000), num_pieces=4)
    options = ChainOptions(max_chains=8)
    scan = ChainScan(store, store.part, options=options, log=log, origin="virtual")
    assert told(scan) == told(MemberScan(store, store.part))
    assert 300 < scan.stats.num_resumed_elements < 3_000
