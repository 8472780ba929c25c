"""SQL with values bound to it: how a slice is put together without a text ever being pasted into SQL.

A condition is a piece of SQL with `?` marks, the values of these in order, and tables it names. Pieces are joined as texts, and
their values in the same order, so that every value meets its own mark.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any

import duckdb

from opens2v_data.errors import QueryError
from opens2v_data.query.hints import explain, nearest

if TYPE_CHECKING:
    import pyarrow as pa

Value = str | int | float | bool | None
"""What can be bound; lists of these too."""

MAX_LITERAL_IDS = 100_000
"""Ids written out in `literal`: 0.8 MB of text."""

OPERATORS = ("<=", ">=", "!=", "<", ">", "=")
_COMPARISON = re.compile(r"\s*(<=|>=|!=|==|<|>|=)?\s*([^<>=!\s].*?)\s*$", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A piece of SQL and what is bound to it.

    Attributes:
        sql: with a `?` for each value.
        values: in order of their marks.
        tables: Arrow tables that it names, each by a name of its own, with one column `clip_id`.
    """

    sql: str
    values: tuple[Any, ...] = ()
    tables: Mapping[str, pa.Table] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Check that marks and values match.

        Raises:
            ValueError: they do not; the message has both numbers.
        """
        if (found := len(marks(self.sql))) != len(self.values):
            raise ValueError(
                f"expected {found} values for the {found} marks `?` in {self.sql!r}, got {len(self.values)}"
            )

    def literal(self) -> str:
        """Return the SQL with its values written out, for where only a text can go.

        Raises:
            QueryError: more than `MAX_LITERAL_IDS` ids of a table.
        """
        text = self.sql.encode()
        written: list[str] = []
        at = 0
        for place, value in zip([*marks(self.sql), len(text)], [*self.values, None], strict=True):
            piece = text[at:place].decode()
            for name, table in self.tables.items():
                piece = piece.replace(name, _ids_literal(table))
            written += [piece, literal(value) if place < len(text) else ""]
            at = place + 1
        return "".join(written)


def _ids_literal(table: pa.Table) -> str:
    if table.num_rows > MAX_LITERAL_IDS:
        raise QueryError(
            f"the slice holds {table.num_rows:,} ids, which are too many to write out as SQL (at most "
            f"{MAX_LITERAL_IDS:,}): give the slice itself, or save it and give the file"
        )
    return f"(SELECT unnest([{', '.join(map(str, table.column('clip_id').to_pylist()))}]::INTEGER[]) AS clip_id)"


def bind(sql: str, values: Sequence[Any], *, names: Iterable[str] = ()) -> Bound:
    """Check a user's condition and bind values to its marks.

    Args:
        sql: one SQL condition, with `?` where values go.
        values: for the marks, in order.
        names: that a condition can use, for the message.

    Raises:
        QueryError: it is not one condition; the message shows the place.
        ValueError: marks and values differ in number, or a mark is no plain `?`.
        TypeError: a value that cannot be bound.
    """
    if not isinstance(sql, str) or not sql.strip():
        raise ValueError(f"expected a SQL condition as text, got {sql!r}")
    check_statement(sql)
    for value in values:
        check_value(value)
    example = "aesthetic > ? AND has_subject(clip_id, ?)"
    try:
        # On its own it must be SQL as well: brackets in it could end those around it, and let it out.
        for text in (f"SELECT {sql}", f"SELECT ({sql}\n)"):
            statements = duckdb.extract_statements(text)
            if len(statements) != 1:
                raise QueryError(f"{sql!r} is several SQL statements, expected one condition, for example {example}")
            # A number or name of their own would take the values of other conditions.
            if _numbered(sql) or len(statements[0].named_parameters) != len(marks(sql)):
                raise ValueError(
                    f"expected values as plain `?` in {sql!r}, found named or numbered ones; write {example}"
                )
    except duckdb.Error as error:
        raise QueryError(f"{sql!r} is no SQL condition: {explain(error, sql, names=names, example=example)}") from error
    return Bound(sql=sql, values=tuple(values))


def marks(sql: str) -> list[int]:
    """Return the byte offsets of the marks `?` in some SQL: not those in texts, names and comments."""
    if "?" not in sql:
        return []
    text = sql.encode()
    tokens = duckdb.tokenize(sql)
    return [at for at, kind in tokens if kind == duckdb.token_type.operator and text[at : at + 1] == b"?"]


def _numbered(sql: str) -> bool:
    """Return whether some SQL has marks like `?1`, `$1` or `$name`."""
    if "?" not in sql and "$" not in sql:
        return False
    text, tokens = sql.encode(), duckdb.tokenize(sql)
    after = [*(kind for _, kind in tokens[1:]), None]
    return any(
        text[at : at + 1] == b"$" or (text[at : at + 1] == b"?" and following == duckdb.token_type.numeric_const)
        for (at, kind), following in zip(tokens, after, strict=True)
        if kind == duckdb.token_type.operator
    )


def literal(value: Any) -> str:
    """Return a value as SQL that means the same.

    Raises:
        TypeError: see `check_value`.
    """
    check_value(value)
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return _signed(str(int(value)))
    if isinstance(value, float):
        if math.isfinite(value):
            # `float`: NumPy's own float64 shows its type.
            return _signed(f"{float(value)!r}::DOUBLE")
        return f"'{'nan' if math.isnan(value) else 'inf' if value > 0 else '-inf'}'::DOUBLE"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "[" + ", ".join(map(literal, value)) + "]"


def _signed(number: str) -> str:
    # After a minus, another one would begin a comment.
    return f"({number})" if number.startswith("-") else number


def check_statement(sql: str) -> None:
    """Refuse what cannot be SQL.

    Raises:
        TypeError: no text.
        ValueError: no Unicode (lone surrogates), or U+0000 in it.
    """
    if not isinstance(sql, str):
        raise TypeError(f"expected SQL as text, got {type(sql).__name__}")
    check_value(sql)


def check_value(value: Any) -> None:
    """Refuse what cannot be bound and written out alike.

    Raises:
        TypeError: not a text, number, bool, None or a list of these of one kind.
        ValueError: a text that is no Unicode (lone surrogates), or holds U+0000; an integer beyond 64 bits.
    """
    if isinstance(value, list | tuple):
        if any(isinstance(one, list | tuple) for one in value):
            raise TypeError("expected a flat list of texts, numbers or bools, got a list in a list")
        for one in value:
            check_value(one)
        if len({(isinstance(one, str), isinstance(one, bool)) for one in value if one is not None}) > 1:
            raise TypeError(f"expected a list of texts, of numbers or of bools, got several kinds in {value!r}")
        return
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError(f"a text in SQL must be Unicode without U+0000, got {value!r}")
        return
    if isinstance(value, int) and not isinstance(value, bool):
        if not -(2**63) <= value < 2**63:
            raise ValueError(f"an integer in SQL must fit 64 bits, got {value}")
        return
    if value is not None and not isinstance(value, float | bool):
        raise TypeError(
            f"expected a text, a number, a bool, None or a list of these to bind, got {type(value).__name__}"
        )


def identifier(name: str, known: Iterable[str], *, of: str = "clips") -> str:
    """Return a column's name, quoted for SQL.

    Raises:
        QueryError: there is no such column; the message names near ones.
    """
    names = list(known)
    if not isinstance(name, str) or name not in names:
        near = nearest(str(name), names)
        hint = f"; nearest names: {', '.join(near)}" if near else f"; it has {', '.join(names)}"
        raise QueryError(f"{of} has no column {name!r}{hint}")
    return '"' + name.replace('"', '""') + '"'


def comparison(column: str, wanted: str | float, *, what: str) -> Bound:
    """Return a condition on a column: `0.3` and `">=0.3"` mean at least, `"<0.3"`, `"0.3..0.5"` (half-open) and so on.

    Raises:
        ValueError: it is no comparison with a number.
    """
    expected = f'expected a number, ">0.3", "<=0.5" or "0.3..0.5" for {what}, got {wanted!r}'
    if isinstance(wanted, Real) and not isinstance(wanted, bool):
        return Bound(sql=f"{column} >= ?", values=(_number(wanted, expected),))
    if not isinstance(wanted, str):
        raise ValueError(expected)
    if ".." in wanted:
        low, _, high = wanted.partition("..")
        return Bound(sql=f"{column} >= ? AND {column} < ?", values=(_number(low, expected), _number(high, expected)))
    found = _COMPARISON.match(wanted)
    if found is None:
        raise ValueError(expected)
    sign = {None: ">=", "==": "="}.get(found[1], found[1])
    return Bound(sql=f"{column} {sign} ?", values=(_number(found[2], expected),))


def exact_path(path: str) -> str:
    """Return a file's path for `read_parquet`, to which `*`, `?` and `[` are patterns of paths otherwise.

    DuckDB takes a backslash beside these for the end of a folder's name: such a file is not found.
    """
    return re.sub(r"[*?\[]", r"[\g<0>]", path)


def all_of(conditions: Iterable[Bound]) -> Bound:
    """Return the condition that all of some hold; `true` of none."""
    return _joined(list(conditions), " AND ", "true")


def any_of(conditions: Iterable[Bound]) -> Bound:
    """Return the condition that one of some holds at least; `false` of none."""
    return _joined(list(conditions), " OR ", "false")


def not_(condition: Bound) -> Bound:
    """Return the condition that one does not hold; where it is null, it does not."""
    # A number is a condition as well, as in WHERE.
    return Bound(
        sql=f"NOT coalesce((\n{condition.sql}\n)::BOOLEAN, false)", values=condition.values, tables=condition.tables
    )


def _joined(conditions: list[Bound], by: str, nothing: str) -> Bound:
    if not conditions:
        return Bound(sql=nothing)
    # The second line break ends a comment that a condition may end with; on its own lines, it is all that a message shows of it.
    text = by.join(f"(\n{condition.sql}\n)" for condition in conditions)
    values = tuple(value for condition in conditions for value in condition.values)
    tables = {name: table for condition in conditions for name, table in condition.tables.items()}
    return Bound(sql=text, values=values, tables=tables)


def _number(wanted: str | Real, expected: str) -> float:
    try:
        value = float(wanted)
    except (ValueError, OverflowError) as error:
        raise ValueError(expected) from error
    if math.isnan(value):
        raise ValueError(expected)
    return value
