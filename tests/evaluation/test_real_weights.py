"""Real weights that small packages ship, through our own code; skipped where the packages are not installed.

Needs `mediapipe==0.10.21` (faces: BlazeFace and FaceMesh) and `rapidocr-onnxruntime` (text, as ONNX files) in an environment of
their own: the former wants NumPy 1 and an older protobuf than this project pins.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from evaluation.made import UPSTREAM
from evaluation.scenes import write_prompt
from evaluation.tinyfaces import write_tiny_recogniser, write_tiny_scrfd
from opens2v_eval.frames import Video, rgb_arrays
from opens2v_eval.metrics.facesim import FaceSim
from opens2v_eval.models.faces import Face, largest_face
from opens2v_eval.models.faces_align import TEMPLATE, align_face
from opens2v_eval.models.faces_onnx import OnnxModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

VIDEO = UPSTREAM / "videos" / "singleface_3.mp4"
# FaceMesh's points: the corners of the eye at the beholder's left, those of the other, the tip of the nose, the mouth's corners.
LEFT_EYE, RIGHT_EYE, NOSE, MOUTH = (33, 133), (362, 263), 1, (61, 291)


class MeshFaces:
    """MediaPipe's FaceMesh as a `FaceDetector`."""

    def __init__(self, mesh: Any) -> None:
        self._mesh = mesh

    def detect(self, picture: Any) -> list[Face]:
        """Return faces with the box around their points."""
        height, width = picture.shape[:2]
        found = self._mesh.process(picture).multi_face_landmarks or []
        return [self._face([(at.x * width, at.y * height) for at in face.landmark]) for face in found]

    def _face(self, points: Sequence[tuple[float, float]]) -> Face:
        at = np.array(points, dtype=np.float32)
        eyes = [at[list(eye)].mean(axis=0) for eye in (LEFT_EYE, RIGHT_EYE)]
        return Face(
            xyxy=np.concatenate([at.min(axis=0), at.max(axis=0)]),
            score=1.0,
            landmarks=np.stack([*eyes, at[NOSE], *at[list(MOUTH)]]),
        )


@pytest.fixture(scope="module")
def faces() -> Iterator[MeshFaces]:
    mediapipe = pytest.importorskip("mediapipe", reason="mediapipe, which ships models of faces, is not installed")
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=4) as mesh:
        yield MeshFaces(mesh)


@pytest.fixture(scope="module")
def frames(faces: MeshFaces) -> list[np.ndarray]:
    """Frames of a real video: a man at the wheel, and another behind him, half as large."""
    if not VIDEO.is_file():
        pytest.skip("upstream's video of a face (../shared/upstream_sample/eval) is not on this machine")
    return list(rgb_arrays(Video(VIDEO, key="singleface_3").frames(range(0, 69, 8))))


def test_the_largest_of_two_real_faces_is_taken(faces: MeshFaces, frames: Sequence[np.ndarray]) -> None:
    both = [found for frame in frames if len(found := faces.detect(frame)) == 2]
    assert both
    for frame in frames:
        face = largest_face(faces, frame)
        assert face is not None and face.xyxy[0] > 400  # the man behind ends left of that
    for one, other in both:
        assert min(one.area, other.area) < 0.5 * max(one.area, other.area)


@pytest.mark.parametrize("turns", [0, 20, -35])
def test_a_real_face_is_aligned_to_where_recognisers_expect_it(
    faces: MeshFaces, frames: Sequence[np.ndarray], turns: int
) -> None:
    import cv2

    height, width = frames[0].shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), turns, 1.0)
    for frame in frames[::3]:
        face = largest_face(faces, cv2.warpAffine(frame, turn, (width, height)))
        assert face is not None
        aligned = align_face(cv2.warpAffine(frame, turn, (width, height)), face.landmarks)
        assert aligned.shape == (112, 112, 3)
        again = largest_face(faces, aligned)
        assert again is not None
        # Nobody's five points are the template's: 5 of 112 pixels are left at the nose, which FaceMesh sets elsewhere too, and
        # 2 at the others.
        off = np.linalg.norm(again.landmarks - TEMPLATE, axis=1)
        assert off.max() < 6
        assert np.abs((again.landmarks - TEMPLATE).mean(axis=0)).max() < 1


