"""Strangers' SQL: every attack fails and leaves nothing behind; honest questions get what the ordinary connection gives."""

from __future__ import annotations

import hashlib
import multiprocessing
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.releases import make, write_full
from opens2v_data.archive.stores import LocalStore
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import CatalogDamagedError, QueryError
from opens2v_data.query.engine import Query
from opens2v_data.query.safe import SafeSql
from opens2v_data.query.vetting import TABLE_FUNCTIONS, VOLATILE_FUNCTIONS
from query.attacks import ATTACKS, CHANGES, COSTS, READS, WRITES, Place

SECRET = "the-cat-is-called-Mitzi"
SECONDS = 60.0
"""For what must end by itself, on a machine that is busy."""

secret_rows = pa.table({"secret": [SECRET]})  # what a replacement scan would find


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


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    root = tmp_path_factory.mktemp("safe")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENS2V_CACHE", str(root / "it's 5 M é" / "cache"))
        patch.chdir(root)
        made = Scene(root)
        yield made
        assert made.macros() == made.macros_at_first


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_fails_and_leaves_nothing_behind(scene: Scene, name: str) -> None:
    sql, message = ATTACKS[name]
    with pytest.raises(QueryError, match=message) as caught:
        scene.safe.ask(scene.place.fill(sql), seconds=0.2 if name in COSTS and "within" in message else SECONDS)
    assert SECRET not in str(caught.value)
    assert scene.is_untouched()


@pytest.mark.parametrize("name", WRITES | READS)
def test_without_the_check_the_settings_let_no_file_be_read_or_written(scene: Scene, name: str) -> None:
    """The second wall: the locked connection alone, for what the first might overlook one day. Nothing is wrapped here."""
    sql = (WRITES | READS)[name][0]
    if name in WRITES and "{catalog}/clips.parquet" in sql:
        pytest.skip("overwrites a file of allowed_paths, which only the check stops")
    cursor, _ = scene.unchecked._cursor()
    try:
        answer = str(cursor.execute(scene.place.fill(sql)).fetchall())
    except (duckdb.Error, ValueError):
        answer = ""
    finally:
        cursor.close()
    assert SECRET not in answer and "root:" not in answer
    assert scene.has_its_files()


@pytest.mark.parametrize("name", CHANGES)
def test_without_the_check_no_setting_changes_after_the_lock(scene: Scene, name: str) -> None:
    before = scene.settings(scene.unchecked)
    cursor, _ = scene.unchecked._cursor()
    try:
        cursor.execute(scene.place.fill(CHANGES[name][0])).fetchall()
    except (duckdb.Error, ValueError):
        pass  # most do; those that do not, change this cursor alone or what it keeps in memory
    finally:
        cursor.close()
    assert scene.settings(scene.unchecked) == before
    assert scene.has_its_files()


def test_every_table_function_of_this_duckdb_is_known_or_refused(scene: Scene) -> None:
    cursor, _ = scene.safe._cursor()
    names = cursor.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table'"
    ).fetchall()
    for (name,) in names:
        if name not in TABLE_FUNCTIONS:
            with pytest.raises(QueryError, match=f"table functions .*found {name}"):
                scene.safe.ask(f"FROM {name}('x')")
    assert len(names) > 100
    assert scene.is_untouched()


def test_every_function_with_a_side_effect_is_known_or_refused(scene: Scene) -> None:
    cursor, _ = scene.safe._cursor()
    names = cursor.execute("SELECT DISTINCT function_name FROM duckdb_functions() WHERE has_side_effects").fetchall()
    for (name,) in names:
        if name not in VOLATILE_FUNCTIONS:
            with pytest.raises(QueryError, match=f"only compute, found {name}"):
                scene.safe.ask(f"SELECT {name}('x')")
    assert ("random",) in names


