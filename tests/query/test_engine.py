"""Conditions over a catalog against plain Python over the JSON that it was made from."""

from __future__ import annotations

import gc
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.releases import key_of, make, write_full
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import QueryError
from opens2v_data.query import CONFIGS, FETCH_ROWS, Query

Clip = tuple[str, str, dict[str, Any]]
Predicate = Callable[[Clip], bool]


class Made:
    """A catalog, and the records it was made from in its order."""

    def __init__(self, root: Path) -> None:
        parts = write_full(root / "release")
        make(root / "release", root / "catalog")
        self.root = root / "catalog"
        self.clips: list[Clip] = [(part, key, record) for part, tree in parts.items() for key, record in tree.items()]
        self.query = Query(Catalog.open(self.root), threads=2)

    def ids(self, config: Any = "regular", where: str | None = None, **options: Any) -> list[int]:
        return [row_id for ids in self.query.row_ids(config, where, **options) for row_id in ids.tolist()]

    def expected(self, predicate: Predicate) -> list[int]:
        return [clip_id for clip_id, clip in enumerate(self.clips) if predicate(clip)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("query"))


def boxes(clip: Clip) -> list[dict[str, Any]]:
    return clip[2]["annotation"]["ann_frame_data"]["annotations"]


CONDITIONS: dict[str, Predicate] = {
    "aesthetic > 5": lambda clip: np.float32(clip[2]["metadata"]["aesthetic"]) > 5,
    "part = 'total_part10'": lambda clip: clip[0] == "total_part10",
    "num_frames BETWEEN 50 AND 60": lambda clip: 50 <= clip[2]["metadata"]["num_frames"] <= 60,
    "num_subjects = 0": lambda clip: not boxes(clip),
    "has_tag(background_tags, 'sea')": lambda clip: "sea" in clip[2]["word_tags"]["background"],
    "has_tag(background_tags, 'nowhere')": lambda clip: False,
    "has_subject(clip_id, 'woman')": lambda clip: any(box["class_name"] == "woman" for box in boxes(clip)),
    "has_subject(clip_id, 'blue top', min_gme := 0.3)": lambda clip: any(
        box["class_name"] == "blue top" and np.float32(box["gme_score"]) >= 0.3 for box in boxes(clip)
    ),
    "NOT has_subject(clip_id, 'dog') AND tech < 1.5": lambda clip: (
        clip[2]["metadata"]["tech"] < 1.5 and all(box["class_name"] != "dog" for box in boxes(clip))
    ),
    "has_subject(clip_id, 'no such ''thing''')": lambda clip: False,
    "cluster_id = 'src005' OR clip_key LIKE 'src001%'": lambda clip: clip[1].startswith(("src005", "src001")),
    "face_cut_start > cut_start": lambda clip: clip[2]["metadata"]["face_cut"][0] > 0,
    "len(pre_define_tags) = 1": lambda clip: len(clip[2]["word_tags"]["pre_define"]) == 1,
    "path = 'folder1/clip0005.mp4'": lambda clip: clip[2]["metadata"]["path"] == "folder1/clip0005.mp4",
    "clip_id IN (SELECT clip_id FROM subjects WHERE class_name = 'man' AND aes_score > 4)": lambda clip: any(
        box["class_name"] == "man" and np.float32(box["aes_score"]) > 4 for box in boxes(clip)
    ),
    "true": lambda clip: True,
    "NULL": lambda clip: False,
}


@pytest.mark.parametrize("where", CONDITIONS)
def test_a_condition_names_the_clips_that_python_finds(made: Made, where: str) -> None:
    expected = made.expected(CONDITIONS[where])
    assert made.ids(where=where) == expected
    assert made.query.count("regular", where) == len(expected)


@settings(max_examples=40, deadline=None)
@given(
    parts=st.lists(st.sampled_from(sorted(CONDITIONS)), min_size=1, max_size=3),
    joint=st.sampled_from(["AND", "OR"]),
    is_negated=st.booleans(),
    bounds=st.tuples(st.none() | st.integers(-5, 80), st.none() | st.integers(-5, 80), st.none() | st.integers(0, 80)),
)
def test_conditions_put_together_and_cut_name_what_python_finds(
    made: Made, parts: list[str], joint: str, is_negated: bool, bounds: tuple[int | None, int | None, int | None]
) -> None:
    parts = [part for part in parts if part != "NULL"] or ["true"]
    where = f" {joint} ".join(f"({part})" for part in parts)
    lo, hi, limit = bounds
    chosen = {clip_id for part in parts for clip_id in made.expected(CONDITIONS[part])}
    if joint == "AND":
        chosen = set.intersection(*(set(made.expected(CONDITIONS[part])) for part in parts))
    if is_negated:
        where, chosen = f"NOT ({where})", set(range(len(made.clips))) - chosen
    expected = [row for row in sorted(chosen) if (lo is None or row >= lo) and (hi is None or row < hi)]
    assert made.ids(where=where, lo=lo, hi=hi, limit=limit) == expected[:limit]


