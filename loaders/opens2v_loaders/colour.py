"""YUV to RGB as tensor code, for pictures that are on a GPU: what swscale gives on the CPU, there too.

swscale has three ways, with roundings of their own. A model trained on batches of one machine and run on another should
not see a difference, so each way is done as swscale does it:

    8 bits, 4:2:0 and 4:2:2    chroma repeated over its pixels; every product cut down to a whole number, then summed
    more bits, 4:2:0, 4:2:2    chroma mixed 3 to 1 between rows (4:2:0) and, where it lies on the left pixel of two, to the
                               right; all rounded to 8 bits; then a table of luma, in which chroma moves the place
    4:4:4                      summed, then rounded (swscale itself wraps around far outside of RGB; not here)

Pictures of odd size have more ways; they are left to swscale (`why_not`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from opens2v_loaders.swscale import FULL

if TYPE_CHECKING:
    from collections.abc import Sequence

# libswscale/yuv2rgb.c, ff_yuv2rgb_coeffs: red of V, blue of U, green of U, green of V, for limited range, 1/65536.
_INVERSE = {
    1: (117489, 138438, 13975, 34925),
    4: (104448, 132798, 24759, 53109),
    5: (104597, 132201, 25675, 53279),
    7: (117579, 136230, 16907, 35559),
    9: (110013, 140363, 12277, 42626),
}
# FFmpeg's name: bits, and pixels that share a chroma sample down and across.
_LAYOUTS = {
    "yuv420p": (8, 2, 2),
    "yuvj420p": (8, 2, 2),
    "yuv422p": (8, 1, 2),
    "yuvj422p": (8, 1, 2),
    "yuv444p": (8, 1, 1),
    "yuvj444p": (8, 1, 1),
    "yuv420p10le": (10, 2, 2),
    "yuv422p10le": (10, 1, 2),
    "yuv444p10le": (10, 1, 1),
    "yuv420p12le": (12, 2, 2),
}

# Their decoders say so unless the stream says otherwise, which PyAV does not show: other places count as this one.
_CHROMA_ON_THE_LEFT = frozenset({"h264", "hevc"})


def why_not(pixel_format: str | None, *, codec: str, width: int, height: int) -> str | None:
    """Return why pictures of a format and size are not converted here; None where they are."""
    if pixel_format not in _LAYOUTS:
        return f"pixel format {pixel_format} is converted by swscale only"
    bits, down, across = _LAYOUTS[pixel_format]
    if height % down or width % across:
        return f"{pixel_format} of odd size {width}x{height} is converted by swscale only"
    if bits > 8 and across > 1 and codec not in _CHROMA_ON_THE_LEFT:
        return f"where {codec} puts the chroma of {pixel_format} is known to swscale only"
    return None


def is_chroma_left(codec: str) -> bool:
    """Return whether a codec's chroma lies on the left pixel of two, which swscale minds beyond 8 bits."""
    return codec in _CHROMA_ON_THE_LEFT


def rgb_from_yuv(
    planes: Sequence[torch.Tensor], *, pixel_format: str, matrix: int, color_range: int, chroma_is_left: bool = False
) -> torch.Tensor:
    """Convert pictures to RGB.

    Args:
        planes: luma `(…, H, W)`, and U and V `(…, H/down, W/across)`; uint8, or int16 with so many bits as the format has;
            on any device.
        pixel_format: a name that `why_not` lets pass.
        matrix: swscale's number, see `swscale.matrix_and_range`.
        color_range: `swscale.LIMITED` or `swscale.FULL`.
        chroma_is_left: see `is_chroma_left`.

    Returns:
        `(…, 3, H, W) uint8 RGB`, on the planes' device.
    """
    bits, down, across = _LAYOUTS[pixel_format]
    coefficients = _Coefficients.of(matrix, is_full=color_range == FULL)
    y, u, v = (plane.to(torch.int32) for plane in planes)
    if down == 1 and across == 1:
        return _summed(y, u, v, coefficients, bits)
    if bits == 8:
        return _cut_then_summed(y, u, v, coefficients, (down, across))
    y = _rounded_off(y, bits - 8)  # may be 256, and is looked up there; chroma is not
    u, v = (_eight_bits(plane, bits, is_left=chroma_is_left, is_mixed=down == 2) for plane in (u, v))
    return _looked_up(y, _repeated(u, across), _repeated(v, across), coefficients)


