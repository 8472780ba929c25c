"""DuckDB over a catalog: one connection, views made when they are named, and the rows that a condition names.

Beside the columns of its table, `clips` has some that lie elsewhere (`JOINED`): a statement that names one gets a `clips` of its
own that joins it, so that others do not pay.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args
from weakref import WeakSet

import duckdb
import numpy as np

from opens2v_data.catalog.ranges import PROTOCOL, TableFileSystem
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.errors import CatalogDamagedError, QueryError
from opens2v_data.query import warm
from opens2v_data.query.bound import check_statement, exact_path
from opens2v_data.query.derived import Definition, category_tables, known_tables
from opens2v_data.query.hints import explain
from opens2v_data.sqlfiles import sql_names, sql_text

if TYPE_CHECKING:
    import pyarrow as pa

    from opens2v_data.catalog.catalog import Catalog

Config = Literal["regular", "nexus-cross", "nexus-gpt"]
CONFIGS: tuple[Config, ...] = get_args(Config)

MEMORY_LIMIT = "256MB"
"""For DuckDB itself: ids sort in far less, and a stream must stay below 500 MB in all."""

MAX_THREADS = 4
"""Threads share that memory: on 16 and 32 of them joins of 10 M pairs ran out of it, on 8 they did not."""

REMOTE_THREADS = 8
"""For tables on a server, however few the cores: each waits for a row group. The most that the memory was seen to do for."""

FETCH_ROWS = 8_192

EXAMPLE = "SELECT part, count(*) FROM clips WHERE aesthetic > 5 AND has_subject(clip_id, 'woman') GROUP BY part"

_SIZES = """row_id,
    coalesce(crop_x1 - crop_x0, width, 0)::INTEGER AS width, coalesce(crop_y1 - crop_y0, height, 0)::INTEGER AS height,
    coalesce(face_cut_end - face_cut_start, cut_end - cut_start, num_frames, 0)::INTEGER AS num_frames"""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Columns of `clips` that another table holds.

    Attributes:
        source: the view that holds them, one row per clip at most.
        columns: by name in `clips`: the column of `source`, and its SQL type.
    """

    source: str
    columns: Mapping[str, tuple[str, str]]


JOINED = (
    Joined(
        source="captions",
        columns={"caption": ("caption", "VARCHAR"), "caption_alternatives": ("alternatives", "VARCHAR[]")},
    ),
    Joined(source="locations", columns={"video_size_bytes": ("size_bytes", "BIGINT")}),
    Joined(source="clip_categories", columns={"category": ("category", "VARCHAR"), "kinds": ("kinds", "VARCHAR[]")}),
)
"""Not joined where a statement names the source itself, which it then joins as it likes."""

_queries: WeakSet[Query] = WeakSet()
_inherited: list[object] = []


