"""What a clip shows, as `sql/category.sql` tells it, against the same rules in plain Python."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.query import Query
from opens2v_data.query.derived import Definition
from opens2v_data.sqlfiles import sql_text

PROMPTS = Path(__file__).parents[3] / "shared" / "upstream_sample" / "eval" / "input_json" / "Open-Domain_Eval.json"

LISTS: dict[str, list[str]] = {
    kind: words.split()
    for kind, words in re.findall(r"\('(\w+)', '([^']*)'\)", sql_text("category").partition("entries AS")[0])
}
KINDS = [*LISTS, "other"]
STOPS = {
    "of", "with", "in", "on", "at", "by", "from", "for", "to", "inside", "under", "over", "near", "behind", "beside", "next",
    "that", "who", "which", "is", "are", "wearing", "holding", "riding", "sitting", "standing", "walking",
}  # fmt: skip
ENTITIES = {"animal", "vehicle", "food", "plant", "object", "other"}


def plurals(word: str) -> set[str]:
    made = {f"{word}s", f"{word}es"}
    for ending, plural in (("y", "ies"), ("fe", "ves"), ("f", "ves"), ("man", "men")):
        if word.endswith(ending):
            made.add(word.removesuffix(ending) + plural)
    return made


EXACT = {word: kind for kind, words in LISTS.items() for word in words}
PLURAL = {
    form: "people" if kind == "human" else kind for word, kind in EXACT.items() for form in plurals(word) - EXACT.keys()
}
KNOWN = PLURAL | EXACT


def kind_of(name: str) -> str:
    """Tell a class's kind as the file's head says it: first piece, last word, longest phrase."""
    words = "".join(letter if letter.isalnum() else " " for letter in name.lower()).split()
    pieces: list[list[str]] = [[]]
    for word in words:
        if word in STOPS and pieces != [[]]:
            pieces.append([])
        else:
            pieces[-1].append(word)
    for piece in pieces:
        for stop in range(len(piece), 0, -1):
            for size in (3, 2, 1):
                if stop >= size and (kind := KNOWN.get("_".join(piece[stop - size : stop]))) is not None:
                    return kind
    return "other"


Box = tuple[float, float, float, float] | None


def differ(boxes: Sequence[Box]) -> bool:
    known = [box for box in boxes if box is not None]
    if not known:
        return False
    x1, y1, x2, y2 = zip(*known, strict=True)
    shared = max(min(x2) - max(x1), 0) * max(min(y2) - max(y1), 0)
    around = max(max(x2) - min(x1), 0) * max(max(y2) - min(y1), 0)
    return shared < 0.7 * around


def category_of(subjects: Sequence[tuple[str, Box]]) -> str:
    """Tell a clip's category from the kinds and boxes of its subjects."""

    def boxes(*kinds: str) -> list[Box]:
        return [box for kind, box in subjects if kind in kinds]

    bodies, faces, clothes = boxes("human", "people"), boxes("face"), boxes("clothing")
    entities = boxes(*ENTITIES)
    has_crowd = bool(boxes("people"))
    if not subjects:
        return "none"
    if bodies or faces:
        if entities:
            return "human-entity"
        are_several = has_crowd or differ(bodies) if bodies else differ(faces)
        return f"{'multi' if are_several else 'single'}-{'face' if faces else 'body'}"
    if entities or clothes:
        are_several = (entities and clothes) or differ(entities) or differ(clothes)
        return "multi-entity" if are_several else "single-entity"
    return "scene" if boxes("scene", "text") else "other"


def kinds_of(kinds: Sequence[str]) -> list[str]:
    return [kind for kind in KINDS if kind in kinds]


