"""Clips as pictures and as a table: escaped, described, and linked."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import opens2v_data
from explorer.pages import make_explorer
from opens2v_explorer import markup
from opens2v_explorer.filters import Filters
from opens2v_explorer.gallery import MAX_ALT, clip_link, gallery, listing

EVIL = "<img src=x onerror=alert(1)>\"'&"
ROW = {
    "clip_id": 7, "part": "total_part1", "clip_key": "a&b\"c", "aesthetic": 5.5, "motion": None, "tech": 1.25,
    "duration_seconds": 2.0, "crop_width": 640, "crop_height": None, "fps": 25.0, "num_subjects": 1, "caption": EVIL,
}  # fmt: skip


class Reader(HTMLParser):
    """Collects elements and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(autouse=True)
def explorer(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> Any:
    return make_explorer(explorer_catalog, tmp_path)


@pytest.mark.parametrize("made", [gallery, listing])
def test_texts_of_data_are_escaped_and_nothing_becomes_an_element(made: Any) -> None:
    read = Reader(made([ROW], filters=Filters(search="a&b")))
    assert len(read.all("img")) == (made is gallery)
    assert all("onerror" not in attributes for _, attributes in read.found)
    assert EVIL in read.text
    (link,) = [one for one in read.all("a") if "data-soft" in one]
    assert link["href"] == clip_link(ROW, filters=Filters(search="a&b"))
    assert link["href"] == "/clip?q=a%26b&key=total_part1%2Fa%26b%22c"


def test_a_picture_says_what_it_shows_and_loads_when_it_is_seen() -> None:
    (image,) = Reader(gallery([ROW], filters=Filters())).all("img")
    assert image["alt"] == f"Frame of a clip. {EVIL}"
    assert image["loading"] == "lazy"
    assert str(image["src"]).startswith("/explorer/clip/7/poster.webp?v=")
    (bare,) = Reader(gallery([ROW | {"caption": None}], filters=Filters())).all("img")
    assert bare["alt"] == 'Frame of clip a&b"c, which has no caption'
    (long,) = Reader(gallery([ROW | {"caption": "word " * 100}], filters=Filters())).all("img")
    assert len(str(long["alt"])) == MAX_ALT
    assert str(long["alt"]).endswith("…")


def test_missing_numbers_are_left_out_or_called_missing() -> None:
    assert "motion" not in Reader(gallery([ROW], filters=Filters())).text
    table = listing([ROW], filters=Filters())
    assert '<span aria-label="missing">–</span>' in table
    read = Reader(table)
    assert "5.5" in read.text
    assert [one.get("scope") for one in read.all("th")] == ["col"] * len(read.all("th"))


def test_a_table_lets_through_only_what_was_made_as_html() -> None:
    rows = [{"a": "<b>", "b": markup.Html("<i>x</i>"), "c": True, "d": 12345, "e": 0.000012, "f": 12345.6}]
    text = markup.table(list("abcdef"), rows, caption="<c>")
    read = Reader(text)
    assert not read.all("b")
    assert len(read.all("i")) == 1
    for shown in ("<b>", "true", "12,345", "1.2e-05", "12,346", "<c>"):
        assert shown in read.text
    assert markup.shown("x" * 1000).endswith("…")