class Query:
    """Ask a catalog. Threads may share one; a process that forks gets a connection of its own.

    Args:
        catalog: what to ask.
        threads: for DuckDB; by default all cores, at most `MAX_THREADS`, or `REMOTE_THREADS` where tables lie on a server.
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
        _queries.add(self)
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._tables: TableFileSystem | None = None
        self._made: set[str] = set()
        self._columns: dict[Config, list[tuple[str, str]]] = {}
        self._is_plain = False
        self.is_warm = False

    def __repr__(self) -> str:
        return f"Query({self.catalog!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _query, (self.catalog, self._threads, self._memory_limit, self.category)

    def columns(self, config: Config) -> list[tuple[str, str]]:
        """Return the names and SQL types of the columns that a condition on this config can use."""
        # Kept: a catalog does not change, and to ask opens a footer, 60 ms at 5 M clips.
        if config not in self._columns:
            sql = f"DESCRIBE {_source(config, 'true')}"
            rows = self._cursor(sql).execute(sql).fetchall()
            # Not asked for: that would open, or work out, the tables that hold them.
            joined = [(name, type_) for one in JOINED for name, (_, type_) in one.columns.items()]
            self._columns[config] = [*((row[0], row[1]) for row in rows if row[0] != "row_id"), *joined]
        return list(self._columns[config])

    def row_ids(
        self,
        config: Config = "regular",
        where: str | None = None,
        *,
        lo: int | None = None,
        hi: int | None = None,
        limit: int | None = None,
    ) -> Iterator[np.ndarray]:
        """Give the ids of the rows that a condition names, in order.

        Args:
            config: rows are clips ("regular", "nexus-gpt") or pairs ("nexus-cross"); so are the ids.
            where: a SQL condition over `columns(config)`; None: all rows.
            lo, hi: only ids in this half-open range.
            limit: at most so many.

        Yields:
            Ids, `(N,) int64`, ascending, N ≤ 8,192.

        Raises:
            QueryError: the condition is no SQL, or names what is not there.
        """
        bounds = "".join(
            f" AND row_id {sign} {int(value)}" for sign, value in ((">=", lo), ("<", hi)) if value is not None
        )
        sql = f"SELECT row_id FROM {_source(config, where)} WHERE {_condition(where)}{bounds} ORDER BY row_id"
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be 0 or more, got {limit}")
        if _is_every_clip(config, where):
            start, stop = max(0, lo or 0), self.count(config)
            stop = stop if hi is None else min(stop, hi)
            stop = stop if limit is None else min(stop, start + limit)
            for at in range(start, stop, FETCH_ROWS):
                yield np.arange(at, min(at + FETCH_ROWS, stop), dtype=np.int64)
            return
        if limit is not None:
            sql += f" LIMIT {int(limit)}"
        for rows in self._answer(sql, config, where):
            yield np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def sizes(
        self,
        config: Config = "regular",
        where: str | None = None,
        *,
        values: Sequence[Any] = (),
        tables: Mapping[str, pa.Table] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return ids and sizes of the rows that a condition names: what a training order is made of.

        Args:
            config, where: as `row_ids`.
            values, tables: what `where` holds as `?`, and tables that it names, see `ask`.

        Returns:
            `row_id` `(N,) int64`; `width` and `height` `(N,) int32`, pixels after the crop; `num_frames` `(N,) int32` of
            `face_cut`, else of `cut`, else of the file; 0 where unknown. Of the first clip for "nexus-cross". In no order
            that one can rely on; 20 bytes a row.

        Raises:
            QueryError: as `row_ids`.
        """
        # Without a condition, `_source` gives pairs by their ids alone, which have no sizes.
        sql = f"SELECT {_SIZES} FROM {_source(config, where or 'true')} WHERE {_condition(where)}"
        with self._asked(sql, config, where, values, tables) as cursor:
            return {name: np.asarray(column) for name, column in cursor.fetchnumpy().items()}

    def count(self, config: Config = "regular", where: str | None = None) -> int:
        """Return how many rows a condition names.

        Raises:
            QueryError: as `row_ids`.
        """
        if _is_every_clip(config, where):
            return self.catalog.num_rows("clips")
        sql = f"SELECT count(*) FROM {_source(config, where)} WHERE {_condition(where)}"
        return next(self._answer(sql, config, where))[0][0]

    def shards(self, config: Config = "regular", where: str | None = None, *, rows: int) -> list[tuple[int, int]]:
        """Return the id ranges of `rows` ids each that hold at least one row of the condition, in order.

        Raises:
            QueryError: as `row_ids`.
            ValueError: rows below 1.
        """
        if rows < 1:
            raise ValueError(f"rows must be at least 1, got {rows}")
        if _is_every_clip(config, where):
            return [(lo, lo + rows) for lo in range(0, self.count(config), rows)]
        sql = (
            f"SELECT DISTINCT row_id // {int(rows)} FROM {_source(config, where)} WHERE {_condition(where)} ORDER BY 1"
        )
        found = (int(index) for answer in self._answer(sql, config, where) for (index,) in answer)
        return [(index * rows, (index + 1) * rows) for index in found]

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
            return self._cursor(_without_comments(text)).sql(text, params=parameters).to_arrow_table()
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
            _check_reading(sql)
            cursor = self._cursor(sql, tables, is_of_pieces=is_of_pieces)
            given = dict(values) if isinstance(values, Mapping) else list(values)
            if _MAY_WRITE.search(sql):
                # `WITH x AS (COPY … TO file) FROM x` counts as a SELECT, and is refused inside of one; this runs nothing.
                cursor.sql(f"SELECT * FROM (\n{sql}\n) LIMIT 0", params=given or None)
            yield cursor.sql(sql, params=given) if given else cursor.sql(sql)
        except RuntimeError as error:
            # What DuckDB makes of a KeyboardInterrupt that comes while it works.
            if str(error) != "Query interrupted":
                raise
            raise KeyboardInterrupt from None
        except duckdb.IOException as error:
            self._raise_fault(error)
            raise CatalogDamagedError(f"a table of {self.catalog.uri} cannot be read: {_first_lines(error)}") from error
        except (duckdb.OutOfMemoryException, duckdb.FatalException, duckdb.InternalException):
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
        found = [name for name, _ in self.columns("regular")]
        found += [column.name for table in TABLES.values() for column in table.columns]
        return list(dict.fromkeys([*found, "class_name", *_views()]))

    def table_names(self) -> list[str]:
        """Return the views and macros of `sql/views.sql`, as a statement can name them."""
        return list(_views())

    def describe(self, name: str) -> tuple[str, list[tuple[str, str]]]:
        """Return "view" or "macro" for a name of `table_names`, and its columns with types; of a macro, its parameters."""
        statement, _ = _views()[name]
        if "MACRO" in statement.split("(")[0].upper():
            inside = statement[statement.index("(") + 1 : statement.index(") AS")]
            return "macro", [(parameter.strip(), "") for parameter in inside.split(",")]
        if name == "clips":
            return "view", self.columns("regular")
        sql = f"DESCRIBE SELECT * FROM {name}"
        return "view", [(row[0], row[1]) for row in self._cursor(sql).execute(sql).fetchall()]

    def view_statements(self) -> list[str]:
        """Return the statements that make the views and macros, in order, with the places of this catalog's tables.

        Those of categories are among them once these were worked out.
        """
        self.find_categories()
        made: list[str] = []
        left_out: set[str] = set()
        for name, (statement, needs) in _views().items():
            if not self._derived and (name in _DERIVED or needs & left_out):
                left_out.add(name)
            else:
                made.append(_TABLE.sub(self._quoted_place, statement))
        return made

    def table_paths(self) -> list[str]:
        """Return where the tables that views read lie: files, or addresses below `catalog://`."""
        self.find_categories()
        known = [str(self._place(name) or f"{PROTOCOL}://tables/{file.path}") for name, file in self._files().items()]
        return [*known, *map(str, self._derived.values())]

    def _files(self) -> Mapping[str, Any]:
        return self.catalog.manifest.tables

    def close(self) -> None:
        """Close the connection; a later question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._made = set()
            self.is_warm = False

    def _answer(self, sql: str, config: Config, where: str | None) -> Iterator[list[tuple[Any, ...]]]:
        """Give the rows of a question that has `where` in it, some at a time."""
        with self._asked(sql, config, where) as cursor:
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield rows

    @contextmanager
    def _asked(
        self,
        sql: str,
        config: Config,
        where: str | None,
        values: Sequence[Any] = (),
        tables: Mapping[str, pa.Table] | None = None,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Ask a question that has `where` in it; it can fail while its answer is fetched, too."""
        if where is not None:
            check_statement(where)
        try:
            # On its own it must be SQL as well: brackets in it could end those around it, and let it out.
            alone = f"SELECT {where if where and where.strip() else True}"
            if any(len(duckdb.extract_statements(text)) != 1 for text in (alone, sql)):
                raise QueryError(f"where={where!r} is several SQL statements, expected one condition")
            yield self._cursor(sql, tables, is_of_pieces=True).execute(sql, list(values) or None)
        except RuntimeError as error:
            if str(error) != "Query interrupted":  # what DuckDB makes of a KeyboardInterrupt
                raise
            raise KeyboardInterrupt from None
        except duckdb.IOException as error:
            self._raise_fault(error)
            raise CatalogDamagedError(f"a table of {self.catalog.uri} cannot be read: {_first_lines(error)}") from error
        except (duckdb.OutOfMemoryException, duckdb.FatalException, duckdb.InternalException):
            raise  # not the condition's fault
        except duckdb.Error as error:
            self._raise_fault(error)
            names = ", ".join(name for name, _ in self.columns(config))
            raise QueryError(
                f"where={where!r} is no condition that config {config} can answer: {_first_lines(error)}\n"
                f"columns: {names}\nhelpers: has_subject(clip_id, 'woman', min_gme := 0.3), has_tag(subject_tags, 'woman')"
            ) from error

    def _raise_fault(self, error: duckdb.Error) -> None:
        """Raise what a store said, where that is what DuckDB's error tells."""
        fault = self._tables.take_fault(str(error)) if self._tables is not None else None
        if fault is not None:
            raise fault from None

    def _after_fork(self) -> None:
        # The parent may have held the lock, and its connection's threads are not here: to use it hangs, to destroy it crashes.
        _inherited.append((self._connection, self._tables))
        self._lock, self._connection, self._made = threading.Lock(), None, set()
        self._building, self.is_warm = threading.RLock(), False

    def _cursor(
        self, sql: str, tables: Mapping[str, pa.Table] | None = None, *, is_of_pieces: bool = False
    ) -> duckdb.DuckDBPyConnection:
        """Return a cursor for one call, with the views that some SQL names, and tables of its own."""
        # One cursor per call: a connection shared by threads raises, and a forked one hangs.
        joined = [] if self._is_plain else joined_in(sql, is_of_pieces=is_of_pieces)
        is_warm = self.is_warm and warm.is_enough(sql)
        if not self._derived and names_categories(sql, is_of_pieces=is_of_pieces):
            self.build_categories()
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            self._make_views(self._connection, " ".join([sql, *(one.source for one in joined)]))
            cursor = self._connection.cursor()
        # In the cursor's own schema, where they come before those of all.
        if is_warm:
            cursor.execute(warm.view_statement(_views()["clips"][0], "clips_warm" if joined else "clips"))
        if joined:
            cursor.execute(wide_clips(joined, "temp.clips_warm" if is_warm else "memory.main.clips"))
        for name, table in (tables or {}).items():
            cursor.register(name, table)
        return cursor

    def warm(self) -> None:
        """Load the numbers of all clips into memory: 0.6 GB and 1-4 s at 5 M.

        Counts, histograms, facets and orders of them then read no file. For whoever asks often, such as a page. Processes that
        are forked off start cold.

        Raises:
            CatalogDamagedError: the table cannot be read.
            ArchiveError: a server does not give it.
        """
        if self.is_warm:
            return
        parts = self.ask("SELECT DISTINCT part FROM clips ORDER BY part").column("part").to_pylist()
        with self._lock:
            if self.is_warm or self._connection is None:
                return
            num_mb = self.catalog.num_rows("clips") * warm.BYTES_PER_CLIP // 1_000_000 + warm.MEMORY_MB
            self._connection.execute(f"SET memory_limit = '{num_mb}MB'")
            self._connection.execute(warm.load_statement(parts))
            self.is_warm = True

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
                with closing(Query(self.catalog, threads=self._threads, memory_limit=self._memory_limit)) as plain:
                    plain._derived = dict.fromkeys(_DERIVED, Path())
                    plain._made = set(_DERIVED)
                    plain._is_plain = True
                    self._derived = category_tables(self.catalog, definition, plain.ask, progress=progress)

    def _open(self) -> duckdb.DuckDBPyConnection:
        is_remote = any(self._place(table) is None for table in self.catalog.manifest.tables)
        threads = REMOTE_THREADS if is_remote else min(MAX_THREADS, os.cpu_count() or 1)
        options: dict[str, Any] = {
            "memory_limit": self._memory_limit,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            # A name that no view has is no Python variable of a caller.
            "python_enable_replacements": False,
            "threads": self._threads or threads,
            # Not ".tmp" in whatever folder this runs in.
            "temp_directory": str(Path(tempfile.gettempdir()) / f"opens2v-duckdb-{os.getpid()}"),
        }
        connection = duckdb.connect(":memory:", config=options)
        connection.execute("SET enable_progress_bar = false")
        self._tables = None
        if is_remote:
            self._tables = TableFileSystem(self.catalog.reader)
            connection.register_filesystem(self._tables)
            # Columns of a row group that lie side by side are then asked for at once; later versions do so by themselves.
            connection.execute("SET prefetch_all_parquet_files = true")
        return connection

    def _place(self, table: str) -> Path | None:
        return self.catalog.local_path(self.catalog.manifest.tables[table].path)

    def _make_views(self, connection: duckdb.DuckDBPyConnection, sql: str) -> None:
        for name, statement in _views_for(sql):
            if name not in self._made:
                connection.execute(_TABLE.sub(self._quoted_place, statement))
                self._made.add(name)

    def _quoted_place(self, match: re.Match[str]) -> str:
        if match[1] in _DERIVED:
            return exact_path(str(self._derived[match[1]])).replace("'", "''")
        file = self.catalog.manifest.tables[match[1]]
        place = self.catalog.local_path(file.path)
        known = f"{PROTOCOL}://tables/{file.path}" if place is None else exact_path(str(place))
        return known.replace("'", "''")


