"""Values bound to marks, and the same written out; DuckDB itself is the second opinion."""

from __future__ import annotations

import math
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.errors import QueryError
from opens2v_data.query.bound import (
    Bound,
    all_of,
    any_of,
    bind,
    check_value,
    comparison,
    exact_path,
    identifier,
    literal,
    marks,
    not_,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
HARD = st.sampled_from(
    ["'", "''", "?", "$1", "--", "/*", "*/", ";", "\\", "'); DROP VIEW clips; --", "$$", "\n", "\U0001f600", "E'"]
)
NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.sampled_from([0.0, -0.0, 5e-324, 2**31, -(2**31) - 1]),
)
VALUES = st.one_of(
    st.none(),
    NUMBERS,
    TEXTS,
    HARD,
    st.lists(TEXTS | HARD | st.none(), max_size=4),
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), max_size=4),
    st.lists(st.floats() | st.integers(-1000, 1000), max_size=4),
    st.lists(st.booleans() | st.none(), max_size=4),
)


@pytest.fixture(scope="module")
def database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def alike(one: Any, other: Any) -> bool:
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (
            one == other and math.copysign(1, one) == math.copysign(1, other)
        )
    return type(one) is type(other) and one == other


@settings(max_examples=150, deadline=None)
@given(value=VALUES)
def test_a_value_written_out_is_the_value_that_is_bound(database: duckdb.DuckDBPyConnection, value: Any) -> None:
    bound = database.execute("SELECT ? AS value, typeof(?)", [value, value]).fetchall()[0]
    written = database.execute(f"SELECT {literal(value)} AS value, typeof({literal(value)})").fetchall()[0]
    assert alike(bound[0], written[0])
    assert bound[1] == written[1]


@settings(max_examples=40, deadline=None)
@given(number=NUMBERS.filter(lambda value: not isinstance(value, bool)), sign=st.sampled_from(["-", "- ", "0 -", "+"]))
def test_a_number_after_a_minus_begins_no_comment(
    database: duckdb.DuckDBPyConnection, number: float, sign: str
) -> None:
    written = Bound(sql=f"SELECT {sign}?::DOUBLE, 7", values=(number,)).literal()
    expected = database.execute(f"SELECT {sign}?::DOUBLE, 7", [number]).fetchall()[0]
    assert alike(list(database.execute(written).fetchall()[0]), list(expected))


def test_numbers_of_numpy_that_are_floats_are_written_as_numbers() -> None:
    assert literal(np.float64(-1.5)) == "(-1.5::DOUBLE)"


# -- marks

PIECES = [
    "?",
    "'a ? b'",
    '"a?b"',
    "$$ ? $$",
    "$q$ ? $q$",
    "E'\\'?'",
    "/* ? */",
    "-- ?\n",
    "\U0001f600é",
    "x",
    "(",
    ",",
    ">",
    "::INTEGER",
    "1",
    "''''",
]


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=8))
def test_marks_are_those_that_duckdb_binds(pieces: list[str]) -> None:
    text = "SELECT " + " ".join(pieces)
    try:
        (statement,) = duckdb.extract_statements(text)
    except (duckdb.Error, ValueError):
        return  # no statement
    found = marks(text)
    assert all(text.encode()[at : at + 1] == b"?" for at in found)
    try:
        bind(" ".join(pieces), [1] * len(found))
    except (QueryError, ValueError):
        return
    assert len(statement.named_parameters) == len(found)


@pytest.mark.parametrize(
    ("sql", "number"),
    [
        ("aesthetic >?", 1),
        ("a IN(?,?)", 2),
        ("'é\U0001f600?' = ? -- ?", 1),
        ("-?", 1),
        ("?::INTEGER", 1),
        ("[?][1]", 1),
        ("$$?$$ = ?", 1),
        ('"?" = ?', 1),
        ("/* ? ' */ ?", 1),
        ("CASE ? WHEN 1 THEN ? END", 2),
    ],
)
def test_a_condition_takes_as_many_values_as_it_has_marks(sql: str, number: int) -> None:
    assert bind(sql, [1] * number).values == (1,) * number
    for wrong in (number - 1, number + 1):
        with pytest.raises(
            ValueError, match=f"expected {number} values for the {number} marks `\\?` in .*, got {wrong}"
        ):
            bind(sql, [1] * wrong)


@pytest.mark.parametrize("sql", ["aesthetic > $1", "?1 = 5", "? 1 = 5", "? = $1", "$1 = ?", "?2 = ?1", "$least < 3"])
@pytest.mark.parametrize("values", [(), (1,), (1, 2)])
def test_marks_with_a_number_or_name_would_take_values_of_others_and_are_refused(
    sql: str, values: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"expected values as plain `\?` in .*, found named or numbered ones"):
        bind(sql, values)


