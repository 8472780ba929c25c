"""Faces: found as insightface's detector finds them, aligned as recognisers want them, told apart by two kinds of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from evaluation import tinyfaces
from opens2v_data.errors import MetricError
from opens2v_eval.models.faces import Face, largest_face
from opens2v_eval.models.faces_align import TEMPLATE, align_face, similarity_transform
from opens2v_eval.models.faces_curricular import CurricularFace, Ir101
from opens2v_eval.models.faces_onnx import OnnxRecogniser, open_session
from opens2v_eval.models.faces_scrfd import Scrfd

if TYPE_CHECKING:
    from pathlib import Path


def red_square(height: int, width: int, *, left: int, top: int, side: int, seed: int = 0) -> np.ndarray:
    """Return dark noise with a red square in it, which the tiny detector takes for a face."""
    picture = np.random.default_rng(seed).integers(0, 40, (height, width, 3), dtype=np.uint8)
    picture[top : top + side, left : left + side] = (250, 10, 60)
    return picture


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faces")
    tinyfaces.write_tiny_scrfd(made / "det.onnx")
    tinyfaces.write_tiny_recogniser(made / "rec.onnx")
    return made


@pytest.fixture(scope="module")
def detector(folder: Path) -> Scrfd:
    return Scrfd.load(str(folder / "det.onnx"))


def plain_faces(picture: np.ndarray) -> list[tuple[float, list[float], list[list[float]]]]:
    """Decode the tiny detector's answers anchor by anchor: score, box, landmarks, best first, overlaps removed."""
    height, width = picture.shape[:2]
    tall = height / width > 1
    new_height, new_width = (320, int(320 / (height / width))) if tall else (int(320 * (height / width)), 320)
    scale = new_height / height
    canvas = np.zeros((320, 320, 3), dtype=np.uint8)
    canvas[:new_height, :new_width] = cv2.resize(picture, (new_width, new_height))
    pixels = (canvas.astype(np.float64) - 127.5) / 128
    weights = tinyfaces.detector_weights()
    found = []
    for stride in tinyfaces.STRIDES:
        for row in range(320 // stride):
            for column in range(320 // stride):
                cell = pixels[row * stride : (row + 1) * stride, column * stride : (column + 1) * stride].mean(
                    axis=(0, 1)
                )
                answer = {
                    kind: weights[f"{kind}_{stride}"] @ cell + weights[f"{kind}_bias_{stride}"]
                    for kind in ("score", "box", "point")
                }
                for anchor in range(2):
                    score = 1 / (1 + np.exp(-answer["score"][anchor]))
                    if score < 0.5:
                        continue
                    x, y = column * stride, row * stride
                    reach = answer["box"][4 * anchor : 4 * anchor + 4] * stride
                    points = answer["point"][10 * anchor : 10 * anchor + 10].reshape(5, 2) * stride
                    box = [x - reach[0], y - reach[1], x + reach[2], y + reach[3]]
                    found.append(
                        (float(score), [v / scale for v in box], ((points + np.array([x, y])) / scale).tolist())
                    )
    found.sort(key=lambda face: -face[0])
    kept: list[Any] = []
    for face in found:
        if all(insightface_overlap(face[1], other[1]) <= 0.4 for other in kept):
            kept.append(face)
    return kept


def insightface_overlap(one: list[float], other: list[float]) -> float:
    shared = max(0, min(one[2], other[2]) - max(one[0], other[0]) + 1)
    shared *= max(0, min(one[3], other[3]) - max(one[1], other[1]) + 1)
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, other)]
    return shared / (sum(areas) - shared)


@pytest.mark.parametrize(("height", "width"), [(240, 400), (400, 240), (97, 97)])
def test_faces_are_those_decoded_anchor_by_anchor(detector: Scrfd, height: int, width: int) -> None:
    picture = red_square(height, width, left=30, top=20, side=50)
    picture = np.maximum(picture, red_square(height, width, left=60, top=80, side=17, seed=1))
    wanted, got = plain_faces(picture), detector.detect(picture)
    assert len(wanted) > 3
    # Scores of equal cells differ in the last digit between float32 and float64, so that their order may too.
    assert sorted(round(face.score, 3) for face in got) == sorted(round(score, 3) for score, *_ in wanted)
    for face in got:
        score, box, points = min(wanted, key=lambda one: float(np.abs(face.xyxy - one[1]).max()))
        assert face.score == pytest.approx(score, abs=1e-4)
        np.testing.assert_allclose(face.xyxy, box, atol=2e-2)
        np.testing.assert_allclose(face.landmarks, points, atol=2e-2)