_DERIVED = frozenset({"class_kinds", "clip_categories"})
_READING = frozenset({duckdb.StatementType.SELECT})
_EXPLAIN = re.compile(r"^\s*explain\b(?:\s*\([^)]*\))?(?:\s*analyze\b)?", re.IGNORECASE)
_MAY_WRITE = re.compile(
    r"\bwith\b.*\b(copy|insert|update|delete|merge|create|export|attach|call)\b", re.IGNORECASE | re.DOTALL
)
_TABLE = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"\w+")
_BRACKETS = re.compile(r"\(\n|\n\)")
_SAID = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)


def _check_reading(sql: str) -> None:
    """Refuse what is not one statement that reads."""
    kinds: list[str] = []
    # EXPLAIN ANALYZE runs what it explains.
    for statement in duckdb.extract_statements(_EXPLAIN.sub("", sql, count=1)):
        try:
            kinds.append("SELECT" if statement.type in _READING else str(statement.type).rpartition(".")[2])
        except ValueError:
            kinds.append("another kind of statement")  # newer than the names that this DuckDB gives Python
    if kinds != ["SELECT"]:
        raise QueryError(
            f"expected one SELECT, found {', '.join(kinds) or 'nothing'}; opens2v reads its tables and never changes them"
        )


@cache
def _views() -> dict[str, tuple[str, frozenset[str]]]:
    """Return the statements of macros, views and quality in `sql/` by what they make, in order, each with those it needs."""
    text = _without_comments("\n".join(map(sql_text, ("macros", "views", *sql_names("quality")))))
    statements = {
        statement.split(maxsplit=3)[2].partition("(")[0]: statement
        for statement in text.split(";")
        if statement.strip()
    }
    made: dict[str, tuple[str, frozenset[str]]] = {}
    for name, statement in statements.items():
        words = _WORD.findall(re.sub(r"'[^']*'", "", statement))
        made[name] = (statement, frozenset(words) & made.keys())
    return made


