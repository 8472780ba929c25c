"""What is in the way of seeing something has its own words on the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import opens2v_data
from opens2v_explorer.states import STATES

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

    from explorer.browser.watching import Watched
    from explorer.conftest import BrokenCatalog


WORDS = {"mask-size": "mask is 320 x 180 pixels, the frame 640 x 360"}
"""Where a page says what it found instead of the state's title."""


@pytest.fixture(scope="module")
def keys(broken_catalog: BrokenCatalog) -> list[str]:
    """`part/key` of each clip, by its id."""
    catalog = opens2v_data.open(broken_catalog.root)
    rows = catalog.all.page(n=len(catalog), columns=["clip_id", "part", "clip_key"]).rows.to_pylist()
    return [f"{row['part']}/{row['clip_key']}" for row in sorted(rows, key=lambda row: row["clip_id"])]


def state_on(page: Page, code: str) -> Locator:
    """Return what says a state in its own words, wherever it stands on a page."""
    return (
        page.locator(f"[data-code='{code}'], [data-state='{code}']")
        .filter(has_text=WORDS.get(code, STATES[code].title))
        .first
    )


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("missing", ["not-in-release"]),
        ("corrupt", ["corrupt"]),
        ("maskless", ["no-masks"]),
        ("wrong_size", ["mask-size"]),
        ("lost_background", ["not-here", "no-views"]),
    ],
)
def test_a_clip_says_what_is_wrong_with_it(
    seen: Watched, broken_catalog: BrokenCatalog, keys: list[str], name: str, codes: list[str]
) -> None:
    page = seen.open(f"/clip?key={keys[getattr(broken_catalog, name)]}")
    page.get_by_text(
        "Background plate"
    ).first.scroll_into_view_if_needed()  # pictures are asked for when they come into view
    for code in codes:
        state_on(page, code).wait_for()
    assert page.get_by_test_id("clip-scores").is_visible()
    has_video = name not in ("missing", "corrupt")
    assert page.get_by_test_id("player").count() == has_video


def test_pictures_that_are_not_there_say_why(seen: Watched, broken_catalog: BrokenCatalog) -> None:
    page = seen.open("/browse")
    for clip_id, code in ((broken_catalog.missing, "not-in-release"), (broken_catalog.corrupt, "corrupt")):
        card = page.locator(f"[data-testid='card'][data-clip='{clip_id}']")
        card.scroll_into_view_if_needed()
        card.locator(f"[data-state='{code}']").filter(has_text=STATES[code].title).wait_for()
    page = seen.open(f"/triage?ids={broken_catalog.corrupt}&which=all")
    page.locator(".slot[data-front='true'] .why[data-state='corrupt']").filter(
        has_text=STATES["corrupt"].title
    ).wait_for()
    page.keyboard.press("ArrowRight")
    page.get_by_test_id("triage-end").wait_for()


def test_no_results_offer_to_drop_the_filter_that_leaves_most(seen: Watched) -> None:
    page = seen.open("/browse?aesthetic=..3.51&has=dog&lacks=cat")
    state_on(page, "no-results").wait_for()
    offers = page.get_by_test_id("drop-filter")
    assert offers.count() >= 2
    offers.first.click()
    page.get_by_test_id("card").first.wait_for()
    assert "aesthetic" not in page.url and "has=dog" in page.url