@pytest.mark.parametrize("where", [None, "", "  \n", "true -- all", "/* all */ true"])
def test_no_condition_names_every_row(made: Made, where: str | None) -> None:
    assert made.ids(where=where) == list(range(len(made.clips)))
    assert made.query.count("regular", where) == len(made.clips)


def test_a_condition_may_end_with_a_comment(made: Made) -> None:
    assert made.ids(where="clip_id < 3 -- the first three", lo=1) == [1, 2]


def test_rows_of_nexus_gpt_are_the_clips_with_views_and_their_twins(made: Made) -> None:
    expected = made.expected(lambda clip: clip[1] in {key_of(n) for n in range(6)})
    assert made.ids("nexus-gpt") == expected
    assert made.ids("nexus-gpt", "clip_id > 2") == [row for row in expected if row > 2]
    assert made.query.count("nexus-gpt") == len(expected)


def test_rows_of_nexus_cross_are_the_pairs_whose_clips_are_both_there(made: Made) -> None:
    known = [n for n in range(39) if n + 1 >= 20]  # clip n of total_part2 with clip n + 1 of total_part10
    ids = made.ids("nexus-cross")
    assert ids == sorted(ids) == known
    expected = [n for n in known if made.clips[n][2]["metadata"]["num_frames"] < 70]
    assert made.ids("nexus-cross", "num_frames < 70 AND partner_part = 'total_part10'") == expected
    assert made.query.count("nexus-cross", "partner_num_frames = num_frames + 1") == len(known)
    assert made.query.count("nexus-cross", "class_name = 'woman' AND image_similarity = 0.875") == len(known)
    assert made.query.count("nexus-cross", "has_subject(partner_clip_id, 'woman')") == sum(
        any(box["class_name"] == "woman" for box in boxes(made.clips[n + 21])) for n in known
    )


