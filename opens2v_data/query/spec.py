"""What a slice is, as values: conditions, order, limit, sample; and the SQL that gives its clips' ids."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from opens2v_data.query.bound import Bound, all_of

HASH_RANGE = 1 << 64
"""`md5_number_lower` gives the last 8 bytes of an MD5, little-endian: the same in all versions of DuckDB, as `hash()` is not."""


def in_table(name: str) -> str:
    """Return the condition that a clip's id stands in a table of that name."""
    return f"clip_id IN (SELECT clip_id FROM {name})"


@dataclass(frozen=True, kw_only=True)
class Sort:
    """One column of an order; null comes last either way."""

    column: str
    is_descending: bool = False

    @property
    def sql(self) -> str:
        """Return it as SQL, the name quoted."""
        name = self.column.replace('"', '""')
        return f'"{name}" {"DESC" if self.is_descending else "ASC"} NULLS LAST'


@dataclass(frozen=True, kw_only=True)
class Sample:
    """So many clips by chance, the same for a seed on every machine.

    Attributes:
        num_clips: how many.
        by: a column; the clips are spread over its values as evenly as these have clips. None: over all clips alike.
        seed: which chance.
    """

    num_clips: int
    by: str | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class Spec:
    """Which clips, in which order, and which of their subjects.

    Attributes:
        conditions: that all hold, over the columns of clips.
        trims: conditions over the columns of subjects: which of a clip's subjects are shown. The clips stay.
        order: columns to sort by; clip ids decide between equals, and alone without any.
        sample: drawn from those that meet the conditions.
        limit: the first so many in order.
    """

    conditions: tuple[Bound, ...] = ()
    trims: tuple[Bound, ...] = ()
    order: tuple[Sort, ...] = ()
    sample: Sample | None = None
    limit: int | None = None
    condition: Bound = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "condition", all_of(self.conditions))

    @property
    def is_cut(self) -> bool:
        """Whether a number of clips is part of it: conditions that come later then ask these clips only."""
        return self.limit is not None or self.sample is not None

    @property
    def listed_ids(self) -> np.ndarray | None:
        """The ids that its only condition lists, in any order; None: more is asked, and tables must be read."""
        if self.is_cut or len(self.conditions) != 1:
            return None
        (one,) = self.conditions
        if list(map(in_table, one.tables)) != [one.sql]:
            return None
        (table,) = one.tables.values()
        return table.column("clip_id").to_numpy()

    def also(self, condition: Bound) -> Self:
        """Return it with one more condition on its clips."""
        if not self.is_cut:
            return replace(self, conditions=(*self.conditions, condition))
        return replace(self, conditions=(self.membership(), condition), sample=None, limit=None)

    def membership(self) -> Bound:
        """Return a condition that its clips alone meet."""
        if not self.is_cut:
            return self.condition
        ids = self.ids()
        return Bound(sql=f"clip_id IN ({ids.sql})", values=ids.values, tables=ids.tables)

    @property
    def order_by(self) -> str:
        """Return the whole order as SQL."""
        return ", ".join([*(sort.sql for sort in self.order), "clip_id"])

    def ids(self) -> Bound:
        """Return a SELECT of its clip ids, in no order unless it is limited."""
        where = self.condition
        sql = f"SELECT clip_id FROM clips WHERE {where.sql}"
        values = where.values
        if self.sample is not None:
            sql, values = self._sampled(where)
        if self.limit is not None:
            source = sql if self.sample is None else f"SELECT clip_id FROM clips WHERE clip_id IN ({sql})"
            sql = f"{source} ORDER BY {self.order_by} LIMIT ?"
            values = (*values, self.limit)
        return Bound(sql=sql, values=values, tables=where.tables)

    def _sampled(self, where: Bound) -> tuple[str, tuple[object, ...]]:
        assert self.sample is not None
        drawn = "md5_number_lower(concat(?, '/', part, '/', clip_key))"
        if self.sample.by is None:
            sql = f"SELECT clip_id FROM clips WHERE {where.sql} ORDER BY {drawn}, clip_id LIMIT ?"
            return sql, (*where.values, str(self.sample.seed), self.sample.num_clips)
        stratum = '"' + self.sample.by.replace('"', '""') + '"'
        # The first of each value, then the second of each, …: values with few clips give all they have.
        sql = (
            "SELECT clip_id FROM ("
            f"SELECT clip_id, drawn, row_number() OVER (PARTITION BY stratum ORDER BY drawn, clip_id) AS turn FROM ("
            f"SELECT clip_id, {stratum} AS stratum, {drawn} AS drawn FROM clips WHERE {where.sql})"
            ") ORDER BY turn, drawn, clip_id LIMIT ?"
        )
        return sql, (str(self.sample.seed), *where.values, self.sample.num_clips)
