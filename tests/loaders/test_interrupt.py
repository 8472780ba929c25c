"""Ctrl-C at any moment leaves nothing behind: no thread, process, shared memory, open file or temporary file.

A process of its own group trains on a catalog on disk, loader after loader. The test interrupts the whole group, as a terminal
does, and the process tells each time what it holds still.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import pytest
from torch.utils.data import DataLoader

import opens2v_data
from loaders.waiting import threads_left
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.options import LoaderOptions
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.subjects import SubjectSpec

psutil = pytest.importorskip("psutil", reason="processes and mapped memory are listed with psutil")

# A catalog is opened in 20 ms, and the first batch is there after some 100 (two shared cores).
pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are listed in /proc"),
]

TORCHS = pytest.mark.skipif(
    "OPENS2V_INTERRUPTS" not in os.environ,
    reason="torch's DataLoader ends its workers in __del__, where Python drops a Ctrl-C; OPENS2V_INTERRUPTS=1 tries it",
)

_SERVE = "from loaders.test_interrupt import serve; serve()"


def loader_of(catalog_root: str, release: str) -> ClipLoader:
    """Return a loader of some of everything: two configs, subjects, views and scenes."""
    return ClipLoader(
        opens2v_data.open(catalog_root, release=release),
        clip=ClipSpec(num_frames=3, stride=2, size=(48, 64)),
        batch_size=3,
        mix={"regular": 2, "nexus-gpt": 1},
        subjects=SubjectSpec(size=(16, 16), scene=True),
        options=LoaderOptions(num_threads=3, max_bad_share=1.0),
    )


def train(catalog_root: str, release: str, num_workers: int, good: list[int]) -> None:
    """Train until interrupted, leaving the loop and beginning it again every third batch."""
    loader = loader_of(catalog_root, release)
    batches: Iterable[Any] = loader
    if num_workers:
        batches = DataLoader(loader.as_torch_dataset(), sampler=good, batch_size=None, num_workers=num_workers)
    taken = 0
    while True:
        for _ in batches:
            taken += 1
            if taken % 3 == 0:
                break


def serve() -> None:
    """Train for each line of stdin until interrupted, and tell on stdout what is held then; at the end train once more."""
    catalog_root, release, num_workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
    logging.disable()
    good = _good_rows(loader_of(catalog_root, release))  # this also loads what is loaded once and stays
    before = _held_at_rest({})
    _tell(before)
    for _ in sys.stdin:
        is_interrupted = False
        try:
            _tell("training")
            train(catalog_root, release, num_workers, good)
        except KeyboardInterrupt:
            is_interrupted = True
        _tell(_held_at_rest(before) | {"is_interrupted": is_interrupted})
    train(catalog_root, release, num_workers, good)


def _good_rows(loader: ClipLoader) -> list[int]:
    """Return the places in the loader's dataset of rows that an epoch gives."""
    rows = loader.plan.rows
    place = {
        (rows.source_names[source], row): index
        for index, (source, row) in enumerate(zip(rows.sources.tolist(), rows.rows.tolist(), strict=True))
    }
    return [place[known] for batch in loader for known in zip(batch.sources, batch.rows.tolist(), strict=True)]


def _tell(value: object) -> None:
    print(json.dumps(value), flush=True)  # noqa: T201 - to the test


def _held_at_rest(expected: dict[str, Any]) -> dict[str, Any]:
    """Return what the process holds once that is what is expected, or, where nothing is, once it changes no more."""
    give_up_at = time.monotonic() + 100
    last, since = {}, time.monotonic()
    while True:
        gc.collect()
        held, now = _held(), time.monotonic()
        if held != last:
            last, since = held, now
        is_at_rest = not expected and held["threads"] == ["MainThread"] and now - since > 1.0
        if held == expected or is_at_rest or now > give_up_at:
            return held
        time.sleep(0.02)


def _held() -> dict[str, Any]:
    me = psutil.Process()
    files = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - their numbers are wanted
        try:
            target = os.readlink(f"/proc/self/fd/{number}")  # noqa: PTH115
        except OSError:  # the one that lists
            continue
        if target.startswith("/") and not target.startswith("/proc/"):
            files.append(target)
    shared = [entry.path for entry in me.memory_maps(grouped=True) if entry.path.startswith("/dev/shm/")]
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "processes": len(me.children(recursive=True)),
        "shared memory": sorted(shared),
        "files": sorted(files),
    }


