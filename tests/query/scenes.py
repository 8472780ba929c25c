"""Where strangers ask: a catalog, secrets beside it, and what was there at first; and what honest ones ask."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.releases import make, write_full
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.query import Query
from opens2v_data.query.safe import SafeSql
from query.attacks import Place

SECRET = "the-cat-is-called-Mitzi"
SECONDS = 200.0
"""For what must end by itself, on a machine that is busy."""

secret_rows = pa.table({"secret": [SECRET]})  # what a replacement scan would find

HONEST = (
    "SELECT part, count(*) AS n, avg(aesthetic) AS mean FROM clips GROUP BY part ORDER BY n DESC, part",
    "SELECT clip_id, caption FROM clips WHERE aesthetic > 5 AND caption ILIKE '%garden%' ORDER BY clip_id",
    "SELECT category, count(*) AS n FROM clips GROUP BY ALL ORDER BY ALL",
    "SELECT clip_id FROM clips WHERE has_subject(clip_id, 'woman', min_gme := 0.2) ORDER BY clip_id",
    "SELECT clip_id FROM clips WHERE has_tag(background_tags, 'sea') AND NOT has_subject(clip_id, 'dog') ORDER BY 1",
    "WITH many AS (SELECT clip_id, count(*) AS n FROM subjects GROUP BY 1) SELECT n, count(*) AS c FROM many GROUP BY 1"
    " ORDER BY 1",
    "WITH a AS MATERIALIZED (FROM clips), b AS (SELECT part FROM a) SELECT DISTINCT part FROM b ORDER BY 1",
    "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 9) SELECT sum(i) AS s FROM r",
    "SELECT clip_id, row_number() OVER (PARTITION BY part ORDER BY aesthetic DESC, clip_id) AS place FROM clips"
    " QUALIFY place <= 3 ORDER BY clip_id",
    "SELECT clip_id, lag(fps) OVER w AS before, sum(motion) FILTER (WHERE motion > 0.05) OVER w AS s FROM clips"
    " WINDOW w AS (ORDER BY clip_id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) ORDER BY clip_id",
    "SELECT c.clip_id, s.class_name FROM clips AS c JOIN subjects AS s USING (clip_id) WHERE s.gme_score > 0.3 ORDER BY ALL",
    "SELECT c.clip_id, v.path FROM clips AS c LEFT JOIN views AS v USING (clip_id) ORDER BY ALL",
    "SELECT clip_id FROM clips SEMI JOIN views USING (clip_id) ORDER BY 1",
    "SELECT clip_id FROM clips ANTI JOIN subjects USING (clip_id) ORDER BY 1",
    "SELECT count(*) AS n FROM pairs AS p JOIN clips AS c ON c.clip_id = p.clip_id WHERE p.image_similarity < 0.9",
    "SELECT part FROM clips UNION SELECT class_name FROM subjects ORDER BY 1",
    "SELECT clip_id FROM clips INTERSECT SELECT clip_id FROM subjects EXCEPT SELECT clip_id FROM views ORDER BY 1",
    "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS a, 3 AS b ORDER BY a",
    "SELECT clip_id, (SELECT max(gme_score) FROM subjects AS s WHERE s.clip_id = c.clip_id) AS best FROM clips AS c ORDER BY 1",
    "SELECT clip_id FROM clips WHERE clip_id IN (SELECT clip_id FROM subjects WHERE class_name LIKE 'red%') ORDER BY 1",
    "SELECT clip_id FROM clips WHERE EXISTS (FROM subjects WHERE subjects.clip_id = clips.clip_id) ORDER BY 1",
    "SELECT tag, count(*) AS n FROM (SELECT unnest(background_tags) AS tag FROM clips) GROUP BY tag ORDER BY ALL",
    "SELECT c.clip_id, t.tag FROM clips AS c, unnest(c.background_tags) AS t(tag) ORDER BY ALL",
    "SELECT clip_id, list_transform(background_tags, lambda tag: upper(tag)) AS loud FROM clips ORDER BY 1",
    "SELECT [tag FOR tag IN background_tags IF tag != 'sea'] AS dry, background_tags[1] AS first FROM clips ORDER BY clip_id",
    "SELECT {'part': part, 'size': [width, height]} AS s, map {'a': fps} AS m FROM clips ORDER BY clip_id",
    "SELECT list(clip_id ORDER BY clip_id) AS ids, string_agg(part, ',' ORDER BY clip_id) AS parts FROM clips",
    "SELECT quantile_cont(aesthetic, [0.1, 0.5, 0.9]) AS q, histogram(part) AS h, mode(part) AS m FROM clips",
    "SELECT part, count(*) AS n FROM clips GROUP BY ROLLUP (part) HAVING count(*) > 1 ORDER BY ALL",
    "SELECT CASE WHEN aesthetic > 5 THEN 'good' ELSE 'other' END AS mark, count(*) AS n FROM clips GROUP BY 1 ORDER BY 1",
    "SELECT TRY_CAST(part AS INTEGER) AS n, fps::DECIMAL(6, 2) AS d, clip_key[1:3] AS k FROM clips ORDER BY clip_id",
    "SELECT * EXCLUDE (path) REPLACE (round(fps, 1) AS fps) FROM clips ORDER BY clip_id",
    "SELECT max(COLUMNS('.*aesthetic')) FROM clips",
    "SELECT DISTINCT ON (part) part, clip_id FROM clips ORDER BY part, clip_id DESC",
    "PIVOT (SELECT part, form FROM pairs JOIN clips USING (clip_id)) ON form IN ('current', 'older') USING count(*) ORDER BY ALL",
    "UNPIVOT (SELECT clip_id, width, height FROM clips) ON width, height INTO NAME side VALUE pixels ORDER BY ALL",
    "SELECT i, i // 2 AS h FROM range(10) AS r(i) JOIN generate_series(1, 5) AS g(i) USING (i) ORDER BY 1",
    "SELECT key, value FROM json_each('{\"a\": 1}')",
    "SELECT * FROM (VALUES (1, 'a'), (2, 'b;--')) AS v(n, t) ORDER BY n",
    "FROM classes ORDER BY class_id",
    "FROM clips SELECT clip_id WHERE clip_id < 5 ORDER BY 1",
    "TABLE classes ORDER BY class_id",
    "SELECT clip_id FROM main.clips ORDER BY hash(clip_id, 42) LIMIT 7 OFFSET 2",
    "SELECT clip_id FROM clips ORDER BY aesthetic DESC NULLS LAST, clip_id LIMIT 10%",
    'SELECT "part" AS "select", \'it\'\'s\' AS "a b", $$x;y$$ AS d FROM clips ORDER BY clip_id -- the end',
    "SELECT date_trunc('month', DATE '2024-05-17') + INTERVAL 3 DAY AS day, extract(year FROM DATE '2024-05-17') AS year",
    "SELECT regexp_extract(clip_key, 'src([0-9]+)', 1) AS n, cluster_id ~ 'src.*' AS is_source FROM clips ORDER BY clip_id",
    "SELECT a.clip_id FROM clips AS a ASOF JOIN clips AS b ON a.part = b.part AND a.aesthetic >= b.aesthetic ORDER BY 1",
    "DESCRIBE clips",
    "DESCRIBE SELECT part, count(*) AS n FROM clips GROUP BY 1",
    "SELECT column_name, min, max, count FROM (SUMMARIZE classes)",
    "/* a */ SELECT 1 AS one /* b */",
)


class Scene:
    """A catalog below a folder with an awkward name, a folder beside it with secrets, and what was there at first."""

    def __init__(self, root: Path) -> None:
        self.root = root / "it's 5 M é"
        write_full(root / "release")
        make(root / "release", self.root / "catalog")
        outside = self.root / "outside"
        outside.mkdir()
        (outside / "secret.txt").write_text(SECRET)
        (outside / "secret.csv").write_text(f"secret\n{SECRET}\n")
        pq.write_table(secret_rows, outside / "secret.parquet")
        (outside / "link.txt").symlink_to(outside / "secret.txt")
        self.place = Place(catalog=str(self.root / "catalog"), outside=str(outside))
        self.catalog = Catalog.open(self.root / "catalog")
        self.safe = SafeSql(self.catalog, threads=2, memory_limit="200MB")
        self.unchecked = SafeSql(self.catalog, threads=2, memory_limit="200MB")
        self.plain = Query(self.catalog, threads=2)
        self.safe.ask("SELECT category FROM clips")  # derived tables are worked out: nothing more is written
        self.at_first = self.traces()
        self.macros_at_first = self.macros()

    def files(self) -> dict[str, Any]:
        """Return every file and folder, to the byte."""
        found: dict[str, Any] = {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, digest)
        return found

    @staticmethod
    def settings(safe: SafeSql) -> list[tuple[str, str]]:
        """Return what a new cursor has for settings."""
        cursor, _ = safe._cursor()
        found = cursor.execute("SELECT name, value FROM duckdb_settings()").fetchall()
        cursor.close()
        return found

    def traces(self) -> dict[str, Any]:
        """Return all that an attack could leave behind: files, settings, what the database holds."""
        found: dict[str, Any] = {**self.files(), "settings": self.settings(self.safe)}
        cursor, _ = self.safe._cursor()
        for question in (
            "SELECT database_name, schema_name, view_name, sql FROM duckdb_views()",
            "SELECT database_name, path FROM duckdb_databases() WHERE NOT internal",
            "SELECT database_name, schema_name, table_name FROM duckdb_tables()",
            "SELECT sequence_name FROM duckdb_sequences()",
            "SELECT type_name FROM duckdb_types() WHERE NOT internal",
            "SELECT name FROM duckdb_variables()",
            "FROM duckdb_logs()",
            "FROM duckdb_external_resources()",
            "FROM duckdb_external_resource_types()",
        ):
            try:
                found[question] = sorted(map(str, cursor.execute(question).fetchall()))
            except duckdb.CatalogException:
                found[question] = None  # this DuckDB has no such thing
        cursor.close()
        return found

    def macros(self) -> list[tuple[str, str]]:
        """Return the macros; apart from `traces`, since it takes longer than all of these."""
        cursor, _ = self.safe._cursor()
        sql = "SELECT function_name, macro_definition FROM duckdb_functions() WHERE NOT internal ORDER BY ALL"
        found = cursor.execute(sql).fetchall()
        cursor.close()
        return found

    def has_its_files(self) -> bool:
        """Say whether no file was changed, made or removed."""
        return self.files() == {path: found for path, found in self.at_first.items() if path.startswith(str(self.root))}

    def is_untouched(self) -> bool:
        """Say whether nothing was left behind and the next honest question is answered."""
        answer = self.safe.ask("SELECT count(*) AS n FROM clips", seconds=SECONDS)
        return self.traces() == self.at_first and answer.table.to_pylist() == [{"n": self.catalog.num_rows("clips")}]


def scenes(root: Path) -> Iterator[Scene]:
    """Give one scene, as a fixture does, with this process in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENS2V_CACHE", str(root / "it's 5 M é" / "cache"))
        patch.chdir(root)
        made = Scene(root)
        yield made
        assert made.macros() == made.macros_at_first
