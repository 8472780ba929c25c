"""Work that waits for others, several pieces at a time."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from opens2v_data.waiting import WAKE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def map_in_threads(work: Callable[[_Item], _Made], items: Iterable[_Item], *, threads: int) -> Iterator[_Made]:
    """Yield what becomes of each item, as it is done; in order, and without threads, where one is asked for.

    No item is begun before one of the threads is free for it, so that whoever stops asking waits for a few and not for all.

    Args:
        work: done for each item; what it raises is raised here.
        items: taken as they are needed.
        threads: pieces at a time.

    Raises:
        ValueError: no thread.
    """
    if threads < 1:
        raise ValueError(f"expected one thread or more, not {threads}")
    if threads == 1:
        yield from map(work, items)
        return
    left = iter(items)
    with ThreadPoolExecutor(threads) as pool:
        running: set[Future[_Made]] = {pool.submit(work, item) for item in islice(left, threads)}
        while running:
            done, running = wait(running, timeout=WAKE_SECONDS, return_when=FIRST_COMPLETED)
            running |= {pool.submit(work, item) for item in islice(left, len(done))}
            for future in done:
                yield future.result()
