"""What a stranger may try, each with what the message must say; shared by the tests of `safe` and `sandbox`.

`{catalog}` is the catalog's folder, `{outside}` a folder beside it with `secret.txt`, `secret.csv` and a link to the former.
"""

from __future__ import annotations

from dataclasses import dataclass

ONE = "expected one SELECT"
NODE = "expected a SELECT that only reads, found"
SOURCE = "expected one of the table functions"
TABLE = "expected a table of the catalog"
FUNCTION = "expected functions that only compute"
PARSER = "Parser Error"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where attacks aim."""

    catalog: str
    outside: str

    def fill(self, sql: str) -> str:
        """Return a statement for this place; both are quoted as inside of `'…'`."""
        for name in ("catalog", "outside"):
            sql = sql.replace(f"{{{name}}}", getattr(self, name).replace("'", "''"))
        return sql


WRITES: dict[str, tuple[str, str]] = {
    "copy a table": ("COPY clips TO '{outside}/x.csv'", ONE),
    "copy a query": ("COPY (SELECT 1) TO '{outside}/x.parquet' (FORMAT parquet)", ONE),
    "copy over a table": ("COPY (SELECT 1) TO '{catalog}/clips.parquet' (FORMAT parquet, USE_TMP_FILE false)", ONE),
    "copy partitions": ("COPY clips TO '{outside}/x' (FORMAT parquet, PARTITION_BY (part))", ONE),
    "copy from": ("COPY clips FROM '{outside}/secret.csv'", ONE),
    "copy a database": ("COPY FROM DATABASE memory TO other", ONE),
    "copy in a CTE": ("WITH x AS (COPY clips TO '{outside}/x.csv') FROM x", NODE),
    "copy in a CTE over a table": (
        "WITH x AS (COPY (SELECT 1) TO '{catalog}/clips.parquet' (USE_TMP_FILE false)) FROM x",
        NODE,
    ),
    "copy in a CTE of a subquery": ("SELECT * FROM (WITH x AS (COPY clips TO '{outside}/x.csv') FROM x)", NODE),
    "copy in a CTE of an expression": ("SELECT (WITH x AS (COPY clips TO '{outside}/x.csv') SELECT 1 FROM x)", NODE),
    "copy in a materialized CTE": ("WITH x AS MATERIALIZED (COPY clips TO '{outside}/x.csv') SELECT 1", NODE),
    "copy in a query as text": ("FROM query('WITH x AS (COPY clips TO ''{outside}/x.csv'') FROM x')", SOURCE),
    # Passed all settings and the wrap on DuckDB 2.0.0, and overwrote the table.
    "copy in a query as JSON": (
        "FROM json_execute_serialized_sql(json_serialize_sql("
        "'WITH x AS (COPY (SELECT 1) TO ''{catalog}/clips.parquet'' (USE_TMP_FILE false)) FROM x'))",
        SOURCE,
    ),
    "copy in a query as JSON, by its whole name": (
        "FROM system.main.json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        SOURCE,
    ),
    "copy in a query as JSON, as PRAGMA": ("PRAGMA json_execute_serialized_sql('{}')", ONE),
    "explain that runs": ("EXPLAIN ANALYZE COPY clips TO '{outside}/x.csv'", ONE),
    "explain that runs DML": ("EXPLAIN ANALYZE CREATE TABLE x AS SELECT 1", ONE),
    "explain": ("EXPLAIN SELECT 1", ONE),
    "export": ("EXPORT DATABASE '{outside}/x'", ONE),
    "import": ("IMPORT DATABASE '{outside}'", ONE),
    "log to a file": (
        "FROM enable_logging('QueryLog', storage := 'file', storage_config := {'path': '{outside}/log'})",
        "expected|Parser",
    ),
    "profile to a file": ("FROM enable_profiling(save_location = '{outside}/x.json')", SOURCE),
    "insert in a CTE": ("WITH x AS (INSERT INTO clips VALUES (1) RETURNING *) FROM x", NODE),
    "delete in a CTE": ("WITH x AS (DELETE FROM clips RETURNING *) FROM x", NODE),
    "update in a CTE": ("WITH x AS (UPDATE clips SET fps = 1 RETURNING *) FROM x", NODE),
    "insert": ("INSERT INTO clips SELECT * FROM clips", ONE),
    "delete": ("DELETE FROM clips", ONE),
    "update": ("UPDATE clips SET fps = 1", ONE),
    "truncate": ("TRUNCATE clips", ONE),
    "merge": ("MERGE INTO clips USING clips AS other ON true WHEN MATCHED THEN DELETE", ONE),
}

CHANGES: dict[str, tuple[str, str]] = {
    "create a table": ("CREATE TABLE x AS SELECT 1", ONE),
    "create a temporary table": ("CREATE TEMP TABLE x AS SELECT 1", ONE),
    "replace a view": ("CREATE OR REPLACE VIEW clips AS SELECT 1", ONE),
    "create a view": ("CREATE VIEW x AS SELECT 1", ONE),
    "drop a view": ("DROP VIEW clips", ONE),
    "rename a view": ("ALTER VIEW clips RENAME TO x", ONE),
    "create a macro": ("CREATE MACRO x() AS 1", ONE),
    "replace a macro": ("CREATE OR REPLACE MACRO has_tag(tags, wanted) AS true", ONE),
    "create a schema": ("CREATE SCHEMA x", ONE),
    "create a sequence": ("CREATE SEQUENCE x", ONE),
    "create a type": ("CREATE TYPE x AS ENUM ('a')", ONE),
    "create a secret": ("CREATE PERSISTENT SECRET x (TYPE s3, KEY_ID 'a', SECRET 'b')", f"{ONE}|{PARSER}"),
    "attach": ("ATTACH '{outside}/x.db' AS x", ONE),
    "attach in memory": ("ATTACH ':memory:' AS x", ONE),
    "detach": ("DETACH memory", ONE),
    "use": ("USE information_schema", ONE),
    "install": ("INSTALL httpfs", ONE),
    "install from a folder": ("INSTALL '{outside}/x.duckdb_extension'", ONE),
    "load": ("LOAD httpfs", ONE),
    "load a file": ("LOAD '{outside}/x.duckdb_extension'", ONE),
    "update extensions": ("UPDATE EXTENSIONS", ONE),
    "set": ("SET memory_limit = '100GB'", ONE),
    "set global": ("SET GLOBAL threads = 64", ONE),
    "set a variable": ("SET VARIABLE x = 1", ONE),
    "unlock": ("SET lock_configuration = false", ONE),
    "open up": ("SET enable_external_access = true", ONE),
    "reset": ("RESET enable_external_access", ONE),
    "pragma": ("PRAGMA memory_limit = '100GB'", ONE),
    "pragma that reads": ("PRAGMA database_list", ONE),
    "call": ("CALL pragma_version()", ONE),
    "call that changes": ("CALL enable_logging()", ONE),
    "prepare": ("PREPARE x AS COPY clips TO '{outside}/x.csv'", ONE),
    "execute": ("EXECUTE x", ONE),
    "deallocate": ("DEALLOCATE x", ONE),
    "begin": ("BEGIN", ONE),
    "commit": ("COMMIT", ONE),
    "checkpoint": ("CHECKPOINT", ONE),
    "force a checkpoint": ("FORCE CHECKPOINT", ONE),
    "checkpoint as a function": ("FROM checkpoint()", SOURCE),
    "vacuum": ("VACUUM", ONE),
    "analyze": ("ANALYZE clips", ONE),
    "comment": ("COMMENT ON VIEW clips IS 'x'", ONE),
    "pivot that makes a type": ("PIVOT clips ON part USING count(*)", ONE),
    # Left its entry behind on DuckDB 2.0.0.
    "register a resource": ("FROM register_external_resource('a', 'b', MAP {'x': 'y'})", SOURCE),
    "write a log": ("SELECT write_log('x')", FUNCTION),
    "seed the dice": ("SELECT setseed(0.5)", FUNCTION),
    "next value": ("SELECT nextval('x')", FUNCTION),
    "sleep": ("SELECT sleep_ms(10)", FUNCTION),
    "sleep by a macro": ("SELECT pg_sleep(0.01)", FUNCTION),
    "an internal function": ("SELECT __internal_decompress_string(1)", FUNCTION),
    "an internal function by its whole name": ("SELECT system.main.write_log('x')", FUNCTION),
    "a function of Python's": ("FROM python_map_function((SELECT 1))", SOURCE),
}

READS: dict[str, tuple[str, str]] = {
    "read a text": ("FROM read_text('{outside}/secret.txt')", SOURCE),
    "read bytes": ("FROM read_blob('{outside}/secret.txt')", SOURCE),
    "read CSV": ("FROM read_csv('{outside}/secret.csv')", SOURCE),
    "read CSV, auto": ("FROM read_csv_auto('{outside}/secret.csv')", SOURCE),
    "read JSON": ("FROM read_json('{outside}/secret.txt')", SOURCE),
    "read lines": ("FROM read_ndjson_objects('{outside}/secret.txt')", SOURCE),
    "read parquet": ("FROM read_parquet('{outside}/secret.parquet')", SOURCE),
    "read parquet by its other name": ("FROM parquet_scan('{outside}/secret.parquet')", SOURCE),
    "read parquet's footer": ("FROM parquet_metadata('{outside}/secret.parquet')", SOURCE),
    "read a database": ("FROM read_duckdb('{outside}/secret.txt')", SOURCE),
    "read by a link": ("FROM read_text('{outside}/link.txt')", SOURCE),
    "read by dots": ("FROM read_text('{catalog}/../outside/secret.txt')", SOURCE),
    "read by dots below a table": ("FROM read_text('{catalog}/clips.parquet/../../outside/secret.txt')", SOURCE),
    "read a list": ("FROM read_text(['{catalog}/clips.parquet', '{outside}/secret.txt'])", SOURCE),
    "read by a pattern": ("FROM read_text('{outside}/sec*')", SOURCE),
    "read by a scheme": ("FROM read_text('file://{outside}/secret.txt')", SOURCE),
    "read passwords": ("FROM read_text('/etc/passwd')", SOURCE),
    "read the environment": ("FROM read_text('/proc/self/environ')", SOURCE),
    "read a server": ("FROM read_text('http://127.0.0.1:9/x')", SOURCE),
    "read a bucket": ("FROM read_parquet('s3://bucket/x.parquet')", SOURCE),
    "read in an expression": ("SELECT (SELECT content FROM read_text('{outside}/secret.txt'))", SOURCE),
    "read in a CTE": ("WITH x AS (FROM read_text('{outside}/secret.txt')) FROM x", SOURCE),
    "read sideways": ("SELECT * FROM clips, LATERAL (FROM read_text('{outside}/secret.txt'))", SOURCE),
    "read in upper case": ("FROM READ_TEXT('{outside}/secret.txt')", SOURCE),
    "read in quotes": ("FROM \"read_text\"('{outside}/secret.txt')", SOURCE),
    "sniff": ("FROM sniff_csv('{outside}/secret.csv')", SOURCE),
    "list files": ("FROM glob('{outside}/*')", SOURCE),
    "a file as a table": ("FROM '{outside}/secret.csv'", TABLE),
    "a file as a name": ('FROM "{outside}/secret.csv"', TABLE),
    "a table by its name as text": ("FROM query_table('{outside}/secret.csv')", SOURCE),
    "a text as SQL": ("FROM query('SELECT 1')", SOURCE),
    "describe a file": ("DESCRIBE FROM '{outside}/secret.csv'", TABLE),
    "summarize a file": ("SUMMARIZE '{outside}/secret.csv'", f"{TABLE}|{PARSER}"),
    "a variable of Python's": ("FROM secret_rows", TABLE),
    "a variable of Python's by its schema": ("FROM python.secret_rows", TABLE),
    "a pointer": ("FROM arrow_scan(1, 2, 3)", SOURCE),
    "a frame": ("FROM pandas_scan(1)", SOURCE),
    "the environment": ("SELECT getenv('HOME')", "getenv"),
    "a setting": ("SELECT current_setting('allowed_paths')", FUNCTION),
    "the settings": ("FROM duckdb_settings()", SOURCE),
    "the secrets": ("FROM duckdb_secrets()", SOURCE),
    "which secret": ("FROM which_secret('s3://x', 's3')", SOURCE),
    "the views' texts": ("FROM duckdb_views()", SOURCE),
    "a view's text by a macro": ("SELECT pg_get_viewdef(1)", FUNCTION),
    "the views": ("SELECT sql FROM duckdb_views", TABLE),
    "SQLite's tables": ("SELECT sql FROM sqlite_master", TABLE),
    "Postgres' views": ("FROM pg_catalog.pg_views", TABLE),
    "the standard's views": ("FROM information_schema.views", TABLE),
    "a schema's views in quotes": ('FROM "information_schema"."views"', TABLE),
    "a CTE as a cover": ("WITH duckdb_views AS (SELECT 1) SELECT * FROM (FROM duckdb_views)", TABLE),
    "show all": ("SHOW ALL TABLES", "expected SHOW TABLES"),
    "show databases": ("SHOW DATABASES", "expected SHOW TABLES"),
    "the query": ("SELECT current_query()", FUNCTION),
    "the log": ("FROM duckdb_logs()", SOURCE),
}

SHAPES: dict[str, tuple[str, str]] = {
    "nothing": ("", ONE),
    "a comment": ("-- nothing", ONE),
    "a semicolon": (";", ONE),
    "two statements": ("SELECT 1; SELECT 2", ONE),
    "a change after": ("SELECT 1; DROP VIEW clips", ONE),
    "a change before": ("DROP VIEW clips; SELECT 1", ONE),
    "an end of the wrap": ("SELECT 1) LIMIT 1; DROP VIEW clips; --", PARSER),
    "an end of the wrap and a comment": ("SELECT 1) --", PARSER),
    "an end of the wrap and another": ("SELECT 1) UNION ALL (SELECT 2", PARSER),
    "a bracket too many": ("SELECT 1)", PARSER),
    "a bracket too few": ("SELECT (1", PARSER),
    "an open comment": ("SELECT 1 /*", PARSER),
    "an open text": ("SELECT 'a", PARSER),
    "an open text in dollars": ("SELECT $$a", PARSER),
    "a parameter": ("SELECT ?", "without parameters"),
    "a parameter by name": ("SELECT $secret", "without parameters"),
    "a NUL": ("SELECT 1\0; DROP VIEW clips", "NUL"),
    "half a character": ("SELECT '\ud800'", "half a character"),
    "wide letters": ("ＳＥＬＥＣＴ 1", PARSER),
    "a wide semicolon": ("SELECT 1； DROP VIEW clips", PARSER),
    "a Cyrillic name": ("FROM rеad_text('{outside}/secret.txt')", SOURCE),  # its first e is Cyrillic
    "a byte-order mark": ("\ufeffDROP VIEW clips", f"{ONE}|{PARSER}"),
    "a space without width": ("DROP\u200b VIEW clips", f"{ONE}|{PARSER}"),
    "a very long text": ("SELECT '" + "x" * 200_000 + "'", "at most 100,000 bytes"),
    "brackets without end": ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "expression depth"),
    "subqueries without end": ("SELECT * FROM " + "(SELECT * FROM " * 2_000 + "clips" + ")" * 2_000, "levels deep"),
}

COSTS: dict[str, tuple[str, str]] = {
    "a long range": ("SELECT sum(i) FROM range(1000000000000) AS r(i)", "within 0.2 s"),
    "a long series": ("SELECT max(i) FROM generate_series(1, 1000000000000) AS r(i)", "within 0.2 s"),
    "a product": (
        "SELECT count(*) FROM " + ", ".join(f"clips AS c{n}" for n in range(9)),
        "within 0.2 s|at most 200MB",
    ),
    "a recursion": (
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r) SELECT max(i) FROM r",
        "within 0.2 s",
    ),
    "a text too long": ("SELECT length(repeat(repeat('x', 1000000), 1000000))", "Cannot create a string"),
    "a list too long": ("SELECT len(range(10000000000))", "Lists larger"),
    "an answer too large": ("SELECT repeat('x', 1000000) FROM range(100)", "at most 67,108,864 bytes"),
}
"""All but the last three never end. Held in this process too; those that are not stand in `test_sandbox`."""

ATTACKS = WRITES | CHANGES | READS | SHAPES | COSTS
