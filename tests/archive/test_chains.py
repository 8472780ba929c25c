import contextlib
import io
import logging
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.fetched import wait_until
from archive.tars import (
    END_MARKER,
    MP4_START,
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
from opens2v_data.archive import (
    Member,
    MemberScan,
    MemoryStore,
    Part,
    PartReader,
    Piece,
    Refused,
    fold,
    name_fault,
    tidy_name,
)
from opens2v_data.archive.chainlog import ChainLog
from opens2v_data.archive.chainmap import Chain, ChainMap, pack_element, unpack_elements
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.http import HttpOptions
from opens2v_data.archive.remote import HubStore
from opens2v_data.archive.tarwalk import Element, WalkEnd
from opens2v_data.errors import ArchiveError, MissingPieceError, RemoteError, TarFormatError

MANY = ChainOptions(max_chains=8, min_chain_bytes=512, scan_bytes=512, save_seconds=0.01, backoff_seconds=0.0)

Found = tuple[list[Member], list[Refused], dict[str, int], WalkEnd | str]
"""Members, refused names, counts of other kinds, and how the walk ended or what went wrong."""


def told(scan: MemberScan | ChainScan) -> Found:
    members: list[Member] = []
    try:
        members.extend(scan)
    except TarFormatError as error:
        return members, scan.refused, dict(scan.skipped_by_kind), str(error)
    assert scan.end is not None
    return members, scan.refused, dict(scan.skipped_by_kind), scan.end


class Stopped(Exception):
    """A scan was stopped by the test; holds its chains."""


def told_in_random_order(
    store: MemoryStore,
    part: Part,
    rng: random.Random,
    *,
    known: list[tuple[int, bytes]] | None = None,
    max_steps: int | None = None,
) -> tuple[Found, ChainMap]:
    """Walk chains step by step, each step that of a random one, which threads would do now and then only.

    Args:
        store: where the pieces lie.
        part: to index.
        rng: chooses the steps and the options.
        known: what an earlier run kept.
        max_steps: stop by `Stopped` after so many steps.
    """
    chains = ChainMap(
        part,
        scan_bytes=512 * rng.choice([1, 1, 2, 16]),
        min_chain_bytes=512 * rng.choice([1, 1, 2, 8]),
        min_chain_requests=1,
        probe_requests=0,
    )
    chains.start(known or ())
    num_steps = 0
    reader = PartReader(store, part)
    max_chains = rng.randint(1, 12)
    active = []
    favourite = rng.random()  # sometimes one chain runs ahead of all others

    def wait(_: Chain, __: int) -> None:
        nonlocal num_steps
        num_steps += 1
        if num_steps == max_steps:
            raise Stopped(chains)
        while len(active) < max_chains and (chain := chains.next_chain()):
            active.append([chains.steps(chain), None])
        turn = active[-1 if rng.random() < favourite else rng.randrange(len(active))]
        try:
            need = turn[0].send(turn[1])
            turn[1] = reader.read(need.start, need.length)
        except StopIteration:
            active.remove(turn)

    members: list[Member] = []
    refused: list[Refused] = []
    skipped: dict[str, int] = {}
    end: WalkEnd | str = ""

    def elements():
        nonlocal end
        end = yield from chains.trusted(wait)

    try:
        for entry in fold(elements(), where=part.where):
            if isinstance(entry, Member):
                members.append(entry)
            elif isinstance(entry, Refused):
                refused.append(entry)
            else:
                skipped[entry.kind] = skipped.get(entry.kind, 0) + 1
    except TarFormatError as error:
        end = str(error)
    return (members, refused, skipped, end), chains


def files_by_tarfile(tar: bytes) -> list[tuple[str, int, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", ignore_zeros=True, encoding="utf-8") as opened:
        return [(info.name, info.offset, info.offset_data, info.size) for info in opened if info.isreg()]


def files_by_ratarmount(tar: bytes) -> list[tuple[int, int]]:
    formats = pytest.importorskip(
        "ratarmountcore.mountsource.formats.tar", reason="ratarmountcore is the second oracle"
    )
    logging.getLogger("ratarmountcore").setLevel(logging.ERROR)  # it warns of each name that is no UTF-8
    with contextlib.redirect_stdout(io.StringIO()):
        opened = formats.SQLiteIndexedTar(
            fileObject=io.BytesIO(tar),
            writeIndex=False,
            indexFilePath=":memory:",
            ignoreZeros=True,
            isGnuIncremental=False,
        )
    rows = opened.index.get_connection().execute(
        'SELECT "offset", "size", "mode" FROM "files" WHERE NOT "isgenerated" ORDER BY "offset"'
    )
    return [(offset, size) for offset, size, mode in rows if S_ISREG(mode)]


def check_against_tarfile(found: Found, tar: bytes) -> None:
    members, refused, _, end = found
    assert isinstance(end, WalkEnd) and not end.is_truncated
    expected = files_by_tarfile(tar)
    assert [(m.name, m.header_offset, m.offset, m.size_bytes) for m in members] == [
        (tidy_name(name), *places) for name, *places in expected if name_fault(name) is None
    ]
    assert [(r.name, r.header_offset) for r in refused] == [
        # A byte that is no UTF-8 is \udcc3 to tarfile, and \xc3 for people to read.
        (name.encode(errors="surrogateescape").decode(errors="backslashreplace"), start)
        for name, start, _, _ in expected
        if name_fault(name) is not None
    ]
    for member in members:
        assert member.has_ftyp == tar[member.offset : member.offset + member.size_bytes].startswith(MP4_START[:8])


@pytest.mark.slow
def test_1000_adversarial_splittings_are_indexed_as_tarfile_and_ratarmount_do(capsys: pytest.CaptureFixture[str]):
    num_cases = num_met = num_false = num_members = num_oracle = 0
    for seed in range(1000):
        rng = random.Random(seed)
        tar = random_tar(rng)
        store, part = cut(tar, random_cuts(rng, tar))

        found, chains = told_in_random_order(store, part, rng)

        assert found == told(MemberScan(store, part)), f"seed {seed}"
        check_against_tarfile(found, tar)
        if any(tar[257:262]):  # ratarmount wants a header at the start
            num_oracle += 1
            ours = [(m.offset, m.size_bytes) for m in found[0]]
            theirs = files_by_ratarmount(tar)
            refused = len(found[1])
            assert len(theirs) == len(ours) + refused and set(ours) <= set(theirs), f"seed {seed}"
        num_cases += 1
        num_members += len(found[0])
        num_met += sum(chain.met is not None for chain in chains.chains)
        num_false += chains.false_starts()[0]
    with capsys.disabled():
        sys.stdout.write(
            f" [{num_cases} splittings, {num_members} members, {num_met} meetings, {num_false} false starts, "
            f"{num_oracle} also by ratarmount: 0 wrong] "
        )
    # That the cases are what they should be: chains meet, and are misled.
    assert num_cases >= 1000 and num_oracle >= 950
    assert num_met > 3300 and num_false > 1700


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_any_splitting_is_indexed_as_by_one_walk(rng: random.Random):
    tar = random_tar(rng)
    store, part = cut(tar, random_cuts(rng, tar))
    found, _ = told_in_random_order(store, part, rng)
    assert found == told(MemberScan(store, part))


def test_damaged_and_unfinished_tars_give_the_same_members_and_the_same_message():
    ends = []
    for seed in range(400):
        rng = random.Random(seed)
        tar = bytearray(random_tar(rng))
        if rng.random() < 0.5:
            del tar[rng.randrange(len(tar) + 1) :]
        else:
            starts = [at for _, start, data, _ in files_by_tarfile(bytes(tar)) for at in (start, data - 512)]
            at = rng.choice([*starts, 512 * rng.randrange(len(tar) // 512)])
            sparse, name = header(b"s", 0, typeflag=b"S"), header(b"x", 9, typeflag=b"L")
            tar[at : at + 512] = rng.choice([b"garbage!" * 64, sparse, name])
        store, part = cut(bytes(tar), random_cuts(rng, bytes(tar)))
        found, _ = told_in_random_order(store, part, rng)
        assert found == told(MemberScan(store, part)), f"seed {seed}"
        ends.append(found[3])
    assert sum(isinstance(end, str) for end in ends) > 60
    assert sum(isinstance(end, WalkEnd) and end.is_truncated for end in ends) > 40


def test_runs_stopped_anywhere_add_up_to_the_same_index():
    num_resumed = num_met = 0
    for seed in range(300):
        rng = random.Random(seed)
        tar = random_tar(rng)
        store, part = cut(tar, random_cuts(rng, tar))
        known: list[tuple[int, bytes]] = []
        for _ in range(rng.randint(1, 4)):
            try:
                told_in_random_order(store, part, rng, known=known, max_steps=rng.randint(1, 25))
            except Stopped as stopped:
                chains: ChainMap = stopped.args[0]
                saved = dict.fromkeys(range(len(chains.chains)), 0)
                known = chains.unsaved(saved)
                assert chains.unsaved(saved) == []
        found, chains = told_in_random_order(store, part, rng, known=known)
        assert found == told(MemberScan(store, part)), f"seed {seed}"
        num_resumed += chains.num_resumed_elements
        num_met += sum(chain.met is not None for chain in chains.chains)
    assert num_resumed > 1500 and num_met > 500


class SlowStore(MemoryStore):
    """Takes a random time for each request, so that threads take turns; may fail as it is told."""

    def __init__(
        self, files: dict[str, bytes], *, fault: Callable[[int], Exception | None] = lambda number: None
    ) -> None:
        super().__init__(files)
        self._rng = random.Random(0)
        self._fault = fault
        self.seconds = 0.0005

    def read_range(self, path: str, start: int, length: int) -> bytes:
        time.sleep(self._rng.random() * self.seconds)
        data = super().read_range(path, start, length)
        if error := self._fault(self.num_requests):
            raise error
        return data


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


def two_megabytes(count: int, seed: int = 0) -> list[int]:
    """Sizes as of clips: about 2 MB, from a tenth to ten times as much."""
    rng = random.Random(seed)
    return [int(2_000_000 * min(10.0, max(0.1, rng.lognormvariate(-0.2, 0.6)))) for _ in range(count)]


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


def many_members(count: int) -> bytes:
    rng = random.Random(1)
    files = ((b"v/%05d.mp4" % i, MP4_START + rng.randbytes(rng.randint(70_000, 90_000))) for i in range(count))
    long = extension(b"L", b"v/" + b"n" * 120 + b".mp4\0")
    tar = b"".join(long * (i % 7 == 0) + header(name, len(data)) + padded(data) for i, (name, data) in enumerate(files))
    return tar + END_MARKER


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
    slow = SlowStore(memory.files)
    slow.seconds = 0.004
    log = tmp_path / "part.chains"
    options = ChainOptions(max_chains=4, min_chain_bytes=500_000, scan_bytes=65_536)
    members = iter(ChainScan(slow, part, options=options, log=log))
    assert next(members).name == "v/" + "n" * 120 + ".mp4"
    assert threads_of_scans()
    members.close()  # type: ignore[attr-defined]
    assert not threads_of_scans()
    assert log.stat().st_size > 100

    class Cancelled(Exception):
        pass

    def progress(done: int, total: int) -> None:
        raise Cancelled(f"at {done} of {total}")

    with pytest.raises(Cancelled, match=r"at \d+ of \d+"):
        list(ChainScan(slow, part, options=options, log=log, progress=progress))
    assert not threads_of_scans()
    assert list(ChainScan(memory, part, options=options, log=log)) == list(MemberScan(memory, part))


def test_progress_grows_to_the_size_of_the_part():
    store = VirtualTar(two_megabytes(2_000), seconds_per_request=0.002)
    calls: list[tuple[int, int]] = []
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


# -- the log -----------------------------------------------------------------------------------------------------------


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
from archive.fetched import wait_until
from archive.tars import VirtualTar
from archive.test_chains import two_megabytes
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
