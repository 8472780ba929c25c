"""Cross-video pairs by what they are like: pages in an order, how many there are, and a sample to draw.

    wanted = PairFilter(image=(0.99, None), classes="differ")
    page = pair_page(catalog.where("aesthetic > 5"), wanted, order="-image", n=24)
    page = pair_page(..., after=page.after)

Of a slice these are the pairs whose clips are both in it, as a loader takes them; of all clips also those with a clip that is not
in the catalog. At 10 M pairs every question reads two or three numbers of each.
"""

from __future__ import annotations

import json
import math
import operator
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import pyarrow as pa

from opens2v_data.errors import QueryError
from opens2v_data.query.answers import Page
from opens2v_data.query.bound import Bound, all_of, not_
from opens2v_data.query.lookup import known_clips

if TYPE_CHECKING:
    from opens2v_data.query.conditions import Query
    from opens2v_data.query.slices import Slice

Bounds = tuple[float | None, float | None]
Classes = Literal["any", "same", "differ"]
PairOrder = Literal["pair", "image", "-image", "text", "-text"]
PAIR_ORDERS: tuple[PairOrder, ...] = get_args(PairOrder)

PairSubject = tuple[str, int]
"""A side of a pair: `part/clip_key`, and object id."""

_SIDES = ("clip_id", "object_id", "partner_clip_id", "partner_object_id")
_COLUMNS = {"image": "image_similarity", "text": "text_similarity"}

# Knuth's multiplicative hash: neighbours in the file come far apart, and products of 10 M ids stay within 64 bits.
_SPREAD, _SPREAD_RANGE = 2_654_435_761, 1 << 32

_DRAWN_FIRST = 40
"""Times as many pairs as are wanted are looked at first."""


