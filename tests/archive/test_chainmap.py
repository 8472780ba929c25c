"""Chains walked step by step in any order find what one walk finds, and what other readers of tars do."""

from __future__ import annotations

import contextlib
import io
import logging
import random
import sys
import tarfile
from stat import S_ISREG

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.chained import Found, told
from archive.tars import MP4_START, cut, header, random_cuts, random_tar
from opens2v_data.archive import Member, MemberScan, MemoryStore, Part, PartReader, Refused, fold, name_fault, tidy_name
from opens2v_data.archive.chainmap import Chain, ChainMap
from opens2v_data.archive.tarwalk import WalkEnd
from opens2v_data.errors import TarFormatError


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