def test_no_face_is_found_where_nothing_is_red(detector: Scrfd) -> None:
    dark = red_square(120, 200, left=0, top=0, side=0)
    assert detector.detect(dark) == []
    assert largest_face(detector, dark) is None
    assert detector.providers == ("CPUExecutionProvider",)


class Listed:
    """A detector that answers from a list, and keeps what it was shown."""

    def __init__(self, *answers: list[Face]) -> None:
        self.answers, self.shown = list(answers), []

    def detect(self, picture: Any) -> list[Face]:
        self.shown.append(picture)
        return self.answers.pop(0)


def face(left: float, top: float, right: float, bottom: float, *, score: float = 0.9) -> Face:
    return Face(
        xyxy=np.array([left, top, right, bottom], dtype=np.float32), score=score, landmarks=np.ones((5, 2)) * left
    )


def test_the_largest_face_counts_and_not_the_surest() -> None:
    found = largest_face(Listed([face(0, 0, 5, 5), face(10, 0, 16, 9, score=0.6)]), np.zeros((9, 9, 3), np.uint8))
    assert found is not None and found.xyxy.tolist() == [10, 0, 16, 9]


def test_a_picture_without_a_face_is_tried_again_with_a_grey_border() -> None:
    detector = Listed([], [face(30, 20, 50, 60)])
    picture = np.full((40, 100, 3), 7, np.uint8)
    found = largest_face(detector, picture)
    assert found is not None
    assert found.xyxy.tolist() == [5, 10, 25, 50]  # 25 columns and 10 rows of border
    assert found.landmarks.tolist() == [[5, 20]] * 5
    bordered = detector.shown[1]
    assert bordered.shape == (60, 150, 3)
    assert (bordered[10:50, 25:125] == 7).all() and (bordered[:10] == 128).all() and (bordered[:, :25] == 128).all()


def test_pictures_and_faces_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8, not \(4, 4\) float64"):
        largest_face(Listed(), np.zeros((4, 4)))
    with pytest.raises(ValueError, match="4 numbers and 5 landmarks"):
        Face(xyxy=np.zeros(3), score=1, landmarks=np.zeros((5, 2)))


def skimage_umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the transform as scikit-image's `_umeyama` finds it, whose cases insightface relies on."""
    mean_in, mean_out = source.mean(0), target.mean(0)
    a, b = source - mean_in, target - mean_out
    matrix = b.T @ a / len(a)
    d = np.ones(2)
    if np.linalg.det(matrix) < 0:
        d[1] = -1
    u, s, v = np.linalg.svd(matrix)
    if np.linalg.matrix_rank(matrix) == 1:
        turn = u @ v if np.linalg.det(u) * np.linalg.det(v) > 0 else u @ np.diag([1, -1]) @ v
    else:
        turn = u @ np.diag(d) @ v
    scale = s @ d / a.var(axis=0).sum()
    return np.column_stack([scale * turn, mean_out - scale * turn @ mean_in])


coordinate = st.floats(-200, 400, width=32).map(lambda value: round(value, 2))
five = st.lists(st.tuples(coordinate, coordinate), min_size=5, max_size=5)


@settings(max_examples=60)
@given(five)
def test_the_transform_is_scikit_images(points: list[tuple[float, float]]) -> None:
    source = np.array(points)
    if np.linalg.svd(source - source.mean(0), compute_uv=False)[1] < 1:
        return  # nearly one place, or one line: no face
    np.testing.assert_allclose(similarity_transform(source, TEMPLATE), skimage_umeyama(source, TEMPLATE), atol=1e-6)