@pytest.mark.parametrize(
    "sql",
    [
        "true) OR (true", "true)", "(true", "true; SELECT 1", "true /*", "'", '"', "aesthetic >", "SELECT 1", "true FROM clips",
        "1 ORDER BY 1", "'); DROP VIEW clips; --", "true LIMIT 1", "1, 2; 3", "((((", "[", "{", "CASE WHEN",
    ],
)  # fmt: skip
def test_what_is_no_condition_alone_is_refused_with_its_place_and_an_example(sql: str) -> None:
    with pytest.raises(
        QueryError, match=r"(?s)(is no SQL condition|is several SQL statements).*example:? aesthetic > \?"
    ):
        bind(sql, [])


@pytest.mark.parametrize("sql", ["", "  \n", None, 5, b"true"])
def test_a_condition_is_a_text(sql: Any) -> None:
    with pytest.raises(ValueError, match="expected a SQL condition as text, got"):
        bind(sql, [])


@pytest.mark.parametrize("sql", ["true\0", "'\ud800'", "\udcff"])
def test_a_condition_is_unicode(sql: str) -> None:
    with pytest.raises(ValueError, match="must be Unicode without U"):
        bind(sql, [])


# -- values


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (object(), TypeError, "expected a text, a number, a bool, None or a list of these to bind, got object"),
        (b"x", TypeError, "got bytes"),
        ({"a": 1}, TypeError, "got dict"),
        ([[1]], TypeError, "a list in a list"),
        (["a", 1], TypeError, "got several kinds in"),
        ([True, 1.5], TypeError, "got several kinds in"),
        ([object()], TypeError, "got object"),
        (2**63, ValueError, "must fit 64 bits, got 9223372036854775808"),
        ([-(2**63) - 1], ValueError, "must fit 64 bits"),
        ("a\0", ValueError, "must be Unicode without U"),
        (["\ud800"], ValueError, "must be Unicode without U"),
    ],
)
def test_what_cannot_be_bound_and_written_alike_is_refused(value: Any, error: type[Exception], message: str) -> None:
    for check in (check_value, literal, lambda value: bind("? IS NULL", [value])):
        with pytest.raises(error, match=message):
            check(value)


# -- comparisons, names, paths


@settings(max_examples=60, deadline=None)
@given(
    wanted=st.one_of(
        TEXTS, HARD, st.floats(), st.integers(-(10**400), 10**400), st.none(), st.booleans(), st.lists(st.integers())
    )
)
def test_a_comparison_is_with_a_number_or_refused(database: duckdb.DuckDBPyConnection, wanted: Any) -> None:
    made: Bound | None = None
    refusal = ""
    try:
        made = comparison("x", wanted, what="x")
    except ValueError as error:
        refusal = str(error)
    if made is None:
        assert refusal.startswith('expected a number, ">0.3", "<=0.5" or "0.3..0.5" for x, got')
        return
    assert all(isinstance(value, float) and not math.isnan(value) for value in made.values)
    database.execute(f"SELECT {made.sql} FROM (SELECT 1.5 AS x)", list(made.values)).fetchall()


@settings(max_examples=60, deadline=None)
@given(name=st.text(max_size=8) | st.sampled_from(['a"b', "clip_id", "aesthetics", 'clip_id" OR "x']))
def test_a_column_is_one_that_is_known(name: str) -> None:
    known = ["clip_id", "aesthetic", 'a"b']
    if name in known:
        assert identifier(name, known) == '"' + name.replace('"', '""') + '"'
        return
    with pytest.raises(QueryError, match=r"clips has no column .*(nearest names|it has clip_id, aesthetic)"):
        identifier(name, known)


@settings(max_examples=25, deadline=None)
@given(name=st.text(st.sampled_from("ab*?[]{} '=\U0001f600"), min_size=1, max_size=6))
def test_a_path_is_one_file_whatever_it_is_called(
    database: duckdb.DuckDBPyConnection, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("paths")
    for other in (name, "a", "aa", "ab", "b"):
        pq.write_table(pa.table({"name": [other]}), folder / f"{other}.parquet")
    found = database.execute(
        "SELECT name FROM read_parquet(?)", [exact_path(str(folder / f"{name}.parquet"))]
    ).fetchall()
    assert found == [(name,)]


# -- joined conditions

TRUTHS = {
    "true": True,
    "false": False,
    "NULL": None,
    "0": False,
    "2.5": True,
    "'true'": True,
    "true -- 'x'": True,
    "/* ) */ false": False,
}


@settings(max_examples=60, deadline=None)
@given(some=st.lists(st.sampled_from(sorted(TRUTHS)), max_size=4))
def test_all_any_and_none_are_as_in_logic(database: duckdb.DuckDBPyConnection, some: list[str]) -> None:
    conditions = [bind(sql, []) for sql in some]
    values = [TRUTHS[sql] for sql in some]

    def holds(condition: Bound) -> bool:
        return database.execute(f"SELECT 1 WHERE {condition.sql}", list(condition.values) or None).fetchall() == [(1,)]

    assert holds(all_of(conditions)) == all(value is True for value in values)
    assert holds(any_of(conditions)) == any(value is True for value in values)
    assert holds(not_(all_of(conditions))) == (not holds(all_of(conditions)))
    assert all(holds(not_(one)) == (TRUTHS[sql] is not True) for one, sql in zip(conditions, some, strict=True))
