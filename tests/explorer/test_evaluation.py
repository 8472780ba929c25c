"""The benchmark's page without a browser: what is read, which prompts are asked for, what the page says, what routes give."""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

import opens2v_data
import opens2v_eval
from explorer.benchmark import HOSTILE, MODELS, PROMPTS, VIDEOS, Benchmark
from explorer.components import data_of
from explorer.pages import html, make_explorer, run, url
from opens2v_data.cli.evaluated import add_model_arguments, evaluation_of, model_of
from opens2v_data.errors import EvaluationError
from opens2v_explorer import runtime, state
from opens2v_explorer.evaluation import urls
from opens2v_explorer.evaluation.asked import ONLY_NAMES, ORDER_NAMES, PARAMS, Asked, Only, Order, chosen
from opens2v_explorer.evaluation.loading import Evaluation, ModelFolders, load_evaluation
from opens2v_explorer.serving import make_app
from opens2v_explorer.states import STATES

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

COMPONENT = "opens2v_evaluation"


@pytest.fixture(scope="module")
def evaluation(benchmark_files: Benchmark) -> Evaluation:
    models = {
        name: ModelFolders(videos=videos, scores=scores)
        for name, videos, scores in zip(MODELS, benchmark_files.videos, benchmark_files.scores, strict=True)
    }
    return load_evaluation(models, prompts=benchmark_files.prompts, check=False, board=benchmark_files.board)


@pytest.fixture
def explorer(explorer_catalog: opens2v_data.OpenS2V, evaluation: Evaluation, tmp_path: Path) -> runtime.Explorer:
    return make_explorer(explorer_catalog, tmp_path, evaluation=evaluation)


@pytest.fixture
def client(explorer: runtime.Explorer) -> TestClient:
    return TestClient(make_app(explorer, pages=False), base_url="http://127.0.0.1:8501")


def shown(query: str = "") -> tuple[AppTest, dict[str, Any]]:
    """Return the page, and what its component is told."""
    test = run("evaluation", query)
    assert not test.exception
    (data,) = data_of(test, COMPONENT)
    return test, data


def keys_of(data: dict[str, Any]) -> list[str]:
    return re.findall(r'data-testid="prompt-item" data-key="(\w+)"', data["list"])


def row_of(data: dict[str, Any], metric: str) -> str:
    return data["detail"].split(f'<tr data-metric="{metric}">')[1].partition("</tr>")[0]


# -- what is read ----------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_evaluation(evaluation: Evaluation, benchmark_files: Benchmark) -> None:
    prompts = opens2v_eval.load_prompts(benchmark_files.prompts, check=False)
    scores = opens2v_eval.read_scores(benchmark_files.scores[1], keys=prompts.keys)
    for mode in ("published", "corrected"):
        table = opens2v_eval.score_table(scores, prompts=prompts, mode=mode, bootstrap=None)
        (model,) = (one for one in evaluation.figures[mode]["models"] if one["name"] == MODELS[1])
        assert model["total"] == table.total
    assert [sorted(found) for found in evaluation.videos] == [sorted(keys) for keys in VIDEOS]
    assert "1 files are of no prompt (holiday.mp4)" in " ".join(evaluation.notes[MODELS[0]])
    assert evaluation.references["multiobject_1"][1] is None


def test_a_model_may_lack_videos_or_scores_and_not_both(benchmark_files: Benchmark) -> None:
    models = {
        "seen": ModelFolders(videos=benchmark_files.videos[0]),
        "told": ModelFolders(scores=benchmark_files.scores[0]),
    }
    made = load_evaluation(models, prompts=benchmark_files.prompts, check=False)
    assert made.scored == {"told"} and made.videos[1] == {}
    with pytest.raises(ValueError, match="got neither"):
        ModelFolders()
    with pytest.raises(ValueError, match="expected one model or more"):
        load_evaluation({}, prompts=benchmark_files.prompts)
    with pytest.raises(EvaluationError, match="expected a folder of videos"):
        load_evaluation({"a": ModelFolders(videos=Path("/nowhere"))}, prompts=benchmark_files.prompts, check=False)


def test_a_model_of_the_command_line_is_a_name_and_two_folders(tmp_path: Path) -> None:
    both = ModelFolders(videos=Path("v"), scores=Path("s"))
    assert model_of("a=v,s") == ("a", both)
    assert model_of("a=v") == ("a", ModelFolders(videos=Path("v")))
    assert model_of("a=,s") == ("a", ModelFolders(scores=Path("s")))
    folder = tmp_path / "of, all"
    folder.mkdir()
    assert model_of(f"a={folder}") == ("a", ModelFolders(videos=folder))
    for text in ("a", "=v", "a=", "a=,"):
        with pytest.raises(ValueError, match=r"expected --eval NAME=VIDEOS\[,SCORES\]"):
            model_of(text)


