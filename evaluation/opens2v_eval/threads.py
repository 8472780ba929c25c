"""Work that waits for others, several pieces at a time, in threads that nobody has to wait for.

`concurrent.futures.ThreadPoolExecutor` waits for its threads when its block is left, and once more when the interpreter ends:
with a server that takes minutes to answer, Ctrl-C would take minutes, too.
"""

from __future__ import annotations

import threading
from concurrent.futures import FIRST_COMPLETED, Future, wait
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from opens2v_data.waiting import WAKE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")

GRACE_SECONDS = 1.0
"""How long pieces that run are waited for when whoever asked has left. Most are in a decoder or an encoder then: a thread that is
inside C++ when the interpreter ends may take the process down with it, and one that waits for a server does not."""


def map_in_threads(
    work: Callable[[_Item], _Made],
    items: Iterable[_Item],
    *,
    threads: int,
    stop: Callable[[], None] | None = None,
) -> Iterator[_Made]:
    """Yield what becomes of each item, as it is done; in order, and without threads, where one is asked for.

    No item is begun before one of the threads is free for it. Whoever stops asking waits for those that run, but no longer than
    `GRACE_SECONDS`; what they make is dropped.

    Args:
        work: done for each item; what it raises is raised here.
        items: taken as they are needed.
        threads: pieces at a time.
        stop: called once when whoever asks stops early, or a piece fails, before pieces that run are waited for.

    Raises:
        ValueError: no thread.
    """
    if threads < 1:
        raise ValueError(f"expected one thread or more, not {threads}")
    return map(work, items) if threads == 1 else _as_done(work, items, threads, stop)


def all_in_threads(work: Callable[[_Item], _Made], items: Iterable[_Item], *, threads: int) -> list[_Made]:
    """Return what becomes of each item, in order; what the first of them raises is raised here, when all are done.

    See `map_in_threads`; but one piece at a time has a thread, too.
    """

    def settled(pair: tuple[int, _Item]) -> tuple[int, Future[_Made]]:
        future: Future[_Made] = Future()
        _settle(future, work, pair[1])
        return pair[0], future

    made = dict(_as_done(settled, enumerate(items), threads, None))
    return [made[place].result() for place in range(len(made))]


def _as_done(
    work: Callable[[_Item], _Made], items: Iterable[_Item], threads: int, stop: Callable[[], None] | None
) -> Iterator[_Made]:
    left = iter(items)
    running: set[Future[_Made]] = set()
    try:
        running |= {_begun(work, item) for item in islice(left, threads)}
        while running:
            done, running = wait(running, timeout=WAKE_SECONDS, return_when=FIRST_COMPLETED)
            running |= {_begun(work, item) for item in islice(left, len(done))}
            for future in done:
                yield future.result()
    except BaseException:
        if stop is not None:
            stop()
        wait(running, timeout=GRACE_SECONDS)
        raise


def _begun(work: Callable[[_Item], _Made], item: _Item) -> Future[_Made]:
    """Begin a piece in a thread of its own, which costs a tenth of a millisecond: pieces take many."""
    future: Future[_Made] = Future()
    threading.Thread(target=_settle, args=(future, work, item), name="opens2v-eval", daemon=True).start()
    return future


def _settle(future: Future[_Made], work: Callable[[_Item], _Made], item: _Item) -> None:
    try:
        future.set_result(work(item))
    except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
        future.set_exception(error)
