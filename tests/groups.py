"""Run all tests in groups, each in a process of its own, two more at once than there are cores: `make test`.

What some tests leave behind in a process (threads, memory, parents to be forked) others need not bear: with strangers' SQL in
the process of the loaders' tests a run stood still, twice. Groups wait for servers, browsers and processes that start and end:
those of the Hub, of stopped loaders, of loaders and of strangers took 450 CPU-s in 870 s, three at once on two cores. So two
more than there are cores have something to do.
The generated release and its catalog are made once for all of them (`made_once`).

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
# Loaders in processes of their own, which are interrupted, killed and begun again.
STOPPED = tuple(f"loaders/test_{name}.py" for name in ("interrupt", "kill", "pipeline", "training"))
# The longest first, by the seconds of whole runs on two cores, so that the last ones end together. A place that several name is
# the most exact one's; what none names is the last one's.
GROUPS: dict[str, tuple[str, ...]] = {
    "hub": ("hub",),
    "stopped loaders": STOPPED,
    "pages": ("explorer/browser",),
    "catalog": ("catalog", "release"),
    "command line": ("cli",),
    "archive": ("archive",),
    "explorer": ("explorer",),
    "query": ("query",),
    "strangers": STRANGERS,
    "loaders": ("loaders",),
    "evaluation": ("evaluation",),
    "others": (),
}
MOST_AT_ONCE = 4
BYTES_EACH = 2 * 1024**3
"""A process takes up to 1.5 GB, with those that it starts."""
NOTHING_COLLECTED = 5
"""Pytest's exit code where all was deselected, as by `-k`."""


def most_at_once() -> int:
    """Return how many groups this machine's cores and memory have room for."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(MOST_AT_ONCE, (os.cpu_count() or 1) + 2, memory_bytes // BYTES_EACH))


def arguments_of(group: str) -> list[str]:
    """Return what pytest is told to run one group."""
    named = {place for places in GROUPS.values() for place in places}
    own = GROUPS[group] or ("",)
    of_others = {place for place in named.difference(own) if any(Path(place).is_relative_to(mine) for mine in own)}
    return [
        *(str(TESTS / place) for place in own if (TESTS / place).exists()),
        *(f"--ignore={TESTS / place}" for place in sorted(of_others)),
    ]


def run(group: str, more: list[str], made: Path) -> tuple[str, int, float, Path]:
    """Run one group; return its name, pytest's exit code, seconds, and where its output is.

    Args:
        group: to run.
        more: arguments of pytest.
        made: the folder of what is made once for all groups.
    """
    # Tensors of tests are so small that torch's threads wait for each other longer than they compute: 54 CPU-s with one,
    # 61 with two, in four files of the loaders. This variable is torch's alone; OMP_NUM_THREADS would be Arrow's too.
    environment = os.environ | {"OPENS2V_TESTS_MADE": str(made), "MKL_NUM_THREADS": "1"}
    # Each of the hundreds of processes that tests start would compile our modules again: 0.3 CPU-s for what a command imports.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begun = time.monotonic()
    with tempfile.NamedTemporaryFile("wb", suffix=".txt", prefix="opens2v-tests-", delete=False) as output:
        command = [sys.executable, "-m", "pytest", *arguments_of(group), *more]
        code = subprocess.run(
            command, cwd=TESTS.parent, env=environment, stdout=output, stderr=subprocess.STDOUT
        ).returncode
    return group, code, time.monotonic() - begun, Path(output.name)


def main() -> None:
    """Run them and print each one's output when it has ended; exit with 1 if a test failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at-once", type=int, default=most_at_once())
    arguments, more = parser.parse_known_args()
    failed = []
    summary = []
    with (
        tempfile.TemporaryDirectory(prefix="opens2v-tests-") as made,
        ThreadPoolExecutor(max(1, arguments.at_once)) as pool,
    ):
        for group, code, seconds, output in pool.map(lambda group: run(group, more, Path(made)), GROUPS):
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