def _without_comments(text: str) -> str:
    """Return one of our own SQL texts, which hold `--` nowhere else, without what it says in words."""
    return re.sub(r"--[^\n]*", "", text)


def _views_for(sql: str) -> list[tuple[str, str]]:
    """Return the views and macros that some SQL may name, in the order to make them.

    A name is any word, also one in a text or of a column: what is made too much costs the reading of a footer.
    """
    views = _views()
    needed = {*_words(sql)}
    for name, (_, needs) in reversed(views.items()):
        if name in needed:
            needed |= needs
    return [(name, statement) for name, (statement, _) in views.items() if name in needed]


def joined_in(sql: str, *, is_of_pieces: bool = False) -> list[Joined]:
    """Return whose columns some SQL names; as with views, one too many costs a footer and a join, and changes no row.

    Args:
        sql: a statement, or a part of one.
        is_of_pieces: it is put together of conditions that each stand in brackets on lines of their own (see `bound`): where one
            of these names a source, the others still mean the column of clips.
    """
    pieces = _BRACKETS.split(sql) if is_of_pieces else [sql]
    # What a text in quotes says is no table, and neither is a comment.
    words = [({*_words(piece)}, {*_words(_SAID.sub(" ", piece))}) for piece in pieces]
    return [
        joined
        for joined in JOINED
        if any(named & joined.columns.keys() and joined.source not in sources for named, sources in words)
    ]