@dataclass(frozen=True, kw_only=True)
class PairFilter:
    """Which pairs.

    Attributes:
        image, text: from and to, both included, of image_similarity and text_similarity; None: no bound there. A pair without
            the number meets no bound.
        classes: whether the two class names of a pair are one.
        clip_id: of one side; the slice then does not count. None: any.
        only: ids of pairs, of these alone; None: any.
        without: ids of pairs to leave out.
        names_subjects: both sides have a clip and an object id; upstream's older form has only classes.
    """

    image: Bounds = (None, None)
    text: Bounds = (None, None)
    classes: Classes = "any"
    clip_id: int | None = None
    only: tuple[int, ...] | None = None
    without: tuple[int, ...] = ()
    names_subjects: bool = False

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: a bound that is no finite number, or `classes` of another name.
        """
        for name, bounds in (("image", self.image), ("text", self.text)):
            if len(bounds) != 2 or any(edge is not None and not math.isfinite(edge) for edge in bounds):
                raise ValueError(f"{name} must be (from, to), finite numbers or None, got {bounds!r}")
        if self.classes not in get_args(Classes):
            raise ValueError(f"classes must be one of {', '.join(get_args(Classes))}, got {self.classes!r}")

    def condition(self) -> Bound:
        """Return it as a condition on pairs."""
        made = [
            Bound(sql=f"{_COLUMNS[name]} {sign} ?::FLOAT", values=(float(edge),))
            for name, bounds in (("image", self.image), ("text", self.text))
            for sign, edge in zip((">=", "<="), bounds, strict=True)
            if edge is not None
        ]
        if self.clip_id is not None:
            made.append(Bound(sql="(clip_id = ? OR partner_clip_id = ?)", values=(self.clip_id, self.clip_id)))
        if self.classes != "any":
            same = Bound(sql="class_id = partner_class_id")
            made.append(same if self.classes == "same" else not_(same))
        if self.names_subjects:
            made += [Bound(sql=f"{name} IS NOT NULL") for name in _SIDES]
        if self.only is not None:
            made.append(_among(self.only))
        if self.without:
            made.append(not_(_among(self.without)))
        return all_of(made)


def pair_page(
    s: Slice, wanted: PairFilter | None = None, *, order: PairOrder = "-image", after: str | None = None, n: int = 24
) -> Page:
    """Return the next pairs in order, by what the last page ended with.

    Args:
        s: whose clips.
        wanted: which of their pairs; None: all.
        order: "-" for descending; a missing number comes last, the pair's id decides between equals.
        after: `Page.after` of the page before; None: the first page.
        n: pairs at most.

    Returns:
        The columns of view `pairs`.

    Raises:
        QueryError: `after` is none of this order.
        ValueError: no such order, or `n` below 1.
    """
    n = operator.index(n)
    if n < 1:
        raise ValueError(f"n must be 1 or more, got {n}")
    if order not in PAIR_ORDERS:
        raise ValueError(f"order must be one of {', '.join(PAIR_ORDERS)}, got {order!r}")
    column = _COLUMNS.get(order.removeprefix("-"), "pair_id")
    direction = "DESC" if order.startswith("-") else "ASC"
    where = _where(s, wanted)
    # Ids first, and the other columns of so few: 0.6 s for 1.5 s with a slice of 1.2 M of 5 M clips.
    sql = f"SELECT pair_id, {column} AS value FROM numbered_pairs WHERE {{}} ORDER BY value {direction} NULLS LAST, pair_id LIMIT"
    found: list[dict[str, Any]] = []
    for piece in [None] if after is None else _beyond(order, after):
        conditions = [where] if piece is None else [where, piece]
        found += _ask(s, f"{sql} {n + 1 - len(found)}", all_of(conditions)).to_pylist()
        if len(found) > n:
            break
    has_more, found = len(found) > n, found[:n]
    ids = [row["pair_id"] for row in found]
    rows = s.query.fetch("pairs", ids)
    place = {pair_id: at for at, pair_id in enumerate(rows.column("pair_id").to_pylist())}
    last = json.dumps([order, None if order == "pair" else found[-1]["value"], ids[-1]]) if has_more else None
    return Page(rows=rows.take(pa.array([place[one] for one in ids], pa.int64())), after=last)


def count_pairs(s: Slice, wanted: PairFilter | None = None) -> int:
    """Return how many pairs there are."""
    return _ask(s, "SELECT count(*) AS n FROM numbered_pairs WHERE {}", _where(s, wanted)).column("n")[0].as_py()


def pair_points(s: Slice, wanted: PairFilter | None = None, *, most: int = 2000) -> pa.Table:
    """Return pairs to draw: all, or `most` by chance, the same ones each time.

    Returns:
        `pair_id`, `image_similarity`, `text_similarity`, `is_same_class`, of pairs that have both numbers; in no order.

    Raises:
        ValueError: `most` below 1.
    """
    most = operator.index(most)
    if most < 1:
        raise ValueError(f"most must be 1 or more, got {most}")
    drawn = f"(pair_id * {_SPREAD}) % {_SPREAD_RANGE}"
    sql = f"""
        SELECT pair_id, image_similarity, text_similarity, class_id = partner_class_id AS is_same_class
        FROM numbered_pairs WHERE {{}} ORDER BY {drawn}, pair_id LIMIT {most}"""
    where = [Bound(sql="image_similarity IS NOT NULL AND text_similarity IS NOT NULL"), _where(s, wanted)]
    # Those drawn first hold the answer, unless few pairs are wanted: 0.8 s for 2.7 s with a slice of 1.2 M of 5 M clips.
    first = round(_SPREAD_RANGE * _DRAWN_FIRST * most / max(s.query.catalog.num_rows("pairs"), 1))
    if first < _SPREAD_RANGE:
        found = _ask(s, sql, all_of([Bound(sql=f"{drawn} < ?", values=(first,)), *where]))
        if found.num_rows == most:
            return found
    return _ask(s, sql, all_of(where))


def pair_ids_between(query: Query, subjects: Sequence[tuple[PairSubject, PairSubject]]) -> list[tuple[int, ...]]:
    """Return the ids of the pairs that join two subjects, in either direction, for each two of them.

    Args:
        query: of the catalog.
        subjects: clips by `part/clip_key`, and object ids; of a clip that is not in the catalog there are no pairs.
    """
    clip_ids = known_clips(query, sorted({key for two in subjects for key, _ in two}))
    wanted: dict[str, list[int]] = {name: [] for name in ("at", *_SIDES)}
    for at, ((one, one_object), (other, other_object)) in enumerate(subjects):
        if one in clip_ids and other in clip_ids:
            sides = (clip_ids[one], one_object), (clip_ids[other], other_object)
            for left, right in {sides, sides[::-1]}:
                for name, value in zip(wanted, (at, *left, *right), strict=True):
                    wanted[name].append(value)
    found: list[list[int]] = [[] for _ in subjects]
    if wanted["at"]:
        joined = " AND ".join(f"pair.{name} = wanted.{name}" for name in _SIDES)
        sql = "SELECT wanted.at, pair.pair_id FROM numbered_pairs AS pair JOIN wanted_pairs AS wanted ON"
        for row in query.ask(f"{sql} {joined} ORDER BY pair_id", tables={"wanted_pairs": pa.table(wanted)}).to_pylist():
            found[row["at"]].append(row["pair_id"])
    return [tuple(ids) for ids in found]


def _among(pair_ids: tuple[int, ...]) -> Bound:
    name = f"pairs_{uuid.uuid4().hex}"
    table = pa.table({"pair_id": pa.array(pair_ids, pa.int64())})
    return Bound(sql=f"pair_id IN (SELECT pair_id FROM {name})", tables={name: table})


def _where(s: Slice, wanted: PairFilter | None) -> Bound:
    conditions = [] if wanted is None else [wanted.condition()]
    is_of_clip = wanted is not None and wanted.clip_id is not None
    if not is_of_clip and (s.spec.conditions or s.spec.is_cut):
        ids = s.spec.ids()
        conditions += [
            Bound(sql=f"{side} IN ({ids.sql})", values=ids.values, tables=ids.tables)
            for side in ("clip_id", "partner_clip_id")
        ]
    return all_of(conditions)


def _beyond(order: PairOrder, after: str) -> Iterator[Bound]:
    """Yield the conditions of the pairs that come after one in an order.

    Two where the number may be missing behind it: one with `OR … IS NULL` is not checked by DuckDB as it scans, 0.9 s for 0.15 s
    at 10 M pairs.
    """
    try:
        name, value, pair_id = json.loads(after)
        is_mine = name == order and type(pair_id) is int and (value is None or type(value) is float)
    except (ValueError, TypeError, RecursionError):
        is_mine, value, pair_id = False, None, 0
    if not is_mine or not -(1 << 63) <= pair_id < 1 << 63:
        raise QueryError(f"after={after[:80]!r} is no page of the order {order}; start with the first page")
    column = _COLUMNS.get(order.removeprefix("-"))
    if column is None:
        yield Bound(sql="pair_id > ?", values=(pair_id,))
        return
    if value is not None:
        sign = "<" if order.startswith("-") else ">"
        sql = f"{column} {sign}= ?::FLOAT AND ({column} {sign} ?::FLOAT OR pair_id > ?)"
        yield Bound(sql=sql, values=(value, value, pair_id))
        pair_id = -1
    yield Bound(sql=f"{column} IS NULL AND pair_id > ?", values=(pair_id,))


def _ask(s: Slice, sql: str, piece: Bound) -> pa.Table:
    return s.query.ask(sql.replace("{}", piece.sql, 1), piece.values, tables=piece.tables, is_of_pieces=True)
