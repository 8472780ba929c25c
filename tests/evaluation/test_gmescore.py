"""GmeScore: the mean cosine of a prompt and 32 frames of a real video, by a GME of random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from evaluation.scenes import write_prompt
from evaluation.tinygme import picture, plain_embedding, write_tiny_gme
from evaluation.videos import moving_pictures, write_video
from opens2v_data.errors import MetricError
from opens2v_eval.frames import Video
from opens2v_eval.metrics import create_metric
from opens2v_eval.metrics.gmescore import GmeScore

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_eval.prompts import Prompt


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    return write_prompt(tmp_path_factory.mktemp("p"), "singleobj_2", ("Images/dog.png", "Dog", picture(30, 30)))


def test_the_score_is_the_mean_cosine_of_the_prompt_and_linspace_frames(tmp_path: Path, prompt: Prompt) -> None:
    checkpoint = write_tiny_gme(tmp_path)
    path = write_video(tmp_path / "v.mp4", moving_pictures(9, height=64, width=96, step=7))
    metric = GmeScore(gme=str(checkpoint), num_frames=4, batch_size=3)
    metric.setup("cpu")
    found = metric.score(Video(path, key=prompt.key), prompt)

    with av.open(str(path)) as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    text = plain_embedding(checkpoint, prompt.prompt, None, instruction="Find an image that matches the given text.")
    wanted = [(plain_embedding(checkpoint, "", frames[place]) @ text).item() for place in (0, 2, 5, 8)]
    assert found.details["frame_indices"] == [0, 2, 5, 8]
    np.testing.assert_allclose(
        found.details["frames"], wanted, atol=2e-3
    )  # our decoder's colours round as swscale's do
    assert found.values == {"gme_score": pytest.approx(np.mean(found.details["frames"]))}
    assert np.ptp(wanted) > 1e-3


def test_it_applies_to_all_prompts_and_says_what_it_depends_on(prompt: Prompt) -> None:
    metric = create_metric("gmescore")
    assert metric.applies_to(prompt)
    assert metric.settings() == {
        "gme": "Alibaba-NLP/gme-Qwen2-VL-7B-Instruct",
        "revision": None,
        "num_frames": 32,
    }
    with pytest.raises(MetricError, match=r"setup\(device\) comes before score"):
        metric.score(Video(b"", key=prompt.key), prompt)
