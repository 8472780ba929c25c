from __future__ import annotations

import io
import multiprocessing
import os
import pickle
from typing import TYPE_CHECKING, Any

import fsspec
import pytest
from datasets.utils.file_utils import xopen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.loading import run_python
from hub.releases import CLIPS_PER_PART, PARTS, payload
from opens2v_data.errors import CatalogNotFoundError, MissingPieceError
from opens2v_data.hub import filesystem
from opens2v_data.hub.filesystem import ClipFileSystem
from opens2v_data.media import Media
from opens2v_data.triples import VideoRef, clip_address

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_data.dataset import OpenS2V


def opened(address: str) -> Any:
    return fsspec.open(address)


@pytest.fixture
def addresses(many: OpenS2V) -> list[str]:
    return [row["video_path"] for row in many.rows(columns=["video_path"])]


@pytest.fixture
def address(addresses: list[str]) -> str:
    """The address of clip 6."""
    return addresses[6]


@pytest.fixture
def num_reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The ranges read from the release, as (start, length)."""
    reads: list[tuple[int, int]] = []
    original = Media.read_range

    def counted(self: Media, ref: VideoRef, start: int, length: int) -> bytes:
        reads.append((start, length))
        return original(self, ref, start, length)

    monkeypatch.setattr(Media, "read_range", counted)
    return reads


def test_a_file_has_the_bytes_of_the_clip(catalog: OpenS2V) -> None:
    found = 0
    for row in catalog.rows(columns=["video_path"]):
        if row["video_path"] is not None:
            found += 1
            with opened(row["video_path"]) as file:
                assert file.read() == catalog.read_bytes(VideoRef.from_address(row["video_path"]))
    assert found


def test_every_clip_has_its_own_bytes(addresses: list[str]) -> None:
    system = ClipFileSystem()
    assert [system.cat_file(address) for address in addresses] == [
        payload(part, n) for part in PARTS for n in range(CLIPS_PER_PART)
    ]


def test_several_clips_can_be_asked_at_once(addresses: list[str]) -> None:
    found: Any = ClipFileSystem().cat(addresses[:3])
    names = [address.removeprefix("opens2v://") for address in addresses[:3]]
    assert found == {name: payload(PARTS[0], number) for number, name in enumerate(names)}


@pytest.mark.parametrize("whole_bytes", [10_000, 100])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=30, deadline=None
)
@given(st.lists(st.tuples(st.integers(-300, 300), st.sampled_from([0, 1, 2]), st.integers(-1, 300)), max_size=6))
def test_seeks_and_reads_are_those_of_a_file(whole_bytes: int, address: str, steps: list[tuple[int, int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filesystem, "WHOLE_BYTES", whole_bytes)
        patch.setattr(filesystem, "BLOCK_BYTES", 64)
        model = io.BytesIO(payload(PARTS[0], 6))
        with opened(address) as file:
            for offset, whence, size in steps:
                target = offset + [0, model.tell(), len(model.getvalue())][whence]
                if target >= 0:
                    assert file.seek(offset, whence) == model.seek(offset, whence)
                    assert file.read(size) == model.read(size)


@given(start=st.none() | st.integers(-400, 400), end=st.none() | st.integers(-400, 400))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=50, deadline=None
)
def test_ranges_are_those_of_slices(address: str, start: int | None, end: int | None) -> None:
    assert ClipFileSystem().cat_file(address, start, end) == payload(PARTS[0], 6)[start:end]


def test_a_clip_is_read_at_once_however_it_is_used(addresses: list[str], num_reads: list[tuple[int, int]]) -> None:
    with opened(addresses[5]) as file:
        for at in (0, 300, 10, 390):
            file.seek(at)
            file.read(8)
    assert num_reads == [(0, len(payload(PARTS[0], 5)))]


def test_of_a_long_clip_only_the_blocks_in_use_are_read(
    addresses: list[str], num_reads: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "WHOLE_BYTES", 100)
    monkeypatch.setattr(filesystem, "BLOCK_BYTES", 64)
    with opened(addresses[5]) as file:
        for at in (0, 8, 200, 16):
            file.seek(at)
            file.read(8)
    assert num_reads == [(0, 64), (192, 64)]


def test_size_and_existence_are_told_without_opening(addresses: list[str]) -> None:
    system = ClipFileSystem()
    assert system.size(addresses[4]) == len(payload(PARTS[0], 4))
    assert system.info(addresses[4])["type"] == "file"
    assert system.ls(addresses[4], detail=False) == [addresses[4].removeprefix("opens2v://")]
    assert system.exists(addresses[4]) and system.isfile(addresses[4]) and not system.isdir(addresses[4])


def test_what_is_not_there_does_not_exist(many: OpenS2V, addresses: list[str], tmp_path: Path) -> None:
    system = ClipFileSystem()
    ref = VideoRef.from_address(addresses[0])
    past_the_end = clip_address(ref.catalog_root, ref.part, ref.member, 10**9, 10)
    other_catalog = clip_address(tmp_path, ref.part, ref.member, ref.offset, ref.size_bytes)
    other_part = clip_address(ref.catalog_root, "total_part9", ref.member, ref.offset, ref.size_bytes)
    for address in (past_the_end, other_catalog, other_part, "opens2v://nowhere"):
        assert not system.exists(address)
    with pytest.raises(FileNotFoundError, match="take it from a row's video_path"):
        system.open("opens2v://nowhere")
    with pytest.raises(CatalogNotFoundError, match="expected a catalog"):
        system.open(other_catalog)
    with pytest.raises(MissingPieceError, match="reach past"):
        system.cat_file(past_the_end)


def test_a_member_name_that_leaves_the_part_is_refused(sample: OpenS2V) -> None:
    root = sample.catalog.root
    assert not ClipFileSystem().exists(f"{clip_address(root, '../../etc', 'passwd', 0, 10)}")


@pytest.mark.parametrize("mode", ["wb", "ab", "xb", "r+b"])
def test_clips_cannot_be_written(addresses: list[str], mode: str) -> None:
    with pytest.raises(OSError, match=rf"clips are read-only, cannot be opened with mode '{mode[0]}"):
        ClipFileSystem().open(addresses[0], mode)


def test_datasets_opens_an_address(addresses: list[str]) -> None:
    with xopen(addresses[8], "rb") as file:
        assert file.read() == payload(PARTS[0], 8)


def test_another_place_of_the_release_is_used_at_once(
    addresses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ClipFileSystem().exists(addresses[0])
    monkeypatch.setenv("OPENS2V_RELEASE", str(tmp_path / "gone"))
    with pytest.raises(MissingPieceError, match=r"expected the release at .*gone"):
        ClipFileSystem().cat_file(addresses[0])


def test_an_opened_clip_goes_to_another_process(addresses: list[str]) -> None:
    with opened(addresses[2]) as file:
        file.seek(5)
        with pickle.loads(pickle.dumps(file)) as copied:
            assert copied.read() == payload(PARTS[0], 2)[5:]


def _read_all(addresses: list[str]) -> list[bytes]:
    return [ClipFileSystem().cat_file(address) for address in addresses]


def _read_in_child(addresses: list[str], file: Any, results: Any) -> None:
    file.seek(0)
    results.put((os.getpid(), _read_all(addresses), file.read()))


def test_a_forked_process_reads_on_its_own(addresses: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "WHOLE_BYTES", 100)  # so that the opened file has something left to read
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    with opened(addresses[1]) as file:
        expected = _read_all(addresses[:50])
        child = fork.Process(target=_read_in_child, args=(addresses[:50], file, results))
        child.start()
        child.join(250)
        assert child.exitcode == 0
        pid, found, own = results.get()
    assert pid != os.getpid() and found == expected and own == payload(PARTS[0], 1)


def test_a_fresh_process_opens_an_address(addresses: list[str], nothing_named: Path) -> None:
    code = f"import opens2v_data, fsspec; print(len(fsspec.open({addresses[0]!r}).open().read()))"
    assert run_python(code, folder=nothing_named) == str(len(payload(PARTS[0], 0)))
