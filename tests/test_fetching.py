from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest

import opens2v_data
from localhub import Faults, LocalHub
from opens2v_data.archive.cache import ClipCache
from opens2v_data.archive.remote import HubStore
from opens2v_data.archive.wanted import FetchOptions
from opens2v_data.catalog.ingest import ingest
from opens2v_data.dataset import OpenS2V
from opens2v_data.fetching import REPORT_FILE, fetch_clips
from opens2v_data.hub.release import HubFiles
from opens2v_data.release.layout import Release

REPO = "someone/release"


@pytest.fixture
def dataset(hub: LocalHub, tmp_path: Path) -> OpenS2V:
    """A catalog made from the Hub, over the Hub."""
    store = HubStore(REPO, endpoint=hub.endpoint, token=False)
    ingest(Release(HubFiles(store), revision=store.commit), tmp_path / "catalog")
    hub.reset_counts()
    return opens2v_data.open(tmp_path / "catalog")


def clips_of(release: Path) -> dict[str, bytes]:
    """Return every mp4 of a release by name, out of the joined tars."""
    found: dict[str, bytes] = {}
    for part in sorted((release / "Videos").iterdir()):
        joined = b"".join(piece.read_bytes() for piece in sorted(part.iterdir()))
        with tarfile.open(fileobj=io.BytesIO(joined)) as tar:
            for member in tar:
                if member.isfile():
                    found[f"{part.name}/{member.name.removeprefix('./')}"] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / REPORT_FILE).read_text().splitlines()]


def test_a_catalog_made_over_the_hub_is_the_one_made_from_the_folder(dataset: OpenS2V, sample_catalog: Path) -> None:
    for path in sorted(sample_catalog.rglob("*.parquet")) + sorted(sample_catalog.rglob("*.bin")):
        assert (dataset.catalog.root / path.relative_to(sample_catalog)).read_bytes() == path.read_bytes(), path.name


