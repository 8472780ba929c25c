import threading
import time
from concurrent.futures import CancelledError

import pytest

from opens2v_data.archive.daemons import DaemonPool


def threads_named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_results_and_errors_come_by_call_with_few_threads_at_once():
    at_once: set[str] = set()

    def half(number: int) -> float:
        at_once.add(threading.current_thread().name + str(threading.get_ident()))
        time.sleep(0.001)
        return 12 / number

    with DaemonPool(3, name="test-halves") as pool:
        calls = [pool.submit(half, number) for number in (1, 2, 0, 4, 6, 12)]
        assert [call.result() for call in calls if call is not calls[2]] == [12, 6, 3, 2, 1]
        with pytest.raises(ZeroDivisionError, match="division by zero"):
            calls[2].result()
    assert len(at_once) <= 3
    for thread in threads_named("test-halves"):
        thread.join(200)
        assert not thread.is_alive()


def test_leaving_waits_for_no_thread_and_drops_what_has_not_begun():
    release = threading.Event()
    begun: list[int] = []

    def hang(number: int) -> int:
        begun.append(number)
        release.wait()
        return number

    with DaemonPool(1, name="test-hanging") as pool:
        first, second = pool.submit(hang, 1), pool.submit(hang, 2)
        while not begun:
            time.sleep(0.001)
    assert not release.is_set()  # and yet the block was left
    assert all(thread.daemon for thread in threads_named("test-hanging"))
    release.set()
    assert first.result(200) == 1
    with pytest.raises(CancelledError, match=r"^$"):
        second.result(200)
    assert begun == [1]


def test_a_pool_without_threads_is_refused():
    with pytest.raises(ValueError, match="num_threads must be at least 1, got 0"):
        DaemonPool(0, name="none")
