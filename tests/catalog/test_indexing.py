from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from localhub import Faults, LocalHub
from opens2v_data.archive.chains import ChainOptions
from opens2v_data.archive.http import HttpOptions
from opens2v_data.archive.remote import HubStore
from opens2v_data.catalog.indexing import index_release, read_index_source
from opens2v_data.catalog.ingest import ingest
from opens2v_data.errors import CatalogError, IngestError, RemoteError
from opens2v_data.hub.release import HubFiles
from opens2v_data.release.layout import Release

REPO = "someone/release"
FEW = ChainOptions(max_chains=8, min_chain_bytes=20_000, scan_bytes=4_096, max_retries=1, backoff_seconds=0.01)


def on_hub(hub: LocalHub) -> Release:
    store = HubStore(REPO, endpoint=hub.endpoint, token=False)
    return Release(HubFiles(store), revision=store.commit)


def test_the_index_over_the_hub_is_the_one_from_the_folder(hub: LocalHub, sample_release: Path, tmp_path: Path) -> None:
    ours = index_release(on_hub(hub), tmp_path / "hub", chains=FEW)
    local = index_release(Release.open(str(sample_release)), tmp_path / "local")
    assert ours.path is not None
    assert local.path is not None
    assert pq.read_table(ours.path).equals(pq.read_table(local.path))
    assert ours.num_members == pq.read_metadata(ours.path).num_rows > 10


def test_the_index_says_of_which_commit_and_pieces_it_is(hub: LocalHub, sample_release: Path, tmp_path: Path) -> None:
    result = index_release(on_hub(hub), tmp_path / "catalog", chains=FEW)
    assert result.path is not None
    source = read_index_source(result.path)
    assert source.revision == hub.head(REPO)
    assert source.uri == f"hf://datasets/{REPO}@{source.revision}"
    pieces = [piece for part in source.parts for piece in part.pieces]
    assert len(pieces) == len(list((sample_release / "Videos").glob("*/*")))
    for piece in pieces:
        assert piece.size_bytes == (sample_release / piece.path).stat().st_size
        # The Hub hashes what it keeps as LFS objects, here from 1,000 bytes on.
        assert piece.sha256 is None if piece.size_bytes < 1_000 else len(piece.sha256 or "") == 64
    pq.write_table(pq.read_table(result.path).replace_schema_metadata(), tmp_path / "other.parquet")
    with pytest.raises(CatalogError, match="expected an index written by `opens2v index`"):
        read_index_source(tmp_path / "other.parquet")


def test_an_ingest_takes_the_index_over(
    hub: LocalHub, sample_release: Path, sample_catalog: Path, tmp_path: Path
) -> None:
    root = tmp_path / "catalog"
    index_release(on_hub(hub), root, chains=FEW)
    hub.reset_counts()
    result = ingest(on_hub(hub), root)
    assert result.manifest is not None
    assert (root / "members.parquet").read_bytes() == (sample_catalog / "members.parquet").read_bytes()
    # Of the tars' pieces not one is asked for again.
    assert hub.counts().resolve.num_requests <= len(list((sample_release / "Jsons").rglob("*.json")))
    again = index_release(on_hub(hub), root, chains=FEW)
    assert again.was_complete


def test_shares_of_parts_make_the_same_index(hub: LocalHub, tmp_path: Path) -> None:
    whole = index_release(on_hub(hub), tmp_path / "whole", chains=FEW)
    first = index_release(on_hub(hub), tmp_path / "shares", shard=(1, 2), chains=FEW)
    assert first.path is None
    assert len(first.parts) == 1
    second = index_release(on_hub(hub), tmp_path / "shares", shard=(0, 2), chains=FEW)
    assert second.path is not None
    assert whole.path is not None
    assert second.path.read_bytes() == whole.path.read_bytes()


