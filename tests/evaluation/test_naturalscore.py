"""NaturalScore: frames of a video as a judge sees them, three runs, and what is written of its answers."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from PIL import Image

from evaluation.openaiserver import OpenAiServer, Reply
from evaluation.scenes import PictureVideo, write_prompt
from evaluation.tinygme import picture
from evaluation.videos import moving_pictures, write_video
from opens2v_data.errors import MetricError
from opens2v_eval.frames import Video
from opens2v_eval.metrics import create_metric
from opens2v_eval.metrics.naturalscore import QUESTION, NaturalScore, jpeg, long_side_size
from opens2v_eval.prompts import Prompts
from opens2v_eval.running import run
from opens2v_eval.scorefiles import read_scores

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_eval.prompts import Prompt


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    return write_prompt(tmp_path_factory.mktemp("p"), "singleobj_2", ("Images/dog.png", "Dog", picture(30, 30)))


def scorer(server: OpenAiServer, folder: Path, **options: Any) -> NaturalScore:
    metric = NaturalScore(model="judge", base_url=server.base_url, store=folder / "answers.jsonl", **options)
    metric.setup("cpu")
    return metric


def seen(asked: Any) -> list[np.ndarray]:
    """Return the pictures of a request."""
    urls = [part["image_url"]["url"] for part in asked.content if part["type"] == "image_url"]
    return [np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))) for url in urls]


def test_three_runs_show_sixteen_frames_at_whole_steps(tmp_path: Path, prompt: Prompt) -> None:
    path = write_video(tmp_path / "v.mp4", moving_pictures(37, height=64, width=96, step=3))
    with OpenAiServer(Reply(content='{"score": 4}'), Reply(content="3"), Reply(content="Score: 5")) as server:
        found = scorer(server, tmp_path).score(Video(path, key=prompt.key), prompt)
    assert sorted(str(value) for value in found.values.values()) == ["3", "4", "5"]
    assert list(found.values) == ["run_1", "run_2", "run_3"]
    assert found.details["mean"] == 4
    assert found.details["frame_indices"] == list(range(0, 32, 2))
    assert len(server.asked) == 3
    frames = Video(path, key=prompt.key).frames(range(0, 32, 2)).permute(0, 2, 3, 1).numpy()
    for asked in server.asked:
        assert asked.content[-1] == {"type": "text", "text": QUESTION}
        shown = seen(asked)
        assert len(shown) == 16
        for frame, small in zip(frames, shown, strict=True):
            assert small.shape == (341, 512, 3)
            wanted = cv2.resize(frame, (512, 341), interpolation=cv2.INTER_AREA)
            assert np.abs(small.astype(int) - wanted).mean() < 3  # JPEG; red and blue are not swapped


def test_a_rerun_asks_nothing_and_another_question_asks_anew(tmp_path: Path, prompt: Prompt) -> None:
    video = PictureVideo([np.array(picture(40, 60, seed=seed)) for seed in range(3)], key=prompt.key)
    with OpenAiServer() as server:
        first = scorer(server, tmp_path).score(video, prompt)
        assert len(server.asked) == 3
        assert scorer(server, tmp_path).score(video, prompt).values == first.values
        assert len(server.asked) == 3
        (tmp_path / "words.txt").write_text("Is it real?\n")
        scorer(server, tmp_path, prompt_file=str(tmp_path / "words.txt")).score(video, prompt)
        assert len(server.asked) == 6
        assert server.asked[-1].content[-1]["text"] == "Is it real?"
        assert len(seen(server.asked[-1])) == 3  # of a video with three frames


def test_a_refusal_is_written_as_it_came_and_is_no_part_of_the_mean(tmp_path: Path, prompt: Prompt) -> None:
    video = PictureVideo([np.array(picture(40, 60))] * 20, key=prompt.key)
    with OpenAiServer(Reply(refusal="I will not."), Reply(content="2"), Reply(content="4")) as server:
        found = scorer(server, tmp_path).score(video, prompt)
    assert sorted(str(value) for value in found.values.values()) == ["2", "4", "I will not."]
    assert found.details["mean"] == 3
    assert sorted(answer["outcome"] for answer in found.details["answers"]) == ["refusal", "score", "score"]
    with OpenAiServer(Reply(refusal="No.")) as server:
        found = scorer(server, tmp_path / "other").score(video, prompt)
    assert set(found.values.values()) == {"No."} and found.details["mean"] is None


def test_a_judge_that_does_not_answer_fails_the_video_and_a_rerun_asks_the_rest(tmp_path: Path, prompt: Prompt) -> None:
    video = PictureVideo([np.array(picture(40, 60))] * 20, key=prompt.key)
    odd = Reply(status=400, error={"message": "odd"})
    with OpenAiServer(Reply(content="4"), odd, odd, Reply(content="5"), Reply(content="3")) as server:
        metric = scorer(server, tmp_path, max_in_flight=1)
        with pytest.raises(MetricError, match="odd"):
            metric.score(video, prompt)
        assert metric.score(video, prompt).values == {"run_1": "4", "run_2": "5", "run_3": "3"}
        assert len(server.asked) == 5


@pytest.mark.parametrize(
    ("size", "shown"),
    [((832, 480), (512, 295)), ((480, 832), (295, 512)), ((64, 64), (512, 512)), ((4000, 2), (512, 1))],
)
def test_frames_have_a_long_side_of_512(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert long_side_size(*size) == shown
    data = jpeg(np.zeros((size[1], size[0], 3), np.uint8))
    assert Image.open(io.BytesIO(data)).size == shown and data.startswith(b"\xff\xd8")


def test_the_cost_is_estimated_before_anything_is_asked() -> None:
    metric = NaturalScore()
    estimate = metric.estimate([(832, 480, 69), (832, 480, 9)], input_price=2.5, output_price=10)
    assert (estimate.videos, estimate.requests, estimate.images) == (2, 6, 75)
    assert estimate.input_tokens > 75 * 255
    assert estimate.cost == pytest.approx((estimate.input_tokens * 2.5 + estimate.output_tokens * 10) / 1e6)
    assert metric.estimate([(832, 480, 69)], tokens_per_image=100, output_tokens=500).output_tokens == 1500


def test_what_the_answers_depend_on_is_told_without_secrets(monkeypatch: pytest.MonkeyPatch, prompt: Prompt) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    metric = create_metric("naturalscore", base_url="http://me:pass@host/v1")
    assert metric.applies_to(prompt)
    told = metric.settings()
    assert told["model"] == "gpt-4o-2024-11-20" and told["server"] == "http://host/v1" and told["runs"] == 3
    assert "pass" not in str(told) and "sk-secret" not in str(told)
    assert NaturalScore(max_in_flight=9).parallel_videos == 3
    with pytest.raises(MetricError, match=r"setup\(device\) comes before score"):
        metric.score(PictureVideo([], key=prompt.key), prompt)
    with pytest.raises(ValueError, match="one run and one frame or more, not 0 and 16"):
        NaturalScore(runs=0)


def test_words_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match="expected the words of the judge's question at"):
        NaturalScore(prompt_file=str(tmp_path / "absent.txt"))
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(MetricError, match="the file is empty"):
        NaturalScore(prompt_file=str(tmp_path / "empty.txt"))


def test_a_run_asks_about_several_videos_at_once_and_writes_upstreams_files(tmp_path: Path) -> None:
    keys = [f"singleobj_{number}" for number in range(1, 5)]
    made = {key: write_prompt(tmp_path, key, (f"Images/{key}.png", "Dog", picture(30, 30))) for key in keys}
    prompts = Prompts(domain="open", prompts=made, source="here", root=tmp_path)
    videos = {
        key: write_video(tmp_path / f"{key}.mp4", moving_pictures(20, height=64, width=96, seed=seed))
        for seed, key in enumerate(keys)
    }
    with OpenAiServer(waits_for=6) as server:
        options = {
            "model": "judge",
            "base_url": server.base_url,
            "store": str(tmp_path / "a.jsonl"),
            "max_in_flight": 6,
        }
        for counts in ((4, 0), (0, 4)):
            report = run(
                videos, prompts, metrics=["naturalscore"], out=tmp_path / "scores", options={"naturalscore": options}
            )
            assert (report.scored, report.kept, report.failed) == (*counts, ())
        assert server.most_in_flight == 6 and len(server.asked) == 12
    assert [path.name for path in report.files] == [f"naturalscore_{number}.json" for number in (1, 2, 3)]
    assert json.loads(report.files[2].read_text()) == dict.fromkeys(keys, "4")
    assert read_scores(tmp_path / "scores").values["naturalscore"] == dict.fromkeys(keys, 4.0)
