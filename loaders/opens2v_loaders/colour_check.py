"""Does another decoder give our colours? Its first picture of a kind is held against the CPU's, then the kind is known.

A decoder that converts to RGB by itself may take another matrix or range than the stream says: torchcodec's CUDA kernels
did so for full range and BT.601 in some versions. Exact conversion and swscale's, which cuts products down, are 3 levels
apart at most, 2 once green is lower (`torchcodec_backend.lower_green`); another matrix or range is 20 or more at strong colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from opens2v_loaders.frames import decoded
from opens2v_loaders.swscale import BT601, FULL, LIMITED, Converter, matrix_and_range

if TYPE_CHECKING:
    from collections.abc import Hashable

    from opens2v_loaders.container import OpenClip

AUTO_LEVELS = 2
"""How far from the CPU's the colours may be of a decoder that `auto` takes: what is promised of all."""
NAMED_LEVELS = 4
"""How far those of a decoder that was asked for by name may be: other rounding passes, another matrix or range does not."""


class ColourCheck:
    """What is known of one decoder's colours. Threads share it: at worst two look at the same time."""

    def __init__(self) -> None:
        self._found: dict[Hashable, str | None] = {}

    def why_not(self, kind: Hashable) -> str | None:
        """Return why clips of a kind are not for this decoder, as far as is known."""
        return self._found.get(kind)

    def look(
        self, kind: Hashable, clip: OpenClip, frame_idx: int, picture: torch.Tensor, *, max_levels: int = AUTO_LEVELS
    ) -> str | None:
        """Hold a picture against the CPU's, unless its kind is known.

        A picture so grey that other colours could not be told from right ones leaves the kind unknown.

        Args:
            kind: what the decoder's conversion depends on.
            clip: whose decoder is not in use.
            picture: `(3, H, W) uint8 RGB` of the frame, whole, on any device.
            max_levels: how far from the CPU's its values may be; part of the kind.

        Returns:
            What is wrong with it, if anything.

        Raises:
            CorruptFrameError: the frame is damaged.
        """
        if kind in self._found:
            return self._found[kind]
        *_, (_, frame) = decoded(clip, [frame_idx])
        converter = Converter()
        ours = _tensor(converter.rgb(frame))
        levels = int((picture.cpu().int() - ours).abs().max())
        why = f"its colours are up to {levels} levels from the CPU's" if levels > max_levels else None
        matrix, color_range = matrix_and_range(frame.colorspace, frame.color_range, frame.format.name)
        others = ((1 if matrix == BT601 else BT601, color_range), (matrix, LIMITED if color_range == FULL else FULL))
        if why is not None or all(
            int((_tensor(converter.rgb_as(frame, *other)) - ours).abs().max()) > max_levels for other in others
        ):
            self._found[kind] = why
        return why


def _tensor(rgb: object) -> torch.Tensor:
    """Return a copy, `(3, H, W) int32`: a converter's memory is used again."""
    return torch.as_tensor(rgb).permute(2, 0, 1).to(torch.int32)
