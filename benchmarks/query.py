"""How fast are the questions that a page, a slice and a loader ask of 5 M clips, against DuckDB, polars and pyarrow by hand?

Every operation of the query layer's targets, warm, asked of all systems in turn within one process, on the same files; the
answers are compared. "ours, warm" has the numbers of all clips in memory (`warm()`), "DuckDB, table" the same in a table. Times
are of at least five runs. CPU is of all threads. "read MB" is what a call asks the kernel for (rchar of /proc/self/io, of the
second call of a process of its own: what is kept in memory is not read again; tantivy maps its index, which rchar does not see),
"peak MB" the largest resident set of that process, interpreter and imports included.

    python benchmarks/query.py --clips 5000000                      # makes the catalog in a temporary folder (3 minutes, 4 GB)
    python benchmarks/query.py --root /data/big5m --only page masks
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from measure import machine, run_isolated, table
from query_asked import questions
from query_systems import BESIDE, SYSTEMS

MAX_OVERHEAD = 0.10
"""Over SQL by hand on the same files."""


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One question.

    Attributes:
        name: of the systems' method.
        doc: what is asked.
        target_ms: warm, on two idle cores; None: none was set.
    """

    name: str
    doc: str
    target_ms: float | None


OPERATIONS = (
    Operation(name="top_classes", doc="the 50 most frequent classes", target_ms=20),
    Operation(name="filtered_count", doc="count of aesthetic > 5.5 AND motion > 0.01", target_ms=60),
    Operation(name="subject_ids", doc="ids: aesthetic > 5.5, has a woman with gme > 0.3", target_ms=200),
    Operation(name="byte_ranges", doc="that slice to byte ranges in pieces", target_ms=400),
    Operation(name="page", doc="page of 50 by -aesthetic, by keyset from the middle", target_ms=50),
    Operation(name="histograms", doc="four histograms of a filtered slice", target_ms=150),
    Operation(name="masks", doc="masks of 64 random clips, decoded", target_ms=20),
    Operation(name="clips", doc="64 random clips with subjects", target_ms=300),
    Operation(name="text", doc="clips whose caption says guitar", target_ms=50),
    Operation(name="key", doc="one clip by its key", target_ms=None),
    Operation(name="facet", doc="categories of a filtered slice, counted", target_ms=None),
)


@dataclass
class Times:
    """Of one system and operation, in seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure(root: Path, operations: list[Operation], systems: list[str], min_runs: int) -> dict[str, dict[str, Times]]:
    """Ask every operation of every system in turn, and compare the answers."""
    asked = questions(root)
    opened = {name: SYSTEMS[name](root, asked) for name in systems}
    found: dict[str, dict[str, Times]] = {}
    for operation in operations:
        calls: dict[str, Callable[[], Any]] = {
            name: call for name, made in opened.items() if (call := getattr(made, operation.name, None)) is not None
        }
        first = canonical(calls[systems[0]]())
        for name in list(calls)[1:]:
            if (answer := canonical(calls[name]())) != first:
                raise SystemExit(
                    f"{operation.name}: {name} answers {str(answer)[:300]}, {systems[0]} {str(first)[:300]}"
                )
        times = found[operation.name] = {name: Times() for name in calls}
        start = time.perf_counter()
        rounds = 0
        # In turn, so that a machine that gets slower does so for all; some seconds for each operation.
        while rounds < min_runs or (rounds < 5 * min_runs and time.perf_counter() - start < 5):
            for name in list(calls) if rounds % 2 else list(calls)[::-1]:
                gc.collect()
                cpu, wall = time.process_time(), time.perf_counter()
                answer = calls[name]()
                times[name].wall.append(time.perf_counter() - wall)
                times[name].cpu.append(time.process_time() - cpu)
                del answer
            rounds += 1
        print(f"{operation.name}: {rounds} rounds", file=sys.stderr, flush=True)
    return found


def canonical(answer: Any) -> Any:
    """Return an answer as plain values, the same for equal answers of all systems."""
    if isinstance(answer, tuple):
        return tuple(canonical(one) for one in answer)
    if isinstance(answer, dict):
        return {key: canonical(value) for key, value in sorted(answer.items())}
    if isinstance(answer, np.ndarray):
        return answer.tolist()
    if hasattr(answer, "to_arrow"):
        answer = answer.to_arrow()
    if isinstance(answer, pa.Table):
        return {name: answer.column(name).to_pylist() for name in sorted(answer.column_names)}
    return answer


def one_call(root: Path, system: str, operation: str) -> dict[str, float]:
    """Ask once to warm up and once more; say what the second call read, and this process's peak."""
    call = getattr(SYSTEMS[system](root, questions(root)), operation)
    call()
    before = _bytes_read()
    call()
    read = _bytes_read() - before
    return {"read_bytes": read, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}


def _bytes_read() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise RuntimeError("expected a line rchar in /proc/self/io, found none: bytes are counted on Linux only")


