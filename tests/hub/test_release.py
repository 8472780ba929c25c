from __future__ import annotations

import gc
import json
import pickle
import random
import shutil
import weakref
from pathlib import Path

import pytest

from localhub import Faults, LocalHub
from opens2v_data.archive.http import HttpOptions
from opens2v_data.archive.remote import HubStore
from opens2v_data.errors import ReleaseError, RemoteError
from opens2v_data.hub import release as hub_release
from opens2v_data.hub.release import HubFiles, open_release
from opens2v_data.release.files import LocalFiles
from opens2v_data.release.hugejson import HugeObject
from opens2v_data.release.records import RawRecord, decode_record

REPO = "someone/release"
JSON = "Jsons/mask_and_bbox_High-Quality/total_part1.json"


def files_of(hub: LocalHub) -> HubFiles:
    return HubFiles(HubStore(REPO, endpoint=hub.endpoint, token=False))


def test_the_tree_is_that_of_the_folder_with_hashes(hub: LocalHub, sample_release: Path) -> None:
    files, local = files_of(hub), LocalFiles(sample_release)
    for prefix in ("Jsons", "Videos", "GPT-Frames", "Background", "absent"):
        ours = list(files.walk(prefix))
        assert [(file.path, file.size_bytes) for file in ours] == [
            (file.path, file.size_bytes) for file in local.walk(prefix)
        ]
    # The Hub hashes what it keeps as LFS objects, here from 1,000 bytes on.
    assert all((file.sha256 is not None) == (file.size_bytes >= 1_000) for file in files.walk("Videos"))
    num_requests = hub.counts().tree.num_requests
    list(files.walk("Videos"))
    assert hub.counts().tree.num_requests == num_requests


def test_reads_of_any_kind_are_those_of_the_folder(
    hub: LocalHub, sample_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_release, "BLOCK_BYTES", 5_000)
    files, local = files_of(hub), LocalFiles(sample_release)
    size = files.size(JSON)
    assert size == local.size(JSON)
    assert files.read(JSON) == local.read(JSON)
    rng = random.Random(1)
    position = 0
    for _ in range(200):
        if rng.random() < 0.2:
            position = rng.randrange(size + 100)
        length = rng.randrange(9_000)
        ours, theirs = bytearray(length), bytearray(length)
        count = files.readinto(JSON, position, memoryview(ours))
        assert count == local.readinto(JSON, position, memoryview(theirs))
        assert ours == theirs
        position += count
    files.close()


def test_reading_from_start_to_end_asks_for_each_byte_once(
    hub: LocalHub, sample_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_release, "BLOCK_BYTES", 7_000)
    files = files_of(hub)
    size = files.size(JSON)
    hub.reset_counts()
    buffer = bytearray(3_000)
    position = 0
    while position < size:
        position += files.readinto(JSON, position, memoryview(buffer))
    assert hub.counts().cdn.num_bytes == size
    assert hub.counts().cdn.num_requests <= size // 7_000 + 2
    files.close()


def test_huge_json_is_parsed_alike_under_faults_and_after_pickling(hub: LocalHub, sample_release: Path) -> None:
    expected = list(json.loads((sample_release / JSON).read_text()))
    hub.faults = Faults(p503=0.05, p_cut=0.05, p429=0.05, retry_after_seconds=0, seed=2, applies_to=frozenset({"cdn"}))
    files = pickle.loads(pickle.dumps(files_of(hub)))
    huge = HugeObject(files, JSON, record_type=RawRecord, decode_one=decode_record, chunk_bytes=10_000)
    keys = [key for batch in huge.read() for key in batch.keys] + [
        bad.key for batch in huge.read() for bad in batch.bad
    ]
    assert set(keys) >= set(expected) - {None}
    files.close()


def test_a_release_is_opened_by_its_address_and_pinned(
    hub: LocalHub, sample_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    release = open_release(f"hf://datasets/{REPO}")
    assert release.revision == hub.head(REPO)
    assert release.files.uri == f"hf://datasets/{REPO}@{release.revision}"
    other = shutil.copytree(sample_release, tmp_path / "other")
    (other / JSON).write_text("{}")
    hub.move(REPO, other)
    assert release.files.size(JSON) == (sample_release / JSON).stat().st_size
    assert [part.name for part in release.video_parts()] == ["total_part1", "total_part2"]
    assert open_release(str(sample_release)).revision is None


def test_what_cannot_be_read_is_said_in_the_release_s_words(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(hub)
    with pytest.raises(ReleaseError, match=r"has no file Jsons/absent\.json"):
        files.size("Jsons/absent.json")
    with pytest.raises(ReleaseError, match="expected a path below the release"):
        files.read("../secret")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
    with pytest.raises(RemoteError, match="expected a dataset nobody/there"):
        open_release("hf://datasets/nobody/there")
    with pytest.raises(ValueError, match="a plain server lists no files"):
        open_release("https://example.org/release")


def test_a_block_that_failed_is_asked_for_again(hub: LocalHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_release, "BLOCK_BYTES", 1_000)
    options = HttpOptions(attempts=1)
    files = HubFiles(HubStore(REPO, endpoint=hub.endpoint, token=False, options=options))
    buffer = bytearray(2_000)
    assert files.readinto(JSON, 0, memoryview(buffer)) == 2_000
    hub.faults = Faults(p503=1.0, applies_to=frozenset({"cdn"}))
    with pytest.raises(ReleaseError, match="no bytes in 1 attempts"):
        files.readinto(JSON, 2_000, memoryview(buffer))
    hub.faults = Faults()
    assert files.readinto(JSON, 2_000, memoryview(buffer)) == 2_000
    assert bytes(buffer) == files.read(JSON)[2_000:4_000]


def test_what_was_read_ahead_goes_with_the_files_without_a_collector(hub: LocalHub) -> None:
    gc.disable()
    try:
        files = files_of(hub)
        files.readinto(JSON, 0, memoryview(bytearray(1_000)))
        files.readinto(JSON, 1_000, memoryview(bytearray(1_000)))
        gone = weakref.ref(files)
        del files
        assert gone() is None
    finally:
        gc.enable()
