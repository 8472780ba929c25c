"""Verdicts given in a browser, and what of them is in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from explorer.browser.judged import given, logged, targets_of, verdicts
from explorer.browser.watching import open_triage, wait_until_saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from explorer.browser.watching import Watched
    from explorer.servers import Server

KEYS = "kdffdkkdfd" * 3
"""30 verdicts."""


@pytest.fixture(scope="module")
def queue(crowd: Server) -> list[str]:
    """The targets of all clips, in the order in which they are judged."""
    targets = targets_of(crowd)
    assert len(targets) > len(KEYS)
    return targets


def test_30_keys_without_a_pause_are_30_verdicts(
    watch: Callable[..., Watched], crowd: Server, queue: list[str]
) -> None:
    page = open_triage(watch(crowd.url), "who=fast")
    page.keyboard.type(KEYS)
    wait_until_saved(page, len(KEYS))
    assert verdicts(crowd, "fast") == given(queue, KEYS)


def test_5_seconds_without_network_lose_no_verdict(
    watch: Callable[..., Watched], crowd: Server, queue: list[str]
) -> None:
    watched = watch(crowd.url)
    watched.forgiven = ("WebSocket",)
    page = open_triage(watched, "who=offline")
    watched.context.set_offline(True)
    page.keyboard.type(KEYS, delay=5000 / len(KEYS))
    unsaved = page.get_by_test_id("triage").get_by_test_id("unsaved")
    unsaved.filter(has_text=f"{len(KEYS)} verdicts not saved yet. The explorer does not answer").wait_for()
    page.locator(".unsaved-live[role='status']").filter(has_text="not saved yet").wait_for()
    assert verdicts(crowd, "offline") == []
    watched.context.set_offline(False)
    wait_until_saved(page, len(KEYS))
    assert verdicts(crowd, "offline") == given(queue, KEYS)


def test_a_reload_while_nothing_can_be_sent_loses_no_verdict(
    watch: Callable[..., Watched], crowd: Server, queue: list[str]
) -> None:
    watched = watch(crowd.url)
    page = open_triage(watched, "who=reloading")
    page.route("**/explorer/verdicts", lambda route: route.abort())
    page.keyboard.type(KEYS)
    page.get_by_test_id("unsaved").filter(has_text="The explorer does not answer").wait_for()
    page.reload()
    watched.wait()
    # The queue goes on where it was left, and the last verdict can be taken back.
    triage = page.get_by_test_id("triage")
    triage.and_(page.locator(f"[data-target='{queue[len(KEYS)]}']")).wait_for()
    page.get_by_test_id("unsaved").and_(page.locator(f"[data-unsaved='{len(KEYS)}']")).wait_for()
    page.keyboard.press("u")
    triage.and_(page.locator(f"[data-target='{queue[len(KEYS) - 1]}']")).wait_for()
    # What the browser itself sent as the page went may have come; sent once more it is logged once.
    page.unroute("**/explorer/verdicts")
    page.get_by_test_id("unsaved").and_(page.locator("[data-state='saved']")).wait_for()
    assert verdicts(crowd, "reloading") == [*given(queue, KEYS), (queue[len(KEYS) - 1], "undo")]


def test_undo_reasons_and_notes_are_events(watch: Callable[..., Watched], crowd: Server, queue: list[str]) -> None:
    page = open_triage(watch(crowd.url), "who=careful")
    page.keyboard.type("kd")
    page.keyboard.press("u")
    page.get_by_test_id("triage").and_(page.locator(f"[data-target='{queue[1]}']")).wait_for()
    page.keyboard.type("25n")
    page.keyboard.type("kdf is no verdict here")
    page.keyboard.press("Enter")
    page.keyboard.type("f")
    page.keyboard.down("k")
    page.keyboard.down("k")  # a key held down repeats
    page.keyboard.up("k")
    wait_until_saved(page, 3)
    events = logged(crowd, "careful")
    assert [(one.target, one.verdict) for one in events] == [
        (queue[0], "keep"), (queue[1], "drop"), (queue[1], "undo"), (queue[1], "flag"), (queue[2], "keep"),
    ]  # fmt: skip
    assert events[2].undoes == events[1].event_id
    assert (events[3].reasons, events[3].note) == (("blurred", "caption wrong"), "kdf is no verdict here")
    page.reload()
    page.get_by_test_id("triage").and_(page.locator(f"[data-target='{queue[3]}']")).wait_for()


def test_pairs_and_views_are_judged_by_buttons_and_keys(seen: Watched, running_explorer: Server) -> None:
    page = seen.open("/pairs?who=twins")
    judge = page.get_by_test_id("judge").first
    judge.get_by_test_id("judge-same").click()
    judge.get_by_test_id("judge-mine").filter(has_text="same identity").wait_for()
    page.keyboard.press("n")
    judge.get_by_test_id("judge-mine").filter(has_text="not the same").wait_for()
    page.locator("[data-testid='judge'] [data-testid='unsaved'][data-state='saved']").first.wait_for(state="attached")
    page.get_by_test_id("nav-gpt_views").click()
    seen.wait("gpt_views")
    judge = page.get_by_test_id("judge").nth(1)
    judge.get_by_test_id("judge-unsure").click()
    judge.get_by_test_id("judge-mine").filter(has_text="unsure").wait_for()
    judge.locator("[data-testid='unsaved'][data-state='saved']").wait_for(state="attached")
    events = logged(running_explorer, "twins")
    assert [(one.kind, one.verdict) for one in events] == [("pair", "same"), ("pair", "different"), ("view", "unsure")]
    assert events[0].target == events[1].target and events[0].target.count("#") == 2
    # The address names who judges on every page.
    page.reload()
    page.get_by_test_id("judge-mine").filter(has_text="unsure").wait_for()
