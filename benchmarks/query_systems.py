"""The operations of `query.py`, asked of each system: ours by its public names, the others by hand on the same files.

Every system answers with a number, a NumPy array or a table, so that `query.py` can compare the answers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from query_asked import (
    AESTHETIC,
    BINS,
    GME,
    HIST_COLUMNS,
    MOTION,
    NUM_TOP,
    PAGE_COLUMNS,
    PAGE_ROWS,
    SUBJECT,
    WORD,
    Questions,
    pieces,
    read_blobs,
)
from query_frames import Arrow, Polars


class Ours:
    """The public face."""

    def __init__(self, root: Path, asked: Questions) -> None:
        import opens2v_data

        self._asked = asked
        self._cat = opens2v_data.open(root)
        self._filtered = self._cat.where("aesthetic > ? AND motion > ?", AESTHETIC, MOTION)
        self._women = self._cat.where("aesthetic > ?", AESTHETIC).has_subject(SUBJECT, gme=f">{GME}")
        self._sorted = self._filtered.sort("-aesthetic")
        # The mark of a page that ends with the row in question.
        last = self._cat.where("clip_id = ? OR aesthetic < ?", asked.page_after[1], AESTHETIC).sort("-aesthetic")
        self._after = last.page(n=1).after

    def warm(self) -> None:
        self._cat.warm()

    def top_classes(self) -> Any:
        return self._cat.sql(f"SELECT name, num_clips FROM classes ORDER BY class_id LIMIT {NUM_TOP}")

    def filtered_count(self) -> Any:
        return self._filtered.count()

    def subject_ids(self) -> Any:
        return self._women.ids()

    def byte_ranges(self) -> Any:
        return self._women.locate().select(["clip_id", "piece", "start", "size_bytes"])

    def page(self) -> Any:
        return self._sorted.page(after=self._after, n=PAGE_ROWS, columns=PAGE_COLUMNS).rows

    def histograms(self) -> Any:
        found = self._filtered.hists(HIST_COLUMNS, bins=BINS)
        return {name: found[name].counts for name in HIST_COLUMNS}

    def masks(self) -> Any:
        return self._cat.catalog.read_masks(self._asked.ids)

    def clips(self) -> Any:
        chosen = self._cat.all.with_ids(self._asked.ids)
        return chosen.to_arrow(), chosen.subject_table()

    def text(self) -> Any:
        return self._cat.search(WORD).ids()

    def key(self) -> Any:
        from opens2v_data.query.lookup import clip_ids_of

        return int(clip_ids_of(self._cat.query, [self._asked.key])[0])

    def facet(self) -> Any:
        return self._filtered.facets("category")


class OursWarm:
    """The public face with the numbers of all clips in memory; what that does not change is left out."""

    def __init__(self, root: Path, asked: Questions) -> None:
        made = Ours(root, asked)
        made.warm()
        self.filtered_count, self.subject_ids, self.byte_ranges = (
            made.filtered_count,
            made.subject_ids,
            made.byte_ranges,
        )
        self.page, self.histograms, self.facet = made.page, made.histograms, made.facet


class DuckDB:
    """SQL by hand over `read_parquet`, on one connection, with DuckDB's own choices but the cache of footers.

    The numbers of the conditions are bound, as programs bind them, and so are float64 as ours are. Written out as `0.01`, DuckDB
    takes them for float32, which is up to 20% faster, and `>=` then holds for other rows.
    """

    def __init__(self, root: Path, asked: Questions) -> None:
        import duckdb

        self._root, self._asked = root, asked
        self.scalars = "clips"
        self._db = duckdb.connect()
        self._db.execute("SET parquet_metadata_cache = true; SET enable_progress_bar = false")
        self._db.register("pieces", pieces(root))
        for path in sorted(root.glob("*.parquet")):
            quoted = str(path).replace("'", "''")
            self._db.execute(f"CREATE VIEW {path.stem} AS FROM read_parquet('{quoted}')")
        quoted = str(asked.categories).replace("'", "''")
        self._db.execute(f"CREATE VIEW clip_categories AS FROM read_parquet('{quoted}')")
        self._filter, self._filter_values = "aesthetic > ? AND motion > ?", [AESTHETIC, MOTION]
        self._women = """aesthetic > ? AND clip_id IN (SELECT clip_id FROM class_index WHERE gme_score > ?
            AND class_id = (SELECT class_id FROM classes WHERE name = ?))"""
        self._women_values = [AESTHETIC, GME, SUBJECT]

    def use_table(self) -> None:
        from opens2v_data.query.warm import SCALARS

        self.scalars = "scalars"
        self._db.execute(f"CREATE TABLE scalars AS SELECT {', '.join(SCALARS)} FROM clips")

    def _table(self, sql: str, values: list[Any] | None = None) -> pa.Table:
        return self._db.sql(sql, params=values).to_arrow_table()

    def top_classes(self) -> Any:
        return self._table(f"SELECT name, num_clips FROM classes ORDER BY class_id LIMIT {NUM_TOP}")

    def filtered_count(self) -> Any:
        sql = f"SELECT count(*) FROM {self.scalars} WHERE {self._filter}"
        return self._db.execute(sql, self._filter_values).fetchall()[0][0]

    def subject_ids(self) -> Any:
        sql = f"SELECT clip_id FROM {self.scalars} WHERE {self._women}"
        return np.sort(self._db.execute(sql, self._women_values).fetchnumpy()["clip_id"])

    def byte_ranges(self) -> Any:
        return self._table(
            f"""SELECT clip_id, piece, "offset" - piece_start AS start, size_bytes
            FROM (FROM locations WHERE clip_id IN (SELECT clip_id FROM {self.scalars} WHERE {self._women})) AS place
            ASOF JOIN pieces ON place.part = pieces.part AND place."offset" >= pieces.piece_start ORDER BY clip_id""",
            self._women_values,
        )

    def page(self) -> Any:
        aesthetic, clip_id = self._asked.page_after
        return self._table(
            f"""SELECT {", ".join(PAGE_COLUMNS)} FROM clips WHERE clip_id IN (
            SELECT clip_id FROM {self.scalars} WHERE {self._filter}
            AND (aesthetic < ? OR (aesthetic = ? AND clip_id > ?))
            ORDER BY aesthetic DESC, clip_id LIMIT {PAGE_ROWS}) ORDER BY aesthetic DESC, clip_id""",
            [*self._filter_values, aesthetic, aesthetic, clip_id],
        )

    def histograms(self) -> Any:
        bins = ", ".join(
            # `least` passes over nulls.
            f"CASE WHEN {name} IS NOT NULL THEN least(floor(({name}::DOUBLE - {low!r}::DOUBLE) * {BINS} / "
            f"{high - low!r}::DOUBLE), {BINS - 1}) END::TINYINT AS {name}"
            for name, (low, high) in self._asked.ranges.items()
        )
        sets = ", ".join(f"({name})" for name in HIST_COLUMNS)
        found = self._table(
            f"""SELECT {", ".join(HIST_COLUMNS)}, count(*) AS n
            FROM (SELECT {bins} FROM {self.scalars} WHERE {self._filter}) GROUP BY GROUPING SETS ({sets})""",
            self._filter_values,
        )
        number = found.column("n").to_numpy()
        made = {}
        for name in HIST_COLUMNS:
            bin_of = found.column(name).combine_chunks()
            mine = bin_of.is_valid().to_numpy(zero_copy_only=False)
            made[name] = np.bincount(bin_of.drop_null().to_numpy(), number[mine], BINS).astype(np.int64)
        return made

    def masks(self) -> Any:
        wanted = ", ".join(map(str, self._asked.ids))
        return read_blobs(self._root, self._table(f"FROM masks WHERE clip_id IN ({wanted})"))

    def clips(self) -> Any:
        wanted = ", ".join(map(str, self._asked.ids))
        return (
            self._table(f"FROM clips WHERE clip_id IN ({wanted}) ORDER BY clip_id"),
            self._table(f"""SELECT subject.*, name AS class_name FROM subjects AS subject JOIN classes USING (class_id)
                WHERE clip_id IN ({wanted}) ORDER BY clip_id, object_id"""),
        )

    def text(self) -> Any:
        return np.sort(
            self._db.execute(f"SELECT clip_id FROM captions WHERE contains(lower(caption), '{WORD}')").fetchnumpy()[
                "clip_id"
            ]
        )

    def key(self) -> Any:
        # Two statements: so DuckDB opens one row group of clips and not those between the least and the greatest id.
        found = self._db.execute(f"SELECT clip_id FROM keys WHERE key_hash = {self._asked.key_hash}").fetchall()
        ids = ", ".join(str(row[0]) for row in found)
        rows = self._db.execute(f"SELECT clip_id, clip_key FROM clips WHERE clip_id IN ({ids})").fetchall()
        return next(clip_id for clip_id, key in rows if key == self._asked.key)

    def facet(self) -> Any:
        return self._table(
            f"""SELECT category AS value, count(*) AS num_clips FROM clip_categories
            JOIN (SELECT clip_id FROM {self.scalars} WHERE {self._filter}) USING (clip_id)
            GROUP BY category ORDER BY num_clips DESC, value""",
            self._filter_values,
        )


class DuckDBTable:
    """The same over a table in memory of what `warm` of ours keeps."""

    def __init__(self, root: Path, asked: Questions) -> None:
        made = DuckDB(root, asked)
        made.use_table()
        self.filtered_count, self.subject_ids, self.byte_ranges = (
            made.filtered_count,
            made.subject_ids,
            made.byte_ranges,
        )
        self.page, self.histograms, self.facet = made.page, made.histograms, made.facet


SYSTEMS: dict[str, Callable[[Path, Questions], Any]] = {
    "ours": Ours,
    "DuckDB": DuckDB,
    "polars": Polars,
    "pyarrow": Arrow,
    "ours, warm": OursWarm,
    "DuckDB, table": DuckDBTable,
}
BESIDE = {"ours": "DuckDB", "ours, warm": "DuckDB, table"}
"""Whose overhead is told over whom."""
