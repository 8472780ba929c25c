"""What lasts while the page's script runs again: places in queues, verdicts just given, and the following of links."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from explorer.benchmark import PROMPTS
from explorer.browser.judged import given, logged, targets_of, verdicts
from explorer.browser.line import Line
from explorer.browser.watching import open_triage, wait_for_prompt, wait_until_saved

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from explorer.browser.watching import Watched
    from explorer.servers import Server


@pytest.fixture(scope="module")
def queue(crowd: Server) -> list[str]:
    """The targets of all clips, in the order in which they are judged."""
    return targets_of(crowd)


def on_target(page: Page, target: str) -> None:
    """Wait until a queue has come to a clip."""
    page.locator(f"[data-testid='triage'][data-target='{target}']").wait_for()


def run_again(watched: Watched, mark: int) -> None:
    """Run the script of a queue's page once more: by an address that means the same, which its links show when it has begun."""
    watched.page.evaluate(
        "mark => document.dispatchEvent(new CustomEvent('o-go', { detail: `${location.href}&again=${mark}` }))", mark
    )
    watched.page.locator(f"[data-testid='triage-all'][href*='again={mark}']").wait_for()
    watched.wait("triage")


def test_a_queue_that_filters_change_takes_each_key_once(
    watch: Callable[..., Watched], crowd: Server, queue: list[str]
) -> None:
    watched = watch(crowd.url)
    page = open_triage(watched, "who=wide")
    page.keyboard.type("k")
    wait_until_saved(page, 1)
    on_target(page, queue[1])
    page.get_by_test_id("triage-all").click()
    on_target(page, queue[0])
    run_again(watched, 1)
    run_again(watched, 2)
    page.keyboard.type("dkf")
    wait_until_saved(page, 2)  # the first had been judged before
    on_target(page, queue[3])
    progress = page.get_by_test_id("triage-progress")
    progress.filter(has_text=f"Clip 4 of {len(queue)} · 2 judged here").wait_for()
    assert verdicts(crowd, "wide") == [(queue[0], "keep"), *given(queue, "dkf")]


def test_verdicts_given_while_a_queue_was_fetched_are_in_it(
    watch: Callable[..., Watched], crowd: Server, queue: list[str]
) -> None:
    watched = watch(crowd.url)
    line = Line(watched.page)
    page = open_triage(watched, "who=meanwhile")
    line.hold()
    page.get_by_test_id("triage-all").click()
    line.wait_for_runs(1)
    page.keyboard.type("kd")
    wait_until_saved(page, 2)
    page.keyboard.type("u")
    wait_until_saved(page, 1)
    line.release()
    on_target(page, queue[0])
    page.get_by_test_id("triage-verdict").filter(has_text="Keep").wait_for()
    page.keyboard.type("u")
    on_target(page, queue[0])
    page.get_by_test_id("triage-verdict").filter(has_text=re.compile("^$")).wait_for(state="attached")
    wait_until_saved(page, 0)
    assert [one.verdict for one in logged(crowd, "meanwhile")] == ["keep", "drop", "undo", "undo"]


def test_a_queue_whose_colours_change_while_it_comes_takes_each_key_once(
    watch: Callable[..., Watched], crowd: Server, queue: list[str]
) -> None:
    watched = watch(crowd.url)
    line = Line(watched.page)
    page = watched.open("/review?who=hurried")
    line.hold()
    page.get_by_test_id("nav-triage").click()
    line.wait_for_runs(1)
    line.release()
    for scheme in ("dark", "light", "dark", "light", "dark", "light"):  # each calls the component again
        page.emulate_media(color_scheme=scheme)
    watched.wait("triage")
    page.keyboard.type("kdf")
    wait_until_saved(page, 3)
    run_again(watched, 1)
    page.keyboard.type("k")
    wait_until_saved(page, 4)
    assert verdicts(crowd, "hurried") == given(queue, "kdfk")


