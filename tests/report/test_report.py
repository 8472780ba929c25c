"""The report: its numbers against plain Python over the rows, and a page that asks nobody for anything."""

from __future__ import annotations

import dataclasses
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

import opens2v_data
from opens2v_data.errors import MissingExtraError, QueryError
from opens2v_data.query.questions import question
from opens2v_data.report import ReportFigures, count_figures, write_report
from opens2v_data.report.figures import among

pytest.importorskip("matplotlib", reason="the extra report is not installed")

from opens2v_data.report import page as pages
from opens2v_data.report import plots as drawing

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V
    from opens2v_data.query.slices import Slice

SOME = "aesthetic > 4.5"
COLUMNS = (
    "aesthetic", "foreground_aesthetic", "background_aesthetic", "motion", "tech", "duration_seconds", "aspect_ratio"
)  # fmt: skip
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """What a page is made of; an element that is never closed is an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: Counter[str] = Counter()
        self.feed(text)
        self.close()
        assert not self.opened

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag not in VOID:
            self.opened.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.opened.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


@pytest.fixture(scope="module")
def dataset(sample_catalog: Path) -> OpenS2V:
    return opens2v_data.open(sample_catalog)


@pytest.fixture(scope="module", params=[None, SOME], ids=["all", "some"])
def clips(request: pytest.FixtureRequest, dataset: OpenS2V) -> Slice:
    return dataset.all if request.param is None else dataset.where(request.param)


@pytest.fixture(scope="module")
def figures(clips: Slice) -> ReportFigures:
    return count_figures(clips)


@pytest.fixture(scope="module")
def rows(clips: Slice, dataset: OpenS2V) -> list[dict[str, Any]]:
    chosen = set(clips.ids().tolist())
    return [row for row in dataset.rows() if row["clip_id"] in chosen]


def test_totals_are_those_of_the_rows(
    figures: ReportFigures, rows: list[dict[str, Any]], clips: Slice, dataset: OpenS2V
) -> None:
    chosen = {row["clip_id"] for row in rows}
    pairs = dataset.query.ask("SELECT clip_id, partner_clip_id FROM pairs").to_pylist()
    views = dataset.query.ask("SELECT clip_id FROM clip_views").column(0).to_pylist()
    lengths = [
        (row["cut_end"] - row["cut_start"]) / row["fps"] for row in rows if row["cut_end"] is not None and row["fps"]
    ]
    assert figures.totals == {
        "seconds": pytest.approx(sum(lengths)),
        "num_clips": len(rows),
        "num_clips_with_video": sum(row["video_path"] is not None for row in rows),
        "num_source_videos": len({row["cluster_id"] for row in rows}),
        "num_subjects": sum(len(row["subjects"]) for row in rows),
        "num_masks": sum(row["num_masks"] for row in rows),
        "num_pairs": sum(pair["clip_id"] in chosen and pair["partner_clip_id"] in chosen for pair in pairs),
        "num_views": sum(clip_id in chosen for clip_id in views),
    }
    assert 0 < len(rows) <= len(dataset) and (len(rows) < len(dataset)) == (figures.where is not None)


def test_counts_are_those_of_the_rows(figures: ReportFigures, rows: list[dict[str, Any]]) -> None:
    assert dict(figures.subject_counts) == Counter(min(20, row["num_subjects"]) for row in rows)
    assert figures.parts == tuple(sorted(Counter(row["part"] for row in rows).items()))
    sizes = Counter(f"{row['width']}x{row['height']}" for row in rows if row["width"] and row["height"])
    assert dict(figures.sizes) == dict(sizes.most_common(10))
    assert dict(figures.quirks) == Counter(quirk for row in rows for quirk in set(row["quirks"]))
    names = Counter(subject["class_name"] for row in rows for subject in row["subjects"])
    assert [count for _, count in figures.classes] == sorted(names.values(), reverse=True)[:25]
    assert all(names[name] == count for name, count in figures.classes)
    assert sum(count for _, count in figures.frame_rates) == sum(row["fps"] is not None for row in rows)
    assert sum(count for _, count in figures.categories) == len(rows)


def test_histograms_count_every_number_between_their_edges(figures: ReportFigures, rows: list[dict[str, Any]]) -> None:
    for column in ("aesthetic", "motion", "tech", "foreground_aesthetic"):
        known = np.array([row[column] for row in rows if row[column] is not None], np.float64)
        found = figures.values[column]
        assert found.num_known == found.counts.sum() == len(known)
        assert (found.edges[0], found.edges[-1]) == (known.min(), known.max())
        # A number at an edge may fall to either side.
        expected = np.histogram(known, found.edges)[0]
        assert np.abs(np.cumsum(found.counts) - np.cumsum(expected)).max() <= 1
    scores = [subject["gme_score"] for row in rows for subject in row["subjects"] if subject["gme_score"] is not None]
    assert figures.subject_values["gme_score"].num_known == len(scores)


def test_of_many_rows_the_outermost_are_outside_of_the_plot(dataset: OpenS2V) -> None:
    asked = question("report-values")
    numbers = pa.table({name: np.arange(5_000.0) for name in COLUMNS} | {"clip_id": np.arange(5_000)})
    found = dataset.query.ask(
        f"WITH clips AS (FROM many) {asked.text.replace('WITH', ',', 1)}", asked.bind(), tables={"many": numbers}
    )
    rows = [row for row in found.to_pylist() if row["what"] == "motion"]
    low, high = np.quantile(np.arange(5_000.0), [0.005, 0.995])
    assert {(row["low"], row["high"], row["num_known"]) for row in rows} == {(low, high, 5_000)}
    assert sum(row["num_clips"] for row in rows) == sum(low <= number <= high for number in range(5_000))
    assert [row["bin"] for row in rows] == list(range(40))


def test_pairs_count_where_both_clips_are_chosen(
    figures: ReportFigures, rows: list[dict[str, Any]], dataset: OpenS2V
) -> None:
    chosen = {row["clip_id"] for row in rows}
    pairs = dataset.query.ask("SELECT clip_id, partner_clip_id, image_similarity FROM pairs").to_pylist()
    known = [
        pair["image_similarity"]
        for pair in pairs
        if {pair["clip_id"], pair["partner_clip_id"]} <= chosen and pair["image_similarity"] is not None
    ]
    found = figures.pairs.get("image_similarity")
    assert (found.num_known if found else 0) == len(known)


def test_records_left_out_are_told_of_a_whole_catalog_alone(figures: ReportFigures, dataset: OpenS2V) -> None:
    report = dataset.catalog.manifest.report
    if figures.where is None:
        assert figures.num_records == report["records"] and dict(figures.quarantine) == report["quarantined_by_reason"]
    else:
        assert figures.num_records is None and figures.quarantine == ()


def test_the_page_holds_all_it_shows_and_the_plots_lie_beside_it(clips: Slice, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int]] = []
    result = write_report(clips, tmp_path / "report", progress=lambda *report: reports.append(report))
    text = result.page.read_text(encoding="utf-8")
    page = Page(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert re.findall(r"@import|@font-face|url\((?!#)|<script|<link", text) == []
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert len(page.ids) == len(set(page.ids)) and "prefers-color-scheme: dark" in text
    assert page.tags["figure"] == len(result.plots) == len(list((tmp_path / "report" / "plots").iterdir())) >= 14
    assert not any(role in text for role in drawing._VARIABLES)
    assert str(clips.query.catalog.root.parent) not in text
    for path in result.plots:
        svg = path.read_text(encoding="utf-8")
        assert ET.fromstring(svg).tag == "{http://www.w3.org/2000/svg}svg"
        assert not any(role in svg for role in drawing._VARIABLES)
    assert reports[0] == ("questions", 0, reports[-1][2]) and reports[-1][1] == reports[-1][2] == len(reports) - 1


def test_the_same_clips_give_the_same_bytes(dataset: OpenS2V, tmp_path: Path) -> None:
    first = write_report(dataset.all, tmp_path / "a")
    second = write_report(dataset.all, tmp_path / "b")
    assert first.page.read_bytes() == second.page.read_bytes()
    assert [path.read_bytes() for path in first.plots] == [path.read_bytes() for path in second.plots]


def test_text_of_the_release_cannot_become_markup(figures: ReportFigures) -> None:
    odd = "<script>alert(1)</script>&amp; $name \"'\x00\ud7ff 東京"
    named = {name: ((odd, 3), *getattr(figures, name)) for name in ("parts", "classes", "quirks", "categories")}
    figures = dataclasses.replace(figures, where="part = '<img src=x>'", **named)
    plots = pages.make_plots(figures)
    text = pages.make_page(figures, plots)
    page = Page(text)
    assert page.tags["script"] == 0 and page.tags["img"] == 0
    assert "&lt;img src=x&gt;" in text and "東京" in text
    for plot in plots:
        ET.fromstring(plot.standalone())


def test_a_slice_without_clips_gives_a_page(dataset: OpenS2V, tmp_path: Path) -> None:
    result = write_report(dataset.where("aesthetic > 1e9"), tmp_path)
    assert result.num_clips == 0 and result.plots == ()
    Page(result.page.read_text(encoding="utf-8"))


def test_a_condition_that_is_none_is_refused(dataset: OpenS2V) -> None:
    with pytest.raises(QueryError, match="no_such_column"):
        count_figures(dataset.where("no_such_column > 1"))


def test_a_question_is_narrowed_under_its_tables_own_names() -> None:
    text = "WITH a AS (SELECT 1) SELECT * FROM clips, a -- of locations"
    assert among(text).startswith("WITH clips AS NOT MATERIALIZED (SELECT * FROM memory.main.clips WHERE clip_id IN")
    assert among(text).endswith("),  a AS (SELECT 1) SELECT * FROM clips, a") and "locations" not in among(text)
    assert among("SELECT 1") == "SELECT 1"


def test_without_matplotlib_the_extra_is_told(
    dataset: OpenS2V, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=re.escape('pip install "opens2v-data[report]"')):
        write_report(dataset.all, tmp_path)
