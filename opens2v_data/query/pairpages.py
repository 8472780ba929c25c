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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from opens2v_data.errors import QueryError
from opens2v_data.query.answers import Page
from opens2v_data.query.bound import Bound, all_of, not_

if TYPE_CHECKING:
    import pyarrow as pa

    from opens2v_data.query.slices import Slice

Bounds = tuple[float | None, float | None]
Classes = Literal["any", "same", "differ"]
PairOrder = Literal["pair", "image", "-image", "text", "-text"]
PAIR_ORDERS: tuple[PairOrder, ...] = get_args(PairOrder)

_COLUMNS = {"image": "image_similarity", "text": "text_similarity"}

# Knuth's multiplicative hash: neighbours in the file come far apart, and products of 10 M ids stay within 64 bits.
_SPREAD, _SPREAD_RANGE = 2_654_435_761, 1 << 32


@dataclass(frozen=True, kw_only=True)
class PairFilter:
    """Which pairs.

    Attributes:
        image, text: from and to, both included, of image_similarity and text_similarity; None: no bound there. A pair without
            the number meets no bound.
        classes: whether the two class names of a pair are one.
        clip_id: of one side; the slice then does not count. None: any.
    """

    image: Bounds = (None, None)
    text: Bounds = (None, None)
    classes: Classes = "any"
    clip_id: int | None = None

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
    column = _COLUMNS.get(order.removeprefix("-"))
    direction = "DESC" if order.startswith("-") else "ASC"
    by = "pair_id" if column is None else f"{column} {direction} NULLS LAST, pair_id"
    where = _where(s, wanted)
    if after is not None:
        where = all_of([where, _beyond(order, after)])
    sql = f"""
        SELECT page.*, class.name AS class_name, partner.name AS partner_class_name
        FROM (SELECT * FROM numbered_pairs WHERE {{}} ORDER BY {by} LIMIT {n + 1}) AS page
        JOIN classes AS class ON class.class_id = page.class_id
        JOIN classes AS partner ON partner.class_id = page.partner_class_id
        ORDER BY {by}"""
    found = _ask(s, sql, where)
    rows = found.slice(0, n)
    last = None
    if found.num_rows > n:
        value = None if column is None else rows.column(column)[n - 1].as_py()
        last = json.dumps([order, value, rows.column("pair_id")[n - 1].as_py()])
    return Page(rows=rows, after=last)


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
    where = all_of(
        [_where(s, wanted), Bound(sql="image_similarity IS NOT NULL AND text_similarity IS NOT NULL")],
    )
    sql = f"""
        SELECT pair_id, image_similarity, text_similarity, class_id = partner_class_id AS is_same_class
        FROM numbered_pairs WHERE {{}} ORDER BY (pair_id * {_SPREAD}) % {_SPREAD_RANGE}, pair_id LIMIT {most}"""
    return _ask(s, sql, where)


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


def _beyond(order: PairOrder, after: str) -> Bound:
    """Return the condition of the pairs that come after one in an order."""
    try:
        name, value, pair_id = json.loads(after)
        is_mine = name == order and type(pair_id) is int and (value is None or type(value) is float)
    except (ValueError, TypeError, RecursionError):
        is_mine, value, pair_id = False, None, 0
    if not is_mine or not -(1 << 63) <= pair_id < 1 << 63:
        raise QueryError(f"after={after[:80]!r} is no page of the order {order}; start with the first page")
    column = _COLUMNS.get(order.removeprefix("-"))
    if column is None:
        return Bound(sql="pair_id > ?", values=(pair_id,))
    if value is None:
        return Bound(sql=f"{column} IS NULL AND pair_id > ?", values=(pair_id,))
    sign = "<" if order.startswith("-") else ">"
    return Bound(
        sql=f"({column} {sign} ?::FLOAT OR {column} IS NULL OR ({column} = ?::FLOAT AND pair_id > ?))",
        values=(value, value, pair_id),
    )


def _ask(s: Slice, sql: str, piece: Bound) -> pa.Table:
    return s.query.ask(sql.replace("{}", piece.sql, 1), piece.values, tables=piece.tables, is_of_pieces=True)
