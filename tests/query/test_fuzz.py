"""Strings that strangers might give, through everything that takes a text: an answer that is right, or a refusal in words.

A refusal is a `QueryError`, `ValueError` or `TypeError` with a message. After each, the catalog has as many rows as before.
"""

from __future__ import annotations

import base64
import json
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.errors import QueryError
from opens2v_data.query import answers
from opens2v_data.query.slices import Slice
from opens2v_data.query.spec import Sort
from query.worlds import NAMES, World, make_world

REFUSALS = (QueryError, ValueError, TypeError)

ATTACKS = (
    "'); DROP VIEW clips; --", "'; DROP VIEW clips; SELECT '", "true) OR (true", "1); COPY clips TO 'x.csv'; --", "?", "? ?",
    "$1", "?1", "$a", "-- ", "/*", "*/", "'", '"', '""', "(", ")", "((((", "[", "]", "{}", "{clips}", "%", "_", "\\", "\0",
    "a\0b", "\ud800", "\udcff", "\U0001f600", ";", ";;", "NULL", "nan", "inf", "1e999", "0x1", "x'00'", "E'\\'", "$$", "$$?$$",
    "clip_id", "CLIP_ID", '"clip_id"', "clip_id--", "-", "--clip_id", "ids_0", "wanted_ids", "clips", "main.clips",
    "read_parquet('/etc/passwd')", "union", "*", "COLUMNS(*)", "\n", "\u2028", "\u202e", "", " ",
)  # fmt: skip
PARTS = st.sampled_from([*ATTACKS, *NAMES, "aesthetic", " > 5", " AND ", "caption", "captions", "true", "woman", "5"])
TEXTS = st.one_of(
    st.sampled_from(ATTACKS),
    st.text(max_size=12),
    st.text(st.sampled_from("'\"?$;()[]{}-/*\\\n \0\ud800\U0001f600%_=<>.,:0aA"), max_size=16),
    st.lists(PARTS, min_size=1, max_size=4).map("".join),
)
VALUES = st.one_of(
    TEXTS, st.integers(), st.floats(), st.none(), st.booleans(), st.lists(TEXTS, max_size=3), st.binary(max_size=3)
)
FUZZED = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("fuzzed"), 3, num_clips=20)


def outcome(ask: Callable[[], Any]) -> Any:
    """Return an answer, or None for a refusal with a message; all else is raised."""
    try:
        return ask()
    except REFUSALS as error:
        refusal = error
    assert str(refusal).strip()
    return None


def unharmed(world: World) -> None:
    assert len(world.opened) == 20
    assert world.opened.query.ask("SELECT count(*) AS n FROM clips").to_pylist() == [{"n": 20}]


# -- values: never more than values


@FUZZED
@given(text=TEXTS, negated=st.booleans())
def test_a_class_name_is_only_a_name(world: World, text: str, negated: bool) -> None:
    s = outcome(lambda: world.opened.all.lacks_subject(text) if negated else world.opened.has_subject(text))
    if s is None:
        assert any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text)
        return
    expected = world.all.subject(text, is_there=not negated).ids
    assert s.ids().tolist() == expected
    assert world.opened.count(s.sql_where()) == len(expected)
    unharmed(world)


@FUZZED
@given(text=TEXTS, other=TEXTS)
def test_a_value_is_only_a_value(world: World, text: str, other: str) -> None:
    s = outcome(
        lambda: world.opened.where("caption = ? OR list_contains(?, clip_key) OR path != ?", text, [other], text)
    )
    if s is None:
        return
    expected = [
        clip["clip_id"]
        for clip in world.clips
        if clip["caption"] == text or clip["clip_key"] == other or (clip["path"] is not None and clip["path"] != text)
    ]
    assert s.ids().tolist() == expected
    assert world.opened.count(s.sql_where()) == len(expected)


