"""NexusScore: boxes of real classes with random weights against loops, and the rules of both modes on known numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from evaluation.scenes import PictureVideo, write_prompt
from evaluation.tinygme import picture, plain_embedding, write_tiny_gme
from evaluation.tinyowlv2 import write_tiny_owlv2
from opens2v_data.errors import MetricError
from opens2v_eval.metrics import nexusscore
from opens2v_eval.metrics.nexusscore import Found, NexusScore, frame_means, published_score
from opens2v_eval.models.detector import Boxes, Owlv2Detector
from opens2v_eval.models.gme import Gme

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class BoxesByBlue:
    """A detector of one's own: a frame whose first blue value is n has n boxes for each reference, one pixel apart."""

    def __init__(self, *, device: str) -> None:
        self.device = device

    def detect(self, frames: Sequence[Image.Image], references: Sequence[Image.Image]) -> list[list[Boxes]]:
        return [[self._boxes(frame) for _ in references] for frame in frames]

    def _boxes(self, frame: Image.Image) -> Boxes:
        count = np.array(frame)[0, 0, 2]
        xyxy = [[place, 0, place + 4, 4] for place in range(count)]
        # Scores 0.9, 0.6, 0.9, ...: every second box is at the threshold, which is not above it.
        scores = [0.6 if place % 2 else 0.9 for place in range(count)]
        return Boxes(xyxy=np.array(xyxy, np.float32).reshape(-1, 4), scores=np.array(scores, np.float64))


class ByRed:
    """An embedder: a picture is an angle of its mean red, a text an angle of its length in twentieths."""

    def embed_texts(self, texts: Sequence[str], *, instruction: str = "") -> torch.Tensor:
        assert instruction == "Find an image that matches the given text."
        return self._vectors([len(text) / 20 for text in texts])

    def embed_images(self, images: Sequence[Any]) -> torch.Tensor:
        return self._vectors([float(np.array(image)[..., 0].mean()) / 100 for image in images])

    def _vectors(self, angles: list[float]) -> torch.Tensor:
        return torch.tensor([[np.cos(angle), np.sin(angle)] for angle in angles], dtype=torch.float32)


def frame(*, red: int, boxes: int) -> np.ndarray:
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[..., 0], pixels[..., 2] = red, boxes
    return pixels


def solid(red: int) -> Image.Image:
    return Image.new("RGB", (6, 6), (red, 0, 0))


@pytest.fixture
def metric() -> NexusScore:
    made = NexusScore(detector="evaluation.test_nexusscore:BoxesByBlue", embedder=ByRed(), num_frames=4)
    made.setup("cpu")
    return made


def test_the_published_score_divides_by_frames_with_boxes_and_the_details_keep_every_frame(
    metric: NexusScore, tmp_path: Path
) -> None:
    prompt = write_prompt(tmp_path, "singleobj_1", ("Images/cup.png", "Cup", solid(40)))
    # Four frames: kept, kept (2 of 3 boxes), no box, and one box too far from the text (angle 2.0 against 0.15).
    video = PictureVideo(
        [frame(red=40, boxes=1), frame(red=80, boxes=3), frame(red=40, boxes=0), frame(red=200, boxes=1)],
        key=prompt.key,
    )
    found = metric.score(video, prompt)
    cosines = [1.0, np.cos(0.4), np.cos(0.4)]
    assert found.values == {"nexus_score": pytest.approx(np.mean(cosines) / 3)}
    [row] = found.details["references"]
    assert (row["image"], row["label"]) == (0, "Cup")
    assert row["frames"] == [pytest.approx(1.0), pytest.approx(np.cos(0.4)), None, None]
    assert found.details["frame_indices"] == [0, 1, 2, 3]
    assert len(found.details["boxes"]) == 5


def test_a_frame_counts_once_however_many_references_have_boxes_in_it(metric: NexusScore, tmp_path: Path) -> None:
    prompt = write_prompt(
        tmp_path, "multiobject_1", ("Images/a.png", "Cup", solid(40)), ("Images/b.png", "Hat", solid(60))
    )
    found = metric.score(PictureVideo([frame(red=40, boxes=1)] * 4, key=prompt.key), prompt)
    assert found.values == {"nexus_score": pytest.approx((1 + np.cos(0.2)) / 2 / 4)}
    assert [row["frames"][0] for row in found.details["references"]] == [pytest.approx(1.0), pytest.approx(np.cos(0.2))]


def test_nothing_found_is_zero_in_the_published_mode_and_none_in_every_frame(
    metric: NexusScore, tmp_path: Path
) -> None:
    prompt = write_prompt(tmp_path, "singleobj_1", ("Images/a.png", "Cup", solid(40)))
    found = metric.score(PictureVideo([frame(red=40, boxes=0)] * 3, key=prompt.key), prompt)
    assert found.values == {"nexus_score": 0.0}
    assert found.details["references"][0]["frames"] == [None] * 4
    assert found.details["boxes"] == []


