"""Run one piece of work in a process of its own and say what it took; shared by the benchmarks."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Cost:
    """What a process took, children included: CPU and wall in seconds, largest resident set of any one process in bytes."""

    cpu_seconds: float
    wall_seconds: float
    max_rss_bytes: int
    output: str
    error: str
    code: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def run(command: Sequence[str], *, timeout: float | None = None, env: dict[str, str] | None = None) -> Cost:
    """Run a command and wait; CPU and memory are the kernel's figures for it and its children (wait4)."""
    paths = [str(ROOT), str(ROOT / "loaders"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)} | (env or {})
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        output, error = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, error = process.communicate()
        error += f"\nstopped after {timeout} s"
    wall = time.perf_counter() - start
    usage = _last_child_usage()
    return Cost(usage[0], wall, usage[1], output, error, process.returncode)


_before = (0.0, 0)


def _last_child_usage() -> tuple[float, int]:
    """CPU since the last call, and the largest resident set of all children so far (hence `run_isolated`)."""
    global _before
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    spent = cpu - _before[0]
    _before = (cpu, usage.ru_maxrss)
    return spent, usage.ru_maxrss * 1024


def run_isolated(command: Sequence[str], *, timeout: float | None = None, env: dict[str, str] | None = None) -> Cost:
    """Like `run`, from a fresh process, so that the peak memory is this command's and not that of an earlier, larger one."""
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); from measure import run; "
        "c = run(sys.argv[3:], timeout=float(sys.argv[2]) or None); print(json.dumps(c.to_dict()))"
    )
    arguments = [sys.executable, "-c", code, str(Path(__file__).parent), str(timeout or 0), *command]
    done = subprocess.run(arguments, capture_output=True, text=True, env=os.environ | (env or {}), check=True)
    return Cost(**json.loads(done.stdout.splitlines()[-1]))


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> str:
    """Return a markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "|".join(["---"] * len(header)) + "|"]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def machine() -> str:
    """Return one line about where this ran."""
    import platform

    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
