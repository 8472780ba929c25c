"""FaceSim: cosines of faces in a real video by ONNX models, and the rules of both modes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation import tinyfaces
from evaluation.scenes import PictureVideo, write_prompt
from evaluation.test_faces import SMALL, red_square, small_weights
from evaluation.tinygme import picture
from evaluation.videos import write_video
from opens2v_data.errors import MetricError
from opens2v_eval.frames import Video
from opens2v_eval.metrics import facesim
from opens2v_eval.metrics.facesim import FaceSim, load_recogniser, published_score, read_reference
from opens2v_eval.models.faces_align import align_face
from opens2v_eval.models.faces_curricular import CurricularFace
from opens2v_eval.models.faces_scrfd import Scrfd

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_eval.prompts import Prompt


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("faces")
    return {
        "detector": str(tinyfaces.write_tiny_scrfd(folder / "det.onnx")),
        "recogniser": str(tinyfaces.write_tiny_recogniser(folder / "cur.onnx", seed=1)),
        "arcface": str(tinyfaces.write_tiny_recogniser(folder / "arc.onnx", seed=2)),
    }


@pytest.fixture(scope="module")
def prompt(tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    reference = Image.fromarray(red_square(200, 160, left=40, top=60, side=70, seed=9))
    return write_prompt(
        tmp_path_factory.mktemp("prompt"),
        "faceobj_1",
        ("Images/singleobject/cup/1.png", "Cup", picture(30, 30)),
        ("Images/singleface/crop_woman/1.png", "Woman", reference),
    )


PICTURES = [
    red_square(128, 192, left=20, top=20, side=60, seed=1),
    red_square(128, 192, left=90, top=40, side=40, seed=2),
    red_square(128, 192, left=0, top=0, side=0, seed=3),  # no face
    red_square(128, 192, left=60, top=10, side=90, seed=4),
]


def plain_cosine(models: dict[str, Any], seed: int, one: np.ndarray, other: np.ndarray) -> float:
    """Return the cosine of two pictures' largest faces, by the tiny recogniser's formula."""
    vectors = []
    for pixels in (one, other):
        faces = Scrfd.load(models["detector"]).detect(pixels)
        largest = max(faces, key=lambda face: (face.xyxy[2] - face.xyxy[0]) * (face.xyxy[3] - face.xyxy[1]))
        aligned = align_face(pixels, largest.landmarks).astype(np.float64) / 127.5 - 1
        means = aligned.reshape(7, 16, 7, 16, 3).mean(axis=(1, 3)).transpose(2, 0, 1).reshape(-1)
        vectors.append(means @ tinyfaces.recogniser_matrix(seed=seed))
    return float(vectors[0] @ vectors[1] / np.linalg.norm(vectors[0]) / np.linalg.norm(vectors[1]))


def test_cosines_are_those_of_the_largest_faces_frame_by_frame(models: dict[str, Any], prompt: Prompt) -> None:
    metric = FaceSim(**models, num_frames=4)
    metric.setup("cpu")
    found = metric.score(PictureVideo(PICTURES, key=prompt.key), prompt)
    reference = np.array(Image.open(prompt.image_paths[1]))
    assert found.details["reference_has_face"] is True
    assert found.details["frame_indices"] == [0, 1, 2, 3]
    for name, seed in (("cur", 1), ("arc", 2)):
        wanted = [max(plain_cosine(models, seed, reference, PICTURES[place]), 0) for place in (0, 1, 3)]
        got = found.details[name]
        assert got[2] is None
        np.testing.assert_allclose([got[0], got[1], got[3]], wanted, atol=1e-4)
        counted = [value for value in wanted if value or name == "arc"]
        assert found.values[f"{name}_score"] == pytest.approx(np.mean(counted), abs=1e-4)
    assert np.ptp([value for value in found.details["cur"] if value is not None]) > 0.01


def test_a_video_of_the_reference_itself_scores_one(models: dict[str, Any], prompt: Prompt, tmp_path: Path) -> None:
    reference = np.array(Image.open(prompt.image_paths[1]))
    path = write_video(tmp_path / "v.mp4", np.stack([reference] * 3), crf=1)
    metric = FaceSim(detector=models["detector"], recogniser=models["recogniser"], arcface="", num_frames=5)
    metric.setup("cpu")
    found = metric.score(Video(path, key=prompt.key), prompt)
    assert set(found.values) == {"cur_score"}
    assert found.values["cur_score"] == pytest.approx(1, abs=0.01)
    assert found.details["frame_indices"] == [0, 0, 1, 1, 2]


def test_a_video_without_faces_scores_zero_as_upstream_has_it(models: dict[str, Any], prompt: Prompt) -> None:
    metric = FaceSim(**models, num_frames=3)
    assert metric.providers == ()
    metric.setup("cuda")  # without onnxruntime's build for GPUs: on the CPU, and it says so
    assert metric.providers[-1] == "CPUExecutionProvider"
    found = metric.score(PictureVideo(PICTURES[2:3], key=prompt.key), prompt)
    assert found.values == {"cur_score": 0.0, "arc_score": 0.0}
    assert found.details["cur"] == [None, None, None]


def test_a_reference_without_a_face_gives_no_value(models: dict[str, Any], tmp_path: Path) -> None:
    dark = Image.fromarray(PICTURES[2])
    prompt = write_prompt(tmp_path, "singleface_1", ("Images/singleface/man/1.png", "Man", dark))
    metric = FaceSim(**models)
    metric.setup("cpu")
    found = metric.score(PictureVideo(PICTURES, key=prompt.key), prompt)
    assert found.values == {"cur_score": None, "arc_score": None}
    assert found.details == {"reference_has_face": False}


@pytest.mark.parametrize(
    ("cosines", "of_curricular", "of_arcface"),
    [
        ([0.5, None, 0.25, 0.0], 0.375, 0.25),
        ([0.0, 0.0], 0.0, 0.0),
        ([None, None], 0.0, 0.0),
        ([1.0], 1.0, 1.0),
    ],
)
def test_the_published_mean_leaves_out_frames_without_a_face_and_curricularfaces_zeros(
    cosines: list[float | None], of_curricular: float, of_arcface: float
) -> None:
    assert published_score(cosines, drops_zeros=True) == of_curricular
    assert published_score(cosines, drops_zeros=False) == of_arcface


def test_the_reference_is_the_first_image_in_a_folder_of_people(prompt: Prompt, tmp_path: Path) -> None:
    assert read_reference(prompt).shape == (200, 160, 3)
    other = write_prompt(tmp_path, "singleface_2", ("Images/cup/1.png", "Cup", picture(5, 5)))
    with pytest.raises(MetricError, match="singleface_2: expected a reference image of a person"):
        read_reference(other)
    prompt_of_nothing = write_prompt(tmp_path, "singleface_3", ("Images/man/3.png", "Man", picture(5, 5)))
    prompt_of_nothing.image_paths[0].write_bytes(b"no image")
    with pytest.raises(
        MetricError, match=r"singleface_3: expected its reference image Images/man/3.png at .*fetch the images"
    ):
        read_reference(prompt_of_nothing)


def test_a_recogniser_is_chosen_by_its_file(
    models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(small_weights(), tmp_path / "cur.bin")
    published = CurricularFace.load
    monkeypatch.setattr(CurricularFace, "load", lambda source, **options: published(source, **SMALL, **options))
    curricular = load_recogniser(str(tmp_path / "cur.bin"), device="cpu")
    assert isinstance(curricular, CurricularFace)
    face = np.zeros((112, 112, 3), np.uint8)
    assert curricular.embed([face]).shape == (1, 512)
    assert load_recogniser(models["recogniser"], device="cpu").embed([face]).shape == (1, 16)


def test_it_applies_to_prompts_with_one_person_and_says_what_it_depends_on(prompt: Prompt, tmp_path: Path) -> None:
    metric = FaceSim()
    assert metric.applies_to(prompt)
    assert not metric.applies_to(write_prompt(tmp_path, "multiface_1", ("Images/man/1.png", "Man", picture(5, 5))))
    assert metric.settings()["recogniser"] == facesim.RECOGNISER
    with pytest.raises(MetricError, match=r"setup\(device\) comes before score"):
        metric.score(PictureVideo(PICTURES, key=prompt.key), prompt)
    with pytest.raises(MetricError, match=r"FaceSim's detector: expected a file at 'absent\.onnx'"):
        FaceSim(detector="absent.onnx").setup("cpu")
