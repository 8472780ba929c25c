"""The table of states: each has its own words, and what an answer says is what a page says."""

from __future__ import annotations

import pytest

from opens2v_explorer.states import STATES, StateError, state

NAMED = {
    "not-here", "not-in-release", "corrupt", "no-masks", "no-mask", "mask-size", "box-far", "no-pairs", "no-views",
    "no-results", "counting", "unsaved",
}  # fmt: skip


def test_every_state_that_the_design_names_is_there_with_words_of_its_own() -> None:
    assert set(STATES) >= NAMED
    for code, one in STATES.items():
        assert one.code == code and one.title and one.detail.endswith(".")
        assert not one.advice or one.advice.endswith(".")
    assert len({one.title for one in STATES.values()}) == len(STATES)
    assert len({one.detail for one in STATES.values()}) == len(STATES)


def test_a_state_says_what_was_found_here() -> None:
    found = state("mask-size", "The mask is 320x180, the frame 640x360.")
    assert found.as_json() == {
        "state": "mask-size",
        "title": STATES["mask-size"].title,
        "detail": "The mask is 320x180, the frame 640x360.",
        "advice": STATES["mask-size"].advice,
    }
    assert state("mask-size") == STATES["mask-size"]
    with pytest.raises(StateError, match="Mask is not of the frame's size: The mask is 320x180"):
        raise StateError(found)
    with pytest.raises(KeyError, match="no-such-state"):
        state("no-such-state")


def test_what_refuses_a_request_has_a_status_that_says_so() -> None:
    statuses = {code: one.status for code, one in STATES.items()}
    assert {statuses[code] for code in ("not-in-release", "not-here", "no-such-clip", "no-background")} == {404}
    assert {statuses[code] for code in ("no-mask", "mask-size", "no-frame")} == {409}
    assert (statuses["corrupt"], statuses["bad-id"], statuses["bad-range"], statuses["refused"]) == (422, 400, 416, 403)
