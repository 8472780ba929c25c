"""Workers of an ingest that stop, each before its next unit, once so many are done: whoever kills them may come late."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from opens2v_data.catalog import workers

MOST_UNITS = 40
_start_worker, _run_unit = workers._start_worker, workers.run_unit


def start_worker(counter: Any, files: Any) -> None:
    """Stand in for the initializer of a worker's process."""
    _start_worker(counter, files)
    workers.run_unit = _run_unit_unless_enough


def _run_unit_unless_enough(files: Any, work: Path, *rest: Any) -> None:
    while sum(1 for _ in work.glob("units/*/*/unit.json")) >= MOST_UNITS:
        time.sleep(0.02)
    _run_unit(files, work, *rest)
