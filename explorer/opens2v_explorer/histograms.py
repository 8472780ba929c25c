"""Distributions of numbers, with a range to choose on each: `static/histogram.js` draws them and writes the range to the URL."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from streamlit.components.v2 import component

from opens2v_explorer.fields import NUMBERS
from opens2v_explorer.stage import static_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opens2v_data.query.tallies import Histogram
    from opens2v_explorer.filters import Filters


def histograms(
    filters: Filters,
    all_clips: Mapping[str, Histogram],
    chosen: Mapping[str, Histogram] | None,
    *,
    key: str,
    wide: bool = False,
) -> None:
    """Put distributions on the page.

    Args:
        filters: whose ranges are marked.
        all_clips: of the whole catalog, by name.
        chosen: of the clips that meet the filters; None: they are still being counted.
        key: of the element, unique on the page.
        wide: side by side instead of one below the other.
    """
    data = [_one(name, filters, histogram, (chosen or {}).get(name)) for name, histogram in all_clips.items()]
    _component()(data={"histograms": data, "wide": wide}, key=key)


def _one(name: str, filters: Filters, everything: Histogram, chosen: Histogram | None) -> dict[str, Any]:
    about, known = NUMBERS[name], filters.range_of(name)
    now = None if chosen is None else chosen.counts.tolist()
    return {
        "name": name,
        "label": about.label,
        "unit": about.unit,
        "about": about.about,
        "low": float(everything.edges[0]),
        "high": float(everything.edges[-1]),
        "all": everything.counts.tolist(),
        "now": now,
        "missing": everything.num_null if chosen is None else chosen.num_null,
        "below": everything.num_below if chosen is None else chosen.num_below,
        "above": everything.num_above if chosen is None else chosen.num_above,
        "lo": known.lo if known else None,
        "hi": known.hi if known else None,
    }


@cache
def _component() -> Any:
    return component(
        "opens2v_histograms",
        html='<div class="root"></div>',
        css=static_text("histogram.css"),
        js=static_text("histogram.js"),
    )
