"""`opens2v publish`, in processes of its own, to a Hub on this machine."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from cli import processes
from localhub import Faults, LocalHub
from opens2v_data.catalog.catalog import Catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cli.conftest import Run

REPO = "me/cat"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCE = f"hf://datasets/BestWishYsh/OpenS2V-5M@{COMMIT}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    """A Hub that commands started from here use, logged in."""
    (tmp_path / "objects").mkdir()
    with LocalHub(tmp_path / "objects") as server:
        for name, value in server.environment(tmp_path / "home", with_token=True).items():
            monkeypatch.setenv(name, value)
        yield server


def fetched(hub: LocalHub, folder: Path) -> Path:
    """Return a copy of what readers find, taken with the real client in a process of its own."""
    arguments = f"{REPO!r}, repo_type='dataset', local_dir={str(folder)!r}"
    code = f"from huggingface_hub import snapshot_download; snapshot_download({arguments})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    return folder


def stored(folder: Path) -> dict[str, int]:
    """Return when each object that came whole was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.suffix != ".partial"}


def test_a_dry_run_shows_files_and_card_and_uploads_nothing(hub: LocalHub, sample_catalog: Path) -> None:
    shown = processes.run("publish", sample_catalog, REPO, "--dry-run", "--preview-rows", 3, "--source", SOURCE)
    assert shown.returncode == 0, shown.stderr
    table, _, card = shown.stdout.partition("\n\nREADME.md, its first 60 lines of ")
    lines = {line.split()[0]: line.split()[1:] for line in table.splitlines()}
    size = (sample_catalog / "clips.parquet").stat().st_size
    assert lines["file"] == ["bytes", "action"]
    assert lines["clips.parquet"] == [f"{size:,}", "upload"]
    assert {"README.md", "manifest.json", "preview/preview.parquet", "masks/masks-00000.bin"} < set(lines)
    assert "pretty_name: OpenS2V-5M catalog" in card
    assert "dry run, nothing was uploaded: 18 files to upload, 0 to replace" in shown.stderr
    assert hub.counts().upload.num_requests == 0
    assert hub.counts().api.num_requests == hub.counts().api.statuses[404]


def test_a_dry_run_as_json_is_the_plan(hub: LocalHub, sample_catalog: Path) -> None:
    shown = processes.run("publish", sample_catalog, REPO, "--dry-run", "--no-preview", "--json", "--quiet")
    assert (shown.returncode, shown.stderr) == (0, "")
    facts = json.loads(shown.stdout)
    assert (facts["repository"], facts["is_new"], facts["commit"]) == (REPO, True, None)
    assert facts["source"] == {"uri": "local:release", "revision": None}
    assert facts["digest"] == Catalog.open(sample_catalog).digest
    assert {file["action"] for file in facts["files"]} == {"upload"}
    assert "preview/preview.parquet" not in {file["path"] for file in facts["files"]}
    assert len(facts["notes"]) == 1 and "--source hf://datasets/" in facts["notes"][0]
    assert hub.counts().upload.num_requests == 0


@pytest.mark.parametrize(
    ("variables", "why"),
    [({"HF_ENDPOINT": "http://127.0.0.1:1"}, "Connection refused; check the"), ({"HF_HUB_OFFLINE": "1"}, "unset it")],
)
def test_a_dry_run_without_a_network_shows_what_an_empty_repository_would_get(
    sample_catalog: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], why: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    shown = processes.run("publish", sample_catalog, REPO, "--dry-run", "--no-preview", "--json")
    facts = json.loads(shown.stdout)
    assert (shown.returncode, facts["is_new"], len(facts["files"])) == (0, None, 17)
    assert f"this is what an empty repository would get: {REPO} cannot be looked at: " in facts["notes"][0]
    assert why in facts["notes"][0] and facts["notes"][0] in shown.stderr
    refused = processes.run("publish", sample_catalog, REPO, "--no-preview")
    assert (refused.returncode, refused.stdout) == (1, "") and why in refused.stderr