def test_every_system_table_is_refused_also_under_a_cover(scene: Scene) -> None:
    cursor, _ = scene.safe._cursor()
    names = cursor.execute("SELECT DISTINCT schema_name, view_name FROM duckdb_views() WHERE internal").fetchall()
    for schema, name in names:
        cover = [] if name in scene.safe.catalog.manifest.tables else [f"WITH {name} AS (SELECT 1) FROM {name}"]
        for sql in (f"FROM {schema}.{name}", *cover):
            with pytest.raises(QueryError, match="expected a table of the catalog"):
                scene.safe.ask(sql)
    assert len(names) > 30


WORDS = """SELECT FROM WITH x AS ( ) , ; * clips 1 'a' COPY TO WHERE UNION ALL query( read_text( '/etc/passwd' -- /* */ LIMIT
$$ " count(*) GROUP BY part DROP VIEW SET = threads LATERAL :: INT [ ] { } . main duckdb_settings() PIVOT ON é \0"""


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(WORDS.split()), max_size=14).map(" ".join), st.text(max_size=40)))
def test_any_text_is_answered_or_refused(scene: Scene, sql: str) -> None:
    try:
        num_rows = scene.safe.ask(sql, max_rows=5, seconds=SECONDS).table.num_rows
    except QueryError:
        num_rows = 0
    assert num_rows <= 5


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


@pytest.mark.parametrize("sql", HONEST)
def test_an_honest_question_gets_what_the_ordinary_connection_gives(scene: Scene, sql: str) -> None:
    answer = scene.safe.ask(sql, seconds=SECONDS)
    assert answer.table.to_pylist() == duckdb_rows(scene.plain, sql)
    assert not answer.is_cut


def duckdb_rows(query: Query, sql: str) -> list[dict[str, Any]]:
    """Return the answer to a statement that is not checked, wrapped or cut."""
    return query.ask(sql).to_pylist()


@pytest.mark.parametrize("end", [";", " ; ", ";;", "; -- the end", " -- the end", " /* ; */ ;\n", "\n", " -- é;\n;"])
def test_what_follows_a_statement_does_not_matter(scene: Scene, end: str) -> None:
    assert scene.safe.ask(f"SELECT 'é;--' AS a{end}").table.to_pylist() == [{"a": "é;--"}]


@settings(max_examples=40, deadline=None)
@given(num_rows=st.integers(0, 5_000), max_rows=st.integers(1, 3_000))
def test_an_answer_is_cut_after_so_many_rows_and_says_so(scene: Scene, num_rows: int, max_rows: int) -> None:
    sql = f"SELECT i FROM range({num_rows}) AS r(i) ORDER BY i DESC"
    answer = scene.safe.ask(sql, max_rows=max_rows, seconds=SECONDS)
    expected = [{"i": i} for i in reversed(range(num_rows))]
    assert answer.table.to_pylist() == expected[:max_rows]
    assert answer.is_cut == (num_rows > max_rows)
    assert repr(answer).startswith(
        f"SafeAnswer({answer.table.num_rows} rows{' of more' if answer.is_cut else ''}, 1 columns"
    )


@pytest.mark.parametrize("options", [{"max_rows": 0}, {"seconds": 0}, {"seconds": float("nan")}, {"max_bytes": 0}])
def test_limits_are_above_nothing(scene: Scene, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="limits must be above 0"):
        scene.safe.ask("SELECT 1", **options)


def test_an_error_shows_the_place_and_the_nearest_names(scene: Scene) -> None:
    with pytest.raises(QueryError, match="Referenced column") as caught:
        scene.safe.ask("SELECT part\nFROM clips\nWHERE asthetic > 5")
    lines = str(caught.value).splitlines()
    assert lines[1:3] == ["  WHERE asthetic > 5", "        ^^^^^^^^"]
    assert "nearest names: aesthetic" in lines[3]
    assert lines[-1].startswith("example: SELECT")