@FUZZED
@given(
    values=st.lists(VALUES, max_size=3),
    condition=st.sampled_from(["? IS NOT NULL", "part = ?", "clip_id = ? OR ? = ?", "true"]),
)
def test_values_of_any_kind_are_bound_or_refused(world: World, values: list[Any], condition: str) -> None:
    found = outcome(lambda: world.opened.where(condition, *values).ids().tolist())
    if found is not None and condition == "? IS NOT NULL":
        assert found == ([] if values[0] is None else list(range(20)))
    outcome(lambda: world.opened.sql(f"SELECT count(*) FROM clips WHERE {condition}", *values))
    unharmed(world)


@FUZZED
@given(keys=st.lists(TEXTS | st.integers(), max_size=3), is_known=st.booleans())
def test_a_key_is_only_a_key(world: World, keys: list[Any], is_known: bool) -> None:
    known = [f"{world.clips[4]['part']}/{world.clips[4]['clip_key']}"] if is_known else []
    found = outcome(lambda: world.opened.get([*known, *keys], masks=False))
    if keys:
        assert found is None  # no clip has such a key
    else:
        assert [triple.clip.clip_id for triple in found] == [4] * is_known


@FUZZED
@given(text=TEXTS)
def test_a_search_is_only_words(world: World, text: str) -> None:
    found = outcome(lambda: world.opened.search(text).where("caption IS NOT NULL").count())
    assert found is None or 0 <= found <= 20
    unharmed(world)


# -- names: known or refused


NAMED: dict[str, Callable[[Slice, Any], Any]] = {
    "sort": lambda s, text: s.sort(text).ids(),
    "facets": lambda s, text: s.facets(text),
    "hist": lambda s, text: s.hist(text),
    "hists": lambda s, text: s.hists([text, "aesthetic"]),
    "sample": lambda s, text: s.sample(3, by=text).ids(),
    "to_arrow": lambda s, text: s.to_arrow([text]),
    "page": lambda s, text: s.page(columns=[text]),
    "split": lambda s, text: s.split(text).ids(),
    "split by": lambda s, text: s.split("train", by=text).ids(),
    "near": lambda s, text: s.near_duplicates(text).ids(),
    "config": lambda s, text: s.row_sizes(config=text),
}


@pytest.mark.parametrize("call", NAMED)
@settings(max_examples=12, deadline=None)
@given(text=TEXTS | st.sampled_from([5, None, b"part"]))
def test_a_name_is_known_or_refused(world: World, call: str, text: Any) -> None:
    columns = {name for name, _ in world.opened.query.columns("regular")}
    found = outcome(lambda: NAMED[call](world.opened.all, text))
    known = isinstance(text, str) and text.removeprefix("-" if call == "sort" else "\0") in columns
    if not known and text != "" and (call, text) != ("sample", None):
        assert found is None
    unharmed(world)


@FUZZED
@given(gme=VALUES, area=VALUES, count=VALUES)
def test_a_comparison_is_with_numbers_or_refused(world: World, gme: Any, area: Any, count: Any) -> None:
    for numbers in ({"gme": gme}, {"area": area}, {"count": count}, {"gme": gme, "area": area, "count": count}):
        found = outcome(lambda numbers=numbers: world.opened.has_subject("woman", **numbers).count())
        assert found is None or found <= world.opened.has_subject("woman").count()


@FUZZED
@given(name=TEXTS, share=st.floats() | TEXTS, seed=VALUES)
def test_splits_take_any_name_and_no_odd_share(world: World, name: str, share: Any, seed: Any) -> None:
    found = outcome(lambda: world.opened.all.split(name, {name: share}, seed=seed).count())
    assert found is None or 0 <= found <= 20


# -- SQL that a user writes: an answer about clips, or a refusal


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, other=st.sampled_from(["woman", "it's"]))
def test_a_condition_is_one_condition(world: World, text: str, other: str) -> None:
    s = outcome(lambda: world.opened.where(text))
    if s is None:
        return
    found = outcome(lambda: s.ids().tolist())
    if found is None:
        for ask in (
            s.count,
            s.page,
            lambda: s.facets("part"),
            lambda: s.hist("tech"),
            s.locate,
            s.subject_table,
            lambda: s.limit(2).ids(),
        ):
            assert outcome(ask) is None
        return
    assert found == sorted(set(found)) and set(found) <= set(range(20))
    rest = (~s).ids().tolist()
    assert sorted(found + rest) == list(range(20))
    # Beside others it means what it means alone, and so do these.
    having = world.all.subject(other).ids
    assert s.has_subject(other).ids().tolist() == [clip_id for clip_id in found if clip_id in having]
    assert world.opened.has_subject(other).where(text).limit(20).ids().tolist() == [i for i in found if i in having]
    assert world.opened.count(s.sql_where()) == len(found)
    unharmed(world)


