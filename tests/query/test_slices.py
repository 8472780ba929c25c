"""Slices against plain Python: every step, alone and one after another, on the sample and on small random catalogs."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.errors import QueryError
from query.steps import SOME, STEPS, WORLDS, apply, chains, step
from query.worlds import World, make_world, same

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
