"""Same identity, not, or unsure: buttons with keys, and lists, of pairs and views. Verdicts need no run of the script."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st
from streamlit.components.v2 import component

from opens2v_explorer import markup
from opens2v_explorer.runtime import current
from opens2v_explorer.stage import static_text
from opens2v_explorer.state import param
from opens2v_explorer.verdicts.events import MAX_WHO
from opens2v_explorer.verdicts.unjudged import Judged, as_param

if TYPE_CHECKING:
    from opens2v_explorer.runtime import Explorer

POST_URL = "/explorer/verdicts"

_GIVEN = "verdicts-given"


def reviewer() -> str:
    """Return whose verdicts are given: the URL's `who`, else the one the explorer was started for."""
    return " ".join((param("who").strip() or current().reviewer).split())[:MAX_WHO]


def outbox_data(explorer: Explorer) -> dict[str, Any]:
    """Return what `static/outbox.js` is told: where verdicts go, and of which log they are."""
    return {
        "log": explorer.verdicts.log_id,
        "url": POST_URL,
        "token": explorer.token,
        "writable": explorer.verdicts.is_writable,
        "why": explorer.verdicts.why_read_only or "",
    }


def lists_html(noun: str, judged: Judged, link: Callable[[str | None], str]) -> str:
    """Return links to the lists of pairs or views: all, those left to a reviewer, those that others judged.

    Args:
        noun: what is listed.
        judged: the list that is shown.
        link: gives the address of a list, by the URL's `judged`.
    """
    names: dict[Judged, str] = {"any": f"All {noun}", "todo": "Not judged yet", "others": "Judged by others, blind"}
    items = []
    for one, name in names.items():
        mark = {"aria_current": "true"} if one == judged else {}
        items.append(
            markup.link(
                link(as_param(one)), name, css="preset", keep=f"judged-{one}", data_testid=f"judged-{one}", **mark
            )
        )
    return f'<nav class="links presets" aria-label="Which {noun}">{"".join(items)}</nav>'


def judged_by(kind: Literal["pair", "view"], who: str) -> set[str]:
    """Return the targets that a reviewer has judged, with what was said on this page a moment ago.

    A verdict goes to the log by itself, and the run of the script that follows it may come first.
    """
    found = set(current().verdicts.judged(kind, who=who))
    given: dict[tuple[str, str, str], bool] = st.session_state.setdefault(_GIVEN, {})
    for (of_kind, of_who, target), is_judged in list(given.items()):
        if (of_kind, of_who) != (kind, who):
            continue
        if (target in found) == is_judged:
            del given[of_kind, of_who, target]  # the log has it: from now on it is right, whoever changes it
        elif is_judged:
            found.add(target)
        else:
            found.discard(target)
    return found


def identity_buttons(
    kind: Literal["pair", "view"],
    target: str,
    *,
    key: str,
    label: str = "Same identity?",
    hotkeys: bool = True,
    filter_hash: str = "",
    on_judged: Callable[[], None] | None = None,
    moves_on: bool = False,
) -> None:
    """Ask whether two pictures show the same identity. S is same, N not, U unsure; the same once more takes it back.

    Args:
        kind, target: what is judged, see `targets`.
        key: of the element, unique on the page.
        label: the question.
        hotkeys: whether S, N and U mean these buttons wherever the focus is: of one group on the page only.
        filter_hash: of the filters that led here.
        on_judged: called in the run of the script that follows a verdict; None: no run follows. The verdict is logged either way.
        moves_on: that run gives the keys to something else. Until then they judge nothing, as nobody has seen it yet, and take
            nothing back.
    """
    explorer, who = current(), reviewer()
    mine = explorer.verdicts.current(kind, who, 1, targets=[target])
    data = {
        **outbox_data(explorer),
        "target": target,
        "label": label,
        "hotkeys": hotkeys,
        "triggers": on_judged is not None,
        "moves_on": moves_on,
        "event": {
            "who": who,
            "kind": kind,
            "round": 1,
            "filter_hash": filter_hash,
            "catalog_digest": explorer.catalog.fingerprint,
        },
        "mine": {name: getattr(mine[-1], name) for name in ("event_id", "verdict", "at")} if mine else None,
    }

    def judged() -> None:
        value = st.session_state[key].get("judged")
        if value is not None and value.get("target") == target:
            st.session_state.setdefault(_GIVEN, {})[kind, who, target] = value.get("verdict") is not None
        if on_judged is not None:
            on_judged()

    _component()(data=data, key=key, on_judged_change=judged)


@cache
def _component() -> Any:
    return component(
        "opens2v_judge",
        html=static_text("judge.html"),
        css=static_text("judge.css"),
        js=static_text("outbox.js") + static_text("judge.js"),
    )
