"""The threads of a crew: a line of jobs, and no more of them at once than there are places.

    line ─▶ a place that is free ─▶ a thread ─▶ the next in line, with no wait between

A thread that hangs cannot be stopped. Its job can be given up: then another thread may take its place.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from opens2v_data.archive.plan import Request
from opens2v_data.waiting import uncut

if TYPE_CHECKING:
    from collections.abc import Callable

    from opens2v_data.archive.pacing import Pace
    from opens2v_data.archive.plan import Clip


class Attempt:
    """A thread's work at a request.

    Attributes:
        request: what it reads.
        reading_since: when its read began, by the crew's clock; None while it waits.
        is_given_up: nobody waits for it any more, and its place is taken.
    """

    __slots__ = ("is_given_up", "reading_since", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.reading_since: float | None = None
        self.is_given_up = False


class Places:
    """A line of requests, and of clips to read from the cache, with the threads that take them.

    Methods are called with the lock held, but for `close` and `threads`.

    Args:
        pace: how many may work at once.
        max_threads: of which those that hang are never taken from.
        lock: guards it and the crew's other state.
        do: what a thread does with its job; called without the lock.
        fail: takes what `do` raised, with the lock held.

    Attributes:
        line: what nobody has taken yet.
        running: reads that were not given up.
        closing: set once no more jobs are taken.
    """

    def __init__(
        self,
        pace: Pace,
        *,
        max_threads: int,
        lock: threading.Lock,
        do: Callable[[Attempt | Clip], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self._pace, self._max_threads, self._lock = pace, max_threads, lock
        self._calls: tuple[Callable[[Attempt | Clip], None], Callable[[BaseException], None]] | None = (do, fail)
        self._work = threading.Condition(lock)
        self._threads: set[threading.Thread] = set()
        self._num_active = 0
        self._num_given_up = 0
        self.line: deque[Request | Clip] = deque()
        self.running: set[Attempt] = set()
        self.closing = threading.Event()

    @property
    def is_full(self) -> bool:
        """Whether no place is free."""
        return self._num_active >= self._pace.limit

    @property
    def is_stuck(self) -> bool:
        """Whether every thread that may be started hangs in a job that was given up."""
        return len(self._threads) == self._num_given_up >= self._max_threads

    def threads(self) -> list[threading.Thread]:
        """Return those that have not ended."""
        return list(self._threads)

    def staff(self) -> None:
        """Wake threads for what is in line, and start those that are missing."""
        places = min(self._pace.limit - self._num_active, len(self.line))
        if places <= 0 or self._calls is None:
            return
        num_free = len(self._threads) - self._num_given_up - self._num_active
        self._work.notify(places)
        for _ in range(min(places - num_free, self._max_threads - len(self._threads))):
            # Daemons: a store that hangs must not keep the interpreter from ending.
            thread = threading.Thread(target=self._thread, args=self._calls, name="opens2v-fetch", daemon=True)
            with uncut():
                thread.start()
                self._threads.add(thread)

    def put_last(self, jobs: list[Request | Clip]) -> None:
        """Put jobs at the end of the line."""
        self.line.extend(jobs)
        self.staff()

    def put_first(self, jobs: list[Request]) -> None:
        """Put requests before all others, in their order."""
        self.line.extendleft(reversed(jobs))
        self.staff()

    def give_up_on(self, request: Request) -> None:
        """Take the places of the threads that still read a request."""
        request.is_settled = True
        late = [attempt for attempt in self.running if attempt.request is request]
        for attempt in late:
            self.running.discard(attempt)
            attempt.is_given_up = True
            self._num_active -= 1
            self._num_given_up += 1
        if late:
            self.staff()

    def close(self) -> None:
        """Drop what is in line; threads end as soon as their jobs let go of them."""
        with self._lock:
            self.closing.set()
            self.line.clear()
            # The crew holds this: by holding it too, clips' bytes would stay until the garbage collector comes.
            self._calls = None
            self._work.notify_all()

    # -- a thread, without the lock ------------------------------------------------------------------------------------

    def _thread(self, do: Callable[[Attempt | Clip], None], fail: Callable[[BaseException], None]) -> None:
        try:
            while (job := self._take()) is not None:
                while job is not None:
                    job = self._do(job, do)
        except BaseException as fault:  # noqa: BLE001 - raised again where the iterator is used
            with self._lock:
                fail(fault)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _take(self) -> Attempt | Clip | None:
        """Wait for a job; None when there will be none."""
        with self._lock:
            while not self.closing.is_set():
                job = self._next()
                if job is not None:
                    return job
                self._work.wait()
            return None

    def _do(self, job: Attempt | Clip, do: Callable[[Attempt | Clip], None]) -> Attempt | Clip | None:
        """Do a job and return the next, or None when that has to be waited for.

        Whoever waits does it in `_take`, which holds no clip's bytes. Nobody is woken for a job that is taken here.
        """
        try:
            do(job)
        except BaseException:
            with self._lock:
                self._leave(job)
            raise
        with self._lock:
            self._leave(job)
            return None if self.closing.is_set() else self._next()

    def _next(self) -> Attempt | Clip | None:
        """Take the first job in line that somebody waits for, if a place is free; with the lock held."""
        while self.line and self._num_active < self._pace.limit:
            job = self.line.popleft()
            if isinstance(job, Request):
                if not job.is_wanted():
                    continue
                job.num_live += 1
                job = Attempt(job)
                self.running.add(job)
            self._num_active += 1
            return job
        return None

    def _leave(self, job: Attempt | Clip) -> None:
        if isinstance(job, Attempt):
            job.request.num_live -= 1
            self.running.discard(job)
            if job.is_given_up:
                self._num_given_up -= 1
                return
        self._num_active -= 1
