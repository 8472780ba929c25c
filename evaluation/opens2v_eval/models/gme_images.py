"""Pictures as GME wants them: resized twice, as the published scores were made.

    fetch      sides to multiples of 28, 4 to 16384 tokens            the published code's own step
    process    sides to multiples of 28, 256 to 1280 tokens           the model's image processor

A 832x480 frame becomes 840x476 in the first step and stays so in the second: 510 tokens. Both steps are PIL's bicubic, first to
the width, then to the height, rounded between. Pillow did so in one call when the scores were published; since version 13 it
begins with the height where that shrinks more, which moves 6% of the values of a frame of the authors' demo by up to 3 levels
(of 256). So the order is given here. Frames that are in a GPU's memory stay there: the same steps with torch, where 0.1% of the
values come out a level off, see `pixels`. That way was not run on a GPU yet, only on a CPU beside the other.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from PIL import Image

# The side of a token in pixels: two patches of 14.
# Source: gme_inference.py and modeling_gme_qwen2vl.py of Alibaba-NLP/gme-Qwen2-VL-7B-Instruct, after qwen_vl_utils.
SIDE_OF_TOKEN = 28
MIN_FETCH_TOKENS = 4
MAX_FETCH_TOKENS = 16384
MIN_IMAGE_TOKENS = 256
MAX_IMAGE_TOKENS = 1280
MAX_ASPECT = 200


def fetch_size(width: int, height: int) -> tuple[int, int]:
    """Return the size, width first, to which the published code resizes a picture before the processor sees it.

    Raises:
        ValueError: a picture without pixels.
    """
    if width < 1 or height < 1:
        raise ValueError(f"expected a picture with pixels, not one of {width}x{height}")
    side, least, most = SIDE_OF_TOKEN, MIN_FETCH_TOKENS * SIDE_OF_TOKEN**2, MAX_FETCH_TOKENS * SIDE_OF_TOKEN**2
    new_width, new_height = (max(side, round(length / side) * side) for length in (width, height))
    if new_width * new_height > most:
        shrink = math.sqrt(width * height / most)
        new_width, new_height = (math.floor(length / shrink / side) * side for length in (width, height))
    elif new_width * new_height < least:
        grow = math.sqrt(least / (width * height))
        new_width, new_height = (math.ceil(length * grow / side) * side for length in (width, height))
    # A side of 0 is possible here for a picture thinner than 1:16384; one token's side is the least that can be shown.
    new_width, new_height = max(new_width, side), max(new_height, side)
    if max(new_width, new_height) > MAX_ASPECT * min(new_width, new_height):
        new_width, new_height = min(new_width, new_height * MAX_ASPECT), min(new_height, new_width * MAX_ASPECT)
    return new_width, new_height


def prepared(picture: Image.Image | np.ndarray, *, min_pixels: int, max_pixels: int) -> Image.Image:
    """Return a picture after both steps, at a size that the model's image processor leaves as it is.

    Args:
        picture: any PIL mode, or `(H, W, 3) uint8 RGB`.
        min_pixels, max_pixels: of the processor.

    Raises:
        ValueError: a picture without pixels, or an array of another shape.
    """
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(f"expected a picture as (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
        picture = Image.fromarray(picture)
    rgb = picture.convert("RGB")
    width, height = fetch_size(*rgb.size)
    rgb = _width_first(rgb, width, height)
    height, width = smart_resize(height, width, SIDE_OF_TOKEN, min_pixels, max_pixels)
    return _width_first(rgb, width, height)


def _width_first(picture: Image.Image, width: int, height: int) -> Image.Image:
    from PIL import Image

    bicubic = Image.Resampling.BICUBIC
    return picture.resize((width, picture.height), bicubic).resize((width, height), bicubic)


def frame_patches(
    frames: torch.Tensor, *, min_pixels: int, max_pixels: int, patch: int = 14, merge: int = 2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Do both steps with frames on their device, and cut them as the model's image processor does.

    Args:
        frames: `(T, 3, H, W) uint8 RGB`, any device.
        min_pixels, max_pixels: of the processor.
        patch: side of a patch, pixels.
        merge: a token is `merge` by `merge` patches, which come one after another.

    Returns:
        `(T * patches, 3 * 2 * patch * patch) float32`, same device, and `(T, 3) int64` of grids, in host memory.

    Raises:
        ValueError: frames without pixels, or a tensor of another shape or type.
    """
    import torch
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    from opens2v_eval.models.pixels import normalised, resize_bicubic

    if frames.ndim != 4 or frames.shape[1] != 3 or frames.dtype != torch.uint8:
        raise ValueError(f"expected frames as (T, 3, H, W) uint8, not {tuple(frames.shape)} {frames.dtype}")
    width, height = fetch_size(frames.shape[-1], frames.shape[-2])
    frames = resize_bicubic(frames, (height, width))
    height, width = smart_resize(height, width, patch * merge, min_pixels, max_pixels)
    pixels = normalised(resize_bicubic(frames, (height, width)))
    rows, columns = height // patch, width // patch
    cells = pixels.reshape(len(pixels), 3, rows // merge, merge, patch, columns // merge, merge, patch)
    # (T, rows of tokens, columns of tokens, rows and columns of patches in a token, colour, row and column of pixels)
    cells = cells.permute(0, 2, 5, 3, 6, 1, 4, 7)
    # Qwen2-VL takes two frames at a time; an image counts as two that are alike.
    cells = cells.unsqueeze(6).expand(*cells.shape[:6], 2, *cells.shape[6:])
    grids = torch.tensor([[1, rows, columns]]).repeat(len(pixels), 1)
    return cells.reshape(len(pixels) * rows * columns, 3 * 2 * patch * patch), grids
