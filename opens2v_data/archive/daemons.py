"""Threads that nobody has to wait for: a request that sleeps because the server said so must not hold up Ctrl-C.

`concurrent.futures.ThreadPoolExecutor` waits for its threads when its block is left, and once more when the interpreter ends.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self, TypeVar

from opens2v_data.waiting import result_of

Result = TypeVar("Result")


def start(function: Callable[..., Result], *arguments: Any, name: str) -> Future[Result]:
    """Call a function in a thread of its own."""
    future: Future[Result] = Future()

    def work() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


def interruptible(call: Callable[[], Result]) -> Result:
    """Call in another thread when this is the main one: Ctrl-C does not reach it inside foreign code or a socket's timeout."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    return result_of(start(call, name="opens2v-read"))


class DaemonPool:
    """Calls functions in a few threads. Leaving its block drops calls that have not begun, and waits for none that has.

    Args:
        num_threads: at most so many, started as calls come.
        name: of the threads.
    """

    def __init__(self, num_threads: int, *, name: str) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        self._num_threads = num_threads
        self._name = name
        self._num_started = 0
        self._line: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = queue.SimpleQueue()
        self._left = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        for _ in range(self._num_started):
            self._line.put(None)

    def submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Have a function called; from one thread only."""
        future: Future[Result] = Future()
        self._line.put((future, lambda: function(*arguments)))
        if self._num_started < self._num_threads:
            self._num_started += 1
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        return future

    def _work(self) -> None:
        while (job := self._line.get()) is not None:
            future, call = job
            if self._left.is_set():
                future.cancel()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
                future.set_exception(error)
            del future, call, job  # a thread that waits holds no bytes
