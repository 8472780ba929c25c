"""How many requests a server allows: one bucket per process and server, filled as the server's headers say.

The Hub counts calls of `/resolve` in windows of 5 minutes: 3,000 anonymous, 5,000 for a free account, 12,000 PRO
(hf.co/docs/hub/rate-limits).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping

from opens2v_data import waiting

WINDOW_SECONDS = 300.0
ANONYMOUS_CALLS = 3_000
ACCOUNT_CALLS = 5_000


class TokenBucket:
    """Calls that may be made now; `take` waits for one.

    A window's calls may all be made at once, as the server allows it; after that they come as the window refills.

    Args:
        calls: per window.
        window_seconds: length of the window.
        clock, sleep: for tests.
    """

    def __init__(
        self,
        calls: int,
        window_seconds: float = WINDOW_SECONDS,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = waiting.sleep,
    ) -> None:
        if calls < 1 or window_seconds <= 0:
            raise ValueError(f"expected at least 1 call in a window above 0 s, got {calls} in {window_seconds} s")
        self.calls = calls
        self.window_seconds = window_seconds
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._tokens = float(calls)
        self._filled_at = clock()
        self._closed_until = 0.0

    def __repr__(self) -> str:
        return f"TokenBucket({self.calls} calls per {self.window_seconds:g} s, {self._tokens:.0f} left)"

    def take(self, sleep: Callable[[float], object] | None = None) -> float:
        """Wait until a call may be made; return the seconds waited.

        Args:
            sleep: waits, and may tell others that somebody does; by default only waits.
        """
        waited = 0.0
        while True:
            with self._lock:
                now = self._clock()
                wait = self._closed_until - now
                if wait <= 0:
                    self._fill(now)
                    if self._tokens >= 1:
                        self._tokens -= 1
                        return waited
                    wait = (1 - self._tokens) * self.window_seconds / self.calls
            (sleep or self._sleep)(wait)
            waited += wait

    def close_for(self, seconds: float) -> None:
        """Make no call for so long: the server said so."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + seconds)

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over what a server says of its quota (`RateLimit`, `RateLimit-Policy`, IETF draft ratelimit-headers-09)."""
        from huggingface_hub.utils import parse_ratelimit_headers

        found = parse_ratelimit_headers(headers)
        if found is None:
            return
        with self._lock:
            now = self._clock()
            self._fill(now)
            if found.limit and found.window_seconds:
                self.calls, self.window_seconds = found.limit, float(found.window_seconds)
            # Other processes and machines spend from the same quota: never believe in more than the server does.
            self._tokens = min(self._tokens, float(found.remaining))
            if found.remaining == 0:
                self._closed_until = max(self._closed_until, now + found.reset_in_seconds)

    def _fill(self, now: float) -> None:
        self._tokens = min(self.calls, self._tokens + (now - self._filled_at) * self.calls / self.window_seconds)
        self._filled_at = now


_buckets: dict[tuple[str, bool], TokenBucket] = {}
_buckets_lock = threading.Lock()


def bucket_of(endpoint: str, *, has_token: bool) -> TokenBucket:
    """Return this process's bucket for a server."""
    with _buckets_lock:
        key = endpoint, has_token
        if key not in _buckets:
            _buckets[key] = TokenBucket(ACCOUNT_CALLS if has_token else ANONYMOUS_CALLS)
        return _buckets[key]


def _after_fork() -> None:
    global _buckets_lock
    _buckets_lock = threading.Lock()
    for bucket in _buckets.values():
        bucket._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
