"""Whose face is in a picture? The largest face, aligned, as the unit vectors of face recognisers.

    picture ──FaceDetector──▶ faces ──largest──▶ 5 landmarks ──align──▶ 112x112 ──FaceRecogniser──▶ vector
                    └─ none: once more with a grey border of a quarter, for faces that fill the picture

Source of these steps: process_image() in upstream's get_facesim.py, which follows insightface.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

# Source: pad_np_bgr_image() of upstream.
BORDER = 0.25
BORDER_GREY = 128


@dataclass(frozen=True, kw_only=True, eq=False)
class Face:
    """A face in a picture.

    Attributes:
        xyxy: `(4,) float32`: left, top, right, bottom in pixels of the picture; may reach out of it.
        score: of the detector, in [0, 1].
        landmarks: `(5, 2) float32`: x and y in pixels of the left eye, right eye, nose, left and right corner of the mouth,
            as the beholder sees them.
    """

    xyxy: np.ndarray
    score: float
    landmarks: np.ndarray

    def __post_init__(self) -> None:
        if self.xyxy.shape != (4,) or self.landmarks.shape != (5, 2):
            raise ValueError(
                f"expected a box of 4 numbers and 5 landmarks, not {self.xyxy.shape} and {self.landmarks.shape}"
            )

    @property
    def area(self) -> float:
        """Pixels in the box."""
        left, top, right, bottom = self.xyxy.tolist()
        return (right - left) * (bottom - top)


class FaceDetector(Protocol):
    """Finds faces in one picture."""

    def detect(self, picture: np.ndarray) -> list[Face]:
        """Return the faces of `(H, W, 3) uint8 RGB`, best first."""
        ...


class FaceRecogniser(Protocol):
    """Makes vectors of faces; a cosine of two says how alike they are."""

    def align(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        """Cut a face out of `(H, W, 3) uint8 RGB` by its five landmarks, as the model was trained to see it."""
        ...

    def embed(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        """Return `(N, D) float32`, L2-normalised, for faces that `align` made."""
        ...


def largest_face(detector: FaceDetector, picture: np.ndarray) -> Face | None:
    """Return the face with the largest box; None if there is none, even with a border around the picture.

    Args:
        detector: of faces.
        picture: `(H, W, 3) uint8 RGB`.

    Raises:
        ValueError: an array of another shape or type.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ValueError(f"expected a picture as (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
    if faces := detector.detect(picture):
        return max(faces, key=lambda face: face.area)
    height, width = picture.shape[:2]
    rows, columns = int(height * BORDER), int(width * BORDER)
    bordered = np.pad(picture, ((rows, rows), (columns, columns), (0, 0)), constant_values=BORDER_GREY)
    faces = detector.detect(bordered)
    if not faces:
        return None
    face = max(faces, key=lambda face: face.area)
    shift = np.array([columns, rows], dtype=np.float32)
    return Face(xyxy=face.xyxy - np.tile(shift, 2), score=face.score, landmarks=face.landmarks - shift)