def test_an_index_goes_on_where_it_broke_off(hub: LocalHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = partial(HttpOptions, attempts=2, backoff_seconds=0.01)
    monkeypatch.setattr("opens2v_data.archive.remote.HttpOptions", impatient)
    whole = index_release(on_hub(hub), tmp_path / "whole", chains=FEW)
    release = on_hub(hub)
    for part in release.video_parts():
        for piece in part.files:
            release.files.size(piece.path)
    hub.faults = Faults(p503=1.0, applies_to=frozenset({"resolve"}))
    with pytest.raises(RemoteError, match="could not be had"):
        index_release(release, tmp_path / "catalog", chains=FEW)
    hub.faults = Faults()
    result = index_release(on_hub(hub), tmp_path / "catalog", chains=FEW)
    assert result.path is not None
    assert whole.path is not None
    assert result.path.read_bytes() == whole.path.read_bytes()


def test_killed_an_index_goes_on(hub: LocalHub, tmp_path: Path) -> None:
    whole = index_release(on_hub(hub), tmp_path / "whole", chains=FEW)
    # The first can have nothing, and is killed however late we are; the others are killed if we are in time.
    hub.faults = Faults(latency_seconds=1_000, applies_to=frozenset({"cdn"}))
    root = tmp_path / "catalog"
    command = [sys.executable, "-m", "opens2v_data.cli", "index", f"hf://datasets/{REPO}", str(root), "--chains", "2"]
    for num_requests in (1, 3, 9):
        process = subprocess.Popen(
            command, env={**os.environ, **hub.environment(tmp_path / "home")}, stderr=subprocess.DEVNULL
        )
        hub.reset_counts()
        while process.poll() is None and hub.counts().cdn.num_requests < num_requests:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        hub.faults = Faults(latency_seconds=0.05)
    hub.faults = Faults()
    done = subprocess.run(
        command, env={**os.environ, **hub.environment(tmp_path / "home")}, check=True, capture_output=True
    )
    assert b"members of 2 parts" in done.stderr
    assert whole.path is not None
    assert (root / "members.parquet").read_bytes() == whole.path.read_bytes()


def test_places_of_other_things_are_refused(hub: LocalHub, sample_release: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(
        IngestError, match=r"expected an absent or empty folder, or the catalog of this release, .* found other"
    ):
        index_release(on_hub(hub), tmp_path / "photos")
    ingest(Release.open(str(sample_release)), tmp_path / "catalog")
    other = tmp_path / "other"
    shutil.copytree(sample_release, other)
    shutil.rmtree(other / "Videos" / "total_part2")
    with pytest.raises(IngestError, match="whose videos are others"):
        index_release(Release.open(str(other)), tmp_path / "catalog")
    shutil.rmtree(other / "Videos" / "total_part1")
    with pytest.raises(IngestError, match="expected videos below"):
        index_release(Release.open(str(other)), tmp_path / "new")


def test_members_are_written_as_json_can_tell(hub: LocalHub, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "opens2v_data.cli", "index", f"hf://datasets/{REPO}", str(tmp_path / "c"), "--json"],
        env={**os.environ, **hub.environment(tmp_path / "home")},
        check=True,
        capture_output=True,
        text=True,
    )
    facts = json.loads(done.stdout)
    assert facts["revision"] == hub.head(REPO)
    assert facts["members"] == sum(part["members"] for part in facts["parts"].values()) > 10
    assert facts["missing_parts"] == 0


def test_two_that_index_into_one_folder_do_not_harm_each_other(hub: LocalHub, tmp_path: Path) -> None:
    whole = index_release(on_hub(hub), tmp_path / "whole", chains=FEW)
    hub.faults = Faults(latency_seconds=0.1)
    root = tmp_path / "catalog"
    command = [sys.executable, "-m", "opens2v_data.cli", "index", f"hf://datasets/{REPO}", str(root), "--chains", "2"]
    environment = {**os.environ, **hub.environment(tmp_path / "home")}
    both = [
        subprocess.Popen([*command, *share], env=environment, stderr=subprocess.PIPE, text=True)
        for share in ([], ["--shard", "0/2"], ["--shard", "0/3"])
    ]
    for process in both:
        _, error = process.communicate(timeout=200)
        assert process.returncode == 0 or "another process is" in error, error
    hub.faults = Faults()
    result = index_release(on_hub(hub), root, chains=FEW)
    assert result.path is not None
    assert whole.path is not None
    assert result.path.read_bytes() == whole.path.read_bytes()
