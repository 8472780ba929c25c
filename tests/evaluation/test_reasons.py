"""Why a video has no share of a metric: each reason is told apart, and there is one exactly where there is no share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from opens2v_eval.counting import raw_values
from opens2v_eval.prompts import Prompts, load_prompts
from opens2v_eval.reasons import answers_of, reason_of
from opens2v_eval.scales import METRICS, MetricName, Mode
from opens2v_eval.scorefiles import Scores, read_scores
from opens2v_eval.side_by_side import Model, board_data

REFUSAL = "I'm sorry, I can't rate this video."


@pytest.fixture(scope="module")
def prompts(prompts_folder: Path) -> Prompts:
    return load_prompts(prompts_folder)


@pytest.fixture
def odd(tmp_path: Path) -> Scores:
    files = {
        "aesthetic_score": {"singleface_1": {"aes_score": 9.0}, "singleface_2": {"aes_score": "high"}},
        "facesim": {"singleface_1": {"cur_score": 0.5}},
        "nexusscore": {"singleobj_1": {"nexus_score": 0.0}, "singleobj_2": {"nexus_score": 0.01}},
        "naturalscore_1": {"singleface_1": "4", "singleface_2": REFUSAL},
        "naturalscore_2": {"singleface_1": REFUSAL, "singleface_2": REFUSAL},
    }
    for stem, rows in files.items():
        (tmp_path / f"{stem}.json").write_text(json.dumps(rows))
    (tmp_path / "details").mkdir()
    (tmp_path / "details" / "facesim.jsonl").write_text('{"key": "singleface_3", "reference_has_face": false}\n')
    return read_scores(tmp_path)


@pytest.mark.parametrize(
    ("metric", "key", "mode", "reason"),
    [
        ("aesthetics", "singleface_1", "published", None),
        ("aesthetics", "singleface_2", "published", "not-a-number"),
        ("aesthetics", "singleface_3", "published", "no-score"),
        ("gmescore", "singleface_1", "published", "not-run"),
        ("facesim", "singleobj_1", "published", "not-for"),
        ("facesim", "singleface_3", "published", "no-face"),
        ("facesim", "singleface_1", "corrected", "no-details"),
        ("nexusscore", "singleobj_1", "published", "zero"),
        ("nexusscore", "singleobj_2", "corrected", "no-details"),
        ("nexusscore", "singleface_1", "published", "not-for"),
        ("naturalscore", "singleface_1", "published", None),
        ("naturalscore", "singleface_2", "published", "refusal"),
        ("naturalscore", "singleface_3", "published", "no-score"),
    ],
)
def test_each_reason_is_told_apart(
    odd: Scores, prompts: Prompts, metric: MetricName, key: str, mode: Mode, reason: str | None
) -> None:
    assert reason_of(odd, metric, prompts[key], raw_values(odd, metric, mode), mode=mode) == reason


def test_a_judges_answers_stand_as_they_came(odd: Scores) -> None:
    assert answers_of(odd, "singleface_1") == ["4", REFUSAL]
    assert answers_of(odd, "singleface_3") == []


@pytest.mark.parametrize("mode", ["published", "corrected"])
def test_there_is_a_reason_exactly_where_there_is_no_share(
    prompts: Prompts, model_a: Path, odd: Scores, mode: Mode
) -> None:
    models = {"whole": Model(scores=read_scores(model_a)), "odd": Model(scores=odd)}
    data = board_data(prompts, models, mode=mode, bootstrap=None)
    for one in data["prompts"]:
        for video in one["videos"]:
            without = {metric for metric in METRICS if video["shares"][metric] is None}
            assert set(video["reasons"]) == without
            assert {metric for metric in METRICS if video["values"][metric] is None} <= without
