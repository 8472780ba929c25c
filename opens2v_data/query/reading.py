"""Whether a statement of a trusted caller only reads: one SELECT, and nothing that writes inside of it.

A stranger's statement is for `vetting`.
"""

from __future__ import annotations

import re

import duckdb

from opens2v_data.errors import QueryError

_READING = frozenset({duckdb.StatementType.SELECT})
_EXPLAIN = re.compile(r"^\s*explain\b(?:\s*\([^)]*\))?(?:\s*analyze\b)?", re.IGNORECASE)
MAY_WRITE = re.compile(
    r"\bwith\b.*\b(copy|insert|update|delete|merge|create|export|attach|call)\b", re.IGNORECASE | re.DOTALL
)
"""Of a statement that is to be bound inside of a SELECT before it is run: DuckDB refuses there what writes."""


def check_reading(sql: str) -> None:
    """Refuse what is not one statement that reads.

    Raises:
        QueryError: several statements, or another kind.
        duckdb.Error: no SQL.
    """
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