def _words(sql: str) -> Iterator[str]:
    return (word.lower() for word in _WORD.findall(sql))


def names_categories(sql: str, *, is_of_pieces: bool = False) -> bool:
    """Return whether some SQL names, or needs for what it names, the categories of clips."""
    named = " ".join([sql, *(one.source for one in joined_in(sql, is_of_pieces=is_of_pieces))])
    return any(name in _DERIVED for name, _ in _views_for(named))


def wide_clips(joined: Sequence[Joined], base: str = "memory.main.clips") -> str:
    """Return the statement that makes a cursor's own `clips`, with columns of other tables."""
    columns = "".join(
        f", {one.source}.{column} AS {name}" for one in joined for name, (column, _) in one.columns.items()
    )
    joins = "".join(f" LEFT JOIN memory.main.{one.source} AS {one.source} USING (clip_id)" for one in joined)
    return f"CREATE TEMP VIEW clips AS SELECT base.*{columns} FROM {base} AS base{joins}"


def _query(catalog: Catalog, threads: int | None, memory_limit: str, category: str | None) -> Query:
    return Query(catalog, threads=threads, memory_limit=memory_limit, category=category)


def _source(config: Config, where: str | None) -> str:
    if config not in CONFIGS:
        raise ValueError(f"config must be one of {', '.join(CONFIGS)}, got {config!r}")
    if config == "nexus-cross" and where is None:
        # Nothing is asked of the clips, so they need not be joined to ten million pairs.
        return "known_pairs"
    return f"(\n{sql_text(f'configs/{config}')}\n)"


def _is_every_clip(config: Config, where: str | None) -> bool:
    """Say whether all clips are asked for, whose ids are 0, 1, … without looking (`clips.clip_id` is dense)."""
    return config == "regular" and (where is None or not where.strip())


def _condition(where: str | None) -> str:
    # The line break ends a comment that the condition may end with.
    return "true" if where is None or not where.strip() else f"({where}\n)"


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split("\n\nLINE")[0].split("\n")[:2])


def _after_fork() -> None:
    for query in list(_queries):
        query._after_fork()


os.register_at_fork(after_in_child=_after_fork)
