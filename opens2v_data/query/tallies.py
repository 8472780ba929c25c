"""How many clips of a slice have what: values of columns, bins of numbers; any number of these in one reading.

A reading is one scan of the clips that meet the slice's conditions, with a GROUPING SET for each thing that is counted.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from opens2v_data.catalog.schemas import CLIPS
from opens2v_data.errors import QueryError
from opens2v_data.query.answers import ask, chosen_columns, quoted
from opens2v_data.query.bins import ABOVE, BELOW, NULL, Bins
from opens2v_data.query.bound import Bound, identifier

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice
    from opens2v_data.query.warm import InMemory

MAX_BINS = 100_000
MAX_EDGE = 1e300
"""Of a histogram: beyond, the width of a bin leaves float64."""

SETS_AT_ONCE = 12
"""Things that one reading counts: 12 columns take 48 MB, 24 take 128, as each is ranked beside all others' places."""

Facet = str | tuple[str, ...]
"""A column, or some whose values count together."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """How the numbers of a column lie.

    Attributes:
        column: its name.
        edges: `(bins + 1,) float64`, in the column's unit; bins are half-open but for the last.
        counts: `(bins,) int64`, clips.
        num_null: clips without the number.
        num_below, num_above: clips outside of the edges.
    """

    column: str
    edges: np.ndarray
    counts: np.ndarray
    num_null: int
    num_below: int
    num_above: int

    def __repr__(self) -> str:
        return (
            f"Histogram({self.column}, {int(self.counts.sum()):,} clips in {len(self.counts)} bins of "
            f"[{self.edges[0]:g}, {self.edges[-1]:g}], {self.num_null:,} null)"
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """What a slice was counted by in one reading.

    Attributes:
        num_clips: of the slice.
        facets: by what was asked: a column as `Slice.facets` gives it, a tuple of columns as `Slice.groups` does.
        hists: by column, as `Slice.hists` gives them.
    """

    num_clips: int
    facets: Mapping[Facet, pa.Table]
    hists: Mapping[str, Histogram]

    def __repr__(self) -> str:
        return f"Tally({self.num_clips:,} clips by {', '.join(map(str, [*self.facets, *self.hists]))})"


def tally(
    s: Slice,
    facets: Sequence[Facet],
    hists: Sequence[str],
    *,
    bins: int,
    ends: Mapping[str, tuple[float, float]] | None,
    limit: int,
) -> Tally:
    """See `Slice.tally`."""
    if isinstance(facets, str):
        raise TypeError(f"facets must be a list of names, got the text {facets!r}")
    limit = _checked(limit)
    types = dict(s.query.columns("regular"))
    whole = list(dict.fromkeys(one if isinstance(one, str) else tuple(chosen_columns(s, one)) for one in facets))
    for one in whole:
        if isinstance(one, str):
            identifier(one, types)
    lists = [one for one in whole if isinstance(one, str) and types[one].endswith("[]")]
    asked: list[tuple[str, ...] | Bins] = [(one,) if isinstance(one, str) else one for one in whole if one not in lists]
    asked += _bins_of(s, hists, bins=bins, lo=None, hi=None, ends=ends)
    num_clips, found = _read(s, asked, limit=limit)
    counted: dict[Facet, pa.Table] = {}
    drawn: dict[str, Histogram] = {}
    for one, table in found:
        if isinstance(one, Bins):
            drawn[one.column] = _histogram(one, table)
        elif one in whole:
            counted[one] = table
        else:
            counted[one[0]] = table.rename_columns(["value", "num_clips"])
    counted |= {one: count_values(s, one, limit=limit) for one in lists}
    return Tally(num_clips=num_clips, facets={one: counted[one] for one in whole}, hists=drawn)


def count_values(s: Slice, column: str, *, limit: int) -> pa.Table:
    """See `Slice.facets`."""
    types = dict(s.query.columns("regular"))
    name = identifier(column, types)
    limit = _checked(limit)
    if not types[column].endswith("[]"):
        return count_groups(s, [column], limit=limit).rename_columns(["value", "num_clips"])
    # Most lists of quirks are empty: to leave these out first saves a third of the time.
    source = f"SELECT unnest(list_distinct({name})) AS value FROM clips WHERE len({name}) > 0 AND ({{}})"
    sql = f"SELECT value, count(*) AS num_clips FROM ({source}) GROUP BY value"
    return ask(s, f"{sql} ORDER BY num_clips DESC, value LIMIT {limit}", s.spec.membership())


def count_groups(s: Slice, columns: Sequence[str], *, limit: int) -> pa.Table:
    """See `Slice.groups`."""
    chosen, limit = chosen_columns(s, columns), _checked(limit)
    counted = _counted(chosen, "c", _in_memory(s, chosen))
    told = ", ".join(f"{value} AS {quoted(name)}" for name, value in zip(chosen, counted.values, strict=True))
    sql = (
        f"SELECT {told}, count(*) AS num_clips FROM (SELECT {counted.read} FROM clips WHERE {{}}) GROUP BY {counted.by}"
    )
    order = ", ".join(map(quoted, chosen))
    return ask(s, f"{sql} ORDER BY num_clips DESC, {order} LIMIT {limit}", s.spec.membership())


def histograms(
    s: Slice,
    columns: Sequence[str],
    *,
    bins: int,
    lo: float | None = None,
    hi: float | None = None,
    ends: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Histogram]:
    """See `Slice.hists`."""
    asked = _bins_of(s, columns, bins=bins, lo=lo, hi=hi, ends=ends)
    if not asked:
        return {}
    _, found = _read(s, asked, limit=1)
    return {one.column: _histogram(one, table) for one, table in found if isinstance(one, Bins)}


# -- inside


def _checked(limit: int) -> int:
    limit = operator.index(limit)
    if limit < 1:
        raise ValueError(f"limit must be 1 or more, got {limit}")
    return limit


def _bins_of(
    s: Slice,
    columns: Sequence[str],
    *,
    bins: int,
    lo: float | None,
    hi: float | None,
    ends: Mapping[str, tuple[float, float]] | None,
) -> list[Bins]:
    """Return the bins of columns, each once."""
    bins = operator.index(bins)
    if not 1 <= bins <= MAX_BINS:
        raise ValueError(f"bins must be from 1 to {MAX_BINS:,}, got {bins}")
    given = dict(ends or {})
    for low, high in [(lo, hi), *given.values()]:
        if any(edge is not None and not -MAX_EDGE <= edge <= MAX_EDGE for edge in (low, high)):
            raise ValueError(f"lo and hi must lie in [{-MAX_EDGE}, {MAX_EDGE}], got {low} and {high}")
        if low is not None and high is not None and not low < high:
            raise ValueError(f"expected lo < hi, got {low} and {high}")
    if isinstance(columns, str):
        raise TypeError(f"columns must be a list of names, got the text {columns!r}")
    if not columns:
        return []
    types = dict(s.query.columns("regular"))
    for column in columns:
        identifier(column, types)
        if not types[column].startswith(("FLOAT", "DOUBLE", "INTEGER", "BIGINT", "SMALLINT", "HUGEINT", "UINTEGER")):
            raise QueryError(
                f"expected a column of numbers, {column} is {types[column]}; facets({column!r}) counts its values"
            )
    ranges = given | _ranges(s, [column for column in columns if column not in given], lo, hi)
    return [
        Bins(column=column, low=float(low), high=float(high), num_bins=bins)
        for column, (low, high) in ((column, ranges[column]) for column in dict.fromkeys(columns))
    ]


Asked = tuple[str, ...] | Bins


@dataclass(frozen=True, kw_only=True)
class _Counted:
    """One thing to count clips by, in SQL.

    Attributes:
        names: of the columns to group by.
        read: what is read of each clip under these names.
        bound: values of `read`.
        values: what is told of a group, for each name.
    """

    names: tuple[str, ...]
    read: str
    bound: tuple[Any, ...] = ()
    values: tuple[str, ...]

    @property
    def by(self) -> str:
        return ", ".join(self.names)


def _counted(asked: Asked | Sequence[str], prefix: str, kept: InMemory | None) -> _Counted:
    """Return how to count clips by values of columns, or by bins.

    Args:
        asked: the columns, or the bins.
        prefix: of names that are no other's.
        kept: what is in memory, where the statement reads that.
    """
    if isinstance(asked, Bins):
        name = None if kept is None else kept.bin_name(asked)
        code = asked.code(quoted(asked.column)) if name is None else Bound(sql=quoted(name))
        return _Counted(names=(prefix,), read=f"{code.sql} AS {prefix}", bound=code.values, values=(prefix,))
    names = tuple(f"{prefix}_{at}" for at in range(len(asked)))
    codes = [None if kept is None else kept.code_name(column) for column in asked]
    read = [quoted(column if code is None else code) for column, code in zip(asked, codes, strict=True)]
    return _Counted(
        names=names,
        read=", ".join(f"{one} AS {name}" for one, name in zip(read, names, strict=True)),
        values=tuple(name if code is None else f"{name}::VARCHAR" for name, code in zip(names, codes, strict=True)),
    )


def _in_memory(s: Slice, columns: Sequence[str]) -> InMemory | None:
    """Return what is in memory, where it is enough for these columns of the slice's clips."""
    return s.query.in_memory_for(f"SELECT {', '.join(columns)} FROM clips WHERE {s.spec.membership().sql}")


