"""What pages ask of clips, remembered: rows, counts, facets and distributions by the filters that they are of.

Each is asked once; a few hundred small answers are kept. Filters by verdict are asked anew when a verdict was added.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from opens2v_data.query.questions import question
from opens2v_data.report.figures import among
from opens2v_data.search import CaptionSearch
from opens2v_explorer import state
from opens2v_explorer.conditions import choice_text
from opens2v_explorer.fields import BRUSHED, CHOICES, NONE, NUMBERS
from opens2v_explorer.filters import Filters
from opens2v_explorer.runtime import current

if TYPE_CHECKING:
    from opens2v_data.query.answers import Page
    from opens2v_data.query.slices import Slice
    from opens2v_data.query.tallies import Facet, Histogram, Tally
    from opens2v_explorer.runtime import Explorer

T = TypeVar("T")

MAX_COUNTED_KINDS = 500_000
"""Clips of a catalog whose kinds are counted anew for each filter: lists of five million clips take some seconds."""

KEPT = 400
"""Answers: of at most 60 rows or some dozens of numbers, 10 MB in all."""

BINS = 40
FACET_VALUES = 30
"""Values of a property that are shown."""

SIDES = ("crop_width", "crop_height")
"""Columns of the property size."""

LOOKED_AT = 50_000
"""Clips of which faults are counted in a larger catalog: two of them take minutes for five million."""

OVERVIEW = Filters(sort="-aesthetic")
OVERVIEW_PICTURES = 12

COLUMNS = (
    "clip_id",
    "part",
    "clip_key",
    "aesthetic",
    "motion",
    "tech",
    "duration_seconds",
    "crop_width",
    "crop_height",
    "fps",
    "num_subjects",
)
"""What pages ask of clips besides their caption."""

KEPT_IDS = 4
"""Lists of ids of clips that took long to find."""

_kept_ids: OrderedDict[tuple[Any, ...], np.ndarray] = OrderedDict()
_kept: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
_lock = threading.Lock()
_asking: dict[tuple[Any, ...], threading.Lock] = {}


@dataclass(frozen=True, kw_only=True)
class FacetValue:
    """A value of a property and how many clips have it."""

    value: str
    num_clips: int


def rows(filters: Filters, *, after: str | None, n: int, columns: tuple[str, ...]) -> Page:
    """Return a page of clips; see `Slice.page`."""

    def ask() -> Page:
        s = _first_by_words(filters, n + 1) if after is None else None
        s = _slice(filters, sort=filters.sort) if s is None else s
        return s.page(after=after, n=n, columns=columns)

    return _remembered(filters, ("rows", filters.sort, after, n, columns), ask)


def count(filters: Filters) -> int:
    """Return how many clips meet some filters."""
    known = _known_tally(filters)
    return _remembered(filters, ("count",), lambda: _slice(filters).count()) if known is None else known.num_clips


def tally(filters: Filters) -> Tally:
    """Return how many clips meet some filters, their distributions and properties, asked in one question.

    `count` and `distributions`, and `facet` where no value of the property is chosen, take theirs from it when it is there.
    """

    def ask() -> Tally:
        counted = [_facet_of(name) for name in CHOICES if is_counted(name)]
        edges = _edges()
        return _slice(filters).tally(counted, list(edges), bins=BINS, ends=edges, limit=FACET_VALUES)

    return _remembered(filters, ("tally",), ask)


def foresee(filters: Filters) -> None:
    """Begin to ask `tally` in a thread; who asks for it waits for that. What goes wrong is told then."""

    def ask() -> None:
        with contextlib.suppress(Exception):
            tally(filters)

    threading.Thread(target=ask, name="opens2v-tally", daemon=True).start()


def facet(filters: Filters, name: str) -> tuple[FacetValue, ...]:
    """Return how many clips have each value of a property, whatever of that property is chosen; the most frequent first.

    Values that are chosen are among them also where no clip has them.
    """
    others = filters.with_choices(name, ()) if is_counted(name) else Filters()
    found = list(_remembered(others, ("facet", name), lambda: _facet(others, name)))
    known = {one.value for one in found}
    found += [FacetValue(value=value, num_clips=0) for value in filters.values_of(name) if value not in known]
    return tuple(found)


def is_counted(name: str) -> bool:
    """Return whether a property's values are counted among the clips of the filters; else they are among all clips."""
    return name != "kind" or len(current().catalog) <= MAX_COUNTED_KINDS