def test_a_face_that_fills_the_picture_is_found_with_a_border(faces: MeshFaces, frames: Sequence[np.ndarray]) -> None:
    class Strict(MeshFaces):
        """Sees only faces that do not reach the picture's border."""

        def detect(self, picture: Any) -> list[Face]:
            height, width = picture.shape[:2]
            margin = 0.1 * min(height, width)
            far = np.array([width, height]) - margin
            found = super().detect(picture)
            return [face for face in found if (face.xyxy[:2] > margin).all() and (face.xyxy[2:] < far).all()]

    whole = largest_face(faces, frames[0])
    assert whole is not None
    left, top, right, bottom = whole.xyxy.round().astype(int)
    close = np.ascontiguousarray(frames[0][top:bottom, left:right])
    strict = Strict(faces._mesh)
    assert not strict.detect(close)
    found = largest_face(strict, close)
    assert found is not None
    assert np.abs(found.landmarks + np.array([left, top]) - whole.landmarks).max() < 0.06 * (right - left)


def test_facesim_of_a_real_face_is_high_for_itself_and_lower_for_the_man_behind(
    faces: MeshFaces, frames: Sequence[np.ndarray], tmp_path: Path
) -> None:
    """The recogniser is a linear one of random weights on the aligned pixels: no package ships a real one."""
    from PIL import Image

    models = {
        "detector": str(write_tiny_scrfd(tmp_path / "det.onnx")),
        "recogniser": str(write_tiny_recogniser(tmp_path / "cur.onnx", width=147)),
        "arcface": "",
    }
    scores = []
    behind = min(next(found for frame in frames if len(found := faces.detect(frame)) == 2), key=lambda face: face.area)
    left, top, right, bottom = behind.xyxy.round().astype(int)
    for name, reference in (("self", frames[0]), ("other", frames[0][top - 40 : bottom + 40, left - 40 : right + 20])):
        prompt = write_prompt(
            tmp_path / name,
            "singleface_3",
            ("Images/singleface/man/1.png", "Man", Image.fromarray(reference)),
        )
        metric = FaceSim(**models, num_frames=8)
        metric.setup("cpu")
        metric._detector = faces
        found = metric.score(Video(VIDEO, key="singleface_3"), prompt)
        assert len(found.details["cur"]) == 8 and None not in found.details["cur"]
        scores.append(found.values["cur_score"])
    assert scores[0] > 0.8 and scores[1] < scores[0] - 0.2


@pytest.fixture(scope="module")
def text_model() -> Path:
    """The detector of PP-OCRv4, `(1, 3, H, W)` in, a probability of text for each pixel out; only its file is looked for."""
    spec = importlib.util.find_spec("rapidocr_onnxruntime")
    if spec is None or spec.origin is None:
        pytest.skip("rapidocr-onnxruntime, which ships ONNX files, is not installed")
    return Path(spec.origin).parent / "models" / "ch_PP-OCRv4_det_infer.onnx"


def test_a_real_onnx_model_answers_the_same_for_an_array_a_tensor_and_onnxruntime_alone(text_model: Path) -> None:
    import onnxruntime
    import torch
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (320, 160), "white")
    ImageDraw.Draw(page).text((40, 40), "OpenS2V", fill="black", font=ImageFont.load_default(48))
    pixels = ((np.asarray(page, dtype=np.float32) / 255 - 0.5) / 0.5).transpose(2, 0, 1)[None].copy()
    model = OnnxModel.load(str(text_model))
    output = model._session.get_outputs()[0].name
    [of_array] = model._answers([output], pixels)
    [of_tensor] = model._answers([output], torch.from_numpy(pixels))
    alone = onnxruntime.InferenceSession(str(text_model), providers=["CPUExecutionProvider"])
    wanted = np.asarray(alone.run([output], {alone.get_inputs()[0].name: pixels})[0])
    assert model.providers == ("CPUExecutionProvider",)
    assert np.array_equal(of_array, wanted) and np.array_equal(of_tensor, wanted)
    probability = of_array[0, 0]
    assert probability[50:80, 60:200].mean() > 0.4  # where the word stands
    assert probability[120:].max() < 0.1 and probability[:, 300:].max() < 0.1
