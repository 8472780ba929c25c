"""The first page: totals, shares and faults, each a way to the clips it is of."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

import opens2v_data
from explorer.pages import html, make_explorer, run
from opens2v_explorer import answers, state
from opens2v_explorer.fields import FAULTS
from opens2v_explorer.filters import Filters
from opens2v_explorer.pages import overview


@pytest.fixture(autouse=True)
def explorer(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> Any:
    return make_explorer(explorer_catalog, tmp_path)


def test_totals_are_those_of_the_catalog(explorer_catalog: opens2v_data.OpenS2V) -> None:
    test = run("overview")
    assert not test.exception
    totals = html(test).split('data-testid="totals"')[1].split("</dl>")[0]
    shown = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", totals))
    assert shown["Clips"] == str(len(explorer_catalog))
    assert shown["Subjects"] == str(explorer_catalog.sql("SELECT count(*) AS n FROM subjects").column("n")[0])
    assert shown["GPT-Image-1 views"] == str(
        explorer_catalog.sql("SELECT count(*) AS n FROM clip_views").column("n")[0]
    )


def test_links_of_categories_kinds_classes_and_faults_lead_to_as_many_clips_as_they_say() -> None:
    text = html(run("overview"))
    for table, column in (("category", 1), ("kind", 1), ("class", 1), ("faults", 2)):
        body = text.split(f'data-testid="{table}"')[1].split("<tbody>")[1].split("</tbody>")[0]
        rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in body.split("</tr>") if row]
        assert rows
        for row in rows:
            address = urlsplit(unescape(re.findall(r'href="([^"]*)"', row[0])[0]))
            assert address.path == "/browse"
            filters, notices = Filters.from_params(parse_qs(address.query))
            assert not notices
            assert state.current_slice(filters).count() == int(row[column].replace(",", "")), row


def test_every_fault_that_is_counted_is_explained() -> None:
    _, found = answers.faults()
    assert {row["fault"] for row in found} <= set(overview.FAULTS)
    assert set(overview.FAULTS) <= set(FAULTS)


def test_filters_of_the_url_are_shown_in_the_distributions_and_not_in_the_totals() -> None:
    test = run("overview", "aesthetic=5..")
    assert not test.exception
    assert 'data-testid="totals"' in html(test)


def test_totals_of_a_slice_are_those_of_its_clips_and_other_figures_say_that_they_are_not(
    explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path
) -> None:
    ids = [1, 2, 4, 7, 11, 19]
    make_explorer(
        explorer_catalog, tmp_path, start_slice=explorer_catalog.all.with_ids(ids), slice_name="six.slice.parquet"
    )
    text = html(run("overview"))
    shown = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", text))
    triples = [triple for triple in explorer_catalog.triples(with_views=False) if triple.clip.clip_id in ids]
    among = set(ids)
    pairs = explorer_catalog.sql("SELECT clip_id, partner_clip_id FROM pair_links").to_pylist()
    assert shown["Clips"] == "6" == str(len(triples))
    assert shown["with video here"] == str(sum(triple.clip.video is not None for triple in triples))
    assert shown["Subjects"] == str(sum(len(triple.subjects) for triple in triples))
    assert shown["Source videos"] == str(len({triple.clip.cluster_id for triple in triples}))
    assert shown["Cross-video pairs"] == str(sum(set(pair.values()) <= among for pair in pairs))
    assert text.count("Of the whole catalog; links lead to the slice") == 5


def test_an_explorer_of_an_empty_slice_says_so(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    make_explorer(
        explorer_catalog, tmp_path, start_slice=explorer_catalog.all.with_ids([]), slice_name="none.slice.parquet"
    )
    test = run("overview")
    assert not test.exception
    text = html(test)
    assert "none.slice.parquet" in text
    assert "has no clip" in text


def test_what_the_first_pages_need_is_asked_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    answers.prepare()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(state, "current_slice", refuse)
    text = html(run("overview"))
    assert 'data-testid="faults"' in text


def test_one_value_of_all_clips_stands_in_the_middle_of_its_distribution(real_catalog: Path, tmp_path: Path) -> None:
    catalog = opens2v_data.open(real_catalog)
    make_explorer(catalog, tmp_path)
    (value,) = set(catalog.all.to_arrow(columns=["motion"]).column("motion").to_pylist())
    low, high = answers.ends()["motion"]
    assert low < value < high and low + high == pytest.approx(2 * value)
    counts = answers.distributions(Filters())["motion"].counts.tolist()
    assert sum(counts) == len(catalog) and len(catalog) in counts[len(counts) // 2 - 1 : len(counts) // 2 + 1]
    catalog.query.close()


def test_a_share_of_nothing_has_no_bar() -> None:
    faults = html(run("overview")).split('data-testid="faults"')[1].split("</table>")[0]
    assert "0.0%" in faults and "width:0.0%" not in faults
