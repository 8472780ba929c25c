"""How many requests to run at once, and when one is late: both learned from the requests that have ended."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable

_GROWS_BY = 1.4
"""Doubling the requests must give so many times the bytes a second, else the line, or this machine, is full. With 1.1 a fast
server at 30 ms was read with 128 at once: 1,055 MB/s at 1.25 CPU-s/GB; 32 at once gave 1,110 MB/s at 0.97 on the same cores. With
1.25 it still came to 64 or 128 there while other work made the rounds uneven."""
_PROBE_EVERY = 4  # windows
_MAX_PROBE_EVERY = 32  # after probes that were of no use, each of which costs a little
_CALM_SECONDS = 1.0
_FEWEST_SAMPLES = 8
_BUSY = 0.35
"""Of all CPUs. On 2 cores a local server gave 16 requests 800 MB/s, at which the process took 0.4 of them; a step to 32 brought
20% at best and cost 0.1 CPU-s/GB over 600 MB, for the memory that it touched."""


class Pace:
    """A limit on requests at once that finds its own height.

        16 ─▶ 32 ─▶ 64 ─▶ …      doubles while that gives 40% more bytes a second, else takes the last step back;
        40 ─▶ 50 or back         later tries a quarter more every fourth window, and keeps it if it gives 5% more,
        40 ─▶ 32 or back         or a fifth less, and keeps that unless it gives 5% less; rarer while neither helps;
        64 ─▶ 32                 halves when the server says 429, loses a quarter at other errors that may pass,
                                 at most once a second

    Fewer are tried too because a request that brings nothing more costs: on two cores 1,000 ranges of 2 MB with 32, 64 and 128
    at once came at 0.88, 1.11 and 1.28 CPU-s per GB, none of them faster, as their memory has to be found anew.

    A window is as many requests as may run at once: one round of all of them. The first 300 ranges of a slice are enough to get
    from 16 to 128. Windows in which the limit was mostly not reached (a consumer that takes its time) say nothing. Not safe from
    threads by itself.

    Args:
        lowest: the limit to begin with; never below.
        highest: never above.
        cpu_share: asked at the end of each window for the share of this machine's CPUs that the process took since it was last
            asked: with `_BUSY` of them it does not wait for the line, and more requests are not tried. None: never busy.

    Attributes:
        limit: how many requests may run at once now.
    """

    def __init__(self, *, lowest: int, highest: int, cpu_share: Callable[[], float] | None = None) -> None:
        self.lowest = lowest
        self.highest = highest
        self._cpu_share = cpu_share
        self.limit = lowest
        self._is_growing = True
        self._is_busy = False
        self._before: tuple[int, float] | None = None  # limit and bytes a second, before the step being tried
        self._num_still = 0
        self._probe_every = _PROBE_EVERY
        self._tries_fewer = True
        self._is_settling = True  # connections are made in the first window
        self._calm_until = float("-inf")
        self._window: _Window | None = None

    def __repr__(self) -> str:
        return f"Pace({self.limit} of {self.lowest} to {self.highest})"

    def completed(self, num_bytes: int, now: float, *, is_full: bool) -> None:
        """Take note of a request that ended well.

        Args:
            num_bytes: what it gave.
            now: seconds, by any clock that never goes back.
            is_full: as many requests ran as may.
        """
        if self._window is None:
            self._window = _Window(now)
            return
        window = self._window
        window.num_bytes += num_bytes
        window.count += 1
        window.num_full += is_full
        if window.count < self.limit or now <= window.started_at:
            return
        self._window = _Window(now)
        self._is_busy = self._cpu_share is not None and self._cpu_share() >= _BUSY
        if 2 * window.num_full >= window.count:
            self._judge(window.num_bytes / (now - window.started_at))

    def pushed_back(self, now: float, *, status: int | None) -> None:
        """Take note of a refusal or an error that may pass.

        Args:
            now: as for `completed`.
            status: 429 when the server says that these are too many.
        """
        if now < self._calm_until:
            return
        self._calm_until = now + _CALM_SECONDS
        self.limit = max(self.lowest, int(self.limit * (0.5 if status == 429 else 0.75)))
        self._is_growing, self._is_settling, self._before, self._num_still, self._window = False, False, None, 0, None
        self._probe_every, self._tries_fewer = _PROBE_EVERY, False

    def _judge(self, rate: float) -> None:
        if self._is_settling:
            # Much of this window ran before the step, or while connections were made.
            self._is_settling = False
            return
        if self._before is not None:
            limit, rate_before = self._before
            self._before = None
            enough = _GROWS_BY if self._is_growing else 1.05 if self.limit > limit else 0.95
            if rate < rate_before * enough:
                if not self._is_growing:
                    self._probe_every = min(_MAX_PROBE_EVERY, 2 * self._probe_every)
                    self._tries_fewer = not self._tries_fewer
                self.limit, self._is_growing = limit, False
                return
            self._probe_every = _PROBE_EVERY
        self._num_still += 1
        if self._is_busy:
            return
        if self._is_growing and self.limit < self.highest:
            self._try(2 * self.limit, rate)
        elif self._num_still >= self._probe_every and self.lowest < self.highest:
            self._is_growing = False
            if self.limit in (self.lowest, self.highest):
                self._tries_fewer = self.limit == self.highest
            self._try(
                self.limit - max(1, self.limit // 5) if self._tries_fewer else self.limit + max(1, self.limit // 4),
                rate,
            )

    def _try(self, limit: int, rate: float) -> None:
        self._before, self._num_still, self._is_settling = (self.limit, rate), 0, True
        self.limit = max(self.lowest, min(self.highest, limit))


class CpuShare:
    """Tells the share of the CPUs that this process may use which it took between two calls."""

    def __init__(self) -> None:
        self._num_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self._at = time.perf_counter(), time.process_time()

    def __call__(self) -> float:
        """Return it, 0 to 1."""
        wall, cpu = self._at
        self._at = time.perf_counter(), time.process_time()
        return (self._at[1] - cpu) / max(1e-9, self._at[0] - wall) / self._num_cpus


class Latencies:
    """How long recent requests took, so that a late one can be told.

    Not safe from threads by itself.
    """

    def __init__(self, *, keep: int = 256) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=keep)

    def add(self, num_bytes: int, seconds: float) -> None:
        """Take note of a request that ended well."""
        self._recent.append((num_bytes, seconds))

    def usual_seconds(self, num_bytes: int) -> float | None:
        """Return the time in which 95 in 100 requests of such a size or a larger one ended; None with fewer than 8 of them.

        Larger ones count, and smaller ones down to half the size: a wrong guess is then one of patience.
        """
        times = sorted(seconds for size, seconds in self._recent if 2 * size >= num_bytes)
        return times[int(0.95 * (len(times) - 1))] if len(times) >= _FEWEST_SAMPLES else None


class _Window:
    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.num_bytes = 0
        self.count = 0
        self.num_full = 0
