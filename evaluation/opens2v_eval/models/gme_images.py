"""Pictures as GME wants them: resized twice, as the published scores were made.

    fetch      sides to multiples of 28, 4 to 16384 tokens            the published code's own step
    process    sides to multiples of 28, 256 to 1280 tokens           the model's image processor

A 832x480 frame becomes 840x476 in the first step and stays so in the second: 510 tokens. Both steps are bicubic.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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


def fetch(picture: Image.Image | np.ndarray) -> Image.Image:
    """Return a picture as RGB at `fetch_size`.

    Args:
        picture: any PIL mode, or `(H, W, 3) uint8 RGB`.

    Raises:
        ValueError: a picture without pixels, or an array of another shape.
    """
    from PIL import Image

    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(f"expected a picture as (H, W, 3) uint8, not {picture.shape} {picture.dtype}")
        picture = Image.fromarray(picture)
    rgb = picture.convert("RGB")
    return rgb.resize(fetch_size(*rgb.size), Image.Resampling.BICUBIC)
