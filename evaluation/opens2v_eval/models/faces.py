"""Whose face is in a picture? The largest face, aligned, as the unit vectors of face recognisers.

    picture ──FaceDetector──▶ faces ──largest──▶ 5 landmarks ──align──▶ 112x112 ──FaceRecogniser──▶ vector
                    └─ none: once more with a grey border of a quarter, for faces that fill the picture

Source of these steps: process_image() in upstream's get_facesim.py, which follows insightface.

A picture is `(H, W, 3) uint8 RGB` in host memory, and goes through OpenCV as upstream's do, or a tensor `(3, H, W) uint8 RGB`,
and goes through the same steps with torch on its device. Boxes and landmarks are in host memory either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    Picture: TypeAlias = np.ndarray | torch.Tensor

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

    def detect(self, picture: Picture) -> list[Face]:
        """Return the faces of a picture, best first."""
        ...


class FaceRecogniser(Protocol):
    """Makes vectors of faces; a cosine of two says how alike they are."""

    def align(self, picture: Picture, landmarks: np.ndarray) -> Picture:
        """Cut a face out of a picture by its five landmarks, as the model was trained to see it; where the picture is."""
        ...

    def embed(self, faces: Sequence[Picture]) -> np.ndarray:
        """Return `(N, D) float32`, L2-normalised, in host memory, for faces that `align` made, all in one place."""
        ...


def largest_face(detector: FaceDetector, picture: Picture) -> Face | None:
    """Return the face with the largest box; None if there is none, even with a border around the picture.

    Args:
        detector: of faces.
        picture: see above.

    Raises:
        ValueError: an array of another shape or type.
    """
    height, width = picture_size(picture)
    if faces := detector.detect(picture):
        return max(faces, key=lambda face: face.area)
    rows, columns = int(height * BORDER), int(width * BORDER)
    faces = detector.detect(_bordered(picture, rows, columns))
    if not faces:
        return None
    face = max(faces, key=lambda face: face.area)
    shift = np.array([columns, rows], dtype=np.float32)
    return Face(xyxy=face.xyxy - np.tile(shift, 2), score=face.score, landmarks=face.landmarks - shift)


def picture_size(picture: Picture) -> tuple[int, int]:
    """Return a picture's height and width.

    Raises:
        ValueError: an array or tensor of another shape or type.
    """
    is_array, shape = isinstance(picture, np.ndarray), tuple(picture.shape)
    if len(shape) != 3 or shape[2 if is_array else 0] != 3 or str(picture.dtype).removeprefix("torch.") != "uint8":
        wanted = "(H, W, 3)" if is_array else "(3, H, W)"
        raise ValueError(f"expected a picture as {wanted} uint8, not {shape} {picture.dtype}")
    return shape[:2] if is_array else shape[1:]


def _bordered(picture: Picture, rows: int, columns: int) -> Picture:
    """Put grey around a picture."""
    if isinstance(picture, np.ndarray):
        return np.pad(picture, ((rows, rows), (columns, columns), (0, 0)), constant_values=BORDER_GREY)
    from torch.nn.functional import pad

    return pad(picture, (columns, columns, rows, rows), value=BORDER_GREY)