def test_a_queue_that_is_ended_and_begun_late_or_before_its_end_is_the_same(
    watch: Callable[..., Watched], crowd: Server, queue: list[str]
) -> None:
    """Called as Streamlit calls it, without Streamlit, so that the order is certain."""
    watched = watch(crowd.url)
    line = Line(watched.page)
    told = []
    for which in ("todo", "all"):
        line.heard.clear()
        watched.open(f"/triage?who=orders&which={which}")
        (component,) = (one for one in line.components() if one.component_name.endswith("opens2v_triage"))
        told.append(json.loads(component.json))
    page = watched.page
    page.clock.install()
    page.goto(f"{crowd.url}/_stcore/health")
    page.evaluate(
        """async ([html, js]) => {
          const place = document.body.appendChild(document.createElement("div")).attachShadow({ mode: "open" });
          place.innerHTML = html;
          const { default: call } = await import(URL.createObjectURL(new Blob([js], { type: "text/javascript" })));
          globalThis.begin = (data) => call({ data, parentElement: place });
        }""",
        [component.html_content, component.js_content],
    )
    page.evaluate("todo => { globalThis.end = begin(todo); }", told[0])
    page.keyboard.type("k")
    wait_until_saved(page, 1)
    page.evaluate("() => end()")
    page.clock.fast_forward(3000)
    page.evaluate("todo => { globalThis.end = begin(todo); }", told[0])
    on_target(page, queue[1])
    page.keyboard.type("d")
    wait_until_saved(page, 2)
    # Its successor is another queue, and it is ended once that has begun.
    page.evaluate("all => { begin(all); end(); }", told[1])
    page.clock.fast_forward(3000)
    page.evaluate("all => { begin(all); }", told[1])
    on_target(page, queue[0])
    page.keyboard.type("fk")
    wait_until_saved(page, 0)  # both had been judged before
    on_target(page, queue[2])
    assert verdicts(crowd, "orders") == [*given(queue, "kd"), *given(queue, "fk")]


def test_an_answer_from_before_a_verdict_does_not_take_it_back(seen: Watched, running_explorer: Server) -> None:
    line = Line(seen.page)
    page = seen.open("/pairs?who=late")
    judge = page.get_by_test_id("judge").first
    mine = judge.get_by_test_id("judge-mine")
    saved = judge.locator("[data-testid='unsaved'][data-state='saved']")
    line.hold(questions=True)
    page.keyboard.press("s")
    saved.wait_for(state="attached")
    line.pass_questions()
    line.wait_for_runs(1)
    page.keyboard.press("n")
    mine.filter(has_text="not the same").wait_for()
    saved.wait_for(state="attached")
    line.pass_answers()
    page.locator(".verdict[data-verdict='same']").wait_for()  # of the list, which comes after the buttons
    assert mine.inner_text() == "Your verdict: not the same"
    line.release()
    page.locator(".verdict[data-verdict='different']").wait_for()
    assert mine.inner_text() == "Your verdict: not the same"
    page.keyboard.press("n")
    mine.filter(has_text="Not judged").wait_for()
    saved.wait_for(state="attached")
    assert [one.verdict for one in logged(running_explorer, "late")] == ["same", "different", "undo"]


def test_back_before_an_answer_came_leaves_the_prompt_that_is_shown(seen: Watched) -> None:
    line = Line(seen.page)
    first, second, third, *_ = PROMPTS
    page = seen.open(f"/evaluation?prompt={first}")
    wait_for_prompt(page, first)
    line.hold(questions=True)
    page.keyboard.press("j")
    page.wait_for_url(f"**prompt={second}")
    page.go_back()
    page.wait_for_url(f"**prompt={first}")
    line.release()  # the script runs for the later of both, and says what it had said
    wait_for_prompt(page, first)
    seen.wait("evaluation")
    page.keyboard.press("j")
    wait_for_prompt(page, second)
    page.keyboard.press("j")
    wait_for_prompt(page, third)


def test_a_change_of_colours_leaves_one_script_that_follows_links(seen: Watched) -> None:
    page = seen.open("/browse?aesthetic=5..")
    for scheme in ("dark", "light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.wait_for_function(
            "scheme => getComputedStyle(document.querySelector('.stApp')).colorScheme === scheme", arg=scheme
        )
    seen.wait()
    assert page.get_by_test_id("voice").count() == 1
    before = page.evaluate("() => history.length")
    page.evaluate("() => document.dispatchEvent(new CustomEvent('o-go', { detail: '/browse' }))")
    page.wait_for_url("**/browse")
    assert page.evaluate("() => history.length") == before + 1
