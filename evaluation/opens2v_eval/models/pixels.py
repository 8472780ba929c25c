"""From frames to what vision models take, as PIL and transformers do it, without torchvision and on the frames' device.

A resize is PIL's bicubic (a = -0.5, antialiased), first to the width, then to the height, rounded to whole levels after
each. On a CPU torch does that in integers: of noise and of smooth pictures 0.4% of the values are a level off PIL's, and some
in a million two. On a GPU torch has no uint8 resize; done in float32 in those two steps, 0.1% are a level off. In one step,
without the rounding between, they are up to 22 levels off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from collections.abc import Sequence

# openai/clip-vit-large-patch14, preprocessor_config.json; those of all of OpenAI's CLIP models.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


def resize_bicubic(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize frames.

    Args:
        frames: `(T, C, H, W) uint8`, any device.
        size: `(height, width)` to come out, pixels.

    Returns:
        `(T, C, height, width) uint8`, same device; the frames themselves where they have that size.
    """
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    if frames.device.type == "cpu":
        return interpolate(frames, size=size, mode="bicubic", align_corners=False, antialias=True)
    return resize_in_float(frames, size)


def resize_in_float(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Do the same in float32, as a GPU needs it."""
    height, width = size
    made = frames.float()
    for step in ((frames.shape[-2], width), (height, width)):
        made = interpolate(made, size=step, mode="bicubic", align_corners=False, antialias=True)
        made = made.round_().clamp_(0, 255)
    return made.to(torch.uint8)


def resize_bilinear(frames: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize frames as OpenCV's `INTER_LINEAR` does: four neighbours, without antialiasing, at most a level off.

    Args:
        frames: `(T, C, H, W) uint8`, any device.
        size: `(height, width)` to come out, pixels.

    Returns:
        `(T, C, height, width) uint8`, same device.
    """
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    made = interpolate(frames.float(), size=size, mode="bilinear", align_corners=False)
    return made.round_().clamp_(0, 255).to(torch.uint8)


def shortest_edge_size(height: int, width: int, edge: int) -> tuple[int, int]:
    """Return `(height, width)` where the shorter side is `edge` and the longer is cut to a whole number."""
    if height <= width:
        return edge, int(edge * width / height)
    return int(edge * height / width), edge


def center_crop(frames: torch.Tensor, size: int) -> torch.Tensor:
    """Return the middle square; an odd pixel is left over at the right and below."""
    top, left = (frames.shape[-2] - size) // 2, (frames.shape[-1] - size) // 2
    return frames[..., top : top + size, left : left + size]


def pad_to_square(frames: torch.Tensor, colour: Sequence[int]) -> torch.Tensor:
    """Put frames in the middle of squares of a colour; an odd pixel more is at the right or below.

    Args:
        frames: `(T, 3, H, W) uint8`.
        colour: RGB, 0 to 255.
    """
    height, width = frames.shape[-2:]
    side = max(height, width)
    if height == width:
        return frames
    top, left = (side - height) // 2, (side - width) // 2
    made = frames.new_tensor(list(colour), dtype=torch.uint8)[None, :, None, None].repeat(len(frames), 1, side, side)
    made[..., top : top + height, left : left + width] = frames
    return made


def normalised(
    frames: torch.Tensor, mean: Sequence[float] = CLIP_MEAN, std: Sequence[float] = CLIP_STD
) -> torch.Tensor:
    """Return `(x / 255 - mean) / std` in float32, `(T, 3, H, W)`."""
    scale = frames.to(torch.float32) * (1 / 255)
    offset = scale.new_tensor(mean)[None, :, None, None]
    return (scale - offset) / scale.new_tensor(std)[None, :, None, None]


def clip_pixels(frames: torch.Tensor, *, size: int = 224) -> torch.Tensor:
    """Return what CLIP takes of frames: shorter side to `size`, middle square, CLIP's mean and deviation.

    Args:
        frames: `(T, 3, H, W) uint8 RGB`, any device.

    Returns:
        `(T, 3, size, size) float32`, same device.
    """
    height, width = frames.shape[-2:]
    return normalised(center_crop(resize_bicubic(frames, shortest_edge_size(height, width, size)), size))
