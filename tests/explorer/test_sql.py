"""The page of SQL: statements that only read, prepared questions, answers as tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import opens2v_data
from explorer.pages import html, make_explorer, run, url
from opens2v_explorer.pages import sql


@pytest.fixture(autouse=True)
def explorer(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> Any:
    return make_explorer(explorer_catalog, tmp_path)


def test_without_a_statement_an_example_stands_ready_and_nothing_is_asked() -> None:
    test = run("sql")
    assert not test.exception
    assert test.text_area(key="o-sql").value == sql.EXAMPLE
    assert 'data-testid="answer"' not in html(test)


def test_the_statement_of_the_url_is_answered(explorer_catalog: opens2v_data.OpenS2V) -> None:
    text = html(run("sql", "sql=SELECT clip_id, part, clip_key FROM clips ORDER BY clip_id"))
    assert f"<b>{len(explorer_catalog):,}</b> rows" in text
    assert 'href="/clip?key=total_part1' in text
    assert 'href="/browse?among=SELECT+clip_id' in text


def test_running_a_statement_puts_it_into_the_url() -> None:
    test = run("sql", "part=total_part1")
    test.text_area(key="o-sql").set_value("SELECT 1 AS one").run()
    assert url(test) == {"sql": ["SELECT 1 AS one"], "part": ["total_part1"]}
    assert "<b>1</b> row" in html(test)
    test.text_area(key="o-sql").set_value(sql.EXAMPLE).run()
    test.button(key="o-run").click().run()
    assert url(test)["sql"] == [sql.EXAMPLE]


def test_a_run_that_nobody_asked_for_leaves_what_is_being_typed() -> None:
    test = run("sql", "sql=SELECT 1 AS one")
    field = test.text_area(key="o-sql")
    assert (field.value, field.proto.set_value) == ("SELECT 1 AS one", True)
    test.run()
    assert not test.text_area(key="o-sql").proto.set_value, "the browser would write it over what stands there"
    test.query_params["sql"] = "SELECT 2 AS two"  # Back, or a link
    test.run()
    field = test.text_area(key="o-sql")
    assert (field.value, field.proto.set_value) == ("SELECT 2 AS two", True)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT aesthetik FROM clips", "aesthetic"),
        ("COPY clips TO 'x.csv'", "SELECT"),
        ("SELECT * FROM read_csv('/etc/passwd')", ""),
        ("SELECT 1; SELECT 2", ""),
        ("nonsense", ""),
    ],
)
def test_what_is_refused_is_told_and_no_answer_is_shown(statement: str, said: str) -> None:
    test = run("sql", f"sql={statement}")
    assert not test.exception
    text = html(test)
    assert 'data-testid="problem"' in text
    assert said in text
    assert 'data-testid="answer"' not in text


def test_more_rows_than_are_shown_are_told_and_columns_of_one_name_are_numbered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sql, "MAX_ROWS", 5)
    text = html(run("sql", "sql=SELECT clip_id AS a, clip_id %2B 1 AS a FROM clips"))
    assert "there are more" in text
    assert ">a 1</th>" in text
    empty = html(run("sql", "sql=SELECT clip_id FROM clips WHERE false"))
    assert "<b>0</b> rows" in empty


def test_values_of_answers_are_escaped() -> None:
    text = html(run("sql", "sql=SELECT '<script>x</script>' AS a, NULL AS b"))
    assert "<script>" not in text
    assert "&lt;script&gt;x" in text


def test_a_question_is_answered_with_the_parameters_of_the_url(explorer_catalog: opens2v_data.OpenS2V) -> None:
    text = html(run("sql", "question=clips-of-class&p.class=dog"))
    assert f"<b>{explorer_catalog.has_subject('dog').count()}</b> rows" in text
    assert 'href="/browse?ids=' in text
    assert "What the columns are" in text
    missing = html(run("sql", "question=clips-of-class"))
    assert "Needed first" in missing
    wrong = html(run("sql", "question=clips-of-class&p.class=dog&p.most=many"))
    assert "expected a value of type BIGINT for parameter most" in wrong


def test_choosing_a_question_and_its_parameters_writes_the_url() -> None:
    test = run("sql", "question=find-classes&p.text=dog&q=woman")
    test.text_input(key="o-p-find-classes-most").set_value("2").run()
    assert url(test) == {"question": ["find-classes"], "p.text": ["dog"], "p.most": ["2"], "q": ["woman"]}
    test.selectbox(key="o-question").set_value("parts").run()
    assert url(test) == {"question": ["parts"], "q": ["woman"]}
    assert 'data-testid="answer"' in html(test)
    test.selectbox(key="o-question").set_value("").run()
    assert url(test) == {"q": ["woman"]}


def test_an_unknown_question_is_told() -> None:
    text = html(run("sql", "question=life"))
    assert "There is no such question" in text
    assert "frame-sizes" in text


def test_questions_that_need_nothing_are_answered_at_once() -> None:
    for name in ("categories", "quirks", "pair-similarity", "tags"):
        test = run("sql", f"question={name}")
        assert not test.exception
        assert 'data-testid="problem"' not in html(test), name


def test_tables_and_macros_are_described() -> None:
    test = run("sql")
    assert ">duration_seconds<" in html(test)
    test.selectbox(key="o-table").set_value("has_subject").run()
    assert not test.exception
    assert "Parameters of has_subject" in html(test)
