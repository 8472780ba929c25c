import re

import pytest

from archive.tars import END_MARKER, MP4_START, base256, cut, extension, header, padded, pax_record
from opens2v_data.archive import Element, Need, WalkEnd, drive, walk
from opens2v_data.archive.tarwalk import MAX_EXTENSION_BYTES
from opens2v_data.errors import TarFormatError


def walked(tar: bytes, start: int = 0) -> tuple[list[Element], WalkEnd]:
    elements: list[Element] = []
    steps = drive(walk(len(tar), start=start), lambda start, length: tar[start : start + length])
    while True:
        try:
            elements.append(next(steps))
        except StopIteration as stop:
            return elements, stop.value


def file(name: bytes, payload: bytes) -> bytes:
    return header(name, len(payload)) + padded(payload)


def test_a_walk_asks_for_one_and_a_half_kilobyte_per_member_and_gets_its_first_bytes():
    payload = MP4_START + bytes(5000 - len(MP4_START))
    tar = file(b"a", payload) + file(b"b", b"x" * 600) + END_MARKER
    steps = walk(len(tar))
    assert next(steps) == Need(0, 1536)
    assert steps.send(tar[:1536]) == Element(0, 512, 5000, b"0", b"a", payload[:1024])
    assert next(steps) == Need(5632, 1536)
    assert steps.send(tar[5632:7168]) == Element(5632, 6144, 600, b"0", b"b", b"x" * 600)
    assert next(steps) == Need(7168, 1024)
    with pytest.raises(StopIteration, match="WalkEnd"):
        steps.send(tar[7168:])


def test_the_end_tells_a_finished_tar_from_one_without_its_marker():
    tar = file(b"a", b"1") + file(b"b", b"")
    assert walked(tar + END_MARKER)[1] == WalkEnd(len(tar) + 1024, False, True)
    assert walked(tar + bytes(512 + 100))[1] == WalkEnd(len(tar) + 512, False, True)
    assert walked(tar)[1] == WalkEnd(len(tar), False, False)
    assert walked(b"") == ([], WalkEnd(0, False, False))


@pytest.mark.parametrize("length", [2048 + 1, 2048 + 511, 2048 + 512, 2048 + 700, 2048 + 1024, 2048 + 3000])
def test_a_tar_cut_inside_a_member_keeps_what_is_whole_and_tells_where_to_go_on(length: int):
    tar = file(b"a", b"x" * 1500) + extension(b"L", b"long\0") + file(b"b", b"y" * 4000)
    elements, end = walked(tar[:length])
    assert [element.name_raw for element in elements if element.typeflag == b"0"] == [b"a"]
    assert end == WalkEnd(2048, True, False)


def test_a_tar_cut_in_the_padding_keeps_the_member_and_counts_as_truncated():
    tar = file(b"a", b"x" * 1500)
    elements, end = walked(tar[: 512 + 1500])
    assert [element.name_raw for element in elements] == [b"a"]
    assert end == WalkEnd(2048, True, False)
    assert walked(tar[: 512 + 1499]) == ([], WalkEnd(0, True, False))


def test_zeros_between_concatenated_tars_are_passed_over_in_growing_steps():
    gap = bytes(512 * 3000)
    tar = file(b"a", b"1") + gap + file(b"b", b"2") + file(b"c", bytes(5000))
    lengths: list[int] = []

    def read(start: int, length: int) -> bytes:
        lengths.append(length)
        return tar[start : start + length]

    assert [element.name_raw for element in drive(walk(len(tar)), read)] == [b"a", b"b", b"c"]
    assert len(lengths) <= 12
    assert lengths[0] == lengths[-1] == 1536
    assert max(lengths) <= 1 << 20