def _read(s: Slice, asked: Sequence[Asked], *, limit: int) -> tuple[int, list[tuple[Asked, pa.Table]]]:
    """Return the number of clips, and how many have what, for each that is asked: its columns, or "bin", and `num_clips`."""
    if not asked:
        return s.count(), []
    found: list[tuple[Asked, pa.Table]] = []
    num_clips = 0
    for start in range(0, len(asked), SETS_AT_ONCE):
        num_clips, some = _read_sets(s, asked[start : start + SETS_AT_ONCE], limit=limit)
        found += some
    return num_clips, found


def _read_sets(s: Slice, asked: Sequence[Asked], *, limit: int) -> tuple[int, list[tuple[Asked, pa.Table]]]:
    kept = _in_memory(s, [name for one in asked for name in ([one.column] if isinstance(one, Bins) else one)])
    sets = [_counted(one, f"c{at}", kept) for at, one in enumerate(asked)]
    told = [f"{value} AS v{name}" for one in sets for name, value in zip(one.names, one.values, strict=True)]
    # No other set has a set's first column: which of these are grouped tells the set.
    which = f"GROUPING({', '.join(one.names[0] for one in sets)})"
    grouped = (
        f"SELECT {', '.join(told)}, {which} AS which, count(*) AS num_clips FROM ({{}}) "
        f"GROUP BY GROUPING SETS ({', '.join(f'({one.by})' for one in sets)}, ())"
    )
    are_bins = [isinstance(one, Bins) for one in asked]
    member = s.spec.membership()
    inner = Bound(
        sql=f"SELECT {', '.join(one.read for one in sets)} FROM clips WHERE {member.sql}",
        values=(*(value for one in sets for value in one.bound), *member.values),
        tables=member.tables,
    )
    table = ask(s, grouped if all(are_bins) else _most_frequent(grouped, sets, are_bins, limit=limit), inner)
    place = table.column("which").to_numpy()
    found: list[tuple[Asked, pa.Table]] = []
    for at, (one, each) in enumerate(zip(asked, sets, strict=True)):
        mine = table.filter(pa.array(place == _which(at, len(sets))))
        mine = mine.select([*(f"v{name}" for name in each.names), "num_clips"])
        found.append((one, mine.rename_columns([*(("bin",) if isinstance(one, Bins) else one), "num_clips"])))
    (num_clips,) = table.column("num_clips").to_numpy()[place == _which(None, len(sets))].tolist()
    return num_clips, found


