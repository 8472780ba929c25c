"""DuckDB over a catalog: which rows a condition names, and those rows' columns. The only module that touches duckdb."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import duckdb
import numpy as np

from opens2v_data.errors import CatalogDamagedError, QueryError
from opens2v_data.sqlfiles import sql_text

if TYPE_CHECKING:
    import pyarrow as pa

    from opens2v_data.catalog.catalog import Catalog

Config = Literal["regular", "nexus-cross", "nexus-gpt"]
CONFIGS: tuple[Config, ...] = get_args(Config)

MEMORY_LIMIT = "256MB"
"""For DuckDB itself: ids sort in far less, and a stream must stay below 500 MB in all."""

MAX_THREADS = 4
"""Threads share that memory: on 16 and 32 of them joins of 10 M pairs ran out of it, on 8 they did not."""

FETCH_ROWS = 8_192

_inherited: list[object] = []


class Query:
    """Ask a catalog. Threads may share one; a process that forks gets a connection of its own.

    Args:
        catalog: what to ask.
        threads: for DuckDB; by default all cores, at most `MAX_THREADS`.
        memory_limit: for DuckDB, as it spells it.
    """

    def __init__(self, catalog: Catalog, *, threads: int | None = None, memory_limit: str = MEMORY_LIMIT) -> None:
        self.catalog = catalog
        self._threads = threads
        self._memory_limit = memory_limit
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __repr__(self) -> str:
        return f"Query({self.catalog!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _query, (self.catalog, self._threads, self._memory_limit)

    def columns(self, config: Config) -> list[tuple[str, str]]:
        """Return the names and SQL types of the columns that a condition on this config can use."""
        rows = self._cursor().execute(f"DESCRIBE {_source(config, 'true')}").fetchall()
        return [(row[0], row[1]) for row in rows if row[0] != "row_id"]

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
        if limit is not None:
            if limit < 0:
                raise ValueError(f"limit must be 0 or more, got {limit}")
            sql += f" LIMIT {int(limit)}"
        for rows in self._answer(sql, config, where):
            yield np.fromiter((row[0] for row in rows), np.int64, len(rows))

    def count(self, config: Config = "regular", where: str | None = None) -> int:
        """Return how many rows a condition names.

        Raises:
            QueryError: as `row_ids`.
        """
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
        sql = (
            f"SELECT DISTINCT row_id // {int(rows)} FROM {_source(config, where)} WHERE {_condition(where)} ORDER BY 1"
        )
        found = (int(index) for answer in self._answer(sql, config, where) for (index,) in answer)
        return [(index * rows, (index + 1) * rows) for index in found]

    def fetch(self, name: str, ids: Sequence[int] | np.ndarray) -> pa.Table:
        """Return what `sql/rows/<name>.sql` gives for some ids, in the order that its header says."""
        wanted = [int(value) for value in ids]
        parameters: dict[str, Any] = {"ids": wanted}
        text = sql_text(f"rows/{name}")
        if "$lo" in text:
            parameters |= {"lo": min(wanted, default=0), "hi": max(wanted, default=-1) + 1}
        return self._cursor().sql(text, params=parameters).to_arrow_table()

    def close(self) -> None:
        """Close the connection; a later question opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _answer(self, sql: str, config: Config, where: str | None) -> Iterator[list[tuple[Any, ...]]]:
        """Give the rows of a question that has `where` in it, some at a time; it can fail while it runs, too."""
        try:
            # On its own it must be SQL as well: brackets in it could end those around it, and let it out.
            alone = f"SELECT {where if where and where.strip() else True}"
            if any(len(duckdb.extract_statements(text)) != 1 for text in (alone, sql)):
                raise QueryError(f"where={where!r} is several SQL statements, expected one condition")
            cursor = self._cursor().execute(sql)
            while rows := cursor.fetchmany(FETCH_ROWS):
                yield rows
        except duckdb.IOException as error:
            raise CatalogDamagedError(
                f"a table of {self.catalog.root} cannot be read: {_first_lines(error)}"
            ) from error
        except (duckdb.OutOfMemoryException, duckdb.FatalException, duckdb.InternalException):
            raise  # not the condition's fault
        except duckdb.Error as error:
            names = ", ".join(name for name, _ in self.columns(config))
            raise QueryError(
                f"where={where!r} is no condition that config {config} can answer: {_first_lines(error)}\n"
                f"columns: {names}\nhelpers: has_subject(clip_id, 'woman', min_gme := 0.3), has_tag(subject_tags, 'woman')"
            ) from error

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        # One cursor per call: a connection shared by threads raises, and a forked one hangs.
        pid = os.getpid()
        if self._pid != pid:
            # Forked: the parent may have held the lock, and its connection's threads are not here; to destroy it would hang.
            _inherited.append(self._connection)
            self._pid, self._lock, self._connection = pid, threading.Lock(), None
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            return self._connection.cursor()

    def _open(self) -> duckdb.DuckDBPyConnection:
        options: dict[str, Any] = {
            "memory_limit": self._memory_limit,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "threads": self._threads or min(MAX_THREADS, os.cpu_count() or 1),
            # Not ".tmp" in whatever folder this runs in.
            "temp_directory": str(Path(tempfile.gettempdir()) / f"opens2v-duckdb-{os.getpid()}"),
        }
        connection = duckdb.connect(":memory:", config=options)
        connection.execute("SET enable_progress_bar = false")
        root = str(self.catalog.root).replace("'", "''")
        connection.execute(sql_text("views").replace("{root}", root))
        return connection


def _query(catalog: Catalog, threads: int | None, memory_limit: str) -> Query:
    return Query(catalog, threads=threads, memory_limit=memory_limit)


def _source(config: Config, where: str | None) -> str:
    if config not in CONFIGS:
        raise ValueError(f"config must be one of {', '.join(CONFIGS)}, got {config!r}")
    if config == "nexus-cross" and where is None:
        # Nothing is asked of the clips, so they need not be joined to ten million pairs.
        return "known_pairs"
    return f"(\n{sql_text(f'configs/{config}')}\n)"


def _condition(where: str | None) -> str:
    # The line break ends a comment that the condition may end with.
    return "true" if where is None or not where.strip() else f"({where}\n)"


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split("\n\nLINE")[0].split("\n")[:2])
