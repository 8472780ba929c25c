"""Overview: how much there is, how it scores, what it shows, and what is wrong with it; each a way to the clips it is of."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import streamlit as st

from opens2v_explorer import answers, markup, state
from opens2v_explorer.filters import Filters
from opens2v_explorer.gallery import COLUMNS, gallery
from opens2v_explorer.histograms import histograms
from opens2v_explorer.runtime import current

FAULTS = {
    "near_copies": "Two subjects of a clip are nearly one box",
    "empty_masks": "A mask without a pixel",
    "tiny_subjects": "A subject below 0.1% of the picture",
    "alike_pairs": "A pair that is nearly the same picture",
    "disagreeing_pairs": "A pair whose classes differ",
    "clips_without_bytes": "The release has no video of the clip",
    "captions_without_subject": "The caption names none of the subjects",
}
"""What each quality view finds, in a few words."""


def page() -> None:
    """Show the page."""
    explorer = current()
    st.html(f"<h1 class='o-title'>{escape(_title())}</h1>")
    places = {name: st.empty() for name in ("totals", "pictures", "distributions", "kinds", "faults")}
    places["pictures"].html(_pictures())
    places["totals"].html(_totals(answers.totals()))
    with places["distributions"].container():
        _distributions()
    places["kinds"].html(_shares())
    hi = min(len(explorer.catalog), answers.LOOKED_AT)
    places["faults"].html(f'{_heading("What looks wrong")}<p class="o-status">Looking at {hi:,} clips…</p>')
    places["faults"].html(_faults())


def _title() -> str:
    explorer = current()
    if explorer.slice_name:
        return f"{explorer.slice_name}: a slice of OpenS2V-5M's {len(explorer.catalog):,} clips"
    return f"OpenS2V-5M: {len(explorer.catalog):,} clips"


def _heading(text: str, note: str = "") -> str:
    more = f'<p class="o-status">{escape(note)}</p>' if note else ""
    return f'<h2 class="o-section">{escape(text)}</h2>{more}'


def _totals(found: Mapping[str, Any]) -> str:
    hours = (found["seconds"] or 0) / 3600
    shown = {
        "Clips": f"{found['num_clips']:,}",
        "with video here": f"{found['num_clips_with_video']:,}",
        "Length": f"{hours:,.0f} h" if hours >= 10 else f"{hours * 60:,.1f} min",
        "Source videos": f"{found['num_source_videos']:,}",
        "Subjects": f"{found['num_subjects']:,}",
        "Masks": f"{found['num_masks']:,}",
        "Cross-video pairs": f"{found['num_pairs']:,}",
        "GPT-Image-1 views": f"{found['num_views']:,}",
    }
    items = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in shown.items())
    return f'{_heading("Totals")}<dl class="o-totals" data-testid="totals">{items}</dl>'


def _pictures() -> str:
    found = answers.rows(answers.OVERVIEW, after=None, n=answers.OVERVIEW_PICTURES, columns=(*COLUMNS, "caption"))
    more = markup.link(
        state.link_to("browse", answers.OVERVIEW), "Browse all", css="o-plain", data_testid="overview-browse"
    )
    rows = found.rows.to_pylist()
    if not rows:
        return f'{_heading("Clips")}<p class="o-status">The catalog has no clip.</p>'
    return f'{_heading("Best by aesthetic score")}{gallery(rows, filters=Filters())}<p class="o-status">{more}</p>'


def _distributions() -> None:
    st.html(_heading("How clips score", "Drag over a distribution, or move its handles, to filter by it."))
    filters = state.current_filters()
    everything = answers.distributions(Filters())
    chosen = everything if filters.is_empty else answers.distributions(filters)
    if everything:
        histograms(filters, everything, chosen, key="overview-ranges", wide=True)
    link = markup.link(state.link_to("browse"), "Browse the clips chosen", css="o-plain", data_testid="overview-chosen")
    st.html(f'<p class="o-status">{link}</p>')


def _shares() -> str:
    categories = [
        {"category": _to_browse(row["category"], category=row["category"]), "clips": row["num_clips"],
         "share": _bar(row["share"]), "aesthetic": row["aesthetic"], "motion": row["motion"]}
        for row in answers.answer("categories")
    ]  # fmt: skip
    kinds = [
        {"kind": _to_browse(row["kind"], kind=row["kind"]), "clips": row["num_clips"], "subjects": row["num_subjects"],
         "classes": row["num_classes"], "most frequent": row["top_class"]}
        for row in answers.answer("kinds")
    ]  # fmt: skip
    classes = [
        {
            "class": _to_browse(row["class_name"], has=row["class_name"]),
            "clips": row["num_clips"],
            "subjects": row["num_subjects"],
        }
        for row in answers.answer("top-classes", most=15)
    ]
    tables = (
        ("What clips show", ["category", "clips", "share", "aesthetic", "motion"], categories),
        ("Kinds of subjects", ["kind", "clips", "subjects", "classes", "most frequent"], kinds),
        ("Most frequent classes", ["class", "clips", "subjects"], classes),
    )
    made = "".join(
        f"<section>{_heading(title, _whole())}{markup.table(columns, rows, caption=title, testid=columns[0])}</section>"
        for title, columns, rows in tables
    )
    return f'<div class="o-columns">{made}</div>'


def _faults() -> str:
    hi, found = answers.faults()
    is_whole = hi >= len(current().catalog)
    rows = [
        {"fault": _to_browse(row["fault"].replace("_", " "), fault=row["fault"]), "cases": row["num_rows"],
         "clips": row["num_clips"], "share": _bar(row["num_clips"] / hi if hi else 0), "what it is": FAULTS.get(row["fault"], "")}
        for row in found
    ]  # fmt: skip
    quirks = [
        {
            "oddity": _to_browse(row["quirk"], quirk=row["quirk"]),
            "clips": row["num_clips"],
            "example": row["example_key"],
        }
        for row in answers.answer("quirks")
    ]
    note = _whole() if is_whole else f"Of the first {hi:,} clips; links lead to all clips, which takes longer to find."
    made = (
        f"<section>{_heading('What looks wrong', note)}"
        f"{markup.table(['fault', 'cases', 'clips', 'share', 'what it is'], rows, caption='Faults', testid='faults')}</section>"
    )
    if quirks:
        made += (
            f"<section>{_heading('Oddities of the records', _whole())}"
            f"{markup.table(['oddity', 'clips', 'example'], quirks, caption='Oddities', testid='quirks')}</section>"
        )
    return f'<div class="o-columns">{made}</div>'


def _whole() -> str:
    """Return a note for figures that are not those of the slice, where there is one."""
    return "Of the whole catalog; links lead to the slice's." if current().start_slice is not None else ""


def _to_browse(text: str, **params: str) -> markup.Html:
    filters, _ = Filters.from_params({name: [value] for name, value in params.items()})
    return markup.Html(markup.link(state.link_to("browse", filters), escape(text)))


def _bar(share: float) -> markup.Html:
    percent = 100 * share
    bar = f'<span class="o-bar" aria-hidden="true" style="width:{percent:.1f}%"></span>' if share else ""
    return markup.Html(f'<span class="o-share">{percent:.1f}%</span>{bar}')
