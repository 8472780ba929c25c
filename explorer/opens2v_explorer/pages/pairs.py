"""Cross-video pairs: is it the same subject twice, and not the same picture?"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from opens2v_data.errors import QueryError
from opens2v_data.query.lookup import clip_ids_of
from opens2v_data.query.pairpages import PairFilter, count_pairs, pair_page, pair_points
from opens2v_explorer import clip_html, markup, pair_html, stage
from opens2v_explorer.pair_params import ORDER_NAMES, PairParams, parse_bounds, presets, write_bounds
from opens2v_explorer.runtime import current
from opens2v_explorer.scatter import MAX_POINTS, scatter_data, show_scatter
from opens2v_explorer.state import current_filters, current_slice, link_to, param, set_params
from opens2v_explorer.states import state
from opens2v_explorer.verdicts import pair_target, subject_target
from opens2v_explorer.verdicts.buttons import identity_buttons, judged_by, lists_html, reviewer
from opens2v_explorer.verdicts.unjudged import LEFT, pairs_left

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice

PAIRS_SHOWN = 18

Place = dict[str, str | int | None]
"""Where in which list a pair stands: parameters `after` and `pair`."""


def page() -> None:
    """Show the pair of the URL, the scatter of all that are asked for, and some of them as a list."""
    st.html("<h1 class='o-title'>Pairs</h1>")
    params = PairParams.read(param)
    for notice in params.notices:
        stage.show(stage.notice("Left out of the address.", notice, code="param"), key=f"notice-{notice}")
    try:
        only, without = pairs_left(current(), params.judged, reviewer(), judged_by("pair", reviewer()))
        wanted = params.filter(clip_id=_clip_id(params), only=only, without=without)
        s = current_slice()
        found = pair_page(s, wanted, order=params.order, after=param("after") or None, n=PAIRS_SHOWN)
    except QueryError as error:
        st.html(markup.problem("The pairs cannot be listed.", str(error)))
        return
    rows = found.rows.to_pylist()
    stage.show(_head_html(params), key="pairs-head")
    status = st.empty()
    with status:
        st.html(f'<p class="o-status" role="status" data-testid="pairs-status">{escape(state("counting").title)}</p>')
    shown = _shown(rows)
    film, side = st.columns([3, 2], gap="medium")
    with film:
        if shown is None:
            stage.show(clip_html.state_html(_nothing(params)), key="pairs-none")
        else:
            _show_pair(shown, rows, params, found.after)
    with side:
        _show_order(params)
        points = _points(_asked(wanted), s, wanted)
        _show_scatter(params, points, shown)
    if rows:
        _show_list(rows, params, shown, found.after)
    total = _total(_counted(wanted, params), s, wanted)
    with status:
        st.html(f'<p class="o-status" role="status" data-testid="pairs-status"><b>{total:,}</b> pairs{_of(params)}</p>')


def _asked(wanted: PairFilter) -> tuple[object, ...]:
    """Return what decides which pairs there are, similarities aside."""
    explorer, filters = current(), current_filters()
    log = explorer.verdicts.version() if filters.verdict else 0
    return explorer.version, id(explorer.start_slice), filters.fingerprint, log, wanted.classes, wanted.clip_id


def _counted(wanted: PairFilter, params: PairParams) -> tuple[object, ...]:
    """Return what decides how many pairs there are."""
    log = current().verdicts.version() if params.judged != "any" else 0
    return *_asked(wanted), wanted.image, wanted.text, params.judged, reviewer(), log


# Kept, since each pair that is shown runs the script: 0.9 s for both at 10 M pairs.
@st.cache_resource(max_entries=8, show_spinner=False)
def _points(key: tuple[object, ...], _s: Slice, _wanted: PairFilter) -> Any:
    return pair_points(_s, PairFilter(classes=_wanted.classes, clip_id=_wanted.clip_id), most=MAX_POINTS)


@st.cache_resource(max_entries=64, show_spinner=False)
def _total(key: tuple[object, ...], _s: Slice, _wanted: PairFilter) -> int:
    return count_pairs(_s, _wanted)


def _clip_id(params: PairParams) -> int | None:
    return int(clip_ids_of(current().catalog.query, [params.of])[0]) if params.of else None


def _of(params: PairParams) -> str:
    left = f"{LEFT[params.judged]}," if params.judged != "any" else ""
    if not params.of:
        return f"{left} whose clips both meet the filters"
    return f"{left} of clip {markup.link(link_to('clip', key=params.of), escape(params.of))}"


def _nothing(params: PairParams) -> Any:
    if params.judged == "todo":
        return state("queue-done", "No pair of these is left that can be judged and that you have not judged.")
    if params.judged == "others":
        return state("queue-done", "No pair of these is left that another reviewer judged and you did not.")
    is_all = params == PairParams(order=params.order)
    if is_all or params == PairParams(order=params.order, of=params.of):
        return state("no-pairs")
    return state("no-pairs", "No pair has these similarities and classes. Choose All, or clear the ranges.")


def _head_html(params: PairParams) -> str:
    items = []
    for name, one in presets(params):
        is_current = (one.image, one.text, one.classes) == (params.image, params.text, params.classes)
        mark = {"aria_current": "true"} if is_current else {}
        href = link_to("pairs", None, **one.to_params())
        items.append(markup.link(href, escape(name), css="preset", keep=f"preset-{name}", data_testid="preset", **mark))
    lists = lists_html(
        "pairs", params.judged, lambda judged: link_to("pairs", None, **(params.to_params() | {"judged": judged}))
    )
    return (
        f'<nav class="links presets" aria-label="Presets">{"".join(items)}</nav>'
        f'<div style="margin-top:.5rem">{lists}</div>'
    )


def _shown(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the row of the pair to show large: that of the URL, else the first of the list."""
    text = param("pair")
    if text.isdecimal() and len(text) < 18:
        known = next((row for row in rows if row["pair_id"] == int(text)), None)
        if known is not None:
            return known
        fetched = current().catalog.query.fetch("pairs", [int(text)]).to_pylist()
        if fetched:
            return fetched[0]
    return rows[0] if rows else None


