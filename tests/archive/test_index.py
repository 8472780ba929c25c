import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.tars import END_MARKER, MP4_START, base256, cut, extension, header, padded, pax_record, written_by_tarfile
from opens2v_data.archive import (
    LocalStore,
    Member,
    MemberScan,
    MemoryStore,
    Part,
    PartReader,
    Piece,
    Refused,
    drive,
    fold,
    index_files,
    index_part,
    name_fault,
    tidy_name,
    walk,
)
from opens2v_data.errors import MissingPieceError, TarFormatError

RELEASE = Path(__file__).parents[3] / "shared/upstream_sample/release"
DECOY = header(b"decoy.mp4", 999) + extension(b"L", b"decoy\0") + header(b"decoy/", 0, typeflag=b"5")

letters = st.sampled_from("abcXYZ0189 _-.éя中😀\\:")
components = st.text(letters, min_size=1, max_size=120)
file_names = st.lists(components, min_size=1, max_size=4).map("/".join).map(lambda name: name[:300].rstrip("/"))
payloads = st.one_of(
    st.integers(0, 3000).map(lambda size: (MP4_START + b"\xab" * size)[:size]),
    st.binary(max_size=64),
    st.integers(0, 600).map(lambda size: DECOY + b"d" * size),
)


@st.composite
def handmade_members(draw: st.DrawFn) -> bytes:
    """A tar without end marker whose sizes stand where `tarfile` would not put them."""
    tar = b""
    for payload in draw(st.lists(payloads, max_size=3)):
        kind = draw(st.sampled_from(["base256", "pax size", "pax size before long name", "folder", "link"]))
        if kind == "base256":
            tar += header(b"big.mp4", base256(len(payload))) + padded(payload)
        elif kind == "pax size":
            size = extension(b"x", pax_record(b"size", b"%d" % len(payload)))
            tar += size + header(b"sized.mp4", 0) + padded(payload)
        elif kind == "pax size before long name":
            tar += extension(b"x", pax_record(b"size", b"%d" % len(payload)) + pax_record(b"path", b"named.mp4"))
            tar += extension(b"L", b"other.mp4\0") + header(b"own", 0) + padded(payload)
        else:
            tar += header(b"n", len(payload), typeflag=b"5" if kind == "folder" else b"2")
    return tar


@st.composite
def tars(draw: st.DrawFn) -> bytes:
    """One to three concatenated tars, each with or without its end marker, and trailing zeros."""
    tar = b""
    for _ in range(draw(st.integers(1, 3))):
        files = draw(st.lists(st.tuples(file_names, payloads), max_size=5))
        format = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT]))
        written = written_by_tarfile(files, format=format)
        tar += written if draw(st.booleans()) else padded(written.rstrip(b"\0")) + END_MARKER
        tar += draw(handmade_members())
    return tar + bytes(draw(st.sampled_from([0, 1, 511, 512, 1024, 9000])))


def members_by_tarfile(tar: bytes) -> list[tuple[str, int | None, int, int]]:
    with tarfile.open(fileobj=io.BytesIO(tar), ignore_zeros=True, encoding="utf-8") as opened:
        return [
            (info.name, info.offset, info.offset_data, info.size)
            for info in opened
            if info.isreg() and info.type != tarfile.GNUTYPE_SPARSE
        ]


