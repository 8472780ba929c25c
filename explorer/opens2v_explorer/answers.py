"""What pages ask of clips, remembered: rows, counts, facets and distributions by the filters that they are of.

Each is asked once; a few hundred small answers are kept. Filters by verdict are asked anew when a verdict was added.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opens2v_data.query.questions import question
from opens2v_explorer import state
from opens2v_explorer.conditions import choice_text
from opens2v_explorer.fields import BRUSHED, CHOICES, NONE, NUMBERS
from opens2v_explorer.filters import Filters
from opens2v_explorer.runtime import current

if TYPE_CHECKING:
    from opens2v_data.query.answers import Histogram, Page
    from opens2v_explorer.runtime import Explorer

T = TypeVar("T")

KEPT = 400
"""Answers: of at most 60 rows or some dozens of numbers, 10 MB in all."""

BINS = 40
FACET_VALUES = 30
"""Values of a property that are shown."""

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
    return _remembered(
        filters, ("rows", filters.sort, after, n, columns),
        lambda: state.current_slice(filters).page(after=after, n=n, columns=columns),
    )  # fmt: skip


def count(filters: Filters) -> int:
    """Return how many clips meet some filters."""
    return _remembered(filters, ("count",), lambda: state.current_slice(_unsorted(filters)).count())


def facet(filters: Filters, name: str) -> tuple[FacetValue, ...]:
    """Return how many clips have each value of a property, whatever of that property is chosen; the most frequent first.

    Values that are chosen are among them also where no clip has them.
    """
    others = filters.with_choices(name, ())
    found = list(_remembered(others, ("facet", name), lambda: _facet(others, name)))
    known = {one.value for one in found}
    found += [FacetValue(value=value, num_clips=0) for value in filters.values_of(name) if value not in known]
    return tuple(found)


def distribution(filters: Filters, name: str) -> Histogram:
    """Return how a number lies among the clips of some filters, between the edges of the whole catalog's."""
    lo, hi = ends()[name]
    column = NUMBERS[name].expression
    ask = lambda: state.current_slice(_unsorted(filters)).hist(column, bins=BINS, lo=lo, hi=hi)  # noqa: E731
    return _remembered(filters, ("distribution", name), ask)


def brushed() -> tuple[str, ...]:
    """Return the numbers that are shown as distributions and have clips."""
    return tuple(name for name in BRUSHED if name in ends())


def ends() -> dict[str, tuple[float, float]]:
    """Return the edges of distributions by name: about the 0.5% and 99.5% quantiles of all clips, for a few far outliers."""

    def ask() -> dict[str, tuple[float, float]]:
        asked = question("report-values")
        answer = current().catalog.query.ask(asked.text, asked.bind({"bins": 1})).to_pylist()
        found = {row["what"]: (row["low"], row["high"]) for row in answer}
        known = {name: found[NUMBERS[name].expression] for name in BRUSHED if NUMBERS[name].expression in found}
        return {name: (lo, hi if hi > lo else lo + 1) for name, (lo, hi) in known.items()}

    return _remembered(Filters(), ("ends",), ask)


def totals() -> dict[str, Any]:
    """Return the totals of the whole catalog; question report-totals."""
    return _remembered(Filters(), ("totals",), lambda: answer("report-totals")[0])


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


def forget() -> None:
    """Forget all answers."""
    with _lock:
        _kept.clear()


# -- inside


def _facet(filters: Filters, name: str) -> tuple[FacetValue, ...]:
    if name == "size":
        return _sizes(filters)
    s = state.current_slice(_unsorted(filters))
    column = CHOICES[name].column
    assert column is not None
    found: dict[str, int] = {}
    for row in s.facets(column, limit=FACET_VALUES).to_pylist():
        value = choice_text(row["value"])
        if value != NONE or not CHOICES[name].is_list:
            found[value] = found.get(value, 0) + row["num_clips"]
    return tuple(FacetValue(value=value, num_clips=number) for value, number in found.items())


def _sizes(filters: Filters) -> tuple[FacetValue, ...]:
    """Return the sizes of clips after the crop."""
    sides = ["crop_width", "crop_height"]
    found: dict[str, int] = {}
    for row in state.current_slice(_unsorted(filters)).groups(sides, limit=FACET_VALUES).to_pylist():
        width, height = (row[side] for side in sides)
        value = NONE if None in (width, height) else f"{width}x{height}"
        found[value] = found.get(value, 0) + row["num_clips"]
    return tuple(FacetValue(value=value, num_clips=number) for value, number in found.items())


def _unsorted(filters: Filters) -> Filters:
    return replace(filters, sort="")


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
