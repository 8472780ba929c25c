"""The data of a page: plain values, complete, with models by rank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from opens2v_eval.bootstrap import Bootstrap
from opens2v_eval.prompts import CATEGORIES, Prompts, load_prompts
from opens2v_eval.scorefiles import read_scores
from opens2v_eval.side_by_side import Model, board_data
from opens2v_eval.totals import by_prompt, score_table


@pytest.fixture(scope="module")
def prompts(prompts_folder: Path) -> Prompts:
    return load_prompts(prompts_folder)


@pytest.fixture(scope="module")
def data(prompts: Prompts, model_a: Path, model_b: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    videos = tmp_path_factory.mktemp("videos")
    (videos / "singleface_3.mp4").write_bytes(b"a video")
    models = {"a": Model(scores=read_scores(model_a)), "b": Model(scores=read_scores(model_b), videos=videos)}
    return board_data(prompts, models, bootstrap=Bootstrap(num_resamples=200))


def test_it_is_plain_and_has_every_prompt_with_its_references(data: dict[str, Any], prompts: Prompts) -> None:
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert [one["key"] for one in data["prompts"]] == list(prompts.keys) and data["categories"] == list(CATEGORIES)
    one = next(one for one in data["prompts"] if one["key"] == "faceobj_14")
    assert [reference["label"] for reference in one["references"]] == ["Man", "Dog", "Park"]
    assert all(Path(reference["path"]).is_file() for reference in one["references"])
    assert len(data["cautions"]) == 4


def test_models_stand_by_rank_with_the_figures_of_their_tables(
    data: dict[str, Any], model_a: Path, model_b: Path
) -> None:
    assert [model["name"] for model in data["models"]] == ["b", "a"]
    for model, folder in zip(data["models"], (model_b, model_a), strict=True):
        table = score_table(read_scores(folder), bootstrap=None)
        assert model["total"] == table.total and model["missing"] == []
        assert model["shares"] == {line.metric: line.share for line in table.lines}
        assert model["total_interval"][0] < model["total"] < model["total_interval"][1]


def test_each_prompt_has_a_video_per_model_with_its_shares(data: dict[str, Any], model_a: Path) -> None:
    rows = {row.key: row.shares for row in by_prompt(read_scores(model_a))}
    for one in data["prompts"]:
        second, first = one["videos"]
        assert (second["model"], first["model"]) == ("b", "a")
        assert first["path"] is None and first["shares"] == rows[one["key"]]
        assert (second["path"] is not None) == (one["key"] == "singleface_3")
