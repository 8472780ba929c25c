"""DuckDB over a catalog: one connection for threads and forks, views made when they are named, statements with bound values."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import duckdb

from opens2v_data.catalog.ranges import PROTOCOL, TableFileSystem
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.errors import QueryError
from opens2v_data.query import warm
from opens2v_data.query.bound import check_statement, exact_path
from opens2v_data.query.connecting import MEMORY_LIMIT, connect
from opens2v_data.query.derived import Definition, category_tables, known_tables
from opens2v_data.query.faults import raise_fault
from opens2v_data.query.hints import explain
from opens2v_data.query.keytexts import KeyTexts, key_texts
from opens2v_data.query.reading import MAY_WRITE, check_reading
from opens2v_data.query.views import (
    DERIVED,
    JOINED,
    TABLE,
    joined_in,
    names_categories,
    views,
    views_for,
    wide_clips,
    without_comments,
)
from opens2v_data.sqlfiles import sql_text

if TYPE_CHECKING:
    from re import Match

    import numpy as np
    import pyarrow as pa

    from opens2v_data.catalog.catalog import Catalog

CLOSE_SECONDS = 10.0
"""For questions under way in other threads."""

EXAMPLE = "SELECT part, count(*) FROM clips WHERE aesthetic > 5 AND has_subject(clip_id, 'woman') GROUP BY part"

_engines: WeakSet[Engine] = WeakSet()
_inherited: list[object] = []


class Engine:
    """Ask a catalog. Threads may share one; a process that forks gets a connection of its own.

    Args:
        catalog: what to ask.
        threads: for DuckDB; by default all cores, at most `connecting.MAX_THREADS`; where tables lie on a server,
            `REMOTE_THREADS`.
        memory_limit: for DuckDB, as it spells it.
        category: file with a definition of categories, see `derived`; None: `sql/category.sql`.
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
        self.category = category
        self._derived: dict[str, Path] = {}
        self._building = threading.RLock()
        self._threads = threads
        self._memory_limit = memory_limit
        self._lock = threading.Lock()
        _engines.add(self)
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._tables: TableFileSystem | None = None
        self._made: set[str] = set()
        self._clip_columns: list[tuple[str, str]] = []
        self._is_plain = False
        self._in_memory: warm.InMemory | None = None
        self.key_texts: KeyTexts | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.catalog!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _engine, (type(self), self.catalog, self._threads, self._memory_limit, self.category)

    def fetch(self, name: str, ids: Sequence[int] | np.ndarray) -> pa.Table:
        """Return what `sql/rows/<name>.sql` gives for some ids, in the order that its header says.

        Raises:
            CatalogDamagedError: a table cannot be read.
            ArchiveError: a server does not give it.
        """
        wanted = [int(value) for value in ids]
        parameters: dict[str, Any] = {"ids": wanted}
        text = sql_text(f"rows/{name}")
        if "$lo" in text:
            parameters |= {"lo": min(wanted, default=0), "hi": max(wanted, default=-1) + 1}
        try:
            return self._cursor(without_comments(text)).sql(text, params=parameters).to_arrow_table()
        except duckdb.Error as error:
            self._raise_fault(error)
            raise

    def clip_columns(self) -> list[tuple[str, str]]:
        """Return the names and SQL types of the columns of `clips`, those that other tables hold too."""
        # Kept: a catalog does not change, and to ask opens a footer, 60 ms at 5 M clips.
        if not self._clip_columns:
            # Columns of other tables are not asked for: that would open them, or work them out.
            joined = [(name, type_) for one in JOINED for name, (_, type_) in one.columns.items()]
            self._clip_columns = [*self._described("clips"), *joined]
        return list(self._clip_columns)

    def _described(self, source: str) -> list[tuple[str, str]]:
        sql = f"DESCRIBE SELECT * FROM {source}"
        try:
            return [(row[0], row[1]) for row in self._cursor(sql).execute(sql).fetchall()]
        except duckdb.Error as error:
            self._raise_fault(error)
            raise

    def ask(
        self,
        sql: str,
        values: Sequence[Any] | Mapping[str, Any] = (),
        *,
        tables: Mapping[str, pa.Table] | None = None,
        is_of_pieces: bool = False,
    ) -> pa.Table:
        """Answer a trusted statement.

        Args:
            sql: one SELECT over the views of `sql/views.sql`; values stand in it as `?`, or as `$name` with a mapping.
            values: bound to them, never pasted.
            tables: further tables by the name they have in `sql`.
            is_of_pieces: see `joined_in`.

        Raises:
            QueryError: it is no SQL, names what is not there, or a value does not fit; the message shows the place.
            CatalogDamagedError: a table cannot be read.
            ArchiveError: a server does not give it.
        """
        with self.asked(sql, values, tables=tables, is_of_pieces=is_of_pieces) as answer:
            return answer.to_arrow_table()

    @contextmanager
    def asked(
        self,
        sql: str,
        values: Sequence[Any] | Mapping[str, Any] = (),
        *,
        tables: Mapping[str, pa.Table] | None = None,
        is_of_pieces: bool = False,
    ) -> Iterator[duckdb.DuckDBPyRelation]:
        """Ask as `ask` does, for a relation that is read while the context lasts; errors of reading it are told alike."""
        check_statement(sql)
        try:
            check_reading(sql)
            cursor = self._cursor(sql, tables, is_of_pieces=is_of_pieces)
            given = dict(values) if isinstance(values, Mapping) else list(values)
            if MAY_WRITE.search(sql):
                # `WITH x AS (COPY … TO file) FROM x` counts as a SELECT, and is refused inside of one; this runs nothing.
                cursor.sql(f"SELECT * FROM (\n{sql}\n) LIMIT 0", params=given or None)
            yield cursor.sql(sql, params=given) if given else cursor.sql(sql)
        except RuntimeError as error:
            # What DuckDB makes of a KeyboardInterrupt that comes while it works.
            if str(error) != "Query interrupted":
                raise
            raise KeyboardInterrupt from None
        except (duckdb.FatalException, duckdb.InternalException):
            raise
        except duckdb.Error as error:
            self._raise_fault(error)
            raise QueryError(
                explain(self._with_place(error, sql, values, tables), sql, names=self.names(), example=EXAMPLE)
            ) from error

    def _with_place(
        self,
        error: duckdb.Error,
        sql: str,
        values: Sequence[Any] | Mapping[str, Any],
        tables: Mapping[str, pa.Table] | None,
    ) -> duckdb.Error:
        """Return the error as `execute` has it: with the place, which relations leave out. Nothing runs: it fails before."""
        if not isinstance(error, duckdb.BinderException | duckdb.CatalogException):
            return error
        try:
            given = dict(values) if isinstance(values, Mapping) else list(values)
            self._cursor(sql, tables, is_of_pieces="\n)" in sql).execute(f"EXPLAIN\n{sql}", given or None)
        except duckdb.Error as placed:
            return placed
        return error

    def names(self) -> list[str]:
        """Return what a statement can name: columns of clips first, then of other tables, then tables and macros."""
        found = [name for name, _ in self.clip_columns()]
        found += [column.name for table in TABLES.values() for column in table.columns]
        return list(dict.fromkeys([*found, "class_name", *views()]))

    def table_names(self) -> list[str]:
        """Return the views and macros of `sql/views.sql`, as a statement can name them."""
        return list(views())

    def describe(self, name: str) -> tuple[str, list[tuple[str, str]]]:
        """Return "view" or "macro" for a name of `table_names`, and its columns with types; of a macro, its parameters."""
        statement, _ = views()[name]
        if "MACRO" in statement.split("(")[0].upper():
            inside = statement[statement.index("(") + 1 : statement.index(") AS")]
            return "macro", [(parameter.strip(), "") for parameter in inside.split(",")]
        if name == "clips":
            return "view", self.clip_columns()
        return "view", self._described(name)

    def view_statements(self) -> list[str]:
        """Return the statements that make the views and macros, in order, with the places of this catalog's tables.

        Those of categories are among them once these were worked out.
        """
        self.find_categories()
        made: list[str] = []
        left_out: set[str] = set()
        for name, (statement, needs) in views().items():
            if not self._derived and (name in DERIVED or needs & left_out):
                left_out.add(name)
            else:
                made.append(TABLE.sub(self._quoted_place, statement))
        return made

    def table_paths(self) -> list[str]:
        """Return where the tables that views read lie: files, or addresses below `catalog://`."""
        self.find_categories()
        known = [
            str(self._place(name) or f"{PROTOCOL}://tables/{file.path}")
            for name, file in self.catalog.manifest.tables.items()
        ]
        return [*known, *map(str, self._derived.values())]

    def close(self) -> None:
        """Close the connection, when questions of other threads have ended; a later question opens another."""
        give_up_at = time.monotonic() + CLOSE_SECONDS
        while self._connection is not None:
            with self._lock:
                try:
                    if self._connection is not None:
                        self._connection.close()
                except duckdb.ResourceInUseException:  # of one of its cursors, all of which it closes
                    if time.monotonic() > give_up_at:
                        raise
                else:
                    self._connection, self._made, self._in_memory = None, set(), None
            time.sleep(0.01)

    def _raise_fault(self, error: duckdb.Error) -> None:
        """Raise what the error tells of tables and memory; see `faults`."""
        raise_fault(error, tables=self._tables, uri=self.catalog.uri, memory_limit=self._memory_limit)

    def _after_fork(self) -> None:
        # The parent may have held the lock, and its connection's threads are not here: to use it hangs, to destroy it crashes.
        _inherited.append((self._connection, self._tables))
        self._lock, self._connection, self._made = threading.Lock(), None, set()
        self._building, self._in_memory = threading.RLock(), None

    def _cursor(
        self, sql: str, tables: Mapping[str, pa.Table] | None = None, *, is_of_pieces: bool = False
    ) -> duckdb.DuckDBPyConnection:
        """Return a cursor for one call, with the views that some SQL names, and tables of its own."""
        # One cursor per call: a connection shared by threads raises, and a forked one hangs.
        joined = [] if self._is_plain else joined_in(sql, is_of_pieces=is_of_pieces)
        kept = self.in_memory_for(sql)
        if kept is not None and kept.has_derived:
            joined = [one for one in joined if not one.columns.keys() <= set(warm.DERIVED)]
        if not self._derived and names_categories(sql, is_of_pieces=is_of_pieces):
            self.build_categories()
        with self._lock:
            if self._connection is None:
                is_remote = any(self._place(table) is None for table in self.catalog.manifest.tables)
                self._tables = TableFileSystem(self.catalog.reader) if is_remote else None
                self._connection = connect(self._tables, threads=self._threads, memory_limit=self._memory_limit)
            self._make_views(self._connection, " ".join([sql, *(one.source for one in joined)]))
            cursor = self._connection.cursor()
        # In the cursor's own schema, where they come before those of all.
        if kept is not None:
            cursor.execute(kept.view_statement(views()["clips"][0], "clips_warm" if joined else "clips"))
        if joined:
            cursor.execute(wide_clips(joined, "temp.clips_warm" if kept is not None else "memory.main.clips"))
        for name, table in (tables or {}).items():
            cursor.register(name, table)
        return cursor

    def warm(self) -> None:
        """Load the numbers of all clips into memory: 0.2 GB at 5 M, and 0.6 for the 2-8 s that it takes.

        Their keys are mapped, once they were put into a file of the cache.

        Counts, histograms, facets, orders and pages of them then read no table. For whoever asks often, such as a page. Processes
        are forked off start cold. Category, subject_area and pair_similarity are among them where they were worked out before
        (`build_categories`).

        Raises:
            CatalogDamagedError: the table cannot be read.
            ArchiveError: a server does not give it.
        """
        if self.is_warm:
            return
        texts = {name: self._values(f"SELECT DISTINCT {name} FROM clips", name) for name in warm.TEXTS}
        categories = None
        if self.find_categories():
            found = self._values("SELECT DISTINCT category FROM clip_categories", "category")
            categories = found if all(isinstance(one, str) for one in found) else None
            self.ask("SELECT count(*) FROM clip_numbers")  # makes the view
        with self._lock:
            if self.is_warm or self._connection is None:
                return
            num_clips = self.catalog.num_rows("clips")
            self._in_memory = warm.load(self._connection, num_clips, texts, categories)
        self.key_texts = key_texts(self.catalog, self.ask)

    def keep_bins(self, ends: Mapping[str, tuple[float, float]], *, bins: int) -> None:
        """Load into memory in which bin each clip's numbers lie, for histograms that are asked with these ends again and again.

        A byte a clip and column, 0.2 s of CPU each at 5 M clips; six histograms of a filter then take 90 ms of CPU for 450.
        Columns that `warm` did not load are passed over.

        Args:
            ends: (lo, hi) by column.
            bins: of each.
        """
        with self._building:
            with self._lock:
                if self._connection is None or self._in_memory is None:
                    return
                cursor, kept = self._connection.cursor(), self._in_memory
            kept.keep_bins(cursor, ends, bins=bins, clips_view=views()["clips"][0])

    @property
    def is_warm(self) -> bool:
        """Whether the numbers of clips are in memory."""
        return self._in_memory is not None

    def in_memory_for(self, sql: str) -> warm.InMemory | None:
        """Return what is in memory, where some SQL that names clips needs nothing else of them."""
        return self._in_memory if warm.is_enough(sql) else None

    def _values(self, sql: str, column: str) -> list[Any]:
        """Return the values of a column that are not null, in order."""
        return [one for one in self.ask(f"{sql} ORDER BY {column}").column(column).to_pylist() if one is not None]

    def find_categories(self) -> bool:
        """Return whether the categories of clips were worked out before, by this definition."""
        if not self._derived and not self._is_plain:
            self._derived = known_tables(self.catalog, Definition.load(self.category)) or {}
        return bool(self._derived)

    def build_categories(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Work out the categories of clips, unless that was done before; the first statement that names them does it too.

        Args:
            progress: called with clips done and clips in all.

        Raises:
            QueryError: the definition does not give what it must.
        """
        with self._building:
            if not self._derived:
                definition = Definition.load(self.category)
                # By a connection of its own, without views of what is being made.
                with closing(Engine(self.catalog, threads=self._threads, memory_limit=self._memory_limit)) as plain:
                    plain._derived = dict.fromkeys(DERIVED, Path())
                    plain._made = set(DERIVED)
                    plain._is_plain = True
                    self._derived = category_tables(self.catalog, definition, plain.ask, progress=progress)

    def _place(self, table: str) -> Path | None:
        return self.catalog.local_path(self.catalog.manifest.tables[table].path)

    def _make_views(self, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
        for name, statement in views_for(sql):
            if name not in self._made:
                connection.execute(TABLE.sub(self._quoted_place, statement))
                self._made.add(name)

    def _quoted_place(self, match: Match[str]) -> str:
        if match[1] in DERIVED:
            return exact_path(str(self._derived[match[1]])).replace("'", "''")
        file = self.catalog.manifest.tables[match[1]]
        place = self.catalog.local_path(file.path)
        known = f"{PROTOCOL}://tables/{file.path}" if place is None else exact_path(str(place))
        return known.replace("'", "''")


def _engine(
    kind: type[Engine], catalog: Catalog, threads: int | None, memory_limit: str, category: str | None
) -> Engine:
    return kind(catalog, threads=threads, memory_limit=memory_limit, category=category)


def _after_fork() -> None:
    # Cursors that were garbage in the parent are not to be collected here: that destroys its connection, and crashes.
    gc.freeze()
    for engine in list(_engines):
        engine._after_fork()


os.register_at_fork(after_in_child=_after_fork)
