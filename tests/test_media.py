"""Bytes of clips, views and plates: the same wherever the release lies and however its videos are stored."""

from __future__ import annotations

import hashlib
import io
import shutil
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from opens2v_data.catalog.ingest import ingest
from opens2v_data.errors import ArchiveError, MemberNotFoundError, MissingPieceError
from opens2v_data.media import RELEASE_VARIABLE
from opens2v_data.release.layout import Release
from opens2v_data.triples import VideoRef

if TYPE_CHECKING:
    from opens2v_data.sample import SampleFacts


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tester's own release is not asked."""
    monkeypatch.delenv(RELEASE_VARIABLE, raising=False)


def refs(dataset: opens2v_data.OpenS2V) -> dict[str, VideoRef]:
    """Return where each clip's video lies, by clip key."""
    return {triple.clip.key: triple.clip.video for triple in dataset.triples() if triple.clip.video is not None}


def digests(dataset: opens2v_data.OpenS2V) -> dict[str, str]:
    """Return the SHA-256 of each clip's video, by clip key."""
    return {key: hashlib.sha256(dataset.read_bytes(ref)).hexdigest() for key, ref in refs(dataset).items()}


@pytest.fixture(scope="module")
def truth(sample_facts: SampleFacts) -> dict[str, str]:
    """The same, known from making the videos."""
    return {clip.key: clip.video.sha256 for clip in sample_facts.clips if clip.video is not None}


