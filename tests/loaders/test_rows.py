"""The rows of a plan: the same whatever order they come in, and without those left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders.plans import SOURCES, rows_of
from opens2v_loaders.rows import PlanRows, plan_rows

keys = st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 60)), unique=True, max_size=40)


def make(pairs: list[tuple[int, int]], **changes: Any) -> PlanRows:
    """Make rows of (source, row) pairs; the row's number is its duration."""
    sources, rows = np.array(pairs, np.int64).reshape(-1, 2).T
    columns = dict[str, Any](sources=sources, source_names=SOURCES, buckets="duration", num_frames=rows * 10)
    return plan_rows("a catalog", rows, **(columns | changes))


@given(pairs=keys, data=st.data())
def test_rows_are_sorted_by_source_and_id_and_carry_their_bucket(pairs: list[tuple[int, int]], data: Any) -> None:
    found = make(pairs)
    assert list(zip(found.sources.tolist(), found.rows.tolist(), strict=True)) == sorted(pairs)
    assert found.rows.dtype == np.int64 and found.sources.dtype == np.uint8
    for row, code in zip(found.rows.tolist(), found.buckets.codes.tolist(), strict=True):
        frames = row * 10
        expected = "unknown" if frames < 1 else "<49f" if frames < 49 else "49-144f" if frames < 145 else None
        assert found.buckets.names[code] == (expected or ("145-288f" if frames < 289 else "289f+"))
    again = make(data.draw(st.permutations(pairs)))
    assert again.fingerprint == found.fingerprint


@given(pairs=keys, include=st.none() | st.lists(st.integers(-9, 70)), exclude=st.none() | st.lists(st.integers(-9, 70)))
def test_include_and_exclude_keep_what_sets_would(pairs: Any, include: Any, exclude: Any) -> None:
    found = make(pairs, include=include, exclude=None if exclude is None else set(exclude))
    kept = [
        pair
        for pair in sorted(pairs)
        if (include is None or pair[1] in include) and (not exclude or pair[1] not in exclude)
    ]
    assert list(zip(found.sources.tolist(), found.rows.tolist(), strict=True)) == kept
    assert found.num_left_out == len(pairs) - len(kept)


def test_ids_may_mean_another_thing_in_each_source() -> None:
    pairs = [(source, row) for source in range(3) for row in range(3)]
    found = make(pairs, exclude={"regular": [0, 1], "nexus-gpt": np.array([2])}, include={"nexus-cross": [1]})
    kept = list(zip(found.sources.tolist(), found.rows.tolist(), strict=True))
    assert kept == [(0, 2), (1, 1), (2, 0), (2, 1)]
    with pytest.raises(ValueError, match=r"include and exclude name the sources \['nexus'\]; the rows come from"):
        make(pairs, exclude={"nexus": [1]})


def test_the_fingerprint_tells_every_difference() -> None:
    pairs = [(0, row) for row in range(20)] + [(1, row) for row in range(5)]
    made = [
        make(pairs),
        make(pairs[:-1]),
        make([*pairs[:-1], (1, 9)]),
        make([*pairs[:-1], (2, 4)]),
        make(pairs, source_names=("a", "b", "c")),
        make(pairs, buckets=None),
        make(pairs, num_frames=np.arange(25)),
        plan_rows("another", np.arange(20)),
        plan_rows("a catalog", np.arange(20)),
    ]
    assert len({rows.fingerprint for rows in made}) == len(made)
    assert make(pairs).fingerprint == made[0].fingerprint


def test_rows_in_order_are_not_copied() -> None:
    ids = np.arange(10)
    assert plan_rows("a catalog", ids).rows is ids
    assert repr(rows_of(9)) == "PlanRows(regular: 3, nexus-cross: 3, nexus-gpt: 3; 3 buckets)"


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([1, 2, 1], {}, r"row 1 of regular comes again \(1 such rows\)"),
        ([1.5], {}, r"rows must be a column of integers, found float64 of shape \(1,\)"),
        ([[1]], {}, r"rows must be a column of integers, found int64 of shape \(1, 1\)"),
        ([1, 2], {"sources": np.array([0])}, "found 2 rows and 1 sources"),
        ([1, 2], {"sources": np.array([0, 1])}, r"sources must lie in \[0, 1\), found \[0, 1\]"),
        ([1], {"source_names": ("a", "a")}, "source_names must be at most 256 different names"),
        ([1], {"buckets": "duration"}, "missing: num_frames"),
        ([1], {"exclude": ["x"]}, "include and exclude must be a column of integers"),
    ],
)
def test_columns_that_are_no_rows_are_refused(rows: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan_rows("a catalog", np.array(rows), **changes)
