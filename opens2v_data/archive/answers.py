"""What a server's answer to a request for bytes means, whichever client got it.

Addresses may be signed: they are in no message. What was asked for is named by `where`, a path of the release and a range.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Protocol

from opens2v_data.archive.http_options import SLOWEST_BYTES_PER_SECOND
from opens2v_data.errors import MissingPieceError, RemoteError, ShortReadError

if TYPE_CHECKING:
    from opens2v_data.errors import ArchiveError

_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))


class Headers(Protocol):
    """Headers of an answer, by names in any case."""

    def get(self, name: str, /) -> str | None: ...


class AddressRefusedError(Exception):
    """401 or 403: the address has expired, or was never allowed. `status` is which."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered {status}")
        self.status = status


def refusal(where: str, status: int, headers: Headers) -> AddressRefusedError | ArchiveError:
    """Return the error that a status which is no success stands for; a `RemoteError` has the wait that the server asks for."""
    if status in (401, 403):
        return AddressRefusedError(status)
    if status == 404:
        return MissingPieceError(f"{where}: the server has no such file; check the address and the revision")
    if status == 416:
        return ShortReadError(
            f"{where}: the file at the server ends before; the upload has changed, or the index is not of it"
        )
    return RemoteError(
        f"{where}: the server answered {status}",
        status=status,
        is_retryable=status in _RETRIED,
        retry_after_seconds=retry_after_seconds(headers),
    )


def connection_failed(where: str, error: Exception) -> RemoteError:
    """Return the error for a connection that was not had, or broke."""
    # Only what the system says: other texts may hold the address.
    reason = getattr(error, "reason", error)
    text = f": {reason.strerror}" if isinstance(reason, OSError) and reason.strerror else ""
    name = type(reason if isinstance(reason, Exception) else error).__name__
    return RemoteError(f"{where}: the connection failed ({name}{text})", is_retryable=True)


def too_slow(where: str, got: int, length: int) -> RemoteError:
    """Return the error for a body that did not come in its time."""
    return RemoteError(
        f"{where}: {got} of {length} bytes came in the time there is, slower than {SLOWEST_BYTES_PER_SECOND} bytes a second",
        is_retryable=True,
    )


def cut_short(where: str, got: int, length: int, status: int) -> RemoteError:
    """Return the error for a body that ended early."""
    return RemoteError(f"{where}: {got} bytes came, expected {length}", status=status, is_retryable=True)


def retry_after_seconds(headers: Headers) -> float | None:
    """Return the seconds that a `Retry-After` header asks to wait: a number, or a date."""
    text = (headers.get("Retry-After") or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    if not text:
        return None
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
