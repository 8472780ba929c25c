"""The threads that fetch: a line of requests, as many at once as the pace allows, late ones sent twice, none awaited for ever.

    consumer's thread        submit ─▶ line ─▶ threads ─▶ settled ─▶ next_settled, which also looks after deadlines

A thread that hangs in a store cannot be stopped. What it fetches can be given up: its place goes to another thread, and whatever
it brings later is thrown away. While the consumer is busy elsewhere nobody looks after deadlines and late requests, and nobody
needs to.
"""

from __future__ import annotations

import atexit
import os
import random
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING

from opens2v_data.archive.clocks import Clocks
from opens2v_data.archive.kept import KeptClips
from opens2v_data.archive.piece_sizes import PieceSizes
from opens2v_data.archive.places import Places
from opens2v_data.archive.plan import Clip, Request, bare, check_bytes, place_of
from opens2v_data.archive.stores import BufferStore
from opens2v_data.archive.wanted import Delivered, Failed, Tally
from opens2v_data.errors import ArchiveError, RemoteError, ShortReadError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opens2v_data.archive.cache import ClipCache
    from opens2v_data.archive.pacing import Latencies, Pace
    from opens2v_data.archive.places import Attempt
    from opens2v_data.archive.stores import Buffer, Store
    from opens2v_data.archive.wanted import FetchOptions

_BACKOFF_SECONDS = 0.2
_MAX_BACKOFF_SECONDS = 5.0
_TICK_SECONDS = 0.05
_HEDGE_SHARE = 0.02
_FEWEST_HEDGES = 2
_EXIT_SECONDS = 1.0


