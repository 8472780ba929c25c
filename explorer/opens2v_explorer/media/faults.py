"""Which state is it, that bytes or pictures could not be had?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opens2v_data.errors import ArchiveError, DeadlineError, DecodeError, RemoteError
from opens2v_explorer.states import State, StateError, state

_GONE = (404, 410)


def state_of(error: ArchiveError | DecodeError) -> State:
    """Return the state that an error of reading or decoding means."""
    if isinstance(error, DecodeError):
        return state("corrupt", str(error))
    if isinstance(error, DeadlineError) or (isinstance(error, RemoteError) and error.status not in _GONE):
        return state("unreachable", str(error))
    return state("not-here", str(error))


@contextlib.contextmanager
def as_state() -> Iterator[None]:
    """Turn errors of reading and decoding into `StateError`."""
    try:
        yield
    except (ArchiveError, DecodeError) as error:
        raise StateError(state_of(error)) from error
