"""Whether the pieces are still those that were indexed: a piece of another size has shifted every offset behind it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from opens2v_data.archive.parts import Part, PartReader
from opens2v_data.errors import MissingPieceError

if TYPE_CHECKING:
    from opens2v_data.archive.plan import Request
    from opens2v_data.archive.stores import Store


class PieceSizes:
    """Compares each piece's size with the recorded one, once, while other threads that need it wait.

    Args:
        store: where the pieces lie.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._checked: set[str] = set()
        self._faults: dict[str, MissingPieceError] = {}

    def is_checked(self, path: str) -> bool:
        """Say whether a piece had its size."""
        return path in self._checked

    def check(self, request: Request) -> None:
        """Make sure that a piece, or an unpacked file, has the size that the index says.

        Raises:
            MissingPieceError: it is not there, or has another size.
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
        with self._lock:
            lock = self._locks.setdefault(path, threading.Lock())
        with lock:
            if path in self._checked:
                return
            if fault := self._faults.get(path):
                raise type(fault)(*fault.args)
            piece = next(piece for piece in part.pieces if piece.path == path)
            try:
                PartReader(self._store, Part(name=part.name, layout="tar", pieces=(piece,))).check_pieces()
            except MissingPieceError as error:
                self._faults[path] = error
                raise
            self._checked.add(path)