def test_memory_beyond_the_limit_is_refused_and_others_go_on(scene: Scene) -> None:
    with pytest.raises(QueryError, match="needs at most 200MB of memory"):
        scene.safe.ask("SELECT list(i) FROM range(1000000000) AS r(i)", seconds=SECONDS)
    assert scene.is_untouched()


def test_threads_ask_at_once_and_only_the_slow_one_is_stopped(scene: Scene) -> None:
    slow, message = COSTS["a long range"]
    expected = scene.safe.ask("SELECT sum(clip_id) AS s FROM clips").table

    def ask(number: int) -> pa.Table | None:
        if number % 4 == 0:
            with pytest.raises(QueryError, match=message):
                scene.safe.ask(slow, seconds=0.2)
            return None
        return scene.safe.ask("SELECT sum(clip_id) AS s FROM clips", seconds=SECONDS).table

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(24)))
    assert all(answer is None or answer.equals(expected) for answer in answers)
    assert not [thread for thread in threading.enumerate() if thread.name == "opens2v-safe-sql"]


def test_a_forked_process_asks_on_its_own(scene: Scene) -> None:
    expected = scene.safe.ask("SELECT count(*) AS n FROM clips").table.to_pylist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(
        target=lambda: queue.put(scene.safe.ask("SELECT count(*) AS n FROM clips").table.to_pylist())
    )
    child.start()
    assert queue.get(timeout=60) == expected
    child.join(60)
    assert child.exitcode == 0


@pytest.mark.parametrize("name", ["a b", "it's", "[x]", "*", "?", "é", "{clips}", "a;--", 'quo"ted', "%41", "..x"])
def test_a_catalog_may_lie_anywhere(scene: Scene, name: str, tmp_path: Path) -> None:
    shutil.copytree(scene.place.catalog, tmp_path / name)
    safe = SafeSql(Catalog.open(tmp_path / name))
    assert safe.ask("SELECT count(*) AS n FROM clips").table.to_pylist() == [{"n": scene.catalog.num_rows("clips")}]
    safe.close()


def test_a_catalog_may_be_named_by_a_link_or_with_dots(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(scene.place.catalog)
    (tmp_path / "other").mkdir()
    for root in (tmp_path / "link", tmp_path / "other" / ".." / "link"):
        safe = SafeSql(Catalog.open(root))
        assert safe.ask("SELECT count(*) AS n FROM clips").table.num_rows == 1
        with pytest.raises(QueryError, match="table functions"):
            safe.ask(f"FROM read_text('{root}/manifest.json')")
        safe.close()


def test_a_catalog_on_a_server_is_refused_with_the_command_that_copies_it(scene: Scene) -> None:
    store = LocalStore(Path(scene.place.catalog))
    remote = Catalog(scene.catalog.manifest, uri="hf://datasets/someone/catalog", store=store)
    with pytest.raises(QueryError, match=r"opens2v copy hf://datasets/someone/catalog \./opens2v-5m"):
        SafeSql(remote)


def test_a_damaged_table_is_told_as_such(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.place.catalog, tmp_path / "catalog")
    table = tmp_path / "catalog" / "pairs.parquet"
    table.write_bytes(b"\0" * table.stat().st_size)
    safe = SafeSql(Catalog.open(tmp_path / "catalog"))
    with pytest.raises(CatalogDamagedError, match="run: opens2v verify"):
        safe.ask("SELECT 1")


def test_categories_are_worked_out_when_a_stranger_first_names_them(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENS2V_CACHE", str(tmp_path / "cache"))
    safe = SafeSql(scene.catalog)
    safe.ask("SELECT 1")
    assert not (tmp_path / "cache").exists()
    sql = "SELECT clip_id, category FROM clips ORDER BY clip_id"
    assert safe.ask(sql, seconds=SECONDS).table.to_pylist() == duckdb_rows(scene.plain, sql)
    assert (tmp_path / "cache").exists()
    safe.close()
