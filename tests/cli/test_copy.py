"""`opens2v copy`: whole and partial copies, broken off and gone on with, checked byte by byte."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import processes
from localhub import Faults, LocalHub
from opens2v_data.catalog import copy as copying
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.copy import copy_catalog
from opens2v_data.dataset import OpenS2V
from opens2v_data.errors import CatalogDamagedError, CatalogError, CatalogNotFoundError

if TYPE_CHECKING:
    from cli.conftest import Run

pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")
pytest.importorskip("obstore", reason="the extra hub is not installed")

ADDRESS = "hf://datasets/me/catalog"


@pytest.fixture
def hub(sample_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with LocalHub({"me/catalog": sample_catalog}) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.endpoint)
        yield server


def files_below(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_whole_copy_is_the_same_files(opens2v: Run, hub: LocalHub, sample_catalog: Path) -> None:
    shown = opens2v("copy", ADDRESS, "copied", "--json")
    assert shown.code == 0, shown.err
    assert files_below(Path("copied")) == files_below(sample_catalog)
    told = json.loads(shown.out)
    assert told["catalog"] == f"{ADDRESS}@{hub.head('me/catalog')}"
    assert (told["left"], told["kept"]) == ([], 0)
    assert told["copied"]["files"] == len(files_below(sample_catalog)) - 1  # and the manifest
    assert opens2v("verify", "copied").code == 0
    size = sum(map(len, files_below(sample_catalog).values()))
    assert size <= hub.counts().cdn.num_bytes + hub.counts().resolve.num_bytes <= size + 1000


def test_a_copy_of_a_copy_that_is_there_reads_nothing(opens2v: Run, hub: LocalHub) -> None:
    assert opens2v("copy", ADDRESS, "copied", "--quiet").err == ""
    hub.reset_counts()
    shown = opens2v("copy", ADDRESS, "copied")
    assert shown.code == 0 and "0 files (0 B) copied to copied" in shown.err
    assert hub.counts().cdn.num_requests <= 1  # the manifest


def test_some_tables_come_and_the_rest_is_read_from_afar(opens2v: Run, hub: LocalHub, sample_catalog: Path) -> None:
    shown = opens2v("copy", ADDRESS, "part", "--tables", "clips, captions", "--no-masks")
    assert shown.code == 0, shown.err
    assert "files are left where they are, and read from there: hf://datasets/me/catalog@" in shown.err
    assert set(files_below(Path("part"))) == {
        "clips.parquet", "captions.parquet", "quarantine.jsonl", "manifest.json", "origin.json",
    }  # fmt: skip
    catalog = Catalog.open("part")
    assert (catalog.uri, catalog.digest) == (str(Path("part").absolute()), Catalog.open(sample_catalog).digest)
    hub.reset_counts()
    data = OpenS2V(catalog)
    assert data.count("aesthetic > 0") and list(catalog.quarantine())
    assert hub.counts().cdn.num_requests + hub.counts().resolve.num_requests == 0
    expected = OpenS2V(Catalog.open(sample_catalog))
    rows = list(data.rows(columns=["clip_id", "caption", "subjects"]))
    assert rows == list(expected.rows(columns=["clip_id", "caption", "subjects"]))
    assert data.count("has_subject(clip_id, 'woman')") == expected.count("has_subject(clip_id, 'woman')")
    assert hub.counts().resolve.num_requests > 0


def test_tables_that_are_here_are_read_without_a_network(opens2v: Run, hub: LocalHub) -> None:
    opens2v("copy", ADDRESS, "part", "--tables", "clips")
    hub.close()
    shown = opens2v("info", "part", "--json")
    assert shown.code == 0 and json.loads(shown.out)["catalog"] == str(Path("part").absolute())
    assert OpenS2V(Catalog.open("part")).count("aesthetic > 0") > 0


def test_more_tables_can_be_added_until_it_is_whole(opens2v: Run, hub: LocalHub, sample_catalog: Path) -> None:
    opens2v("copy", ADDRESS, "part", "--tables", "clips", "--no-masks")
    opens2v("copy", ADDRESS, "part", "--tables", "clips,subjects", "--no-masks")
    assert {"clips.parquet", "subjects.parquet", "origin.json"} <= set(files_below(Path("part")))
    shown = opens2v("verify", "part")
    assert shown.code == 1 and "of its files, " in shown.err and "lie on a server" in shown.err
    assert "opens2v copy hf://datasets/me/catalog@" in shown.err
    # a copy that is not whole can be copied too
    assert opens2v("copy", "part", "elsewhere").code == 0
    assert opens2v("copy", ADDRESS, "part").code == 0
    assert files_below(Path("part")) == files_below(Path("elsewhere")) == files_below(sample_catalog)
    assert opens2v("verify", "part").code == 0


def test_a_folder_can_be_copied_like_an_address(opens2v: Run, sample_catalog: Path) -> None:
    assert opens2v("copy", sample_catalog, "copied").code == 0
    assert files_below(Path("copied")) == files_below(sample_catalog)


def test_a_remote_catalog_cannot_be_verified_and_the_command_that_can_is_told(opens2v: Run, hub: LocalHub) -> None:
    shown = opens2v("verify", ADDRESS)
    assert shown.code == 1
    assert (
        "it lies on a server" in shown.err
        and f"opens2v copy {ADDRESS}@{hub.head('me/catalog')} ./opens2v-5m" in shown.err
    )


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ("clips,clops", "there is no table 'clops'; there are backgrounds"),
        ("clips,clips", "none twice"),
        ("", "no table ''"),
    ],
)
def test_tables_that_are_none_are_refused(opens2v: Run, sample_catalog: Path, tables: str, message: str) -> None:
    shown = opens2v("copy", sample_catalog, "copied", "--tables", tables)
    assert shown.code == 2 and message in shown.err
    assert not Path("copied").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(sample_catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    catalog = Catalog.open(sample_catalog)
    with pytest.raises(CatalogError, match=r"expected no folder or an empty one at .*mine, found other things there"):
        copy_catalog(catalog, tmp_path / "mine")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CatalogError, match=r"expected no folder or an empty one at .*file, found other things"):
        copy_catalog(catalog, tmp_path / "file")
    assert files_below(tmp_path / "mine") == {"thesis.txt": b"mine"}


def test_a_copy_of_another_catalog_is_left_alone(sample_catalog: Path, tmp_path: Path) -> None:
    copy_catalog(Catalog.open(sample_catalog), tmp_path / "copied")
    manifest = json.loads((tmp_path / "copied/manifest.json").read_text())
    (tmp_path / "copied/manifest.json").write_text(json.dumps({**manifest, "digest": "0" * 64}))
    before = files_below(tmp_path / "copied")
    with pytest.raises(
        CatalogError, match=r"expected a copy of the catalog with digest \w+ at .*, found one with 0{64}"
    ):
        copy_catalog(Catalog.open(sample_catalog), tmp_path / "copied")
    assert files_below(tmp_path / "copied") == before


def test_a_file_with_another_checksum_is_refused_and_not_kept(sample_catalog: Path, tmp_path: Path) -> None:
    source = shutil.copytree(sample_catalog, tmp_path / "source")
    catalog = Catalog.open(source)
    data = bytearray((source / "subjects.parquet").read_bytes())
    data[len(data) // 2] ^= 1
    (source / "subjects.parquet").write_bytes(data)
    with pytest.raises(CatalogDamagedError, match=r"expected SHA-256 \w+ of subjects.parquet, found \w+: it changed"):
        copy_catalog(catalog, tmp_path / "copied")
    assert not any(path.name.startswith("subjects") for path in (tmp_path / "copied").iterdir())
    with pytest.raises(
        CatalogNotFoundError, match=r"the copy at .* is not finished; run the same `opens2v copy CATALOG"
    ):
        Catalog.open(tmp_path / "copied")
    shutil.copy(sample_catalog / "subjects.parquet", source / "subjects.parquet")
    copy_catalog(Catalog.open(source), tmp_path / "copied")
    assert files_below(tmp_path / "copied") == files_below(sample_catalog)


@pytest.mark.parametrize("num_bytes", [0, 1, 1000, 10**9])
def test_what_is_there_of_a_file_is_gone_on_with(
    sample_catalog: Path, tmp_path: Path, num_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "RANGE_BYTES", 700)
    catalog = Catalog.open(sample_catalog)
    copy_catalog(catalog, tmp_path / "copied", tables=["clips"], masks=False)
    whole = (sample_catalog / "subjects.parquet").read_bytes()
    begun = whole[:num_bytes] if num_bytes < 10**9 else whole + b"too much"
    (tmp_path / "copied/subjects.parquet.tmp").write_bytes(begun)
    steps: list[tuple[str, int, int]] = []
    result = copy_catalog(
        catalog, tmp_path / "copied", tables=["subjects"], masks=False, progress=lambda *step: steps.append(step)
    )
    assert (tmp_path / "copied/subjects.parquet").read_bytes() == whole
    assert result.num_bytes == len(whole) - (num_bytes if num_bytes < 10**9 else 0)
    assert steps[0][1] == 0 and steps[-1][1] == steps[-1][2]
    assert [step[1] for step in steps] == sorted(step[1] for step in steps)


def test_a_server_that_fails_now_and_then_is_no_matter(
    opens2v: Run, hub: LocalHub, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "RANGE_BYTES", 4096)
    hub.faults = Faults(p503=0.1, p_cut=0.05, seed=2, applies_to=frozenset({"cdn"}))
    assert opens2v("copy", ADDRESS, "copied").code == 0
    assert files_below(Path("copied")) == files_below(sample_catalog)


def started_copy(hub: LocalHub, tmp_path: Path) -> subprocess.Popen[str]:
    environment = {**processes.environment(), **hub.environment(tmp_path / "home")}
    command = [*processes.MODULE, "copy", ADDRESS, str(tmp_path / "copied"), "--quiet"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def wait_for(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 200
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_of_two_copies_into_one_folder_the_second_is_refused_and_the_first_is_right(
    hub: LocalHub, sample_catalog: Path, tmp_path: Path
) -> None:
    # 80 s for all of it, and none of it counts while the first stands still.
    hub.faults = Faults(bandwidth_bytes_per_second=1_000, applies_to=frozenset({"cdn", "resolve"}))
    first = started_copy(hub, tmp_path)
    wait_for(lambda: list(tmp_path.glob("copied/*.tmp")))
    first.send_signal(signal.SIGSTOP)
    with pytest.raises(CatalogError, match=r"another process is copying into .*copied; wait for it to end and run"):
        copy_catalog(Catalog.open(sample_catalog), tmp_path / "copied")
    second = started_copy(hub, tmp_path)
    told = second.communicate(timeout=200)[1]
    assert second.returncode == 1 and "another process is copying into" in told
    assert first.poll() is None
    hub.faults = Faults()
    first.send_signal(signal.SIGCONT)
    assert first.communicate(timeout=200)[1] == "" and first.returncode == 0
    assert files_below(tmp_path / "copied") == files_below(sample_catalog)


def test_a_file_that_another_process_wrote_to_is_noticed_where_there_are_no_locks(
    sample_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, how: int) -> None:
        raise OSError(38, "Function not implemented")

    def other(stage: str, done: int, total: int) -> None:
        for path in (tmp_path / "copied").glob("*.parquet.tmp"):
            with path.open("ab") as file:
                file.write(b"more")

    monkeypatch.setattr("opens2v_data.catalog.locks.fcntl.flock", no_locks)
    with pytest.raises(CatalogError, match=r"parquet\.tmp, found \d+: another process writes to it"):
        copy_catalog(Catalog.open(sample_catalog), tmp_path / "copied", progress=other)


def test_ctrl_c_ends_a_copy_although_its_requests_wait_for_minutes(hub: LocalHub, tmp_path: Path) -> None:
    hub.faults = Faults(bandwidth_bytes_per_second=4_000, applies_to=frozenset({"cdn"}))
    copy = started_copy(hub, tmp_path)
    wait_for(lambda: list(tmp_path.glob("copied/*.tmp")))
    hub.faults = Faults(p429=1.0, retry_after_seconds=300, applies_to=frozenset({"resolve"}))
    wait_for(lambda: 429 in hub.counts().resolve.statuses)
    time.sleep(0.2)
    copy.send_signal(signal.SIGINT)
    copy.communicate(timeout=200)  # and not 300 s
    assert copy.returncode == 130


def test_a_copy_that_was_killed_goes_on(hub: LocalHub, sample_catalog: Path, tmp_path: Path) -> None:
    environment = {**processes.environment(), **hub.environment(tmp_path / "home")}
    command = [*processes.MODULE, "copy", ADDRESS, str(tmp_path / "copied"), "--quiet"]
    hub.faults = Faults(bandwidth_bytes_per_second=5_000, applies_to=frozenset({"cdn"}))
    started = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)
    wait_for(lambda: len(list(tmp_path.glob("copied/*.parquet"))) >= 3)  # the others take 10 s more
    os.kill(started.pid, signal.SIGKILL)
    started.communicate()
    there = files_below(tmp_path / "copied")
    assert "manifest.json" not in there and "origin.json" in there
    hub.faults = Faults()
    done = subprocess.run(
        [*command, "--json"], env=environment, capture_output=True, text=True, check=True, timeout=200
    )
    assert json.loads(done.stdout)["kept"] >= 3
    assert files_below(tmp_path / "copied") == files_below(sample_catalog)
