"""The page of clips: what it shows of the URL's filters, and what its widgets write there."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import pyarrow.parquet as pq
import pytest

import opens2v_data
from explorer.pages import html, make_explorer, run, url
from opens2v_data.errors import QueryError
from opens2v_data.search import build_index
from opens2v_explorer import answers, sharing, state
from opens2v_explorer.conditions import Range
from opens2v_explorer.fields import CHOICES
from opens2v_explorer.filters import Filters
from opens2v_explorer.pages import browse

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def explorer(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> Any:
    return make_explorer(explorer_catalog, tmp_path)


def cards(text: str) -> list[int]:
    return [int(one) for one in re.findall(r'data-testid="card" data-clip="(\d+)"', text)]


def test_all_clips_are_shown_and_counted_with_their_properties(explorer_catalog: opens2v_data.OpenS2V) -> None:
    test = run("browse")
    text = html(test)
    assert not test.exception
    assert cards(text) == explorer_catalog.all.ids().tolist()
    assert f'data-count="{len(explorer_catalog)}"' in text
    assert 'data-testid="chips"' not in text
    for name in ("category", "source", "part", "fps", "size", "kind"):
        facet = text.split(f'data-testid="facet-{name}"')[1].split("</details>")[0]
        assert 'role="checkbox" aria-checked="false"' in facet, name
    parts = text.split('data-testid="facet-part"')[1].split("</details>")[0]
    numbers = [int(one) for one in re.findall(r'"o-count">(\d+)', parts)]
    assert sum(numbers) == len(explorer_catalog)


def test_filters_of_the_url_choose_clips_and_each_has_a_chip(explorer_catalog: opens2v_data.OpenS2V) -> None:
    text = html(run("browse", "aesthetic=5..&q=dog&sort=-aesthetic"))
    expected = explorer_catalog.where("aesthetic >= 5").search("dog").sort("-aesthetic").ids().tolist()
    assert cards(text) == expected != []
    assert text.count('data-testid="chip"') == 2
    assert "Aesthetic 5 or more" in text
    assert "caption: dog" in text


def test_a_property_that_is_chosen_counts_its_other_values_too() -> None:
    text = html(run("browse", "part=total_part1"))
    facet = text.split('data-testid="facet-part"')[1].split("</details>")[0]
    assert facet.count('aria-checked="true"') == 1
    assert facet.count('role="checkbox"') == len(answers.facet(Filters(), "part"))
    assert "(1 chosen)" in facet


def test_no_results_offer_to_drop_each_filter_with_what_is_left() -> None:
    text = html(run("browse", "category=nothing&part=total_part1&aesthetic=5.."))
    assert 'data-state="no-results"' in text
    assert text.count('data-testid="drop-filter"') == 1
    assert "Remove Category: nothing" in text
    both = html(run("browse", "category=nothing&part=nowhere"))
    assert "No single filter is the reason" in both


def test_an_empty_slice_shows_no_clip_and_no_error(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    make_explorer(explorer_catalog, tmp_path, start_slice=explorer_catalog.all.with_ids([]), slice_name="none")
    test = run("browse")
    assert not test.exception
    assert 'data-state="no-results"' in html(test)


def test_typing_words_writes_them_to_the_url_and_wrong_ones_are_told() -> None:
    test = run("browse", "part=total_part1&after=abc")
    test = run("browse", "part=total_part1")
    test.text_input(key="o-q").set_value("dog OR woman").run()
    assert url(test) == {"part": ["total_part1"], "q": ["dog OR woman"]}
    assert test.text_input(key="o-q").value == "dog OR woman"
    test.text_input(key="o-q").set_value("(dog").run()
    assert "never closed" in html(test)
    assert url(test)["q"] == ["dog OR woman"]
    test.text_input(key="o-q").set_value("").run()
    assert url(test) == {"part": ["total_part1"]}


def test_choosing_an_order_writes_it_to_the_url(explorer_catalog: opens2v_data.OpenS2V) -> None:
    test = run("browse")
    test.selectbox(key="o-sort").set_value("-motion").run()
    assert url(test) == {"sort": ["-motion"]}
    assert cards(html(test)) == explorer_catalog.all.sort("-motion").ids().tolist()


def test_the_table_shows_the_same_clips(explorer_catalog: opens2v_data.OpenS2V) -> None:
    text = html(run("browse", "view=table"))
    assert text.count('data-testid="row-link"') == len(explorer_catalog)
    assert not cards(text)


def test_pages_follow_each_other_forth_and_back(
    explorer_catalog: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse, "PER_PAGE", 7)
    seen: list[int] = []
    query: str | None = "sort=-aesthetic"
    pages, last = [], ""
    while query is not None:
        text = html(run("browse", query))
        pages.append(cards(text))
        seen += pages[-1]
        following = re.search(r'href="\?([^"]*)"[^>]*data-testid="page-next"', text)
        query = following[1].replace("&amp;", "&") if following else None
        last = text
    assert seen == explorer_catalog.all.sort("-aesthetic").ids().tolist()
    previous = re.search(r'href="\?([^"]*)"[^>]*data-testid="page-previous"', last)
    assert previous
    assert cards(html(run("browse", previous[1].replace("&amp;", "&")))) == pages[-2]
    assert 'data-testid="page-first"' in last


def test_a_place_of_another_order_is_told() -> None:
    test = run("browse", "after=rubbish")
    assert not test.exception
    assert "is no page of this order" in html(test)


def test_a_statement_that_is_refused_is_told_with_its_place() -> None:
    test = run("browse", "among=SELECT nothing FROM clips")
    assert not test.exception
    assert 'data-testid="problem"' in html(test)
    assert "nothing" in html(test)


def test_what_is_shared_is_what_is_shown(explorer_catalog: opens2v_data.OpenS2V) -> None:
    filters, _ = Filters.from_params({"part": ["total_part1"], "sort": ["-aesthetic"]})
    expected = explorer_catalog.where("part = 'total_part1'").sort("-aesthetic").ids().tolist()
    statement = sharing.sql_of(filters)
    assert statement is not None
    assert explorer_catalog.sql(statement).column("clip_id").to_pylist() == expected
    saved = pq.read_table(io.BytesIO(sharing.slice_bytes(filters)))
    assert saved.column("clip_id").to_pylist() == expected
    lines = sharing.ids_csv(filters).splitlines()
    assert lines[0] == "clip_id,part,clip_key"
    assert [int(line.split(",")[0]) for line in lines[1:]] == expected
    assert [one.clip.clip_id for one in explorer_catalog.get(sharing.ids_text(filters).split())] == expected


def test_too_many_clips_are_not_exported_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MAX_EXPORTED", 3)
    with pytest.raises(QueryError, match="at most 3 clips to export as text"):
        sharing.ids_csv(Filters())


def test_answers_are_asked_once_and_those_by_verdict_again_when_one_was_added(
    explorer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Filters] = []
    original = state.current_slice
    monkeypatch.setattr(state, "current_slice", lambda filters: asked.append(filters) or original(filters))
    for _ in range(3):
        assert answers.count(Filters(search="dog")) > 0
        answers.count(Filters(verdict="judged"))
    assert len(asked) == 2
    monkeypatch.setattr(explorer.verdicts, "version", lambda: 99)
    answers.count(Filters(search="dog"))
    answers.count(Filters(verdict="judged"))
    assert len(asked) == 3


@pytest.mark.parametrize("asked", ["", "aesthetic=4.5..", "part=total_part1&fault=-near_copies", "q=dog&quirk=nan"])
def test_the_panel_shows_what_one_question_counted_and_that_is_what_each_alone_gives(
    monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    filters, _ = Filters.from_params(parse_qs(asked))
    names = [*CHOICES]
    alone = [answers.facet(filters, name) for name in names], answers.count(filters), answers.distributions(filters)
    answers.forget()
    counted = answers.tally(filters)
    free = [name for name in names if not filters.values_of(name)]
    answers.ends()
    slices: list[Filters] = []
    original = answers._slice
    monkeypatch.setattr(answers, "_slice", lambda *given, **named: slices.append(given[0]) or original(*given, **named))
    assert [answers.facet(filters, name) for name in free] == [alone[0][names.index(name)] for name in free]
    assert answers.count(filters) == counted.num_clips == alone[1]
    for name, histogram in answers.distributions(filters).items():
        assert histogram.counts.tolist() == alone[2][name].counts.tolist()
        assert (histogram.num_null, histogram.num_below) == (alone[2][name].num_null, alone[2][name].num_below)
    assert slices == []
    # Where a value is chosen, others are counted among the clips without that choice.
    assert [answers.facet(filters, name) for name in names] == alone[0]


def test_what_was_foreseen_is_asked_once_and_its_errors_are_told_to_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    answers.forget()
    asked: list[Filters] = []
    original = answers._slice
    monkeypatch.setattr(answers, "_slice", lambda *given, **named: asked.append(given[0]) or original(*given, **named))
    filters = Filters(ranges=(Range(name="aesthetic", lo=4.5),))
    answers.ends()
    answers.foresee(filters)
    assert answers.tally(filters).num_clips == answers.count(filters) > 0
    assert asked == [filters]
    wrong = Filters(among="SELECT 1 AS one")
    answers.foresee(wrong)
    with pytest.raises(QueryError, match="expected a column clip_id in the answer of `among`"):
        answers.tally(wrong)


def test_classes_are_found_by_a_part_of_their_name(explorer_catalog: opens2v_data.OpenS2V) -> None:
    found = answers.find_classes("wom")
    assert found[0]["class_name"] == "woman"
    assert all("wom" in row["class_name"].lower() for row in found)
    assert len(answers.find_classes("")) <= 20
    assert answers.find_classes("'; DROP") == []


def test_clips_that_take_long_to_find_are_found_once_and_shown_in_every_way_alike(
    explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = explorer_catalog.where("aesthetic > 4").sort("-motion")
    make_explorer(explorer_catalog, tmp_path, start_slice=start, slice_name="some")
    filters, _ = Filters.from_params({"fault": ["-near_copies"], "kind": ["human", "animal"]})
    assert filters.is_costly
    asked: list[Filters] = []
    original = state.current_slice
    monkeypatch.setattr(state, "current_slice", lambda given: asked.append(given) or original(given))
    expected = original(filters)
    columns = ("clip_id",)
    assert (
        answers.rows(filters, after=None, n=60, columns=columns).rows.column("clip_id").to_pylist()
        == expected.ids().tolist()
    )
    assert answers.count(filters) == expected.count()
    assert answers.facet(filters, "part")[0].num_clips == expected.facets("part").column("num_clips")[0].as_py()
    everything = explorer_catalog.all.hist("aesthetic", bins=1).counts.sum()
    assert 0 < answers.distributions(filters)["aesthetic"].counts.sum() <= everything
    assert len(asked) == 1


@pytest.fixture(scope="module")
def indexed_catalog(sample_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[opens2v_data.OpenS2V]:
    """A catalog with an index of its captions."""
    pytest.importorskip("tantivy", reason="an index of captions needs the extra `search`")
    root = shutil.copytree(sample_catalog, tmp_path_factory.mktemp("indexed") / "opens2v-5m")
    catalog = opens2v_data.open(root)
    build_index(catalog.catalog)
    yield catalog
    catalog.query.close()


@pytest.mark.parametrize("words", ["woman", "dog OR man", "a -woman", "nothingofthekind"])
def test_the_first_clips_of_words_come_without_the_rest_and_the_rest_follows(
    indexed_catalog: opens2v_data.OpenS2V, tmp_path: Path, words: str
) -> None:
    make_explorer(indexed_catalog, tmp_path)
    filters = Filters(search=words)
    expected = indexed_catalog.search(words).ids().tolist()
    seen, after = [], None
    while True:
        found = answers.rows(filters, after=after, n=3, columns=("clip_id", "caption"))
        if after is None:
            assert not answers._kept_ids  # not all of them were asked for
        seen += found.rows.column("clip_id").to_pylist()
        after = found.after
        if after is None:
            break
    assert seen == expected and answers.count(filters) == len(expected)


def test_words_beside_other_filters_find_the_clips_that_meet_both(
    indexed_catalog: opens2v_data.OpenS2V, tmp_path: Path
) -> None:
    within = indexed_catalog.where("part = 'total_part2'")
    for start, asked in ((None, {"q": ["woman"], "part": ["total_part2"]}), (within, {"q": ["woman"]})):
        make_explorer(indexed_catalog, tmp_path, start_slice=start, slice_name=start and "some")
        filters, _ = Filters.from_params(asked)
        found = answers.rows(filters, after=None, n=60, columns=("clip_id",)).rows.column("clip_id").to_pylist()
        assert found == within.search("woman").ids().tolist() != []
    make_explorer(indexed_catalog, tmp_path)
    best = answers.rows(Filters(search="woman", sort="-aesthetic"), after=None, n=2, columns=("clip_id",)).rows
    assert best.column("clip_id").to_pylist() == indexed_catalog.search("woman").sort("-aesthetic").ids()[:2].tolist()
