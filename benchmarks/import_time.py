"""How long do `import opens2v_data` and `opens2v --help` take, beside an empty interpreter and `import datasets`?

python benchmarks/import_time.py
"""

from __future__ import annotations

import statistics
import sys

from measure import machine, run, table

RUNS = 15
HEAVY = ("datasets", "pandas", "torch", "pyarrow", "duckdb", "av", "numpy")
CASES = {
    "empty interpreter": ["-c", "pass"],
    "import opens2v_data": ["-c", "import opens2v_data"],
    "opens2v --help": ["-m", "opens2v_data.cli", "--help"],
    "import duckdb": ["-c", "import duckdb"],
    "import datasets": ["-c", "import datasets"],
}


def main() -> None:
    """Print the table, and which heavy packages each case imports."""
    rows = []
    empty = 0.0
    for name, arguments in CASES.items():
        costs = [run([sys.executable, *arguments]) for _ in range(RUNS if name != "import datasets" else 3)]
        wall = statistics.median(cost.wall_seconds for cost in costs)
        empty = empty or wall
        cpu = statistics.median(cost.cpu_seconds for cost in costs)
        rows.append([name, f"{wall * 1000:.0f}", f"{(wall - empty) * 1000:.0f}", f"{cpu * 1000:.0f}"])
    print(machine())
    print(table(rows, ["case", "wall ms", "over empty ms", "CPU ms"]))
    code = f"import opens2v_data, sys; print([name for name in {HEAVY!r} if name in sys.modules])"
    print(f"heavy packages that `import opens2v_data` imports: {run([sys.executable, '-c', code]).output.strip()}")


if __name__ == "__main__":
    main()