@dataclass(frozen=True, kw_only=True)
class World:
    """Tables of one's own, which the definition is asked of without a catalog."""

    connection: duckdb.DuckDBPyConnection
    definition: Definition

    def kinds(self, names: Sequence[str]) -> list[str]:
        self._fill("classes", "class_id INTEGER, name VARCHAR", enumerate(names))
        rows = self.connection.execute(self.definition.kinds).fetchall()
        assert sorted(class_id for class_id, _ in rows) == list(range(len(names)))
        return [kind for _, kind in sorted(rows)]

    def categories(
        self, clips: Sequence[Sequence[tuple[str, Box]]], lo: int, hi: int
    ) -> list[tuple[int, str, list[str]]]:
        self._fill("classes", "class_id INTEGER, name VARCHAR", ((i, f"a {kind}") for i, kind in enumerate(KINDS)))
        self._fill("class_kinds", "class_id INTEGER, kind VARCHAR", enumerate(KINDS[:-1]))  # left out: other
        self._fill("clips", "clip_id INTEGER", ((clip_id,) for clip_id in range(len(clips))))
        self._fill(
            "subjects",
            "clip_id INTEGER, object_id SMALLINT, class_id INTEGER, x1 FLOAT, y1 FLOAT, x2 FLOAT, y2 FLOAT",
            (
                (clip_id, object_id, KINDS.index(kind), *(box or (None,) * 4))
                for clip_id, subjects in enumerate(clips)
                for object_id, (kind, box) in enumerate(subjects, start=1)
            ),
        )
        return self.connection.execute(self.definition.categories, {"lo": lo, "hi": hi}).fetchall()

    def _fill(self, table: str, columns: str, rows: Any) -> None:
        self.connection.execute(f"CREATE OR REPLACE TABLE {table} ({columns})")
        if found := list(rows):
            marks = ", ".join("?" * len(found[0]))
            self.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", found)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with duckdb.connect() as connection:
        for statement in duckdb.extract_statements(sql_text("macros")):
            connection.execute(statement.query)
        yield World(connection=connection, definition=Definition.load())


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENS2V_CACHE", str(tmp_path_factory.getbasetemp() / "categories"))


def test_each_word_stands_in_one_list_and_its_plurals_mean_one_kind() -> None:
    counts = Counter(word for words in LISTS.values() for word in words)
    assert [word for word, count in counts.items() if count > 1] == []
    claims: dict[str, set[str]] = {}
    for word, kind in EXACT.items():
        for form in plurals(word) - EXACT.keys():
            claims.setdefault(form, set()).add("people" if kind == "human" else kind)
    assert {form: kinds for form, kinds in claims.items() if len(kinds) > 1} == {}
    assert not STOPS & KNOWN.keys()
    assert all(word == word.lower() and word.count("_") <= 2 for word in EXACT)


EXAMPLES = {
    "woman": "human",
    "Two women": "people",
    "a red sports car on the road": "vehicle",
    "man in a hat": "human",
    "person riding a horse": "human",
    "group of people": "people",
    "pair of glasses": "clothing",
    "cup of tea": "object",
    "hot dog": "food",
    "hot air balloon": "vehicle",
    "red balloon": "object",
    "human head": "face",
    "a person's face": "face",
    "T-shirt": "clothing",
    "teddy bear": "object",
    "polar bear": "animal",
    "skies": "scene",
    "cubes": "object",
    "policemen": "people",
    "autumn leaves": "plant",
    "grassy area": "scene",
    "zorb": "other",
    "": "other",
    "of": "other",
    "Zürich": "other",
    "'; DROP TABLE classes; --": "object",
}


def test_examples_have_the_kinds_that_one_expects(world: World) -> None:
    assert dict(zip(EXAMPLES, world.kinds(list(EXAMPLES)), strict=True)) == EXAMPLES
    assert {name: kind_of(name) for name in EXAMPLES} == EXAMPLES


SPELT = sorted(word.replace("_", " ") for word in KNOWN)
NAMES = st.lists(
    st.sampled_from(SPELT) | st.sampled_from(["zorb", "red", "3", "ñandú", "woman's", *sorted(STOPS)]), max_size=6
).flatmap(lambda words: st.sampled_from([" ", "-", ", ", "  ", "_", "%"]).map(lambda joint: joint.join(words)))


@settings(max_examples=15, deadline=None)
@given(names=st.lists(NAMES | NAMES.map(str.upper) | NAMES.map(str.title), min_size=1, max_size=60))
def test_kinds_follow_the_rule(world: World, names: list[str]) -> None:
    assert world.kinds(names) == [kind_of(name) for name in names]


