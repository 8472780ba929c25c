"""How far fetching reads ahead, what it keeps of bytes and threads, and what a forked process has of it."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from archive.faulty import Watched, clips_in_a_tar
from archive.fetched import delivered, keys_and_bytes, repeated, wait_until
from opens2v_data.archive import MemoryStore
from opens2v_data.archive.fetch import Delivered, Failed, Fetcher, FetchOptions, Wanted

KIB, MIB = 1 << 10, 1 << 20


def num_fetch_threads() -> int:
    return sum(thread.name == "opens2v-fetch" for thread in threading.enumerate())


def num_kept() -> int:
    gc.collect()
    return sum(isinstance(kept, Delivered) for kept in gc.get_objects())


# -- memory and laziness -----------------------------------------------------------------------------------------------


def test_the_iterable_is_read_only_as_far_as_memory_allows():
    store, wanted, _ = clips_in_a_tar(1, min_bytes=100 * KIB, max_bytes=100 * KIB)
    num_read = 0

    def endless() -> Iterator[Wanted]:
        nonlocal num_read
        while True:
            num_read += 1
            yield replace(wanted[0], key=num_read)

    fetcher = Fetcher(store, FetchOptions(max_bytes_in_flight=MIB))
    clips = fetcher.fetch(endless())
    for number in range(1, 101):
        assert next(clips).wanted.key == number
        assert num_read <= number + 11
    clips.close()
    assert fetcher.stats.max_bytes_in_flight <= MIB


def test_memory_stays_below_a_small_multiple_of_what_may_be_in_flight():
    store, wanted, _ = clips_in_a_tar(1, min_bytes=100 * KIB, max_bytes=100 * KIB)
    fetcher = Fetcher(store, FetchOptions(max_bytes_in_flight=2 * MIB))
    tracemalloc.start()
    try:
        num_bytes = sum(len(clip.data) for clip in delivered(fetcher.fetch(repeated(wanted[0], 600))))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert num_bytes > 60 * MIB / 1.05
    assert peak < 5 * MIB  # each clip twice, and the threads


def test_tiny_clips_are_bounded_by_their_number():
    store, (wanted,), _ = clips_in_a_tar(1, min_bytes=10, max_bytes=10)
    num_read = 0

    def endless() -> Iterator[Wanted]:
        nonlocal num_read
        while True:
            num_read += 1
            yield replace(wanted, key=num_read)

    clips = Fetcher(store, FetchOptions(min_concurrency=2, max_concurrency=4)).fetch(endless())
    next(clips)
    assert num_read <= 8 * 4 + 1
    clips.close()


def test_a_clip_as_large_as_what_may_be_in_flight_goes_alone():
    store, wanted, data = clips_in_a_tar(6, min_bytes=100 * KIB, max_bytes=100 * KIB)
    fetcher = Fetcher(store, FetchOptions(max_bytes_in_flight=wanted[0].size_bytes))
    assert keys_and_bytes(list(fetcher.fetch(wanted))) == data
    assert fetcher.stats.max_bytes_in_flight == wanted[0].size_bytes


def test_clips_that_were_taken_are_held_by_no_thread():
    store, wanted, _ = clips_in_a_tar(64, min_bytes=1000, max_bytes=2000)
    clips = Fetcher(store, FetchOptions(merge_gap_bytes=0)).fetch(iter(wanted))
    for _ in range(64):
        next(clips)  # and not ended: its threads wait for more
    # The last one's thread may not have let go of it yet.
    assert wait_until(lambda: not num_kept())
    clips.close()


def test_failures_that_are_kept_hold_no_bytes_of_other_clips():
    store, wanted, _ = clips_in_a_tar(40, min_bytes=1000, max_bytes=2000)
    wanted[3] = replace(wanted[3], sha256="0" * 64)
    wanted[5] = replace(wanted[5], size_bytes=10**13)
    wanted[7] = replace(wanted[7], name="../x")
    failed = [clip for clip in Fetcher(store).fetch(wanted) if isinstance(clip, Failed)]
    assert [clip.wanted for clip in failed] == [wanted[3], wanted[5], wanted[7]]
    assert wait_until(lambda: num_fetch_threads() == 0)
    assert not num_kept()


def test_a_slow_iterable_does_not_hold_up_what_has_come():
    store, wanted, _ = clips_in_a_tar(20, min_bytes=100, max_bytes=200)
    given = threading.Event()
    num_read = 0

    class Gives(MemoryStore):
        def read_range(self, path: str, start: int, length: int) -> bytes:
            data = super().read_range(path, start, length)
            given.set()
            return data

    def slow() -> Iterator[Wanted]:
        nonlocal num_read
        for clip in wanted:
            num_read += 1
            yield clip
            time.sleep(0.05)  # longer than is planned in one go, so that what was read so far is sent
            if num_read == 2:
                assert given.wait(100)
                assert wait_until(lambda: num_kept() > 0)

    clips = Fetcher(Gives(store.files)).fetch(slow())
    next(clips)
    assert num_read == 3
    assert len(list(clips)) == len(wanted) - 1


def test_an_early_end_stops_the_threads():
    store, wanted, _ = clips_in_a_tar(200, min_bytes=100, max_bytes=200)
    assert wait_until(lambda: num_fetch_threads() == 0)
    has_left = threading.Event()

    def before(path: str, start: int, length: int) -> None:
        if start != wanted[0].offset or path != wanted[0].part.pieces[0].path:
            has_left.wait()

    watched = Watched(store.files, before)
    for clip in Fetcher(watched, FetchOptions(merge_gap_bytes=0)).fetch(wanted):
        assert isinstance(clip, Delivered)
        break
    has_left.set()
    assert wait_until(lambda: num_fetch_threads() == 0)
    assert watched.num_requests < 200


def test_a_finished_iterator_leaves_no_thread():
    store, wanted, _ = clips_in_a_tar(20, min_bytes=100, max_bytes=200)
    list(Fetcher(store).fetch(wanted))
    assert wait_until(lambda: num_fetch_threads() == 0)


def test_the_interpreter_ends_although_reads_hang():
    code = """