def test_base_256_and_pax_sizes_move_the_walk():
    plain = b"x" * 1000
    tar = (
        header(b"a", base256(1000))
        + padded(plain)
        + extension(b"x", pax_record(b"size", b"1000"))
        + header(b"b", 0)
        + padded(plain)
        + extension(b"x", pax_record(b"size", b"1000"))
        + extension(b"x", pax_record(b"mtime", b"1.5"))
        + extension(b"L", b"long name\0")
        + header(b"c", 7)
        + padded(plain)
        + file(b"d", b"last")
    )
    files = [element for element in walked(tar)[0] if not element.is_extension]
    assert [(element.name_raw, element.size_bytes) for element in files] == [
        (b"a", 1000), (b"b", 1000), (b"c", 1000), (b"d", 4),
    ]  # fmt: skip
    assert all(tar[element.data_offset :][:4] == element.head[:4] for element in files)


def test_an_extension_longer_than_the_read_ahead_is_asked_for():
    payload = pax_record(b"comment", b"c" * 5000)
    tar = extension(b"x", payload) + file(b"a", b"1")
    elements, _ = walked(tar)
    assert elements[0].head == payload


def test_links_and_folders_have_no_payload_whatever_their_size_field_says():
    tar = b"".join(header(b"n", 4096, typeflag=flag) for flag in (b"1", b"2", b"3", b"4", b"5", b"6"))
    tar += header(b"v7/", 4096, typeflag=b"\0", magic=b"") + header(b"v7", 1, typeflag=b"\0", magic=b"") + padded(b"1")
    elements, end = walked(tar)
    assert [element.size_bytes for element in elements] == [0] * 7 + [1]
    assert [element.typeflag for element in elements[-2:]] == [b"5", b"0"]
    assert not end.is_truncated


def test_a_long_name_cut_at_a_slash_is_no_folder_of_v7():
    long_name = extension(b"L", b"folder/clip.mp4\0")
    elements, _ = walked(long_name + header(b"folder/", 1, typeflag=b"\0") + padded(b"1") + file(b"a", b""))
    assert [(element.typeflag, element.size_bytes) for element in elements[1:]] == [(b"0", 1), (b"0", 0)]


def test_a_walk_from_any_later_header_finds_the_same_elements():
    tar = b"".join(file(b"%d" % i, b"x" * (i * 300)) + extension(b"L", b"n" * i) + file(b"f", b"") for i in range(9))
    elements, end = walked(tar + END_MARKER)
    for number, element in enumerate(elements):
        assert walked(tar + END_MARKER, element.header_offset) == (elements[number:], end)


@pytest.mark.parametrize("start", [-512, 1, 700])
def test_a_start_that_no_header_can_have_is_the_callers_mistake(start: int):
    with pytest.raises(ValueError, match=f"headers start at multiples of 512, got start {start}"):
        next(walk(10_000, start=start))


SPARSE = header(b"s", 0, typeflag=b"S")


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b"garbage " * 64, "expected a tar header, but the checksum field .*; check that all pieces are there"),
        (SPARSE, "b's' is a GNU sparse file.*without --sparse"),
        (extension(b"L", b"n\0") + END_MARKER, "a long name or PAX header is followed by zeros"),
        (extension(b"x", b"nonsense") + SPARSE, "byte 0 of the PAX header does not start"),
        (extension(b"x", pax_record(b"size", b"-1")) + SPARSE, "the PAX size is b'-1', not a number"),
        (extension(b"g", pax_record(b"size", b"1")), "a PAX header gives all members one size"),
        (extension(b"L", bytes(MAX_EXTENSION_BYTES + 1)), "header of at most 1048576 bytes, found 1048577"),
    ],
    ids=["garbage", "sparse", "orphan", "bad-pax", "bad-pax-size", "global-size", "huge-name"],
)
def test_what_is_no_usable_header_is_refused_with_part_byte_and_piece(tail: bytes, message: str):
    tar = file(b"a", b"1") + tail
    _, part = cut(tar, [700])
    elements = drive(walk(len(tar), where=part.where), lambda start, length: tar[start : start + length])
    assert next(elements).name_raw == b"a"
    place = re.escape("part total_part1, byte 1024 (piece Videos/total_part1/total_part1.tar.split.001, byte 324)")
    with pytest.raises(TarFormatError, match=f"{place}: .*{message}"):
        list(elements)
