"""How patient a store over HTTP is, and what it has asked so far."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from opens2v_data.waiting import sleep

USER_AGENT = "opens2v-data"

SLOWEST_BYTES_PER_SECOND = 1 << 16
"""A body may take a second for each so many bytes, besides the time of its request; what comes slower is given up."""


@dataclass(frozen=True, kw_only=True)
class HttpOptions:
    """How patient a store is.

    Attributes:
        attempts: requests for one range, the first included.
        timeout_seconds: for one request, from connecting to the end of the answer's headers; its bytes have a second more for
            each 64 KiB. The first request over https:// has this time for all: 2 MB at 64 kB/s take 30 s.
        backoff_seconds: before a repetition; doubles each time, with jitter. There is no wait where the first request failed
            for a reason unknown.
        max_backoff_seconds: the longest of these waits.
        max_retry_after_seconds: a server that asks for a longer wait than this gets its refusal reported instead. The Hub's
            windows are 300 s long.
    """

    attempts: int = 6
    timeout_seconds: float = 60.0
    backoff_seconds: float = 0.2
    max_backoff_seconds: float = 10.0
    max_retry_after_seconds: float = 330.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts}")
        for name in ("timeout_seconds", "backoff_seconds", "max_backoff_seconds", "max_retry_after_seconds"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")


def backoff(number: int, options: HttpOptions) -> float:
    """Return how long to wait before repetition `number`, counted from 0."""
    return min(options.max_backoff_seconds, options.backoff_seconds * 2**number) * random.uniform(0.5, 1.5)


@dataclass
class Counters:
    """What a store has asked of its server so far.

    Attributes:
        num_requests: requests for bytes, repetitions included.
        num_bytes: bytes delivered.
        num_retries: repetitions.
        num_resolves: calls of the Hub's `/resolve`, which are what its quota counts.
        num_expired: signed addresses that were refused before or after their time.
        waiting_until: by the monotonic clock: a thread sleeps until then because the server said so; 0.0 when none ever did.
    """

    num_requests: int = 0
    num_bytes: int = 0
    num_retries: int = 0
    num_resolves: int = 0
    num_expired: int = 0
    waiting_until: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, **counts: int) -> None:
        """Add to some of them."""
        with self._lock:
            for name, count in counts.items():
                setattr(self, name, getattr(self, name) + count)

    def wait(self, seconds: float) -> None:
        """Sleep because the server said so, for all to see."""
        with self._lock:
            self.waiting_until = max(self.waiting_until, time.monotonic() + seconds)
        sleep(seconds)

    def after_fork(self) -> None:
        """Forget a lock that a thread of the parent may have held."""
        self._lock = threading.Lock()