@settings(max_examples=40, deadline=None)
@given(text=TEXTS)
def test_every_other_text_of_sql_is_answered_or_refused(world: World, text: str) -> None:
    opened = world.opened
    outcome(lambda: opened.count(text))
    outcome(lambda: opened.count(text, config="nexus-cross"))
    outcome(lambda: opened.sql(text))
    outcome(lambda: opened.sql(f"SELECT {text}"))
    outcome(lambda: opened.all.row_sizes(text))
    outcome(lambda: opened.all.subjects(text).subject_table())
    outcome(lambda: list(opened.rows(text, limit=1)))
    outcome(lambda: opened.slice(text))
    unharmed(world)


# -- pages


@FUZZED
@given(text=TEXTS | st.binary(max_size=40).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_a_page_goes_on_from_a_page_alone(world: World, text: str) -> None:
    assert outcome(lambda: world.opened.all.sort("path").page(after=text)) is None


@FUZZED
@given(
    last=st.lists(
        VALUES.filter(lambda value: not isinstance(value, bytes)) | st.dictionaries(TEXTS, TEXTS, max_size=1),
        min_size=1,
        max_size=3,
    )
)
def test_a_forged_page_gives_clips_or_is_refused(world: World, last: list[Any]) -> None:
    s = world.opened.all.sort("path")
    order = (*s.spec.order, Sort(column="clip_id"))
    text = json.dumps([answers._order_name(s, order), *last])
    after = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    page = outcome(lambda: s.page(after=after))
    assert page is None or set(page.rows.column("clip_id").to_pylist()) <= set(range(20))
    unharmed(world)


# -- many at once


def test_threads_that_ask_one_catalog_at_once_get_their_own_answers(world: World) -> None:
    opened = world.opened
    asked: list[tuple[Slice, list[int]]] = []
    for name in ("woman", "it's"):
        s, p = opened.has_subject(name), world.all.subject(name)
        asked += [
            (s, p.ids),
            (s.sort("-tech"), p.sort("-tech").ids),
            (~s, (~p).ids),
            (s.sample(3, seed=4), p.sample(3, None, 4).ids),
        ]
        asked += [(opened.all.with_ids(p.ids).where("caption IS NOT NULL OR ?", True), p.ids)]
    facets, wrong, start = world.all.facets("subject_tags"), [], threading.Barrier(5)

    def ask(number: int) -> None:
        start.wait()
        for turn in range(len(asked)):
            s, ids = asked[(turn * 3 + number) % len(asked)]
            if (
                s.ids().tolist() != ids
                or s.count() != len(ids)
                or s.page(n=50).rows.column("clip_id").to_pylist() != ids
            ):
                wrong.append(s)
        if opened.all.facets("subject_tags", limit=1000).to_pylist() != facets:
            wrong.append(opened.all)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("is_warm", [False, True])
def test_processes_forked_while_others_ask_answer_alike(tmp_path: Path, is_warm: bool) -> None:
    world = make_world(tmp_path, 9)
    if is_warm:
        world.opened.query.warm()
    s = world.opened.where("aesthetic > ? OR caption IS NULL", 4.0).sort("-motion").limit(9)
    expected, over = s.ids().tolist(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            s.count()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    try:
        children = [context.Process(target=lambda: queue.put(s.ids().tolist())) for _ in range(4)]
        for child in children:
            child.start()
        assert [queue.get(timeout=250) for _ in children] == [expected] * 4
        for child in children:
            child.join(250)
        assert [child.exitcode for child in children] == [0] * 4
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert s.ids().tolist() == expected
