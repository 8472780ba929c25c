"""Which rows of a config a condition names: ids, sizes, counts, shards. A condition is one SQL text over the config's columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

import duckdb
import numpy as np

from opens2v_data.errors import QueryError
from opens2v_data.query.bound import check_statement
from opens2v_data.query.engine import Engine
from opens2v_data.query.faults import first_lines
from opens2v_data.query.views import JOINED
from opens2v_data.sqlfiles import sql_text

if TYPE_CHECKING:
    import pyarrow as pa

Config = Literal["regular", "nexus-cross", "nexus-gpt"]
CONFIGS: tuple[Config, ...] = get_args(Config)

FETCH_ROWS = 8_192

_SIZES = """row_id,
    coalesce(crop_x1 - crop_x0, width, 0)::INTEGER AS width, coalesce(crop_y1 - crop_y0, height, 0)::INTEGER AS height,
    coalesce(face_cut_end - face_cut_start, cut_end - cut_start, num_frames, 0)::INTEGER AS num_frames"""


class Query(Engine):
    """Ask a catalog for rows by condition, and whatever an engine answers. Threads may share one; a process that forks gets a
    connection of its own.
    """

    def columns(self, config: Config) -> list[tuple[str, str]]:
        """Return the names and SQL types of the columns that a condition on this config can use."""
        if config == "regular":
            return self.clip_columns()
        joined = [(name, type_) for one in JOINED for name, (_, type_) in one.columns.items()]
        found = self._described(_source(config, "true"))
        return [*(column for column in found if column[0] != "row_id"), *joined]

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
        except (duckdb.FatalException, duckdb.InternalException):
            raise  # not the condition's fault
        except duckdb.Error as error:
            self._raise_fault(error)
            names = ", ".join(name for name, _ in self.columns(config))
            raise QueryError(
                f"where={where!r} is no condition that config {config} can answer: {first_lines(error)}\n"
                f"columns: {names}\nhelpers: has_subject(clip_id, 'woman', min_gme := 0.3), has_tag(subject_tags, 'woman')"
            ) from error


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
