"""Ingest killed with SIGKILL at random moments: a rerun goes on and ends with the files of an undisturbed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from catalog.releases import make, tree_of, write_full
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import CatalogNotFoundError

UNIT_BYTES = 8000
SCRIPT = f"""
import sys
from pathlib import Path
from opens2v_data.catalog.ingest import IngestOptions, ingest
from opens2v_data.release.layout import Release
ingest(Release.open(sys.argv[1]), Path(sys.argv[2]), IngestOptions(workers=2, unit_bytes={UNIT_BYTES}))
"""
STOPPING = f"""
from catalog import stopping
from opens2v_data.catalog import workers
workers._start_worker = stopping.start_worker
{SCRIPT}"""
"""As `SCRIPT`, and never done."""
EXIT_SECONDS = 200
"""How long an orphaned worker may take to end; it takes milliseconds where the machine is not busy."""


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("release")
    write_full(root, num_clips=200)
    return root


@pytest.fixture(scope="module")
def expected(release: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("catalog")
    make(release, root)
    return tree_of(root)


@contextmanager
def started(release: Path, root: Path, script: str = SCRIPT) -> Iterator[subprocess.Popen[str]]:
    """Start an ingest with two workers in a process group of its own; nothing of it outlives the block."""
    command = [sys.executable, "-c", script, str(release), str(root)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        command, env=environment, start_new_session=True, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_work(process: subprocess.Popen[str], root: Path, num_units: int) -> None:
    """Wait until some units are done, or the process has ended."""
    while process.poll() is None and sum(1 for _ in root.glob(".ingest/units/*/*/unit.json")) < num_units:
        time.sleep(0.005)


def assert_finished_or_says_not(root: Path) -> None:
    if not (root / "manifest.json").exists():
        with pytest.raises(CatalogNotFoundError, match=r"is not finished; run the same|expected a catalog"):
            Catalog.open(root)


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_moments_a_rerun_gives_the_files_of_an_undisturbed_run(
    release: Path, expected: dict[str, bytes], tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    root = tmp_path / "catalog"
    num_kills = 0
    while num_kills < 4:
        with started(release, root) as process:
            num_before = sum(1 for _ in root.glob(".ingest/units/*/*/unit.json"))
            wait_for_work(process, root, num_before + chance.randrange(60))
            time.sleep(chance.uniform(0, 0.2))
            if process.poll() is not None:
                assert process.returncode == 0
                assert tree_of(root) == expected
                shutil.rmtree(root)
                continue
            workers = psutil.Process(process.pid).children(recursive=True)
            if chance.random() < 0.5:
                os.kill(process.pid, signal.SIGKILL)
                _, alive = psutil.wait_procs(workers, timeout=EXIT_SECONDS)
                assert alive == []
            else:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        num_kills += 1
        if root.exists():
            assert_finished_or_says_not(root)
    make(release, root, unit_bytes=UNIT_BYTES)
    assert tree_of(root) == expected
    assert not list(root.rglob("*.tmp"))


def test_a_rerun_does_only_the_units_that_were_not_done(
    release: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with started(release, tmp_path, STOPPING) as process:
        wait_for_work(process, tmp_path, 20)
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    num_done = sum(1 for path in tmp_path.glob(".ingest/units/*/*/unit.json") if path.parent.suffix != ".tmp")
    result = make(release, tmp_path, unit_bytes=UNIT_BYTES)
    assert result.num_units_done_before == num_done >= 18
    assert tree_of(tmp_path) == expected


def test_a_killed_worker_is_reported_and_a_rerun_goes_on(
    release: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    with started(release, tmp_path, STOPPING) as process:
        wait_for_work(process, tmp_path, 5)
        workers = [
            child
            for child in psutil.Process(process.pid).children()
            if "resource_tracker" not in " ".join(child.cmdline())
        ]
        workers[0].kill()
        _, stderr = process.communicate(timeout=200)
    assert process.returncode == 1
    assert "IngestError: a worker process died (killed, or out of memory?); what is done is kept" in stderr
    result = make(release, tmp_path, unit_bytes=UNIT_BYTES)
    assert result.num_units_done_before > 0
    assert tree_of(tmp_path) == expected
