"""A clock that a test moves: what is said of seconds then holds on a machine that stands still for some, too."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opens2v_data.archive import MemoryStore

GIVE_UP_SECONDS = 100.0
"""Of real time, after which what is waited for will not come."""


class HandClock:
    """Stands in for the module `time` where `monotonic` is all that is asked of it.

    The thread that makes it is the one that takes clips, and looks after deadlines while it waits for them.
    """

    def __init__(self) -> None:
        self._now = 1000.0
        self._consumer = threading.current_thread()
        self._num_asked = 0  # by the consumer
        self._changed = threading.Condition()
        self._is_over = False

    def monotonic(self) -> float:
        with self._changed:
            if threading.current_thread() is self._consumer:
                self._num_asked += 1
                self._changed.notify_all()
            return self._now

    def advance(self, seconds: float, *, until: float = float("inf")) -> None:
        """Move on; from another thread than the consumer's, wait until that has looked after all clips at the new time.

        Args:
            seconds: by so many.
            until: but not beyond this time.
        """
        with self._changed:
            self._now = max(self._now, min(self._now + seconds, until))
            if threading.current_thread() is self._consumer:
                return
            # It asks, looks, and asks again; the first may have been about to ask before.
            seen = self._num_asked + 2
            came = self._changed.wait_for(lambda: self._num_asked >= seen or self._is_over, GIVE_UP_SECONDS)
            assert came, "nobody looks at the clock"

    def jump_to(self, time: float) -> None:
        """Move on to a time and wait for nobody."""
        with self._changed:
            self._now = max(self._now, time)

    def end(self) -> None:
        """Let go of who still waits in `advance`: the test is over."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


class TimedLine:
    """A store with a latency and a line that gives so many bytes a second to all reads together, in a `HandClock`'s time.

    Time goes on to the end of the next read when as many reads run as may.

    Args:
        store: what reads go to.
        clock: whose time it is.
        latency_seconds: of each read.
        bytes_per_second: of all reads together.
        num_reads: how many there will be.

    Attributes:
        limit: tells how many reads may run at once.
        max_at_once: the most reads that ran at the same time.
    """

    def __init__(
        self,
        store: MemoryStore,
        clock: HandClock,
        *,
        latency_seconds: float,
        bytes_per_second: float,
        num_reads: int,
    ) -> None:
        self._store, self._clock = store, clock
        self._latency_seconds, self._bytes_per_second = latency_seconds, bytes_per_second
        self._num_left = num_reads
        self._line_free_at = 0.0
        self._ends: list[float] = []  # of reads that run
        self._is_watched = False
        self._changed = threading.Condition()
        self.limit: Callable[[], int] = lambda: 1
        self.max_at_once = 0

    def size(self, path: str) -> int:
        return self._store.size(path)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with self._changed:
            now = self._clock.monotonic()
            self._line_free_at = max(now, self._line_free_at) + length / self._bytes_per_second
            until = max(now + self._latency_seconds, self._line_free_at)
            self._ends.append(until)
            self.max_at_once = max(self.max_at_once, len(self._ends))
            while (now := self._clock.monotonic()) < until:
                # Those that have ended have yet to leave, and others come for them.
                running = [end for end in self._ends if end > now]
                if len(running) >= min(self.limit(), self._num_left):
                    self._clock.jump_to(min(running))
                    self._changed.notify_all()
                elif self._is_watched:
                    self._changed.wait()
                else:
                    # The limit may fall, and nobody says so here. If all looked they would take all of the processor.
                    self._is_watched = True
                    self._changed.wait(0.01)
                    self._is_watched = False
            self._ends.remove(until)
            self._num_left -= 1
            self._changed.notify()
        return self._store.read_range(path, start, length)

    def read_ranges(self, path: str, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        return [self.read_range(path, start, length) for start, length in ranges]
