"""Pages without a mouse, in the dark, in narrow windows, and as axe-core sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from explorer.browser.watching import Watched, contrast, luminance, open_triage, style, wait_until_saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import ElementHandle, Page

ALL_PAGES = {
    "overview": "/",
    "browse": "/browse?aesthetic=5..",
    "table": "/browse?view=table",
    "clip": "/clip",
    "triage": "/triage",
    "pairs": "/pairs",
    "views": "/views",
    "sql": "/sql?sql=SELECT * FROM clips LIMIT 3",
    "review": "/review",
    "evaluation": "/evaluation?prompt=faceobj_1",
    "nothing": "/browse?aesthetic=..1",
}

IS_PAINTED = """isDark => {
  const isUnderWay = (tree) => tree.getAnimations().some((one) => one instanceof CSSTransition && one.playState === "running");
  const hosts = [...document.querySelectorAll("[data-testid='stBidiComponentIsolated']")];
  return (getComputedStyle(document.querySelector(".stApp")).colorScheme === "dark") === isDark
    && ![document, ...hosts.map((host) => host.shadowRoot)].some(isUnderWay);
}"""
"""Whether a page is dark, or light, and no colour is between the two."""

FOCUSED = """() => {
  let active = document.activeElement;
  while (active.shadowRoot?.activeElement) active = active.shadowRoot.activeElement;
  return active;
}"""


def focused_on(page: Page) -> ElementHandle:
    """Return the element that has the focus, inside of components too."""
    found = page.evaluate_handle(FOCUSED).as_element()
    assert found is not None
    return found


@pytest.mark.parametrize("name", ALL_PAGES)
def test_axe_finds_nothing_serious(watch: Callable[..., Watched], running_server: str, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    watched = watch(running_server)
    if name == "review":  # which says little before something was judged
        page = open_triage(watched, "who=axe")
        page.keyboard.type("kd")
        wait_until_saved(page, 2)
    page = watched.open(ALL_PAGES[name])
    found = []
    for is_dark in (False, True):
        page.emulate_media(color_scheme="dark" if is_dark else "light")
        page.wait_for_function(IS_PAINTED, arg=is_dark)
        watched.wait()
        for violation in axe.run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                places = [(node["target"], node["html"][:200]) for node in violation["nodes"]]
                found.append(("dark" if is_dark else "light", violation["id"], violation["help"], places))
    assert found == []


def test_the_dark_is_dark_and_can_be_read(watch: Callable[..., Watched], running_server: str) -> None:
    watched = watch(running_server, color_scheme="dark")
    page = watched.open("/browse")
    background = style(page.locator(".stApp"), "backgroundColor")
    assert luminance(background) < 0.02
    for css in (".o-nav a", ".o-status", ".o-card .o-caption", ".o-card .o-facts", ".o-catalog"):
        assert contrast(style(page.locator(css).first, "color"), background) >= 4.5, css
    page = watched.open("/triage")
    assert luminance(style(page.get_by_test_id("triage-caption"), "color")) > 0.5


def test_pages_fit_a_narrow_window_and_ask_no_other_host(watch: Callable[..., Watched], running_server: str) -> None:
    watched = watch(running_server, viewport={"width": 760, "height": 900}, color_scheme="dark")
    asked: list[str] = []
    watched.context.on("request", lambda request: asked.append(request.url))
    for path in ALL_PAGES.values():
        page = watched.open(path)
        page.wait_for_function("() => [...document.images].every(image => image.complete || image.loading === 'lazy')")
        for css in ("html", "[data-testid='stMain']"):
            wide, there = page.locator(css).evaluate("element => [element.scrollWidth, element.clientWidth]")
            assert wide <= there, (path, css)
    assert len(asked) > 50
    watched.check()


def test_a_clip_is_opened_by_keys_alone(seen: Watched) -> None:
    page = seen.open("/browse")
    for _ in range(150):
        page.keyboard.press("Tab")
        focused = focused_on(page)
        if focused.get_attribute("data-testid") == "card":
            break
    else:
        pytest.fail("no card of the gallery was met")
    assert focused.evaluate("card => getComputedStyle(card).outlineStyle") == "solid"
    assert focused.evaluate("card => parseFloat(getComputedStyle(card).outlineWidth)") >= 2
    clip = focused.get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{clip}")
    seen.wait("clip")
    player = page.get_by_test_id("player")
    player.and_(page.locator("[data-frame]")).wait_for()
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused_on(page).evaluate("element => element.closest('.player') !== null"):
            break
    else:
        pytest.fail("the player was not met")
    before = int(player.get_attribute("data-frame") or 0)
    page.keyboard.press(".")
    player.and_(page.locator(f"[data-frame='{before + 1}']")).wait_for()
