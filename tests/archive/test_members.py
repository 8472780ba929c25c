import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.tars import MP4_START, extension, header, padded, pax_record
from opens2v_data.archive import Member, Refused, Skipped, drive, fold, starts_like_mp4, walk
from opens2v_data.errors import TarFormatError


def folded(tar: bytes) -> list[Member | Refused | Skipped]:
    return list(fold(drive(walk(len(tar)), lambda start, length: tar[start : start + length])))


def names(tar: bytes) -> list[str]:
    return [entry.name for entry in folded(tar) if isinstance(entry, Member)]


FILE = header(b"own", 1) + padded(b"1")


def test_a_long_name_counts_for_the_next_file_only_and_starts_its_member():
    tar = FILE + extension(b"K", b"link\0") + extension(b"L", b"a/" * 200 + b"long\0rest") + FILE + FILE
    first, second, third = folded(tar)
    assert isinstance(first, Member) and isinstance(second, Member) and isinstance(third, Member)
    assert (first.name, second.name, third.name) == ("own", "a/" * 200 + "long", "own")
    assert (second.header_offset, second.offset) == (1024, 1024 + 1024 + 1024 + 512)
    assert tar[second.offset : second.offset + second.size_bytes] == b"1"


def test_a_pax_path_goes_before_a_long_name_and_a_global_one_comes_last():
    path = extension(b"x", pax_record(b"path", b"pax"))
    for_all = extension(b"g", pax_record(b"path", b"for all"))
    long_name = extension(b"L", b"long\0")
    assert names(path + FILE + FILE) == ["pax", "own"]
    assert names(path + long_name + FILE) == names(long_name + path + FILE) == ["pax"]
    assert names(for_all + FILE + path + FILE + FILE) == ["for all", "pax", "for all"]
    assert names(for_all + extension(b"x", pax_record(b"path", b"")) + FILE) == ["own"]


def test_a_global_header_without_members_or_before_a_link_changes_nothing():
    comment = extension(b"g", pax_record(b"comment", b"c"))
    assert folded(comment + bytes(1024)) == []
    link = extension(b"L", b"long\0") + header(b"l", 0, typeflag=b"2")
    assert folded(comment + link + FILE) == [
        Skipped(header_offset=1024, kind="symlink"),
        Member(name="own", header_offset=2560, offset=3072, size_bytes=1, has_ftyp=False),
    ]


def test_what_holds_no_file_is_skipped_by_kind():
    tar = b"".join(header(b"n", 0, typeflag=flag) for flag in (b"1", b"2", b"5", b"6", b"V")) + FILE
    kinds = [entry.kind for entry in folded(tar) if isinstance(entry, Skipped)]
    assert kinds == ["hard link", "symlink", "directory", "fifo", "type b'V'"]
    assert names(tar) == ["own"]


@pytest.mark.parametrize(
    ("raw", "printed", "reason"),
    [
        (b"/etc/passwd", "/etc/passwd", "absolute"),
        (b"../up.mp4", "../up.mp4", "climbs out"),
        (b"a/../../up.mp4", "a/../../up.mp4", "climbs out"),
        (b"clip\xff.mp4", "clip\\xff.mp4", "not UTF-8"),
        (b"clip\xed\xa0\xbd.mp4", "clip\\xed\\xa0\\xbd.mp4", "not UTF-8"),
        (b"", "", "empty"),
        (b"./", "./", "empty"),
        (b"folder/", "folder/", "like a folder"),
    ],
)
def test_a_bad_name_is_reported_and_the_next_member_is_found(raw: bytes, printed: str, reason: str):
    refused, after = folded(header(raw, 3) + padded(b"bad") + FILE)
    assert isinstance(refused, Refused) and isinstance(after, Member)
    assert (refused.name, refused.header_offset) == (printed, 0)
    assert reason in refused.reason
    assert after.header_offset == 1024


def test_a_nul_inside_a_pax_path_is_refused():
    refused, after = folded(extension(b"x", pax_record(b"path", b"a\0b")) + FILE + FILE)
    assert isinstance(refused, Refused) and "NUL" in refused.reason
    assert isinstance(after, Member)


def test_dots_and_doubled_slashes_leave_the_name():
    assert names(header(b"./part//clip.mp4", 0)) == ["part/clip.mp4"]


def test_a_contiguous_file_is_a_file():
    assert names(header(b"a", 0, typeflag=b"7")) == ["a"]


def test_a_pax_sparse_file_is_refused_with_its_place():
    tar = FILE + extension(b"x", pax_record(b"GNU.sparse.major", b"1")) + FILE
    with pytest.raises(TarFormatError, match=r"byte 1024: b'own' is a GNU sparse file.*without --sparse"):
        folded(tar)


def test_an_mp4_is_known_by_its_first_box():
    assert starts_like_mp4(MP4_START)
    assert not starts_like_mp4(b"ftyp" + MP4_START)
    assert not starts_like_mp4(b"\0\0\0\x18fty")
    assert not starts_like_mp4(b"")
    first, second = folded(header(b"a", 16) + padded(MP4_START) + header(b"b", 7) + padded(b"\0\0\0\x18fty"))
    assert isinstance(first, Member) and first.has_ftyp is True
    assert isinstance(second, Member) and second.has_ftyp is False


@given(st.binary(min_size=1, max_size=60).filter(lambda raw: b"\0" not in raw))
def test_any_name_is_a_member_or_a_refusal(raw: bytes):
    (entry,) = folded(header(raw, 0))
    if isinstance(entry, Member):
        assert entry.name.encode() == raw or b"." in raw or b"//" in raw
    else:
        assert isinstance(entry, Refused)
        entry.name.encode()  # can be written anywhere
