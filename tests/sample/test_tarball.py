"""The tars: GNU format, opened by `tarfile` once joined, cut in awkward places."""

from __future__ import annotations

import hashlib
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2v_data.sample.tarball import build_tar, choose_piece_size

if TYPE_CHECKING:
    from opens2v_data.sample import SampleFacts


def test_members_are_where_the_facts_say_and_have_their_bytes(
    written_sample: SampleFacts, joined_tars: dict[str, bytes]
) -> None:
    for part, data in joined_tars.items():
        with tarfile.open(fileobj=BytesIO(data)) as tar:
            found = {member.name: (member.offset_data, member.size) for member in tar if member.isfile()}
        expected = {v.member: (v.offset, v.size_bytes) for v in written_sample.videos if v.part == part}
        assert found == expected
    for video in written_sample.videos:
        mp4 = joined_tars[video.part][video.offset : video.offset + video.size_bytes]
        assert hashlib.sha256(mp4).hexdigest() == video.sha256


def test_every_folder_comes_before_what_lies_in_it(joined_tars: dict[str, bytes]) -> None:
    for data in joined_tars.values():
        seen: set[str] = set()
        with tarfile.open(fileobj=BytesIO(data)) as tar:
            for member in tar:
                parent = member.name.rpartition("/")[0]
                assert not parent or parent in seen
                if member.isdir():
                    seen.add(member.name)
        assert seen


def test_one_part_is_nested_and_the_other_flat(written_sample: SampleFacts) -> None:
    depths = {
        part: {v.member.count("/") for v in written_sample.videos if v.part == part} for part in written_sample.parts
    }
    assert depths == {"total_part1": {2}, "total_part2": {1}}
    for video in written_sample.videos:
        assert video.member.removeprefix("total_part2/") == video.record_path


def test_pieces_are_of_awkward_sizes_and_cut_members_and_headers(
    written_sample: SampleFacts, joined_tars: dict[str, bytes]
) -> None:
    assert len(set(written_sample.piece_sizes.values())) == 2
    for part, data in joined_tars.items():
        size = written_sample.piece_sizes[part]
        pieces = sorted((written_sample.root / "Videos" / part).iterdir())
        assert size % 512 and len(pieces) >= 3
        assert [path.stat().st_size for path in pieces[:-1]] == [size] * (len(pieces) - 1)
        cuts = range(size, len(data), size)
        files = [range(v.offset + 1, v.offset + v.size_bytes) for v in written_sample.videos if v.part == part]
        with tarfile.open(fileobj=BytesIO(data)) as tar:
            headers = [range(member.offset + 1, member.offset_data) for member in tar]
        assert any(cut in file for cut in cuts for file in files)
        assert any(cut in header for cut in cuts for header in headers)


def test_a_name_of_more_than_a_hundred_bytes_has_its_own_element(
    written_sample: SampleFacts, joined_tars: dict[str, bytes]
) -> None:
    assert [len(video.member) > 100 for video in written_sample.videos].count(True) == 1
    assert joined_tars["total_part1"].count(b"././@LongLink") >= 1
    assert b"ustar  \0" in joined_tars["total_part1"][:512]
    assert all(len(data) % 10_240 == 0 for data in joined_tars.values())


@given(sizes=st.lists(st.integers(0, 3000), min_size=3, max_size=6))
def test_any_files_come_back_from_tarfile(sizes: list[int]) -> None:
    files = [(f"a/{'b' * (40 * number)}/{number}.mp4", bytes([number]) * size) for number, size in enumerate(sizes)]
    tar = build_tar(files)
    with tarfile.open(fileobj=BytesIO(tar.data)) as opened:
        members = [member for member in opened if member.isfile()]
    assert [(member.name, member.size) for member in members] == [(name, len(data)) for name, data in files]
    assert [member.offset_data for member in members] == [tar.offsets[name] for name, _ in files]


def test_a_tar_too_short_to_be_cut_in_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match="no piece size from 1000001 bytes on cuts a header"):
        choose_piece_size(build_tar([("a/b.mp4", b"x")]), at_least=1_000_001)
