"""Ctrl-C ends a wait even when it comes just before the wait begins, where Python alone does not notice it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import Future

import pytest

from opens2v_data.waiting import result_of, results_of, sleep

# A second thread sends the signal as soon as the first gives up the interpreter's lock, which is when it begins to wait.
_STORM = """
import os, signal, sys, threading, time
from concurrent.futures import Future
from opens2v_data.waiting import result_of, sleep
waits = {"result_of": lambda: result_of(Future()), "sleep": lambda: sleep(60)}
for number in range(40):
    begun = []
    def send():
        while not begun:
            pass
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        begun.append(True)
        waits[sys.argv[1]]()
    except KeyboardInterrupt:
        pass
    thread.join()
print("all ended")
"""


@pytest.mark.parametrize("wait", ["result_of", "sleep"])
def test_a_signal_that_comes_as_the_wait_begins_ends_it(wait: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _STORM, wait], capture_output=True, text=True, timeout=250, check=False
    )
    assert done.stdout == "all ended\n", done.stderr


def test_results_come_in_order_and_errors_are_raised() -> None:
    futures: list[Future[int]] = [Future() for _ in range(3)]

    def finish() -> None:
        for number in (2, 0, 1):
            time.sleep(0.01)
            futures[number].set_result(number)

    threading.Thread(target=finish).start()
    assert results_of(futures) == [0, 1, 2]
    failed: Future[int] = Future()
    failed.set_exception(TimeoutError("of the work itself"))
    with pytest.raises(TimeoutError, match="of the work itself"):
        result_of(failed)


def test_sleeping_for_no_time_ends_at_once() -> None:
    sleep(0)
    sleep(-1)
