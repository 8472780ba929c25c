"""Score files: upstream's form is read and written exactly, and what cannot be used is left out and counted."""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.made import write_model
from opens2v_data.errors import ScoresError
from opens2v_eval.details import read_detail, write_detail
from opens2v_eval.prompts import domain_keys
from opens2v_eval.scales import METRICS
from opens2v_eval.scorefiles import Scores, merge_scores, parse_answer, read_scores, write_scores


def put(folder: Path, **files: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        text = value if isinstance(value, str) else json.dumps(value)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return folder


def notes_of(scores: Scores) -> dict[str, tuple[int, tuple[str, ...]]]:
    return {f"{note.file}: {note.problem}": (note.count, note.examples) for note in scores.notes}


def test_upstreams_files_are_read_and_written_back_byte_for_byte(upstream_eval: Path, tmp_path: Path) -> None:
    folder = upstream_eval / "scores"
    scores = read_scores(folder)
    assert scores.notes == () and set(scores.values) == set(METRICS)
    merge_scores([folder], tmp_path)
    names = {path.name for path in folder.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == names
    for name in names:
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_naturalness_is_the_mean_of_the_runs_that_gave_a_number(tmp_path: Path) -> None:
    put(
        tmp_path,
        naturalscore_1={"singleface_1": "4", "singleface_2": 3, "singleface_3": "I'm sorry, I can't rate real people."},
        naturalscore_2={
            "singleface_1": " 3\n",
            "singleface_2": "**Score: 5**",
            "singleface_3": "There are 4 people, so",
        },
        naturalscore_3={"singleface_1": "4.5", "singleface_2": "4/5", "singleface_3": None},
    )
    scores = read_scores(tmp_path)
    assert scores.values["naturalscore"] == {"singleface_1": 11.5 / 3, "singleface_2": 4.0}
    assert scores.num_runs == {"singleface_1": 3, "singleface_2": 3}
    notes = notes_of(scores)
    refused = "naturalscore_1.json: answers are no number (a refusal or prose), left out"
    assert notes[refused] == (1, ("singleface_3: the text \"I'm sorry, I can't rate real people.\"",))
    assert notes["naturalscore_3.json: answers are no number (a refusal or prose), left out"][1] == (
        "singleface_3: null",
    )
    assert notes["naturalscore_2.json: answers are more than a number; it was taken out"][0] == 1


@pytest.mark.parametrize(
    "answer", ["", "four", "I would say 4", "3 or 4", "4 5", True, None, {"score": 4}, [4], "Score: 9"]
)
def test_an_answer_that_is_not_clearly_one_number_is_none(answer: object) -> None:
    assert parse_answer(answer) == (None, False)


@given(st.floats(1, 5))
def test_a_number_is_read_as_it_is(value: float) -> None:
    assert parse_answer(str(value)) == (value, False)
    assert parse_answer(value) == (value, False)
    assert parse_answer(10**400) == (math.inf, False)


def test_entries_that_cannot_be_used_are_left_out_counted_and_named(tmp_path: Path) -> None:
    put(
        tmp_path,
        aesthetic_score='{"singleface_1": {"aes_score": NaN}, "singleface_2": {"aes_score": 5.0},'
        '"singleface_2": {"aes_score": 6}}',
        gmescore={
            "singleface_1": {"gme_score": "0.5"},
            "singleface_2": {"gme": 0.5},
            "singleface_3": 0.5,
            "singleface_4": {"gme_score": True},
            "singleface_5": {"gme_score": None},
            "singleface_6": {"gme_score": 7},
            "my video": {"gme_score": 0.5},
            "multiface_1": {"gme_score": 0.5},
        },
        facesim={"singleface_1": {"cur_score": 10**400}},
        settings={"model": "mine"},
    )
    scores = read_scores(tmp_path, keys=domain_keys("human"))
    assert scores.values == {"aesthetics": {"singleface_2": 6.0}, "facesim": {}, "gmescore": {"singleface_6": 7.0}}
    assert notes_of(scores) == {
        "aesthetic_score.json: entries are not finite, left out": (1, ("singleface_1: nan",)),
        "aesthetic_score.json: keys come more than once; the last entry counts": (1, ("singleface_2",)),
        "facesim.json: entries are not finite, left out": (1, ("singleface_1: inf",)),
        "gmescore.json: entries are not a number, left out": (
            3,
            ("singleface_1: the text '0.5'", "singleface_4: a boolean", "singleface_5: null"),
        ),
        "gmescore.json: entries have no field gme_score, left out": (
            2,
            ("singleface_2: an object", "singleface_3: the number 0.5"),
        ),
        "gmescore.json: keys are none of the benchmark's, left out": (1, ("'my video'",)),
        "gmescore.json: keys are of prompts outside of this domain, left out": (1, ("multiface_1",)),
        "gmescore.json: numbers lie outside of -1 to 1; they count as upstream counts them": (1, ("singleface_6: 7",)),
        "settings.json: file is no file of scores, and was not read": (1, ()),
    }
    assert str(scores.notes[0]) == "aesthetic_score.json: 1 entries are not finite, left out (singleface_1: nan)"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{\n    "singleface_1": {"gme_score": 0.5\n', r"line 3, column 1 \(byte 40 of 40\)"),
        ('{"über": 1,}', r"line 1, column 12 \(byte 12 of 13\)|line 1, column 11 \(byte 11 of 13\)"),
        ("[1, 2]", "an object by keys; found an array"),
        ("[" * 100_000, "it cannot be parsed"),
    ],
)
def test_a_broken_file_is_told_with_line_and_byte(tmp_path: Path, text: str, told: str) -> None:
    put(tmp_path, gmescore=text)
    with pytest.raises(ScoresError, match=told) as caught:
        read_scores(tmp_path)
    assert str(tmp_path / "gmescore.json") in str(caught.value)


def test_bytes_that_are_no_utf_8_are_told(tmp_path: Path) -> None:
    (tmp_path / "gmescore.json").write_bytes(b'{"singleface_1": "\xff"}')
    with pytest.raises(ScoresError, match=r"byte 18 \(0xff\) is none of it"):
        read_scores(tmp_path)


def test_a_folder_without_scores_says_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match=r"expected a folder with score files such as aesthetic_score\.json"):
        read_scores(tmp_path / "absent")
    with pytest.raises(ScoresError, match=r"aesthetic_score\.json, .*nexusscore\.json"):
        read_scores(put(tmp_path, readme={}))


def test_version_1_0_calls_its_motion_by_another_name(tmp_path: Path) -> None:
    put(tmp_path, motionscore={"singleface_1": {"motion_fb": 0.25}})
    assert read_scores(tmp_path).values == {"motion_amplitude": {"singleface_1": 0.25}}
    put(tmp_path, motion_amplitude={"singleface_1": {"motion_fb": 0.5}})
    scores = read_scores(tmp_path)
    assert scores.values == {"motion_amplitude": {"singleface_1": 0.5}}
    assert [note.problem for note in scores.notes] == ["file is not used, because motion_amplitude.json is there"]


def test_numbers_that_json_does_not_have_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected finite numbers"):
        write_scores(tmp_path, "gmescore", {"singleface_1": {"gme_score": math.nan}})
    with pytest.raises(ValueError, match="a run of 1 or more goes with naturalscore"):
        write_scores(tmp_path, "naturalscore", {"singleface_1": "4"})
    with pytest.raises(ValueError, match="a run of 1 or more goes with naturalscore"):
        write_scores(tmp_path, "gmescore", {"singleface_1": {"gme_score": 0.5}}, run=1)
    assert list(tmp_path.iterdir()) == []


finite = st.floats(allow_nan=False, allow_infinity=False, width=64)
some_keys = st.sampled_from(domain_keys("open"))


@given(rows=st.dictionaries(some_keys, finite, max_size=8), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_what_is_written_is_read_back_whatever_the_order(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, float], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("round")
    shuffled = list(rows.items())
    random.Random(seed).shuffle(shuffled)
    path = write_scores(
        folder, "motion_amplitude", {key: {"motion_fb": value, "motion_lk": 1.0} for key, value in shuffled}
    )
    assert read_scores(folder).values["motion_amplitude"] == rows
    text = path.read_bytes()
    write_scores(folder, "motion_amplitude", {key: {"motion_fb": rows[key], "motion_lk": 1.0} for key in sorted(rows)})
    assert path.read_bytes() == text


def test_shards_merge_to_the_whole_in_any_order(model_a: Path, tmp_path: Path) -> None:
    whole = read_scores(model_a)
    rng = random.Random(3)
    owner = {key: rng.randrange(3) for key in domain_keys("open")}
    shards = [tmp_path / f"shard-{index}" for index in range(3)]
    for index, shard in enumerate(shards):
        for stem, rows in whole.rows.items():
            put(shard, **{stem: {key: row for key, row in rows.items() if owner[key] == index}})
        for metric, details in whole.details.items():
            write_detail(shard, metric, [entry for key, entry in details.items() if owner[key] == index])
    for order in ((0, 1, 2), (2, 0, 1)):
        out = tmp_path / f"merged-{order[0]}"
        merged = merge_scores([shards[index] for index in order], out)
        assert (merged.rows, merged.values, merged.details) == (whole.rows, whole.values, whole.details)
        for path in model_a.glob("*.json"):
            assert (out / path.name).read_bytes() == path.read_bytes()


def test_shards_that_disagree_are_not_merged(tmp_path: Path) -> None:
    first = put(tmp_path / "a", gmescore={"singleface_1": {"gme_score": 0.5}})
    second = put(tmp_path / "b", gmescore={"singleface_1": {"gme_score": 0.6}})
    with pytest.raises(ScoresError, match=r"gmescore\.json: singleface_1 is .*0\.5.* in .*a but .*0\.6.* in .*b"):
        merge_scores([first, second], tmp_path / "out")
    shutil.copytree(first, tmp_path / "c")
    assert merge_scores([first, tmp_path / "c"], tmp_path / "out").values == {"gmescore": {"singleface_1": 0.5}}


def test_of_details_the_youngest_line_of_a_key_counts_and_a_failure_has_none(tmp_path: Path) -> None:
    def line(key: str, value: float, *, at: float | None = None, status: str = "done") -> str:
        outcome = {} if at is None else {"outcome": {"status": status, "at": at}}
        return json.dumps({"key": key, "cur": [value], **outcome}) + "\n"

    folder = tmp_path / "details"
    folder.mkdir()
    whole = line("singleface_1", 0.1, at=5) + line("singleface_2", 0.2, at=1) + line("singleface_3", 0.3) + "\n"
    shard = (
        line("singleface_1", 0.9, at=3) + line("singleface_2", 0.8, at=2, status="failed") + line("singleface_3", 0.7)
    )
    (folder / "facesim.jsonl").write_text(whole, encoding="utf-8")
    (folder / "facesim.1-of-2.jsonl").write_text(shard, encoding="utf-8")
    (folder / "facesim.old.jsonl").write_text("not of a run", encoding="utf-8")
    found = read_detail(tmp_path, "facesim")
    assert {key: entry["cur"] for key, entry in found.items()} == {"singleface_1": [0.1], "singleface_3": [0.7]}


def test_half_a_line_of_a_killed_run_is_passed_over_and_one_amid_others_is_not(tmp_path: Path) -> None:
    path = write_detail(tmp_path, "facesim", [{"key": "singleface_1", "cur": [0.5]}])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"key": "singleface_2", "cu')
    assert list(read_detail(tmp_path, "facesim")) == ["singleface_1"]
    path.write_bytes(b'{"key": "singleface_2", "cu\n' + whole)
    with pytest.raises(ScoresError, match=r"facesim\.jsonl, line 1 \(byte 0\): expected a JSON object"):
        read_detail(tmp_path, "facesim")
    path.write_bytes(whole + b'["singleface_2"]\n')
    with pytest.raises(ScoresError, match=r"line 2 \(byte \d+\): expected a JSON object with a text as key"):
        read_detail(tmp_path, "facesim")
    with pytest.raises(ValueError, match="expected a text as key of each entry"):
        write_detail(tmp_path, "facesim", [{"cur": [0.5]}])
    assert read_detail(tmp_path, "gmescore") == {}


def test_a_generated_model_is_whole(tmp_path: Path) -> None:
    scores = read_scores(write_model(tmp_path))
    assert set(scores.values) == set(METRICS) and {note.file for note in scores.notes} <= {"nexusscore.json"}
