"""Where the Hub says that a file's bytes are, for as long as that holds.

Addresses are signed and expire. A file's is asked for by one thread while the others wait, and again when it is old or refused.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, urlsplit

from opens2v_data.errors import RevisionMovedError

if TYPE_CHECKING:
    from opens2v_data.archive.http import Address
    from opens2v_data.archive.http_options import Counters

EARLY_SECONDS = 3.0
"""An address is given up so long before it ends: servers tell the time in whole seconds, and a request takes some."""

PLAIN_SECONDS = 60.0
"""How long a file is read through `/resolve` itself after fresh addresses of it were refused; then one is asked for again."""


class Resolved:
    """What the Hub said of one file, or what to do without it."""

    def __init__(self, address: Address, size_bytes: int, expires_at: float | None, *, is_plain: bool) -> None:
        self.address = address
        self.size_bytes = size_bytes
        self.expires_at = expires_at
        self.is_plain = is_plain
        self.has_served = False

    @property
    def is_good(self) -> bool:
        """Whether it may be used now."""
        return self.expires_at is None or time.monotonic() < self.expires_at


class Resolver(Protocol):
    """What a flight asks of a store: where its files are."""

    counters: Counters

    @property
    def uri(self) -> str:
        """The address of the repository at its commit."""
        ...

    def resolve(self, path: str) -> Resolved:
        """Ask where a file's bytes are."""
        ...

    def plain_address(self, path: str) -> Address:
        """Return the address at which each request for a file is redirected anew."""
        ...


class Flight:
    """One file's address: asked for by one thread while the others wait."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._resolved: Resolved | None = None
        self._num_refused = 0  # fresh addresses in a row that gave nothing

    def resolved(self, store: Resolver) -> Resolved:
        """Return where the file's bytes are now: as it was told before, or asked for anew.

        Raises:
            RevisionMovedError: the file has another size than before.
            ArchiveError: the store was not told.
        """
        found = self._resolved
        if found is not None and found.is_good:
            return found
        with self._lock:
            found = self._resolved
            if found is not None and found.is_good:
                return found
            if found is not None and not found.is_plain:
                store.counters.add(num_expired=1)
            fresh = store.resolve(self.path)
            if found is not None and fresh.size_bytes != found.size_bytes:
                raise RevisionMovedError(
                    f"{store.uri}/{self.path} had {found.size_bytes} bytes, now {fresh.size_bytes}; index it anew"
                )
            if self._num_refused >= 2 and not fresh.is_plain:
                # Fresh addresses are refused, as behind some proxies: let the Hub redirect each request itself, for a while.
                self._num_refused = 0
                fresh = Resolved(
                    store.plain_address(self.path), fresh.size_bytes, time.monotonic() + PLAIN_SECONDS, is_plain=True
                )
            self._resolved = fresh
            return fresh

    def refused(self, which: Resolved) -> None:
        """Forget an address that a server refused, unless another thread got a new one meanwhile."""
        with self._lock:
            if self._resolved is which and which.is_good:
                self._num_refused = 0 if which.has_served else self._num_refused + 1
                which.expires_at = float("-inf")


def lifetime_seconds(url: str, date: str | None) -> float | None:
    """Return how long a signed address is good for, by the server's clock; None where it does not say, or nonsense."""
    query = parse_qs(urlsplit(url).query)
    try:
        now = time.time() if date is None else parsedate_to_datetime(date).timestamp()
        if "Expires" in query:
            ends_at = float(query["Expires"][0])
        else:
            signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
            ends_at = signed.timestamp() + float(query["X-Amz-Expires"][0])
    except (KeyError, ValueError):
        return None
    lifetime = ends_at - now
    return lifetime if lifetime > 0 else None
