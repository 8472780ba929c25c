"""Many clips at once: whole, checked, in bounded memory, and each one ends.

fetcher = Fetcher(store)
for clip in fetcher.fetch(Wanted(…) for … in …):
    if isinstance(clip, Delivered): clip.data
    else: clip.reason
fetcher.stats       # num_planned == num_delivered + num_failed
"""

from __future__ import annotations

import inspect
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from opens2v_data.archive.crew import Crew
from opens2v_data.archive.forked import forget_after_fork
from opens2v_data.archive.pacing import CpuShare, Latencies, Pace
from opens2v_data.archive.plan import Clip, Planner, Request, bare, check_bytes, spans_of
from opens2v_data.archive.wanted import Delivered, Failed, FetchOptions, FetchStats, Tally, Wanted
from opens2v_data.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from opens2v_data.archive.cache import ClipCache
    from opens2v_data.archive.stores import Store

__all__ = ["Delivered", "Failed", "FetchOptions", "FetchStats", "Fetcher", "Wanted"]

_MAX_PLANNING_SECONDS = 0.02
_REFILL_SHARE = 7 / 8
"""New clips are planned once an eighth has been taken, so that neighbours are planned together and can share a request."""
_MAX_CLIPS_PER_REQUEST = 8
"""In flight, per request that may run at once: bounds tiny clips, which the bytes do not."""


class Fetcher:
    """Fetches clips from a store with threads.

    What it has learned of the store (how many requests at once, what is usual) stays for the next call of `fetch`. It can be
    pickled, and then starts anew; so it does in a forked process.

    Args:
        store: where the parts' pieces lie.
        options: how hard to try.
        cache: where clips are looked for first, and kept.
        source: name of the store's content for the cache, under which bytes never change; by default the store's `uri`.
    """

    def __init__(
        self,
        store: Store,
        options: FetchOptions | None = None,
        *,
        cache: ClipCache | None = None,
        source: str | None = None,
    ) -> None:
        self.store = store
        self.options = options or FetchOptions()
        self.cache = cache
        self._source = source
        if cache is not None and source is None and inspect.getattr_static(store, "uri", None) is None:
            raise ValueError(f"a cache needs a name for where clips come from, and {store!r} has no uri: give source=…")
        self._start_anew()
        forget_after_fork(self)

    def _start_anew(self) -> None:
        self._lock = threading.Lock()
        self._tally = Tally()
        self._pace = Pace(
            lowest=self.options.min_concurrency, highest=self.options.max_concurrency, cpu_share=CpuShare()
        )
        self._latencies = Latencies()

    def _after_fork(self) -> None:
        # Threads outlive an iterator that was left early. One of them may have held the lock when the process was forked, and
        # is not there to give it back.
        self._start_anew()

    def __repr__(self) -> str:
        return f"Fetcher({self.store!r}, {self.options!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _new_fetcher, (self.store, self.options, self.cache, self._source)

    @property
    def stats(self) -> FetchStats:
        """What has been done so far, by all iterators of this fetcher."""
        with self._lock:
            return FetchStats(**vars(self._tally), concurrency=self._pace.limit)

    def fetch(self, wanted: Iterable[Wanted], *, ordered: bool = True) -> Generator[Delivered | Failed, None, None]:
        """Give each wanted clip once, with its bytes or with the reason why not.

        The iterable is read as far as memory allows and no further, in the thread that takes the clips. Closing the
        iterator (leaving a `for` loop does) drops what is in flight. An exception of the iterable itself comes after the clips
        before it.

        Args:
            wanted: what to fetch; clips of one piece in ascending order share requests.
            ordered: give clips in the iterable's order; else as they come, which a slow clip does not hold up.

        Raises:
            RuntimeError: the iterator was taken into a forked process.
        """
        return self._fetch(iter(wanted), ordered)

    def _fetch(self, wanted: Iterator[Wanted], ordered: bool) -> Generator[Delivered | Failed, None, None]:
        crew = Crew(
            self.store,
            self.options,
            tally=self._tally,
            pace=self._pace,
            latencies=self._latencies,
            lock=self._lock,
            cache=self.cache,
            source=self._name_source(),
            is_ordered=ordered,
        )
        intake = _Intake(self, crew, wanted, is_ordered=ordered)
        try:
            while intake.has_more():
                yield intake.take()  # with no name, which would hold a clip's bytes until the next
        finally:
            crew.close()
        if intake.fault is not None:
            raise intake.fault

    def _name_source(self) -> str:
        if self.cache is None:
            return ""
        return self._source if self._source is not None else getattr(self.store, "uri", "")


