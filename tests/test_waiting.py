"""Ctrl-C ends a wait even when it comes just before the wait begins, and cuts in two nothing that must be whole."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any

import pytest

from opens2v_data.waiting import result_of, results_of, sleep, uncut

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


def test_ctrl_c_comes_right_after_what_it_must_not_cut() -> None:
    done = []

    def begin_and_note() -> None:
        with uncut():
            signal.raise_signal(signal.SIGINT)
            done.append("begun")
            with uncut():
                signal.raise_signal(signal.SIGINT)
                done.append("noted")
            done.append("both")

    with pytest.raises(KeyboardInterrupt):
        begin_and_note()
    assert done == ["begun", "noted", "both"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with uncut():
        pass
    with pytest.raises(ValueError, match="of the work"), uncut():
        raise ValueError("of the work")


def test_ctrl_c_that_a_program_does_not_handle_is_left_alone() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with uncut():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    seen: list[object] = []

    def elsewhere() -> None:
        with uncut():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]


class BegunLate(threading.Thread):
    """A thread whose `start` is interrupted while it runs and says so late, as on a busy machine."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._started = _Late()


class _Late(threading.Event):
    def set(self) -> None:
        time.sleep(0.05)
        super().set()

    def wait(self, timeout: float | None = None) -> bool:
        if not self.is_set():
            signal.raise_signal(signal.SIGINT)
        return super().wait(timeout)


def test_a_thread_is_begun_and_noted_though_ctrl_c_comes_meanwhile() -> None:
    with pytest.raises(KeyboardInterrupt):
        BegunLate(target=list).start()
    noted = BegunLate(target=list)
    with pytest.raises(KeyboardInterrupt), uncut():
        noted.start()
    noted.join()