EDGES = st.sampled_from([0, 1, 10, 11, 12, 40, 100])
BOXES = st.none() | st.tuples(EDGES, EDGES, EDGES, EDGES)
CLIPS = st.lists(st.lists(st.tuples(st.sampled_from(KINDS), BOXES), max_size=4), min_size=1, max_size=12)


@settings(max_examples=25, deadline=None)
@given(clips=CLIPS, cuts=st.sets(st.integers(0, 14), max_size=3))
def test_categories_follow_the_rule_range_by_range(world: World, clips: list[Any], cuts: set[int]) -> None:
    edges = sorted({0, len(clips), *(cut for cut in cuts if cut < len(clips))})
    found = [row for lo, hi in pairwise(edges) for row in world.categories(clips, lo, hi)]
    assert found == [
        (clip_id, category_of(subjects), kinds_of([kind for kind, _ in subjects]))
        for clip_id, subjects in enumerate(clips)
    ]


def test_near_copies_are_one_thing_and_others_several(world: World) -> None:
    clips: list[list[tuple[str, Box]]] = [
        [("human", (276, 75, 922, 717)), ("human", (276, 74, 921, 717)), ("human", (280, 75, 916, 716))],
        [("human", (276, 75, 922, 717)), ("human", (988, 44, 1278, 717))],
        [("human", (0, 0, 100, 300)), ("face", (30, 0, 60, 40)), ("face", (30, 1, 61, 40))],
        [("people", (0, 0, 100, 300))],
        [("human", (0, 0, 100, 300)), ("clothing", (0, 100, 100, 200)), ("scene", (0, 0, 640, 360))],
        [("human", (0, 0, 100, 300)), ("animal", (200, 0, 300, 300))],
        [("animal", (0, 0, 100, 300)), ("other", (1, 1, 100, 300))],
        [("clothing", None), ("body", None)],
        [("body", (0, 0, 1, 1))],
        [("text", None)],
        [],
    ]
    assert [category for _, category, _ in world.categories(clips, 0, len(clips))] == [
        "single-body", "multi-body", "single-face", "multi-body", "single-body", "human-entity", "single-entity",
        "single-entity", "other", "scene", "none",
    ]  # fmt: skip


@pytest.mark.parametrize("fixture", ["sample_catalog", "real_catalog"])
def test_a_catalogs_clips_have_the_category_that_its_rows_give(fixture: str, request: pytest.FixtureRequest) -> None:
    query = Query(Catalog.open(request.getfixturevalue(fixture)), threads=2)
    kinds = {
        row["name"]: row["kind"] for row in query.ask("FROM classes JOIN class_kinds USING (class_id)").to_pylist()
    }
    assert kinds == {name: kind_of(name) for name in kinds}
    subjects = query.ask("SELECT clip_id, class_name, x1, y1, x2, y2 FROM subjects").to_pylist()
    of_clip: dict[int, list[tuple[str, Box]]] = {}
    for row in subjects:
        box = None if row["x1"] is None else (row["x1"], row["y1"], row["x2"], row["y2"])
        of_clip.setdefault(row["clip_id"], []).append((kinds[row["class_name"]], box))
    found = query.ask("SELECT clip_id, category, kinds FROM clip_categories ORDER BY clip_id").to_pylist()
    assert [row["clip_id"] for row in found] == list(range(query.catalog.num_rows("clips")))
    for row in found:
        own = of_clip.get(row["clip_id"], [])
        assert row["category"] == category_of(own)
        assert row["kinds"] == kinds_of([kind for kind, _ in own])
    assert query.count("regular", "category = 'human-entity'") == sum(
        row["category"] == "human-entity" for row in found
    )


def test_the_real_clip_shows_several_people_outdoors(real_catalog: Path) -> None:
    found = Query(Catalog.open(real_catalog)).ask("SELECT category, kinds FROM clip_categories").to_pylist()
    assert found == [{"category": "multi-body", "kinds": ["human", "clothing", "scene"]}] * 3