@settings(max_examples=60)
@given(st.floats(0.05, 20), st.floats(-3.1, 3.1), coordinate, coordinate, st.booleans())
def test_a_transform_that_exists_is_found_and_never_mirrors(
    scale: float, angle: float, x: float, y: float, mirrored: bool
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = TEMPLATE * ([-1, 1] if mirrored else [1, 1])
    found = similarity_transform(source, source @ turn.T + [x, y])
    np.testing.assert_allclose(found, np.column_stack([turn, [x, y]]), atol=1e-6 * max(scale, 1) * 100)
    assert np.linalg.det(similarity_transform(source, TEMPLATE)[:, :2]) > 0


def test_points_on_a_line_are_brought_to_a_line_and_points_in_one_place_refused() -> None:
    line = np.array([[0.0, 0], [1, 1], [2, 2]])
    np.testing.assert_allclose(similarity_transform(line, line * [2, 2] + 1), [[2, 0, 1], [0, 2, 1]], atol=1e-9)
    with pytest.raises(ValueError, match="they are all in one"):
        similarity_transform(np.ones((5, 2)), TEMPLATE)
    with pytest.raises(ValueError, match=r"not \(5, 2\) and \(4, 2\)"):
        similarity_transform(TEMPLATE, TEMPLATE[:4])


def test_an_aligned_face_has_its_landmarks_where_the_template_has_them() -> None:
    landmarks = TEMPLATE @ (1.7 * np.array([[0.9, 0.3], [-0.3, 0.9]])).T + [40, 90]
    picture = np.zeros((400, 400, 3), np.uint8)
    for x, y in landmarks:
        cv2.circle(picture, (round(x), round(y)), 5, (255, 255, 255), -1)
    for side in (112, 224):
        aligned = align_face(picture, landmarks, side=side)
        assert aligned.shape == (side, side, 3)
        for x, y in TEMPLATE * side / 112:
            assert aligned[round(y), round(x)].min() > 200
    with pytest.raises(ValueError, match="multiple of 112, not 200"):
        align_face(picture, landmarks, side=200)


def test_a_recogniser_of_onnx_gives_unit_vectors_of_what_it_is_shown(folder: Path) -> None:
    recogniser = OnnxRecogniser.load(str(folder / "rec.onnx"))
    rng = np.random.default_rng(3)
    faces = list(rng.integers(0, 255, (70, 112, 112, 3), dtype=np.uint8))  # more than one batch
    means = (np.stack(faces).astype(np.float64) / 127.5 - 1).reshape(70, 7, 16, 7, 16, 3).mean(axis=(2, 4))
    wanted = means.transpose(0, 3, 1, 2).reshape(70, -1) @ tinyfaces.recogniser_matrix()
    np.testing.assert_allclose(
        recogniser.embed(faces), wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-4
    )
    assert len(recogniser.embed([])) == 0


def plain_ir(weights: dict[str, torch.Tensor], strides: list[int], x: torch.Tensor, *, middle: bool) -> torch.Tensor:
    """Run an IR network from its weights' names."""

    def norm(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, weights.get(f"{name}.weight"), weights.get(f"{name}.bias"))

    x = functional.conv2d(x, weights["input_layer.0.weight"], padding=1)
    x = functional.prelu(norm("input_layer.1", x), weights["input_layer.2.weight"])
    for block, stride in enumerate(strides):
        name = f"body.{block}"
        short = x[:, :, ::stride, ::stride]
        if f"{name}.shortcut_layer.0.weight" in weights:
            short = norm(
                f"{name}.shortcut_layer.1", functional.conv2d(short, weights[f"{name}.shortcut_layer.0.weight"])
            )
        y = functional.conv2d(norm(f"{name}.res_layer.0", x), weights[f"{name}.res_layer.1.weight"], padding=1)
        if middle:
            y = norm(f"{name}.res_layer.2", y)
        rest = 3 if middle else 2
        y = functional.prelu(y, weights[f"{name}.res_layer.{rest}.weight"])
        y = functional.conv2d(y, weights[f"{name}.res_layer.{rest + 1}.weight"], stride=stride, padding=1)
        x = norm(f"{name}.res_layer.{rest + 2}", y) + short
    x = norm("output_layer.0", x).flatten(1)
    x = functional.linear(x, weights["output_layer.3.weight"], weights["output_layer.3.bias"])
    return functional.normalize(norm("output_layer.4", x), dim=1)


SMALL: dict[str, Any] = {"stages": (1, 2, 1, 1), "widths": (4, 4, 8, 8)}


def small_weights(*, middle: bool = True, affine: bool = False) -> dict[str, torch.Tensor]:
    """Return random weights of a small IR network, running means and variances too."""
    torch.manual_seed(0)
    weights = Ir101(**SMALL, middle_norm=middle, affine_output=affine).state_dict()
    for name, value in weights.items():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5) if "var" in name or value.ndim == 1 else value.normal_(std=0.2)
    return weights


