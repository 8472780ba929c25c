"""Which pixels are many subjects'? The masks of a clip, or of a batch of equal frames, as one tensor on any device.

    run lengths of all masks   [3 2 1 …] [7 4 …]          a few thousand numbers: all that is sent to a GPU
    zeros and ones in turn     [0 1 0 …] [0 1 …]          repeated so often each: N masks, column by column
    (N, W, H)  ─▶  (N, H, W)                              COCO counts down the columns

`masks.decode_rle` gives one mask without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import DecodeError, MissingExtraError
from opens2v_loaders.masks import run_lengths

try:
    import torch
except ImportError as error:
    raise MissingExtraError(package="torch", extra="torch", needed_for="masks as tensors") from error

from opens2v_loaders.resize import resize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.triples import MaskRLE
    from opens2v_loaders.sampling import Fit


def decode_masks(
    masks: Sequence[MaskRLE | None],
    *,
    size: tuple[int, int] | None = None,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Return masks of one size as a tensor, painted on the device itself.

    Args:
        masks: compressed run lengths; None is a mask without a pixel.
        size: `(height, width)`, pixels; None: that of the first mask. Needed where there is none.
        device: where it is wanted.

    Returns:
        `(N, H, W) bool`, contiguous: True inside.

    Raises:
        DecodeError: a mask is not COCO compressed run lengths, or not of its own size; the message has its number.
        ValueError: masks of different sizes, or no size at all.
    """
    where = torch.device(device)
    height, width = _size_of(masks, size)
    num_pixels = height * width
    runs: list[np.ndarray] = []
    for number, mask in enumerate(masks):
        try:
            found = np.array([num_pixels], np.int64) if mask is None else run_lengths(mask)
        except DecodeError as error:
            raise DecodeError(f"mask {number} of {len(masks)}: {error}") from error
        # Zeros and ones go on in turn over all masks, so each has an even number of runs.
        runs += [found, np.zeros(len(found) % 2, np.int64)]
    if not masks or not num_pixels:
        return torch.zeros((len(masks), height, width), dtype=torch.bool, device=where)
    lengths = torch.from_numpy(np.concatenate(runs)).to(where)
    is_inside = torch.arange(len(lengths), device=where) % 2 == 1
    # With its size known beforehand a GPU need not be waited for.
    painted = torch.repeat_interleave(is_inside, lengths, output_size=len(masks) * num_pixels)
    return painted.view(len(masks), width, height).transpose(1, 2).contiguous()


def masks_on_frames(
    groups: Sequence[Sequence[MaskRLE | None]],
    fits: Sequence[Fit],
    *,
    size: tuple[int, int],
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Return the masks of several clips, brought to the size of their frames as these were brought there.

    Args:
        groups: the masks of each clip, in its cropped annotated frame; None is a mask without a pixel.
        fits: of each clip, see `sampling.ClipSpec.fit`.
        size: `(height, width)` of frames, pixels.
        device: where it is wanted.

    Returns:
        `(S, H, W) bool`, S masks in all: True where half of a pixel or more is inside.

    Raises:
        DecodeError, ValueError: see `decode_masks`.
    """
    painted = torch.zeros((sum(map(len, groups)), *size), dtype=torch.bool, device=device)
    start = 0
    for masks, fit in zip(groups, fits, strict=True):
        here = [start + number for number, mask in enumerate(masks) if mask is not None]
        start += len(masks)
        if not here:
            continue
        whole = decode_masks([mask for mask in masks if mask is not None], device=device)
        resized = resize(whole[:, None].to(torch.uint8) * 255, fit.resize)[:, 0]
        left, top, right, bottom = fit.box_xyxy
        painted[here] = resized[:, top:bottom, left:right] >= 128
    return painted


def _size_of(masks: Sequence[MaskRLE | None], size: tuple[int, int] | None) -> tuple[int, int]:
    sizes = [(mask.height, mask.width) for mask in masks if mask is not None]
    if size is None:
        if not sizes:
            raise ValueError("expected a mask, or size=(height, width), found neither")
        size = sizes[0]
    for number, mask in enumerate(masks):
        if mask is not None and (mask.height, mask.width) != tuple(size):
            raise ValueError(
                f"masks of one tensor have one size: expected {size[0]}x{size[1]} (height x width), "
                f"mask {number} is {mask.height}x{mask.width}"
            )
    return int(size[0]), int(size[1])
