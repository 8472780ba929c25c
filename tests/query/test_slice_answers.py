"""What slices answer, after any steps, against plain Python: columns, pages, counts, histograms, subjects, rows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import opens2v_data
from opens2v_data.errors import QueryError
from query.steps import SCORES, SOME, SORTABLE, TEXTS, WORLDS, apply, chains, step
from query.worlds import World, same


@pytest.mark.parametrize("name", WORLDS)
@SOME
@given(chain=chains, columns=st.lists(st.sampled_from(SORTABLE), min_size=1, max_size=3, unique=True))
def test_columns_come_in_order(worlds: dict[str, World], name: str, chain: list[Any], columns: list[str]) -> None:
    s, p = apply(worlds[name], chain)
    expected = [{column: clip[column] for column in columns} for clip in p.rows()]
    assert s.to_arrow(columns).to_pylist() == expected


@pytest.mark.parametrize("name", WORLDS)
@SOME
@given(
    chain=st.lists(step(("where", "has", "sample", "limit", "near")), max_size=2),
    sort=st.lists(st.tuples(st.sampled_from(SORTABLE), st.sampled_from(["", "-"])), max_size=3),
    n=st.sampled_from([1, 2, 3, 5, 7, 20, 100]),
    columns=st.none() | st.lists(st.sampled_from(SORTABLE), min_size=1, unique=True, max_size=3),
)
def test_pages_hold_every_clip_once_and_in_order(
    worlds: dict[str, World],
    name: str,
    chain: list[Any],
    sort: list[tuple[str, str]],
    n: int,
    columns: list[str] | None,
) -> None:
    signed = [f"{sign}{column}" for column, sign in sort]
    s, p = apply(worlds[name], chain)
    s, p = s.limit(12).sort(*signed), p.limit(12).sort(*signed)
    rows: list[Any] = []
    after = None
    for _ in range(len(p.ids) // n + 1):
        page = s.page(after=after, n=n, columns=columns)
        assert len(page) <= n
        rows += page.rows.to_pylist()
        after = page.after
        if after is None:
            break
    assert after is None
    if columns is None:
        assert [row["clip_id"] for row in rows] == p.ids
    else:
        assert rows == [{column: clip[column] for column in columns} for clip in p.rows()]


@pytest.mark.parametrize("sign", ["", "-"])
def test_every_column_can_be_sorted_paged_counted_and_drawn_by(worlds: dict[str, World], sign: str) -> None:
    world = worlds["random"]
    for column, _ in world.opened.query.columns("regular"):
        s = world.opened.all.limit(9).sort(f"{sign}{column}")
        values = s.to_arrow(list({"clip_id": 0, column: 0})).to_pylist()
        pages, after = [], None
        while True:
            page = s.page(after=after, n=2, columns=list({"clip_id": 0, column: 0}))
            pages += page.rows.to_pylist()
            if (after := page.after) is None:
                break
        assert pages == values
        assert s.sample(4, by=column).count() == 4
        found = s.facets(column).to_pylist()
        if column in world.clips[0]:
            assert found == world.all.limit(9).facets(column)
            assert values == [
                {"clip_id": clip["clip_id"], column: clip[column]}
                for clip in world.all.limit(9).sort(f"{sign}{column}").rows()
            ]


@pytest.mark.parametrize("name", WORLDS)
@SOME
@given(chain=chains, column=st.sampled_from([*SORTABLE, "quirks", "category"]), limit=st.sampled_from([1, 3, 1000]))
def test_facets_count_what_python_counts(
    worlds: dict[str, World], name: str, chain: list[Any], column: str, limit: int
) -> None:
    s, p = apply(worlds[name], chain)
    assert s.facets(column, limit=limit).to_pylist() == p.facets(column)[:limit]


def test_groups_count_what_columns_hold_together(worlds: dict[str, World]) -> None:
    world = worlds["sample"] if "sample" in worlds else next(iter(worlds.values()))
    counted: dict[tuple[Any, Any], int] = {}
    for clip in world.clips:
        both = (clip["crop_width"], clip["part"])
        counted[both] = counted.get(both, 0) + 1
    found = world.opened.all.groups(["crop_width", "part"], limit=1000).to_pylist()
    assert {(row["crop_width"], row["part"]): row["num_clips"] for row in found} == counted
    assert [row["num_clips"] for row in found] == sorted(counted.values(), reverse=True)
    assert world.opened.all.groups(["crop_width", "part"], limit=1).num_rows == 1
    with pytest.raises(ValueError, match="1 or more, got 0"):
        world.opened.all.groups(["part"], limit=0)
    with pytest.raises(QueryError, match="no column 'nothing'"):
        world.opened.all.groups(["nothing"])


@pytest.mark.parametrize("name", WORLDS)
@SOME
@given(
    chain=chains,
    columns=st.lists(
        st.sampled_from(
            [
                "aesthetic",
                "motion",
                "tech",
                "num_frames",
                "duration_seconds",
                "clip_id",
                "video_size_bytes",
                "aspect_ratio",
            ]
        ),
        min_size=1,
        max_size=4,
    ),
    bins=st.integers(1, 12),
    lo=st.none() | st.sampled_from([-2.0, 0, 4.25]),
    hi=st.none() | st.sampled_from([5.0, 50, 1e9]),
)
def test_histograms_count_what_python_counts(
    worlds: dict[str, World], name: str, chain: list[Any], columns: list[str], bins: int, lo: Any, hi: Any
) -> None:
    s, p = apply(worlds[name], chain)
    found = s.hists(columns, bins=bins, lo=lo, hi=hi)
    assert list(found) == list(dict.fromkeys(columns))
    for column, histogram in found.items():
        known = [clip[column] for clip in p.world.clips if clip[column] is not None]
        low, high = float(histogram.edges[0]), float(histogram.edges[-1])
        assert low == (float(min(known)) if lo is None else lo)
        if (lo is None or lo < max(known)) and low < (most := float(max(known)) if hi is None else hi):
            assert high == most
        values = [clip[column] for clip in p.rows()]
        inside = [float(value) for value in values if value is not None and low <= value <= high]
        expected = [0] * bins
        for value in inside:
            expected[min(math.floor((value - low) * bins / (high - low)), bins - 1)] += 1
        assert histogram.counts.tolist() == expected
        assert histogram.num_null == values.count(None)
        assert histogram.num_below == sum(value is not None and value < low for value in values)
        assert histogram.num_above == sum(value is not None and value > high for value in values)
        assert int(histogram.counts.sum()) + histogram.num_null + histogram.num_below + histogram.num_above == len(
            values
        )
        # What lies on no edge is where NumPy finds it.
        apart = [value for value in inside if np.abs(histogram.edges - value).min() > 1e-6 * (high - low)]
        if len(apart) == len(inside):
            assert np.histogram(inside, histogram.edges)[0].tolist() == expected


@pytest.mark.parametrize("name", WORLDS[:2])
@SOME
@given(chain=chains, least=SCORES, text=TEXTS, is_twice=st.booleans())
def test_subjects_are_trimmed_and_clips_stay(
    worlds: dict[str, World], name: str, chain: list[Any], least: float, text: str, is_twice: bool
) -> None:
    s, p = apply(worlds[name], chain)
    trimmed = s.subjects("gme_score > ? OR class_name = ? -- either", least, text)
    if is_twice:
        trimmed = trimmed.subjects("aes_score > 4.5")
    same(trimmed, p)

    def stays(subject: dict[str, Any]) -> bool:
        is_in = (subject["gme_score"] is not None and subject["gme_score"] > least) or subject["class_name"] == text
        return is_in and (not is_twice or (subject["aes_score"] is not None and subject["aes_score"] > 4.5))

    expected = [
        (clip_id, subject["object_id"], subject["class_name"])
        for clip_id in sorted(p.ids)
        for subject in p.world.subjects[clip_id]
        if stays(subject)
    ]
    table = trimmed.subject_table()
    names = ("clip_id", "object_id", "class_name")
    assert list(zip(*(table.column(column).to_pylist() for column in names), strict=True)) == expected
    shown = [
        (clip_id, subject.object_id, subject.class_name)
        for clip_id, triple in zip(p.ids, trimmed.triples(), strict=True)
        for subject in triple.subjects
    ]
    assert sorted(shown) == expected


@pytest.mark.parametrize("name", WORLDS)
@SOME
@given(chain=chains)
def test_rows_for_loaders_are_those_of_its_clips(worlds: dict[str, World], name: str, chain: list[Any]) -> None:
    world = worlds[name]
    s, p = apply(world, chain)
    found = s.row_sizes()
    sizes = {clip["clip_id"]: (clip["crop_width"] or 0, clip["crop_height"] or 0, _frames(clip)) for clip in p.rows()}
    got = zip(*(found[column].tolist() for column in ("row_id", "width", "height", "num_frames")), strict=True)
    assert {row_id: tuple(rest) for row_id, *rest in got} == sizes
    assert len(found["row_id"]) == len(sizes)
    pairs = dict(
        enumerate(world.opened.query.ask("SELECT clip_id, partner_clip_id FROM pairs ORDER BY pair_id").to_pylist())
    )
    inside = {at for at, row in pairs.items() if {row["clip_id"], row["partner_clip_id"]} <= set(p.ids)}
    assert set(s.row_sizes(config="nexus-cross")["row_id"].tolist()) == inside
    with_views = {row_id for ids in world.opened.query.row_ids("nexus-gpt") for row_id in ids.tolist()}
    assert set(s.row_sizes(config="nexus-gpt")["row_id"].tolist()) == with_views & set(p.ids)
    least = s.row_sizes("num_frames > 50 -- long")["row_id"].tolist()
    assert sorted(least) == [
        c["clip_id"] for c in p.world.clips if c["clip_id"] in sizes and (c["num_frames"] or 0) > 50
    ]


def _frames(clip: dict[str, Any]) -> int:
    for start, end in (("face_cut_start", "face_cut_end"), ("cut_start", "cut_end")):
        if clip[end] is not None:
            return clip[end] - clip[start]
    return clip["num_frames"] or 0


def test_histograms_of_several_columns_may_have_ends_of_their_own(sample_catalog: Path) -> None:
    s = opens2v_data.open(sample_catalog).all
    ends = {"aesthetic": (4.0, 6.5), "num_frames": (10.0, 90.0)}
    found = s.hists(["num_frames", "aesthetic", "motion"], bins=7, ends=ends)
    assert list(found) == ["num_frames", "aesthetic", "motion"]
    for name, histogram in found.items():
        lo, hi = ends.get(name, (None, None))
        alone = s.hist(name, bins=7, lo=lo, hi=hi)
        assert histogram.counts.tolist() == alone.counts.tolist()
        assert histogram.edges.tolist() == alone.edges.tolist()
    with pytest.raises(ValueError, match="expected lo < hi, got 2 and 1"):
        s.hists(["aesthetic"], ends={"aesthetic": (2, 1)})