CATEGORY_OF_PREFIX = {
    "singleface": "single-face", "singlehuman": "single-body", "singleobj": "single-entity", "multiface": "multi-face",
    "multihuman": "multi-body", "multiobject": "multi-entity", "faceobj": "human-entity", "humanobj": "human-entity",
}  # fmt: skip
PLACE_OF_FOLDER = {
    **dict.fromkeys(("human", "crop_man", "crop_woman", "man", "woman"), "person"),
    **dict.fromkeys(("environment", "scene"), "place"),
}
PLACE_OF_KIND = {"human": "person", "people": "person", "face": "person", "scene": "place", "text": "place"}


@pytest.fixture(scope="module")
def prompts() -> dict[str, dict[str, Any]]:
    if not PROMPTS.is_file():
        pytest.skip("the benchmark's prompts (../shared/upstream_sample/eval) are not on this machine")
    return json.loads(PROMPTS.read_text(encoding="utf-8"))


def test_the_benchmarks_labels_have_the_kind_of_their_pictures_folder(
    world: World, prompts: dict[str, dict[str, Any]]
) -> None:
    pictures = [
        (label, PLACE_OF_FOLDER.get(path.split("/")[2], "thing"))
        for prompt in prompts.values()
        for path, label in zip(prompt["img_paths"], prompt["class_label"], strict=True)
    ]
    kinds = world.kinds([label for label, _ in pictures])
    wrong = {
        label for (label, place), kind in zip(pictures, kinds, strict=True) if PLACE_OF_KIND.get(kind, "thing") != place
    }
    assert len(pictures) == 320 and wrong == {"Person"}
    assert {label for (label, _), kind in zip(pictures, kinds, strict=True) if kind == "other"} == {"Chiken"}


def test_how_many_of_the_benchmarks_prompts_get_their_category(
    world: World, prompts: dict[str, dict[str, Any]]
) -> None:
    """The numbers that `sql/category.sql` states: labels side by side, as subjects of a clip."""
    labels = [prompt["class_label"] for prompt in prompts.values()]
    names = sorted({label for some in labels for label in some})
    kind_of_label = dict(zip(names, world.kinds(names), strict=True))
    clips = [
        [(kind_of_label[label], (100.0 * at, 0.0, 100.0 * at + 50, 50.0)) for at, label in enumerate(some)]
        for some in labels
    ]
    told = [category for _, category, _ in world.categories(clips, 0, len(clips))]
    meant = [CATEGORY_OF_PREFIX[key.partition("_")[0]] for key in prompts]
    pairs = list(zip(meant, told, strict=True))
    assert sum(a == b for a, b in pairs) == 128
    assert sum(a.replace("face", "body") == b.replace("face", "body") for a, b in pairs) == 173
    assert Counter(pair for pair in pairs if pair[0] != pair[1]) == {
        ("single-face", "single-body"): 30,
        ("multi-face", "multi-body"): 15,
        ("human-entity", "single-body"): 6,
        ("multi-entity", "human-entity"): 1,
    }


def test_numbers_of_clips_are_those_of_their_largest_subject_and_their_nearest_pair(sample_catalog: Path) -> None:
    query = Query(Catalog.open(sample_catalog))
    areas: dict[int, float] = {}
    for row in query.ask("SELECT clip_id, area_ratio FROM sized_subjects WHERE area_ratio IS NOT NULL").to_pylist():
        areas[row["clip_id"]] = max(areas.get(row["clip_id"], 0.0), row["area_ratio"])
    nearest: dict[int, float] = {}
    for row in query.ask("SELECT * FROM pair_links WHERE image_similarity IS NOT NULL").to_pylist():
        for side in (row["clip_id"], row["partner_clip_id"]):
            nearest[side] = max(nearest.get(side, -1.0), row["image_similarity"])
    found = query.ask("SELECT clip_id, subject_area, pair_similarity FROM clips ORDER BY clip_id").to_pylist()
    assert len(found) == query.count()
    for row in found:
        assert row["subject_area"] == areas.get(row["clip_id"])
        assert row["pair_similarity"] == nearest.get(row["clip_id"])
    assert areas and nearest and len(nearest) < len(found)