def test_ids_come_in_pieces(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opens2v_data.query.conditions.FETCH_ROWS", 16)
    pieces = list(made.query.row_ids())
    assert [len(piece) for piece in pieces] == [16, 16, 16, 16, 6]
    assert all(piece.dtype == np.int64 for piece in pieces)
    assert FETCH_ROWS > 16


@pytest.mark.parametrize("rows", [1, 7, 50, 1000])
@pytest.mark.parametrize("where", [None, "has_subject(clip_id, 'dog')", "false"])
def test_shards_hold_every_row_once_and_none_is_empty(made: Made, where: str | None, rows: int) -> None:
    shards = made.query.shards("regular", where, rows=rows)
    pieces = [made.ids(where=where, lo=lo, hi=hi) for lo, hi in shards]
    assert [row for piece in pieces for row in piece] == made.ids(where=where)
    assert all(pieces)
    assert shards == sorted(shards)
    assert all(hi - lo == rows and lo % rows == 0 for lo, hi in shards)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_columns_that_a_condition_can_use_are_told(made: Made, config: Any) -> None:
    columns = dict(made.query.columns(config))
    assert columns["aesthetic"] == "FLOAT" and columns["tech"] == "DOUBLE"
    assert "row_id" not in columns
    for name in columns:
        assert made.query.count(config, f'"{name}" IS NULL OR true') == made.query.count(config)


BAD = {
    "aesthetic >": "Parser Error",
    "aesthetics > 5": "Binder Error.*aesthetic",
    "has_subject()": "Binder Error",
    "no_such_function(1)": "Catalog Error",
    "clip_id IN (SELECT clip_id FROM nowhere)": "Catalog Error.*nowhere",
    "aesthetic > 'high'": "Conversion Error",
    "CAST(clip_key AS INTEGER) > 0": "Conversion Error",
    "count(*) > 3": "Binder Error",
    "clip_id < 3;": "Parser Error",
    "clip_id < 3 /* no end": "Parser Error",
    ")": "Parser Error",
    "'": "Parser Error",
}


@pytest.mark.parametrize("where", BAD)
@pytest.mark.parametrize("config", CONFIGS)
def test_a_bad_condition_is_refused_with_what_there_is(made: Made, where: str, config: Any) -> None:
    refusal = f"where=.* is no condition that config {config} can answer: {BAD[where]}"
    message = f"(?s){refusal}.*columns: .*clip_key.*helpers: has_subject"
    with pytest.raises(QueryError, match=message):
        made.query.count(config, where)
    with pytest.raises(QueryError, match=message):
        made.ids(config, where)
    with pytest.raises(QueryError, match=message):
        made.query.shards(config, where, rows=10)


@pytest.mark.parametrize(
    "where",
    [
        "regexp_matches(clip_key, '(')",
        "clip_key > (SELECT clip_key FROM clips)",
        "aesthetic > ?",
        "aesthetic > $least",
        "strptime(clip_key, '%Y') > now()",
        "error('no')",
    ],
)
def test_a_condition_that_fails_while_it_runs_is_refused_too(made: Made, where: str) -> None:
    with pytest.raises(QueryError, match="is no condition that config regular can answer"):
        made.query.count("regular", where)


def test_a_second_statement_is_refused(made: Made) -> None:
    with pytest.raises(QueryError, match=r"where='true; DROP.*is several SQL statements, expected one condition"):
        made.query.count("regular", "true; DROP VIEW clips")
    with pytest.raises(QueryError, match=r"where='true\); DROP.*is no condition that config regular can answer"):
        made.query.count("regular", "true); DROP VIEW clips; SELECT (1")
    assert made.query.count() == len(made.clips)


def test_a_condition_cannot_leave_its_brackets(made: Made) -> None:
    with pytest.raises(QueryError, match="is no condition that config regular can answer"):
        made.ids(where="false) OR (true", lo=0, hi=3)


def test_an_unknown_config_is_refused_with_those_there_are(made: Made) -> None:
    config: Any = "irregular"
    with pytest.raises(ValueError, match="config must be one of regular, nexus-cross, nexus-gpt, got 'irregular'"):
        made.query.count(config)


@pytest.mark.parametrize("call", ["limit", "rows"])
def test_a_number_that_makes_no_sense_is_refused_with_the_number(made: Made, call: str) -> None:
    with pytest.raises(ValueError, match=f"{call} must be .*-1|{call} must be .*0"):
        made.ids(limit=-1) if call == "limit" else made.query.shards(rows=0)


def test_threads_share_a_query(made: Made) -> None:
    wheres = sorted(CONDITIONS)
    expected = {where: made.expected(CONDITIONS[where]) for where in wheres}
    wrong: list[str] = []
    start = threading.Barrier(8)

    def ask(number: int) -> None:
        start.wait()
        for turn in range(len(wheres)):
            where = wheres[(turn + number) % len(wheres)]
            if made.ids(where=where) != expected[where] or made.query.fetch("clips", expected[where]).num_rows != len(
                expected[where]
            ):
                wrong.append(where)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_stream_goes_on_while_others_ask(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opens2v_data.query.conditions.FETCH_ROWS", 5)
    found: list[int] = []
    for ids in made.query.row_ids():
        assert made.query.count("regular", "clip_id < 7") == 7
        found += ids.tolist()
    assert found == list(range(len(made.clips)))


def test_a_query_travels_and_asks_again(made: Made) -> None:
    copy = pickle.loads(pickle.dumps(made.query))
    assert repr(copy) == repr(made.query)
    assert copy.count() == len(made.clips)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_count, (made.query, "clip_id < 9")) == 9


def _count(query: Query, where: str) -> int:
    return query.count("regular", where)


def test_a_closed_query_opens_again(made: Made) -> None:
    query = Query(made.query.catalog)
    query.close()
    assert query.count() == len(made.clips)
    query.close()
    assert query.count() == len(made.clips)


def test_a_folder_with_quotes_and_braces_in_its_name_can_be_asked(tmp_path: Path) -> None:
    root = tmp_path / "it's a {root} 100% 'ü'"
    write_full(tmp_path / "release", num_clips=4)
    make(tmp_path / "release", root)
    assert Query(Catalog.open(root)).count("regular", "has_subject(clip_id, 'woman') OR true") == 16


@pytest.mark.parametrize("ids", [[], [3], [0, 5, 69], np.array([1, 2], np.int32)])
def test_rows_are_fetched_for_the_ids_asked_for(made: Made, ids: Any) -> None:
    wanted = [int(row) for row in ids]
    clips = made.query.fetch("clips", ids)
    assert clips.column("clip_id").to_pylist() == wanted
    assert clips.column("clip_key").to_pylist() == [made.clips[row][1] for row in wanted]
    subjects = made.query.fetch("subjects", ids)
    expected = [(row, n) for row in wanted for n in range(1, len(boxes(made.clips[row])) + 1)]
    assert list(zip(*(subjects.column(name).to_pylist() for name in ("clip_id", "object_id")), strict=True)) == expected


def test_a_forked_process_asks_on_its_own(made: Made) -> None:
    expected = made.query.count()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=lambda: queue.put(made.query.count()))
    child.start()
    assert queue.get(timeout=250) == expected
    child.join(250)
    assert child.exitcode == 0


def test_a_forked_process_may_forget_what_its_parent_had_open(made: Made) -> None:
    """As a cache of opened catalogs does, and a collector; to destroy a parent's connection there is a segmentation fault."""
    query = Query(made.query.catalog)
    query.count("regular", "aesthetic > 0")
    child = os.fork()
    if child == 0:
        del query
        gc.collect()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closing_waits_for_a_question_of_another_thread(sample_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opens2v_data.query.engine.CLOSE_SECONDS", 200.0)
    query = Query(Catalog.open(sample_catalog))
    query.ask("SELECT 1 AS one")
    sql = "SELECT count(*) AS n FROM range(3000000) AS a, range(60) AS b WHERE (a.range * b.range) % 7 = 3"
    found = []
    thread = threading.Thread(target=lambda: found.append(query.ask(sql).column("n")[0].as_py()))
    before = time.process_time()
    thread.start()
    while time.process_time() < before + 0.2 and not found:
        time.sleep(0.005)  # until it runs: what is closed before it has begun is refused by DuckDB
    query.close()
    thread.join()
    assert found == [query.ask(sql).column("n")[0].as_py()]