def _show_pair(row: Mapping[str, Any], rows: list[dict[str, Any]], params: PairParams, following: str | None) -> None:
    sides = pair_html.sides_of(row)
    stage.show(pair_html.pair_html(row, sides), key=f"pair-{row['pair_id']}")
    ids = [one["pair_id"] for one in rows]
    at = ids.index(row["pair_id"]) if row["pair_id"] in ids else None
    before = ids[at - 1] if at else None
    here: Place = {"after": param("after") or None}
    after: Place | None = {"after": following, "pair": None} if following and at is not None else None
    if at is not None and at + 1 < len(ids):
        after = here | {"pair": ids[at + 1]}
    target = pair_html.verdict_target(sides)
    if target is None:
        text = "A side names no subject of this catalog, so there is nothing to judge."
        stage.show(f'<p class="note" data-testid="no-verdict">{text}</p>', key="no-verdict")
    else:
        st.session_state.setdefault("pairs-go-on", params.judged != "any")
        goes_on = bool(st.session_state["pairs-go-on"])

        # A pair that is judged leaves the list of those to judge: what follows its last one is its first one.
        then = after if params.judged == "any" or (after and after["pair"]) else {"after": None, "pair": None}
        goes_on = goes_on and then is not None

        def judged() -> None:
            if goes_on and then is not None:
                set_params(**{name: None if value is None else str(value) for name, value in then.items()})

        identity_buttons(
            "pair",
            target,
            key=f"judge-{row['pair_id']}",
            filter_hash=_hash(),
            on_judged=judged,
            moves_on=goes_on,
        )
    back = None if before is None else here | {"pair": before}
    steps = [_step("pair-before", "Previous pair", back, params), _step("pair-after", "Next pair", after, params)]
    stage.show(f'<p class="links">{"".join(steps)}</p>', key="pair-steps")
    st.toggle("Go on to the next pair after a verdict", key="pairs-go-on")


def _hash() -> str:
    """Return what identifies the filters in a verdict; "" for none."""
    filters = current_filters()
    return "" if filters.is_empty else filters.fingerprint


