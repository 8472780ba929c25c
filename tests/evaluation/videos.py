"""Videos that tests of the evaluation score: small, written here, with what is in them known."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


def moving_pictures(
    num_frames: int, *, height: int = 64, width: int = 96, step: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Return `(T, H, W, 3) uint8 RGB`: a smooth random picture that moves to the right by so many pixels a frame."""
    rng = np.random.default_rng(seed)
    small = rng.uniform(0, 255, (height // 8 + 2, (width + 64) // 8 + 2, 3))
    rows, columns = np.arange(height) / 8, np.arange(width + 64) / 8
    top, left = rows.astype(int), columns.astype(int)
    down, right = (rows - top)[:, None, None], (columns - left)[None, :, None]
    large = (1 - down) * (1 - right) * small[top][:, left] + (1 - down) * right * small[top][:, left + 1]
    large += down * (1 - right) * small[top + 1][:, left] + down * right * small[top + 1][:, left + 1]
    offsets = [round(32 - step * number) % 64 for number in range(num_frames)]
    return np.stack([large[:, offset : offset + width] for offset in offsets]).astype(np.uint8)


def write_video(path: Path, pictures: np.ndarray, *, crf: int = 18) -> Path:
    """Write pictures, `(T, H, W, 3) uint8 RGB`, as H.264 with the index first, and return the path."""
    _, height, width, _ = pictures.shape
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(15, 1), options={"crf": str(crf), "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"  # pyright: ignore[reportAttributeAccessIssue]
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))  # pyright: ignore
        container.mux(stream.encode(None))  # pyright: ignore[reportAttributeAccessIssue]
    return path
