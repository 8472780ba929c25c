"""`opens2v sql`: answers in every form; and no text, on any flag of the commands that ask, ends in a traceback."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from opens2v_data.cli import main

if TYPE_CHECKING:
    from cli.conftest import Run

STATEMENT = "SELECT part, count(*) AS n, avg(aesthetic) AS mean FROM clips GROUP BY part ORDER BY part"


def test_an_answer_is_the_librarys_in_every_form(opens2v: Run, sample_catalog: Path, tmp_path: Path) -> None:
    expected = opens2v_data.open(sample_catalog).sql(STATEMENT).to_pylist()
    assert json.loads(opens2v("sql", sample_catalog, STATEMENT, "--json").out) == expected
    table = list(csv.DictReader(io.StringIO(opens2v("sql", sample_catalog, STATEMENT, "--csv").out)))
    assert [(row["part"], int(row["n"]), float(row["mean"])) for row in table] == [
        tuple(row.values()) for row in expected
    ]
    opens2v("sql", sample_catalog, STATEMENT, "--parquet", tmp_path / "x.parquet")
    assert pq.ParquetFile(tmp_path / "x.parquet").read().to_pylist() == expected
    shown = opens2v("sql", sample_catalog, STATEMENT)
    assert (shown.code, shown.err) == (0, "")
    assert [line.split()[0] for line in shown.out.splitlines()] == ["part", *(row["part"] for row in expected)]


def test_a_statement_comes_from_a_file_or_standard_input(
    opens2v: Run, sample_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = opens2v("sql", sample_catalog, STATEMENT).out
    (tmp_path / "x.sql").write_text(f"-- 'what'\n{STATEMENT}\n", encoding="utf-8")
    assert opens2v("sql", sample_catalog, "--file", tmp_path / "x.sql").out == expected
    monkeypatch.setattr("sys.stdin", io.StringIO(STATEMENT))
    assert opens2v("sql", sample_catalog, "-").out == expected
    monkeypatch.setenv("OPENS2V_CATALOG", str(sample_catalog))
    assert opens2v("sql", STATEMENT).out == expected


def test_values_are_bound(opens2v: Run, sample_catalog: Path) -> None:
    attack = "'); DROP VIEW clips; --"
    shown = opens2v("sql", sample_catalog, "SELECT ? AS a, ? AS b", "--value", attack, "--value", "?", "--json")
    assert json.loads(shown.out) == [{"a": attack, "b": "?"}]


def test_rows_are_cut_and_that_is_told(opens2v: Run, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = opens2v("sql", sample_catalog, "SELECT clip_id FROM clips ORDER BY 1", "--max-rows", 2)
    assert shown.out.split() == ["clip_id", "0", "1"]
    assert shown.err.startswith("only the first 2 rows; --max-rows N")
    assert opens2v("sql", sample_catalog, "SELECT clip_id FROM clips", "--max-rows", 2, "--quiet").err == ""
    monkeypatch.setattr("opens2v_data.cli.sql.SHOWN_ROWS", 3)
    assert len(opens2v("sql", sample_catalog, "SELECT clip_id FROM clips").out.splitlines()) == 4
    every = json.loads(opens2v("sql", sample_catalog, "SELECT clip_id FROM clips", "--json").out)
    assert len(every) == len(opens2v_data.open(sample_catalog))


def test_columns_of_one_name_stay_apart(opens2v: Run, sample_catalog: Path) -> None:
    statement = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a"
    shown = opens2v("sql", sample_catalog, statement)
    assert shown.out.split() == ["a", "a_2", "a_1", "a_3", "1", "2", "3", "4"]
    assert list(json.loads(opens2v("sql", sample_catalog, statement, "--json").out)[0].values()) == [1, 2, 3, 4]


def test_numbers_that_json_lacks_are_null_and_the_rest_is_json(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v(
        "sql", sample_catalog, "SELECT 'nan'::DOUBLE AS a, {'b': ['inf'::FLOAT, 1]} AS c, 'x'::BLOB AS d", "--json"
    )

    def refuse(word: str) -> Any:
        raise AssertionError(word)

    assert json.loads(shown.out, parse_constant=refuse)[0]["c"] == {"b": [None, 1.0]}


def test_nothing_in_a_text_steers_the_terminal(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("sql", sample_catalog, "SELECT chr(27) || '[31mred' || chr(7) || chr(10) || 'x' AS text")
    assert shown.out.splitlines() == ["text", "\ufffd[31mred\ufffd x"]


@pytest.mark.parametrize("form", [(), ("--json",), ("--csv",)])
@pytest.mark.parametrize("value", ["'infinity'::TIMESTAMP", "'290000-01-01'::DATE"])
def test_a_value_that_python_has_not_is_told(
    opens2v: Run, sample_catalog: Path, form: tuple[str, ...], value: str
) -> None:
    shown = opens2v("sql", sample_catalog, f"SELECT {value} AS x", *form)
    assert shown.code == 1
    assert shown.err.startswith("error: a column cannot be given as it is") and "::VARCHAR" in shown.err


def test_a_type_that_parquet_has_not_is_told_and_leaves_nothing(
    opens2v: Run, sample_catalog: Path, tmp_path: Path
) -> None:
    file = tmp_path / "out" / "x.parquet"
    file.parent.mkdir()
    shown = opens2v("sql", sample_catalog, "SELECT INTERVAL 3 DAYS AS x", "--parquet", file)
    assert shown.code == 1 and "error: a column cannot be given as it is" in shown.err
    assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("SELECT aesthetics FROM clips",), 1, "         ^^^^^^^^^^\nnearest names: aesthetic"),
        (("SELECT * FROM clip",), 1, "Table with name clip does not exist"),
        (("SELEC 1",), 1, "syntax error"),
        (("SELECT aesthetic > 'high' FROM clips",), 1, "Could not convert string 'high'"),
        (("DROP VIEW clips",), 1, "expected one SELECT, found DROP"),
        (("SELECT 1; SELECT 2",), 1, "expected one SELECT, found SELECT, SELECT"),
        (("SELECT ?",), 1, "not provided"),
        ((), 2, "expected a SELECT, --file, --question, --list or --tables"),
        (("--file", "gone.sql"), 1, "expected gone.sql, found nothing there"),
        (("--question", "'; DROP"), 2, "expected the name of a question"),
        (("SELECT 1", "--parquet", "nowhere/x"), 2, "expected a folder to write"),
        (("SELECT 1", "--max-rows", "0"), 2, "above 0"),
        (("--safe", "SELECT ?", "--value", "x"), 2, "--safe takes no --value"),
    ],
)
def test_a_mistake_is_told_in_words(
    opens2v: Run, sample_catalog: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    shown = opens2v("sql", sample_catalog, *arguments)
    assert (shown.code, shown.out) == (code, "")
    assert message in shown.err and "Traceback" not in shown.err


def test_tables_and_questions_are_listed(opens2v: Run, sample_catalog: Path) -> None:
    rows = json.loads(opens2v("sql", sample_catalog, "--tables", "--json").out)
    columns = {(row["name"], row["column"]) for row in rows}
    assert {
        ("clips", "aesthetic"),
        ("clips", "caption"),
        ("subjects", "class_name"),
        ("has_subject", "wanted"),
    } <= columns
    assert opens2v("sql", "--list").code == 0


# -- strange texts on every flag

ATTACKS = (
    "'); DROP VIEW clips; --", "true) OR (true", "?", "$1", "--", "-- x", "/*", "'", '"', "((((", "\0", "\udcff", "\U0001f600",
    ";",
    "nan", "inf", "1e999", "9" * 40, "-1", "0", "woman:gme>", "woman:gme>nan", "a:count>1e999", "val:nan", "val:1e999", ":", "",
    "clip_id", "-clip_id,", "{clips}", "%", "x=y", "..", "/", "\n", "\x1b[31m", "SELECT 1; SELECT 2", "COPY clips TO 'x.csv'",
)  # fmt: skip
STRANGE = st.sampled_from(ATTACKS) | st.text(
    st.characters(codec="utf-8") | st.sampled_from("'\"?;()\0\udcff"), max_size=8
)
CHOOSING = ("--where", "--has", "--not-has", "--search", "--near-duplicates", "--split", "--seed", "--slice")
ORDER = ("--sort", "--limit")
FLAGS = {
    "slice": (*CHOOSING, *ORDER, "--output"),
    "facets": (*CHOOSING, "--top", "COLUMN"),
    "hist": (*CHOOSING, "--bins", "--lo", "--hi", "COLUMN"),
    "sample": (*CHOOSING, "-n", "--by", "--output", "--parquet"),
    "sql": ("--file", "--question", "--param", "--value", "--seconds", "--max-rows", "--parquet", "COLUMN"),
    "stream": ("--where", "--slice", "--limit"),
}


def run_strictly(arguments: list[str]) -> tuple[int, str]:
    """Run a command as a terminal would have it; return its code and what it said."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
    err.flush()
    return code, err.buffer.getvalue().decode()  # type: ignore[attr-defined]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_text_on_any_flag_ends_in_a_traceback_or_changes_a_row(
    sample_catalog: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    command = data.draw(st.sampled_from(sorted(FLAGS)))
    flags = data.draw(st.lists(st.sampled_from(FLAGS[command]), min_size=1, max_size=2, unique=True))
    arguments = [command, str(sample_catalog)]
    if command in ("facets", "hist", "sql") and "COLUMN" not in flags:
        arguments.append("aesthetic" if command != "sql" else "SELECT 1")
    for flag in flags:
        text = data.draw(STRANGE)
        joined = {"COLUMN": text, "-n": f"-n{text}"}
        arguments.append(joined.get(flag, f"{flag}={text}"))
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("here"))
    try:
        code, said = run_strictly(arguments)
    finally:
        os.chdir(before)
    assert code in (0, 1, 2)
    assert "Traceback" not in said
    assert code == 0 or said.strip()
    opened = opens2v_data.open(sample_catalog)
    assert opened.sql("SELECT count(*) AS n FROM clips").to_pylist() == [{"n": len(opened)}]
