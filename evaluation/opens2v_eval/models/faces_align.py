"""A face turned, scaled and shifted so that its five landmarks lie where the recogniser expects them."""

from __future__ import annotations

import numpy as np

ALIGNED_SIDE = 112
# Where the landmarks lie in an aligned face of 112x112 pixels: left eye, right eye, nose, left and right corner of the mouth.
# Source: arcface_dst in insightface/utils/face_align.py.
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    dtype=np.float64,
)


def similarity_transform(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the turn, scale and shift that bring points nearest to others, in the least squares' sense.

    S. Umeyama, Least-squares estimation of transformation parameters between two point patterns (1991), equations 40 to 43.
    No mirroring: a face is not turned into its mirror image.

    Args:
        source: `(N, 2)`, at least two different points.
        target: `(N, 2)`.

    Returns:
        `(2, 3) float64`: `target ≈ source @ matrix[:, :2].T + matrix[:, 2]`.

    Raises:
        ValueError: other shapes, or all points of the source in one place.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or source.shape[1] != 2 or source.shape != target.shape:
        raise ValueError(f"expected as many points as targets, (N, 2), not {source.shape} and {target.shape}")
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    centred = source - source_mean
    spread = (centred**2).sum() / len(source)
    if not spread > 0:
        raise ValueError("expected points in different places, they are all in one")
    covariance = (target - target_mean).T @ centred / len(source)
    left, stretch, right = np.linalg.svd(covariance)
    # det(U) det(V) is the sign of the covariance's determinant, and defined where that is 0 (points on one line).
    signs = np.array([1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    turn = left @ np.diag(signs) @ right
    scale = (stretch * signs).sum() / spread
    return np.column_stack([scale * turn, target_mean - scale * turn @ source_mean])


def align_face(picture: np.ndarray, landmarks: np.ndarray, *, side: int = ALIGNED_SIDE) -> np.ndarray:
    """Cut a face out of a picture.

    Args:
        picture: `(H, W, 3) uint8 RGB`.
        landmarks: `(5, 2)`, pixels of the picture.
        side: of the result, in pixels; a multiple of 112.

    Returns:
        `(side, side, 3) uint8 RGB`, bilinear, black outside of the picture.

    Raises:
        ValueError: another side, or landmarks all in one place.
    """
    import cv2

    if side < ALIGNED_SIDE or side % ALIGNED_SIDE:
        raise ValueError(f"the side of an aligned face is a multiple of {ALIGNED_SIDE}, not {side}")
    matrix = similarity_transform(landmarks, TEMPLATE * (side / ALIGNED_SIDE))
    return cv2.warpAffine(picture, matrix, (side, side), borderValue=0.0)
