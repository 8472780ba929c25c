"""What is wrong with rows: the views of `sql/quality/` and the arithmetic of `sql/macros.sql` against plain Python."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import releases
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.query import Query
from opens2v_data.sqlfiles import sql_names
from query.faulty import PLACES, Box, Made, area_of, box_of, iou_of, made_of, pixels_of, write_faulty

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # pycocotools with numpy 2


@pytest.fixture(scope="module", params=PLACES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made_of(request.param, request, tmp_path_factory.mktemp(request.param))


def near_copies(made: Made) -> set[Any]:
    rows = made.subjects()
    return {
        (a["clip_id"], a["object_id"], b["object_id"], a["class_name"], b["class_name"])
        for a in rows
        for b in rows
        if a["clip_id"] == b["clip_id"]
        and a["object_id"] < b["object_id"]
        and (iou_of(box_of(a), box_of(b)) or 0) >= 0.8
    }


def repeated_subjects(made: Made) -> set[Any]:
    copies = near_copies(made)
    return {
        (clip_id, object_id, min(a for clip, a, b, *_ in copies if (clip, b) == (clip_id, object_id)))
        for clip_id, _, object_id, *_ in copies
    }


def empty_masks(made: Made) -> set[Any]:
    masks = made.query.catalog.read_masks(range(made.query.catalog.num_rows("clips")))
    frames = {row["clip_id"]: row["ann_frame_idx"] for row in made.rows("clips")}
    return {
        (clip_id, mask.object_id)
        for clip_id, found in masks.items()
        for mask in found
        if mask.frame_idx == frames[clip_id] and not pixels_of(mask).any()
    }


def tiny_subjects(made: Made) -> set[Any]:
    sizes: dict[int, float | None] = {}
    for row in made.rows("clips"):
        width = row["width"] if row["crop_x0"] is None else row["crop_x1"] - row["crop_x0"]
        height = row["height"] if row["crop_y0"] is None else row["crop_y1"] - row["crop_y0"]
        sizes[row["clip_id"]] = None if width is None or height is None else width * height
    found = set()
    for row in made.subjects():
        area, size = area_of(box_of(row)), sizes[row["clip_id"]]
        if area == 0 or (area is not None and size and area / size < 0.001):
            found.add((row["clip_id"], row["object_id"]))
    return found


def alike_pairs(made: Made) -> set[Any]:
    member_of = {row["clip_id"]: row["member_id"] for row in made.rows("locations")}
    found = set()
    for row in made.pairs():
        here, there = member_of.get(row["clip_id"]), member_of.get(row["partner_clip_id"])
        is_same = here is not None and here == there and row["frame_idx"] is not None
        is_same = is_same and row["frame_idx"] == row["partner_frame_idx"]
        similarity = row["image_similarity"]
        if is_same or (similarity is not None and np.float32(similarity) >= np.float32(0.95)):
            found.add((row["pair_id"], is_same))
    return found


def disagreeing_pairs(made: Made) -> set[Any]:
    names = {(row["clip_id"], row["object_id"]): row["class_name"] for row in made.subjects()}
    found = set()
    for row in made.pairs():
        differences = [row["class_name"] != row["partner_class_name"]]
        for side in ("", "partner_"):
            place = (row[f"{side}clip_id"], row[f"{side}object_id"])
            differences.append(None not in place and names.get(place) != row[f"{side}class_name"])
        if any(differences):
            found.add((row["pair_id"], *differences))
    return found


def clips_without_bytes(made: Made) -> set[Any]:
    located = {row["clip_id"] for row in made.rows("locations")}
    return {(row["clip_id"], row["clip_key"]) for row in made.rows("clips") if row["clip_id"] not in located}


STOPS = {"in", "of", "with", "on"}


def captions_without_subject(made: Made) -> set[Any]:
    nouns: dict[int, set[str]] = {}
    for row in made.subjects():
        words = re.findall(r"[^\W_]+", row["class_name"].lower())
        stop = next((at for at, word in enumerate(words) if word in STOPS and at), len(words))
        if words[:stop]:
            nouns.setdefault(row["clip_id"], set()).add(words[:stop][-1])
    found = set()
    for row in made.rows("captions"):
        if row["caption"] is None or row["clip_id"] not in nouns:
            continue
        words = set(re.findall(r"[^\W_]+", row["caption"].lower()))
        forms = {
            form
            for word in words
            for form in (word, word + "s", word + "es", word.removesuffix("s"), word.removesuffix("es"))
        }
        if not nouns[row["clip_id"]] & forms:
            found.add((row["clip_id"], row["caption"]))
    return found


@dataclass(frozen=True)
class View:
    """What to ask of a view, and what Python says."""

    columns: str
    expected: Callable[[Made], set[Any]]


VIEWS = {
    "near_copies": View("clip_id, object_id, other_object_id, class_name, other_class_name", near_copies),
    "repeated_subjects": View("clip_id, object_id, copy_of", repeated_subjects),
    "empty_masks": View("clip_id, object_id", empty_masks),
    "tiny_subjects": View("clip_id, object_id", tiny_subjects),
    "alike_pairs": View("pair_id, is_same_frame", alike_pairs),
    "disagreeing_pairs": View("pair_id, do_names_differ, is_subject_another, is_partner_another", disagreeing_pairs),
    "clips_without_bytes": View("clip_id, clip_key", clips_without_bytes),
    "captions_without_subject": View("clip_id, caption", captions_without_subject),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_the_rows_that_python_finds(made: Made, name: str) -> None:
    view = VIEWS[name]
    found = made.query.ask(f"SELECT {view.columns} FROM {name}")
    rows = [tuple(row.values()) for row in found.to_pylist()]
    assert len(set(rows)) == len(rows)
    assert set(rows) == view.expected(made)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_chooses_clips_and_can_be_cut_to_a_range(made: Made, name: str) -> None:
    rows = made.query.ask(f"SELECT clip_id FROM {name} WHERE clip_id IS NOT NULL").column("clip_id").to_pylist()
    where = f"clip_id IN (SELECT clip_id FROM {name})"
    assert sorted(set(rows)) == [clip_id for ids in made.query.row_ids(where=where) for clip_id in ids.tolist()]
    cut = made.query.ask(f"SELECT clip_id FROM {name} WHERE clip_id >= $lo AND clip_id < $hi", {"lo": 3, "hi": 9})
    assert sorted(cut.column("clip_id").to_pylist()) == sorted(row for row in rows if 3 <= row < 9)


def test_every_view_of_the_folder_is_tested() -> None:
    assert {name.partition("/")[2] for name in sql_names("quality")} == VIEWS.keys()


def test_faulty_releases_have_every_fault(tmp_path: Path) -> None:
    write_faulty(tmp_path / "release", 1)
    releases.make(tmp_path / "release", tmp_path / "catalog")
    faulty = Made(query=Query(Catalog.open(tmp_path / "catalog"), threads=2))
    assert [name for name, view in VIEWS.items() if not view.expected(faulty)] == []


def test_the_real_clips_sixteen_boxes_are_nine_things(real_catalog: Path) -> None:
    query = Query(Catalog.open(real_catalog), threads=2)
    found = query.ask(
        "WITH repeated AS (SELECT object_id FROM repeated_subjects WHERE clip_id = 0) SELECT count(*) AS boxes, "
        "count(*) FILTER (object_id NOT IN (FROM repeated)) AS things FROM subjects WHERE clip_id = 0"
    )
    assert found.to_pylist() == [{"boxes": 16, "things": 9}]


EDGES = st.none() | st.floats(-50, 50, width=32).map(lambda value: round(value, 2))
FOUR = st.tuples(EDGES, EDGES, EDGES, EDGES)


@settings(max_examples=60, deadline=None)
@given(one=FOUR, other=FOUR, size=st.tuples(st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)))
def test_macros_of_boxes_are_pythons(
    any_query: Query, one: Box, other: Box, size: tuple[int | None, int | None]
) -> None:
    values = {f"a{at}": value for at, value in enumerate((*one, *other, *size))}
    args = [f"$a{at}::DOUBLE" for at in range(8)]
    found = any_query.ask(
        f"SELECT box_area({', '.join(args[:4])}) AS area, iou({', '.join(args)}) AS iou, "
        f"area_ratio({', '.join(args[:4])}, $a8::INTEGER, $a9::INTEGER) AS ratio",
        values,
    ).to_pylist()[0]
    area = area_of(one)
    assert found["area"] == area
    assert found["iou"] == pytest.approx(iou_of(one, other), abs=1e-12)
    frame = size[0] * size[1] if None not in size else None  # type: ignore[operator]
    assert found["ratio"] == (None if area is None or not frame else area / frame)


@settings(max_examples=25, deadline=None)
@given(
    start=st.none() | st.integers(0, 500),
    end=st.none() | st.integers(0, 500),
    fps=st.none() | st.sampled_from([0.0, -1.0, 25.0, 29.97]),
)
def test_durations_are_pythons(any_query: Query, start: int | None, end: int | None, fps: float | None) -> None:
    sql = "SELECT duration_seconds($start::INTEGER, $end::INTEGER, $fps::DOUBLE) AS seconds"
    found = any_query.ask(sql, {"start": start, "end": end, "fps": fps}).to_pylist()[0]["seconds"]
    is_known = start is not None and end is not None and fps is not None and fps > 0
    assert found == ((end - start) / fps if is_known else None)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("name", "noun"),
    [
        ("woman in a blue top", "woman"),
        ("Blue TOP", "top"),
        ("ñandú", "ñandú"),
        ("dog's  bowl!", "bowl"),
        ("in", "in"),
        (" -- ", None),
        ("", None),
    ],
)
def test_the_head_noun_is_the_last_word_before_a_preposition(any_query: Query, name: str, noun: str | None) -> None:
    assert any_query.ask("SELECT head_noun($name) AS noun", {"name": name}).to_pylist() == [{"noun": noun}]


@pytest.fixture(scope="module")
def any_query(tmp_path_factory: pytest.TempPathFactory) -> Query:
    root = tmp_path_factory.mktemp("any")
    releases.write_json(root / "release", "total_part1", releases.records(range(2)))
    releases.make(root / "release", root / "catalog")
    return Query(Catalog.open(root / "catalog"), threads=1)


def test_joined_views_have_each_row_once_with_the_columns_of_both_sides(made: Made) -> None:
    subjects, pairs = made.subjects(), made.pairs()
    clips = {row["clip_id"]: row for row in made.rows("clips")}
    captions = {row["clip_id"]: row["caption"] for row in made.rows("captions")}
    triples = made.query.ask("FROM triples ORDER BY clip_id, object_id").to_pylist()
    assert [(row["clip_id"], row["object_id"], row["class_name"]) for row in triples] == [
        (row["clip_id"], row["object_id"], row["class_name"]) for row in subjects
    ]
    for row in triples:
        clip = clips[row["clip_id"]]
        assert (row["clip_key"], row["part"], row["aesthetic"]) == (clip["clip_key"], clip["part"], clip["aesthetic"])
        assert row["caption"] == captions.get(row["clip_id"])
        assert row["box_area"] == area_of(box_of(row))
    of_subject = {(row["clip_id"], row["object_id"]): row for row in subjects}
    sides = made.query.ask("FROM pair_sides ORDER BY pair_id").to_pylist()
    assert [row["pair_id"] for row in sides] == list(range(len(pairs)))
    for row in sides:
        for side in ("", "partner_"):
            clip = clips.get(row[f"{side}clip_id"], {})
            subject = of_subject.get((row[f"{side}clip_id"], row[f"{side}object_id"]), {})
            assert (row[f"{side}clip_key"], row[f"{side}motion"]) == (clip.get("clip_key"), clip.get("motion"))
            assert (row[f"{side}x1"], row[f"{side}gme_score"]) == (subject.get("x1"), subject.get("gme_score"))
