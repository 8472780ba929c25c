"""A stranger's SQL in a process of its own: the same answers, the same refusals, and what only a kill can end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from opens2v_data.errors import CatalogDamagedError, CatalogNotFoundError, QueryError
from opens2v_data.query import sandbox as module
from opens2v_data.query.sandbox import MIN_MEMORY_BYTES, Sandbox, ask_in_process
from query.attacks import ATTACKS, COSTS
from query.scenes import HONEST, SECONDS, SECRET, Scene, scenes

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="address space is limited, and /proc read, on Linux only")

HOGS = {
    "a comparison of long texts": "SELECT levenshtein(repeat('a', 300000), repeat('b', 300000))",
    "a text made longer by letters": "SELECT length(lpad('x', 2000000000, 'yz'))",
    "a plan that doubles": "WITH "
    + ", ".join(f"a{n} AS (FROM a{n - 1} AS x, a{n - 1} AS y)" if n else "a0 AS (FROM range(2))" for n in range(40))
    + " SELECT count(*) FROM a39",
}
"""What DuckDB does not stop when it is told to."""

GLUTTONS = {
    "a text": "SELECT length(repeat('x', 4000000000))",
    "a text by its format": "SELECT length(format('{:>2000000000}', 1))",
    "a list": "SELECT len(list_sort(range(500000000)))",
    "a list of a list": "SELECT list_sum(list_transform(range(300000000), lambda x: x * x))",
    "an aggregate": "SELECT len(list(i)) FROM range(1000000000) AS r(i)",
    "texts in rows": "SELECT max(length(repeat(i::VARCHAR, 100000000))) FROM range(1000) AS r(i)",
    "bits": "SELECT bit_count(bitstring('1', 2000000000))",
}
"""What takes more memory than DuckDB's own limit would let it."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    yield from scenes(tmp_path_factory.mktemp("sandbox"))


@pytest.fixture(scope="module")
def warm(scene: Scene) -> Iterator[Sandbox]:
    """One process for all questions that leave it as it is."""
    with Sandbox(scene.place.catalog, threads=2) as sandbox:
        yield sandbox


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No long grace before the kill."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.4)


def until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"waited {SECONDS:g} s for {what}"
        time.sleep(0.02)


