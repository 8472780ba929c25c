"""Boxes by a reference image: what the model says, kept by upstream's thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Owlv2ForObjectDetection
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

from evaluation.tinygme import picture
from evaluation.tinyowlv2 import write_tiny_owlv2
from opens2v_data.errors import MetricError
from opens2v_eval.models.detector import Boxes, Owlv2Detector, load_detector, nms, select_boxes

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_owlv2(tmp_path_factory.mktemp("owl"))


def area(box: list[float]) -> float:
    return max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)


def overlap(one: list[float], other: list[float]) -> float:
    shared = area([max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])])
    union = area(one) + area(other) - shared
    return shared / union if union > 0 else 0.0


def slow_nms(boxes: list[list[float]], scores: list[float], threshold: float) -> list[int]:
    """Take the best box, drop what overlaps it, and again."""
    left = sorted(range(len(boxes)), key=lambda place: (-scores[place], place))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [place for place in left if overlap(boxes[best], boxes[place]) <= threshold]
    return kept


def plain_boxes(folder: Path, frame: Image.Image, reference: Image.Image) -> tuple[list[list[float]], list[float]]:
    """Ask the model's own image-guided detection, one frame and one reference at a time, and keep boxes by loops."""
    model: Any = Owlv2ForObjectDetection.from_pretrained(folder).eval()
    processor = Owlv2ImageProcessorPil.from_pretrained(folder)
    with torch.no_grad():
        out = model.image_guided_detection(
            pixel_values=processor(frame, return_tensors="pt")["pixel_values"],
            query_pixel_values=processor(reference, return_tensors="pt")["pixel_values"],
        )
    side, (width, height) = max(frame.size), frame.size
    boxes, scores = [], []
    for logit, (x, y, w, h) in zip(out.logits[0, :, 0].tolist(), out.target_pred_boxes[0].tolist(), strict=True):
        left, right = max((x - w / 2) * side, 0), min((x + w / 2) * side, width)
        top, bottom = max((y - h / 2) * side, 0), min((y + h / 2) * side, height)
        score = 1 / (1 + np.exp(-logit))
        if score > 0.5 and right - left >= 1 and bottom - top >= 1:
            boxes.append([left, top, right, bottom])
            scores.append(float(score))
    kept = slow_nms(boxes, scores, 0.7)
    return [boxes[place] for place in kept], [scores[place] for place in kept]


def test_boxes_are_those_of_the_models_own_image_guided_detection(checkpoint: Path) -> None:
    frames = [picture(90, 50, seed=1), picture(40, 80, seed=2), picture(64, 64, seed=3)]
    references = [picture(33, 60, seed=4), picture(80, 20, seed=5)]
    detector = Owlv2Detector.load(str(checkpoint), batch_size=2)
    found = detector.detect(frames, references)
    assert [len(row) for row in found] == [2, 2, 2]
    numbers = set()
    for frame, row in zip(frames, found, strict=True):
        for reference, got in zip(references, row, strict=True):
            boxes, scores = plain_boxes(checkpoint, frame, reference)
            np.testing.assert_allclose(got.xyxy, np.reshape(boxes, (-1, 4)), atol=1e-3)
            np.testing.assert_allclose(got.scores, scores, atol=1e-5)
            numbers.add(len(scores))
    assert max(numbers) > 1, "expected frames with several boxes, so that the test says something"


def test_no_references_and_no_frames_have_no_boxes(checkpoint: Path) -> None:
    detector = load_detector(str(checkpoint))
    assert detector.detect([picture(20, 20)], []) == [[]]
    assert detector.detect([], [picture(20, 20)]) == []


corner = st.integers(0, 12)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(corner, corner, st.integers(0, 8), st.integers(0, 8), st.integers(0, 6)), max_size=25),
    st.sampled_from([0.0, 0.3, 0.5, 0.7]),
)
def test_nms_keeps_what_brute_force_keeps(rows: list[tuple[int, ...]], threshold: float) -> None:
    boxes = [[float(x), float(y), float(x + w), float(y + h)] for x, y, w, h, _ in rows]
    scores = [score / 6 for *_, score in rows]  # few values, so that many are equal
    kept = nms(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), iou_threshold=threshold)
    wanted = slow_nms(boxes, scores, threshold)
    assert kept.tolist() == wanted
    few = nms(torch.tensor(boxes).reshape(-1, 4), torch.tensor(scores), iou_threshold=threshold, max_boxes=2)
    assert few.tolist() == wanted[:2]


def test_boxes_are_clipped_counted_and_ordered() -> None:
    xyxy = torch.tensor([[-5.0, 2, 8, 30], [0, 0, 4, 4], [9.5, 0, 14, 5], [0, 0, 3.9, 4], [5, 5, 9, 9], [6, 0, 9, 3]])
    scores = torch.tensor([0.6, 0.9, 0.99, 0.8, 0.5, 0.7])
    found = select_boxes(xyxy, scores, size=(10, 20))
    # The third is half a pixel wide in the frame, the fourth lies in the second, the fifth is at the threshold.
    assert found.xyxy.tolist() == [[0, 0, 4, 4], [6, 0, 9, 3], [0, 2, 8, 20]]
    np.testing.assert_allclose(found.scores, [0.9, 0.7, 0.6], atol=1e-6)
    assert len(select_boxes(xyxy, scores, size=(10, 20), max_boxes=2)) == 2
    with pytest.raises(ValueError, match="4 numbers for each of 2 boxes"):
        Boxes(xyxy=np.zeros((1, 4)), scores=np.zeros(2))


class EveryFrame:
    """A detector of one's own: the left half of every frame."""

    def __init__(self, *, device: str) -> None:
        self.device = device

    def detect(self, frames: list[Image.Image], references: list[Image.Image]) -> list[list[Boxes]]:
        halves = [np.array([[0, 0, frame.width / 2, frame.height]], dtype=np.float32) for frame in frames]
        return [[Boxes(xyxy=half, scores=np.ones(1, dtype=np.float32)) for _ in references] for half in halves]


class NoDetector:
    """A class that is made with a device, and detects nothing."""

    def __init__(self, *, device: str) -> None:
        self.device = device


def test_a_detector_of_ones_own_is_made_by_its_name() -> None:
    detector = load_detector("evaluation.test_detector:EveryFrame", device="cpu")
    assert detector.detect([picture(20, 10)], [picture(5, 5)])[0][0].xyxy.tolist() == [[0, 0, 10, 10]]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no_such_module:Class", r"could not make 'no_such_module:Class': No module named"),
        ("evaluation.test_detector:Absent", "could not make"),
        ("evaluation.test_detector:area", "could not make"),
        ("evaluation.test_detector:NoDetector", r"no method detect\(frames, references\)"),
        ("no/such/folder/anywhere", r"NexusScore's detector: expected weights of Owlv2ForObjectDetection"),
    ],
)
def test_what_is_no_detector_is_named(source: str, message: str) -> None:
    with pytest.raises(MetricError, match=message):
        load_detector(source)