def test_a_published_catalog_has_real_clips_and_pictures_and_is_the_same(
    hub: LocalHub, sample_catalog: Path, tmp_path: Path
) -> None:
    Image = pytest.importorskip("PIL.Image")
    shown = processes.run("publish", sample_catalog, REPO, "--preview-rows", 4, "--source", SOURCE)
    assert (shown.returncode, shown.stdout) == (0, ""), shown.stderr
    commit = hub.head(REPO)
    assert "18 files uploaded, 0 replaced" in shown.stderr and f"is at commit {commit}" in shown.stderr
    assert f"opens2v info hf://datasets/{REPO}" in shown.stderr
    assert shown.stderr.count("Traceback") == shown.stderr.count("warning") == 0
    copy = fetched(hub, tmp_path / "copy")
    assert Catalog.open(copy).digest == Catalog.open(sample_catalog).digest
    for row in pq.read_table(copy / "preview/preview.parquet").to_pylist():
        assert row["video"]["bytes"][4:8] == b"ftyp"
        with Image.open(io.BytesIO(row["mask_overlay"]["bytes"])) as overlay:
            assert overlay.format == "JPEG" and min(overlay.size) > 200
        assert len(row["classes"]) == len(row["cutouts"]) > 0
        for cut_out in row["cutouts"]:
            with Image.open(io.BytesIO(cut_out["bytes"])) as picture:
                assert (picture.format, picture.mode) == ("PNG", "RGBA")
    again = processes.run("publish", sample_catalog, REPO, "--preview-rows", 4, "--source", SOURCE)
    assert again.returncode == 0
    assert "0 files uploaded, 0 replaced (0 B), 18 were there already, 0 deleted" in again.stderr
    assert hub.head(REPO) == commit


def test_killed_midway_the_same_command_goes_on(hub: LocalHub, sample_catalog: Path, tmp_path: Path) -> None:
    # create_repo, preupload, batch and six of the 13 objects go through; the next five get no answer while we live.
    hub.faults = Faults(slow_fraction=0.5, slow_seconds=1_000, seed=2218, applies_to=frozenset({"upload"}))
    command = [*processes.MODULE, "publish", str(sample_catalog), REPO, "--no-preview", "--quiet"]
    running = subprocess.Popen(command, env=processes.environment(), stderr=subprocess.DEVNULL)
    until = time.monotonic() + 200
    while hub.counts().upload.num_requests < 10 or not stored(tmp_path / "objects"):
        assert running.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    hub.faults = Faults()
    before = stored(tmp_path / "objects")
    shown = processes.run(*command[3:])
    assert shown.returncode == 0, shown.stderr
    after = stored(tmp_path / "objects")
    assert 0 < len(before) < len(after)
    # What had come whole was not sent again: it would have been written anew.
    assert {name: after[name] for name in before} == before
    assert Catalog.open(fetched(hub, tmp_path / "copy")).digest == Catalog.open(sample_catalog).digest


def test_a_damaged_catalog_exits_with_1_and_sends_nothing(hub: LocalHub, catalog: Path) -> None:
    data = bytearray((catalog / "masks/masks-00000.bin").read_bytes())
    data[-1] ^= 1
    (catalog / "masks/masks-00000.bin").write_bytes(data)
    shown = processes.run("publish", catalog, REPO, "--no-preview")
    assert (shown.returncode, shown.stdout) == (1, "")
    assert "is damaged, nothing was uploaded: masks/masks-00000.bin: expected SHA-256" in shown.stderr
    assert hub.counts().upload.num_requests == 0


def test_a_repository_of_something_else_exits_with_2(hub: LocalHub, sample_catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/data.csv").write_text("a,b\n")
    hub.add_repo(REPO, tmp_path / "theirs")
    shown = processes.run("publish", sample_catalog, REPO, "--no-preview")
    assert shown.returncode == 2
    assert "found data.csv and no manifest.json of a catalog" in shown.stderr and "--force" in shown.stderr


def test_without_a_token_it_says_how_to_log_in(
    hub: LocalHub, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    shown = processes.run("publish", sample_catalog, REPO, "--no-preview")
    assert shown.returncode == 1
    assert "hf auth login" in shown.stderr and "Traceback" not in shown.stderr


def test_a_preview_without_video_packages_names_the_extra_and_the_way_without(
    opens2v: Run, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    shown = opens2v("publish", sample_catalog, REPO)
    assert (shown.code, shown.out) == (1, "")
    assert 'pip install "opens2v-data[video]"' in shown.err and "--no-preview" in shown.err


def test_without_the_client_it_names_the_extra(
    opens2v: Run, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "opens2v_data.hub.publish", raising=False)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    shown = opens2v("publish", sample_catalog, REPO)
    assert shown.code == 1
    assert 'pip install "opens2v-data[hub]"' in shown.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--source", "hf://datasets/BestWishYsh/OpenS2V-5M@main"), "expected a release at a commit"),
        (("--preview-rows", "-1"), "expected a whole number, 0 for no preview, got -1"),
        (("--revision", COMMIT), "expected the name of a branch"),
    ],
)
def test_a_wrong_command_line_exits_with_2(
    opens2v: Run, sample_catalog: Path, arguments: tuple[str, ...], message: str
) -> None:
    shown = opens2v("publish", sample_catalog, REPO, "--no-preview", *arguments)
    assert shown.code == 2
    assert message in shown.err


def test_a_folder_that_is_no_catalog_is_told(opens2v: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shown = opens2v("publish", tmp_path / "empty", REPO, "--no-preview")
    assert shown.code == 1 and "expected a catalog (manifest.json) at" in shown.err
