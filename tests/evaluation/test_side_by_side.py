"""Models side by side: plain values, complete, with models by rank; and the page that shows them."""

from __future__ import annotations

import copy
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from opens2v_eval.bootstrap import Bootstrap
from opens2v_eval.prompts import CATEGORIES, Prompts, load_prompts
from opens2v_eval.scorefiles import read_scores
from opens2v_eval.side_by_side import Model, board_data
from opens2v_eval.side_page import side_page
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


class _Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attributes[name] or "" for found, attributes in self.found if found == tag and name in attributes]


def test_a_page_names_files_where_they_lie_and_shows_every_prompt(
    data: dict[str, Any], prompts: Prompts, tmp_path: Path
) -> None:
    seen = _Collector()
    seen.feed(side_page(data, title="Side by side", folder=tmp_path))
    assert seen.attributes("article", "id") == [
        prompt.key for category in CATEGORIES for prompt in prompts if prompt.category == category
    ]
    images = [tmp_path / unquote(address) for address in seen.attributes("img", "src")]
    assert len(images) == sum(len(prompt.image_paths) for prompt in prompts) and all(path.is_file() for path in images)
    (video,) = seen.attributes("video", "src")
    assert (tmp_path / unquote(video)).read_bytes() == b"a video"
    assert seen.attributes("video", "preload") == ["none"]
    assert all(address.startswith("./") for address in (video, *seen.attributes("img", "src")))


def test_a_page_escapes_names_and_texts_and_says_what_is_not_there(data: dict[str, Any], tmp_path: Path) -> None:
    hostile = '<img src=x onerror="alert(1)">'
    one = copy.deepcopy(data["prompts"][0])
    one["prompt"] = one["references"][0]["label"] = one["videos"][0]["model"] = hostile
    one["references"][0]["path"] = None
    one["videos"][1]["path"] = str(tmp_path / 'a"b?#c.mp4')
    models = [{**data["models"][0], "name": hostile, "missing": ["facesim"]}]
    page = side_page({**data, "prompts": [one], "models": models}, title=hostile, folder=tmp_path)
    seen = _Collector()
    seen.feed(page)
    assert seen.attributes("img", "src") == [] and "script" not in [tag for tag, _ in seen.found]
    assert seen.attributes("video", "src") == ["./a%22b%3F%23c.mp4"]
    assert "no image here" in page and "no video here" in page and "(without FaceSim, counted as 0)" in page
