"""Browse: clips that meet filters, as pictures or as a table; where the filters are set, and what is done with the clips."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import streamlit as st

from opens2v_data.errors import QueryError
from opens2v_explorer import answers, filter_panel, markup, sharing, state, states
from opens2v_explorer.fields import NUMBERS, SORTS
from opens2v_explorer.filters import Filters
from opens2v_explorer.gallery import COLUMNS, gallery, listing

PER_PAGE = 60
MAX_BACK = 12
"""Earlier pages that the address remembers, 60 characters each."""


def page() -> None:
    """Show the page."""
    filters = state.current_filters()
    panel = filter_panel.panel(filters)
    if said := filter_panel.take_notices():
        st.html(markup.notices(said))
    if chips := markup.chips(filters):
        st.html(chips)
    status = st.empty()
    toolbar(filters)
    if filters.is_costly:
        status.html('<p class="o-status" data-testid="finding">Finding clips…</p>')
    after = state.params().get("after", [])
    try:
        found = answers.rows(filters, after=after[-1] if after else None, n=PER_PAGE, columns=(*COLUMNS, "caption"))
    except QueryError as error:
        st.html(markup.problem("These filters cannot be answered.", str(error)))
        found = None
    if found is not None:
        rows = found.rows.to_pylist()
        if rows:
            status.html(_status(len(rows), None))
            st.html(gallery(rows) if state.param("view") != "table" else listing(rows))
            st.html(_pager(after, found.after))
            # Now that they are on their way: to list a million clips holds Python up for 0.1 s.
            answers.foresee(filters)
        elif after:
            st.html(markup.state(states.state("no-results", "There is no clip after the last one."), html=_first()))
        else:
            status.html('<p class="o-status" data-testid="count" data-announce="1"><b>No clip</b> fits</p>')
            st.html(markup.state(states.state("no-results"), html=_without_one(filters)))
        if rows or after:
            status.html(_status(len(rows), answers.count(filters)))
    try:
        filter_panel.fill(panel, filters)
    except QueryError as error:
        if found is not None:
            st.html(markup.problem("These clips cannot be counted.", str(error)))


def toolbar(filters: Filters) -> None:
    """Show how clips are ordered and shown, and what may be done with them."""
    order, view, more = st.columns([2, 1.4, 1.4], vertical_alignment="bottom")
    with order:
        _order(filters)
    with view:
        is_table = state.param("view") == "table"
        shapes = "".join(
            markup.link(
                state.link_here(filters, view=value, after=None), escape(label), css="o-button", keep=f"view-{label}",
                data_testid=f"view-{label.lower()}", **({"aria_current": "true"} if is_on else {}),
            )
            for label, value, is_on in (("Gallery", None, not is_table), ("Table", "table", is_table))
        )  # fmt: skip
        st.html(f'<div class="o-tools" role="group" aria-label="Shown as">{shapes}</div>')
    with more, st.popover("Share and export", use_container_width=True):
        sharing.sharing(filters)


def _order(filters: Filters) -> None:
    options = ["", *(sign + name for name in SORTS for sign in ("-", ""))]
    st.session_state["o-sort"] = filters.sort
    st.selectbox("Order", options, key="o-sort", format_func=_order_label, on_change=_on_order)


def _order_label(sort: str) -> str:
    if not sort:
        return "As the catalog has them"
    return f"{NUMBERS[sort.removeprefix('-')].label}, {'highest' if sort.startswith('-') else 'lowest'} first"


def _on_order() -> None:
    state.show(replace(state.current_filters(), sort=st.session_state["o-sort"] or ""))


def _status(num_rows: int, num_clips: int | None) -> str:
    if num_clips is None:
        counted = states.state("counting")
        words = f'<b>{num_rows:,}</b> shown · <span data-state="counting">{escape(counted.title.lower())}…</span>'
        return f'<p class="o-status" data-testid="count">{words}</p>'
    noun = "clip" if num_clips == 1 else "clips"
    found = f"<b>{num_clips:,}</b> {noun} · {num_rows:,} shown"
    return f'<p class="o-status" data-testid="count" data-count="{num_clips}" data-announce="1">{found}</p>'


def _pager(after: list[str], following: str | None) -> str:
    first, back, forward = "", "", ""
    if after:
        first = _turn([], "First page", "page-first")
        back = _turn(after[:-1], "Previous page", "page-previous")
    if following:
        forward = _turn([*after, following][-MAX_BACK:], "Next page", "page-next")
    return f'<nav class="o-pager" aria-label="Pages of clips"><span>{first} {back}</span><span>{forward}</span></nav>'


def _turn(after: list[str], label: str, testid: str) -> str:
    href = state.link_here(state.current_filters(), after=after)
    return markup.link(href, escape(label), css="o-button", keep=testid, data_testid=testid)


def _first() -> str:
    return _turn([], "First page", "page-first")


def _without_one(filters: Filters) -> str:
    """Return links that remove one filter each, the one that most clips are left without first."""
    chips = filters.chips()
    counted = [(answers.count(chip.without), chip) for chip in chips]
    counted.sort(key=lambda one: -one[0])
    items = []
    for number, chip in counted:
        if number:
            link = _drop(chip.without, f"Remove {chip.label}")
            items.append(f"<li>{link}: {number:,} {'clip' if number == 1 else 'clips'}</li>")
    if not items:
        return f"<p>No single filter is the reason. {_drop(Filters(sort=filters.sort), 'Remove all filters')}</p>"
    return f"<ul>{''.join(items)}</ul>"


def _drop(without: Filters, label: str) -> str:
    return markup.link(state.link_here(without), escape(label), css="o-plain", data_testid="drop-filter")
