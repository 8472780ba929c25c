"""WebDataset shards: what is in them, what a killed run leaves, and what becomes of bad clips."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import opens2v_data
from opens2v_data.errors import ReleaseError, ShortReadError
from opens2v_loaders.cutouts import annotated_frame, cut_out
from opens2v_loaders.exporting import export_webdataset


@pytest.fixture(scope="module")
def catalog(sample_catalog: Path, sample_release: Path) -> opens2v_data.OpenS2V:
    return opens2v_data.open(sample_catalog, release=sample_release)


def members(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.glob("shard-*.tar")):
        with tarfile.open(path) as shard:
            for member in shard:
                file = shard.extractfile(member)
                assert file is not None
                found[member.name] = file.read()
    return found


class Damaged:
    """A catalog, one of whose clips cannot be read."""

    def __init__(self, catalog: opens2v_data.OpenS2V, bad: int) -> None:
        self._catalog, self._bad = catalog, bad

    def rows_of(self, ids: Any) -> list[dict[str, Any]]:
        return self._catalog.rows_of(ids)

    def read_videos(self, videos: Any) -> Any:
        bad = self._catalog.rows_of([self._bad])[0]["video_path"]
        for ref in videos:
            yield ShortReadError("cut off") if ref.path == bad else self._catalog.read_bytes(ref)


def test_a_shard_holds_the_clips_bytes_captions_rows_and_cut_outs(
    catalog: opens2v_data.OpenS2V, tmp_path: Path
) -> None:
    ids = catalog.where("video_size_bytes IS NOT NULL").sort("-aesthetic").limit(3).ids()
    report = export_webdataset(catalog, ids, tmp_path, shard_clips=2)
    assert (report.num_planned, report.num_exported, report.num_failed, report.num_shards) == (3, 3, 0, 2)
    found = members(tmp_path)
    stems = list(dict.fromkeys(name.partition(".")[0] for name in found))
    for stem, row, triple in zip(
        stems,
        catalog.rows_of(ids),
        catalog.get([f"{r['part']}/{r['clip_key']}" for r in catalog.rows_of(ids)]),
        strict=True,
    ):
        data = catalog.read_bytes(triple.clip.video)
        assert found[f"{stem}.mp4"] == data
        assert found[f"{stem}.txt"].decode() == triple.caption
        assert json.loads(found[f"{stem}.json"])["clip_key"] == row["clip_key"]
        frame = annotated_frame(data, triple.clip)
        for subject in triple.subjects:
            cut = cut_out(frame, subject, background="transparent")
            assert (f"{stem}.{subject.object_id}.png" in found) == (cut is not None)
            if cut is not None:
                picture = np.asarray(Image.open(io.BytesIO(found[f"{stem}.{subject.object_id}.png"])))
                assert np.array_equal(picture, np.asarray(cut.image))


def test_a_rerun_writes_only_missing_shards_and_accounts_for_all(catalog: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    ids = catalog.where("video_size_bytes IS NOT NULL").ids()
    source = Damaged(catalog, int(ids[1]))
    first = export_webdataset(source, ids, tmp_path, shard_clips=4, cut_outs=False)
    assert (first.num_exported, first.num_failed) == (len(ids) - 1, 1)
    before = members(tmp_path)
    (tmp_path / "shard-000001.tar").unlink()
    again = export_webdataset(source, ids, tmp_path, shard_clips=4, cut_outs=False)
    assert members(tmp_path) == before
    assert (again.num_exported, again.num_there_before, again.num_failed) == (4, len(ids) - 5, 1)
    lines = [json.loads(line) for line in (tmp_path / "export.jsonl").read_text().splitlines()]
    assert {line["clip_id"] for line in lines} == set(ids.tolist())
    assert [line["failed"] for line in lines if "failed" in line] == ["no video: cut off"]


def test_a_folder_of_another_slice_is_refused(catalog: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    ids = catalog.where("video_size_bytes IS NOT NULL").ids()
    export_webdataset(catalog, ids[:2], tmp_path, cut_outs=False)
    with pytest.raises(ReleaseError, match=r"other clips or options \(ids, num_clips differ\)"):
        export_webdataset(catalog, ids[:3], tmp_path, cut_outs=False)


def test_datasets_reads_the_shards(catalog: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    ids = catalog.where("video_size_bytes IS NOT NULL").limit(3).ids()
    export_webdataset(catalog, ids, tmp_path, cut_outs=False)
    stream = datasets.load_dataset(
        "webdataset", data_files=str(tmp_path / "shard-*.tar"), split="train", streaming=True
    )
    # Not decoded: this is about the shards, and FFmpeg may be absent.
    rows = list(stream.cast_column("mp4", datasets.Video(decode=False)))
    assert [row["json"]["clip_key"] for row in rows] == [row["clip_key"] for row in catalog.rows_of(ids)]