@dataclass(frozen=True, kw_only=True)
class _Coefficients:
    """Of a matrix and range, 1/65536: what to multiply luma (less its offset) and chroma (less its middle) by."""

    luma: int
    luma_offset: int
    red_of_v: int
    blue_of_u: int
    green_of_u: int
    green_of_v: int

    @classmethod
    def of(cls, matrix: int, *, is_full: bool) -> _Coefficients:
        red_of_v, blue_of_u, green_of_u, green_of_v = _INVERSE[matrix]
        if is_full:
            red_of_v, blue_of_u, green_of_u, green_of_v = (
                value * 224 // 255 for value in (red_of_v, blue_of_u, green_of_u, green_of_v)
            )
        return cls(
            luma=65536 if is_full else 65536 * 255 // 219,
            luma_offset=0 if is_full else 16,
            red_of_v=red_of_v,
            blue_of_u=blue_of_u,
            green_of_u=-green_of_u,
            green_of_v=-green_of_v,
        )


def _stacked(*channels: torch.Tensor) -> torch.Tensor:
    return torch.stack([channel.clamp_(0, 255).to(torch.uint8) for channel in channels], dim=-3)


def _repeated(plane: torch.Tensor, across: int) -> torch.Tensor:
    *batch, height, width = plane.shape
    return plane[..., None].expand(*batch, height, width, across).reshape(*batch, height, width * across)


def _cut_then_summed(
    y: torch.Tensor, u: torch.Tensor, v: torch.Tensor, of: _Coefficients, shared: tuple[int, int]
) -> torch.Tensor:
    """As the SIMD code does (libswscale/x86/yuv_2_rgb.asm): 13 bits of each coefficient, products shifted down.

    Chroma is multiplied at its own size, and sums are 16 bits wide: 16 pictures of 720p take 0.32 GB, not 0.62.
    """
    down, across = shared
    *batch, height, width = y.shape

    def product(plane: torch.Tensor, coefficient: int) -> torch.Tensor:
        return (plane * ((coefficient + 4) >> 3)).bitwise_right_shift_(13).to(torch.int16)

    luma, u, v = product(y - of.luma_offset, of.luma), u - 128, v - 128
    blocks = luma.view(*batch, height // down, down, width // across, across)

    def channel(chroma: torch.Tensor) -> torch.Tensor:
        return (blocks + chroma[..., :, None, :, None]).view(luma.shape)

    return _stacked(
        channel(product(v, of.red_of_v)),
        channel(product(u, of.green_of_u) + product(v, of.green_of_v)),
        channel(product(u, of.blue_of_u)),
    )


def _rounded_off(values: torch.Tensor, bits: int) -> torch.Tensor:
    return (values + (1 << (bits - 1))) >> bits


def _eight_bits(plane: torch.Tensor, bits: int, *, is_left: bool, is_mixed: bool) -> torch.Tensor:
    """Round chroma to 8 bits; left: move it between its two pixels first; mixed: put a row between each two."""
    spare = bits - 8
    if is_left:
        plane = 3 * plane + torch.cat([plane[..., 1:], plane[..., -1:]], dim=-1)
        spare += 2
    if is_mixed:
        above = torch.cat([plane[..., :1, :], plane[..., :-1, :]], dim=-2)
        below = torch.cat([plane[..., 1:, :], plane[..., -1:, :]], dim=-2)
        plane = torch.stack([3 * plane + above, 3 * plane + below], dim=-2).flatten(-3, -2)
        spare += 2
    return _rounded_off(plane, spare).clamp_(max=255)


def _looked_up(y: torch.Tensor, u: torch.Tensor, v: torch.Tensor, of: _Coefficients) -> torch.Tensor:
    """As the C code does (libswscale/yuv2rgb.c, ff_yuv2rgb_c_init_tables): chroma in whole steps of luma."""
    start = (384 if of.luma_offset == 0 else 326) * of.luma - ((384 + of.luma_offset) << 16)

    def steps(plane: torch.Tensor, coefficient: int) -> torch.Tensor:
        scaled = int(((coefficient << 16) + 0x8000) / of.luma)  # towards 0, as C divides; times 255 it fits 31 bits
        return (plane * scaled >> 16) - (scaled >> 9)

    def value(place: torch.Tensor) -> torch.Tensor:
        return place * of.luma + (start + 0x8000) >> 16

    return _stacked(
        value(y + steps(v, of.red_of_v)),
        value(y + steps(u, of.green_of_u) + steps(v, of.green_of_v)),
        value(y + steps(u, of.blue_of_u)),
    )


def _summed(y: torch.Tensor, u: torch.Tensor, v: torch.Tensor, of: _Coefficients, bits: int) -> torch.Tensor:
    luma = (y - (of.luma_offset << (bits - 8))).to(torch.float32) * of.luma
    u, v = ((plane - (128 << (bits - 8))).to(torch.float32) for plane in (u, v))
    scale = 1 / (65536 << (bits - 8))

    def rounded(value: torch.Tensor) -> torch.Tensor:
        return (value * scale).round_().clamp_(0, 255)

    return _stacked(
        rounded(luma + v * of.red_of_v),
        rounded(luma + u * of.green_of_u + v * of.green_of_v),
        rounded(luma + u * of.blue_of_u),
    )
