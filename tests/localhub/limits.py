"""Signed addresses that expire, and a quota of calls per window."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from urllib.parse import urlencode


class Signer:
    """Signs paths of the second host, as CloudFront does: `?Expires=…&Signature=…`.

    Args:
        lifetime_seconds: how long an address is good for; a fraction gives `Expires` three decimals, a whole number none,
            as on the Hub.
        secret: key of the signature.
    """

    def __init__(self, *, lifetime_seconds: float, secret: bytes) -> None:
        self.lifetime_seconds = lifetime_seconds
        self._secret = secret

    def sign(self, path: str, *, lifetime_seconds: float | None = None) -> str:
        """Return the path with its expiry and signature."""
        lifetime = self.lifetime_seconds if lifetime_seconds is None else lifetime_seconds
        until = time.time() + lifetime
        expires = str(math.ceil(until)) if float(lifetime).is_integer() else f"{until:.3f}"
        return f"{path}?{urlencode({'Expires': expires, 'Signature': self._signature(path, expires)})}"

    def fault(self, path: str, query: dict[str, list[str]]) -> str | None:
        """Return why an address is refused, or None."""
        expires, signature = query.get("Expires", [""])[0], query.get("Signature", [""])[0]
        if not hmac.compare_digest(signature.encode(), self._signature(path, expires).encode()):
            return "the signature is wrong"
        if time.time() > float(expires):
            return "Request has expired"
        return None

    def _signature(self, path: str, expires: str) -> str:
        return hmac.new(self._secret, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


class Quota:
    """At most `limit` calls in a window of `window_seconds` that starts with its first call; more are refused.

    Args:
        limit: calls in a window; None for no end of them.
        window_seconds: length of the window.
    """

    def __init__(self, limit: int | None, window_seconds: float) -> None:
        self._limit = limit
        self._window_seconds = window_seconds
        self._started = -math.inf
        self._num_used = 0

    def take(self) -> tuple[bool, dict[str, str]]:
        """Use a call of the window.

        Returns:
            Whether there was one, and the headers that say so, spelt as the Hub spells them
            (huggingface_hub/utils/_http.py, parse_ratelimit_headers).
        """
        if self._limit is None:
            return True, {}
        now = time.monotonic()
        if now >= self._started + self._window_seconds:
            self._started, self._num_used = now, 0
        is_allowed = self._num_used < self._limit
        self._num_used += is_allowed
        reset = max(1, math.ceil(self._started + self._window_seconds - now))
        headers = {
            "RateLimit": f'"resolvers";r={self._limit - self._num_used};t={reset}',
            "RateLimit-Policy": f'"fixed window";"resolvers";q={self._limit};w={math.ceil(self._window_seconds)}',
        }
        return is_allowed, headers if is_allowed else {**headers, "Retry-After": str(reset)}
