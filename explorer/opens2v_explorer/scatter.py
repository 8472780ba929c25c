"""The scatter of pairs: text similarity across, image similarity up, and a brush over both."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.components.v2 import component

from opens2v_explorer.stage import static_text

if TYPE_CHECKING:
    import pyarrow as pa

    from opens2v_explorer.pair_params import PairParams

MAX_POINTS = 2000
"""Drawn at most; beyond, more of them hide each other. 60 KB for the browser."""

STEP = 0.05


def domain(values: list[float]) -> tuple[float, float]:
    """Return the ends of an axis that holds some values, on whole steps; a cosine's last tenth without any."""
    if not values:
        return 0.9, 1.0
    low = math.floor(min(values) / STEP + 1e-9) * STEP
    high = math.ceil(max(values) / STEP - 1e-9) * STEP
    if high - low < STEP / 2:
        low, high = low - STEP, high + STEP
    return round(low, 6), round(high, 6)


def scatter_data(points: pa.Table, params: PairParams, *, total: int | None, selected: int | None) -> dict[str, Any]:
    """Return what the component draws.

    Args:
        points: of `pair_points`, for all similarities.
        params: of the URL: the brush.
        total: pairs that the points stand for; None: not known yet.
        selected: the pair that is shown large.
    """
    columns = points.select(["text_similarity", "image_similarity", "is_same_class", "pair_id"]).to_pydict()
    texts, images = columns["text_similarity"], columns["image_similarity"]
    drawn = points.num_rows
    many = f"{drawn:,} pairs" if drawn < MAX_POINTS else f"{drawn:,} of all pairs, drawn by chance and always the same,"
    if total is not None and drawn >= MAX_POINTS:
        many = f"{drawn:,} of {total:,} pairs, drawn by chance and always the same,"
    return {
        "points": [
            [round(text, 4), round(image, 4), int(is_same), pair]
            for text, image, is_same, pair in zip(
                texts, images, columns["is_same_class"], columns["pair_id"], strict=True
            )
        ],
        "domain": {"text": domain(texts), "image": domain(images)},
        "image": list(params.image),
        "text": list(params.text),
        "selected": selected,
        "legend": f"{many} by similarity. Circle: one class name. Cross: two. Drag to keep a range, click to see a pair.",
        "label": f"Scatter of {many} text similarity across, image similarity up. The fields below set the same ranges.",
    }


@cache
def _component() -> Any:
    return component(
        "opens2v_scatter",
        html=static_text("scatter.html"),
        css=static_text("scatter.css"),
        js=static_text("lasting.js") + static_text("scatter.js"),
    )


def show_scatter(
    data: dict[str, Any], *, key: str, on_range: Callable[[Any], None], on_pick: Callable[[int], None]
) -> None:
    """Put the scatter on the page.

    Args:
        data: see `scatter_data`.
        key: of the element.
        on_range: called with `{"image": [from, to], "text": [from, to]}` when a range is set.
        on_pick: called with a pair's id when it is clicked.
    """

    def ranged() -> None:
        if (value := st.session_state[key].get("range")) is not None:
            on_range(value)

    def picked() -> None:
        if (value := st.session_state[key].get("pick")) is not None:
            on_pick(int(value["pair"]))

    _component()(data=data, key=key, on_range_change=ranged, on_pick_change=picked)