def _most_frequent(grouped: str, sets: Sequence[_Counted], are_bins: Sequence[bool], *, limit: int) -> str:
    """Return the SQL of the most frequent values alone, in order, and of all bins.

    Not all come to Python: a column may have as many values as there are clips.
    """
    columns = ", ".join([*(f"v{name}" for one in sets for name in one.names), "which", "num_clips"])
    orders = {
        at: f"num_clips DESC, {', '.join(f'v{name}' for name in one.names)}"
        for at, (one, is_bins) in enumerate(zip(sets, are_bins, strict=True))
        if not is_bins
    }
    pieces = [
        f"(SELECT {columns} FROM groups WHERE which = {_which(at, len(sets))} ORDER BY {order} LIMIT {limit})"
        for at, order in orders.items()
    ]
    others = ", ".join(str(_which(at, len(sets))) for at in [None, *range(len(sets))] if at not in orders)
    pieces.append(f"(SELECT {columns} FROM groups WHERE which IN ({others}))")
    order = ", ".join(["num_clips DESC", *(f"v{name}" for at in orders for name in sets[at].names)])
    return f"WITH groups AS MATERIALIZED ({grouped}) {' UNION ALL '.join(pieces)} ORDER BY {order}"


def _which(at: int | None, num_sets: int) -> int:
    """Return what GROUPING tells of the rows of a set: a bit for each column that is not grouped, the first one the highest.

    None: of no set, which is all rows.
    """
    whole = (1 << num_sets) - 1
    return whole if at is None else whole ^ (1 << (num_sets - 1 - at))


def _histogram(bins: Bins, found: pa.Table) -> Histogram:
    at, many = found.column("bin").to_numpy(), found.column("num_clips").to_numpy()
    counts = np.zeros(bins.num_bins, np.int64)
    counts[at[at >= 0]] = many[at >= 0]
    outside = {code: int(many[at == code].sum()) for code in (NULL, BELOW, ABOVE)}
    return Histogram(
        column=bins.column,
        edges=np.linspace(bins.low, bins.high, bins.num_bins + 1),
        counts=counts,
        num_null=outside[NULL],
        num_below=outside[BELOW],
        num_above=outside[ABOVE],
    )


def _ranges(s: Slice, columns: Sequence[str], lo: float | None, hi: float | None) -> dict[str, tuple[float, float]]:
    """Return the edges of each column: those given, else the whole catalog's, so that histograms of two slices compare."""
    groups = s.query.catalog.manifest.tables["clips"].row_groups
    found: dict[str, tuple[float, float]] = {}
    unknown = []
    for column in columns:
        known = [group.ranges[column] for group in groups if column in group.ranges]
        if known and column in CLIPS.ranges:
            found[column] = float(min(low for low, _ in known)), float(max(high for _, high in known))
        else:
            unknown.append(column)
    if unknown:
        parts = ", ".join(
            f"min({quoted(name)})::DOUBLE AS lo{at}, max({quoted(name)})::DOUBLE AS hi{at}"
            for at, name in enumerate(unknown)
        )
        (row,) = s.query.ask(f"SELECT {parts} FROM clips").to_pylist()
        found |= {name: (row[f"lo{at}"], row[f"hi{at}"]) for at, name in enumerate(unknown)}
    made = {}
    for column, (low, high) in found.items():
        low, high = (low if lo is None else lo), (high if hi is None else hi)
        if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
            low, high = 0.0, 1.0
        made[column] = (float(low), float(high) if high > low else float(low) + 1.0)
    return made