@settings(max_examples=200, deadline=None)
@given(tars(), st.lists(st.integers(0, 2**40), max_size=8), st.data())
def test_members_and_their_bytes_are_those_of_tarfile_wherever_the_pieces_are_cut(
    tar: bytes, cuts: list[int], data: st.DataObject
):
    expected = members_by_tarfile(tar)
    # Cut where it hurts as well: inside headers, and between an extension and its file.
    borders = [offset for _, start, payload, _ in expected for offset in (start, payload - 512, payload)]
    if borders:
        near = st.builds(int.__add__, st.sampled_from(borders), st.integers(0, 300))
        cuts = cuts + data.draw(st.lists(near, max_size=8))
    store, part = cut(tar, cuts)

    index = index_part(store, part)

    good = [(tidy_name(name), *rest) for name, *rest in expected if name_fault(name) is None]
    assert [(m.name, m.header_offset, m.offset, m.size_bytes) for m in index.members] == good
    assert [(refused.name, refused.header_offset) for refused in index.refused] == [
        (name, start) for name, start, _, _ in expected if name_fault(name) is not None
    ]
    assert not index.is_truncated
    reader = PartReader(store, part)
    for member in index.members:
        payload = reader.read_member(name=member.name, offset=member.offset, size_bytes=member.size_bytes)
        assert payload == tar[member.offset : member.offset + member.size_bytes]
        assert member.has_ftyp == payload.startswith(MP4_START[:8])


@settings(max_examples=100, deadline=None)
@given(tars(), st.integers(0, 2**40))
def test_a_tar_cut_anywhere_gives_exactly_the_members_that_lie_before_the_cut(tar: bytes, at: int):
    length = at % (len(tar) + 1)
    whole = index_part(*cut(tar))
    index = index_part(*cut(tar[:length]))
    assert index.members == tuple(m for m in whole.members if m.offset + m.size_bytes <= length)
    if index.is_truncated:
        # More bytes arrive: the walk goes on where it stopped.
        rest = drive(walk(len(tar), start=index.end_offset), lambda start, length: tar[start : start + length])
        assert index.members + tuple(m for m in fold(rest) if isinstance(m, Member)) == whole.members


@settings(max_examples=50, deadline=None)
@given(tars())
def test_a_walk_from_any_member_on_finds_the_members_behind_it(tar: bytes):
    members = index_part(*cut(tar)).members
    for number, member in enumerate(members):
        assert member.header_offset is not None
        steps = walk(len(tar), start=member.header_offset)
        entries = fold(drive(steps, lambda start, length: tar[start : start + length]))
        assert tuple(entry for entry in entries if isinstance(entry, Member)) == members[number:]


def test_a_scan_gives_members_before_a_bad_header_and_tells_where_it_is():
    tar = written_by_tarfile([("a.mp4", b"1"), ("b.mp4", b"2")]).rstrip(b"\0")
    store, part = cut(padded(tar) + b"garbage!" * 64, [1500])
    scan = MemberScan(store, part)
    members = iter(scan)
    assert [next(members).name, next(members).name] == ["a.mp4", "b.mp4"]
    with pytest.raises(
        TarFormatError, match=r"part total_part1, byte 2048 \(piece .*split\.001, byte 548\): expected a"
    ):
        next(members)
    assert scan.end is None


def test_a_scan_can_be_repeated_and_tells_what_else_it_found():
    tar = header(b"d/", 0, typeflag=b"5") + header(b"l", 0, typeflag=b"1") + header(b"../x", 0) + header(b"a", 0)
    store, part = cut(tar + END_MARKER)
    scan = MemberScan(store, part)
    for _ in range(2):
        assert [member.name for member in scan] == ["a"]
        assert scan.skipped_by_kind == {"directory": 1, "hard link": 1}
        assert [(refused.name, refused.header_offset) for refused in scan.refused] == [("../x", 1024)]
        assert scan.end is not None and scan.end.has_end_marker


def test_large_members_cost_one_small_request_each_and_small_ones_share_large_requests():
    large = written_by_tarfile([(f"{i}.mp4", bytes(200_000)) for i in range(20)])
    store, part = cut(large)
    assert len(index_part(store, part).members) == 20
    assert store.num_requests <= 25
    assert store.num_bytes < 100_000

    store, part = cut(written_by_tarfile([(f"{i}.mp4", bytes(900)) for i in range(3000)]))
    assert len(index_part(store, part).members) == 3000
    assert store.num_requests <= 20


