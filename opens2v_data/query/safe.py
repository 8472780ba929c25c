"""A stranger's SQL: one statement that reads the catalog's tables and nothing else, for so long, for so many rows.

What holds it, in this order: a connection in memory whose settings allow no extension, no file but the tables and no change of
settings; a check of what DuckDB parsed (`opens2v_data.query.vetting`); a cut after so many rows; an interrupt after so many
seconds.

What does not: DuckDB heeds its memory limit and interrupts at some places only. `SELECT levenshtein(repeat('a', 300000), …)` runs
for minutes, `lpad('x', 2000000000, 'y')` takes 2 GB. For whoever is not the owner of this machine use
`opens2v_data.query.sandbox`, which can be killed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakSet

import duckdb
import pyarrow as pa

from opens2v_data.catalog.ranges import PROTOCOL
from opens2v_data.errors import CatalogDamagedError, QueryError
from opens2v_data.query.bound import exact_path
from opens2v_data.query.conditions import Query
from opens2v_data.query.connecting import MAX_THREADS
from opens2v_data.query.hints import explain
from opens2v_data.query.vetting import Rules, check_text, read_rules, vet
from opens2v_data.query.views import JOINED, joined_in, names_categories, wide_clips
from opens2v_data.waiting import uncut

if TYPE_CHECKING:
    from opens2v_data.catalog.catalog import Catalog

MEMORY_LIMIT = "1GB"
MAX_ROWS = 10_000
SECONDS = 10.0
MAX_ANSWER_BYTES = 64 << 20
"""As Arrow holds it: ten thousand rows of clips with captions and tags have 15 MB."""

EXAMPLE = "SELECT part, count(*), avg(aesthetic) FROM clips GROUP BY part"

_BATCH_ROWS = 1_024
_INTERRUPT_SECONDS = 0.05
"""Between interrupts: one that comes while DuckDB does not look is lost."""

_asked: WeakSet[SafeSql] = WeakSet()
_inherited: list[object] = []


@dataclass(frozen=True, kw_only=True)
class SafeAnswer:
    """What a stranger's statement came to.

    Attributes:
        table: its rows, in its order.
        is_cut: whether there were more rows.
        seconds: how long it took.
    """

    table: pa.Table
    is_cut: bool
    seconds: float

    def __repr__(self) -> str:
        rows = f"{self.table.num_rows} rows{' of more' if self.is_cut else ''}"
        return f"SafeAnswer({rows}, {self.table.num_columns} columns, {self.seconds:.3f} s)"


class SafeSql:
    """Answer strangers' SQL over a catalog in a folder. Threads may share one.

    Args:
        catalog: what to ask; its tables must lie on this machine.
        threads: for DuckDB; by default all cores, at most `MAX_THREADS`.
        memory_limit: for DuckDB, as it spells it; all questions under way share it.
        category: definition of categories, see `Query`. They are worked out when a statement first names them.

    Attributes:
        catalog: as given.
        threads: that DuckDB has.

    Raises:
        QueryError: a table lies on a server; the message has the command that copies it.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        threads: int | None = None,
        memory_limit: str = MEMORY_LIMIT,
        category: str | None = None,
    ) -> None:
        self.catalog = catalog
        self._query = Query(catalog, category=category)
        self.threads = threads or min(MAX_THREADS, os.cpu_count() or 1)
        self._memory_limit = memory_limit
        if any(path.startswith(f"{PROTOCOL}://") for path in self._query.table_paths()):
            raise needs_local_tables(catalog.origin_uri)
        self._lock = threading.Lock()
        self._opened: tuple[duckdb.DuckDBPyConnection, Rules] | None = None
        _asked.add(self)

    def __repr__(self) -> str:
        return f"SafeSql({self.catalog!r}, threads={self.threads}, memory_limit={self._memory_limit!r})"

    def ask(
        self, sql: str, *, max_rows: int = MAX_ROWS, seconds: float = SECONDS, max_bytes: int = MAX_ANSWER_BYTES
    ) -> SafeAnswer:
        """Answer one statement.

        Args:
            sql: one SELECT (also FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW TABLES) over the views of `sql/views.sql`.
            max_rows: rows to give at most.
            seconds: after so many DuckDB is told to stop.
            max_bytes: of the answer.

        Raises:
            QueryError: not one SELECT, one that does more than read, names what is not there, takes too long, needs too much
                memory, or gives too much.
            CatalogDamagedError: a table cannot be read.
            ValueError: a limit is not above 0, or seconds has no end.
        """
        check_limits(max_rows=max_rows, seconds=seconds, max_bytes=max_bytes)
        check_text(sql)
        if names_categories(sql):
            self._have_categories()
        started = time.monotonic()
        cursor, rules = self._cursor()
        text = ""
        try:
            with _stopping(cursor, seconds) as was_stopped:
                try:
                    text = vet(cursor, sql, rules=rules, limit=max_rows + 1)
                    if joined := joined_in(sql):
                        cursor.execute(wide_clips(joined))
                    table = _read(cursor.sql(text), max_rows=max_rows, max_bytes=max_bytes)
                except RuntimeError as error:
                    if str(error) != "Query interrupted":  # what DuckDB makes of a KeyboardInterrupt
                        raise
                    raise KeyboardInterrupt from None
                except (duckdb.Error, pa.ArrowException, OSError, MemoryError) as error:
                    if was_stopped.is_set():
                        raise QueryError(
                            f"expected an answer within {seconds:g} s, found none; ask for fewer rows or tables, filter "
                            "before joining, or allow more seconds"
                        ) from error
                    raise self._fault(_placed(cursor, text, error), sql) from error
        finally:
            cursor.close()
        is_cut = table.num_rows > max_rows
        return SafeAnswer(table=table.slice(0, max_rows), is_cut=is_cut, seconds=time.monotonic() - started)

    def close(self) -> None:
        """Close the connection; a later question opens another."""
        with self._lock:
            if self._opened is not None:
                self._opened[0].close()
                self._opened = None

    def _have_categories(self) -> None:
        """Work out the categories of clips, if nobody has, and open a connection that has views of them."""
        if not self._query.find_categories():
            self._query.build_categories()
        if self._opened is not None and "clip_categories" not in self._opened[1].tables:
            self.close()

    def _after_fork(self) -> None:
        # See `Query._after_fork`.
        _inherited.append(self._opened)
        self._lock, self._opened = threading.Lock(), None

    def _cursor(self) -> tuple[duckdb.DuckDBPyConnection, Rules]:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            connection, rules = self._opened
            return connection.cursor(), rules

    def _open(self) -> tuple[duckdb.DuckDBPyConnection, Rules]:
        # The order matters: after each step the next could no longer be taken.
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": self.threads,
                "memory_limit": self._memory_limit,
                "temp_directory": "",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "allow_unsigned_extensions": False,
                "allow_persistent_secrets": False,
                "python_enable_replacements": False,
            },
        )
        try:
            self._make_views(connection)
            rules = read_rules(connection, tables=_view_names(connection))
            # Files, not folders: `allowed_directories` would let COPY write there. Each also as views spell it.
            paths = [spelled for path in self._query.table_paths() for spelled in (path, exact_path(path))]
            quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in dict.fromkeys(paths))
            connection.execute(f"SET allowed_paths = [{quoted}]")
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
        except BaseException:
            connection.close()
            raise
        return connection, rules

    def _make_views(self, connection: duckdb.DuckDBPyConnection) -> None:
        try:
            for statement in self._query.view_statements():
                connection.execute(statement)
        except duckdb.Error as error:
            raise CatalogDamagedError(
                f"a table of {self.catalog.uri} cannot be read: {_first_line(error)}; run: opens2v verify {self.catalog.uri}"
            ) from error

    def _fault(self, error: Exception, sql: str) -> Exception:
        """Return what to raise for an error that DuckDB, or Arrow in its place, raised."""
        if isinstance(error, (duckdb.FatalException, duckdb.InternalException)):
            # The database answers nothing from now on.
            self.close()
            return QueryError(
                f"DuckDB {duckdb.__version__} failed at this statement: {_first_line(error)}; write it differently"
            )
        if isinstance(error, (duckdb.OutOfMemoryException, MemoryError)) or "Out of Memory" in str(error):
            return QueryError(
                f"expected a statement that needs at most {self._memory_limit} of memory, found one that needs more "
                f"({_first_line(error)}); filter before joining or sorting, or name fewer columns"
            )
        if "Too many open files" in str(error):
            return QueryError(
                f"expected fewer tables at once: {_first_line(error)}; join fewer tables in one statement"
            )
        if isinstance(error, duckdb.IOException):
            return CatalogDamagedError(f"a table of {self.catalog.uri} cannot be read: {_first_line(error)}")
        return QueryError(explain(error, sql, names=self._names(), example=EXAMPLE))

    def _names(self) -> list[str]:
        """Return what a statement can name, for hints."""
        cursor, rules = self._cursor()
        try:
            found = cursor.execute("SELECT DISTINCT column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
        except duckdb.Error:
            found = []  # a damaged table; the error that asks for names says what matters
        finally:
            cursor.close()
        joined = [name for one in JOINED for name in one.columns]
        return [*joined, *sorted(name for (name,) in found), *self._query.table_names(), *sorted(rules.tables)]


def needs_local_tables(uri: str) -> QueryError:
    """Return what to raise for a catalog on a server."""
    return QueryError(
        f"expected a catalog whose tables lie on this machine, found {uri}: safe SQL opens no connection to a server; copy "
        f"the tables first: opens2v copy {uri} ./opens2v-5m"
    )


def check_limits(*, max_rows: int, seconds: float, max_bytes: int = 1) -> None:
    """Check what a caller allows a question.

    Raises:
        ValueError: a limit is not above 0, or seconds has no end.
    """
    if max_rows < 1 or not 0 < seconds <= threading.TIMEOUT_MAX or max_bytes < 1:
        raise ValueError(f"limits must be above 0, got max_rows={max_rows}, seconds={seconds}, max_bytes={max_bytes}")


@contextmanager
def _stopping(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[threading.Event]:
    """Interrupt what a cursor runs after some seconds, and again until it ends; give what tells whether that was done."""
    was_stopped, is_over = threading.Event(), threading.Event()
    lock = threading.Lock()

    def stop() -> None:
        pause = seconds
        while not is_over.wait(pause):
            pause = _INTERRUPT_SECONDS
            was_stopped.set()
            with lock:
                if not is_over.is_set():
                    cursor.interrupt()

    thread = threading.Thread(target=stop, name="opens2v-safe-sql", daemon=True)
    try:
        with uncut():
            thread.start()
        yield was_stopped
    finally:
        with lock:
            is_over.set()
        if thread.ident is not None:
            thread.join()  # it holds the cursor


def _placed(cursor: duckdb.DuckDBPyConnection, text: str, error: Exception) -> Exception:
    """Return an error with the line it is about: a relation's binder leaves that out, EXPLAIN, which runs nothing, does not."""
    if text and isinstance(error, (duckdb.BinderException, duckdb.CatalogException)) and "LINE " not in str(error):
        try:
            cursor.execute(f"EXPLAIN {text}")
        except duckdb.Error as placed:
            return placed
    return error


def _read(relation: duckdb.DuckDBPyRelation, *, max_rows: int, max_bytes: int) -> pa.Table:
    """Return an answer's rows, at most one more than asked for."""
    reader = relation.to_arrow_reader(min(max_rows + 1, _BATCH_ROWS))
    batches: list[pa.RecordBatch] = []
    num_rows = num_bytes = 0
    for batch in reader:
        batches.append(batch)
        num_rows += batch.num_rows
        num_bytes += batch.nbytes
        if num_bytes > max_bytes:
            raise QueryError(
                f"expected an answer of at most {max_bytes:,} bytes, found more after {num_rows:,} rows; name fewer columns, "
                "or shorten long texts and lists"
            )
        if num_rows > max_rows:
            break
    return pa.Table.from_batches(batches, schema=reader.schema)


def _view_names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    found = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    return [name for (name,) in found]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _after_fork() -> None:
    for safe in list(_asked):
        safe._after_fork()


os.register_at_fork(after_in_child=_after_fork)
