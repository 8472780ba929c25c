"""Which rows share a bucket: against the nearest class and the edges, one row at a time."""

from __future__ import annotations

from math import isnan, log
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2v_loaders.buckets import BucketEdges, assign_buckets

ASPECTS = {"9:16": 9 / 16, "3:4": 3 / 4, "1:1": 1.0, "4:3": 4 / 3, "16:9": 16 / 9, "21:9": 21 / 9}


def name_of(width: float, height: float, num_frames: float) -> str:
    """Return the bucket that the module's drawing gives a clip."""
    if isnan(width) or isnan(height) or width < 1 or height < 1:
        aspect = "unknown"
    else:
        aspect = min(ASPECTS, key=lambda name: abs(log(width / height) - log(ASPECTS[name])))
    if isnan(num_frames) or num_frames < 1:
        duration = "unknown"
    else:
        duration = (
            "<49f"
            if num_frames < 49
            else "49-144f"
            if num_frames < 145
            else "145-288f"
            if num_frames < 289
            else "289f+"
        )
    return f"{aspect} {duration}"


sides = st.integers(-1, 3000) | st.just(float("nan"))
lengths = st.sampled_from([0, 1, 48, 49, 144, 145, 288, 289, 5000]) | st.just(float("nan"))


@given(clips=st.lists(st.tuples(sides, sides, lengths), min_size=1, max_size=40))
def test_each_row_is_in_the_bucket_of_its_aspect_and_duration(clips: list[tuple[float, float, float]]) -> None:
    width, height, num_frames = np.array(clips, float).T
    found = assign_buckets("aspect*duration", width=width, height=height, num_frames=num_frames)
    assert found.codes.dtype == np.uint16
    assert [found.names[code] for code in found.codes] == [name_of(*clip) for clip in clips]
    assert sorted(set(found.codes.tolist())) == list(range(len(found.names)))  # none is empty


def test_buckets_may_be_of_one_thing_only_or_none() -> None:
    columns: dict[str, Any] = {
        "width": np.array([1280, 720]),
        "height": np.array([720, 1280]),
        "num_frames": np.array([95, 95]),
    }
    assert assign_buckets("aspect", **columns).names == ("9:16", "16:9")
    assert assign_buckets("aspect", **columns).codes.tolist() == [1, 0]
    assert assign_buckets("duration", num_frames=columns["num_frames"]).names == ("49-144f",)
    assert assign_buckets(None, num_rows=3).codes.tolist() == [0, 0, 0]
    assert repr(assign_buckets("aspect", **columns)) == "Buckets(9:16: 1, 16:9: 1)"


def test_edges_may_be_the_callers_own() -> None:
    edges = BucketEdges(aspects=((1, 1), (2, 1)), duration_edges_frames=(10,))
    width, height = np.array([140, 142, 500]), np.array([100, 100, 100])  # the middle of 1 and 2 is 1.414
    found = assign_buckets("aspect*duration", width=width, height=height, num_frames=np.array([9, 10, 10]), edges=edges)
    assert found.names == ("1:1 <10f", "2:1 10f+")
    assert found.codes.tolist() == [0, 1, 1]
    endless = BucketEdges(duration_edges_frames=())
    assert assign_buckets("duration", num_frames=np.array([0, 7]), edges=endless).names == ("any duration", "unknown")


def test_many_rows_are_put_into_buckets_as_few_are() -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {name: rng.integers(0, 900, 600_000) for name in ("width", "height", "num_frames")}
    whole = assign_buckets("aspect*duration", **columns)
    for start in (0, (1 << 18) - 5, 2 * (1 << 18) - 5, 599_990):
        few = slice(start, start + 10)
        parts = assign_buckets("aspect*duration", **{name: column[few] for name, column in columns.items()})
        assert [whole.names[c] for c in whole.codes[few]] == [parts.names[c] for c in parts.codes]


@pytest.mark.parametrize(
    ("by", "columns", "message"),
    [
        ("size", {}, r"buckets must be one of aspect\*duration, aspect, duration or None, not 'size'"),
        ("aspect", {"width": [1]}, 'buckets="aspect" needs the columns width, height; missing: height'),
        ("duration", {"num_frames": [1], "num_rows": 2}, r"found \{'num_frames': 1, 'num_rows': 2\}"),
        (None, {}, "found no column and no num_rows"),
    ],
)
def test_columns_that_do_not_fit_are_refused(by: Any, columns: dict[str, Any], message: str) -> None:
    columns = {name: np.array(value) if isinstance(value, list) else value for name, value in columns.items()}
    with pytest.raises(ValueError, match=message):
        assign_buckets(by, **columns)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aspects": ()}, r"aspects must be \(width, height\) pairs above 0, at least one"),
        ({"aspects": ((1, 0),)}, "pairs above 0"),
        ({"aspects": ((4, 3), (1, 1))}, "aspects must ascend in width / height"),
        ({"duration_edges_frames": (49, 49)}, "duration_edges_frames must ascend and be above 0"),
        ({"duration_edges_frames": (0, 49)}, "duration_edges_frames must ascend and be above 0"),
    ],
)
def test_edges_that_make_no_buckets_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BucketEdges(**changes)
