"""What a mistake is answered with: the place, near names, an example."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from opens2v_data.dataset import OpenS2V
from opens2v_data.errors import QueryError
from opens2v_data.query.hints import MAX_NAMES, explain, nearest

NAMES = ["clip_id", "aesthetic", "foreground_aesthetic", "motion", "captions", "has_subject"]


@pytest.fixture(scope="module")
def opened(sample_catalog: Path) -> OpenS2V:
    return opens2v_data.open(sample_catalog)


@pytest.mark.parametrize(
    ("condition", "place", "near"),
    [
        ("aesthetics > 5", "  aesthetics > 5\n  ^^^^^^^^^^\n", "nearest names: aesthetic"),
        ("aesthetic > 5\n  AND moton < 1", "    AND moton < 1\n        ^^^^^\n", "nearest names: motion"),
        ("clip_id IN (SELECT clip_id FROM caption)", "FROM caption)\n", "nearest names: caption"),
        ("has_subjects(clip_id, 'woman')", "  has_subjects(clip_id, 'woman')\n  ^", "nearest names: has_subject"),
        (
            "aesthetic > 'high'",
            "  aesthetic > 'high'\n              ^^^^^^",
            "Could not convert string 'high' to FLOAT",
        ),
        ("subject_tags > 5", "  subject_tags > 5\n  ^", "Cannot compare values of type VARCHAR"),
        ("aesthetic + part", "  aesthetic + part\n", "No operator matches|No function matches"),
        ("'\U0001f600' = part AND nowhere = 1", "nowhere = 1\n", "nowhere"),
    ],
)
def test_a_condition_that_cannot_be_answered_shows_the_place_near_names_and_an_example(
    opened: OpenS2V, condition: str, place: str, near: str
) -> None:
    for ask in (lambda: opened.where(condition).count(), lambda: opened.where(condition).sort("-motion").page()):
        with pytest.raises(QueryError, match=f"(?s){near}") as caught:
            ask()
        message = str(caught.value)
        assert place in message
        assert "example: SELECT part, count(*) FROM clips" in message
        assert "Traceback" not in message and "memory.main" not in message


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "SELECT aesthetics FROM clips",
            r"SELECT aesthetics FROM clips\n +\^+\nnearest names: aesthetic.*example: SELECT",
        ),
        ("SELECT * FROM clip", r"Table with name clip does not exist.*nearest names: .*clips"),
        ("SELECT * FROM tables", "Table with name tables does not exist"),
        ("SELEC 1", r"syntax error.*SELEC 1\n +\^"),
        ("SELECT gme FROM subjects", "nearest names: .*gme_score"),
        ("SELECT ?", "not provided for the following parameters: 1"),
        ("SELECT clip_id::DATE FROM clips", "Unimplemented type for cast|Conversion|cast"),
        ("", "expected one SELECT, found nothing"),
        ("SELECT 1; SELECT 2", "expected one SELECT, found SELECT, SELECT"),
        ("DROP VIEW clips", "expected one SELECT, found DROP; opens2v reads its tables and never changes them"),
        ("CREATE TABLE x (y INTEGER)", "expected one SELECT, found CREATE"),
        ("SET threads = 1", "expected one SELECT, found SET"),
        ("COPY clips TO 'x.csv'", "expected one SELECT, found COPY"),
    ],
)
def test_a_statement_that_cannot_be_answered_says_what_would_be(opened: OpenS2V, statement: str, message: str) -> None:
    with pytest.raises(QueryError, match=f"(?s){message}"):
        opened.sql(statement)


def test_python_variables_are_no_tables(opened: OpenS2V) -> None:
    found = opened.sql("SELECT 1 AS one")
    with pytest.raises(QueryError, match="Table with name found does not exist"):
        opened.sql("SELECT * FROM found")
    assert found.num_rows == 1


@pytest.mark.parametrize("statement", [None, 5, b"SELECT 1"])
def test_a_statement_is_a_text(opened: OpenS2V, statement: str) -> None:
    with pytest.raises(TypeError, match="expected SQL as text, got"):
        opened.sql(statement)


@settings(max_examples=120, deadline=None)
@given(
    sql=st.text(
        st.sampled_from("a'\"?$;()[]{}-/*\n \U0001f600é%") | st.characters(exclude_categories=["Cs"]), max_size=40
    )
    | st.builds("{}{}".format, st.text("é\U0001f600 ", max_size=300), st.sampled_from(["'", "nowhere + ", "("])),
    names=st.lists(st.text(max_size=5), max_size=4),
)
def test_whatever_duckdb_says_is_told(sql: str, names: list[str]) -> None:
    try:
        duckdb.extract_statements(f"SELECT {sql}")
    except duckdb.Error as error:
        message = explain(error, sql, names=names, example="SELECT 1")
        assert message.endswith("example: SELECT 1")
        assert message.split("\n")[0].strip()


@settings(max_examples=60, deadline=None)
@given(said=st.text(max_size=60) | st.text('LINE 1:^\n "', max_size=40), sql=st.text(max_size=20))
def test_odd_words_of_an_error_are_told_as_they_are(said: str, sql: str) -> None:
    assert isinstance(explain(duckdb.Error(said), sql, names=NAMES), str)
    assert isinstance(
        explain(duckdb.Error(f'Referenced column "{said}" not found\n\nLINE 1: {sql}\n   ^'), sql, names=NAMES), str
    )


@pytest.mark.parametrize(
    ("wanted", "near"),
    [
        ("aesthetics", ["aesthetic", "foreground_aesthetic"]),
        ("AESTHETIC", ["aesthetic", "foreground_aesthetic"]),
        ("Clip_ID", ["clip_id"]),
        ("has_subjects", ["has_subject"]),
        ("zzz", []),
        ("", []),
    ],
)
def test_near_names_are_slips_of_the_one_wanted(wanted: str, near: list[str]) -> None:
    assert nearest(wanted, NAMES) == near


@settings(max_examples=60, deadline=None)
@given(wanted=st.text(max_size=8), names=st.lists(st.text(max_size=8), max_size=12))
def test_near_names_are_known_and_few(wanted: str, names: list[str]) -> None:
    found = nearest(wanted, names)
    assert set(found) <= set(names) and len(found) <= MAX_NAMES