class Crew:
    """Threads that bring clips; made for one iterator, and closed with it.

    Args:
        store: where bytes come from.
        options: how hard to try.
        tally, pace, latencies: shared with the crews of other iterators, under `lock`.
        lock: guards these and the crew.
        cache, source: where clips are looked for and kept, and the origin they have there.
        is_ordered: `next_settled` is asked for a certain clip, not for any.
    """

    def __init__(
        self,
        store: Store,
        options: FetchOptions,
        *,
        tally: Tally,
        pace: Pace,
        latencies: Latencies,
        lock: threading.Lock,
        cache: ClipCache | None,
        source: str,
        is_ordered: bool,
    ) -> None:
        self._store, self._options = store, options
        self._kept = KeptClips(cache, source)
        self._read_store: Callable[[str, int, int], Buffer] = store.read_range
        if options.as_buffers and isinstance(store, BufferStore):
            self._read_store = store.read_buffer
        self._tally, self._pace, self._latencies, self._lock = tally, pace, latencies, lock
        self._news = threading.Condition(lock)
        self._is_ordered = is_ordered
        self._settled: deque[Clip] = deque()
        self._awaited: Clip | None = None  # by the consumer, when only this one will do
        self._started: dict[Clip, None] = {}  # as a set, in the order of their starts
        self._fault: BaseException | None = None
        self._places = Places(
            pace,
            max_threads=2 * options.max_concurrency,  # half of them may hang before the others have to wait for them
            lock=lock,
            do=self._do,
            fail=self._failed,
        )
        self._piece_sizes = PieceSizes(store)
        self._num_store_retries = _retries_inside(store)
        self._looked_at = 0.0
        self._clocks = Clocks(store, options)
        self._pid = os.getpid()
        _crews.add(self)

    # -- the consumer's side -----------------------------------------------------------------------------------------

    def is_cached(self, clip: Clip) -> bool:
        """Say whether the cache seems to hold a clip."""
        return clip.wanted in self._kept

    def submit(self, jobs: list[Request | Clip]) -> None:
        """Put requests, and clips to read from the cache, at the end of the line."""
        self._check_process()
        with self._lock:
            self._places.put_last(jobs)

    def settle_now(self, clip: Clip, result: Delivered | Failed) -> None:
        """Settle a clip for which nothing needs to be read."""
        self._check_process()
        with self._lock:
            self._settle(clip, result)

    def has_settled(self, head: Clip | None) -> bool:
        """Say whether `next_settled` would not wait."""
        return bool(self._settled) if head is None else head.result is not None

    def next_settled(self, head: Clip | None) -> Clip:
        """Wait for a clip that has ended: for `head`, or for any when that is None.

        Raises:
            RuntimeError: the process was forked from the one that made the crew.
        """
        self._check_process()
        with self._lock:
            while True:
                if self._fault is not None:
                    raise self._fault
                now = time.monotonic()
                if now - self._looked_at >= _TICK_SECONDS:
                    self._look_after(now)
                if self.has_settled(head):
                    return self._settled.popleft() if head is None else head
                self._awaited = head
                self._news.wait(_TICK_SECONDS)
                self._awaited = None

    def close(self) -> None:
        """Stop: what is in line is dropped, and threads end as soon as the store lets go of them."""
        if self.is_ours():
            self._places.close()

    def is_ours(self) -> bool:
        """Say whether this process made it; a forked one has no threads, and perhaps a lock that nobody gives back."""
        return os.getpid() == self._pid

    def _check_process(self) -> None:
        # Before any lock: one that was taken when the process was forked is never given back.
        if not self.is_ours():
            raise RuntimeError("threads do not live on in a forked process; call fetch there anew")

    def join(self, seconds: float) -> None:
        """Wait for the threads of a closed crew, at most so long."""
        give_up_at = time.monotonic() + seconds
        for thread in self._places.threads():
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def _look_after(self, now: float) -> None:
        """Fail clips whose time is over, give up what nobody waits for, and send late requests a second time."""
        self._looked_at = now
        is_waiting = self._clocks.look(now) > now
        if self._places.is_stuck:
            # All threads hang. Clips in line get a clock too, else nobody would ever say that nothing comes.
            for job in self._places.line:
                if isinstance(job, Request):
                    for share in job.shares:
                        self._start_clock(share.clip, job, now)
        for clip in list(self._started):
            if self._clocks.is_over(clip, now):
                self._fail(clip, self._clocks.too_late(clip))
        usual: dict[int, float | None] = {}
        for attempt in list(self._places.running):
            request = attempt.request
            if not request.is_wanted():
                self._places.give_up_on(request)
            elif not is_waiting and self._is_late(attempt, now, usual) and self._may_hedge():
                request.is_hedged = True
                self._tally.num_hedges += 1
                self._places.put_first([request])

    def _is_late(self, attempt: Attempt, now: float, usual: dict[int, float | None]) -> bool:
        options, request = self._options, attempt.request
        if options.hedge_after is None or request.is_hedged or attempt.reading_since is None:
            return False
        seconds = self._clocks.ticked(now) - attempt.reading_since
        if seconds < options.hedge_min_seconds:
            return False
        size_class = request.length.bit_length()
        if size_class not in usual:
            usual[size_class] = self._latencies.usual_seconds(request.length)
        expected = usual[size_class]
        # Nobody knows yet what is usual here, perhaps this line is slow: half of the time there is.
        return seconds >= (options.deadline_seconds / 2 if expected is None else options.hedge_after * expected)

    def _may_hedge(self) -> bool:
        return self._tally.num_hedges < max(_FEWEST_HEDGES, int(_HEDGE_SHARE * self._tally.num_requests))

    # -- with the lock held --------------------------------------------------------------------------------------------

    def _settle(self, clip: Clip, result: Delivered | Failed) -> None:
        if clip.result is not None:
            return
        clip.result = result
        clip.forget()
        self._started.pop(clip, None)
        if not self._is_ordered:
            self._settled.append(clip)
        if not self._is_ordered or clip is self._awaited:
            self._news.notify_all()  # the others would only wake the consumer to go on waiting

    def _fail(self, clip: Clip, error: ArchiveError) -> None:
        self._settle(clip, Failed(wanted=clip.wanted, error=bare(error)))

    def _failed(self, fault: BaseException) -> None:
        self._fault = fault
        self._news.notify_all()

    def _start_clock(self, clip: Clip, request: Request, now: float) -> None:
        if self._clocks.start(clip, request, now):
            self._started[clip] = None

    # -- in a thread, without the lock ---------------------------------------------------------------------------------

    def _do(self, job: Attempt | Clip) -> None:
        if isinstance(job, Clip):
            self._read_kept(job)
        else:
            self._bring(job)

    def _bring(self, attempt: Attempt) -> None:
        """Read a request's bytes, again after errors that may pass, and give them to its clips."""
        request = attempt.request
        num_short = 0
        for number in range(1, self._options.attempts + 1):
            try:
                data = self._read(attempt, is_again=number > 1)
            except (ArchiveError, OSError) as raised:
                error = self._as_ours(raised, request)
                num_short += isinstance(error, ShortReadError)
                wait = self._wait_before_next(attempt, error, number, num_short)
                if wait is None:
                    self._no_more(attempt, error)
                    return
                self._places.closing.wait(wait)
            else:
                if data is not None:
                    self._arrived(attempt, data)
                return

    def _read(self, attempt: Attempt, *, is_again: bool) -> Buffer | None:
        """Read the range; None when nobody waits for it any more."""
        request = attempt.request
        self._open_piece(request)
        with self._lock:
            if attempt.is_given_up or not request.is_wanted() or self._places.closing.is_set():
                return None
            now = time.monotonic()
            self._clocks.look(now)
            for share in request.shares:
                self._start_clock(share.clip, request, now)
            attempt.reading_since = self._clocks.ticked(now)
            self._tally.num_requests += 1
            self._tally.num_retries += is_again
        try:
            data = self._read_store(request.path, request.start, request.length)
            if len(data) != request.length:
                raise ShortReadError(
                    f"{request.path}: expected {request.length} bytes from byte {request.start} on, found {len(data)}"
                )
        except (ArchiveError, OSError):
            with self._lock:
                attempt.reading_since = None
            raise
        return data

    def _open_piece(self, request: Request) -> None:
        """Make sure, once per piece, that it has the size that was recorded; clips get time of its own for that."""
        if self._piece_sizes.is_checked(request.path):
            return
        clips = [share.clip for share in request.shares]
        with self._lock:
            now = time.monotonic()
            self._clocks.look(now)
            began = self._clocks.begin_opening(clips, now)
            self._started |= {clip: None for clip in clips if clip.result is None}
        try:
            self._piece_sizes.check(request)
        finally:
            with self._lock:
                now = time.monotonic()
                self._clocks.look(now)
                self._clocks.end_opening(clips, began, now)

    def _as_ours(self, error: ArchiveError | OSError, request: Request) -> ArchiveError:
        if isinstance(error, ArchiveError):
            return error
        # Not its text: what raises plain OSErrors may put an address there.
        what = f"{type(error).__name__} {error.strerror or ''}".strip()
        return RemoteError(f"{request.path}, byte {request.start}: {what}", is_retryable=True)

    def _wait_before_next(self, attempt: Attempt, error: ArchiveError, number: int, num_short: int) -> float | None:
        """Return how long to wait before the next read, or None when there should be none."""
        passing = error if isinstance(error, RemoteError) and error.is_retryable else None
        # A proxy may have cut the answer short: ask once more. A file that is short stays so.
        is_short = isinstance(error, ShortReadError) and num_short == 1
        if passing is not None:
            with self._lock:
                self._pace.pushed_back(time.monotonic(), status=passing.status)
        if number == self._options.attempts or not (passing is not None or is_short):
            return None
        wait = passing.retry_after_seconds if passing is not None else None
        if wait is None:
            wait = min(_MAX_BACKOFF_SECONDS, _BACKOFF_SECONDS * 2 ** (number - 1)) * random.uniform(0.5, 1.5)
        with self._lock:
            now = time.monotonic()
            until = self._clocks.look(now)
            for share in attempt.request.shares:
                clip = share.clip
                if clip.result is None and self._clocks.is_over_after(clip, wait, now, sleeps_until=until):
                    self._fail(clip, self._clocks.too_late(clip, last=error))
            return wait if attempt.request.is_wanted() and not attempt.is_given_up else 0.0

    def _no_more(self, attempt: Attempt, error: ArchiveError) -> None:
        """Fail the clips of a request that cannot be read, unless its second sending still may."""
        request = attempt.request
        with self._lock:
            if attempt.is_given_up or request.num_live > 1 or request.is_settled:
                return
            request.is_settled = True
            left = request.split()
            if isinstance(error, ShortReadError) and len(request.shares) > 1:
                # The piece ends in the midst of it: those before can still be had.
                self._tally.num_retries += len(left)
                self._places.put_first(left)
                return
            for share in request.shares:
                self._fail(share.clip, error.at(place_of(share.clip.wanted)))

    def _arrived(self, attempt: Attempt, data: Buffer) -> None:
        """Give a request's bytes to its clips; those that have all of theirs are checked and settled."""
        request = attempt.request
        chunks = [
            data if share.length == len(data) else data[share.start : share.start + share.length]
            for share in request.shares
        ]
        whole: list[tuple[Clip, list[Buffer]]] = []
        with self._lock:
            now = time.monotonic()
            tally = self._tally
            tally.num_bytes += len(data)
            self._clocks.look(now)
            if attempt.reading_since is not None:
                self._latencies.add(len(data), max(0.0, self._clocks.ticked(now) - attempt.reading_since))
            self._places.running.discard(attempt)  # what is left to do is ours, and does not hang
            if attempt.is_given_up or not request.is_wanted() or self._places.closing.is_set():
                tally.num_wasted_bytes += len(data)
                return
            self._keep_pace(len(data), now)
            tally.num_wasted_bytes += len(data) - request.num_payload_bytes
            self._places.give_up_on(request)
            for share, chunk in zip(request.shares, chunks, strict=True):
                clip = share.clip
                if clip.result is not None:
                    tally.num_wasted_bytes += len(chunk)
                    continue
                clip.chunks[share.span_index] = chunk
                clip.num_missing -= 1
                if not clip.num_missing:
                    whole.append((clip, clip.chunks))
        for clip, parts in whole:
            self._finish(clip, parts[0] if len(parts) == 1 else b"".join(parts))

    def _keep_pace(self, num_bytes: int, now: float) -> None:
        # A store over HTTP deals with 429 and 503 itself; that it had to is seen in its counters.
        num_store_retries = _retries_inside(self._store)
        if num_store_retries > self._num_store_retries:
            self._num_store_retries = num_store_retries
            self._pace.pushed_back(now, status=None)
        limit = self._pace.limit
        self._pace.completed(num_bytes, now, is_full=self._places.is_full)
        if self._pace.limit > limit:
            self._places.staff()

    def _finish(self, clip: Clip, data: Buffer) -> None:
        """Check the bytes of a clip, keep and settle it."""
        try:
            check_bytes(clip.wanted, data)
        except ArchiveError as error:
            self._wrong(clip, error)
            return
        is_kept = self._kept.keep(clip.wanted, data)
        with self._lock:
            self._tally.num_cached += is_kept
            self._settle(clip, Delivered(wanted=clip.wanted, data=data))

    def _wrong(self, clip: Clip, error: ArchiveError) -> None:
        """Ask once more for a clip whose bytes were wrong: a proxy may have answered with an error's page."""
        with self._lock:
            self._tally.num_wasted_bytes += clip.wanted.size_bytes
            clip.num_failed_checks += 1
            if clip.num_failed_checks > 1:
                self._fail(clip, error)
            elif clip.result is None:
                clip.forget()
                self._tally.num_retries += 1
                self._places.put_first(clip.requests())

    def _read_kept(self, clip: Clip) -> None:
        """Settle a clip from the cache, else put its requests in line."""
        data = self._kept.read(clip.wanted)
        with self._lock:
            if data is None:
                self._places.put_first(clip.requests())
            else:
                self._tally.num_cache_hits += 1
                self._settle(clip, Delivered(wanted=clip.wanted, data=data))


def _retries_inside(store: Store) -> int:
    """Return how often a store that counts has had to ask again; 0 for one that does not."""
    return getattr(getattr(store, "counters", None), "num_retries", 0)


_crews: weakref.WeakSet[Crew] = weakref.WeakSet()


def _close_all() -> None:
    """Let threads end before the interpreter does: one that comes back from foreign code after it aborts the process."""
    crews = [crew for crew in _crews if crew.is_ours()]
    for crew in crews:
        crew.close()
    give_up_at = time.monotonic() + _EXIT_SECONDS
    for crew in crews:
        crew.join(give_up_at - time.monotonic())


atexit.register(_close_all)