def distributions(filters: Filters) -> dict[str, Histogram]:
    """Return how numbers lie among the clips of some filters, between the edges of the whole catalog's, by name."""

    def ask() -> dict[str, Histogram]:
        known, edges = _known_tally(filters), _edges()
        found = _slice(filters).hists(list(edges), bins=BINS, ends=edges) if known is None else known.hists
        return {name: found[NUMBERS[name].column] for name in ends()}

    return _remembered(filters, ("distributions",), ask)


def ends() -> dict[str, tuple[float, float]]:
    """Return the edges of distributions by name: about the 0.5% and 99.5% quantiles of all clips, for a few far outliers.

    Numbers that no clip has are absent.
    """
    return _remembered(Filters(), ("ends",), _ends)


def totals() -> dict[str, Any]:
    """Return the totals of all clips that the explorer was started with; question report-totals."""

    def ask() -> dict[str, Any]:
        explorer = current()
        if explorer.start_slice is None:
            return answer("report-totals")[0]
        chosen = pa.table({"clip_id": explorer.start_slice.ids()})
        return explorer.catalog.query.ask(among(question("report-totals").text), tables={"chosen": chosen}).to_pylist()[
            0
        ]

    return _remembered(Filters(), ("totals",), ask)


def answer(name: str, **values: object) -> list[dict[str, Any]]:
    """Return the rows of a question of `sql/questions`."""
    asked = question(name)
    return _remembered(
        Filters(), ("question", name, tuple(sorted(values.items()))),
        lambda: current().catalog.query.ask(asked.text, asked.bind(values)).to_pylist(),
    )  # fmt: skip


def find_classes(text: str, most: int = 20) -> list[dict[str, Any]]:
    """Return the classes whose name holds a text, or the most frequent ones where there is no text."""
    return answer("find-classes", text=text, most=most) if text else answer("top-classes", most=most)