def is_gone(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def once_busy(process_id: int, whom: int, number: int) -> None:
    """Send a signal once a process that has been idle works."""
    process = psutil.Process(process_id)
    before = process.cpu_times().user
    until(lambda: process.cpu_times().user > before + 0.2, "a process at work")
    os.kill(whom, number)


def limits_of(process_id: int) -> dict[str, str]:
    """Return a process's limits by name: soft and hard."""
    lines = Path(f"/proc/{process_id}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): " ".join(line[25:].split()[:2]) for line in lines}


def peak_bytes(sandbox: Sandbox) -> int:
    """Return the most memory that a sandbox's process has held."""
    status = Path(f"/proc/{sandbox.process_id}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.parametrize("sql", HONEST)
def test_an_honest_question_gets_the_same_answer_as_in_this_process(scene: Scene, warm: Sandbox, sql: str) -> None:
    answer = warm.ask(sql, seconds=SECONDS)
    assert answer.table.equals(scene.safe.ask(sql, seconds=SECONDS).table)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_and_leaves_nothing_behind(scene: Scene, warm: Sandbox, name: str) -> None:
    sql, message = ATTACKS[name]
    with pytest.raises(QueryError, match=message) as caught:
        warm.ask(scene.place.fill(sql), seconds=0.2 if name in COSTS and "within" in message else SECONDS)
    assert SECRET not in str(caught.value)
    assert warm.ask("SELECT count(*) AS n FROM clips", seconds=SECONDS).table.num_rows == 1
    assert scene.has_its_files()


@pytest.mark.parametrize("name", HOGS)
def test_what_does_not_stop_is_killed_and_the_next_question_is_answered(scene: Scene, hasty: None, name: str) -> None:
    with Sandbox(scene.place.catalog, threads=1) as sandbox:
        sandbox.ask("SELECT 1")
        first = sandbox.process_id
        assert first is not None
        with pytest.raises(QueryError, match=r"within 0\.3 s.*its process was ended|process .* ended|more memory"):
            sandbox.ask(HOGS[name], seconds=0.3)
        assert sandbox.process_id is None and is_gone(first)
        assert sandbox.ask("SELECT 1 AS a", seconds=SECONDS).table.to_pylist() == [{"a": 1}]
        assert sandbox.process_id not in (None, first)
    assert scene.has_its_files()


@LINUX
def test_what_takes_too_much_memory_does_not_get_it(scene: Scene) -> None:
    with Sandbox(scene.place.catalog, threads=1, memory_bytes=MIN_MEMORY_BYTES) as sandbox:
        sandbox.ask("SELECT 1")
        allowed_bytes = peak_bytes(sandbox) + MIN_MEMORY_BYTES
        for sql in GLUTTONS.values():
            with pytest.raises(QueryError, match="memory"):
                sandbox.ask(sql, seconds=SECONDS)
            assert sandbox.ask("SELECT count(*) AS n FROM clips", seconds=SECONDS).table.num_rows == 1
            assert peak_bytes(sandbox) < allowed_bytes
    assert scene.has_its_files()


@LINUX
def test_the_process_is_limited_and_has_nothing_of_this_one(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    with (tmp_path / "open.txt").open("w") as open_here:
        os.set_inheritable(open_here.fileno(), True)
        with Sandbox(scene.place.catalog, threads=1) as sandbox:
            sandbox.ask("SELECT 1")
            process = Path(f"/proc/{sandbox.process_id}")
            limits = limits_of(int(process.name))
            assert limits["Max file size"] == limits["Max core file size"] == "0 0"
            assert limits["Max open files"] == "128 128"
            assert limits["Max address space"] != "unlimited unlimited"
            assert "unlimited" not in limits["Max cpu time"].split()[0]
            assert SECRET not in (process / "environ").read_text() + (process / "cmdline").read_text()
            assert all(str(file.readlink()).startswith("pipe:") for file in (process / "fd").iterdir())
            assert (process / "cwd").readlink() == Path("/")
            assert os.getpgid(int(process.name)) == int(process.name)


def test_one_process_answers_all_questions_until_it_is_closed(scene: Scene) -> None:
    sandbox = Sandbox(scene.place.catalog, threads=1)
    assert sandbox.process_id is None
    sandbox.ask("SELECT 1")
    first = sandbox.process_id
    assert first is not None
    with pytest.raises(QueryError, match="Referenced column"):
        sandbox.ask("SELECT nothing FROM clips")
    sandbox.ask("SELECT 2")
    assert sandbox.process_id == first
    sandbox.close()
    assert sandbox.process_id is None and is_gone(first)


def test_a_process_that_was_killed_is_replaced(scene: Scene) -> None:
    with Sandbox(scene.place.catalog, threads=1) as sandbox:
        sandbox.ask("SELECT 1")
        first = sandbox.process_id
        assert first is not None
        os.kill(first, signal.SIGKILL)
        # Its threads may outlive its first one by a moment, and until they end it counts as running.
        until(lambda: sandbox._worker is None or sandbox._worker.has_ended(), "a killed process")
        assert sandbox.ask("SELECT 1 AS a", seconds=SECONDS).table.to_pylist() == [{"a": 1}]
        assert sandbox.process_id != first


def test_a_process_that_is_killed_at_a_question_is_told_as_such(scene: Scene) -> None:
    with Sandbox(scene.place.catalog, threads=1) as sandbox:
        sandbox.ask("SELECT 1")
        first = sandbox.process_id
        assert first is not None
        killer = threading.Thread(target=once_busy, args=(first, first, signal.SIGKILL))
        killer.start()
        with pytest.raises(QueryError, match=r"ended \(SIGKILL\)"):
            sandbox.ask(COSTS["a long range"][0], seconds=SECONDS)
        killer.join()
        assert sandbox.ask("SELECT 1", seconds=SECONDS).table.num_rows == 1


def test_ctrl_c_ends_the_question_with_its_process(scene: Scene) -> None:
    with Sandbox(scene.place.catalog, threads=1) as sandbox:
        sandbox.ask("SELECT 1")
        first = sandbox.process_id
        assert first is not None
        threading.Thread(target=once_busy, args=(first, os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            sandbox.ask(COSTS["a long range"][0], seconds=SECONDS)
        assert is_gone(first)
        assert sandbox.ask("SELECT 1 AS a", seconds=SECONDS).table.to_pylist() == [{"a": 1}]


PARENT = """
import sys, threading
from opens2v_data.query.sandbox import Sandbox
sandbox = Sandbox(sys.argv[1], threads=1)
sandbox.ask("SELECT 1")
print(sandbox.process_id, flush=True)
sandbox.ask(sys.argv[2], seconds=600)
"""


@LINUX
def test_the_process_ends_with_its_parent_also_in_the_middle_of_a_question(scene: Scene) -> None:
    command = [sys.executable, "-c", PARENT, scene.place.catalog, HOGS["a comparison of long texts"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.3)
        assert not is_gone(child)
        parent.kill()
    until(lambda: is_gone(child), "a process whose parent was killed")


def test_a_process_that_says_its_memory_stays_taken_is_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(scene.place.catalog, threads=1) as sandbox:
        sandbox.ask("SELECT 1")
        first, worker = sandbox.process_id, sandbox._worker
        assert worker is not None
        reply = worker._reply
        monkeypatch.setattr(worker, "_reply", lambda deadline: msgspec.structs.replace(reply(deadline), is_spent=True))
        assert sandbox.ask("SELECT 1 AS a", seconds=SECONDS).table.to_pylist() == [{"a": 1}]
        assert sandbox.process_id is None
        sandbox.ask("SELECT 1", seconds=SECONDS)
        assert sandbox.process_id not in (None, first)


def test_a_process_for_one_question(scene: Scene) -> None:
    answer = ask_in_process(scene.place.catalog, "FROM range(5) AS r(i)", max_rows=3, seconds=SECONDS)
    assert answer.table.to_pylist() == [{"i": 0}, {"i": 1}, {"i": 2}]
    assert answer.is_cut


def test_categories_are_worked_out_here_for_a_process_that_may_write_no_file(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENS2V_CACHE", "cache")  # the process starts in another folder
    sql = "SELECT category, count(*) AS n FROM clips GROUP BY ALL ORDER BY ALL"
    with Sandbox(scene.place.catalog, threads=1) as sandbox:
        sandbox.ask("SELECT 1")
        first = sandbox.process_id
        assert sandbox.ask(sql, seconds=SECONDS).table.equals(scene.safe.ask(sql).table)
        assert sandbox.process_id == first
    assert (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("root", "options", "error", "message"),
    [
        ("nowhere", {}, CatalogNotFoundError, "expected a catalog"),
        ("damaged", {}, CatalogDamagedError, "run: opens2v verify"),
        ("hf://datasets/someone/catalog", {}, QueryError, r"opens2v copy hf://datasets/someone/catalog \./opens2v-5m"),
        ("damaged", {"memory_bytes": 1}, ValueError, "memory_bytes must be at least 134,217,728, got 1"),
    ],
)
def test_a_catalog_that_cannot_be_asked_is_told_as_in_this_process(
    scene: Scene, tmp_path: Path, root: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    shutil.copytree(scene.place.catalog, tmp_path / "damaged")
    table = tmp_path / "damaged" / "clips.parquet"
    table.write_bytes(b"\0" * table.stat().st_size)
    place = root if root.startswith("hf:") else tmp_path / root
    with pytest.raises(error, match=message):
        Sandbox(place, **options).ask("SELECT 1", seconds=SECONDS)


def test_limits_are_above_nothing(warm: Sandbox) -> None:
    with pytest.raises(ValueError, match="limits must be above 0"):
        warm.ask("SELECT 1", seconds=0)
