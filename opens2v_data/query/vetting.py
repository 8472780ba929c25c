"""Whether a stranger's statement only reads: judged by DuckDB's own parse of it, before it is run.

DuckDB says what it parsed as JSON (`json_serialize_sql`). Each node in it must be of a kind known to read, each table one of the
catalog's views or a CTE, each table function one of a few that read no file, each function without a side effect. What a later
version of DuckDB adds is refused until it is listed here.

Why the settings and the wrap do not suffice: on DuckDB 2.0.0
`FROM json_execute_serialized_sql(json_serialize_sql('WITH x AS (COPY … TO ''clips.parquet'' (USE_TMP_FILE false)) FROM x'))`
passed all of them and overwrote a file of `allowed_paths`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

import duckdb
import msgspec

from opens2v_data.errors import QueryError

MAX_SQL_BYTES = 100_000
"""Of one statement: ten thousand ids in an IN list fit. Longer ones spend seconds in the planner, which heeds no interrupt."""

TABLE_FUNCTIONS = frozenset({"generate_series", "json_each", "json_tree", "range", "repeat", "unnest"})
"""Table functions that read their arguments and nothing else."""

VOLATILE_FUNCTIONS = frozenset({"error", "gen_random_uuid", "random", "uuid", "uuidv4", "uuidv7"})
"""Functions that DuckDB says have a side effect, and which leave nothing behind."""

TELLING_FUNCTIONS = frozenset({"current_setting", "getvariable"})
"""Functions that tell how the server is set up, such as where the catalog lies."""

_VALUES = frozenset(
    {"COLUMN_REF", "CONSTANT", "LAMBDA", "LAMBDA_REF", "POSITIONAL_REFERENCE", "STAR", "SUBQUERY", "TYPE"}
)
_OPERATIONS = frozenset(
    {"BETWEEN", "CASE", "CAST", "COLLATE", "COMPARISON", "CONJUNCTION", "FUNCTION", "OPERATOR", "WINDOW"}
)
_CLASSES = _VALUES | _OPERATIONS
"""Of expressions. Not among them: PARAMETER, which has no value here, and DEFAULT."""

_QUERIES = frozenset({"CTE_NODE", "RECURSIVE_CTE_NODE", "SELECT_NODE", "SET_OPERATION_NODE"})
_SOURCES = frozenset(
    {"BASE_TABLE", "EMPTY", "EXPRESSION_LIST", "JOIN", "PIVOT", "SHOW_REF", "SUBQUERY", "TABLE_FUNCTION"}
)
_MODIFIERS = frozenset({"DISTINCT_MODIFIER", "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER", "ORDER_MODIFIER"})
_KINDS = _QUERIES | _SOURCES | _MODIFIERS | {"ASCENDING", "DESCENDING", "ORDER_DEFAULT"}
"""Of what is no expression. Not among them: COPY_QUERY_NODE and its like."""

_SHOWN = frozenset({"DESCRIBE", "SUMMARY"})
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a statement may name, in lower case.

    Attributes:
        tables: the catalog's views.
        hidden: DuckDB's own tables and views, which a CTE's name does not open.
        refused: functions that it may not call.
    """

    tables: frozenset[str]
    hidden: frozenset[str]
    refused: frozenset[str]


def read_rules(connection: duckdb.DuckDBPyConnection, *, tables: Iterable[str]) -> Rules:
    """Return the rules for a connection: what its version of DuckDB has, less what only reads.

    Raises:
        QueryError: this DuckDB cannot say what it parsed.
    """
    functions = connection.execute(
        "SELECT lower(function_name), function_type, coalesce(has_side_effects, false), coalesce(macro_definition, '')"
        " FROM duckdb_functions() WHERE internal"
    ).fetchall()
    if not any(name == "json_serialize_sql" for name, *_ in functions):
        raise QueryError(
            f"safe SQL needs a DuckDB with its json extension built in, found {duckdb.__version__} without; "
            "install duckdb from its own wheels"
        )
    refused = {name for name, _, has_effects, _ in functions if has_effects} - VOLATILE_FUNCTIONS
    refused |= {name for name, *_ in functions if name.startswith("__")} | TELLING_FUNCTIONS
    scalars = {name for name, kind, *_ in functions if not kind.startswith("table")}
    # A macro calls what its text names: pg_sleep, for one, is sleep_ms.
    calls = refused | {name for name, kind, *_ in functions if kind == "table"} - TABLE_FUNCTIONS - scalars
    macros = [(name, set(_WORD.findall(text.lower())) - {name}) for name, kind, _, text in functions if kind == "macro"]
    while found := {name for name, words in macros if words & calls} - refused:
        refused |= found
        calls |= found
    hidden = connection.execute(
        "SELECT lower(view_name) FROM duckdb_views() WHERE internal"
        " UNION SELECT lower(table_name) FROM duckdb_tables() WHERE internal"
    ).fetchall()
    return Rules(
        tables=frozenset(name.lower() for name in tables),
        hidden=frozenset(name for (name,) in hidden),
        refused=frozenset(refused),
    )


