"""Filters in a browser: the address is the one truth, and distributions are brushed."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

import opens2v_data
from explorer.browser.watching import Watched
from opens2v_explorer.filters import Filters

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from explorer.conftest import BrokenCatalog


@pytest.fixture(scope="module")
def catalog(broken_catalog: BrokenCatalog) -> opens2v_data.OpenS2V:
    """That of the running explorer."""
    return opens2v_data.open(broken_catalog.root)


def clips_of(catalog: opens2v_data.OpenS2V, address: str) -> list[str]:
    """Return the ids of the clips that meet the filters of an address, in its order, without a browser."""
    filters, _ = Filters.from_params(parse_qs(urlsplit(address).query))
    rows = filters.slice(catalog, None).page(n=60, columns=["clip_id"]).rows
    return [str(one) for one in rows.column("clip_id").to_pylist()]


def cards(page: Page) -> list[str]:
    """Return the ids of the clips in the gallery."""
    found = page.get_by_test_id("card").evaluate_all("cards => cards.map(card => card.dataset.clip)")
    return list(found)


def wait_for_cards(page: Page, wanted: list[str]) -> None:
    """Wait until the gallery shows some clips and no others, and the count says how many."""
    page.wait_for_function(
        """wanted => {
          const cards = [...document.querySelectorAll("[data-testid='card']")].map(card => card.dataset.clip);
          const count = document.querySelector("[data-testid='count']")?.dataset.count;
          return String(cards) === String(wanted) && count === String(wanted.length);
        }""",
        arg=wanted,
    )


def test_a_link_reproduces_its_view_and_back_the_one_before(seen: Watched, catalog: opens2v_data.OpenS2V) -> None:
    address = "/browse?aesthetic=5..&has=woman&sort=-aesthetic"
    wanted = clips_of(catalog, address)
    assert 2 <= len(wanted) < len(catalog)
    page = seen.open(address)
    wait_for_cards(page, wanted)
    assert page.get_by_test_id("chip").count() == 2
    page.get_by_test_id("chip").filter(has_text="woman").click()
    wider = clips_of(catalog, "?aesthetic=5..&sort=-aesthetic")
    assert len(wider) > len(wanted)
    wait_for_cards(page, wider)
    assert parse_qs(urlsplit(page.url).query) == {"aesthetic": ["5.."], "sort": ["-aesthetic"]}
    page.go_back()
    wait_for_cards(page, wanted)
    assert page.url == seen.url + address
    page.go_forward()
    wait_for_cards(page, wider)


def test_filters_survive_a_change_of_page(seen: Watched, catalog: opens2v_data.OpenS2V) -> None:
    page = seen.open("/browse?aesthetic=5..&has=woman")
    num_clips = len(clips_of(catalog, "?aesthetic=5..&has=woman"))
    for name, path in (("triage", "/triage"), ("gpt_views", "/views"), ("review", "/review"), ("browse", "/browse")):
        page.get_by_test_id(f"nav-{name}").click()
        page.wait_for_url(f"**{path}?**")
        seen.wait(name)
        assert parse_qs(urlsplit(page.url).query) == {"aesthetic": ["5.."], "has": ["woman"]}
        assert page.get_by_test_id("chip").count() == 2
    page.get_by_test_id("nav-triage").click()
    page.get_by_test_id("triage-progress").filter(has_text=f"of {num_clips}").wait_for()


def test_a_distribution_is_brushed_with_the_mouse(seen: Watched, catalog: opens2v_data.OpenS2V) -> None:
    page = seen.open("/browse")
    before = cards(page)
    plot = page.get_by_test_id("histogram-aesthetic").locator(".plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    from_x, to_x, y = box["width"] * 0.5, box["width"] * 0.9, box["height"] / 2
    # Where it then is: what is above it may still move.
    plot.drag_to(plot, source_position={"x": from_x, "y": y}, target_position={"x": to_x, "y": y})
    page.wait_for_url("**aesthetic=**")
    (chosen,) = parse_qs(urlsplit(page.url).query)["aesthetic"]
    low, high = map(float, chosen.split(".."))
    assert low < high
    wanted = clips_of(catalog, page.url)
    assert 0 < len(wanted) < len(before)
    wait_for_cards(page, wanted)
    page.get_by_test_id("chip").wait_for()
    # Facets count the clips that are left, a while after these are shown.
    page.wait_for_function(
        """wanted => {
          const counts = document.querySelectorAll("[data-testid='facet-category'] .o-count");
          return [...counts].reduce((sum, count) => sum + parseInt(count.textContent), 0) === wanted;
        }""",
        arg=len(wanted),
    )


def test_a_distribution_is_brushed_with_keys(seen: Watched, catalog: opens2v_data.OpenS2V) -> None:
    page = seen.open("/browse")
    lower = page.get_by_test_id("histogram-aesthetic-lower")
    lower.focus()
    for key in ("PageUp", "PageUp", "ArrowLeft"):
        page.keyboard.press(key)
    # All three keys were taken; a slow machine writes the address after each of them.
    chosen = (lower.get_attribute("aria-valuetext") or "").removeprefix("from ")
    page.wait_for_function(
        "chosen => new URLSearchParams(location.search).get('aesthetic') === chosen", arg=f"{chosen}.."
    )
    wait_for_cards(page, clips_of(catalog, page.url))
    assert lower.evaluate("handle => handle.getRootNode().activeElement === handle")
    lower.and_(page.locator(f"[aria-valuetext='from {chosen}']")).wait_for()
    page.keyboard.press("Delete")
    page.wait_for_function("() => !location.search.includes('aesthetic')")
    wait_for_cards(page, clips_of(catalog, ""))
