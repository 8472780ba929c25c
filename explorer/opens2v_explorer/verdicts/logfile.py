"""The file that verdicts are logged in: one SQLite database, to which events are only ever added.

    events     one row an event, in the order of arrival (`seq`); triggers refuse UPDATE and DELETE
    current    what stands: of each reviewer, kind, target and round the last event by time, then by arrival, that no other
               took back. Events that take one back are never current themselves; they reach only their reviewer's own.
    facts      log_id: a UUID of this file, by which a browser tells whose unsaved verdicts it keeps

Written ahead (WAL), so that pages read while others write.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from opens2v_data.errors import VerdictLogError

SCHEMA_VERSION = 1
APPLICATION_ID = 0x6F325376
"""'o2Sv' in the header of the file, so that another SQLite file is never taken for a log."""

BUSY_SECONDS = 10.0
"""How long to wait for another process's transaction, which takes milliseconds."""

COLUMNS = (
    "event_id", "at", "who", "kind", "target", "verdict", "reasons", "note", "undoes", "filter_hash", "catalog_digest", "round",
)  # fmt: skip
"""Those of an event, by its fields' names."""

# A window function would say `current` in fewer words, and sort all events to tell of fifty: 0.53 s against 1 ms at 100 k events.
_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    at TEXT NOT NULL,
    received_at TEXT NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    verdict TEXT NOT NULL,
    reasons TEXT NOT NULL,
    note TEXT NOT NULL,
    undoes TEXT,
    filter_hash TEXT NOT NULL,
    catalog_digest TEXT NOT NULL,
    round INTEGER NOT NULL
) STRICT;
CREATE INDEX events_by_place ON events (kind, who, round, target, at);
CREATE INDEX events_by_undone ON events (undoes) WHERE undoes IS NOT NULL;
CREATE TRIGGER events_stay BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'verdicts are only ever added'); END;
CREATE TRIGGER events_last BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'verdicts are only ever added'); END;
CREATE VIEW current AS
SELECT * FROM events AS event
WHERE verdict <> 'undo'
AND NOT EXISTS (SELECT 1 FROM events AS word WHERE word.undoes = event.event_id AND word.who = event.who)
AND NOT EXISTS (
    SELECT 1 FROM events AS later
    WHERE later.kind = event.kind AND later.who = event.who AND later.round = event.round AND later.target = event.target
    AND later.verdict <> 'undo' AND (later.at, later.seq) > (event.at, event.seq)
    AND NOT EXISTS (SELECT 1 FROM events AS word WHERE word.undoes = later.event_id AND word.who = later.who)
);
"""


@dataclass(frozen=True, kw_only=True)
class LogFile:
    """An open log.

    Attributes:
        connection: that threads may share, one at a time; transactions are begun by hand.
        log_id: its UUID.
        why_read_only: None where it can be written.
    """

    connection: sqlite3.Connection
    log_id: str
    why_read_only: str | None


def open_log(path: Path, *, must_exist: bool, read_only: bool) -> LogFile:
    """Open a log, or begin one; for reading where it cannot be written.

    Raises:
        VerdictLogError: see `VerdictStore`.
    """
    if (must_exist or read_only) and not path.is_file():
        raise VerdictLogError(
            f"expected a log of verdicts at {path}, found no file; `opens2v explore` begins one when a verdict is given"
        )
    try:
        if read_only:
            return _for_reading(path, "it was opened for reading")
        try:
            return _connected(path, "rwc", None)
        except sqlite3.OperationalError as error:
            if not (_is_shut(error) and path.is_file()):
                raise
        return _for_reading(
            path, "the file or its folder is not writable; change its permissions, or copy it elsewhere"
        )
    except sqlite3.Error as error:
        raise log_error("open", path, error) from error


def log_error(what: str, path: Path, error: sqlite3.Error) -> VerdictLogError:
    """Return the error to raise where SQLite could not do something."""
    if "not a database" in str(error):
        return VerdictLogError(
            f"expected a log of verdicts at {path}, found no SQLite file; it is left as it is. Name another file"
        )
    return VerdictLogError(
        f"cannot {what} the log of verdicts at {path}: {error}; see that its folder exists and is writable, that the disk has "
        "room, and that no other program holds the file"
    )


def _for_reading(path: Path, why: str) -> LogFile:
    try:
        return _connected(path, "ro", why)
    except sqlite3.OperationalError as error:
        if not _is_shut(error):
            raise
    if path.with_name(f"{path.name}-wal").exists():
        raise VerdictLogError(
            f"cannot read {path}: {path.name}-wal beside it holds verdicts that are not in it yet, and the folder is not "
            "writable; copy both elsewhere and open them there"
        )
    # Reading beside a writer needs a file of shared memory in that folder; nobody writes here.
    return _connected(path, "ro&immutable=1", why)


def _connected(path: Path, mode: str, why_read_only: str | None) -> LogFile:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # In WAL, NORMAL could lose the last transactions when the power goes.
        connection.execute("PRAGMA synchronous = FULL")
        is_new = _check(connection, path)
        if why_read_only is None:
            _prepare(connection, is_new=is_new)
        elif is_new:
            raise VerdictLogError(f"expected a log of verdicts at {path}, found an empty file")
        log_id = connection.execute("SELECT value FROM facts WHERE name = 'log_id'").fetchone()[0]
    except BaseException:
        connection.close()
        raise
    return LogFile(connection=connection, log_id=log_id, why_read_only=why_read_only)


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Return whether the file is empty; nothing of it has been touched yet."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
        return True
    if application != APPLICATION_ID:
        raise VerdictLogError(
            f"expected a log of verdicts at {path}, found another SQLite file; it is left as it is. Name another file"
        )
    if version != SCHEMA_VERSION:
        raise VerdictLogError(
            f"{path} is a log of verdicts of version {version}, this opens2v-data reads {SCHEMA_VERSION}; "
            "install the one that wrote it"
        )
    return False


def _prepare(connection: sqlite3.Connection, *, is_new: bool) -> None:
    _to_wal(connection)
    connection.execute("BEGIN IMMEDIATE")  # raises where the file cannot be written
    try:
        # Another process may have been first.
        if is_new and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
            for statement in _statements(_SCHEMA):
                connection.execute(statement)
            connection.execute("INSERT INTO facts VALUES ('log_id', ?)", (str(uuid.uuid4()),))
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _to_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait, as it does elsewhere, when another process is changing the mode at the same time.
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _statements(script: str) -> Iterator[str]:
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""


def _is_shut(error: sqlite3.OperationalError) -> bool:
    return "readonly" in str(error) or "unable to open" in str(error)
