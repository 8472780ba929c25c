"""Run all tests in groups, each in a process of its own, as many at once as there are cores: `make test`.

What some tests leave behind in a process (threads, memory, parents to be forked) others need not bear: with strangers' SQL in
the process of the loaders' tests a run stood still, twice. On 2 cores two at once take some 60% of the time of one after another.

    python tests/groups.py [--at-once N] [arguments of pytest]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parent
STRANGERS = ("query/test_safe.py", "query/test_sandbox.py")
# The longest first. What no group names is the last one's.
GROUPS: dict[str, tuple[str, ...]] = {
    "core": ("archive", "loaders"),
    "command line": ("cli", "report", "sample", "search"),
    "catalog": ("catalog", "hub", "release"),
    "query": ("query",),
    "explorer": ("explorer",),
    "evaluation": ("evaluation",),
    "strangers": STRANGERS,
    "others": (),
}
MOST_AT_ONCE = 4
"""A process takes up to 2 GB."""
NOTHING_COLLECTED = 5
"""Pytest's exit code where all was deselected, as by `-k`."""


def arguments_of(group: str) -> list[str]:
    """Return what pytest is told to run one group."""
    if group == "others":
        named = {place for places in GROUPS.values() for place in places}
        return [str(TESTS), *(f"--ignore={TESTS / place}" for place in sorted(named))]
    places = [str(TESTS / place) for place in GROUPS[group] if (TESTS / place).exists()]
    return places + ([f"--ignore={TESTS / place}" for place in STRANGERS] if group == "query" else [])


def run(group: str, more: list[str]) -> tuple[str, int, float, Path]:
    """Run one group; return its name, pytest's exit code, seconds, and where its output is."""
    begun = time.monotonic()
    with tempfile.NamedTemporaryFile("wb", suffix=".txt", prefix="opens2v-tests-", delete=False) as output:
        command = [sys.executable, "-m", "pytest", *arguments_of(group), *more]
        code = subprocess.run(command, cwd=TESTS.parent, stdout=output, stderr=subprocess.STDOUT).returncode
    return group, code, time.monotonic() - begun, Path(output.name)


def main() -> None:
    """Run them and print each one's output when it has ended; exit with 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=min(MOST_AT_ONCE, os.cpu_count() or 1))
    arguments, more = parser.parse_known_args()
    failed = []
    summary = []
    with ThreadPoolExecutor(max(1, arguments.at_once)) as pool:
        for group, code, seconds, output in pool.map(lambda group: run(group, more), GROUPS):
            print(f"\n######## {group}", flush=True)
            sys.stdout.buffer.write(output.read_bytes())
            sys.stdout.buffer.flush()
            output.unlink()
            summary.append(f"{group}: {seconds:.0f} s" + (f", exit code {code}" if code else ""))
            if code not in (0, NOTHING_COLLECTED):
                failed.append(group)
    print("\n" + "\n".join(summary))
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
