"""From videos to both modes: FaceSim and NexusScore run by small models, their files read back, and counted two ways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from evaluation import tinyfaces
from evaluation.scenes import write_prompt
from evaluation.test_faces import red_square
from evaluation.test_nexusscore import ByRed, solid
from evaluation.videos import write_video
from opens2v_eval.counting import raw_values
from opens2v_eval.metrics.facesim import FaceSim
from opens2v_eval.metrics.nexusscore import NexusScore
from opens2v_eval.models.detector import Boxes
from opens2v_eval.prompts import Prompts
from opens2v_eval.running import run
from opens2v_eval.scorefiles import read_scores

if TYPE_CHECKING:
    from pathlib import Path


def test_a_face_that_vanishes_lowers_the_corrected_score_only(tmp_path: Path) -> None:
    there = red_square(128, 192, left=40, top=20, side=70, seed=1)
    gone = red_square(128, 192, left=0, top=0, side=0, seed=2)
    prompt = write_prompt(tmp_path, "singleface_1", ("Images/man/1.png", "Man", Image.fromarray(there)))
    prompts = Prompts(domain="human", prompts={prompt.key: prompt}, source="here", root=tmp_path)
    video = write_video(tmp_path / "v.mp4", np.stack([there, there, gone, gone]), crf=1)
    metric = FaceSim(
        detector=str(tinyfaces.write_tiny_scrfd(tmp_path / "det.onnx")),
        recogniser=str(tinyfaces.write_tiny_recogniser(tmp_path / "cur.onnx")),
        arcface="",
        num_frames=4,
    )
    report = run({prompt.key: video}, prompts, metrics=[metric], out=tmp_path / "scores")
    assert report.scored == 1 and [path.name for path in report.files] == ["facesim.json"]
    scores = read_scores(tmp_path / "scores")
    published, corrected = (raw_values(scores, "facesim", mode) for mode in ("published", "corrected"))
    assert published is not None and corrected is not None
    assert published[prompt.key] == json.loads(report.files[0].read_text())[prompt.key]["cur_score"]
    assert published[prompt.key] == pytest.approx(1, abs=0.02)
    assert corrected[prompt.key] == pytest.approx(published[prompt.key] / 2)


def test_a_subject_in_all_frames_scores_lowest_as_published_and_highest_corrected(tmp_path: Path) -> None:
    rare, always = "singleobj_1", "singleobj_2"
    made = {key: write_prompt(tmp_path, key, (f"Images/{key}.png", "Cup", solid(40))) for key in (rare, always)}
    prompts = Prompts(domain="open", prompts=made, source="here", root=tmp_path)
    # Blue says how many boxes BoxesByBlue proposes: 1 or 0. Larger than a macroblock, so that the codec keeps it.
    shown, empty = np.zeros((48, 64, 3), np.uint8), np.zeros((48, 64, 3), np.uint8)
    shown[..., 0], empty[..., 0] = 40, 40
    shown[..., 2] = 90
    videos = {
        rare: write_video(tmp_path / "rare.mp4", np.stack([shown, empty, empty, empty]), crf=1),
        always: write_video(tmp_path / "always.mp4", np.stack([shown] * 4), crf=1),
    }
    metric = NexusScore(detector="evaluation.test_both_modes:BoxWhereBlue", embedder=ByRed(), num_frames=4)
    report = run(videos, prompts, metrics=[metric], out=tmp_path / "scores")
    assert report.failed == ()
    scores = read_scores(tmp_path / "scores")
    published, corrected = (raw_values(scores, "nexusscore", mode) for mode in ("published", "corrected"))
    assert published is not None and corrected is not None
    assert published[rare] == pytest.approx(4 * published[always], rel=0.01)
    assert corrected[always] == pytest.approx(4 * corrected[rare], rel=0.01)
    assert corrected[always] == pytest.approx(1, abs=0.02)


class BoxWhereBlue:
    """A detector of one's own: one box in a frame that is blue enough."""

    def __init__(self, *, device: str) -> None:
        self.device = device

    def detect(self, frames: list[Image.Image], references: list[Image.Image]) -> list[list[Boxes]]:
        found = []
        for frame in frames:
            count = int(np.array(frame)[..., 2].mean() > 45)
            xyxy = np.array([[8, 8, 40, 40]] * count, dtype=np.float32).reshape(-1, 4)
            found.append([Boxes(xyxy=xyxy, scores=np.full(count, 0.9, np.float32)) for _ in references])
        return found
