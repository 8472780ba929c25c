"""Faces by SCRFD, the detector of insightface's packages (`det_10g.onnx`), on ONNX runtime.

    picture ──shrunk or enlarged to fit 320x320, black to the right and below──▶ model
    per stride 8, 16, 32 and per cell two anchors at the cell's corner:
        score, distances to left, top, right, bottom, and to five landmarks, all in strides

Source: insightface/model_zoo/scrfd.py (Guo et al., Sample and Computation Redistribution for Efficient Face Detection, 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.errors import MetricError
from opens2v_eval.models.faces import Face
from opens2v_eval.models.faces_onnx import OnnxModel, stacked

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from opens2v_eval.models.faces import Picture

# FaceAnalysis.prepare(det_size=(320, 320)) of upstream; insightface's defaults for the rest.
DETECTION_SIDE = 320
SCORE_THRESHOLD = 0.5
NMS_THRESHOLD = 0.4
INPUT_MEAN, INPUT_STD = 127.5, 128.0
# Number of outputs (scores, boxes and landmarks of each stride): strides, anchors per cell.
_LAYOUTS = {9: ((8, 16, 32), 2), 15: ((8, 16, 32, 64, 128), 1)}


class Scrfd(OnnxModel):
    """SCRFD with its weights loaded.

    Args:
        session: an ONNX runtime session.
        side: of the square that pictures are fitted into, in pixels; a multiple of the largest stride.
        score_threshold: faces need as much or more.
        nms_threshold: faces that overlap a better one by more are left out.

    Raises:
        MetricError: the model has not the outputs of an SCRFD with landmarks.
        ValueError: a side that the strides do not divide.
    """

    what = "FaceSim's detector"

    def __init__(
        self,
        session: Any,
        *,
        side: int = DETECTION_SIDE,
        score_threshold: float = SCORE_THRESHOLD,
        nms_threshold: float = NMS_THRESHOLD,
    ) -> None:
        outputs = [output.name for output in session.get_outputs()]
        if len(outputs) not in _LAYOUTS:
            raise MetricError(
                f"expected an SCRFD with landmarks, which has 9 or 15 outputs, not {len(outputs)}: give det_10g.onnx or its like"
            )
        self._strides, self._num_anchors = _LAYOUTS[len(outputs)]
        if side < 1 or side % self._strides[-1]:
            raise ValueError(f"the side is a multiple of {self._strides[-1]}, not {side}")
        super().__init__(session)
        self._outputs = outputs
        self._side = side
        self._score_threshold, self._nms_threshold = score_threshold, nms_threshold

    def detect(self, picture: Picture) -> list[Face]:
        """Return the faces of `(H, W, 3) uint8 RGB`, or of a tensor `(3, H, W)` on any device, best first."""
        if isinstance(picture, np.ndarray):
            fitted, scale = fit(picture, side=self._side)
        else:
            fitted, scale = fit_on_device(picture, side=self._side)
        pixels = (stacked([fitted]) - INPUT_MEAN) / INPUT_STD
        scores, boxes, landmarks = self._decode(self._answers(self._outputs, pixels))
        order = np.argsort(-scores, kind="stable")
        scores, boxes, landmarks = scores[order], boxes[order] / scale, landmarks[order] / scale
        return [
            Face(xyxy=boxes[place], score=float(scores[place]), landmarks=landmarks[place])
            for place in face_nms(boxes, threshold=self._nms_threshold)
        ]

    def _decode(self, answers: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return scores, boxes and landmarks above the threshold, in pixels of the model's input."""
        count = len(self._strides)
        scores, boxes, landmarks = [], [], []
        for place, stride in enumerate(self._strides):
            score = answers[place].reshape(-1)
            reach = answers[place + count].reshape(-1, 4) * stride
            points = answers[place + 2 * count].reshape(-1, 5, 2) * stride
            corners = anchor_corners(self._side // stride, stride=stride, num_anchors=self._num_anchors)
            if not len(score) == len(reach) == len(points) == len(corners):
                raise MetricError(
                    f"expected {len(corners)} answers of the face detector at stride {stride}, got {len(score)} scores, "
                    f"{len(reach)} boxes and {len(points)} sets of landmarks: give det_10g.onnx or its like"
                )
            good = score >= self._score_threshold
            corners, reach = corners[good], reach[good]
            scores.append(score[good])
            boxes.append(np.concatenate([corners - reach[:, :2], corners + reach[:, 2:]], axis=1))
            landmarks.append(corners[:, None] + points[good])
        return np.concatenate(scores), np.concatenate(boxes), np.concatenate(landmarks)


def fit(picture: np.ndarray, *, side: int) -> tuple[np.ndarray, float]:
    """Resize a picture to fit a square, at the left and top of it, black elsewhere.

    Returns:
        `(side, side, 3) uint8`, and by how much the picture grew.
    """
    import cv2

    height, width = fitting_size(*picture.shape[:2], side=side)
    fitted = np.zeros((side, side, 3), dtype=np.uint8)
    fitted[:height, :width] = cv2.resize(picture, (width, height))
    return fitted, height / picture.shape[0]


def fit_on_device(picture: torch.Tensor, *, side: int) -> tuple[torch.Tensor, float]:
    """Do the same with `(3, H, W) uint8` on its device; at most a level off.

    Returns:
        `(3, side, side) uint8`, same device, and by how much the picture grew.
    """
    from opens2v_eval.models.pixels import resize_bilinear

    height, width = fitting_size(*picture.shape[-2:], side=side)
    fitted = picture.new_zeros((3, side, side))
    fitted[:, :height, :width] = resize_bilinear(picture[None], (height, width))[0]
    return fitted, height / picture.shape[-2]


def fitting_size(height: int, width: int, *, side: int) -> tuple[int, int]:
    """Return the height and width of a picture whose longer side becomes `side`."""
    if height > width:
        return side, max(int(side * width / height), 1)
    return max(int(side * height / width), 1), side


def anchor_corners(cells: int, *, stride: int, num_anchors: int) -> np.ndarray:
    """Return `(cells * cells * num_anchors, 2) float32`: x and y of each anchor in pixels, row by row."""
    y, x = np.mgrid[:cells, :cells]
    corners = np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32) * stride
    return corners.repeat(num_anchors, axis=0)


def face_nms(boxes: np.ndarray, *, threshold: float) -> list[int]:
    """Return which boxes stay when each one, best first, removes those that overlap it by more.

    Sides count as in insightface, one pixel longer than the difference of their ends.

    Args:
        boxes: `(N, 4)`, best first.
        threshold: an overlap (intersection over union) above it removes the lower box.
    """
    areas = (boxes[:, 2] - boxes[:, 0] + 1) * (boxes[:, 3] - boxes[:, 1] + 1)
    left = np.arange(len(boxes))
    kept = []
    while len(left):
        best, rest = int(left[0]), left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:], boxes[rest, 2:])
        shared = np.maximum(high - low + 1, 0).prod(axis=1)
        left = rest[shared / (areas[best] + areas[rest] - shared) <= threshold]
    return kept