def rows(operation: Operation, times: dict[str, Times], costs: dict[str, dict[str, float]]) -> list[list[str]]:
    """Return the table's rows of one operation."""
    made = []
    for name, one in times.items():
        cost = costs.get(name, {})
        made.append(
            [
                operation.doc if name == "ours" else "",
                name,
                f"{statistics.median(one.wall) * 1e3:,.1f}",
                f"{min(one.wall) * 1e3:,.1f}",
                f"{statistics.median(one.cpu) * 1e3:,.1f}",
                f"{cost['read_bytes'] / 1e6:,.2f}" if cost else "",
                f"{cost['peak_bytes'] / 1e6:,.0f}" if cost else "",
                verdict(operation, name, times),
            ]
        )
    return made


def verdict(operation: Operation, name: str, times: dict[str, Times]) -> str:
    """Say whether one of ours meets its target, and what it takes more than the same SQL by hand."""
    if name not in BESIDE:
        return ""
    said = []
    if operation.target_ms is not None:
        is_met = statistics.median(times[name].wall) * 1e3 <= operation.target_ms
        said.append(f"target {operation.target_ms:g} ms {'met' if is_met else 'NOT MET'}")
    if (raw := times.get(BESIDE[name])) is not None:
        # Runs side by side: the machine's moods fall out of the ratio.
        ratio = statistics.median(ours / other for ours, other in zip(times[name].wall, raw.wall, strict=True))
        said.append(f"{ratio:.2f}x {BESIDE[name]}{'' if ratio <= 1 + MAX_OVERHEAD else ', OVER 1.10'}")
    return "; ".join(said)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5_000_000, help="of the catalog that is made without --root")
    parser.add_argument("--root", type=Path, help="a catalog of big_catalog.py; made there where nothing is")
    parser.add_argument("--only", nargs="+", choices=[one.name for one in OPERATIONS], help="these operations")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--runs", type=int, default=5, help="at least so many of each (default: 5)")
    parser.add_argument("--no-search-index", action="store_true", help="leave the captions without an index")
    parser.add_argument("--no-cost", action="store_true", help="leave out bytes and memory, which take a process each")
    parser.add_argument("--one", nargs=2, metavar=("SYSTEM", "OPERATION"), help="one call, printed as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(one_call(arguments.root, *arguments.one)))
        return
    base = None if arguments.root else Path(tempfile.mkdtemp(prefix="opens2v-bench-"))
    root: Path = arguments.root or base / "catalog"  # pyright: ignore[reportOptionalOperand]
    try:
        prepare(root, arguments.clips, with_index=not arguments.no_search_index)
        operations = [one for one in OPERATIONS if not arguments.only or one.name in arguments.only]
        systems = ["ours", *(name for name in arguments.systems if name != "ours")]
        times = measure(root, operations, systems, arguments.runs)
        report(root, operations, times, with_cost=not arguments.no_cost)
    finally:
        if base is not None:
            shutil.rmtree(base, ignore_errors=True)


def prepare(root: Path, num_clips: int, *, with_index: bool) -> None:
    """Make the catalog, its categories and its caption index where they are not there."""
    import opens2v_data
    from opens2v_data.catalog.catalog import Catalog

    if not (root / "manifest.json").is_file():
        from big_catalog import build

        print(f"writing a catalog of {num_clips:,} clips to {root}", file=sys.stderr, flush=True)
        build(root, num_clips=num_clips)
    start = time.perf_counter()
    opens2v_data.open(root).query.build_categories()
    print(f"categories: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    if with_index:
        from opens2v_data.search import build_index

        start = time.perf_counter()
        made = build_index(Catalog.open(root))
        if not made.was_complete:
            seconds = time.perf_counter() - start
            print(f"caption index: {made.size_bytes / 1e6:,.0f} MB in {seconds:.0f} s", file=sys.stderr, flush=True)


def report(root: Path, operations: list[Operation], times: dict[str, dict[str, Times]], *, with_cost: bool) -> None:
    """Print what was measured, with the bytes and the memory of a process of its own each."""
    import duckdb
    import polars

    from opens2v_data.catalog.catalog import Catalog

    catalog = Catalog.open(root)
    counts = ", ".join(f"{catalog.num_rows(name):,} {name}" for name in ("clips", "subjects", "pairs"))
    print(
        f"{machine()}, load {os.getloadavg()[0]:.1f}; {counts}; duckdb {duckdb.__version__}, polars {polars.__version__}, "
        f"pyarrow {pa.__version__}\n"
    )
    made: list[list[str]] = []
    for operation in operations:
        costs: dict[str, dict[str, float]] = {}
        for name in times[operation.name] if with_cost else ():
            command = [sys.executable, __file__, "--root", str(root), "--one", name, operation.name]
            cost = run_isolated(command)
            if cost.code:
                raise SystemExit(cost.error)
            costs[name] = json.loads(cost.output)
        made += rows(operation, times[operation.name], costs)
    header = ["question", "system", "median ms", "best ms", "CPU ms", "read MB", "peak MB", ""]
    print(table(made, header))


if __name__ == "__main__":
    main()
