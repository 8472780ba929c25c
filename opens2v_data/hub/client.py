"""How `huggingface_hub` is used here: its faults as our errors, without its progress bars, and without addresses in its logs.

It puts whole addresses into its errors and log lines, those of stored objects with their signatures too; neither is passed on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,  # pyright: ignore[reportPrivateImportUsage] - of httpx or httpx2, by version
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

from opens2v_data.errors import RemoteError

CLIENT_LOGGERS = ("huggingface_hub.utils._http", "huggingface_hub.lfs", "httpx", "httpx2")
"""The loggers that write addresses: the client's when it tries again, httpx's for every request at level INFO."""

_ADVICE = {
    401: "log in with `hf auth login`, or set HF_TOKEN",
    403: "the token must be allowed to write there; if it is, run the same command again",
    404: "check the name, and that the token may see it",
    409: "someone else is writing to it; run the same command again",
    412: "it changed meanwhile; run the same command again",
    413: "it is too large for the Hub",
    429: "the quota is used up; run the same command again later, what is done is kept",
}
_AGAIN = "run the same command again, what is done is kept"
_ADDRESS = re.compile(r"(https?://)(?:[^\s/?'\"]*@)?([^\s/?'\"]+)[^\s'\"]*")
_BEARER = re.compile(r"Bearer .*", re.DOTALL)


@contextmanager
def told(what: str) -> Iterator[None]:
    """Raise what the client raises as `RemoteError`. Not chained: its errors have whole addresses in them, signatures too."""
    try:
        yield
    except LocalTokenNotFoundError:
        raise RemoteError(f"{what}: there is no token; {_ADVICE[401]}", status=401) from None
    except (HTTPError, RuntimeError, ValueError, OfflineModeIsEnabled) as error:
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ is not None else error
        raise _remote_error(what, cause) from None


def _remote_error(what: str, error: BaseException) -> RemoteError:
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        said = f"{status} {_without_addresses(error.server_message or '')}".strip()
        return RemoteError(
            f"{what}: the Hub answered {said}; {_ADVICE.get(status, _AGAIN)}",
            status=status,
            is_retryable=status in (408, 409, 412, 429) or status >= 500,
        )
    text = _without_addresses(str(error)) or type(error).__name__
    if isinstance(error, OfflineModeIsEnabled):
        return RemoteError(f"{what}: HF_HUB_OFFLINE is set, which keeps the Hub's client from asking; unset it")
    advice = f"check the connection and {_AGAIN}" if isinstance(error, HTTPError) else _AGAIN
    return RemoteError(f"{what}: {text}; {advice}", is_retryable=isinstance(error, HTTPError))


def _without_addresses(text: str) -> str:
    """Leave of every address in a text only the server: paths of stored objects are signed in what follows.

    httpx writes a header it refuses into its error, the token in it: that goes to the end of the text.
    """
    return _BEARER.sub("Bearer …", _ADDRESS.sub(r"\1\2/…", text))


class _WithoutAddresses(logging.Filter):
    """Takes paths and signatures out of the addresses in log lines."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _without_addresses(record.getMessage()), None
        return True


@contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client's progress bars away, and signed addresses out of what it logs."""
    loggers = [logging.getLogger(name) for name in CLIENT_LOGGERS]
    filter_ = _WithoutAddresses()
    had_bars = not are_progress_bars_disabled()
    for logger in loggers:
        logger.addFilter(filter_)
    disable_progress_bars()
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(filter_)
        if had_bars:
            enable_progress_bars()