@pytest.mark.parametrize("middle", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_curricularface_is_the_plain_network_of_its_weights(tmp_path: Path, middle: bool, affine: bool) -> None:
    weights = small_weights(middle=middle, affine=affine)
    torch.save({f"module.{name}": value for name, value in weights.items()}, tmp_path / "backbone.bin")
    recogniser = CurricularFace.load(str(tmp_path / "backbone.bin"), **SMALL)
    faces = list(np.random.default_rng(1).integers(0, 255, (3, 112, 112, 3), dtype=np.uint8))
    pixels = torch.from_numpy(np.stack(faces).transpose(0, 3, 1, 2)).double() / 127.5 - 1
    wanted = plain_ir({n: v.double() for n, v in weights.items()}, [2, 2, 1, 2, 2], pixels, middle=middle)
    np.testing.assert_allclose(recogniser.embed(faces), wanted.numpy(), atol=1e-4)
    assert recogniser.embed([]).shape == (0, 512)


def test_curricularface_sees_faces_aligned_at_twice_the_size(tmp_path: Path) -> None:
    torch.save(small_weights(), tmp_path / "backbone.bin")
    recogniser = CurricularFace.load(str(tmp_path / "backbone.bin"), **SMALL)
    picture = np.random.default_rng(1).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    landmarks = TEMPLATE * 1.3 + 10
    large = align_face(picture, landmarks, side=224).astype(float)
    wanted = large.reshape(112, 2, 112, 2, 3).mean(axis=(1, 3))
    assert np.abs(recogniser.align(picture, landmarks) - wanted).max() <= 0.5


def test_the_published_network_has_the_published_size() -> None:
    with torch.device("meta"):
        model = Ir101()
    # The file of weights has 261 MB: 65.15 M parameters, and the running means and variances.
    assert sum(parameter.numel() for parameter in model.parameters()) == 65_150_912
    assert "body.48.res_layer.5.running_var" in model.state_dict() and "output_layer.4.weight" not in model.state_dict()


def test_weights_that_do_not_fit_are_named(tmp_path: Path, folder: Path) -> None:
    weights = small_weights()
    torch.save({**weights, "head.weight": torch.zeros(1)}, tmp_path / "strange.bin")
    with pytest.raises(MetricError, match=r"found a strange head.weight \(0 missing, 1 strange\)"):
        CurricularFace.load(str(tmp_path / "strange.bin"), **SMALL)
    weights.pop("output_layer.0.bias")
    torch.save(weights, tmp_path / "lacking.bin")
    with pytest.raises(MetricError, match=r"found no output_layer.0.bias \(1 missing, 0 strange\)"):
        CurricularFace.load(str(tmp_path / "lacking.bin"), **SMALL)
    with pytest.raises(MetricError, match="size mismatch"):
        CurricularFace.load(str(tmp_path / "lacking.bin"), stages=(1, 2, 1, 1), widths=(4, 4, 8, 16))
    (tmp_path / "junk.bin").write_bytes(b"junk")
    with pytest.raises(MetricError, match="could not read one"):
        CurricularFace.load(str(tmp_path / "junk.bin"))
    torch.save([torch.zeros(1)], tmp_path / "list.bin")
    with pytest.raises(MetricError, match="found list"):
        CurricularFace.load(str(tmp_path / "list.bin"))
    with pytest.raises(MetricError, match="onnxruntime cannot open it"):
        open_session(tmp_path / "junk.bin")
    with pytest.raises(MetricError, match="has 9 or 15 outputs, not 1"):
        Scrfd.load(str(folder / "rec.onnx"))
    with pytest.raises(MetricError, match="one output, not 9"):
        OnnxRecogniser.load(str(folder / "det.onnx"))
    with pytest.raises(ValueError, match="multiple of 32, not 100"):
        Scrfd.load(str(folder / "det.onnx"), side=100)