def test_a_slice_costs_its_bytes_and_one_call_per_piece(
    dataset: OpenS2V, hub: LocalHub, sample_release: Path, tmp_path: Path
) -> None:
    report = fetch_clips(dataset, tmp_path / "clips", "part = 'total_part1'")
    assert report.num_planned == report.num_delivered + report.num_failed
    assert report.num_delivered > 5
    counts = hub.counts()
    assert counts.cdn.num_bytes <= 1.01 * report.num_bytes
    pieces = len(list((sample_release / "Videos/total_part1").iterdir()))
    assert counts.resolve.num_requests <= pieces
    assert counts.cdn_with_token == 0
    originals = {hashlib.sha256(data).hexdigest() for data in clips_of(sample_release).values()}
    for line in lines_of(tmp_path / "clips"):
        if line["status"] == "delivered":
            data = (tmp_path / "clips" / line["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == line["sha256"]
            assert line["sha256"] in originals
        else:
            assert "no bytes" in line["reason"]


def test_what_is_there_is_not_fetched_again_and_what_is_damaged_is(
    dataset: OpenS2V, hub: LocalHub, tmp_path: Path
) -> None:
    folder = tmp_path / "clips"
    first = fetch_clips(dataset, folder, limit=4)
    hub.reset_counts()
    again = fetch_clips(dataset, folder, limit=4)
    assert (again.num_there_before, again.num_delivered) == (first.num_delivered, 0)
    assert hub.counts().cdn.num_requests == 0
    file = folder / next(line["file"] for line in lines_of(folder) if line["status"] == "delivered")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert fetch_clips(dataset, folder, limit=4).num_delivered == 1
    assert file.read_bytes() == whole


def test_under_faults_and_expiring_signatures_the_same_files_come_and_all_are_accounted_for(
    dataset: OpenS2V, hub: LocalHub, sample_release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_clips(dataset, tmp_path / "sound")
    sound = {path.relative_to(tmp_path / "sound"): path.read_bytes() for path in (tmp_path / "sound").rglob("*.mp4")}
    with LocalHub({REPO: sample_release}, url_lifetime_seconds=0.6) as server:
        assert server.head(REPO) == hub.head(REPO)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        server.faults = Faults(latency_seconds=0.05, p503=0.05, p429=0.02, retry_after_seconds=0, p_cut=0.02, seed=5)
        opened = opens2v_data.open(dataset.catalog.root)
        slow = FetchOptions(min_concurrency=2, max_concurrency=2)
        planned = delivered = failed = 0
        for number in range(5):
            report = fetch_clips(opened, tmp_path / f"faulty{number}", options=slow)
            planned, delivered = planned + report.num_planned, delivered + report.num_delivered
            failed += report.num_failed
            for path, data in sound.items():
                assert (tmp_path / f"faulty{number}" / path).read_bytes() == data
        assert planned == delivered + failed
        assert delivered == 5 * len(sound)
        counters = opened.media.store.counters  # type: ignore[attr-defined]
        assert counters.num_expired > 0
        counts = server.counts()
        assert counts.cdn.statuses.get(503, 0) + counts.resolve.statuses.get(503, 0) > 0
        assert counts.cdn.statuses.get(429, 0) + counts.resolve.statuses.get(429, 0) > 0


def test_clips_in_the_cache_are_read_from_there(dataset: OpenS2V, hub: LocalHub, tmp_path: Path) -> None:
    for number in range(2):
        cache = ClipCache(tmp_path / "cache", limit_bytes=1 << 30)
        opened = opens2v_data.open(dataset.catalog.root, cache=cache)
        fetch_clips(opened, tmp_path / f"run{number}")
        ref = next(triple.clip.video for triple in opened.triples() if triple.clip.video is not None)
        opened.read_bytes(ref)
        if number == 0:
            hub.reset_counts()
    assert hub.counts().cdn.num_requests == 0


def test_no_key_leads_out_of_the_folder(sample_release: Path, tmp_path: Path) -> None:
    names = ["../../x", "/etc/passwd", "a/../../b", "C:\\x", "name\nwith lines", ".hidden", "x" * 300]
    release = tmp_path / "release"
    shutil.copytree(sample_release, release)
    path = release / "Jsons/mask_and_bbox_High-Quality/total_part1.json"
    tree = json.loads(path.read_text())
    hostile = dict(zip(list(tree)[: len(names)], names, strict=True))
    path.write_text(json.dumps({hostile.get(key, key): record for key, record in tree.items()}))
    ingest(Release.open(str(release)), tmp_path / "catalog")
    before = {entry for entry in tmp_path.rglob("*") if "clips" not in entry.parts}
    folder = tmp_path / "here" / "clips"
    report = fetch_clips(opens2v_data.open(tmp_path / "catalog"), folder)
    assert report.num_delivered > 5
    assert {entry for entry in tmp_path.rglob("*") if "clips" not in entry.parts} - before == {tmp_path / "here"}
    lines = [line for line in lines_of(folder) if line["status"] == "delivered"]
    assert {line["clip_key"] for line in lines} & set(names)
    for line in lines:
        assert (folder / line["file"]).resolve().is_relative_to(folder)
        assert line["clip_key"] not in names or line["file"].endswith(f"/clip-{line['clip_id']}.mp4")


def test_killed_at_any_moment_a_rerun_gives_whole_files_only(dataset: OpenS2V, hub: LocalHub, tmp_path: Path) -> None:
    expected = fetch_clips(dataset, tmp_path / "expected")
    folder = tmp_path / "clips"
    # The first can have nothing, and is killed however late we are; the others are killed if we are in time.
    hub.faults = Faults(latency_seconds=1_000, applies_to=frozenset({"cdn"}))
    program = (
        "import sys, opens2v_data; from pathlib import Path; from opens2v_data.fetching import fetch_clips; "
        "from opens2v_data.archive.wanted import FetchOptions; print('ready', flush=True); "
        "options = FetchOptions(min_concurrency=1, max_concurrency=1); "
        "fetch_clips(opens2v_data.open(sys.argv[1]), Path(sys.argv[2]), options=options)"
    )
    for delay in (0.1, 0.2, 0.3, 0.4):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(dataset.catalog.root), str(folder)],
            stdout=subprocess.PIPE,
            env={**os.environ, **hub.environment(tmp_path / "home")},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        for path in folder.rglob("*.mp4"):
            assert path.read_bytes() == (tmp_path / "expected" / path.relative_to(folder)).read_bytes()
        hub.faults = Faults(latency_seconds=0.02, bandwidth_bytes_per_second=2e6)
    hub.faults = Faults()
    report = fetch_clips(opens2v_data.open(dataset.catalog.root), folder)
    assert report.num_there_before + report.num_delivered == expected.num_delivered
    assert not list(folder.rglob("*.tmp"))


def test_progress_counts_every_clip_once(dataset: OpenS2V, tmp_path: Path) -> None:
    seen: list[tuple[int, int, int]] = []
    report = fetch_clips(
        dataset,
        tmp_path / "clips",
        limit=7,
        options=FetchOptions(max_bytes_in_flight=1 << 20),
        progress=lambda *state: seen.append(state),
    )
    assert [done for done, _, _ in seen] == list(range(1, 8))
    assert seen[-1] == (7, 7, report.num_bytes)


def test_a_line_that_a_kill_cut_is_ended_and_its_clip_fetched_again(dataset: OpenS2V, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    fetch_clips(dataset, folder, limit=3)
    report = folder / REPORT_FILE
    report.write_bytes(report.read_bytes()[:-20])
    again = fetch_clips(dataset, folder, limit=3)
    assert (again.num_there_before, again.num_delivered) == (2, 1)
    broken = [line for line in report.read_text().splitlines() if not line.endswith("}")]
    assert len(broken) == 1


def test_a_condition_that_names_others_each_time_adds_up(dataset: OpenS2V, tmp_path: Path) -> None:
    for number in range(3):
        report = fetch_clips(dataset, tmp_path / f"clips{number}", "random() < 0.5")
        assert report.num_planned == report.num_delivered + report.num_there_before + report.num_failed


def test_a_disk_that_is_full_leaves_no_half_file(
    dataset: OpenS2V, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        written(self, data[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            fetch_clips(dataset, tmp_path / "clips")
    assert [path.name for path in (tmp_path / "clips").rglob("*") if path.is_file()] == [REPORT_FILE]
    assert fetch_clips(dataset, tmp_path / "clips").num_delivered > 5
