"""Judge the clips of the filter one after the other, by keys."""

from __future__ import annotations

from html import escape

import streamlit as st

from opens2v_explorer import markup
from opens2v_explorer.runtime import current
from opens2v_explorer.state import current_filters, link_here, offer, param, set_params
from opens2v_explorer.states import state
from opens2v_explorer.triage import KEYS, parse_keys, parse_reasons, show_triage, triage_data
from opens2v_explorer.verdicts.buttons import reviewer
from opens2v_explorer.verdicts.events import MAX_WHO
from opens2v_explorer.verdicts.queue import Queue


def page() -> None:
    """Show the queue of the URL's filters: `who` judges, in `round` 1 or 2; `which=all` shows what was judged too."""
    explorer, filters = current(), current_filters()
    queue = Queue(
        filters=filters,
        who=reviewer(),
        round=2 if param("round") == "2" else 1,
        which="all" if param("which") == "all" else "todo",
    )
    st.html("<h1 class='o-title'>Triage</h1>")
    if not explorer.verdicts.is_writable:
        st.html(markup.state(state("log-unwritable", f"{explorer.verdicts.path}: {explorer.verdicts.why_read_only}.")))
    _settings(queue)
    if queue.round == 2 and filters.verdict:
        st.html(_note("The filter by verdict is left out of a blind second pass: it would give away what others said."))
    try:
        keys = parse_keys(param("keys"))
    except ValueError as error:
        keys = KEYS
        st.html(_note(f"keys: {error}; {', '.join(KEYS.upper())} are used"))
    show_triage(triage_data(explorer, queue, reasons=parse_reasons(param("reasons")), keys=keys))


def _settings(queue: Queue) -> None:
    links = [
        ("Not judged yet", "todo", {"which": None}, queue.which == "todo"),
        ("All", "all", {"which": "all"}, queue.which == "all"),
        ("First pass", "round-1", {"round": None}, queue.round == 1),
        ("Second pass, blind", "round-2", {"round": "2"}, queue.round == 2),
    ]
    made = [
        markup.link(
            link_here(queue.filters, **change),
            escape(label),
            css="o-button",
            keep=f"triage-{name}",
            data_testid=f"triage-{name}",
            **({"aria_current": "true"} if is_on else {}),
        )
        for label, name, change, is_on in links
    ]
    style = "justify-content:flex-start;flex-wrap:wrap;margin:0"
    st.html(f'<nav class="o-pager" style="{style}" aria-label="Which clips">{"".join(made)}</nav>')
    with st.expander(f"Reviewer {queue.who}, reasons and keys"):
        _field("who", "Reviewer", queue.who, max_chars=MAX_WHO)
        _field("keys", "Keys for keep, drop and flag", param("keys") or KEYS, max_chars=3)
        offer("triage-reasons", "\n".join(parse_reasons(param("reasons"))))
        st.text_area(
            "Reasons for the keys 1 to 9, one a line",
            key="triage-reasons",
            on_change=_keep_reasons,
            max_chars=700,
            height=230,
        )


def _field(name: str, label: str, value: str, *, max_chars: int) -> None:
    key = f"triage-{name}"
    offer(key, value)
    st.text_input(
        label,
        key=key,
        max_chars=max_chars,
        on_change=lambda: set_params(**{name: st.session_state[key].strip() or None}),
    )


def _keep_reasons() -> None:
    reasons = parse_reasons(st.session_state["triage-reasons"])
    set_params(reasons=None if reasons == parse_reasons("") else "|".join(reasons))


def _note(text: str) -> str:
    return f'<p class="o-notice" role="status" data-testid="notice">{escape(text)}</p>'
