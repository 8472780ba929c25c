"""The panel beside a page in which filters are set: words of the caption, subjects, ranges, properties.

What is set goes into the URL. Places are made first and filled when the clips are shown: counting takes longer than finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.components.v2 import component

from opens2v_explorer import answers, markup, state
from opens2v_explorer.conditions import shown_value
from opens2v_explorer.fields import CHOICES, FAULTS, VERDICTS
from opens2v_explorer.filters import Filters, Mode, Notice
from opens2v_explorer.histograms import histograms
from opens2v_explorer.runtime import current
from opens2v_explorer.stage import static_text

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

FACETS = ("category", "source", "part", "fps", "size", "quirk", "kind")
"""Counted in this order, the quick ones first but for the category."""

OPEN = frozenset({"category", "source"})
"""Shown unfolded."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Places of a panel that are filled later.

    Attributes:
        ranges: of the distributions.
        facets: of each property's values.
    """

    ranges: DeltaGenerator
    facets: Mapping[str, DeltaGenerator]


def panel(filters: Filters) -> Panel:
    """Put the panel into the sidebar, with what needs no counting."""
    with st.sidebar:
        st.html('<h2 class="o-side">Filters</h2>')
        _search(filters)
        _classes()
        # Containers and no empty places: what the last run put there stays, focus and all, until this one has counted.
        ranges = st.container()
        facets = {name: st.container() for name in FACETS}
        st.html(_more(filters))
    return Panel(ranges=ranges, facets=facets)


def fill(made: Panel, filters: Filters) -> None:
    """Count, and show distributions and properties."""
    everything = answers.distributions(Filters())
    answers.tally(filters)
    chosen = everything if filters.is_empty else answers.distributions(filters)
    with made.ranges:
        histograms(filters, everything, chosen, key="ranges")
    for name in FACETS:
        made.facets[name].html(facet(name, filters, answers.facet(filters, name)))


def facet(name: str, filters: Filters, values: tuple[answers.FacetValue, ...]) -> str:
    """Return a property's values as a list to check, each a link to the filters with or without it."""
    about = CHOICES[name]
    chosen = filters.values_of(name)
    items = []
    for one in values:
        is_chosen = one.value in chosen
        inside = (
            f'<span class="o-box" aria-hidden="true">{"✓" if is_chosen else ""}</span>'
            f"<span>{escape(shown_value(one.value))}</span>"
            f'<span class="o-count">{one.num_clips:,}<span class="o-hidden"> clips</span></span>'
        )
        items.append(
            f"<li>{_box(inside, filters.toggled(name, one.value), is_chosen, keep=f'facet-{name}-{one.value}')}</li>"
        )
    body = "".join(items) or "<li>None</li>"
    if not answers.is_counted(name):
        body = f'<li class="o-small">Counts are of all clips.</li>{body}'
    count = f" ({len(chosen)} chosen)" if chosen else ""
    is_open = " open" if name in OPEN or chosen else ""
    return (
        f'<details class="o-facet" data-testid="facet-{name}"{is_open}><summary>{escape(about.label)}{count}</summary>'
        f'<ul aria-label="{escape(about.label)}">{body}</ul></details>'
    )


def search_note() -> str:
    """Return by what captions are searched, in words."""
    from opens2v_data.search import index_state

    found = index_state(current().catalog.catalog)
    words = {
        "ready": "Whole words, by the caption index.",
        "absent": "Whole words, by reading every caption. opens2v search-index builds an index that is faster.",
        "no-extra": "Whole words, by reading every caption: an index needs tantivy, extra search.",
        "stale": "The caption index is of another catalog. Build it anew with opens2v search-index.",
    }
    return words[found.kind]


# -- inside


def _search(filters: Filters) -> None:
    state.offer("o-q", filters.search)
    st.text_input(
        "Caption", key="o-q", on_change=_on_search, placeholder='guitar "red car" -night', max_chars=300,
        help="Words that the caption must all have. Quotes keep words together; OR, NOT and brackets work.",
    )  # fmt: skip
    st.html(f'<p class="o-status o-small" data-testid="search-note">{escape(search_note())}</p>')


def _on_search() -> None:
    text = st.session_state["o-q"]
    asked, notices = Filters.from_params({"q": [text]})
    st.session_state["o-said"] = notices
    if not notices:
        state.show(replace(state.current_filters(), search=asked.search))


def take_notices() -> list[Notice]:
    """Return what was wrong with what was just typed, once."""
    return st.session_state.pop("o-said", [])


@st.fragment
def _classes() -> None:
    typed = st.session_state.get("o-class", {}).get("text") or ""
    text = typed.strip()[:200]
    found = answers.find_classes(text)
    data = {"text": text, "classes": [{"name": row["class_name"], "num_clips": row["num_clips"]} for row in found]}
    _class_component()(data=data, key="o-class", default={"text": ""}, on_text_change=_nothing)


def _nothing() -> None:
    """The state is all that is needed."""


@cache
def _class_component() -> Any:
    return component(
        "opens2v_classes",
        html=static_text("classes.html"),
        css=static_text("classes.css"),
        js=static_text("classes.js"),
    )


def _more(filters: Filters) -> str:
    """Return the properties that are not counted: verdicts, copies, faults."""
    verdicts, copies = [], []
    for name in VERDICTS:
        is_on = filters.verdict == name
        changed = replace(filters, verdict="" if is_on else name)
        verdicts.append(_box(_plain(name, is_on), changed, is_on, keep=f"verdict-{name}"))
    modes: tuple[tuple[Mode, str], ...] = (("drop", "one of near duplicates"), ("only", "near duplicates only"))
    for mode, label in modes:
        is_on = filters.copies == mode
        changed = replace(filters, copies=None if is_on else mode)
        copies.append(_box(_plain(label, is_on), changed, is_on, keep=f"copies-{mode}"))
    faults = [_fault_line(filters, name) for name in FAULTS]
    return (
        _folded("verdict", "Verdict", verdicts, bool(filters.verdict))
        + _folded("copies", "Near duplicates", copies, bool(filters.copies))
        + _folded("fault", "Faults", faults, bool(filters.faults))
    )


def _fault_line(filters: Filters, name: str) -> str:
    mode = dict(filters.faults).get(name)
    others = tuple(one for one in filters.faults if one[0] != name)
    made = []
    modes: tuple[tuple[Mode, str], ...] = (("only", "only"), ("drop", "without"))
    for wanted, label in modes:
        is_chosen = mode == wanted
        changed = replace(filters, faults=others if is_chosen else (*others, (name, wanted)))
        words = _plain(f"{label} {name.replace('_', ' ')}", is_chosen)
        made.append(_box(words, changed, is_chosen, keep=f"fault-{wanted}-{name}"))
    return "".join(made)


def _folded(name: str, label: str, lines: Sequence[str], is_open: bool) -> str:
    items = "".join(f"<li>{line}</li>" for line in lines)
    opened = " open" if is_open else ""
    return (
        f'<details class="o-facet" data-testid="facet-{name}"{opened}><summary>{escape(label)}</summary>'
        f'<ul aria-label="{escape(label)}">{items}</ul></details>'
    )


def _plain(label: str, is_chosen: bool) -> str:
    return f'<span class="o-box" aria-hidden="true">{"✓" if is_chosen else ""}</span><span>{escape(label)}</span><span></span>'


def _box(inside: str, changed: Filters, is_chosen: bool, *, keep: str) -> str:
    return markup.link(
        state.link_here(changed), inside, keep=keep, role="checkbox", aria_checked="true" if is_chosen else "false",
        data_testid=keep,
    )  # fmt: skip