class _Intake:
    """What an iterator has planned and not yet given.

    Attributes:
        num_clips: how many they are.
        fault: what the iterable raised.
    """

    def __init__(self, fetcher: Fetcher, crew: Crew, wanted: Iterator[Wanted], *, is_ordered: bool) -> None:
        self._fetcher, self._crew, self._wanted, self._is_ordered = fetcher, crew, wanted, is_ordered
        self._planner = Planner(fetcher.options)
        self._next: Clip | None = None
        self._is_filling = True
        self._is_exhausted = False
        self._num_bytes = 0
        self._in_order: deque[Clip] = deque()
        self.num_clips = 0
        self.fault: Exception | None = None

    def has_more(self) -> bool:
        """Plan what memory allows; return whether there is a clip to take."""
        while self._plan():
            if self.num_clips and self._crew.has_settled(self._head()):
                break
        return self.num_clips > 0

    def take(self) -> Delivered | Failed:
        """Wait for a clip to end, stop counting it, and return how it ended."""
        clip = self._crew.next_settled(self._head())
        result = clip.result
        assert result is not None
        if self._is_ordered:
            self._in_order.popleft()
        self.num_clips -= 1
        self._num_bytes -= clip.num_bytes
        tally = self._fetcher._tally
        with self._fetcher._lock:
            if isinstance(result, Delivered):
                tally.num_delivered += 1
            else:
                tally.num_failed += 1
        return result

    def _head(self) -> Clip | None:
        return self._in_order[0] if self._in_order else None

    def _plan(self) -> bool:
        """Plan clips for a moment, as far as memory allows; return whether more could be planned at once."""
        options = self._fetcher.options
        max_bytes, max_clips = options.max_bytes_in_flight, _MAX_CLIPS_PER_REQUEST * options.max_concurrency
        if self._num_bytes <= _REFILL_SHARE * max_bytes and self.num_clips <= _REFILL_SHARE * max_clips:
            self._is_filling = True
        if not self._is_filling:
            return False
        jobs: list[Request | Clip] = []
        give_up_at = time.monotonic() + _MAX_PLANNING_SECONDS  # a slow iterable must not hold up what has come
        is_over = False
        while not is_over:
            clip = self._look_ahead()
            if (
                clip is None
                or self.num_clips >= max_clips
                or (self.num_clips and self._num_bytes + clip.num_bytes > max_bytes)
            ):
                self._is_filling = False
                break
            self._next = None
            self._count(clip)
            if clip.result is None:
                jobs += [clip] if self._crew.is_cached(clip) else self._planner.add(clip)
            is_over = time.monotonic() >= give_up_at
        self._crew.submit(jobs + self._planner.flush())
        return self._is_filling

    def _count(self, clip: Clip) -> None:
        if self._is_ordered:
            self._in_order.append(clip)
        self.num_clips += 1
        self._num_bytes += clip.num_bytes
        tally = self._fetcher._tally
        with self._fetcher._lock:
            tally.num_planned += 1
            tally.max_bytes_in_flight = max(tally.max_bytes_in_flight, self._num_bytes)
        if not clip.spans:
            self._crew.settle_now(clip, self._without_reading(clip.wanted))

    def _look_ahead(self) -> Clip | None:
        """Return the clip that comes next, or None after the last."""
        if self._next is None and not self._is_exhausted:
            try:
                wanted = next(self._wanted)
            except Exception as fault:  # noqa: BLE001 - raised again behind the clips before it
                self._is_exhausted = True
                self.fault = None if isinstance(fault, StopIteration) else fault
                return None
            try:
                spans = spans_of(wanted, max_bytes=self._fetcher.options.max_bytes_in_flight)
            except ArchiveError:
                spans = []
            self._next = Clip(wanted, spans)
        return self._next

    def _without_reading(self, wanted: Wanted) -> Delivered | Failed:
        """Say how a clip ends that is refused, or of which there are no bytes."""
        try:
            spans_of(wanted, max_bytes=self._fetcher.options.max_bytes_in_flight)
            check_bytes(wanted, b"")
        except ArchiveError as error:
            return Failed(wanted=wanted, error=bare(error))
        return Delivered(wanted=wanted, data=b"")


def _new_fetcher(store: Store, options: FetchOptions, cache: ClipCache | None, source: str | None) -> Fetcher:
    return Fetcher(store, options, cache=cache, source=source)