def vet(cursor: duckdb.DuckDBPyConnection, sql: str, *, rules: Rules, limit: int) -> str:
    """Return what to run for a stranger's statement: the same, cut after some rows.

    Args:
        cursor: parses it; runs nothing of it.
        sql: what the stranger wrote, see `check_text`.
        rules: what it may name.
        limit: rows to give at most.

    Raises:
        QueryError: it is not one SELECT that only reads.
        duckdb.Error: it is no SQL.
    """
    _check_single(cursor, sql)
    # Alone it is whole SQL, so brackets in it cannot end these; the line breaks end its comments. Inside brackets a CTE that
    # writes is refused ("must be at the top level").
    text = f"SELECT * FROM (\n{_without_end(sql)}\n) LIMIT {int(limit)}"
    _check_single(cursor, text)
    (parsed,) = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()
    try:
        tree = msgspec.json.decode(parsed[0])
    except RecursionError as error:
        raise QueryError(
            "expected a statement nested less than some hundred levels deep, found more; join fewer tables at once, or "
            "put what is repeated into WITH"
        ) from error
    if tree["error"]:
        raise QueryError(f"expected a SELECT that can be checked before it runs, found: {tree.get('error_message')}")
    _check_tree(tree["statements"], rules)
    return text


def check_text(sql: str) -> None:
    """Check what needs no parser: that a text is short enough, and holds no character that parsers disagree about.

    Raises:
        QueryError: it does not.
    """
    try:
        size = len(sql.encode())
    except UnicodeEncodeError as error:
        raise QueryError(f"expected SQL as Unicode text, found half a character at position {error.start}") from error
    if size > MAX_SQL_BYTES:
        raise QueryError(
            f"expected SQL of at most {MAX_SQL_BYTES:,} bytes, found {size:,}; put long lists into a slice"
        )
    if "\0" in sql:
        raise QueryError(f"expected SQL without NUL characters, found one at position {sql.index(chr(0))}")


def _check_single(cursor: duckdb.DuckDBPyConnection, sql: str) -> None:
    statements = cursor.extract_statements(sql)
    kinds = [_kind(statement) for statement in statements]
    if kinds != ["SELECT"]:
        raise QueryError(
            f"expected one SELECT, found {' and '.join(kinds) or 'nothing'}: safe SQL reads and never changes anything; "
            "for example: SELECT part, count(*) FROM clips GROUP BY part"
        )
    if statements[0].named_parameters:
        names = ", ".join(sorted(statements[0].named_parameters))
        raise QueryError(f"expected a statement without parameters, found {names}; write the values into the statement")


def _kind(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:
        return "a statement that Python has no name for"  # UPDATE EXTENSIONS on DuckDB 2.0.0


def _without_end(sql: str) -> str:
    """Return a statement without the semicolons after it."""
    text = sql.encode()
    kept = len(text)
    for start, kind in reversed(duckdb.tokenize(sql)):
        if kind == duckdb.token_type.comment:
            continue
        if text[start : start + 1] != b";":
            break
        kept = start
    return text[:kept].decode()


def _check_tree(statements: Any, rules: Rules) -> None:
    nodes = list(_nodes(statements))
    named = {str(entry["key"]).lower() for node in nodes for entry in _entries(node)}
    tables = rules.tables | (named - rules.hidden)
    for node in nodes:
        kind, of_class = node.get("type"), node.get("class")
        if of_class is not None and of_class not in _CLASSES:
            raise QueryError(f"expected a SELECT that only reads, found {of_class} in it, which safe SQL does not know")
        if of_class is None and isinstance(kind, str) and kind not in _KINDS:
            raise QueryError(f"expected a SELECT that only reads, found {kind} in it, which safe SQL does not allow")
        if of_class is None and kind == "BASE_TABLE":
            _check_table(node, tables, rules)
        elif of_class is None and kind == "SHOW_REF":
            _check_shown(node)
        elif of_class is None and kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name")).lower()
            if name not in TABLE_FUNCTIONS:
                known = ", ".join(sorted(TABLE_FUNCTIONS))
                raise QueryError(f"expected one of the table functions {known}, found {name}; safe SQL allows no other")
        elif of_class in ("FUNCTION", "WINDOW"):
            name = str(node.get("function_name")).lower()
            if name in rules.refused:
                raise QueryError(f"expected functions that only compute, found {name}; safe SQL does not allow it")


def _check_table(node: dict[str, Any], tables: Set[str], rules: Rules) -> None:
    name = str(node.get("table_name"))
    place = [str(node[key]) for key in ("catalog_name", "schema_name") if node.get(key)]
    if place and [part.lower() for part in place] not in (["main"], ["memory", "main"]):
        raise QueryError(f"expected a table of the catalog, found {'.'.join([*place, name])!r}; leave its schema out")
    if name.lower() not in (rules.tables if place else tables):
        known = ", ".join(sorted(rules.tables))
        raise QueryError(f"expected a table of the catalog, found {name!r}; there are {known}")


def _check_shown(node: dict[str, Any]) -> None:
    # DESCRIBE and SUMMARIZE hold a query, which is checked as any other; the rest is a name.
    named = str(node.get("table_name") or "").strip('"')
    if not (node.get("query") and node.get("show_type") in _SHOWN) and named != "tables":
        raise QueryError(
            f"expected SHOW TABLES, DESCRIBE or SUMMARIZE, found another SHOW ({named}); see DESCRIBE clips"
        )


def _entries(node: dict[str, Any]) -> list[Any]:
    """Return a query node's CTEs."""
    held = node.get("cte_map")
    return list(held.get("map") or ()) if isinstance(held, dict) else []


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Give every object of a tree."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
