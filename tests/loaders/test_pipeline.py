"""Whatever happens to a loader's threads, the caller is told, nobody waits in vain, and nothing is left."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import islice
from typing import Any

import pytest

pytest.importorskip("torch", reason="a loader gives tensors")

from loaders.rowsource import FakeCatalog
from loaders.test_loader import TIGHT, loader_of, threads
from loaders.waiting import threads_left
from opens2v_loaders.loader import ClipLoader


def test_a_fault_of_a_thread_reaches_the_caller() -> None:
    class Faulty(FakeCatalog):
        def read_videos(self, videos: Any) -> Any:
            yield from list(super().read_videos(videos))[:5]
            raise ZeroDivisionError("a fault of the store")

    loader = loader_of(Faulty(num_rows=40))
    with pytest.raises(ZeroDivisionError, match="a fault of the store"):
        list(loader)
    assert threads_left() == []


@pytest.mark.parametrize("num_given", [0, 7])
@pytest.mark.parametrize("is_asked_for_all", [True, False])
def test_a_catalog_that_gives_fewer_videos_than_asked_for_is_no_end_of_an_epoch(
    num_given: int, is_asked_for_all: bool
) -> None:
    class Short(FakeCatalog):
        def read_videos(self, videos: Any) -> Any:
            if is_asked_for_all:
                yield from list(super().read_videos(videos))[:num_given]
            else:
                yield from super().read_videos(islice(videos, num_given))

    loader = loader_of(Short(num_rows=40))
    with pytest.raises(
        RuntimeError, match="read_videos of the catalog must give the bytes, or the error, of each video"
    ):
        list(loader)
    assert loader.epoch == 0


class Silent(FakeCatalog):
    """A catalog whose server answers some requests and then never again, until it is told to."""

    answers = threading.Event()

    def read_videos(self, videos: Any) -> Any:
        """Give nine clips, then wait."""
        for number, data in enumerate(super().read_videos(videos)):
            if number == 9:
                self.answers.wait()
            yield data


@pytest.mark.parametrize("way", ["close", "del", "second iterator"])
def test_a_request_that_is_never_answered_keeps_only_its_own_thread(way: str) -> None:
    Silent.answers.clear()
    loader = loader_of(Silent(num_rows=40))
    batches = iter(loader)
    taken = [next(batches).step, next(batches).step]
    assert taken == [0, 1]
    if way == "close":
        loader.close()
        assert list(batches) == []
    elif way == "del":
        del batches
    else:
        batches = iter(loader)
        assert next(batches).step == 2
        loader.close()
    give_up_at = time.monotonic() + 200
    while any(name.startswith("opens2v-decode") for name in threads()) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert set(threads()) == {"opens2v-feed"}
    Silent.answers.set()
    assert threads_left() == []


_WAITING = """
import os, signal, threading
from loaders.test_loader import loader_of
from loaders.test_pipeline import Silent
for batch in loader_of(Silent(num_rows=40)):
    print(batch.step, flush=True)
    if batch.step == 1:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
