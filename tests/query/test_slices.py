"""Slices against plain Python: every step, alone and one after another, on the sample and on small random catalogs."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import opens2v_data
from opens2v_data.errors import QueryError
from opens2v_data.query.slices import Slice
from query.worlds import NAMES, Plain, World, make_world, open_world, same

WORLDS = ("sample", "random", "random, in memory")
SORTABLE = (
    "aesthetic", "motion", "tech", "path", "clip_key", "caption", "subject_tags", "num_subjects", "duration_seconds",
    "aspect_ratio", "face_cut_start", "video_size_bytes", "json_offset", "part", "clip_id",
)  # fmt: skip
SOME = settings(max_examples=14, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, sample_catalog: Path, sample_release: Path) -> dict[str, World]:
    root = tmp_path_factory.mktemp("worlds")
    random_ = make_world(root / "random", 7, num_clips=40)
    warm = open_world(root / "random" / "catalog", random_.release)
    warm.opened.query.warm()
    return {"sample": open_world(sample_catalog, sample_release), "random": random_, "random, in memory": warm}


# -- one step, to a slice and to plain Python

SCORES = st.sampled_from([0.25, 0.3, 4.25, 4.5, 5.0, 6.5, -1.5, 0.0, 1e-300, float(np.float32(0.3))])
TEXTS = st.sampled_from(NAMES) | st.text("ab?'%-;$ \U0001f600", max_size=4)


def number(value: Any, other: Any) -> bool | None:
    """Compare as SQL does: null with anything is null."""
    return None if value is None else value > other


CONDITIONS: dict[str, tuple[tuple[st.SearchStrategy[Any], ...], Any]] = {
    "aesthetic > ?": ((SCORES,), lambda world, clip, least: number(clip["aesthetic"], least)),
    "aesthetic -? > 0": ((SCORES,), lambda world, clip, less: number(clip["aesthetic"], less)),
    "tech > ? OR motion IS NULL -- ? '": (
        (SCORES,),
        lambda world, clip, least: number(clip["tech"], least) or clip["motion"] is None,
    ),
    "contains(caption, ?)": (
        (TEXTS,),
        lambda world, clip, text: None if clip["caption"] is None else text in clip["caption"],
    ),
    "path = ? OR '?' = ?": (
        (st.sampled_from(["a/1.mp4", "b c/2.mp4"]), TEXTS),
        lambda world, clip, path, text: clip["path"] == path or text == "?",
    ),
    "list_contains(?, part)": (
        (st.lists(st.sampled_from(["total_part1", "x'y", "?"]), max_size=3),),
        lambda world, clip, parts: clip["part"] in parts,
    ),
    "has_tag(subject_tags, ?)": ((TEXTS,), lambda world, clip, text: text in clip["subject_tags"]),
    "has_subject(clip_id, ?, min_gme := ?)": (
        (TEXTS, SCORES),
        lambda world, clip, name, least: any(
            subject["class_name"] == name and subject["gme_score"] is not None and subject["gme_score"] >= least
            for subject in world.subjects[clip["clip_id"]]
        ),
    ),
    "clip_id IN (SELECT clip_id FROM captions WHERE caption LIKE '%?%' OR caption = ?)": (
        (TEXTS,),
        lambda world, clip, text: clip["caption"] is not None and ("?" in clip["caption"] or clip["caption"] == text),
    ),
    "num_subjects % ?": ((st.sampled_from([2, 3]),), lambda world, clip, by: clip["num_subjects"] % by != 0),
    "?": ((st.booleans() | st.none(),), lambda world, clip, value: value),
    "video_size_bytes IS NULL": ((), lambda world, clip: clip["video_size_bytes"] is None),
}


def asked_number(draw: Any, scores: list[float]) -> tuple[Any, Any]:
    """Return a comparison as users write it, and as Python."""
    least, most = sorted([draw(st.sampled_from(scores)), draw(st.sampled_from(scores))])
    return draw(
        st.sampled_from(
            [
                (least, lambda value: value >= least),
                (f">{least}", lambda value: value > least),
                (f" >= {least!r} ", lambda value: value >= least),
                (f"<{most}", lambda value: value < most),
                (f"<= {most}", lambda value: value <= most),
                (f"=={least}", lambda value: value == least),
                (f"!={least}", lambda value: value != least),
                (f"{least}..{most}", lambda value: least <= value < most),
            ]
        )
    )


@st.composite
def step(draw: Any, kinds: tuple[str, ...]) -> tuple[str, Any]:
    """Return a name, and a function from a slice and plain Python to both after the step."""
    kind = draw(st.sampled_from(kinds))
    if kind == "where":
        sql = draw(st.sampled_from(sorted(CONDITIONS)))
        strategies, predicate = CONDITIONS[sql]
        values = [draw(one) for one in strategies]

        def where(s: Slice, p: Plain) -> tuple[Slice, Plain]:
            return s.where(sql, *values), p.where(lambda clip: predicate(p.world, clip, *values))

        return f"where({sql!r}, {values})", where
    if kind in ("has", "lacks"):
        name = draw(TEXTS | st.sampled_from(["dog", "man", "blue top"]))
        limits = {"gme": [0.25, 0.3, 0.0], "aes": [4.5, 5.0], "area": [0.05, 0.25, 0.5]}
        numbers = {
            key: asked_number(draw, limits[key]) for key in draw(st.sets(st.sampled_from(sorted(limits)), max_size=2))
        }
        tests = {key: test for key, (_, test) in numbers.items()}
        texts = {key: text for key, (text, _) in numbers.items()}
        if kind == "lacks":
            return f"lacks({name!r}, {texts})", lambda s, p: (
                s.lacks_subject(name, **texts),
                p.subject(name, is_there=False, **tests),
            )
        text, count = (
            draw(st.none().map(lambda _: (None, None))) if draw(st.booleans()) else asked_number(draw, [1, 2, 3])
        )
        return f"has({name!r}, {texts}, {text})", lambda s, p: (
            s.has_subject(name, count=text, **texts),
            p.subject(name, count=count, **tests),
        )
    if kind == "near":
        mode, alike = draw(st.sampled_from(["drop", "only"])), draw(st.sampled_from([-1.0, 0.5, 0.97, 1]))
        return f"near({mode}, {alike})", lambda s, p: (
            s.near_duplicates(mode, similarity=alike),
            # Stored as float32.
            p.near_duplicates(mode, alike),
        )
    if kind == "split":
        shares = draw(st.sampled_from([{"train": 0.5, "val": 0.5}, {"a'": 0.3, "b": 0.0, "?": 0.45}, {"all": 1}]))
        name, seed = draw(st.sampled_from(sorted(shares))), draw(st.integers(-5, 5))
        by = draw(st.sampled_from(["cluster", "clip"]))
        return f"split({name})", lambda s, p: (s.split(name, shares, seed=seed, by=by), p.split(name, shares, seed, by))
    if kind == "sample":
        many, seed = draw(st.integers(0, 45)), draw(st.integers(-3, 2**70))
        by = draw(
            st.none() | st.sampled_from(["part", "num_subjects", "motion", "subject_tags", "caption", "category"])
        )
        return f"sample({many}, {by}, {seed})", lambda s, p: (
            s.sample(many, by=by, seed=seed),
            p.sample(many, by, seed),
        )
    if kind == "sort":
        columns = draw(st.lists(st.sampled_from(SORTABLE), max_size=2))
        signed = [draw(st.sampled_from(["", "-"])) + column for column in columns]
        return f"sort({signed})", lambda s, p: (s.sort(*signed), p.sort(*signed))
    if kind == "limit":
        many = draw(st.integers(0, 40))
        return f"limit({many})", lambda s, p: (s.limit(many), p.limit(many))
    ids = draw(st.lists(st.integers(-3, 45), max_size=20))
    known = [one for one in ids if one >= 0]
    return f"ids({ids})", lambda s, p: (s.with_ids(ids), p.where(lambda clip: clip["clip_id"] in known))


STEPS = ("where", "where", "has", "lacks", "near", "split", "sample", "sort", "limit", "ids")
chains = st.lists(step(STEPS), max_size=4)


def apply(world: World, chain: list[tuple[str, Any]]) -> tuple[Slice, Plain]:
    s, p = world.opened.all, world.all
    for _, one in chain:
        s, p = one(s, p)
    return s, p


# -- steps


@pytest.mark.parametrize("name", WORLDS)
@SOME
@given(chain=chains)
def test_steps_one_after_another_give_what_python_finds(
    worlds: dict[str, World], name: str, chain: list[tuple[str, Any]]
) -> None:
    s, p = apply(worlds[name], chain)
    same(s, p)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6), some=st.lists(chains, min_size=4, max_size=4))
def test_random_catalogs_give_what_python_finds(
    tmp_path_factory: pytest.TempPathFactory, seed: int, some: list[list[tuple[str, Any]]]
) -> None:
    world = make_world(tmp_path_factory.mktemp("made"), seed)
    for chain in some:
        same(*apply(world, chain))
    for column in ("subject_tags", "motion"):
        assert world.opened.all.facets(column, limit=1000).to_pylist() == world.all.facets(column)


@pytest.mark.parametrize("name", WORLDS[:2])
@SOME
@given(one=chains, other=st.lists(step(STEPS), max_size=2), third=step(("where", "has", "limit")))
def test_sets_of_clips_are_those_of_python(
    worlds: dict[str, World], name: str, one: list[Any], other: list[Any], third: tuple[str, Any]
) -> None:
    (s, p), (t, q) = apply(worlds[name], one), apply(worlds[name], other)
    same(s & t, p & q)
    same(s | t, p | q)
    same(s - t, p - q)
    same(~s, ~p)
    same(*third[1](~(s | t) | (s & t), ~(p | q) | (p & q)))


@pytest.mark.parametrize("name", WORLDS)
@SOME
@given(chain=chains)
def test_the_sql_it_shows_means_the_same(worlds: dict[str, World], name: str, chain: list[Any]) -> None:
    world = worlds[name]
    s, p = apply(world, chain)
    assert [row_id for ids in world.opened.query.row_ids(where=s.sql_where()) for row_id in ids.tolist()] == sorted(
        p.ids
    )
    assert world.opened.count(f"({s.sql_where()}) AND true") == len(p.ids)
    answer = world.opened.query.ask(s.sql(), is_of_pieces=True)
    assert answer.column("clip_id").to_pylist() == p.ids
    assert repr(s).startswith("Slice(")


# -- answers


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


# -- what splits and samples promise


def test_partners_never_stand_in_two_splits(worlds: dict[str, World]) -> None:
    world = worlds["sample"]
    for seed in range(6):
        halves = {"train": 0.5, "val": 0.5}
        train, val = (set(world.opened.all.split(name, halves, seed=seed).ids().tolist()) for name in halves)
        assert train | val == set(range(len(world.clips))) and not train & val
        assert all((one in train) == (other in train) for one, other, _ in world.links)
    assert world.links


def test_a_split_of_a_clip_is_the_same_in_every_slice(worlds: dict[str, World]) -> None:
    world = worlds["random"]
    val = set(world.opened.all.split("val").ids().tolist())
    some = world.opened.where("num_subjects > 1")
    assert set(some.split("val").ids().tolist()) == val & set(some.ids().tolist())
    assert (some.split("val") | some.split("train")).count() == some.count()


def test_a_sample_spreads_over_values_as_evenly_as_they_have_clips(worlds: dict[str, World]) -> None:
    world = worlds["random"]
    found = world.opened.all.sample(15, by="num_subjects", seed=3).facets("num_subjects").to_pylist()
    there = {row["value"]: row["num_clips"] for row in world.all.facets("num_subjects")}
    most = max(row["num_clips"] for row in found)
    assert sum(row["num_clips"] for row in found) == 15
    assert all(row["num_clips"] >= min(most - 1, there[row["value"]]) for row in found)


def test_near_duplicates_keep_the_first_of_each_two(worlds: dict[str, World]) -> None:
    world = worlds["random"]
    kept = set(world.opened.all.near_duplicates().ids().tolist())
    alike = [(one, other) for one, other, score in world.links if score is not None and score >= 0.97 and one != other]
    assert alike and all(not {one, other} <= kept for one, other in alike)
    assert 0 in kept


# -- keys, copies


def test_clips_are_got_by_key(worlds: dict[str, World]) -> None:
    world = worlds["random"]
    wanted = [world.clips[at] for at in (5, 3, 3, 0)]
    found = world.opened.get([f"{clip['part']}/{clip['clip_key']}" for clip in wanted], masks=False)
    assert [(one.clip.part, one.clip.key) for one in found] == [(clip["part"], clip["clip_key"]) for clip in wanted]
    assert all(subject.mask is None for one in found for subject in one.subjects)
    assert world.opened.get([wanted[0]["clip_key"]])[0].clip.caption == (wanted[0]["caption"] or "")
    assert world.opened.get([]) == []


def test_a_slice_travels(worlds: dict[str, World]) -> None:
    world = worlds["random"]
    s = world.opened.where("aesthetic > ?", 4.0).with_ids(range(30)).sort("-tech").limit(9).subjects("gme_score > 0.2")
    copy = pickle.loads(pickle.dumps(s))
    assert copy.ids().tolist() == s.ids().tolist()
    assert list(copy.triples()) == list(s.triples())
    assert copy.sort("clip_id").where("clip_id > ?", 3).ids().tolist() == sorted(i for i in s.ids().tolist() if i > 3)


def test_a_slice_is_never_changed(worlds: dict[str, World]) -> None:
    s = worlds["random"].opened.all.where("clip_id < ?", 20)
    before = s.ids().tolist()
    for other in (s.limit(3), s.sort("-clip_id"), s.sample(2), s.where("false"), ~s, s - s, s.subjects("false")):
        other.count()
    assert s.ids().tolist() == before == list(range(20))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda s: s.limit(-1), ValueError, "limit must be 0 or more, got -1"),
        (lambda s: s.limit(1.5), TypeError, "'float' object cannot be interpreted as an integer"),
        (lambda s: s.sample(-1), ValueError, "0 or more, got -1"),
        (lambda s: s.sample(5, seed="x"), TypeError, "cannot be interpreted as an integer"),
        (lambda s: s.sample(5, by="parts"), QueryError, "no column 'parts'; nearest names: part"),
        (lambda s: s.sort(None), TypeError, "expected columns by name, got None"),
        (lambda s: s.sort("-aesthetics"), QueryError, "no column 'aesthetics'; nearest names: aesthetic"),
        (lambda s: s.split("test"), ValueError, "expected one of train, val, got 'test'"),
        (lambda s: s.split("a", {"a": 0.7, "b": 0.7}), ValueError, "add up to 1 at most"),
        (lambda s: s.split("a", {"a": float("nan")}), ValueError, r"must lie in \[0, 1\]"),
        (lambda s: s.split("val", by="part"), ValueError, "by must be cluster or clip, got 'part'"),
        (lambda s: s.near_duplicates("keep"), ValueError, "mode must be one of drop, only, got 'keep'"),
        (lambda s: s.near_duplicates(similarity=1.1), ValueError, r"a cosine in \[-1, 1\], got 1.1"),
        (lambda s: s.near_duplicates(similarity=float("nan")), ValueError, "a cosine"),
        (lambda s: s.has_subject(5), TypeError, "expected a class name as text, got 5"),
        (lambda s: s.has_subject("a", gme=10**400), ValueError, 'expected a number, ">0.3"'),
        (lambda s: s.has_subject("a", gme="high"), ValueError, "for gme of 'a', got 'high'"),
        (lambda s: s.with_ids(["a"]), TypeError, "expected clip ids as integers"),
        (lambda s: s.with_ids([1.5]), TypeError, "expected clip ids as integers"),
        (lambda s: s & 5, TypeError, "expected a slice, got int"),
        (lambda s: s.page(n=0), ValueError, "n must be 1 or more, got 0"),
        (lambda s: s.page(after=5), TypeError, "after must be the text that a page gave, got int"),
        (lambda s: s.page(after=s.page(n=1).after).page(n=1), AttributeError, "page"),
        (lambda s: s.sort("path").page(after=s.page(n=1).after), QueryError, "is no page of this order and catalog"),
        (lambda s: s.page(after="W1tb" * 60_000), QueryError, "is no page of this order"),
        (lambda s: s.facets("part", limit=0), ValueError, "limit must be 1 or more, got 0"),
        (lambda s: s.hist("part"), QueryError, r"expected a column of numbers, part is VARCHAR; facets\('part'\)"),
        (lambda s: s.hist("aesthetic", bins=0), ValueError, "bins must be from 1 to 100,000, got 0"),
        (lambda s: s.hist("aesthetic", lo=float("nan")), ValueError, "lo and hi must lie in"),
        (lambda s: s.hist("aesthetic", lo=2, hi=1), ValueError, "expected lo < hi, got 2 and 1"),
        (lambda s: s.hists("aesthetic"), TypeError, "columns must be a list of names, got the text 'aesthetic'"),
        (lambda s: s.to_arrow("part"), TypeError, "columns must be a list of names"),
        (lambda s: s.to_arrow(["part", "part"]), ValueError, "none twice"),
        (lambda s: s.row_sizes(config="odd"), ValueError, "config must be one of regular, nexus-cross, nexus-gpt"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_would(
    worlds: dict[str, World], make: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(worlds["random"].opened.all)


def test_no_column_and_no_clip_are_answers(worlds: dict[str, World]) -> None:
    nothing = worlds["random"].opened.where("false")
    assert nothing.hists([]) == {}
    assert nothing.count() == len(nothing.ids()) == nothing.locate().num_rows == nothing.subject_table().num_rows == 0
    assert nothing.page().rows.num_rows == 0 and nothing.page().after is None
    assert list(nothing.triples()) == []
    assert nothing.hist("aesthetic").counts.sum() == 0
    assert nothing.facets("part").num_rows == 0


def test_a_slice_of_too_many_ids_still_shows_itself(worlds: dict[str, World], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opens2v_data.query.bound.MAX_LITERAL_IDS", 5)
    s = worlds["random"].opened.all.with_ids(range(9))
    assert repr(s) == "Slice('ids of more clips than can be shown')"
    with pytest.raises(QueryError, match="holds 9 ids, which are too many to write out"):
        s.sql_where()


def test_captions_are_columns_whatever_conditions_name(worlds: dict[str, World]) -> None:
    opened = worlds["random"].opened
    for s in (
        opened.search("woman"),
        opened.where("clip_id IN (SELECT clip_id FROM captions)"),
        opened.search("woman").limit(3),
    ):
        assert s.to_arrow(["caption"]).num_rows == s.page(columns=["caption"], n=99).rows.num_rows == s.count() > 0
        assert s.sort("caption").facets("caption").num_rows > 0
        assert s.where("caption IS NOT NULL AND category IS NOT NULL").count() > 0


def test_a_condition_on_captions_goes_with_a_search_of_them(worlds: dict[str, World]) -> None:
    opened = worlds["random"].opened
    with_text = opened.where("caption IS NOT NULL")
    assert with_text.search("woman").count() == opened.search("woman").count() > 0
    assert opened.where("caption LIKE '%captions%'").count() == sum(
        "captions" in (clip["caption"] or "") for clip in worlds["random"].clips
    )


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
