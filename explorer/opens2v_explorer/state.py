"""The URL as the one truth: pages read filters from it, write them to it, and make links that keep them.

Writing it adds an entry to the browser's history; Back gives the earlier URL and runs the script with it. What a widget shows is
set from the URL before each run. Links of pages are real ones, `<a href>`, which `static/links.js` follows without a reload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import streamlit as st

from opens2v_explorer.fields import CHOICES, NUMBERS
from opens2v_explorer.filters import Filters, Notice, Params
from opens2v_explorer.runtime import current

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice

PATHS = {
    "overview": "/",
    "browse": "/browse",
    "clip": "/clip",
    "triage": "/triage",
    "pairs": "/pairs",
    "gpt_views": "/views",
    "sql": "/sql",
    "review": "/review",
    "evaluation": "/evaluation",
}
"""Modules of `pages` and where they stand."""

FILTER_PARAMS = frozenset(
    {*NUMBERS, *CHOICES, "has", "lacks", "q", "fault", "copies", "verdict", "ids", "among", "sort"}
)
"""Parameters that every page carries on."""

CARRIED = ("who",)
"""Further parameters that every page carries on: who judges."""


def params() -> Params:
    """Return the URL's parameters."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def param(name: str, default: str = "") -> str:
    """Return the last value of one parameter of the URL."""
    return st.query_params.get(name, default)


def current_filters() -> Filters:
    """Return the filters that the URL has."""
    return Filters.from_params(params())[0]


def notices() -> list[Notice]:
    """Return what of the URL's filters was not understood."""
    return Filters.from_params(params())[1]


def current_slice(filters: Filters | None = None) -> Slice:
    """Return the clips of some filters, those of the URL by default, among those that the explorer was started with.

    Raises:
        QueryError: a filter that the catalog cannot answer.
    """
    from opens2v_explorer.judged import judged_clips

    explorer = current()
    chosen = current_filters() if filters is None else filters
    return chosen.slice(
        explorer.catalog, explorer.start_slice, find_judged=lambda verdict: judged_clips(explorer, verdict)
    )


def show(filters: Filters, **others: str | None) -> None:
    """Write filters to the URL; it then holds these and no others.

    Args:
        filters: to show.
        others: further parameters; None removes one. A place in a list of clips (`after`) is left out unless it is given.
    """
    kept = {name: values for name, values in params().items() if name not in FILTER_PARAMS and name != "after"}
    given: Params = {name: [value] for name, value in others.items() if value is not None}
    for name in others:
        kept.pop(name, None)
    st.query_params.from_dict({**filters.to_params(), **kept, **given})


def set_params(**others: str | None) -> None:
    """Write single parameters to the URL, filters and all else untouched; None removes one."""
    kept = {name: values for name, values in params().items() if name not in others}
    st.query_params.from_dict({**kept, **{name: [value] for name, value in others.items() if value is not None}})


def offer(key: str, value: Any) -> None:
    """Give a widget the value that the URL has, before it is made, but not the same one twice.

    Each setting writes over what is in the browser. A run that comes while somebody types, such as that of a component that
    has just been shown, would take the text away.
    """
    offered = f"{key}.offered"
    if key in st.session_state and st.session_state.get(offered) == value:
        return
    st.session_state[offered] = value
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value


def link_to(page: str, filters: Filters | None = None, **others: str | int | None) -> str:
    """Return the address of a page, with filters.

    Args:
        page: of `PATHS`.
        filters: to carry there; those of the URL by default. `Filters()` carries none.
        others: the page's own parameters; None leaves one out.
    """
    chosen = current_filters() if filters is None else filters
    given: Params = {name: [str(value)] for name, value in others.items() if value is not None}
    carried: Params = {name: [param(name)] for name in CARRIED if name not in others and param(name)}
    query = urlencode({**chosen.to_params(), **carried, **given}, doseq=True)
    return f"{PATHS[page]}?{query}" if query else PATHS[page]


def link_here(filters: Filters, **others: str | int | list[str] | None) -> str:
    """Return the address of the page that is shown, with other filters and its own parameters; `after` is left out."""
    kept: Params = {
        name: values
        for name, values in params().items()
        if name not in FILTER_PARAMS and name != "after" and name not in others
    }
    given: Params = {
        name: value if isinstance(value, list) else [str(value)] for name, value in others.items() if value is not None
    }
    return "?" + urlencode({**filters.to_params(), **kept, **given}, doseq=True)
