"""A barcode in every frame, so that a test can prove which frame of which video was decoded.

The code lies at the top left of the *cropped* frame, its first block at (x=4, y=4), blocks of 8 x 8 pixels:

    x = 4        12                                           92   100
    y = 4  | white | f9 | f8 | f7 | f6 | f5 | f4 | f3 | f2 | f1 | f0 | black |      frame number
    y = 12 | black | v9 | v8 | v7 | v6 | v5 | v4 | v3 | v2 | v1 | v0 | white |      video number

The first and the last block of each row are fixed, so that a picture without the code is told apart. White and black
are far from clipping and the reader looks at the middle of each block, which survives H.264 at a low rate and a
resize to half the size.
"""

from __future__ import annotations

import numpy as np

BLOCK_PIXELS = 8
MARGIN_PIXELS = 4
NUM_BLOCKS = 12
"""Blocks a row: one fixed at either end, ten bits between."""

BARCODE_WIDTH = MARGIN_PIXELS + NUM_BLOCKS * BLOCK_PIXELS
BARCODE_HEIGHT = MARGIN_PIXELS + 2 * BLOCK_PIXELS

_WHITE, _BLACK = 224, 32


def draw_barcode(
    rgb: np.ndarray, frame_number: int, video_number: int, *, crop_xyxy: tuple[int, int, int, int]
) -> None:
    """Draw the code into a whole (uncropped) frame, in place.

    Args:
        rgb: (H, W, 3) uint8.
        frame_number: display order, 0-based, below 1024.
        video_number: below 1024.
        crop_xyxy: the region that the reader will see, pixels.
    """
    left, top = crop_xyxy[0] + MARGIN_PIXELS, crop_xyxy[1] + MARGIN_PIXELS
    for row, bits in enumerate((f"1{frame_number:010b}0", f"0{video_number:010b}1")):
        line = np.array([_WHITE if bit == "1" else _BLACK for bit in bits], np.uint8).repeat(BLOCK_PIXELS)
        y = top + row * BLOCK_PIXELS
        rgb[y : y + BLOCK_PIXELS, left : left + len(line)] = line[None, :, None]


def read_frame_number(rgb: np.ndarray, *, cropped_size: tuple[int, int] | None = None) -> int:
    """Read the number of the frame, in display order from 0.

    Args:
        rgb: (H, W, 3) the *cropped* frame; uint8, or float in [0, 255].
        cropped_size: (width, height) of the cropped frame before it was resized to `rgb`; None: it was not resized.

    Raises:
        ValueError: no barcode is there.
    """
    return _read_row(rgb, row=0, cropped_size=cropped_size)


def read_video_number(rgb: np.ndarray, *, cropped_size: tuple[int, int] | None = None) -> int:
    """Read the number of the video (`VideoFacts.number`) that the frame belongs to; see `read_frame_number`."""
    return _read_row(rgb, row=1, cropped_size=cropped_size)


def _read_row(rgb: np.ndarray, *, row: int, cropped_size: tuple[int, int] | None) -> int:
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"expected a (H, W, 3) frame, found the shape {rgb.shape}")
    height, width = rgb.shape[:2]
    full_width, full_height = cropped_size or (width, height)
    scale_x, scale_y = width / full_width, height / full_height
    y = MARGIN_PIXELS + row * BLOCK_PIXELS
    quarter = BLOCK_PIXELS / 4
    y0, y1 = _span((y + quarter) * scale_y, (y + 3 * quarter) * scale_y)
    bits: list[bool] = []
    for block in range(NUM_BLOCKS):
        x = MARGIN_PIXELS + block * BLOCK_PIXELS
        x0, x1 = _span((x + quarter) * scale_x, (x + 3 * quarter) * scale_x)
        bits.append(float(rgb[y0:y1, x0:x1].mean()) > (_WHITE + _BLACK) / 2)
    if (bits[0], bits[-1]) != ((True, False) if row == 0 else (False, True)):
        raise ValueError(
            f"no barcode at the top left of this {width}x{height} frame: is it cropped to the record's `crop`, "
            "and was `cropped_size` given if it is resized?"
        )
    return int("".join("1" if bit else "0" for bit in bits[1:-1]), 2)


def _span(low: float, high: float) -> tuple[int, int]:
    """Give the whole pixels of a half-open range, at least one."""
    start = round(low)
    return start, max(start + 1, round(high))