def test_progress_grows_to_the_size_of_the_part():
    size = 5 << 20
    tar = b"".join(header(b"a", size) + bytes(size) for _ in range(10))
    store, part = cut(tar, [7_000_001])
    calls: list[tuple[int, int]] = []
    index_part(store, part, progress=lambda done, total: calls.append((done, total)))
    assert len(calls) > 2
    assert calls == sorted(calls)
    assert {total for _, total in calls} == {len(tar)}
    assert calls[-1] == (len(tar), len(tar))


def test_a_missing_or_changed_piece_is_found_before_the_first_member_even_if_no_header_lies_in_it():
    store, part = cut(header(b"a", 400_000) + padded(bytes(400_000)), [100_000, 200_000, 300_000])
    store.files["Videos/total_part1/total_part1.tar.split.002"] += b"!"
    with pytest.raises(MissingPieceError, match=r"split\.002 has 100001 bytes, recorded were 100000"):
        next(iter(MemberScan(store, part)))
    del store.files["Videos/total_part1/total_part1.tar.split.001"]
    with pytest.raises(MissingPieceError, match=r"part total_part1: .*split\.001 is not in this store"):
        index_part(store, part)


def test_unpacked_files_are_indexed_from_their_names_and_sizes():
    part = Part(name="p", layout="files", root="Videos/p")
    files = [("a/b.mp4", len(MP4_START)), ("./c.txt", 3), ("../d.mp4", 1), ("\ud83d.mp4", 1)]
    index = index_files(part, files)
    assert index.members == (
        Member(name="a/b.mp4", header_offset=None, offset=0, size_bytes=16, has_ftyp=None),
        Member(name="c.txt", header_offset=None, offset=0, size_bytes=3, has_ftyp=None),
    )
    assert [refused.name for refused in index.refused] == ["../d.mp4", "\\ud83d.mp4"]
    assert all(isinstance(refused, Refused) and refused.header_offset is None for refused in index.refused)

    store = MemoryStore({"Videos/p/a/b.mp4": MP4_START, "Videos/p/c.txt": b"txt"})
    assert [member.has_ftyp for member in index_files(part, files[:2], store=store).members] == [True, False]


def test_each_layout_has_its_own_way_to_be_indexed():
    store, tar = cut(END_MARKER)
    files = Part(name="p", layout="files", root="Videos/p")
    with pytest.raises(ValueError, match="part p holds unpacked files, not a tar; use index_files"):
        index_part(store, files)
    with pytest.raises(ValueError, match="part total_part1 is a split-tar, not unpacked files; use index_part"):
        index_files(tar, [])


@pytest.mark.skipif(not RELEASE.is_dir(), reason=f"upstream's sample release is not at {RELEASE}")
@pytest.mark.parametrize("name", ["dataset1", "dataset1_cluster"])
def test_upstreams_clip_read_through_its_split_tar_is_the_one_tarfile_finds_in_the_joined_tar(name: str):
    store = LocalStore(RELEASE)
    paths = sorted(path.relative_to(RELEASE).as_posix() for path in (RELEASE / "Videos" / name).iterdir())
    part = Part(
        name=name, layout="split-tar", pieces=tuple(Piece(path=path, size_bytes=store.size(path)) for path in paths)
    )
    assert [piece.size_bytes for piece in part.pieces[:-1]] == [700_001] * 3

    index = index_part(store, part)
    (member,) = index.members
    assert member.has_ftyp and index.has_end_marker and not index.refused
    assert index.skipped_by_kind == {"directory": 1}
    assert len(part.spans(member.offset, member.size_bytes)) == 4
    clip = PartReader(store, part).read_member(name=member.name, offset=member.offset, size_bytes=member.size_bytes)

    joined = io.BytesIO(b"".join((RELEASE / path).read_bytes() for path in paths))
    with tarfile.open(fileobj=joined) as opened:
        extracted = opened.extractfile(member.name)
        assert extracted is not None
        assert hashlib.sha256(clip).digest() == hashlib.sha256(extracted.read()).digest()