class Trained:
    """The process that trains, in a group and with a folder for temporary files of its own."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.folder = folder
        (folder / "tmp").mkdir()
        paths = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            start_new_session=True,
            env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(folder / "tmp"), "HOME": str(folder)},
        )
        self.before = json.loads(self.line())

    def line(self) -> str:
        """Return the next line it says; where it ended instead, fail with its last words."""
        line = _pipe(self.process.stdout).readline()
        if not line:
            _, err = self.process.communicate(timeout=200)
            pytest.fail(f"the process ended with {self.process.returncode}: {err[-4000:]}")
        return line

    def interrupted(self, seconds: float) -> dict[str, Any]:
        """Let it train for so long, interrupt it, and return what it holds then."""
        _pipe(self.process.stdin).write("\n")
        _pipe(self.process.stdin).flush()
        assert json.loads(self.line()) == "training"
        time.sleep(seconds)
        os.killpg(self.process.pid, signal.SIGINT)
        return json.loads(self.line())

    def ended(self, seconds: float) -> tuple[int, str]:
        """Let it train outside of any `try`, interrupt it, and return its exit status and stderr."""
        _pipe(self.process.stdin).close()
        self.process.stdin = None
        time.sleep(seconds)
        os.killpg(self.process.pid, signal.SIGINT)
        _, err = self.process.communicate(timeout=200)
        return self.process.returncode, err

    def left_behind(self) -> list[str]:
        """Return files that are in its folders, and its group if that has processes still."""
        found = [str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.name != "tmp"]
        try:
            os.killpg(self.process.pid, 0)
        except ProcessLookupError:
            return found
        return [*found, f"a process of group {self.process.pid}"]

    def kill(self) -> None:
        """End it."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_workers", "num_interrupts", "seconds"),
    [(0, 50, 0.3), pytest.param(2, 5, 0.8, marks=TORCHS)],
    ids=["own", "torch"],
)
def test_nothing_is_left_after_ctrl_c_at_a_random_moment(
    sample_catalog: Path, sample_release: Path, tmp_path: Path, num_workers: int, num_interrupts: int, seconds: float
) -> None:
    draw = random.Random(num_workers)
    trained = Trained(tmp_path, sample_catalog, sample_release, num_workers)
    try:
        assert trained.before["processes"] == 0
        assert trained.before["threads"] == ["MainThread"]
        for _ in range(num_interrupts):
            held = trained.interrupted(draw.uniform(0.0, seconds))
            assert held.pop("is_interrupted")
            assert held == trained.before
        code, err = trained.ended(seconds)
        assert code == -signal.SIGINT, err
        if not num_workers:  # torch's workers say on their own that they were interrupted
            assert err.splitlines()[-1] == "KeyboardInterrupt"
            assert err.count("Traceback") == 1
        assert trained.left_behind() == []
    finally:
        trained.kill()


class BegunLate(threading.Thread):
    """A thread whose `start` is interrupted while it runs and says so late, as on a busy machine; once."""

    is_next = True

    def start(self) -> None:
        if BegunLate.is_next and self.name.startswith("opens2v-decode"):
            BegunLate.is_next = False
            self._started = _Late(self)
        super().start()


class _Late(threading.Event):
    def __init__(self, thread: threading.Thread) -> None:
        super().__init__()
        self.thread = thread

    def set(self) -> None:
        time.sleep(0.05)
        super().set()

    def wait(self, timeout: float | None = None) -> bool:
        while self.thread.ident is None:
            time.sleep(0.001)
        signal.raise_signal(signal.SIGINT)
        return super().wait(timeout)


def test_ctrl_c_while_a_thread_is_begun_is_a_ctrl_c(
    sample_catalog: Path, sample_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = loader_of(str(sample_catalog), str(sample_release))
    monkeypatch.setattr(threading, "Thread", BegunLate)
    monkeypatch.setattr(BegunLate, "is_next", True)
    with pytest.raises(KeyboardInterrupt):
        iter(loader).__next__()
    assert threads_left() == []
    assert sum(1 for _ in loader) > 1


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
