"""Which clips does a step of a slice keep? The conditions behind `Slice`'s methods, made from checked values."""

from __future__ import annotations

import operator
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from opens2v_data.errors import QueryError
from opens2v_data.query.bound import Bound, all_of, check_value, comparison, not_
from opens2v_data.query.spec import HASH_RANGE, in_table
from opens2v_data.sqlfiles import sql_names

Mode = Literal["drop", "only"]
"""Leave such clips out, or keep no others."""

NEAR_DUPLICATE_SIMILARITY = 0.97
"""Cosine of GME image vectors. In the published sample the pairs of one frame under two keys have 0.98 and more."""

MAX_ID = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class SubjectQuestion:
    """A subject that clips are asked for; the numbers as `bound.comparison` takes them.

    Attributes:
        name: exactly the class name.
        gme, aes: of the subject's scores.
        area: of its box, as a share of the picture, 0 to 1.
        count: how many subjects that meet the others.
    """

    name: str
    gme: str | float | None = None
    aes: str | float | None = None
    area: str | float | None = None
    count: str | float | None = None

    def condition(self) -> Bound:
        """Return it as a condition on clips.

        Raises:
            TypeError, ValueError: the name is no text that can be bound, or a number no comparison.
        """
        if not isinstance(self.name, str):
            raise TypeError(f"expected a class name as text, got {self.name!r}")
        check_value(self.name)
        conditions = [Bound(sql="class.name = ?", values=(self.name,))]
        for key, wanted in (("gme", self.gme), ("aes", self.aes)):
            if wanted is not None:
                conditions.append(comparison(f"entry.{key}_score", wanted, what=f"{key} of {self.name!r}"))
        source = "class_index AS entry JOIN classes AS class USING (class_id)"
        if self.area is not None:
            # `memory.main`: the clips of all, whatever columns the statement adds to its own.
            source += " JOIN memory.main.clips AS framed ON framed.clip_id = entry.clip_id"
            # Not in 32 bits, which a record's numbers need not fit.
            share = "entry.box_area::DOUBLE / nullif(framed.crop_width::DOUBLE * framed.crop_height, 0)"
            conditions.append(comparison(share, self.area, what=f"area of {self.name!r}"))
        where = all_of(conditions)
        sql, values = f"SELECT entry.clip_id FROM {source} WHERE {where.sql}", where.values
        if self.count is not None:
            having = comparison("count(*)", self.count, what=f"count of {self.name!r}")
            sql, values = f"{sql} GROUP BY entry.clip_id HAVING {having.sql}", (*values, *having.values)
        return Bound(sql=f"clip_id IN ({sql})", values=values)


def of_ids(clip_ids: Sequence[int] | np.ndarray | pa.Array) -> Bound:
    """Return the condition that clips are of some ids; ids of no clip are passed over.

    Raises:
        TypeError: they are no integers.
    """
    ids = np.asarray(clip_ids)
    if ids.size and ids.dtype.kind not in "iu":
        raise TypeError(f"expected clip ids as integers, got {ids.dtype}")
    known = ids[(ids >= 0) & (ids <= MAX_ID)].astype(np.int32)
    table = pa.table({"clip_id": pa.array(known, pa.int32())})
    name = f"ids_{uuid.uuid4().hex}"
    return Bound(sql=in_table(name), tables={name: table})


def near_duplicates(ids: Bound, mode: Mode, *, similarity: float) -> Bound:
    """Return the condition of `Slice.near_duplicates`.

    Args:
        ids: the statement that gives the slice's clips, as `Spec.ids` does.
        mode, similarity: as there.

    Raises:
        ValueError: another mode, or a similarity outside [-1, 1].
    """
    _check_mode(mode)
    if not -1 <= similarity <= 1:
        raise ValueError(f"similarity is a cosine in [-1, 1], got {similarity}")
    alike = (
        "SELECT {} AS clip_id, {} AS other FROM pair_links WHERE image_similarity >= ? AND clip_id <> partner_clip_id"
    )
    if mode == "drop":
        links, values = alike.format("greatest(clip_id, partner_clip_id)", "least(clip_id, partner_clip_id)"), 1
    else:
        one = alike.format("clip_id", "partner_clip_id")
        links, values = f"{one} UNION ALL {alike.format('partner_clip_id', 'clip_id')}", 2
    found = Bound(
        sql=f"clip_id IN (SELECT clip_id FROM ({links}) WHERE other IN ({ids.sql}))",
        values=(*[float(similarity)] * values, *ids.values),
        tables=ids.tables,
    )
    return not_(found) if mode == "drop" else found


def with_faults(name: str, mode: Mode) -> Bound:
    """Return the condition of `Slice.faults`.

    Raises:
        QueryError: no such view; the message has the names.
        ValueError: another mode.
    """
    _check_mode(mode)
    known = [one.removeprefix("quality/") for one in sql_names("quality")]
    if name not in known:
        raise QueryError(f"no quality view is called {name!r}; there are {', '.join(known)}")
    found = Bound(sql=f"clip_id IN (SELECT clip_id FROM {name} WHERE clip_id IS NOT NULL)")
    return not_(found) if mode == "drop" else found


def in_split(name: str, fractions: Mapping[str, float] | None, *, seed: int, by: str) -> Bound:
    """Return the condition of `Slice.split`.

    Raises:
        ValueError: no such split, or fractions that are none.
    """
    shares = {"train": 0.9, "val": 0.1} if fractions is None else dict(fractions)
    if name not in shares:
        raise ValueError(f"expected one of {', '.join(shares)}, got {name!r}")
    if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"fractions must lie in [0, 1] and add up to 1 at most, got {shares}")
    if by not in ("cluster", "clip"):
        raise ValueError(f"by must be cluster or clip, got {by!r}")
    names = list(shares)
    ends = np.cumsum([0.0, *shares.values()])
    at = names.index(name)
    low, high = (min(round(float(end) * HASH_RANGE), HASH_RANGE) for end in (ends[at], ends[at + 1]))
    key = "cluster_id" if by == "cluster" else "concat(part, '/', clip_key)"
    chance = str(operator.index(seed))
    # The bounds as texts: they need not fit a 64-bit integer.
    drawn = f"md5_number_lower(concat(?, '/', {key}))::UHUGEINT"
    sql = f"{drawn} >= ?::UHUGEINT AND {drawn} < ?::UHUGEINT"
    return Bound(sql=sql, values=(chance, str(low), chance, str(high)))


def _check_mode(mode: str) -> None:
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
