"""What OWLv2 takes of frames, as its image processor makes it, with torch and on the frames' device.

    (T, 3, H, W) uint8 ──/ 255──▶ a square, black to the right and below ──▶ blurred where it shrinks, bilinear ──▶ normalised

The processor asks scipy for the blur and the interpolation, picture by picture on the CPU. Both are linear and go along one
side after the other, so that what scipy does to the columns of an identity matrix is all that it does: two products of matrices
with that give its pixels to 1e-6 (of 1; noise of seven sizes). The black is not multiplied.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


def owlv2_pixels(frames: torch.Tensor, image_processor: Any) -> torch.Tensor:
    """Return what a model takes of frames of one size.

    Args:
        frames: `(T, 3, H, W) uint8 RGB`, any device.
        image_processor: an `Owlv2ImageProcessorPil`, whose numbers count.

    Returns:
        `(T, 3, height, width) float32`, same device.
    """
    import torch

    height, width = frames.shape[-2:]
    side, size = max(height, width), image_processor.size
    down, across = (
        torch.from_numpy(_resize_weights(side, int(size[name]))).to(frames.device) for name in ("height", "width")
    )
    pixels = frames.float() * image_processor.rescale_factor
    pixels = down[:, :height] @ pixels @ across[:, :width].T
    mean, std = (
        pixels.new_tensor(values)[:, None, None] for values in (image_processor.image_mean, image_processor.image_std)
    )
    return (pixels - mean) / std


@lru_cache(maxsize=8)  # 5 MB for a side of 1280
def _resize_weights(side: int, new_side: int) -> np.ndarray:
    """Return `(new_side, side) float32`: how much of each old pixel is in each new one, along one side of a square."""
    from scipy import ndimage

    grown = new_side / side
    blur = max(0.0, (1 / grown - 1) / 2)
    blurred = ndimage.gaussian_filter1d(np.eye(side), blur, axis=0, mode="mirror") if blur > 0 else np.eye(side)
    made = ndimage.zoom(blurred, (grown, 1), order=1, mode="mirror", grid_mode=True)
    return np.asarray(made, dtype=np.float32)
