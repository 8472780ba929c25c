"""kill -9 at any moment, then another number of ranks: what was to come, comes.

A server process imports everything once and forks a process for each run, so that many of them can be killed. A run trains
all ranks in turn, and after each step writes the states of all of them to a file, by a temporary name.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from loaders.test_ranks import MIXES, WORLDS, Run, global_accounts, ranks_of, run, told

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVER = """
import json, os, sys
from pathlib import Path
from loaders.test_kill import train
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        train(**json.loads(line))
        os._exit(0)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""
CHECKPOINT = "checkpoint.json"
LOG = "log.jsonl"


def train(
    folder: str, world: int, seed: int, mix: dict[str, int] | None, on_bad: str, stop_after: int | None = None
) -> None:
    """Train from the folder's checkpoint to the end of the epoch, noting each step; or stand still after so many."""
    loaders = ranks_of(world, seed=seed, mix=mix, on_bad=on_bad)
    path, temporary = Path(folder, CHECKPOINT), Path(folder, f"{CHECKPOINT}.tmp")
    if path.exists():
        states = json.loads(path.read_text())
        for loader in loaders:
            loader.load_state_dict(states)
    with Path(folder, LOG).open("a") as log:
        for batches in zip(*loaders, strict=True):
            # Without their pixels: each process encodes its own clip, and x264's are not all alike.
            clips = [clip[:-1] for batch in batches for clip in told(batch)]
            note = {"step": batches[0].step, "clips": clips}
            accounts = global_accounts(loaders, batches[0].step + 1)
            log.write(json.dumps(note | {"accounts": vars(accounts)}) + "\n")
            log.flush()
            if stop_after is not None and _num_logged(Path(folder)) >= stop_after:
                time.sleep(1_000)
            temporary.write_text(json.dumps([loader.state_dict() for loader in loaders]))
            temporary.replace(path)


@dataclass
class Server:
    """The process that forks runs."""

    process: subprocess.Popen[str]

    def start(self, **job: Any) -> int:
        """Start a run and return its process's id."""
        _pipe(self.process.stdin).write(json.dumps(job) + "\n")
        _pipe(self.process.stdin).flush()
        return int(_pipe(self.process.stdout).readline())

    def ended(self) -> int:
        """Wait for the run and return its wait status."""
        return int(_pipe(self.process.stdout).readline())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of runs."""
    if not hasattr(os, "fork"):
        pytest.skip("runs are forked, and this system cannot fork")
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    try:
        assert _pipe(process.stdout).readline() == "ready\n"
        yield Server(process)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("mix", "on_bad", "worlds"),
    [
        ("regular", "replace", (1, 8, 2, 4)),
        ("regular", "replace", (4, 1, 8)),
        ("regular", "skip", (2, 4, 1)),
        ("mixed", "replace", (8, 2, 1)),
        ("mixed", "replace", (2, 8, 4, 1)),
        ("mixed", "skip", (1, 4, 8)),
    ],
)
def test_runs_that_are_killed_go_on_on_other_ranks_as_if_nothing_had_been(
    server: Server, tmp_path: Path, mix: str, on_bad: str, worlds: tuple[int, ...]
) -> None:
    whole = run(1, mix, on_bad)
    draw = random.Random(f"{mix} {on_bad} {worlds}")
    job = {"folder": str(tmp_path), "seed": 0, "mix": MIXES[mix], "on_bad": on_bad}
    statuses = []
    for world in worlds[:-1]:
        # Whoever is to kill it may come late: it stands still two steps after that.
        count = _num_logged(tmp_path) + draw.randint(1, 3)
        child = server.start(world=world, stop_after=count + 2, **job)
        _wait_for_step(tmp_path, child, count)
        time.sleep(draw.uniform(0.0, 0.02))
        _kill(child)
        statuses.append(server.ended())
    server.start(world=worlds[-1], **job)
    assert server.ended() == 0
    assert signal.SIGKILL in statuses, "every run came to its end before it could be killed"
    assert set(statuses) <= {0, signal.SIGKILL}
    _check_log(tmp_path, whole)


@pytest.mark.parametrize("world", [1, 4])
def test_a_run_killed_after_each_step_and_resumed_is_the_whole_run(server: Server, tmp_path: Path, world: int) -> None:
    whole = run(1, "regular", "replace")
    for number in range(2 * len(whole.batches)):
        ranks = world if number % 2 == 0 else WORLDS[number // 2 % len(WORLDS)]
        child = server.start(folder=str(tmp_path), world=ranks, seed=0, mix=None, on_bad="replace")
        _wait_for_step(tmp_path, child, _num_logged(tmp_path) + 1)
        _kill(child)
        if server.ended() == 0:
            break
    else:
        # A kill between a step's log and its checkpoint costs that step, and on a slow disk many do: the rest is left to end.
        server.start(folder=str(tmp_path), world=world, seed=0, mix=None, on_bad="replace")
        assert server.ended() == 0
    _check_log(tmp_path, whole)


def _check_log(folder: Path, whole: Run) -> None:
    """Check that each step was trained as in the whole run, in order but for steps that were killed before their checkpoint."""
    lines = [json.loads(line) for line in Path(folder, LOG).read_text().splitlines()]
    steps = [line["step"] for line in lines]
    assert sorted(set(steps)) == list(range(len(whole.batches)))
    for before, after in pairwise(steps):
        assert after in (before, before + 1)
    for line in lines:
        assert [tuple(clip) for clip in line["clips"]] == [clip[:-1] for clip in whole.batches[line["step"]]]
        assert line["accounts"] == vars(whole.accounts[line["step"] + 1])


def _kill(child: int) -> None:
    # The server has not waited for it unless it ended by itself, and then its id is not used again so soon.
    if Path(f"/proc/{child}").exists() or not Path("/proc").exists():
        os.kill(child, signal.SIGKILL)


def _num_logged(folder: Path) -> int:
    try:
        return Path(folder, LOG).read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _wait_for_step(folder: Path, child: int, count: int) -> None:
    give_up_at = time.monotonic() + 200
    while _num_logged(folder) < count and time.monotonic() < give_up_at:
        if not Path(f"/proc/{child}").exists():
            return
        time.sleep(0.002)


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream
