"""Deadlines, late requests and the pace of fetching, with threads, in the time of a `HandClock`."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archive.faulty import FaultyStore, RefusesToOpen, SlowLine, Watched, clips_in_a_tar
from archive.fetched import delivered, keys_and_bytes, only, repeated, wait_until
from archive.handclock import HandClock, TimedLine
from opens2v_data.archive import MemoryStore, piece_sizes
from opens2v_data.archive.crew import Crew
from opens2v_data.archive.fetch import Delivered, Failed, Fetcher, FetchOptions
from opens2v_data.archive.http import Counters
from opens2v_data.archive.piece_sizes import PieceSizes
from opens2v_data.archive.plan import Clip, Request, spans_of
from opens2v_data.errors import DeadlineError, RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[HandClock]:
    """The time of deadlines, late requests and the pace."""
    clock = HandClock()
    for module in ("clocks", "crew", "piece_sizes"):
        monkeypatch.setattr(f"opens2v_data.archive.{module}.time", clock)
    yield clock
    clock.end()


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> list[Clip]:
    """The clips that have ended, whether they were taken or not."""
    settle = Crew._settle
    settled: list[Clip] = []

    def noted(crew: Crew, clip: Clip, result: Delivered | Failed) -> None:
        settle(crew, clip, result)
        settled.append(clip)

    monkeypatch.setattr(Crew, "_settle", noted)
    return settled


# -- deadlines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_a_clip_that_hangs_fails_at_its_deadline_and_the_others_come(
    clock: HandClock, settled: list[Clip], ordered: bool
) -> None:
    store, wanted, data = clips_in_a_tar(60, min_bytes=100, max_bytes=200, num_pieces=1)
    hang = threading.Event()
    still_waited: list[bool] = []

    def before(path: str, start: int, length: int) -> None:
        if start == wanted[7].offset:
            assert wait_until(lambda: len(settled) == 59)
            clock.advance(0.24)
            still_waited.append(len(settled) == 59)
            clock.advance(0.07)
            hang.wait()

    options = FetchOptions(deadline_seconds=0.3, hedge_after=None, merge_gap_bytes=0)
    try:
        clips = list(Fetcher(Watched(store.files, before), options).fetch(wanted, ordered=ordered))
    finally:
        hang.set()
    assert still_waited == [True]
    (failed,) = [clip for clip in clips if isinstance(clip, Failed)]
    assert failed.wanted.key == 7
    assert isinstance(failed.error, DeadlineError)
    assert failed.reason.startswith("deadline passed: member part_001/7/video.mp4, part total_part1, byte ")
    assert "did not come in 0.3 s" in failed.reason
    assert keys_and_bytes(clips) == {key: value for key, value in data.items() if key != 7}


def test_when_every_read_hangs_every_clip_still_ends_and_few_threads_are_used() -> None:
    store, wanted, _ = clips_in_a_tar(30, min_bytes=100, max_bytes=200)
    faulty = FaultyStore(store, {"hang": 1.0})
    options = FetchOptions(
        min_concurrency=2, max_concurrency=4, deadline_seconds=0.1, hedge_after=None, merge_gap_bytes=0
    )
    fetcher = Fetcher(faulty, options)
    try:
        clips = list(fetcher.fetch(wanted, ordered=False))
        assert faulty.num_requests <= 8
    finally:
        faulty.release.set()
    assert fetcher.stats.num_failed == 30
    assert all(isinstance(clip, Failed) and isinstance(clip.error, DeadlineError) for clip in clips)


def test_clips_in_line_have_no_clock_so_a_slow_line_fails_none(clock: HandClock) -> None:
    store, wanted, _ = clips_in_a_tar(12, min_bytes=100, max_bytes=200)
    options = FetchOptions(min_concurrency=1, max_concurrency=1, deadline_seconds=0.5, merge_gap_bytes=0)
    slow = Watched(store.files, lambda path, start, length: clock.advance(0.08))
    fetcher = Fetcher(slow, options)
    began = clock.monotonic()
    list(fetcher.fetch(wanted))
    assert clock.monotonic() - began > 0.9
    assert fetcher.stats.num_delivered == 12


def test_waiting_for_a_pieces_size_has_a_clock_of_its_own(clock: HandClock) -> None:
    store, wanted, data = clips_in_a_tar(4, min_bytes=100, max_bytes=200, num_pieces=1)
    options = FetchOptions(deadline_seconds=0.2, merge_gap_bytes=0)

    class SlowToOpen(MemoryStore):
        hang: threading.Event | None = None

        def size(self, path: str) -> int:
            clock.advance(0.4)  # as while the Hub's quota is used up
            while self.hang is not None and not self.hang.is_set():
                clock.advance(0.4)  # some of the clips came to wait after the others
            return super().size(path)

    assert keys_and_bytes(list(Fetcher(SlowToOpen(store.files), options).fetch(wanted))) == data
    hanging = SlowToOpen(store.files)
    hanging.hang = threading.Event()
    try:
        clips = list(Fetcher(hanging, replace(options, open_seconds=0.1)).fetch(wanted))
    finally:
        hanging.hang.set()
    assert len(clips) == 4
    assert all(
        isinstance(clip, Failed) and "the size of its piece did not come in 0.1 s" in clip.reason for clip in clips
    )


def test_a_server_that_asks_for_a_wait_beyond_the_deadline_fails_the_clip_at_once(clock: HandClock) -> None:
    store, wanted, _ = clips_in_a_tar(1, min_bytes=100, max_bytes=100, num_pieces=1)

    def later(path: str, start: int, length: int) -> None:
        raise RemoteError("the server answered 429", status=429, is_retryable=True, retry_after_seconds=300)

    # Its clock stands still: no deadline comes by itself.
    failed = only(list(Fetcher(Watched(store.files, later)).fetch(wanted)))
    assert isinstance(failed.error, DeadlineError)
    assert "At last: the server answered 429" in failed.reason


class ToldToWait(MemoryStore):
    """A store that, as those over HTTP do, sleeps through a Retry-After in its first reads, and says so."""

    def __init__(
        self, files: dict[str, bytes], clock: HandClock, *, seconds: float, hang: threading.Event | None = None
    ) -> None:
        super().__init__(files)
        self.counters = Counters()
        self._clock, self._seconds, self._hang = clock, seconds, hang
        self._begun_at = 0.0

    def read_range(self, path: str, start: int, length: int) -> bytes:
        self._begun_at = self._begun_at or self._clock.monotonic()
        until = self.counters.waiting_until = self._begun_at + self._seconds
        if self._hang is None:
            while self._clock.monotonic() < until:
                self._clock.advance(0.1, until=until)
        else:
            while not self._hang.is_set():
                self._clock.advance(0.1)
        return super().read_range(path, start, length)


@pytest.mark.usefixtures("late_requests_are_sent_twice")
@pytest.mark.parametrize("ordered", [True, False])
def test_while_the_store_waits_as_the_server_told_it_clocks_stand_still_and_nothing_is_sent_twice(
    clock: HandClock, ordered: bool
) -> None:
    store, wanted, data = clips_in_a_tar(40, min_bytes=100, max_bytes=200, num_pieces=1)
    options = FetchOptions(
        min_concurrency=4, max_concurrency=4, deadline_seconds=0.3, hedge_after=1, hedge_min_seconds=0.02,
        merge_gap_bytes=0,
    )  # fmt: skip
    fetcher = Fetcher(ToldToWait(store.files, clock, seconds=1.2), options)
    began = clock.monotonic()
    assert keys_and_bytes(list(fetcher.fetch(wanted, ordered=ordered))) == data
    assert clock.monotonic() - began == pytest.approx(1.2)
    assert fetcher.stats.num_hedges == 0
    assert fetcher.stats.num_requests == 40


@pytest.mark.parametrize(("waits_for", "fails_after"), [(0.5, 0.8), (1000, 1.1)])
def test_clocks_go_on_after_the_wait_and_stand_still_no_longer_than_a_pieces_opening_may_take(
    clock: HandClock, waits_for: float, fails_after: float
) -> None:
    store, wanted, _ = clips_in_a_tar(1, min_bytes=100, max_bytes=100, num_pieces=1)
    hang = threading.Event()
    options = FetchOptions(deadline_seconds=0.3, open_seconds=0.8, hedge_after=None)
    began = clock.monotonic()
    try:
        waiting = ToldToWait(store.files, clock, seconds=waits_for, hang=hang)
        failed = only(list(Fetcher(waiting, options).fetch(wanted)))
    finally:
        hang.set()
    assert isinstance(failed.error, DeadlineError)
    # A step beyond it, and another while the clip was on its way to us.
    assert fails_after <= clock.monotonic() - began < fails_after + 0.3


def test_an_opening_that_waits_as_told_takes_no_time_of_its_clip(clock: HandClock) -> None:
    store, wanted, data = clips_in_a_tar(3, min_bytes=100, max_bytes=200, num_pieces=1)

    class QuotaIsUsedUp(MemoryStore):
        counters = Counters()

        def size(self, path: str) -> int:
            until = self.counters.waiting_until = clock.monotonic() + 0.6
            while clock.monotonic() < until:
                clock.advance(0.1, until=until)
            return super().size(path)

    options = FetchOptions(deadline_seconds=0.2, open_seconds=0.4, merge_gap_bytes=0)
    assert keys_and_bytes(list(Fetcher(QuotaIsUsedUp(store.files), options).fetch(wanted))) == data


@pytest.mark.parametrize(("knows_until", "comes"), [(10.0, True), (0.0, False)])
def test_a_wait_that_the_store_announces_may_be_longer_than_the_deadline(
    clock: HandClock, knows_until: float, comes: bool
) -> None:
    store, wanted, _ = clips_in_a_tar(1, min_bytes=100, max_bytes=100, num_pieces=1)
    refused: list[int] = []

    class RefusesOnce(MemoryStore):
        counters = Counters()

        def read_range(self, path: str, start: int, length: int) -> bytes:
            if refused:
                clock.advance(0.5)  # what was waited for
                return super().read_range(path, start, length)
            refused.append(start)
            self.counters.waiting_until = clock.monotonic() + knows_until if knows_until else 0.0
            raise RemoteError("answered 429", status=429, is_retryable=True, retry_after_seconds=0.5)

    (clip,) = Fetcher(RefusesOnce(store.files), FetchOptions(deadline_seconds=0.2)).fetch(wanted)
    assert isinstance(clip, Delivered) == comes


def test_a_refusal_is_remembered_for_a_while_and_a_passing_error_is_not(clock: HandClock) -> None:
    store, (wanted,), _ = clips_in_a_tar(1, min_bytes=100, max_bytes=100, num_pieces=1)
    refusing = RefusesToOpen(store.files, 403)
    request = Request(Clip(wanted, spans_of(wanted, max_bytes=MIB)), 0)
    sizes = PieceSizes(refusing)
    for _ in range(3):
        with pytest.raises(RemoteError, match="the Hub answered 403"):
            sizes.check(request)
        clock.advance(29)
    assert len(refusing.asked) == 1
    refusing.status = 503
    for number in (2, 3):
        with pytest.raises(RemoteError, match="the Hub answered 503"):
            sizes.check(request)
        assert len(refusing.asked) == number
    refusing.status = None
    sizes.check(request)
    assert sizes.is_checked(request.path)


def test_an_opening_that_fails_now_and_may_not_later_fails_for_all_who_wait_for_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: set[int] = set()

    class Noted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waiting.add(threading.get_ident())
            return super().wait(timeout)

    class Opening(piece_sizes._Opening):
        def __init__(self) -> None:
            super().__init__()
            self.ended = Noted()

    monkeypatch.setattr(piece_sizes, "_Opening", Opening)
    store, wanted, _ = clips_in_a_tar(8, min_bytes=2000, max_bytes=3000, num_pieces=1)
    busy = RefusesToOpen(store.files, 503, until=lambda: len(waiting) == 7)
    fetcher = Fetcher(busy, FetchOptions(attempts=1, merge_gap_bytes=0))
    clips = list(fetcher.fetch(wanted))
    assert len(busy.asked) == 1
    assert all(isinstance(clip, Failed) and "the Hub answered 503" in clip.reason for clip in clips)
    busy.status = None
    assert len(list(delivered(fetcher.fetch(wanted)))) == 8


# -- late requests -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("late_requests_are_sent_twice")
def test_a_late_request_is_sent_again_and_the_first_answer_counts(clock: HandClock) -> None:
    store, wanted, data = clips_in_a_tar(200, min_bytes=1000, max_bytes=1200, num_pieces=1)
    release = threading.Event()
    hung: list[int] = []
    num_hedges: list[int] = []

    def before(path: str, start: int, length: int) -> None:
        if start == wanted[150].offset and not hung:
            hung.append(start)
            of_others = sum(clip.size_bytes for clip in wanted) - wanted[150].size_bytes
            assert wait_until(lambda: fetcher.stats.num_bytes == of_others)
            for _ in range(2):
                clock.advance(0.06)
                num_hedges.append(fetcher.stats.num_hedges)
            release.wait()

    options = FetchOptions(hedge_min_seconds=0.1, merge_gap_bytes=0)
    fetcher = Fetcher(Watched(store.files, before), options)
    try:
        clips = list(fetcher.fetch(wanted))
        assert keys_and_bytes(clips) == data
        assert num_hedges in ([0], [0, 1])  # the second answer may be here before its number is
        assert fetcher.stats.num_hedges == 1
        assert fetcher.stats.num_wasted_bytes == 0
    finally:
        release.set()
        clock.end()
    assert wait_until(lambda: fetcher.stats.num_wasted_bytes == wanted[150].size_bytes)


@pytest.mark.usefixtures("late_requests_are_sent_twice")
def test_few_requests_are_sent_twice_even_when_all_are_late() -> None:
    store, wanted, data = clips_in_a_tar(150, min_bytes=1000, max_bytes=1200, num_pieces=1)
    options = FetchOptions(
        hedge_min_seconds=0.01, hedge_after=1.0, merge_gap_bytes=0, min_concurrency=32, max_concurrency=32
    )
    faulty = FaultyStore(store, {"late": 0.3}, seconds=0.15)
    fetcher = Fetcher(faulty, options)
    assert keys_and_bytes(list(fetcher.fetch(wanted))) == data
    assert faulty.injected["late"] > 30
    assert fetcher.stats.num_hedges <= 4  # two, and 2% of some 150


@pytest.mark.usefixtures("late_requests_are_sent_twice")
def test_without_hedging_nothing_is_sent_twice() -> None:
    store, wanted, _ = clips_in_a_tar(40, min_bytes=1000, max_bytes=1200)
    faulty = FaultyStore(store, {"late": 0.1}, seconds=0.3)
    fetcher = Fetcher(faulty, FetchOptions(hedge_min_seconds=0.01, hedge_after=None))
    list(fetcher.fetch(wanted))
    assert fetcher.stats.num_hedges == 0


# -- pace (test_pacing.py has its rules) -------------------------------------------------------------------------------


@pytest.fixture
def idle_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is busy with what a fast one does by the way, and then more requests are not tried."""
    monkeypatch.setattr("opens2v_data.archive.fetch.CpuShare", lambda: lambda: 0.0)


@pytest.mark.usefixtures("idle_cpus")
def test_concurrency_rises_where_latency_is_what_costs_time(clock: HandClock) -> None:
    store, wanted, _ = clips_in_a_tar(1, min_bytes=1000, max_bytes=1000)
    line = TimedLine(store, clock, latency_seconds=0.1, bytes_per_second=1e9, num_reads=600)
    fetcher = Fetcher(line, FetchOptions(merge_gap_bytes=0))
    line.limit = lambda: fetcher.stats.concurrency
    assert len(list(fetcher.fetch(repeated(wanted[0], 600)))) == 600
    assert 32 < line.max_at_once <= 128
    assert fetcher.stats.concurrency > 32


@pytest.mark.usefixtures("idle_cpus", "late_requests_are_sent_twice")
def test_concurrency_stays_low_where_the_line_is_full(clock: HandClock) -> None:
    store, wanted, _ = clips_in_a_tar(1, min_bytes=10_000, max_bytes=10_000)
    line = TimedLine(store, clock, latency_seconds=0.001, bytes_per_second=5e6, num_reads=400)
    fetcher = Fetcher(line, FetchOptions(merge_gap_bytes=0))
    line.limit = lambda: fetcher.stats.concurrency
    assert len(list(fetcher.fetch(repeated(wanted[0], 400)))) == 400
    assert fetcher.stats.concurrency <= 64
    assert fetcher.stats.num_hedges == 0


