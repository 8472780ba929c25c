"""Pages, counts and samples of cross-video pairs, against plain Python over their table."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from catalog.releases import make
from opens2v_data.dataset import OpenS2V
from opens2v_data.errors import QueryError
from opens2v_data.query.pairpages import (
    PAIR_ORDERS,
    PairFilter,
    count_pairs,
    pair_ids_between,
    pair_page,
    pair_points,
)
from query.faulty import Made, write_faulty

Row = dict[str, Any]

edges = st.one_of(st.none(), st.sampled_from([0.0, 0.5, 0.8, 0.95, 0.97, 1.0, 2.0]))
bounds = st.tuples(edges, edges)
some_ids = st.lists(st.integers(-1, 400), max_size=30, unique=True).map(tuple)
filters = st.builds(
    PairFilter, image=bounds, text=bounds, classes=st.sampled_from(["any", "same", "differ"]),
    only=st.one_of(st.none(), st.none(), some_ids), without=st.one_of(st.just(()), some_ids), names_subjects=st.booleans(),
)  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenS2V:
    root = tmp_path_factory.mktemp("pairs")
    write_faulty(root / "release", 3)
    make(root / "release", root / "catalog")
    return opens2v_data.open(root / "catalog")


@pytest.fixture(scope="module")
def pairs(opened: OpenS2V) -> list[Row]:
    return Made(query=opened.query).pairs()


def meets(row: Row, wanted: PairFilter) -> bool:
    for name, (low, high) in (("image_similarity", wanted.image), ("text_similarity", wanted.text)):
        value = row[name]
        if low is not None and (value is None or value < np.float32(low)):
            return False
        if high is not None and (value is None or value > np.float32(high)):
            return False
    if wanted.clip_id is not None and wanted.clip_id not in (row["clip_id"], row["partner_clip_id"]):
        return False
    sides = [row[f"{side}{name}"] for side in ("", "partner_") for name in ("clip_id", "object_id")]
    if wanted.names_subjects and None in sides:
        return False
    if (wanted.only is not None and row["pair_id"] not in wanted.only) or row["pair_id"] in wanted.without:
        return False
    return wanted.classes == "any" or (row["class_id"] == row["partner_class_id"]) == (wanted.classes == "same")


def in_order(rows: list[Row], order: str) -> list[int]:
    column = {"image": "image_similarity", "text": "text_similarity"}.get(order.removeprefix("-"))
    if column is None:
        return [row["pair_id"] for row in rows]
    sign = -1 if order.startswith("-") else 1
    ordered = sorted(rows, key=lambda row: (row[column] is None, sign * (row[column] or 0), row["pair_id"]))
    return [row["pair_id"] for row in ordered]


def all_pages(s: Any, wanted: PairFilter, order: Any, n: int) -> list[Row]:
    found: list[Row] = []
    after = None
    while True:
        page = pair_page(s, wanted, order=order, after=after, n=n)
        assert len(page) <= n
        found += page.rows.to_pylist()
        after = page.after
        if after is None:
            return found


@given(wanted=filters, order=st.sampled_from(PAIR_ORDERS), n=st.integers(3, 40))
@settings(max_examples=25, deadline=None)
def test_pages_give_every_pair_that_is_wanted_once_and_in_order(
    opened: OpenS2V, pairs: list[Row], wanted: PairFilter, order: str, n: int
) -> None:
    expected = [row for row in pairs if meets(row, wanted)]
    found = all_pages(opened.all, wanted, order, max(n, len(expected) // 4))
    assert [row["pair_id"] for row in found] == in_order(expected, order)
    assert count_pairs(opened.all, wanted) == len(expected)
    by_id = {row["pair_id"]: row for row in pairs}
    for row in found:
        assert row["class_name"] == by_id[row["pair_id"]]["class_name"]
        assert row["partner_class_name"] == by_id[row["pair_id"]]["partner_class_name"]


def test_pairs_of_a_slice_have_both_clips_in_it(opened: OpenS2V, pairs: list[Row]) -> None:
    for s in (opened.where("clip_id % 3 <> 0"), opened.all.limit(5), opened.where("aesthetic > 5").sort("-aesthetic")):
        ids = set(s.ids().tolist())
        expected = [row for row in pairs if row["clip_id"] in ids and row["partner_clip_id"] in ids]
        assert [row["pair_id"] for row in all_pages(s, PairFilter(), "pair", 50)] == in_order(expected, "pair")
        assert count_pairs(s) == len(expected)
        assert {row["pair_id"] for row in pair_points(s).to_pylist()} == {
            row["pair_id"] for row in expected if None not in (row["image_similarity"], row["text_similarity"])
        }


def test_pairs_of_a_clip_are_those_it_is_either_side_of_whatever_the_slice(opened: OpenS2V, pairs: list[Row]) -> None:
    for clip_id in range(4):
        wanted = PairFilter(clip_id=clip_id)
        expected = [row for row in pairs if meets(row, wanted)]
        assert [row["pair_id"] for row in all_pages(opened.where("false"), wanted, "pair", 50)] == in_order(
            expected, "pair"
        )


def test_a_sample_is_the_same_each_time_and_part_of_what_is_wanted(opened: OpenS2V, pairs: list[Row]) -> None:
    wanted = PairFilter(image=(0.5, None))
    known = {row["pair_id"] for row in pairs if meets(row, wanted) and row["text_similarity"] is not None}
    assert len(known) > 6
    # The same as sorting all by the number they are drawn by.
    for most in (1, 5):
        whole = pair_points(opened.all, wanted, most=10_000).column("pair_id").to_pylist()
        spread = sorted(whole, key=lambda one: (one * 2_654_435_761 % (1 << 32), one))
        assert pair_points(opened.all, wanted, most=most).column("pair_id").to_pylist() == spread[:most]
    some = pair_points(opened.all, wanted, most=5)
    assert some.num_rows == 5
    assert {*some.column("pair_id").to_pylist()} < known
    assert some.equals(pair_points(opened.all, wanted, most=5))
    assert {*pair_points(opened.all, wanted, most=10_000).column("pair_id").to_pylist()} == known


def test_warm_numbers_of_clips_change_nothing(opened: OpenS2V) -> None:
    warm = opens2v_data.open(opened.catalog.root)
    warm.warm()
    cold = pair_page(opened.where("aesthetic > 4"), PairFilter(classes="differ"), n=100).rows
    assert pair_page(warm.where("aesthetic > 4"), PairFilter(classes="differ"), n=100).rows.equals(cold)


def test_what_is_no_page_order_or_number_is_refused(opened: OpenS2V) -> None:
    after = pair_page(opened.all, order="-image", n=1).after
    assert after is not None
    for wrong in (
        "",
        "x",
        "[]",
        "[1,2,3]",
        '["-image", "0.5", 1]',
        '["-image", 0.5, 1e99]',
        after.replace("-image", "text"),
    ):
        with pytest.raises(QueryError, match="start with the first page"):
            pair_page(opened.all, order="-image", after=wrong)
    with pytest.raises(ValueError, match="order must be one of"):
        pair_page(opened.all, order="random")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="n must be 1 or more"):
        pair_page(opened.all, n=0)
    with pytest.raises(ValueError, match="most must be 1 or more"):
        pair_points(opened.all, most=0)
    with pytest.raises(ValueError, match="finite numbers"):
        PairFilter(image=(float("nan"), None))
    with pytest.raises(ValueError, match="classes must be one of"):
        PairFilter(classes="other")  # type: ignore[arg-type]


def test_pairs_are_found_by_the_subjects_they_join_in_either_direction(opened: OpenS2V, pairs: list[Row]) -> None:
    rows = opened.all.page(n=10_000, columns=["clip_id", "part", "clip_key"]).rows.to_pylist()
    keys = {row["clip_id"]: f"{row['part']}/{row['clip_key']}" for row in rows}
    expected: dict[tuple[Any, ...], list[int]] = {}
    for row in pairs:
        sides = [(keys.get(row[f"{side}clip_id"]), row[f"{side}object_id"]) for side in ("", "partner_")]
        if all(key is not None and object_id is not None for key, object_id in sides):
            for way in {(*sides,), (*sides[::-1],)}:
                expected.setdefault(way, []).append(row["pair_id"])
    assert expected
    unknown = (("nowhere/nothing", 1), next(iter(expected))[1])
    asked = [*expected, unknown]
    assert pair_ids_between(opened.query, asked) == [tuple(sorted(ids)) for ids in expected.values()] + [()]
    assert pair_ids_between(opened.query, []) == []