@pytest.fixture
def moved(sample_release: Path, sample_catalog: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A catalog whose release is gone from where it was, and where the release is now."""
    old = shutil.copytree(sample_release, tmp_path / "old")
    result = ingest(Release.open(str(old)), tmp_path / "catalog")
    assert result.manifest is not None
    shutil.move(old, tmp_path / "new")
    return tmp_path / "catalog", tmp_path / "new"


def test_bytes_come_from_where_the_catalog_was_made(sample_catalog: Path, truth: dict[str, str]) -> None:
    assert digests(opens2v_data.open(sample_catalog)) == truth


def test_a_release_that_was_moved_is_named_by_argument_or_variable(
    moved: tuple[Path, Path], truth: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    catalog, new = moved
    assert digests(opens2v_data.open(catalog, release=new)) == truth
    monkeypatch.setenv(RELEASE_VARIABLE, str(new))
    assert digests(opens2v_data.open(catalog)) == truth
    # The argument is nearer than the variable.
    monkeypatch.setenv(RELEASE_VARIABLE, str(tmp_path / "elsewhere"))
    assert digests(opens2v_data.open(catalog, release=new)) == truth


def test_a_release_that_is_gone_gives_rows_and_a_message_instead_of_bytes(
    moved: tuple[Path, Path], sample_facts: SampleFacts
) -> None:
    dataset = opens2v_data.open(moved[0])
    assert len(list(dataset.rows())) == len(sample_facts.clips)
    ref = next(iter(refs(dataset).values()))
    missing = r"expected the release at .*old, found no folder.* OPENS2V_RELEASE=… or --release"
    with pytest.raises(MissingPieceError, match=missing):
        dataset.read_bytes(ref)
    with pytest.raises(MissingPieceError, match=missing):
        dataset.media.read_range(ref, 0, 1)
    with pytest.raises(MissingPieceError, match=missing):
        dataset.media.read_file(sample_facts.views[0].path)


def test_ranges_are_slices_of_the_whole(sample_catalog: Path) -> None:
    dataset = opens2v_data.open(sample_catalog)
    for ref in refs(dataset).values():
        whole, size = dataset.read_bytes(ref), ref.size_bytes
        for start, length in ((0, 0), (0, 1), (0, size), (size, 0), (size - 1, 1), (size // 2, 100), (1, size - 1)):
            assert dataset.media.read_range(ref, start, length) == whole[start : start + length]


@pytest.mark.parametrize(("start", "extra"), [(-1, 0), (0, 1), (1, 0), (0, -1_000_000_000)])
def test_a_range_that_leaves_the_clip_raises(sample_catalog: Path, start: int, extra: int) -> None:
    dataset = opens2v_data.open(sample_catalog)
    ref = next(iter(refs(dataset).values()))
    with pytest.raises(ValueError, match=rf"range .+ leaves .+ of {ref.size_bytes} bytes"):
        dataset.media.read_range(ref, start, ref.size_bytes + extra)


def test_views_and_plates_are_the_releases_files(
    sample_catalog: Path, sample_release: Path, sample_facts: SampleFacts
) -> None:
    media = opens2v_data.open(sample_catalog).media
    paths = [view.path for view in sample_facts.views] + list(sample_facts.background_paths)
    for path in paths:
        assert media.read_file(path) == (sample_release / path).read_bytes()
        assert media.file_path(path) == str(sample_release / path)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "GPT-Frames/../../secret"])
def test_a_path_that_leaves_the_release_is_refused(sample_catalog: Path, path: str) -> None:
    with pytest.raises(ArchiveError, match=r"path .+ is refused"):
        opens2v_data.open(sample_catalog).media.read_file(path)


def test_a_file_that_is_not_there_raises(sample_catalog: Path) -> None:
    with pytest.raises(MissingPieceError, match=r"Background/none\.png"):
        opens2v_data.open(sample_catalog).media.read_file("Background/none.png")


def test_a_part_without_videos_names_those_that_have_some(sample_catalog: Path, sample_facts: SampleFacts) -> None:
    dataset = opens2v_data.open(sample_catalog)
    ref = VideoRef(path="", part="total_part9", member="a.mp4", offset=0, size_bytes=1)
    with pytest.raises(
        MemberNotFoundError, match=r"part total_part9 has no videos in catalog .+ it has \['total_part1'"
    ):
        dataset.read_bytes(ref)


def test_a_piece_of_another_size_is_not_read(
    sample_catalog: Path, sample_release: Path, tmp_path: Path, sample_facts: SampleFacts
) -> None:
    release = shutil.copytree(sample_release, tmp_path / "release")
    part = sample_facts.parts[0]
    piece = release / f"Videos/{part}/{part}.tar.split.000"
    piece.write_bytes(piece.read_bytes() + b"\0")
    dataset = opens2v_data.open(sample_catalog, release=release)
    with pytest.raises(MissingPieceError, match=rf"piece Videos/{part}/{part}\.tar\.split\.000 has \d+ bytes"):
        dataset.read_bytes(next(iter(refs(dataset).values())))


def _joined(folder: Path, part: str) -> bytes:
    return b"".join(piece.read_bytes() for piece in sorted(folder.glob(f"{part}.tar.split.*")))


def _as_tar(folder: Path, part: str) -> None:
    data = _joined(folder, part)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / f"{part}.tar").write_bytes(data)


def _unpacked(folder: Path, part: str) -> None:
    data = _joined(folder, part)
    shutil.rmtree(folder)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(folder, filter="data")


@pytest.mark.parametrize(("layout", "store"), [("tar", _as_tar), ("files", _unpacked)])
def test_every_layout_gives_the_same_bytes(
    sample_release: Path, tmp_path: Path, sample_facts: SampleFacts, truth: dict[str, str], layout: str, store: object
) -> None:
    assert callable(store)
    release = shutil.copytree(sample_release, tmp_path / "release")
    for part in sample_facts.parts:
        store(release / "Videos" / part, part)
    result = ingest(Release.open(str(release)), tmp_path / "catalog")
    assert result.manifest is not None
    assert {part.layout for part in result.manifest.source.parts} == {layout}
    dataset = opens2v_data.open(tmp_path / "catalog")
    assert digests(dataset) == truth
    for ref in refs(dataset).values():
        whole = dataset.read_bytes(ref)
        middle = ref.size_bytes // 2
        assert dataset.media.read_range(ref, middle, 100) == whole[middle : middle + 100]
        assert dataset.media.read_range(ref, ref.size_bytes, 0) == b""


def test_an_unpacked_video_of_another_size_is_not_read(
    sample_release: Path, tmp_path: Path, sample_facts: SampleFacts
) -> None:
    release = shutil.copytree(sample_release, tmp_path / "release")
    for part in sample_facts.parts:
        _unpacked(release / "Videos" / part, part)
    ingest(Release.open(str(release)), tmp_path / "catalog")
    dataset = opens2v_data.open(tmp_path / "catalog")
    ref = next(iter(refs(dataset).values()))
    path = release / f"Videos/{ref.part}" / ref.member
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(MissingPieceError, match=rf"has {ref.size_bytes - 1} bytes, the index says {ref.size_bytes}"):
        dataset.read_bytes(ref)
    path.unlink()
    with pytest.raises(MissingPieceError, match=rf"part {ref.part}, member "):
        dataset.read_bytes(ref)