def test_concurrency_falls_when_the_server_says_429_and_all_comes_all_the_same() -> None:
    store, wanted, _ = clips_in_a_tar(1, min_bytes=1000, max_bytes=1000)
    line = SlowLine(store, latency_seconds=0.02, bytes_per_second=1e9, refuse_above=40)
    fetcher = Fetcher(line, FetchOptions(merge_gap_bytes=0, attempts=50))
    fetcher._pace.limit = 128  # as it may have become before the server was busy
    clips = list(fetcher.fetch(repeated(wanted[0], 600)))
    assert line.num_refused > 0
    assert len(list(delivered(clips))) == 600
    assert fetcher.stats.concurrency <= 80


class RetriesInside(MemoryStore):
    """A store that, as those over HTTP do, deals with refusals itself and counts them."""

    @property
    def counters(self) -> Counters:
        return Counters(num_retries=self.num_requests)


def test_refusals_that_a_store_dealt_with_itself_make_concurrency_fall_too() -> None:
    store, wanted, _ = clips_in_a_tar(60, min_bytes=1000, max_bytes=1000)
    fetcher = Fetcher(RetriesInside(store.files), FetchOptions(merge_gap_bytes=0))
    fetcher._pace.limit = 128
    assert len(list(delivered(fetcher.fetch(wanted)))) == 60
    assert fetcher.stats.concurrency <= 96