def test_options_of_models_without_models_and_names_given_twice_are_refused() -> None:
    parser = argparse.ArgumentParser()
    add_model_arguments(parser)
    assert evaluation_of(parser.parse_args([])) is None
    with pytest.raises(ValueError, match="--board goes with --eval"):
        evaluation_of(parser.parse_args(["--board", "board.csv"]))
    with pytest.raises(ValueError, match="two models are called 'a'"):
        evaluation_of(parser.parse_args(["--eval", "a=v", "--eval", "a=w"]))


def test_without_models_nothing_of_the_evaluation_is_imported() -> None:
    code = (
        "import sys, opens2v_explorer.serving, opens2v_explorer.app, opens2v_explorer.pages.evaluation\n"
        "import opens2v_explorer.evaluation.routes, opens2v_data.cli.evaluated\n"
        "print([name for name in sys.modules if name.startswith('opens2v_eval')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=250)
    assert done.stdout.strip() == "[]"


# -- which prompts ---------------------------------------------------------------------------------------------------

MADE = st.builds(
    Asked,
    mode=st.sampled_from(["published", "corrected"]),
    group=st.sampled_from(["", "single-face-to-video", "human-entity-to-video"]),
    domain=st.sampled_from(["", "human", "single"]),
    words=st.sampled_from(["", "man", "video dog", "nothing"]),
    only=st.sampled_from(get_args(Only)),
    metric=st.sampled_from(opens2v_eval.METRICS),
    apart=st.sampled_from([0.0, 5.0, 40.0]),
    order=st.sampled_from(get_args(Order)),
)


@settings(max_examples=25, deadline=None)
@given(asked=MADE)
def test_an_address_gives_back_what_was_asked(evaluation: Evaluation, asked: Asked) -> None:
    written = {name: value for name, value in asked.to_params(evaluation).items() if value is not None}
    assert Asked.read(lambda name: written.get(name, ""), evaluation) == asked


@settings(max_examples=25, deadline=None)
@given(asked=MADE)
def test_prompts_are_those_of_plain_python(evaluation: Evaluation, asked: Asked) -> None:
    expected = set()
    for prompt in evaluation.figures[asked.mode]["prompts"]:
        key, shares = prompt["key"], [video["shares"][asked.metric] for video in prompt["videos"]]
        known = [share for share in shares if share is not None]
        text = f"{prompt['prompt']} {key} {[one['label'] for one in prompt['references']]}".lower()
        lacks = any(video["reasons"].get(asked.metric, "not-for") != "not-for" for video in prompt["videos"])
        if (
            asked.group in ("", opens2v_eval.category(key))
            and (not asked.domain or key in opens2v_eval.domain_keys(asked.domain))  # type: ignore[arg-type]
            and all(word in text for word in asked.words.split())
            and (asked.only != "no-video" or not all(key in found for found in evaluation.videos))
            and (asked.only != "no-score" or lacks)
            and (not asked.apart or (len(known) == 2 and abs(known[0] - known[1]) * 100 >= asked.apart - 0.005))
        ):
            expected.add(key)
    found = chosen(evaluation, asked)
    assert {one.prompt["key"] for one in found} == expected and len(found) == len(expected)
    if asked.order:
        values = [getattr(one, asked.order.lstrip("-")) for one in found]
        known = [value for value in values if value is not None]
        assert values == sorted(known, reverse=asked.order[0] == "-") + [None] * (len(values) - len(known))
    elif not asked.order:
        assert [one.prompt["key"] for one in found] == [key for key in PROMPTS if key in expected]


def test_parameters_are_not_those_of_clips_filters() -> None:
    assert not {*PARAMS, "prompt"} & {*state.FILTER_PARAMS, *state.CARRIED}
    assert set(ONLY_NAMES) == set(get_args(Only)) and set(ORDER_NAMES) == set(get_args(Order))


# -- the page --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("explorer")
def test_a_prompt_stands_with_its_references_and_each_models_video_and_scores() -> None:
    _, data = shown()
    assert keys_of(data) == list(PROMPTS) and data["at"] == 0
    assert re.findall(r'data-testid="model-video"', data["detail"]) == ['data-testid="model-video"'] * 2
    for number in range(2):
        assert f'src="{urls.video(number, "singleface_1")}"' in data["detail"]
    assert unescape(data["detail"]).count(urls.reference("singleface_1", 0)) == 1
    assert 'alt="Reference image 1: Man"' in data["detail"]
    assert re.findall(r'class="best"', row_of(data, "aesthetics")) == ['class="best"']
    assert data_of(run("evaluation", "prompt=multiobject_1"), COMPONENT)[0]["at"] == list(PROMPTS).index(
        "multiobject_1"
    )


@pytest.mark.usefixtures("explorer")
def test_what_is_missing_has_words() -> None:
    _, data = shown()
    for metric, codes in {
        "gmescore": ["not-run"], "nexusscore": ["not-for", "not-for"], "naturalscore": ["refusal"], "aesthetics": []
    }.items():  # fmt: skip
        row = row_of(data, metric)
        assert re.findall(r'data-state="([\w-]+)"', row) == codes
        assert all(STATES[code].title in row for code in codes)
    assert data["detail"].count("I&#x27;m sorry") == 3  # runs of the judge
    _, data = shown("mode=corrected")
    assert 'data-state="no-details"' in row_of(data, "facesim")
    _, data = shown("prompt=multiobject_1")
    assert data["detail"].count('data-testid="no-video"') == 2 and 'data-state="no-reference"' in data["detail"]


@pytest.mark.usefixtures("explorer")
def test_totals_of_both_modes_and_the_leaderboard_stand_at_the_top(evaluation: Evaluation) -> None:
    test, _ = shown()
    text = html(test)
    totals = text.split('data-testid="eval-totals"')[1].partition("</table>")[0]
    for mode in ("published", "corrected"):
        for model in evaluation.figures[mode]["models"]:
            assert f">{100 * model['total']:.2f}</span>" in totals
    assert "without FaceSim, GmeScore" in totals and "0 of 6" in totals and totals.count("3 of 6") == 2
    rows = text.split('data-testid="board-row"')[1:]
    assert len(rows) == 4
    assert "its total is not that of its columns" in rows[0] and HOSTILE not in rows[0]
    assert sum("of this page" in row for row in rows) == 2
    assert "(of this page; without GmeScore, counted as 0; of 5 of 6 prompts)" in text  # the judge refused one
    assert "What the published mode rewards" in text and "no number (a refusal or prose), left out" in text


@pytest.mark.usefixtures("explorer")
def test_text_of_files_stays_text() -> None:
    test, data = shown("prompt=faceobj_1")
    for text in (html(test), data["list"], data["detail"]):
        assert "<img src=x" not in text and "<script" not in text
    assert unescape(data["detail"]).count(HOSTILE) == 3  # text, label, and what readers hear of the image
    assert unescape(html(test)).count(MODELS[1]) >= 3


@pytest.mark.usefixtures("explorer")
def test_links_keep_what_is_asked_and_the_clips_filters() -> None:
    test, data = shown("group=single-face-to-video&order=-apart&metric=facesim&part=total_part1&who=ann")
    assert len(keys_of(data)) == 2 == len(data["hrefs"])
    for key, href in zip(keys_of(data), data["hrefs"], strict=True):
        parts = urlsplit(href)
        assert parts.path == "/evaluation"
        assert parse_qs(parts.query) == {
            "group": ["single-face-to-video"], "order": ["-apart"], "metric": ["facesim"], "part": ["total_part1"],
            "who": ["ann"], "prompt": [key],
        }  # fmt: skip
    assert test.selectbox(key="eval-group").value == "single-face-to-video"
    assert test.selectbox(key="eval-metric").value == "facesim"


@pytest.mark.usefixtures("explorer")
def test_a_widget_writes_to_the_address_and_the_prompt_leaves_it() -> None:
    test, _ = shown("prompt=singleobj_1&who=ann")
    test.selectbox(key="eval-only").set_value("no-video").run()
    test.number_input(key="eval-apart").set_value(5.0).run()
    assert url(test) == {"only": ["no-video"], "apart": ["5"], "who": ["ann"]}
    test.text_input(key="eval-words").set_value("  Dog ").run()
    assert url(test)["words"] == ["Dog"]
    assert keys_of(data_of(test, COMPONENT)[0]) == ["multiobject_1", "faceobj_1"]


@pytest.mark.usefixtures("explorer")
def test_no_prompt_fits_offers_to_ask_for_less() -> None:
    test = run("evaluation", "words=nothing&only=no-video")
    assert not test.exception and data_of(test, COMPONENT) == []
    text = html(test)
    assert 'data-state="no-prompt-fits"' in text and text.count('data-testid="eval-drop"') == 2
    href = unescape(re.findall(r'href="([^"]+)"[^>]*data-testid="eval-drop"', text)[0])
    assert parse_qs(urlsplit(href).query) == {"only": ["no-video"]}


@pytest.mark.usefixtures("explorer")
def test_what_of_the_address_is_not_understood_is_told_and_left_out() -> None:
    test, data = shown("mode=best&group=x&metric=y&apart=nan&order=z&only=w&domain=v&prompt=u")
    assert keys_of(data) == list(PROMPTS) and data["at"] == 0
    assert html(test).count('data-testid="notice"') == 8
    test, data = shown("group=single-face-to-video&prompt=singleobj_1")
    assert data["at"] == -1 and 'data-key="singleobj_1"' in data["detail"]
    assert "singleobj_1 is shown, which is none of them" in html(test)


def test_the_page_is_there_only_with_models(
    explorer_catalog: opens2v_data.OpenS2V, evaluation: Evaluation, tmp_path: Path
) -> None:
    make_explorer(explorer_catalog, tmp_path, evaluation=evaluation)
    assert 'data-testid="nav-evaluation"' in html(run("app"))
    made = make_explorer(explorer_catalog, tmp_path)
    assert 'data-testid="nav-evaluation"' not in html(run("app"))
    assert "Start the explorer with --eval" in html(run("evaluation"))
    client = TestClient(make_app(made, pages=False), base_url="http://127.0.0.1:8501")
    assert client.get(urls.video(0, "singleface_1")).json()["state"] == "nothing-here"


# -- routes ----------------------------------------------------------------------------------------------------------


def test_videos_come_whole_and_by_ranges(client: TestClient, benchmark_files: Benchmark) -> None:
    address = urls.video(1, "singleface_1")
    whole = (benchmark_files.videos[1] / "singleface_1.mp4").read_bytes()
    answer = client.get(address)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, whole, "video/mp4")
    part = client.get(address, headers={"Range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, whole[10:100])
    assert part.headers["content-range"] == f"bytes 10-99/{len(whole)}"
    assert client.get(address, headers={"Range": "bytes=-7"}).content == whole[-7:]
    etag = answer.headers["etag"]
    assert client.get(address, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(address, headers={"Range": "bytes=0-1", "If-Range": '"another"'}).status_code == 200
    beyond = client.get(address, headers={"Range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["x-state"]) == (416, "bad-range")
    head = client.head(address)
    assert (head.status_code, int(head.headers["content-length"])) == (200, len(whole))
    assert client.head(urls.video(1, "singlehuman_1")).headers["x-state"] == "corrupt"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("video/2/singleface_1.mp4", 404, "no-such-model"),
        ("video/-1/singleface_1.mp4", 400, "bad-id"),
        ("video/x/singleface_1.mp4", 400, "bad-id"),
        ("video/0/singleface_9.mp4", 404, "no-such-prompt"),
        ("video/0/holiday.mp4", 404, "no-such-prompt"),
        ("video/0/faceobj_1.mp4", 404, "no-video"),
        ("video/0/..%2Fvideos-1%2Fsingleface_1.mp4", 404, "nothing-here"),
        ("video/0/..%5Cvideos-1%5Csingleface_1.mp4", 404, "no-such-prompt"),
        ("video/0/%2e%2e.mp4", 404, "no-such-prompt"),
        ("video/0/%00.mp4", 404, "no-such-prompt"),
        ("reference/singleface_1/1.webp", 404, "no-reference"),
        ("reference/multiobject_1/1.webp", 404, "no-reference"),
        ("reference/singleface_1/x.webp", 400, "bad-id"),
        ("reference/singleface_1/0.webp?w=x", 400, "bad-id"),
        ("reference/nobody/0.webp", 404, "no-such-prompt"),
        ("reference/singlehuman_1/0.webp", 422, "corrupt"),
    ],
)
def test_what_is_not_there_says_so(client: TestClient, path: str, status: int, code: str) -> None:
    answer = client.get(f"/explorer/evaluation/{path}")
    assert (answer.status_code, answer.json()["state"]) == (status, code)


def test_reference_images_come_small_and_right(client: TestClient) -> None:
    answer = client.get(urls.reference("singleface_2", 0, 160))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    assert pixels.shape == (120, 160, 3)
    assert np.abs(pixels.astype(int) - np.array([25, 120, 230])).max() < 12
    assert client.get(urls.reference("singleface_2", 0, 160)).content == answer.content
    again = client.get(urls.reference("singleface_2", 0, 160), headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_a_file_that_went_says_so(client: TestClient, evaluation: Evaluation, tmp_path: Path) -> None:
    gone = {"singleface_1": tmp_path / "gone.mp4"}
    made = runtime.current()
    made.evaluation = Evaluation(**{**vars(evaluation), "videos": (gone, {})})
    answer = TestClient(make_app(made, pages=False), base_url="http://127.0.0.1:8501").get(
        urls.video(0, "singleface_1")
    )
    assert (answer.status_code, answer.json()["state"]) == (404, "no-video")
    assert "gone.mp4 was there when the explorer was started" in answer.json()["detail"]


def test_strangers_are_refused(client: TestClient) -> None:
    address = urls.video(0, "singleface_1")
    assert client.get(address, headers={"Host": "example.org"}).json()["state"] == "refused"
    assert client.post(address).status_code == 403
    assert client.get(address).headers["cross-origin-resource-policy"] == "same-origin"