def _step(testid: str, text: str, place: Place | None, params: PairParams) -> str:
    if place is None:
        return f'<span class="missing" data-testid="{testid}">{text}</span>'
    href = link_to("pairs", None, **params.to_params(), **place)
    return markup.link(href, text, keep=testid, data_testid=testid)


def _show_order(params: PairParams) -> None:
    def changed() -> None:
        order = st.session_state["pairs-order"]
        set_params(order=None if order == "-image" else order, after=None, pair=None)

    st.session_state["pairs-order"] = params.order
    st.selectbox(
        "Order", list(ORDER_NAMES), format_func=lambda one: ORDER_NAMES[one], key="pairs-order", on_change=changed
    )


def _show_scatter(params: PairParams, points: Any, shown: Mapping[str, Any] | None) -> None:
    def ranged(value: Any) -> None:
        try:
            texts = {name: _written(value[field]) for name, field in (("img", "image"), ("txt", "text"))}
        except (KeyError, TypeError, ValueError):
            return
        set_params(**texts, after=None, pair=None)

    selected = None if shown is None else shown["pair_id"]
    data = scatter_data(points, params, total=None, selected=selected)
    show_scatter(data, key="pairs-scatter", on_range=ranged, on_pick=lambda pair: set_params(pair=str(pair)))


def _written(edges: Any) -> str | None:
    low, high = edges
    text = write_bounds((None if low is None else float(low), None if high is None else float(high)))
    parse_bounds(text)
    return text or None


def _show_list(
    rows: list[dict[str, Any]], params: PairParams, shown: Mapping[str, Any] | None, after: str | None
) -> None:
    clip_ids = sorted({row[name] for row in rows for name in ("clip_id", "partner_clip_id") if row[name] is not None})
    current().media.prime(clip_ids)
    names = _class_names(clip_ids)
    verdicts = _verdicts(rows, clip_ids)
    asked = params.to_params()
    here = param("after") or None
    items = [
        pair_html.row_html(
            row,
            href=link_to("pairs", None, **asked, after=here, pair=row["pair_id"]),
            is_current=shown is not None and row["pair_id"] == shown["pair_id"],
            verdict=verdicts.get(row["pair_id"]),
            names=names,
        )
        for row in rows
    ]
    pager = []
    if here:
        pager.append(
            markup.link(link_to("pairs", None, **asked), "First pairs", keep="pairs-first", data_testid="pairs-first")
        )
    if after:
        href = link_to("pairs", None, **asked, after=after)
        pager.append(markup.link(href, "Next pairs", keep="pairs-next", data_testid="pairs-next"))
    stage.show(
        f'<h2>Pairs in this order</h2>{pair_html.rows_html(items)}<p class="links">{"".join(pager)}</p>',
        key="pairs-list",
    )


def _class_names(clip_ids: list[int]) -> dict[tuple[int, int], str]:
    """Return the class names of some clips' subjects, by clip and object id."""
    table = current().catalog.query.fetch("subjects", clip_ids).select(["clip_id", "object_id", "class_name"])
    found = table.to_pydict()
    keys = zip(found["clip_id"], found["object_id"], strict=True)
    return dict(zip(keys, found["class_name"], strict=True))


def _verdicts(rows: list[dict[str, Any]], clip_ids: list[int]) -> dict[int, str]:
    """Return the reviewer's verdicts on some pairs, by pair."""
    explorer = current()
    if not clip_ids:
        return {}
    found = explorer.catalog.all.with_ids(clip_ids).page(n=len(clip_ids), columns=["clip_id", "part", "clip_key"])
    names = {row["clip_id"]: (row["part"], row["clip_key"]) for row in found.rows.to_pylist()}
    targets = {}
    for row in rows:
        sides = [(row[f"{side}clip_id"], row[f"{side}object_id"]) for side in ("", "partner_")]
        if all(clip_id in names and object_id is not None for clip_id, object_id in sides):
            left, right = (subject_target(*names[clip_id], object_id) for clip_id, object_id in sides)
            targets[pair_target(left, right)] = row["pair_id"]
    mine = explorer.verdicts.current("pair", reviewer(), 1, targets=list(targets))
    return {targets[event.target]: event.verdict for event in mine}