def described(name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return "view" or "macro" for a table that a statement can name, and its columns with types, or parameters."""
    return _remembered(Filters(), ("described", name), lambda: current().catalog.query.describe(name))


def prepare() -> None:
    """Ask what the first pages show of the whole catalog, in the order in which they show it."""
    everything = Filters()
    rows(OVERVIEW, after=None, n=OVERVIEW_PICTURES, columns=(*COLUMNS, "caption"))
    totals()
    current().catalog.query.keep_bins(_edges(), bins=BINS)
    tally(everything)
    for name in CHOICES:
        facet(everything, name)
    for name in ("categories", "kinds", "quirks"):
        answer(name)
    faults()
    _first_by_words(Filters(search="a"), 1)  # the first question to the index takes 0.2 s, of any word; the next 0.01 s


def faults() -> tuple[int, list[dict[str, Any]]]:
    """Return of how many clips the faults were counted, the first ones, and how many cases of each there are."""
    hi = min(len(current().catalog), LOOKED_AT)
    return hi, answer("quality", lo=0, hi=hi)


def forget() -> None:
    """Forget all answers."""
    with _lock:
        _kept.clear()
        _kept_ids.clear()


# -- inside


def _ends() -> dict[str, tuple[float, float]]:
    asked = question("report-values")
    answered = current().catalog.query.ask(asked.text, asked.bind({"bins": 1})).to_pylist()
    found = {row["what"]: (row["low"], row["high"]) for row in answered}
    made = {}
    for name in BRUSHED:
        column = NUMBERS[name].column
        if column in found:
            lo, hi = found[column]
        else:
            whole = current().catalog.all.hist(column, bins=1)
            if not whole.counts.sum():
                continue
            lo, hi = float(whole.edges[0]), float(whole.edges[-1])
        # Where all clips have one value, it stands in the middle.
        made[name] = (lo, hi) if hi > lo else (lo - (abs(lo) or 1) / 10, lo + (abs(lo) or 1) / 10)
    return made


def _edges() -> dict[str, tuple[float, float]]:
    """Return `ends` by column of clips."""
    return {NUMBERS[name].column: edges for name, edges in ends().items()}


def _facet(filters: Filters, name: str) -> tuple[FacetValue, ...]:
    if not is_counted(name):
        return tuple(FacetValue(value=row["kind"], num_clips=row["num_clips"]) for row in answer("kinds"))
    asked, known = _facet_of(name), _known_tally(filters)
    if known is not None:
        table = known.facets[asked]
    elif isinstance(asked, str):
        table = _slice(filters).facets(asked, limit=FACET_VALUES)
    else:
        table = _slice(filters).groups(asked, limit=FACET_VALUES)
    found: dict[str, int] = {}
    for row in table.to_pylist():
        value = _size_text(row) if name == "size" else choice_text(row["value"])
        if value != NONE or not CHOICES[name].is_list:
            found[value] = found.get(value, 0) + row["num_clips"]
    return tuple(FacetValue(value=value, num_clips=number) for value, number in found.items())


def _facet_of(name: str) -> Facet:
    return CHOICES[name].column or SIDES


def _size_text(row: dict[str, Any]) -> str:
    width, height = (row[side] for side in SIDES)
    return NONE if None in (width, height) else f"{width}x{height}"


def _slice(filters: Filters, *, sort: str = "") -> Slice:
    """Return the clips of some filters; those that take long to find by their ids."""
    if not filters.is_costly:
        return state.current_slice(replace(filters, sort=sort))
    explorer = current()
    s = explorer.catalog.all.with_ids(_ids(_unsorted(filters)))
    if not sort and explorer.start_slice is not None:
        # A saved slice keeps its order.
        s = s.sort(*(f"{'-' if one.is_descending else ''}{one.column}" for one in explorer.start_slice.spec.order))
    return Filters(sort=sort).slice(explorer.catalog, s)


def _first_by_words(filters: Filters, n: int) -> Slice | None:
    """Return the first clips whose captions meet a query; None where more is asked, or there is no index.

    A page needs no more of them: at 5 M clips the first 60 of a word of a million captions take 0.06 s, to find all 0.4 s.
    """
    found = _by_words(filters, n)
    return None if found is None else current().catalog.all.with_ids(found)


def _by_words(filters: Filters, limit: int | None) -> np.ndarray | None:
    """Return the ids of clips whose captions meet a query, the first ones; None where more is asked, or there is no index."""
    explorer = current()
    if explorer.start_slice is not None or not filters.search or filters != Filters(search=filters.search):
        return None
    index = CaptionSearch.find(explorer.catalog.catalog)
    return None if index is None else index.ids(filters.search, limit=limit)


def _ids(filters: Filters) -> np.ndarray:
    """Return ids of clips, of the last few filters without asking again: 8 MB for two million."""
    key = _key(current(), filters, ("ids",))
    with _lock:
        if key in _kept_ids:
            _kept_ids.move_to_end(key)
            return _kept_ids[key]
        asking = _asking.setdefault(key, threading.Lock())
    with asking:
        with _lock:
            known = _kept_ids.get(key)
        if known is not None:
            return known
        found = _by_words(filters, None)
        if found is None:
            found = state.current_slice(filters).ids()
        with _lock:
            _asking.pop(key, None)
            _kept_ids[key] = found
            while len(_kept_ids) > KEPT_IDS:
                _kept_ids.popitem(last=False)
        return found


def _unsorted(filters: Filters) -> Filters:
    return replace(filters, sort="")


def _known_tally(filters: Filters) -> Tally | None:
    """Return what `tally` gave for some filters, if it is kept."""
    key = _key(current(), filters, ("tally",))
    with _lock:
        return _kept.get(key)


def _remembered(filters: Filters, what: tuple[Any, ...], ask: Callable[[], T]) -> T:
    """Return an answer that is kept, or ask. Several sessions that want the same wait for one of them to ask."""
    key = _key(current(), filters, what)
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return cast("T", _kept[key])
        asking = _asking.setdefault(key, threading.Lock())
    try:
        with asking:
            with _lock:
                if key in _kept:
                    return cast("T", _kept[key])
            made = ask()
            with _lock:
                _kept[key] = made
                while len(_kept) > KEPT:
                    _kept.popitem(last=False)
            return made
    finally:
        with _lock:
            _asking.pop(key, None)


def _key(explorer: Explorer, filters: Filters, what: tuple[Any, ...]) -> tuple[Any, ...]:
    version = explorer.verdicts.version() if filters.verdict else 0
    return (id(explorer), explorer.version, version, _unsorted(filters).fingerprint, *what)
