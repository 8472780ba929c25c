"""The questions of `sql/questions/`: headers that are read, values that are bound, answers that plain Python gives too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.query.questions import PARAMETER_TYPES, Parameter, Question, parse_question, question, questions
from opens2v_data.sqlfiles import sql_names
from query.faulty import PLACES, Made, made_of

NEEDED: dict[str, dict[str, Any]] = {
    "clips-of-class": {"class": "woman"},
    "clips-of-video": {"cluster": "src004"},
    "find-classes": {"text": "Wo"},
    "pairs-of-clip": {"clip": 1},
    "subjects-of-clip": {"clip": 1},
}
"""What must be given with some questions."""

ARROW = {
    "VARCHAR": pa.string(), "BOOLEAN": pa.bool_(), "SMALLINT": pa.int16(), "INTEGER": pa.int32(), "BIGINT": pa.int64(),
    "FLOAT": pa.float32(), "DOUBLE": pa.float64(),
}  # fmt: skip


@pytest.fixture(scope="module", params=PLACES)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made_of(request.param, request, tmp_path_factory.mktemp(request.param))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENS2V_CACHE", str(tmp_path_factory.getbasetemp() / "categories"))


def answer(made: Made, name: str, **values: Any) -> list[dict[str, Any]]:
    one = question(name)
    return made.query.ask(one.text, one.bind(values)).to_pylist()


def arrow_type(name: str) -> pa.DataType:
    return pa.list_(ARROW[name.removesuffix("[]")]) if name.endswith("[]") else ARROW[name]


@pytest.mark.parametrize("name", [one.name for one in questions()])
def test_a_question_gives_the_columns_that_its_header_says(made: Made, name: str) -> None:
    one = question(name)
    table = made.query.ask(one.text, one.bind(NEEDED.get(name)))
    assert table.column_names == [column.name for column in one.columns]
    for column, field in zip(one.columns, table.schema, strict=True):
        is_list = pa.types.is_list(field.type)
        found = pa.list_(field.type.value_type) if is_list else field.type
        assert found == arrow_type(column.type), column.name


@pytest.mark.parametrize("one", questions(), ids=lambda one: one.name)
def test_a_header_says_what_its_select_takes(one: Question) -> None:
    text = re.sub(r"'[^']*'|--[^\n]*", "", one.text)
    names = [parameter.name for parameter in one.parameters]
    assert set(re.findall(r"\$(\w+)", text)) == set(names)
    assert len(set(names)) == len(names)
    assert len({column.name for column in one.columns}) == len(one.columns) > 0
    assert one.title.endswith(".") and one.about.startswith(one.title)
    assert all(entry.meaning for entry in (*one.parameters, *one.columns))
    assert {parameter.name for parameter in one.parameters if parameter.is_required} == set(NEEDED.get(one.name, ()))


def test_there_is_a_question_per_file() -> None:
    assert [f"questions/{one.name}" for one in questions()] == list(sql_names("questions"))
    assert question("parts") in questions()


def test_classes_and_parts_are_counted(made: Made) -> None:
    subjects, clips = made.subjects(), made.rows("clips")
    located = {row["clip_id"] for row in made.rows("locations")}
    by_class = Counter(row["class_name"] for row in subjects)
    by_clip = Counter(name for _, name in {(row["clip_id"], row["class_name"]) for row in subjects})
    found = answer(made, "top-classes", most=10**6)
    assert {row["class_name"]: (row["num_subjects"], row["num_clips"]) for row in found} == {
        name: (count, by_clip[name]) for name, count in by_class.items()
    }
    assert [row["num_subjects"] for row in found] == sorted(by_class.values(), reverse=True)
    assert answer(made, "top-classes", most=2) == found[:2]
    for row in answer(made, "parts"):
        own = [clip for clip in clips if clip["part"] == row["part"]]
        assert row["num_clips"] == len(own)
        assert row["num_clips_with_video"] == sum(clip["clip_id"] in located for clip in own)
        assert row["num_source_videos"] == len({clip["cluster_id"] for clip in own})
        assert row["num_subjects"] == sum(clip["num_subjects"] for clip in own)
        assert row["num_masks"] == sum(clip["num_masks"] for clip in own)
        assert row["aesthetic"] == pytest.approx(mean(clip["aesthetic"] for clip in own))


def mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def test_clips_of_a_class_come_with_their_best_subject_first(made: Made) -> None:
    subjects = made.subjects()
    for name in {row["class_name"] for row in subjects} | {"'; DROP VIEW clips; --", "no such class"}:
        for min_gme in (None, 0.3):
            best: dict[int, tuple[float, int]] = {}
            for row in subjects:
                score = row["gme_score"]
                if row["class_name"] == name and (min_gme is None or (score is not None and score >= min_gme)):
                    rank = (-2.0 if score is None else score, -row["object_id"])
                    best[row["clip_id"]] = max(best.get(row["clip_id"], rank), rank)
            found = answer(made, "clips-of-class", **{"class": name}, min_gme=min_gme, most=1000)
            assert [(row["clip_id"], row["object_id"]) for row in found] == [
                (clip_id, -rank[1]) for clip_id, rank in sorted(best.items(), key=lambda item: (-item[1][0], item[0]))
            ]


def test_class_names_are_found_by_any_text(made: Made) -> None:
    names = [row["name"] for row in made.rows("classes")]
    for text in ("a", "W", "%", "_", "'", "\\", "100% wool", ""):
        expected = [name for name in names if text.lower() in name.lower()]
        expected.sort(key=lambda name: not name.lower().startswith(text.lower()))
        assert [row["class_name"] for row in answer(made, "find-classes", text=text, most=10**6)] == expected


def test_scores_have_their_quantiles(made: Made) -> None:
    clips, subjects = made.rows("clips"), made.rows("subjects")
    found = {row["score"]: row for row in answer(made, "scores")}
    for name, row in found.items():
        rows = subjects if name in ("gme_score", "aes_score") else clips
        values = [one[name] for one in rows if one[name] is not None]
        assert (row["num_known"], row["num_missing"]) == (len(values), len(rows) - len(values))
        expected = np.quantile(values, [0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1]) if values else [None] * 9
        quantiles = [row[key] for key in ("lowest", "q01", "q10", "q25", "q50", "q75", "q90", "q99", "highest")]
        assert quantiles == [None if value is None else pytest.approx(value) for value in expected]
    assert len(found) == 7


def test_categories_and_kinds_add_up_to_all_clips(made: Made) -> None:
    clips = made.query.ask("SELECT clip_id, category, aesthetic FROM clips").to_pylist()
    found = answer(made, "categories")
    assert {row["category"]: row["num_clips"] for row in found} == Counter(row["category"] for row in clips)
    assert sum(row["share"] for row in found) == pytest.approx(1)
    for row in found:
        own = [clip["aesthetic"] for clip in clips if clip["category"] == row["category"]]
        assert row["aesthetic"] == pytest.approx(mean(own))
    assert sum(row["num_subjects"] for row in answer(made, "kinds")) == made.query.catalog.num_rows("subjects")


def test_histograms_count_every_row_once(made: Made) -> None:
    clips = made.query.ask("SELECT span_start, span_end, fps, crop_width, crop_height FROM clips").to_pylist()
    lengths = [
        None if row["span_end"] is None or not row["fps"] else (row["span_end"] - row["span_start"]) / row["fps"]
        for row in clips
    ]
    found = answer(made, "durations", step=0.5, most=2)
    assert {row["seconds"]: row["num_clips"] for row in found} == Counter(
        None if value is None else min(value, 2.0) // 0.5 * 0.5 for value in lengths
    )
    sizes = Counter((row["crop_width"], row["crop_height"]) for row in clips)
    assert {(row["crop_width"], row["crop_height"]): row["num_clips"] for row in answer(made, "frame-sizes")} == sizes
    links = [row for row in made.pairs() if row["clip_id"] is not None and row["partner_clip_id"] is not None]
    bins = answer(made, "pair-similarity", step=0.1)
    assert sum(row["num_pairs"] for row in bins) == len(links)
    assert sum(row["num_same_class"] for row in bins) == sum(
        row["class_id"] == row["partner_class_id"] for row in links
    )


def test_pairs_and_subjects_of_a_clip_are_its_own(made: Made) -> None:
    pairs, subjects = made.pairs(), made.rows("subjects")
    for clip_id in range(0, made.query.catalog.num_rows("clips"), 5):
        found = answer(made, "pairs-of-clip", clip=clip_id, most=10**6)
        assert {row["pair_id"] for row in found} == {
            row["pair_id"] for row in pairs if clip_id in (row["clip_id"], row["partner_clip_id"])
        }
        own = answer(made, "subjects-of-clip", clip=str(clip_id))
        assert [row["object_id"] for row in own] == [row["object_id"] for row in subjects if row["clip_id"] == clip_id]


def test_a_page_of_pairs_has_what_the_view_has(made: Made) -> None:
    for lo, hi in ((0, 10**6), (2, 7), (5, 5)):
        found = answer(made, "pair-sides", lo=lo, hi=hi)
        columns = ", ".join(name for name in found[0] if "subject_class_name" not in name) if found else "pair_id"
        sql = f"SELECT {columns} FROM pair_sides WHERE pair_id >= $lo AND pair_id < $hi ORDER BY pair_id"
        expected = made.query.ask(sql, {"lo": lo, "hi": hi}).to_pylist()
        assert [{name: row[name] for name in columns.split(", ")} for row in found] == expected
    names = {(row["clip_id"], row["object_id"]): row["class_name"] for row in made.subjects()}
    for row in answer(made, "pair-sides", hi=10**6):
        for side in ("", "partner_"):
            place = (row[f"{side}clip_id"], row[f"{side}object_id"])
            assert row[f"{side}subject_class_name"] == names.get(place)


def test_duplicates_quirks_and_archives_are_counted(made: Made) -> None:
    clips = made.rows("clips")
    by_key: dict[str, list[tuple[str, int]]] = {}
    for row in clips:
        by_key.setdefault(row["clip_key"], []).append((row["part"], row["clip_id"]))
    expected = {key: sorted(places) for key, places in by_key.items() if len(places) > 1}
    found = answer(made, "duplicates", most=10**6)
    assert {row["clip_key"]: sorted(zip(row["parts"], row["clip_ids"], strict=True)) for row in found} == expected
    quirks = Counter(quirk for row in clips for quirk in set(row["quirks"]))
    assert {row["quirk"]: row["num_clips"] for row in answer(made, "quirks")} == quirks
    members, used = made.rows("members"), Counter(row["member_id"] for row in made.rows("locations"))
    for row in answer(made, "archives"):
        own = [member for member in members if member["part"] == row["part"]]
        assert (row["num_files"], row["size_bytes"]) == (len(own), sum(member["size_bytes"] for member in own))
        assert row["num_clips"] == sum(used[member["member_id"]] for member in own)
        assert row["num_unused"] == sum(member["member_id"] not in used for member in own)


def test_quality_counts_the_rows_of_each_view(made: Made) -> None:
    for row in answer(made, "quality"):
        rows = made.query.ask(f"SELECT clip_id FROM {row['fault']} WHERE clip_id IS NOT NULL").to_pylist()
        assert (row["num_rows"], row["num_clips"]) == (len(rows), len({one["clip_id"] for one in rows}))
    assert all(row["num_rows"] == 0 for row in answer(made, "quality", lo=5, hi=5))


HEADER = """-- What it is. More of it,
-- on two lines.
-- Parameters:
--   text VARCHAR              to look for
--   most BIGINT 5             at most,
--                             in rows
--   share DOUBLE NULL         null: all
--   word VARCHAR 'two words'  quoted
-- Columns:
--   a INTEGER[]   some
-- A note.
SELECT 1 -- kept
"""


def test_a_header_is_read() -> None:
    one = parse_question("x", HEADER)
    assert (one.title, one.about) == ("What it is.", "What it is. More of it, on two lines.")
    assert [(p.name, p.type, p.default, p.is_required, p.meaning) for p in one.parameters] == [
        ("text", "VARCHAR", None, True, "to look for"),
        ("most", "BIGINT", 5, False, "at most, in rows"),
        ("share", "DOUBLE", None, False, "null: all"),
        ("word", "VARCHAR", "two words", False, "quoted"),
    ]
    assert [(column.name, column.type, column.meaning) for column in one.columns] == [("a", "INTEGER[]", "some")]
    assert one.text == "SELECT 1 -- kept"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-- Columns:\n", "", "expected a title, `-- Parameters:` and `-- Columns:` at the head of question x"),
        ("VARCHAR              to", "TEXT              to", "expected one of VARCHAR, .* as type of parameter text"),
        ("BIGINT 5 ", "BIGINT five ", "expected a default of type BIGINT for parameter most .* found five"),
        ("--   a INTEGER[]   some", "--   a some", "in line 9 of question x, found '--   a some'"),
    ],
)
def test_a_bad_header_is_told(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_question("x", HEADER.replace(old, new).replace("--                             in rows\n", ""))


def test_values_are_bound_by_type() -> None:
    one = parse_question("x", HEADER)
    defaults = {"most": 5, "share": None, "word": "two words"}
    assert one.bind({"text": "a"}) == {"text": "a"} | defaults
    assert one.bind({"text": "", "most": "7", "share": "0.5"}) == defaults | {"text": "", "most": 7, "share": 0.5}
    assert question("parts").bind() == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, r"expected text \(to look for\) for question x, got none; give it as text=…"),
        ({"text": "a", "mots": 1}, "expected a parameter of question x, got 'mots'; known: most"),
        ({"text": 3}, r"expected a value of type VARCHAR for parameter text \(to look for\), got 3"),
        ({"text": None}, "expected a value of type VARCHAR for parameter text .* got none"),
        ({"text": "a", "most": "many"}, "expected a value of type BIGINT for parameter most .* got 'many'"),
        ({"text": "a", "most": 1.5}, "got 1.5"),
        ({"text": "a", "most": True}, "got True"),
        ({"text": "a", "most": 2**63}, "got 9223372036854775808"),
        ({"text": "a", "share": "nan"}, "got 'nan'"),
        ({"text": "a", "share": [1]}, r"got \[1\]"),
    ],
)
def test_a_value_that_does_not_fit_is_told(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_question("x", HEADER).bind(values)


def test_an_unknown_question_is_told_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"expected the name of a question, got 'durration'; nearest: durations"):
        question("durration")
    with pytest.raises(ValueError, match="expected a parameter of question parts, got 'x'; it has none"):
        question("parts").bind({"x": 1})


PYTHON: dict[str, Callable[[Any], bool]] = {
    "VARCHAR": lambda value: isinstance(value, str),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "INTEGER": lambda value: type(value) is int and -(2**31) <= value < 2**31,
    "BIGINT": lambda value: type(value) is int and -(2**63) <= value < 2**63,
    "DOUBLE": lambda value: type(value) is float and np.isfinite(value),
}


@settings(max_examples=200, deadline=None)
@given(
    kind=st.sampled_from(PARAMETER_TYPES),
    value=st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=2),
)
def test_any_value_is_converted_or_told(kind: Any, value: object) -> None:
    parameter = Parameter(name="p", type=kind, default=None, is_required=True, meaning="it")
    try:
        converted = parameter.convert(value)
    except ValueError as error:
        assert str(error).startswith(f"expected a value of type {kind} for parameter p (it), got ")  # noqa: PT017
    else:
        assert PYTHON[kind](converted)


@settings(max_examples=25, deadline=None)
@given(text=st.text(max_size=12))
def test_text_of_any_kind_is_bound_and_never_read_as_sql(any_made: Made, text: str) -> None:
    assert answer(any_made, "clips-of-video", cluster=text) == []
    names = {row["class_name"] for row in answer(any_made, "find-classes", text=text, most=1000)}
    # Lower case of some letters beyond ASCII differs between DuckDB and Python.
    assert not text.isascii() or all(text.lower() in name.lower() for name in names)


@pytest.fixture(scope="module")
def any_made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return made_of("faulty-4", request, Path(tmp_path_factory.mktemp("any")))