import threading
from archive.faulty import clips_in_a_tar, Watched
from opens2v_data.archive.fetch import Fetcher, FetchOptions

store, wanted, _ = clips_in_a_tar(20, min_bytes=100, max_bytes=200, num_pieces=1)
first = wanted[0].offset
hang = lambda path, start, length: start == first or threading.Event().wait()
clips = Fetcher(Watched(store.files, hang), FetchOptions(merge_gap_bytes=0)).fetch(wanted)
print(len(next(clips).data))
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'tests'}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) >= 116


def test_several_iterators_of_one_fetcher_do_not_disturb_each_other():
    store, wanted, data = clips_in_a_tar(30, min_bytes=100, max_bytes=200)
    fetcher = Fetcher(store)
    both = list(zip(fetcher.fetch(wanted), fetcher.fetch(reversed(wanted)), strict=True))
    assert keys_and_bytes([one for one, _ in both]) == keys_and_bytes([other for _, other in both]) == data
    assert [one.wanted for one, _ in both] == wanted
    assert fetcher.stats.num_delivered == 60


# -- forks -------------------------------------------------------------------------------------------------------------


def ends_well_in_a_child(act: Callable[[], object]) -> bool:
    """Say whether something ends without an error in a forked process."""
    child = os.fork()
    if child == 0:
        signal.alarm(100)  # what hangs is killed by it
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - nothing of pytest may run in the child
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def test_a_process_forked_while_a_thread_held_the_lock_fetches_anew():
    store, wanted, data = clips_in_a_tar(20, min_bytes=100, max_bytes=200)
    fetcher = Fetcher(store)
    assert keys_and_bytes(list(fetcher.fetch(wanted))) == data
    assert wait_until(lambda: num_fetch_threads() == 0)

    def fetch() -> None:
        assert fetcher.stats.num_planned == 0
        assert keys_and_bytes(list(fetcher.fetch(wanted))) == data
        assert fetcher.stats.num_delivered == 20

    with fetcher._lock:  # as a thread of an iterator that was left early may
        assert ends_well_in_a_child(fetch)
    assert fetcher.stats.num_delivered == 20


@pytest.mark.parametrize("is_locked", [True, False])
def test_an_iterator_that_is_taken_into_a_fork_is_refused_there_and_may_be_dropped(is_locked: bool):
    store, wanted, data = clips_in_a_tar(60, min_bytes=100, max_bytes=200)
    fetcher = Fetcher(store, FetchOptions(max_bytes_in_flight=2000, merge_gap_bytes=0))
    clips = {"used": fetcher.fetch(wanted), "dropped": fetcher.fetch(wanted)}
    came = {name: next(some).wanted.key for name, some in clips.items()}
    assert came == {"used": 0, "dropped": 0}

    def use() -> None:
        with pytest.raises(RuntimeError, match="threads do not live on in a forked process; call fetch there anew"):
            list(clips["used"])
        del clips["dropped"]
        gc.collect()

    if is_locked:
        with fetcher._lock:
            assert ends_well_in_a_child(use)
    else:
        assert ends_well_in_a_child(use)
    assert len(keys_and_bytes(list(clips["used"]))) == len(data) - 1
