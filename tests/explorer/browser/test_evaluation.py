"""The benchmark's page in a browser: videos that play together, keys, addresses and Back, and what cannot be shown."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from explorer.benchmark import MODELS, PROMPTS
from explorer.browser.watching import wait_for_prompt
from opens2v_explorer.states import STATES

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from explorer.browser.watching import Watched


def asked(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlsplit(page.url).query)


def test_two_models_videos_play_together(seen: Watched) -> None:
    page = seen.open("/evaluation?prompt=singleface_1")
    wait_for_prompt(page, "singleface_1")
    videos = page.get_by_test_id("model-video")
    assert videos.count() == 2
    for at in range(2):
        page.wait_for_function(
            "one => one.readyState === HTMLMediaElement.HAVE_ENOUGH_DATA", arg=videos.nth(at).element_handle()
        )
    stage = page.get_by_test_id("evaluation")
    page.get_by_test_id("clock").filter(has_text="of 1.60 s").wait_for()  # the longer of the two
    for at in range(2):
        assert videos.nth(at).evaluate("one => [one.videoWidth, one.videoHeight]") == [160, 96]
    page.keyboard.press("p")
    stage.and_(page.locator("[data-playing='true']")).wait_for()
    page.wait_for_function("([one]) => one.currentTime > 0.2", arg=[videos.nth(1).element_handle()])
    page.keyboard.press("p")
    stage.and_(page.locator("[data-playing='false']")).wait_for()
    assert [videos.nth(at).evaluate("one => one.paused") for at in range(2)] == [True, True]
    # The shorter rests at its end.
    shorter, longer = (videos.nth(at).element_handle() for at in range(2))
    page.wait_for_function(
        "([one, other]) => Math.abs(one.currentTime - Math.min(other.currentTime, one.duration)) < 0.01",
        arg=[shorter, longer],
    )
    page.get_by_test_id("seek-all").fill("1.3")
    page.wait_for_function("one => Math.abs(one.currentTime - 1.3) < 0.01", arg=videos.nth(1).element_handle())
    assert videos.nth(0).evaluate("one => one.currentTime === one.duration")
    page.keyboard.press("s")
    page.wait_for_function("one => one.currentTime === 0", arg=videos.nth(0).element_handle())
    page.keyboard.press("p")
    page.keyboard.press("j")  # whoever has them played has those of the next prompt played, too
    wait_for_prompt(page, "singleface_2")
    stage.and_(page.locator("[data-playing='true']")).wait_for()


def test_keys_go_through_the_prompts_and_back_goes_back(seen: Watched) -> None:
    page = seen.open("/evaluation")
    keys = list(PROMPTS)
    wait_for_prompt(page, keys[0])
    page.keyboard.press("j")
    wait_for_prompt(page, keys[1])
    for key in ("j", "ArrowRight", "j"):  # faster than the page is made
        page.keyboard.press(key)
    wait_for_prompt(page, keys[4])
    assert asked(page) == {"prompt": [keys[4]]}
    page.keyboard.press("k")
    wait_for_prompt(page, keys[3])
    page.go_back()
    wait_for_prompt(page, keys[4])
    page.locator(f"[data-testid='prompt-item'][data-key='{keys[5]}']").click()
    wait_for_prompt(page, keys[5])
    assert page.get_by_test_id("prompt-after").is_disabled()


def test_a_filter_is_in_the_address_and_survives_back(seen: Watched) -> None:
    page = seen.open("/evaluation")
    page.get_by_role("textbox", name="Text").fill("dog")
    page.get_by_role("textbox", name="Text").press("Enter")
    page.get_by_test_id("eval-status").filter(has_text="2 of 6").wait_for()
    assert asked(page) == {"words": ["dog"]}
    page.keyboard.press("j")  # of the field, where it is a letter
    page.get_by_role("textbox", name="Text").fill("dog")
    page.locator("[data-testid='prompt-item'][data-key='faceobj_1']").click()
    wait_for_prompt(page, "faceobj_1")
    assert asked(page) == {"words": ["dog"], "prompt": ["faceobj_1"]}
    address = page.url
    page.get_by_test_id("mode-corrected").click()
    page.get_by_test_id("eval-status").filter(has_text="corrected mode").wait_for()
    page.go_back()
    page.get_by_test_id("eval-status").filter(has_text="published mode").wait_for()
    assert page.url == address
    page.get_by_test_id("nav-review").click()
    seen.wait("review")
    page.go_back()
    seen.wait("evaluation")
    page.get_by_test_id("eval-status").filter(has_text="2 of 6").wait_for()
    wait_for_prompt(page, "faceobj_1")
    page.wait_for_function("() => document.querySelector('input[aria-label=Text]')?.value === 'dog'")


def test_what_cannot_be_shown_says_why_and_text_stays_text(seen: Watched) -> None:
    page = seen.open("/evaluation?prompt=singlehuman_1")
    page.locator("[data-state='corrupt']").filter(has_text=STATES["corrupt"].title).first.wait_for()
    page.locator("[data-testid='no-video']").filter(has_text="The folder has no singlehuman_1.mp4.").wait_for()
    video = page.get_by_test_id("model-video")
    video.and_(page.locator("[hidden]")).wait_for(state="attached")
    page = seen.open("/evaluation?prompt=faceobj_1")
    wait_for_prompt(page, "faceobj_1")
    page.get_by_text("Leaderboard: ").click()
    assert page.get_by_test_id("board-row").count() == 4
    assert page.locator("img[src='x']").count() == 0
    assert page.evaluate("() => globalThis.taken === undefined")
    assert page.get_by_text(MODELS[1], exact=True).count() > 2
