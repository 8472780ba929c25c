"""Pictures that were made before, kept on disk: the ones unused for longest go when there are too many.

One SQLite file: pictures are small (10-200 kB), a row is written whole or not at all, whoever is killed leaves the file sound,
and several processes may use it at once. The cache never fails a request: what it cannot keep or find is made anew.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_PAGE_BYTES = 8192
_BUSY_SECONDS = 2.0
_SCHEMA = 1

_MAKE = """
CREATE TABLE IF NOT EXISTS pictures (key TEXT PRIMARY KEY, used_at REAL NOT NULL, charge INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS by_use ON pictures (used_at, key, charge);
CREATE TABLE IF NOT EXISTS total (one INTEGER PRIMARY KEY CHECK (one = 1), charge INTEGER NOT NULL);
INSERT OR IGNORE INTO total VALUES (1, 0);
"""


def default_cache_folder() -> Path:
    """Return `opens2v/explorer` in `$XDG_CACHE_HOME` or `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "opens2v" / "explorer"


def charge_of(size_bytes: int) -> int:
    """Return what a picture of so many bytes takes of the file: whole pages, and one for its key."""
    return (-(-size_bytes // _PAGE_BYTES) + 1) * _PAGE_BYTES


class PictureCache:
    """Pictures by key, in one file.

    Args:
        folder: made when missing.
        limit_bytes: what the file's rows may take; see `charge_of`.
        touch_seconds: a picture's time of use is written at most so often, as a read would be a write otherwise.

    Attributes:
        num_hits, num_misses: of this object.
        num_not_kept: pictures that could not be written: larger than the limit, a full disk, a file that others hold.
        why_not_kept: the reason for the last picture that was put; None where it is kept.
    """

    def __init__(self, folder: str | os.PathLike[str], *, limit_bytes: int, touch_seconds: float = 60.0) -> None:
        if limit_bytes < 0:
            raise ValueError(f"limit_bytes must not be negative, got {limit_bytes}")
        self.folder = Path(folder)
        self.limit_bytes = limit_bytes
        self.num_hits = self.num_misses = self.num_not_kept = 0
        self.why_not_kept: str | None = None
        self._touch_seconds = touch_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        with self._lock, contextlib.suppress(sqlite3.Error, OSError), self._transaction() as connection:
            self._make_room(connection, 0)  # it may have had a larger limit

    def __repr__(self) -> str:
        return f"PictureCache({str(self.folder)!r}, limit_bytes={self.limit_bytes})"

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"pictures-{_SCHEMA}.sqlite"

    def get(self, key: str) -> bytes | None:
        """Return a picture, or None where it is not kept."""
        with self._lock:
            row = self._found(key)
            if row is None:
                self.num_misses += 1
            else:
                self.num_hits += 1
            return None if row is None else row[0]

    def put(self, key: str, data: bytes) -> bool:
        """Keep a picture; return whether it is kept."""
        charge = charge_of(len(data))
        with self._lock:
            why = f"it takes {charge} bytes, and the limit is {self.limit_bytes}"
            if charge <= self.limit_bytes:
                try:
                    with self._transaction() as connection:
                        self._write(connection, key, data, charge)
                    self.why_not_kept = None
                    return True
                except (sqlite3.Error, OSError) as error:
                    self._give_up(error)
                    why = str(error)
            self.num_not_kept += 1
            self.why_not_kept = why
            return False

    def size_bytes(self) -> int:
        """Return what the rows take, by `charge_of`."""
        with self._lock, self._transaction() as connection:
            return int(connection.execute("SELECT charge FROM total").fetchone()[0])

    def close(self) -> None:
        """Close the file; the next call opens it again."""
        with self._lock:
            self._close()

    # -- under the lock ----------------------------------------------------------------------------------------------

    def _found(self, key: str) -> tuple[bytes] | None:
        try:
            connection = self._open()
            row = connection.execute("SELECT data, used_at FROM pictures WHERE key = ?", (key,)).fetchone()
            if row is None:
                return None
            if abs(time.time() - row[1]) >= self._touch_seconds:
                with contextlib.suppress(sqlite3.OperationalError):  # another process writes: it is found all the same
                    now = self._now(connection)
                    connection.execute("UPDATE pictures SET used_at = ? WHERE key = ?", (now, key))
            return (row[0],)
        except (sqlite3.Error, OSError) as error:
            self._give_up(error)
            return None

    def _write(self, connection: sqlite3.Connection, key: str, data: bytes, charge: int) -> None:
        old = connection.execute("SELECT charge FROM pictures WHERE key = ?", (key,)).fetchone()
        if old is not None:
            connection.execute("DELETE FROM pictures WHERE key = ?", (key,))
            connection.execute("UPDATE total SET charge = charge - ?", old)
        self._make_room(connection, charge)
        connection.execute("INSERT INTO pictures VALUES (?, ?, ?, ?)", (key, self._now(connection), charge, data))
        connection.execute("UPDATE total SET charge = charge + ?", (charge,))

    def _make_room(self, connection: sqlite3.Connection, charge: int) -> None:
        total = connection.execute("SELECT charge FROM total").fetchone()[0]
        if total + charge <= self.limit_bytes:
            return
        gone: list[tuple[str]] = []
        for key, old in connection.execute("SELECT key, charge FROM pictures ORDER BY used_at, key"):
            if total + charge <= self.limit_bytes:
                break
            gone.append((key,))
            total -= old
        connection.executemany("DELETE FROM pictures WHERE key = ?", gone)
        connection.execute("UPDATE total SET charge = ?", (total,))

    def _now(self, connection: sqlite3.Connection) -> float:
        """Return a time after that of every row: clocks are coarse, and may go back."""
        last = connection.execute("SELECT max(used_at) FROM pictures").fetchone()[0] or 0.0
        now = time.time()
        return now if last < now else last + 1e-6

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        connection = self._open()
        connection.execute("BEGIN IMMEDIATE")  # one writer at a time, over all processes
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection = connection
            connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut takes is made anew
            connection.execute("PRAGMA journal_size_limit = 16000000")
            connection.executescript(_MAKE)
        return self._connection

    def _give_up(self, error: Exception) -> None:
        """Close the file; remove it where it is damaged and not only busy, so that the next call starts with an empty one."""
        self._close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
