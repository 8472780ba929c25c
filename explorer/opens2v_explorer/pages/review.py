"""What reviewers decided: how far they are, where they disagree, and files for others to use."""

from __future__ import annotations

from html import escape

import streamlit as st

from opens2v_explorer import markup, review
from opens2v_explorer.runtime import Explorer, current
from opens2v_explorer.state import current_filters, link_here, link_to, param
from opens2v_explorer.states import state
from opens2v_explorer.verdicts.buttons import reviewer
from opens2v_explorer.verdicts.events import UNDO, Event, new_id, now
from opens2v_explorer.verdicts.queue import Queue
from opens2v_explorer.verdicts.targets import KINDS, Kind

LAST = 20
"""Verdicts that can be taken back here."""

_PAGES: dict[Kind, tuple[str, str]] = {"pair": ("pairs", "pair"), "view": ("gpt_views", "view")}
_PLURALS = {"clip": "Clips", "subject": "Subjects", "pair": "Pairs", "view": "GPT views"}


def page() -> None:
    """Show the verdicts on one kind of target, the URL's `on`."""
    explorer = current()
    store = explorer.verdicts
    st.html("<h1 class='o-title'>Review</h1>")
    if not store.is_writable:
        st.html(markup.state(state("log-unwritable", f"{store.path}: {store.why_read_only}.")))
    tallies = store.tallies()
    kind = _kind()
    judged: dict[Kind, int] = {name: sum(tally.count for tally in tallies if tally.kind == name) for name in KINDS}
    st.html(_head(explorer, kind, judged))
    if not tallies:
        st.html(markup.state(state("no-verdicts", f"{store.path} has none."), html=_to_triage(explorer)))
        return
    found = review.summary_of(store, kind)
    again = _to_triage(explorer) if kind == "clip" else _to_page(explorer, kind)
    _section("Progress", review.progress_html(tallies, kind) + again)
    _section("Agreement", review.agreement_html(found))
    if found.disputed:
        _section("Disagreements", review.disputed_html(found))
    elif found.alpha.num_targets:
        _section("Disagreements", "<p class='o-status'>None: all who judged a target say the same of it.</p>")
    _undo(explorer, kind)
    _section("Files", review.exports_html(found))
    st.code(review.USE.format(root=explorer.catalog.catalog.uri), language="python")


def _section(title: str, html: str) -> None:
    st.html(f"<h2 class='o-section'>{title}</h2>{html}")


def _kind() -> Kind:
    asked = param("on")  # `kind` is a filter, what clips show
    for kind in KINDS:
        if kind == asked:
            return kind
    return "clip"


def _head(explorer: Explorer, kind: Kind, judged: dict[Kind, int]) -> str:
    store, filters = explorer.verdicts, current_filters()
    kinds = "".join(
        markup.link(
            link_here(filters, on=None if name == "clip" else name),
            f"{escape(_PLURALS[name])} ({judged[name]:,})",
            css="o-button",
            keep=f"kind-{name}",
            data_testid=f"kind-{name}",
            **({"aria_current": "true"} if name == kind else {}),
        )
        for name in KINDS
        if judged[name] or name in ("clip", kind)
    )
    said = f"{store.count():,} events in {escape(str(store.path))} · you are {escape(reviewer())}"
    others = sum(count for digest, count in store.digests().items() if digest != explorer.catalog.fingerprint)
    notice = ""
    if others:
        notice = (
            '<p class="o-notice" role="status" data-testid="other-catalog"><b>Of another catalog.</b> '
            f"{others:,} of these verdicts were given on a catalog with another digest than this one's, {explorer.version}. They "
            "count here by part and key; a clip that this catalog lacks is left out of saved slices.</p>"
        )
    style = "justify-content:flex-start;flex-wrap:wrap;margin:0"
    return (
        f'<p class="o-status" data-testid="review-log">{said}</p>{notice}'
        f'<nav class="o-pager" style="{style}" aria-label="What was judged">{kinds}</nav>'
    )


def _to_triage(explorer: Explorer) -> str:
    filters = current_filters()
    second = Queue(filters=filters, who=reviewer(), round=2).slice(explorer).count()
    links = [markup.link(link_to("triage", filters), "Judge clips", css="o-button", data_testid="to-triage")]
    if second:
        label = f"Second pass, blind: {second:,} clip{'' if second == 1 else 's'} that others judged"
        links.append(
            markup.link(
                link_to("triage", filters, round=2), label, css="o-button", keep="second", data_testid="to-second-pass"
            )
        )
    return f'<p class="o-pager" style="justify-content:flex-start;flex-wrap:wrap">{"".join(links)}</p>'


def _to_page(explorer: Explorer, kind: Kind) -> str:
    """Return links to the page where pairs or views are judged; "" for subjects, which none asks about."""
    if kind not in _PAGES:
        return ""
    page, name = _PAGES[kind]
    store, who = explorer.verdicts, reviewer()
    wanted = [("todo", "to-judge", f"Judge {name}s that you have not judged")]
    if second := len(set(store.judged(kind, not_who=who)) - set(store.judged(kind, who=who))):
        counted = f"{second:,} {name}{'' if second == 1 else 's'}"
        wanted.append(("others", "to-second-pass", f"Judge {counted} that others have judged, blind"))
    links = [
        markup.link(link_to(page, judged=judged), label, css="o-button", keep=testid, data_testid=testid)
        for judged, testid, label in wanted
    ]
    return f'<p class="o-pager" style="justify-content:flex-start;flex-wrap:wrap">{"".join(links)}</p>'


def _undo(explorer: Explorer, kind: Kind) -> None:
    who = reviewer()
    last = explorer.verdicts.current(kind, who, last=LAST)[::-1]
    if not last or not explorer.verdicts.is_writable:
        return
    with st.expander(f"The last verdicts of {who}, to take back"):
        for event in last:
            words, button = st.columns([5, 1], vertical_alignment="center")
            more = " · ".join(escape(text) for text in (*event.reasons, event.note) if text)
            words.html(
                f"<p class='o-status'><b>{escape(event.verdict)}</b> {review.target_links(kind, event.target)} {more}</p>"
            )
            button.button("Take back", key=f"undo-{event.event_id}", on_click=_take_back, args=(explorer, event))


def _take_back(explorer: Explorer, event: Event) -> None:
    explorer.verdicts.add(
        [
            Event(
                event_id=new_id(),
                at=now(),
                who=event.who,
                kind=event.kind,
                target=event.target,
                verdict=UNDO,
                undoes=event.event_id,
                catalog_digest=explorer.catalog.fingerprint,
                round=event.round,
            )
        ]
    )
