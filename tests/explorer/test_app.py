"""The whole script: what all pages share."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import opens2v_data
from explorer.pages import html, make_explorer, run
from opens2v_explorer import markup, state
from opens2v_explorer.media.cache import PictureCache
from opens2v_explorer.stage import static_text


@pytest.fixture(autouse=True)
def explorer(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> Any:
    return make_explorer(explorer_catalog, tmp_path)


def test_the_first_page_is_the_overview_with_links_to_all_others_that_carry_the_filters() -> None:
    test = run("app", "part=total_part1&who=ann")
    assert not test.exception
    text = html(test)
    assert 'data-testid="totals"' in text
    assert 'data-testid="nav-evaluation"' not in text  # no model was given
    for name in state.PATHS.keys() - {"evaluation"}:
        link = text.split(f'data-testid="nav-{name}"')[0].rpartition("<a ")[2]
        assert f'href="{state.PATHS[name]}?part=total_part1&amp;who=ann"' in link
    assert text.partition("</header>")[0].count('aria-current="page"') == 1
    assert 'class="o-skip" href="#o-main"' in text
    assert 'data-testid="chips"' in text


def test_what_of_the_url_is_not_understood_is_told_on_every_page() -> None:
    text = html(run("app", "aesthetic=high&fault=none"))
    assert text.count('data-testid="notice"') == 2
    assert "expected LOW..HIGH" in text


def test_a_filter_that_the_catalog_cannot_answer_is_told_and_raises_nothing() -> None:
    test = run("app", "among=SELECT nothing FROM nowhere")
    assert not test.exception
    assert 'data-testid="problem"' in html(test)


def test_a_disk_that_keeps_nothing_is_told_on_every_page(explorer: Any) -> None:
    test = run("app")
    assert 'data-state="not-kept"' not in html(test)
    explorer.media.cache = PictureCache(Path(__file__) / "pictures", limit_bytes=1 << 20)
    explorer.media.cache.put("key", b"picture")
    test = run("app", "part=total_part1")
    assert not test.exception
    told = html(test).partition('data-state="not-kept"')[2].partition("</p>")[0]
    assert "1 picture could not be kept in " in told and "XDG_CACHE_HOME" in told


def test_every_page_is_a_module_with_a_title() -> None:
    assert list(markup.TITLES) == list(state.PATHS)
    for name in state.PATHS:
        assert callable(import_module(f"opens2v_explorer.pages.{name}").page)


def test_style_sheets_and_scripts_ask_nothing_of_other_machines() -> None:
    for name in ("theme.css", "histogram.css", "classes.css", "links.js", "histogram.js", "classes.js", "classes.html",
                 "evaluation.css", "evaluation.js", "evaluation.html", "together.js"):  # fmt: skip
        text = static_text(name).replace("http://www.w3.org/2000/svg", "")
        assert "http:" not in text and "https:" not in text and "@import" not in text and "url(" not in text, name
