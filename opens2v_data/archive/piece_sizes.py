"""Whether the pieces are still those that were indexed: a piece of another size has shifted every offset behind it."""

from __future__ import annotations

import copy
import math
import threading
import time
from typing import TYPE_CHECKING

from opens2v_data.archive.parts import Part, PartReader
from opens2v_data.errors import ArchiveError, MissingPieceError, RemoteError
from opens2v_data.waiting import WAKE_SECONDS

if TYPE_CHECKING:
    from opens2v_data.archive.plan import Request
    from opens2v_data.archive.stores import Store

_REMEMBER_SECONDS = 60.0
"""A refusal (401, 403) may be lifted while this runs; until then a question a minute and piece is enough."""


class PieceSizes:
    """Compares each piece's size with the recorded one, once, while other threads that need it wait.

    Args:
        store: where the pieces lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._openings: dict[str, _Opening] = {}
        self._checked: set[str] = set()
        self._faults: dict[str, tuple[ArchiveError, float]] = {}  # with the time until which each is remembered

    def is_checked(self, path: str) -> bool:
        """Say whether a piece had its size."""
        return path in self._checked

    def check(self, request: Request) -> None:
        """Make sure that a piece, or an unpacked file, has the size that the index says.

        An error that will not pass is remembered; one that may is shared by all who waited for the same answer.

        Raises:
            MissingPieceError: it is not there, or has another size.
            ArchiveError: the store does not say.
        """
        path, part = request.path, request.part
        if part.layout == "files":
            # Remembering nothing: there are as many files as clips.
            found = self._store.size(path)
            if found != request.length:
                raise MissingPieceError(
                    f"{path} has {found} bytes, the index says {request.length}; unpack it again, or index the part anew"
                )
            return
        while True:
            with self._lock:
                if path in self._checked:
                    return
                fault, until = self._faults.get(path, (None, 0.0))
                if fault is not None and time.monotonic() < until:
                    raise copy.copy(fault)
                opening = self._openings.get(path)
                is_ours = opening is None
                if opening is None:
                    opening = self._openings[path] = _Opening()
            if is_ours:
                self._open(request, opening)
                return
            while not opening.ended.wait(WAKE_SECONDS):
                pass
            if opening.error is not None:
                raise copy.copy(opening.error)

    def _open(self, request: Request, opening: _Opening) -> None:
        path, part = request.path, request.part
        piece = next(piece for piece in part.pieces if piece.path == path)
        try:
            PartReader(self._store, Part(name=part.name, layout="tar", pieces=(piece,))).check_pieces()
        except (ArchiveError, OSError) as error:
            opening.error = copy.copy(error)  # a copy has no traceback, which would hold others' bytes
            if isinstance(error, MissingPieceError):
                self._faults[path] = copy.copy(error), math.inf
            elif isinstance(error, ArchiveError) and not (isinstance(error, RemoteError) and error.is_retryable):
                self._faults[path] = copy.copy(error), time.monotonic() + _REMEMBER_SECONDS
            raise
        else:
            self._checked.add(path)
        finally:
            with self._lock:
                del self._openings[path]
            opening.ended.set()


class _Opening:
    """A question for a piece's size that one thread asks.

    Attributes:
        ended: it was answered, or failed.
        error: how it failed, for those who waited.
    """

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.error: ArchiveError | OSError | None = None
