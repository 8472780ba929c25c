"""Units of an ingest in worker processes: started, counted, and stopped when something fails."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any

import pyarrow as pa

from opens2v_data.archive.chains import ChainOptions
from opens2v_data.catalog.members import index_release_part
from opens2v_data.catalog.units import UnitPlan, run_unit
from opens2v_data.errors import IngestError
from opens2v_data.release.files import ReleaseFiles
from opens2v_data.release.layout import VideoPart

Progress = Callable[[str, int, int], None]
"""Called with the stage ("json", "videos", "tables", "pairs"), how much is done, and how much there is."""


class Meter:
    """Adds up what workers report and passes it on."""

    def __init__(self, progress: Progress | None, mine: list[UnitPlan], done: set[UnitPlan]) -> None:
        self._progress = progress
        self._total = sum(plan.hi - plan.lo for plan in mine)
        self._done = sum(plan.hi - plan.lo for plan in mine if plan in done)
        self.add(0)

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress("json", self._done, self._total)

    def parts(self, done: int, total: int) -> None:
        if self._progress is not None and total:
            self._progress("videos", done, total)


def run_units(
    files: ReleaseFiles,
    work: Path,
    todo: list[UnitPlan],
    parts: list[VideoPart],
    *,
    workers: int,
    meter: Meter,
) -> None:
    """Do units and index parts, in this process or in others; what is done when one fails is kept.

    Raises:
        IngestError: a worker died.
    """
    if workers == 1 or len(todo) + len(parts) <= 1:
        for number, part in enumerate(parts):
            index_release_part(work, part, files)
            meter.parts(number + 1, len(parts))
        with _no_collector():
            for plan in todo:
                run_unit(files, work, plan, meter.add)
        return
    context = multiprocessing.get_context("spawn")
    # Without a lock, which a killed worker would keep: a lost update is a progress bar a little behind.
    counter = context.RawValue("q", 0)
    children = set(multiprocessing.active_children())
    seen = 0
    parts_done = 0
    # Together as many requests as one process alone would have under way.
    chains = ChainOptions(max_chains=max(16, ChainOptions().max_chains // workers))
    with ProcessPoolExecutor(
        min(workers, len(todo) + len(parts)), mp_context=context, initializer=_start_worker, initargs=(counter, files)
    ) as pool:
        with _no_interrupt():
            jobs: dict[Future[Any], str] = {pool.submit(_part_in_worker, work, part, chains): "part" for part in parts}
            jobs |= {pool.submit(_unit_in_worker, work, plan): "unit" for plan in todo}
        # Arrow imports pandas, where there is one, at the first column made an array (0.2 s): now, while the workers work.
        pa.array([0]).to_numpy()
        waiting = set(jobs)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                now = counter.value
                meter.add(now - seen)
                seen = now
                for job in done:
                    job.result()
                    if jobs[job] == "part":
                        parts_done += 1
                        meter.parts(parts_done, len(parts))
            meter.add(sum(plan.hi - plan.lo for plan in todo) - seen)
        except BrokenProcessPool as error:
            raise IngestError(
                "a worker process died (killed, or out of memory?); what is done is kept: run the same command again, "
                "with fewer --workers if memory is short"
            ) from error
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for worker in set(multiprocessing.active_children()) - children:
                worker.terminate()
            raise


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the collector away: decoded records are trees without cycles, which it would only walk (15% of the time)."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Start workers that Ctrl-C does not reach: this process gets it too, and stops them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_counter: Any = None
_files: Any = None


def _start_worker(counter: Any, files: ReleaseFiles) -> None:
    global _counter, _files
    # Once per process: files on a server come with connections and what was read ahead, and nothing collects cycles here.
    _counter, _files = counter, files
    # For good: see `_no_collector`. Arrow's threads would fight over the cores.
    gc.disable()
    pa.set_cpu_count(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        # A worker whose parent was killed would wait for work for ever.
        threading.Thread(target=lambda: (wait_for([parent.sentinel]), os._exit(1)), daemon=True).start()


def _part_in_worker(work: Path, part: VideoPart, chains: ChainOptions) -> None:
    index_release_part(work, part, _files, chains=chains)


def _unit_in_worker(work: Path, plan: UnitPlan) -> None:
    def report(count: int) -> None:
        _counter.value += count

    run_unit(_files, work, plan, report)
