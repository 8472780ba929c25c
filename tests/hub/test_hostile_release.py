"""A repository that means harm, from index to files: nothing is written outside the folder, and what is refused is told."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import opens2v_data
from catalog.releases import key_of, record
from localhub import LocalHub
from opens2v_data.catalog.ingest import ingest
from opens2v_data.fetching import REPORT_FILE, fetch_clips
from opens2v_data.hub.release import open_release

REPO = "someone/hostile"
MP4 = b"\0\0\0\x18ftypisom" + bytes(range(256)) * 8


def tar_of(*, with_giant: bool) -> bytes:
    """Return a tar of good members and of names, links and sizes that must not be believed."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("folder0/clip0000.mp4", "../../x.mp4", "/tmp/absolute.mp4", "folder1/clip0001.mp4"):
            info = tarfile.TarInfo(name)
            info.size = len(MP4)
            tar.addfile(info, io.BytesIO(MP4))
        for name, kind in (("folder2/clip0002.mp4", tarfile.SYMTYPE), ("folder3/clip0003.mp4", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        if with_giant:
            info = tarfile.TarInfo("folder0/clip0004.mp4")
            info.size = 10_000_000_000_000
            tar.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))  # type: ignore[union-attr]
            tar.fileobj.write(MP4)  # type: ignore[union-attr]
            tar.offset = 0  # close() pads from here
    return buffer.getvalue()


def write_release(root: Path, *, with_giant: bool) -> None:
    """Write a release whose records name every member, and one that climbs."""
    tree = {key_of(number): record(number) for number in range(6)}
    tree[key_of(4)]["metadata"]["path"] = "folder0/clip0004.mp4"
    tree[key_of(5)]["metadata"]["path"] = "../../x.mp4"
    tree["../../../key"] = record(0)
    (root / "Jsons/set").mkdir(parents=True)
    (root / "Jsons/set/part1.json").write_text(json.dumps(tree))
    (root / "Videos/part1").mkdir(parents=True)
    data = tar_of(with_giant=with_giant)
    for number in range(0, len(data), 3_333):
        path = root / f"Videos/part1/part1.tar.split.{number // 3_333:03d}"
        path.write_bytes(data[number : number + 3_333])


@pytest.fixture
def hub(fresh_quotas: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with LocalHub() as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        yield server


@pytest.mark.parametrize("with_giant", [False, True])
def test_a_hostile_release_writes_nothing_outside_and_is_told_about(
    hub: LocalHub, tmp_path: Path, with_giant: bool
) -> None:
    write_release(tmp_path / "release", with_giant=with_giant)
    hub.add_repo(REPO, tmp_path / "release")
    place = tmp_path / "a" / "b" / "c"
    place.mkdir(parents=True)
    before = {path for path in tmp_path.rglob("*") if not path.is_relative_to(place)}
    result = ingest(open_release(f"hf://datasets/{REPO}"), place / "catalog")
    assert result.manifest is not None
    (part,) = result.manifest.source.parts
    assert part.num_members == 2
    refused = sorted(part.refused)
    assert refused[0].startswith("../../x.mp4: it climbs out")
    assert refused[1:] == ["/tmp/absolute.mp4: it is absolute"]
    assert part.skipped == {"hard link": 1, "symlink": 1}
    assert (part.truncated_at is not None) == with_giant
    dataset = opens2v_data.open(place / "catalog")
    report = fetch_clips(dataset, place / "clips")
    # Clips 0 and 1, and the clip with the climbing key, whose path is that of clip 0.
    assert (report.num_planned, report.num_delivered, report.num_failed) == (7, 3, 4)
    lines = [json.loads(line) for line in (place / "clips" / REPORT_FILE).read_text().splitlines()]
    assert sum("the release has no bytes for this clip" in line.get("reason", "") for line in lines) == 4
    for line in lines:
        if line["status"] == "delivered":
            assert (place / "clips" / line["file"]).read_bytes() == MP4
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(place)} == before
    assert not Path("/tmp/absolute.mp4").exists()
