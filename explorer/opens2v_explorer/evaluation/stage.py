"""The list of prompts and the one that is shown, as one component: it moves by keys and plays videos together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from streamlit.components.v2 import component

from opens2v_explorer.evaluation.asked import Listed
from opens2v_explorer.evaluation.figures_html import columns_of
from opens2v_explorer.evaluation.loading import Evaluation
from opens2v_explorer.evaluation.prompt_html import item_html, prompt_html
from opens2v_explorer.player import UNPLAYABLE
from opens2v_explorer.stage import static_text
from opens2v_explorer.states import STATES

VIDEO_STATES = ("no-video", "corrupt", "unreachable", "refused")


def stage_data(
    evaluation: Evaluation,
    found: Sequence[Listed],
    shown: Mapping[str, Any],
    *,
    metric: str,
    href: Callable[[str], str],
) -> dict[str, Any]:
    """Return what the component is told.

    Args:
        evaluation: what there is.
        found: prompts of the list.
        shown: the prompt to show; it need not be of the list.
        metric: which the list compares by.
        href: gives the address that shows a prompt, by key.
    """
    hrefs = [href(one.prompt["key"]) for one in found]
    column = columns_of(evaluation)[metric]
    items = "".join(item_html(one, link, column=column) for one, link in zip(found, hrefs, strict=True))
    keys = [one.prompt["key"] for one in found]
    return {
        "list": items,
        "detail": prompt_html(evaluation, shown),
        "hrefs": hrefs,
        "at": keys.index(shown["key"]) if shown["key"] in keys else -1,
        "states": {code: STATES[code].as_json() for code in VIDEO_STATES} | {"unplayable": UNPLAYABLE},
    }


def show_stage(data: dict[str, Any], *, key: str = "evaluation") -> None:
    """Put the component on the page.

    Args:
        data: see `stage_data`.
        key: of the element, unique on the page.
    """
    _component()(data=data, key=key)


@cache
def _component() -> Any:
    return component(
        "opens2v_evaluation",
        html=static_text("evaluation.html"),
        css=static_text("evaluation.css"),
        js="\n".join(static_text(name) for name in ("lasting.js", "together.js", "evaluation.js")),
    )
