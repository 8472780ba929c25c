"""Waits that Ctrl-C ends, and beginnings that it does not cut in two.

A signal that comes after a thread has given up the interpreter's lock and before its system call blocks is noted, and nobody
is woken: `lock.acquire()`, `Event.wait()`, `Future.result()` and `time.sleep()` then wait on as if no Ctrl-C had come. With a
second thread that sends it as soon as the first gives up the lock, that happened to 58 of 300 signals on two busy cores. So the
caller's thread never waits without an end: after `WAKE_SECONDS` it looks.

A Ctrl-C in `Thread.start()` leaves a thread that runs and cannot be joined yet, or that nobody noted: `uncut` holds it back.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

Result = TypeVar("Result")

WAKE_SECONDS = 0.2
"""People take it for at once; a thread that wakes so often costs nothing that can be measured."""


def result_of(future: Future[Result]) -> Result:
    """Wait for a future and return its result, or raise its error."""
    while not future.done():
        wait([future], timeout=WAKE_SECONDS)
    return future.result()


def results_of(futures: Iterable[Future[Result]]) -> list[Result]:
    """Wait for futures and return their results in order, or raise the first error."""
    return [result_of(future) for future in futures]


def sleep(seconds: float) -> None:
    """Sleep."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, WAKE_SECONDS))


@contextmanager
def uncut() -> Iterator[None]:
    """Hold a Ctrl-C back while something short is begun and noted; it comes right after, before the next statement.

    In threads other than the main one, where Python raises none, and where the program does not handle it, nothing is done.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[-1])