@pytest.mark.parametrize(
    ("key", "labels", "looked_for"),
    [
        ("singleface_1", ["Man"], []),
        ("multiface_2", ["Woman", "Man"], []),
        ("faceobj_3", ["Woman", "Cup", "Dog"], [(1, "Cup"), (2, "Dog")]),
        ("singlehuman_4", ["Woman"], [(0, "human")]),
        ("humanobj_5", ["Cup", "Man", "Dog"], [(0, "Cup"), (1, "human"), (2, "Dog")]),
        ("multihuman_6", ["Man", "Woman"], [(0, "human"), (1, "human")]),
        ("singleobj_7", ["Man"], [(0, "Man")]),
    ],
)
def test_people_are_skipped_beside_faces_and_are_humans_as_bodies(
    metric: NexusScore, tmp_path: Path, key: str, labels: list[str], looked_for: list[tuple[int, str]]
) -> None:
    images = [(f"Images/{place}.png", label, solid(40)) for place, label in enumerate(labels)]
    prompt = write_prompt(tmp_path, key, *images)
    assert metric.applies_to(prompt) == bool(looked_for)
    if looked_for:
        found = metric.score(PictureVideo([frame(red=40, boxes=1)] * 4, key=key), prompt)
        assert [(row["image"], row["label"]) for row in found.details["references"]] == looked_for


boxes = st.builds(
    Found,
    frame=st.integers(0, 5),
    reference=st.integers(0, 1),
    confidence=st.sampled_from([0.55, 0.6, 0.61, 0.9]),
    text_cosine=st.sampled_from([0.2, 0.3, 0.31, 0.8]),
    image_cosine=st.sampled_from([0.0, 0.25, 0.5, -0.25]),
)


@settings(max_examples=60)
@given(st.lists(boxes, max_size=20))
def test_both_modes_follow_from_the_boxes(found: list[Found]) -> None:
    """The published number by upstream's loop, the corrected one's parts by another."""
    listed, frames = [], {box.frame for box in found}
    for box in found:
        if box.confidence > 0.6 and box.text_cosine > 0.30 and box.image_cosine != 0:
            listed.append(box.image_cosine)
    wanted = torch.mean(torch.tensor(listed)).item() / len(frames) if listed else 0
    assert published_score(found, frames_with_boxes=len(frames)) == pytest.approx(wanted)
    for reference in (0, 1):
        means = frame_means(found, reference=reference, num_frames=6)
        for place, mean in enumerate(means):
            here = [
                box.image_cosine for box in found if box.is_kept and (box.frame, box.reference) == (place, reference)
            ]
            assert mean == (pytest.approx(np.mean(here)) if here else None)


def test_real_classes_with_random_weights_agree_with_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gme, owl = tmp_path / "gme", tmp_path / "owl"
    for made in (gme, owl):
        made.mkdir()
    write_tiny_gme(gme)
    write_tiny_owlv2(owl, seed=1)
    # Random cosines lie near 0: the thresholds come down, so that boxes on both sides of them occur.
    monkeypatch.setattr(nexusscore, "MIN_CONFIDENCE", 0.75)
    monkeypatch.setattr(nexusscore, "MIN_TEXT_COSINE", 0.0)
    prompt = write_prompt(
        tmp_path,
        "humanobj_1",
        ("Images/a.png", "Dog", picture(40, 30, seed=5)),
        ("Images/man/b.png", "Man", picture(30, 50)),
    )
    pictures = [np.array(picture(90, 50, seed=seed)) for seed in (1, 2, 3)]
    embedder = Gme.load(str(gme), min_image_tokens=8, max_image_tokens=16)
    metric = NexusScore(detector=str(owl), embedder=embedder, num_frames=3)
    metric.setup("cpu")
    found = metric.score(PictureVideo(pictures, key=prompt.key), prompt)

    detector = Owlv2Detector.load(str(owl))
    kept: list[float] = []
    frames_with_boxes, total = set(), 0
    references = [Image.open(path).convert("RGB") for path in prompt.image_paths]
    find = "Find an image that matches the given text."
    words = [plain_embedding(gme, label, None, instruction=find) for label in ("Dog", "human")]
    looks = [plain_embedding(gme, "", reference, least=8, most=16) for reference in references]
    for place, pixels in enumerate(pictures):
        for reference, word, look in zip(references, words, looks, strict=True):
            shown = Image.fromarray(pixels)
            [[proposed]] = detector.detect([shown], [reference])
            for box, confidence in zip(proposed.xyxy.tolist(), proposed.scores.tolist(), strict=True):
                frames_with_boxes.add(place)
                total += 1
                crop = plain_embedding(gme, "", shown.crop(tuple(box)), least=8, most=16)  # pyright: ignore[reportArgumentType]
                if confidence > 0.75 and (crop @ word) > 0:
                    kept.append((crop @ look).item())
    assert 0 < len(kept) < total
    assert found.values == {"nexus_score": pytest.approx(np.mean(kept) / len(frames_with_boxes), abs=1e-5)}


def test_a_reference_image_that_is_not_there_is_named(metric: NexusScore, tmp_path: Path) -> None:
    prompt = write_prompt(tmp_path, "singleobj_1", ("Images/a.png", "Cup", solid(40)))
    prompt.image_paths[0].unlink()
    with pytest.raises(
        MetricError, match=r"singleobj_1: expected its reference image Images/a.png at .*; fetch the images"
    ):
        metric.score(PictureVideo([frame(red=40, boxes=1)], key=prompt.key), prompt)
    metric.close()
    with pytest.raises(MetricError, match=r"setup\(device\) comes before score"):
        metric.score(PictureVideo([frame(red=40, boxes=1)], key=prompt.key), prompt)