"""


def test_ctrl_c_ends_a_process_that_waits_for_a_request_that_is_never_answered() -> None:
    code, out, err = _run(_WAITING)
    assert (code, out) == (-signal.SIGINT, "0\n1\n")
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert err.count("Traceback") == 1


_FORKING = """
import os, sys
from loaders.rowsource import FakeCatalog
from loaders.test_loader import TIGHT, loader_of, threads, told
loader = loader_of(FakeCatalog(num_rows=40), options=TIGHT)
batches = iter(loader)
first = told([next(batches)])
child = os.fork()
if child == 0:
    try:
        next(batches)
    except RuntimeError as error:
        print(error, flush=True)
    print(threads(), loader.state_dict()["step"], told(list(loader))[0][0], loader.epoch, flush=True)
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(batches)), flush=True)
"""


def test_a_forked_process_is_told_that_the_threads_stayed_behind_and_can_begin_anew() -> None:
    code, out, err = _run(_FORKING)
    assert (code, err) == (0, "")
    told_so, child, parent = out.splitlines()
    assert "forked from it without its threads: iterate the loader anew here" in told_so
    assert (child, parent) == ("[] 1 1 1", "0 9")


def test_a_handler_of_the_log_may_ask_the_loader() -> None:
    loader = loader_of(FakeCatalog(num_rows=24, bad=dict.fromkeys(range(0, 24, 5), "garbage")))
    asked: list[dict[str, Any]] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # As a handler does whose lock another thread holds while it asks.
            thread = threading.Thread(target=lambda: asked.append(loader.state_dict()), daemon=True)
            thread.start()
            thread.join(250)
            assert not thread.is_alive(), "the loader's lock is held while it logs"

    handler = Asking()
    logging.getLogger("opens2v_loaders").addHandler(handler)
    try:
        list(loader)
    finally:
        logging.getLogger("opens2v_loaders").removeHandler(handler)
    assert len(asked) == len(loader.bad_clips) > 0


def test_threads_that_could_be_started_end_when_others_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def refuse_the_third(thread: threading.Thread) -> None:
        if thread.name.startswith("opens2v-") and len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_third)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        iter(loader_of(FakeCatalog(num_rows=40)))
    assert threads_left() == []


@pytest.mark.parametrize("way", ["break", "exception", "del", "close", "second iterator"])
def test_no_thread_outlives_a_loop_that_is_left(way: str) -> None:
    loader = loader_of(FakeCatalog(num_rows=400), options=TIGHT)
    if way == "break":
        for _ in loader:
            break
    elif way == "exception":
        with pytest.raises(KeyError, match="a bug"):
            _raise_in_loop(loader)
    else:
        batches = iter(loader)
        next(batches)
        assert len(threads()) == 4
        if way == "del":
            del batches
        elif way == "close":
            loader.close()
            assert list(batches) == []
        else:
            again = iter(loader)
            assert len(threads_left(4)) == 4  # those of the first are gone
            assert list(batches) == []
            assert next(again).step == 1
            del again
    gc.collect()
    assert threads_left() == []


def _raise_in_loop(loader: ClipLoader) -> None:
    for _ in loader:
        raise KeyError("a bug")


_TRAINING = """
import gc, logging, os, random, signal, sys, threading, time
from loaders.rowsource import FakeCatalog
from loaders.test_loader import TIGHT, loader_of, threads
logging.disable()
times, draw = int(sys.argv[1]), random.Random(int(sys.argv[2]))
catalog = FakeCatalog(num_rows=4000, bad=dict.fromkeys(range(0, 4000, 20), "garbage"))
taken = caught = 0
for _ in range(times):
    interrupt = threading.Timer(draw.uniform(0.0, 0.25), os.kill, (os.getpid(), signal.SIGINT))
    interrupt.daemon = True
    loader = loader_of(catalog, options=TIGHT)
    try:
        interrupt.start()
        while True:
            for batch in loader:
                taken += 1
                if taken % 7 == 0:
                    break
    except KeyboardInterrupt:
        caught += 1
    interrupt.join()
    give_up_at = time.monotonic() + 200
    while threads() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    if threads():
        print("left:", threads())
print(caught, taken > 0 or times == 1, flush=True)
if len(sys.argv) > 3:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    batches = iter(loader_of(catalog, options=TIGHT))
    for batch in batches:
        pass
"""


def _trained(*arguments: str) -> tuple[int, str, str]:
    return _run(_TRAINING, *arguments)


def _run(script: str, *arguments: str) -> tuple[int, str, str]:
    """Run it in a process of its own; one that hangs is killed."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_ctrl_c_at_fifty_random_moments_leaves_no_thread() -> None:
    assert _trained("50", "2") == (0, "50 True\n", "")


def test_a_process_that_ctrl_c_ends_ends_at_once_and_says_no_more_than_that() -> None:
    code, out, err = _trained("1", "3", "end")
    assert (code, out) == (-signal.SIGINT, "1 True\n")
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert err.count("Traceback") == 1


def test_no_more_batches_are_open_than_the_budget_has_room_for() -> None:
    catalog = FakeCatalog(num_rows=400)
    loader = loader_of(catalog, options=TIGHT)
    batches = iter(loader)
    next(batches)
    give_up_at = time.monotonic() + 200
    while sum(catalog.reads.values()) - 4 < 8 and time.monotonic() < give_up_at:
        time.sleep(0.01)
    time.sleep(0.5)  # in which more would be read
    # Two batches of four, what waits for a thread (2 x 3), the one in the feeder's hand, and two in the fetcher's.
    assert 8 <= sum(catalog.reads.values()) - 4 <= 8 + 6 + 1 + 2 + 4
    del batches
