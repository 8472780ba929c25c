"""Which part of the frame is which subject? The annotated frame with each region outlined and named."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import MissingExtraError
from opens2v_loaders.cutouts import Box, region_name, subject_box, subject_regions, why_no_mask
from opens2v_loaders.layout import drawable, font
from opens2v_loaders.masks import decode_rle

try:
    from PIL import Image, ImageDraw
except ImportError as error:
    raise MissingExtraError(package="pillow", extra="video", needed_for="drawing outlines") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.triples import Subject

# Ten hues told apart by most eyes, dark enough for white text.
PALETTE = (
    (214, 39, 40),
    (31, 105, 190),
    (28, 135, 60),
    (196, 90, 0),
    (124, 66, 176),
    (0, 128, 140),
    (200, 40, 130),
    (120, 92, 20),
    (70, 80, 100),
    (90, 130, 0),
)


def region_color(number: int) -> tuple[int, int, int]:
    """Return the colour of the n-th region."""
    return PALETTE[number % len(PALETTE)]


def draw_outlines(
    frame_rgb: np.ndarray, subjects: Sequence[Subject], *, iou: float = 0.8, labels: bool = True
) -> Image.Image:
    """Draw every region's outline in its own colour, with its names on a chip.

    Regions that several subjects share (overlap of at least `iou`) are drawn once. A region without a usable mask is
    its box, dashed; one without either is left out.

    Args:
        frame_rgb: `(H, W, 3) uint8 RGB`, the cropped annotated frame.
        subjects: of that frame.
        labels: whether to draw the chips.

    Returns:
        An RGB image of the frame's size.
    """
    height, width = frame_rgb.shape[:2]
    thickness = max(1, round(height / 240))
    regions = subject_regions(subjects, iou=iou)
    boxes = [subject_box(region[0], height=height, width=width) for region in regions]
    pixels = frame_rgb.copy()
    for number, region in enumerate(regions):
        _draw_mask_edge(pixels, region[0], region_color(number), thickness)
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image)
    for number, (region, box) in enumerate(zip(regions, boxes, strict=True)):
        if box is not None and why_no_mask(region[0], height=height, width=width) is not None:
            _draw_dashed_box(draw, box, region_color(number), thickness)
    taken: list[Box] = []
    for number, (region, box) in enumerate(zip(regions, boxes, strict=True)):
        # Masks have stray pixels far away; the box is where the subject is.
        anchor = subject_box(replace(region[0], mask=None), height=height, width=width) or box
        if anchor is not None and labels:
            _draw_chip(draw, drawable(region_name(region)), anchor, region_color(number), taken, size=(width, height))
    return image


def _draw_mask_edge(pixels: np.ndarray, subject: Subject, color: tuple[int, int, int], thickness: int) -> None:
    """Draw a band inside the mask's edge, and a thin white one inside of it, so that it stands out anywhere."""
    height, width = pixels.shape[:2]
    if subject.mask is None or why_no_mask(subject, height=height, width=width) is not None:
        return
    x0, y0, x1, y1 = subject_box(subject, height=height, width=width) or (0, 0, width, height)
    mask = decode_rle(subject.mask)[y0:y1, x0:x1]
    inner = mask
    for _ in range(thickness):
        inner = _eroded(inner)
    halo = inner
    for _ in range(max(1, thickness // 2)):
        halo = _eroded(halo)
    part = pixels[y0:y1, x0:x1]
    part[inner & ~halo] = 255
    part[mask & ~inner] = color


def _eroded(mask: np.ndarray) -> np.ndarray:
    padded = np.pad(mask, 1)
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _draw_dashed_box(draw: ImageDraw.ImageDraw, box: Box, color: tuple[int, int, int], thickness: int) -> None:
    x0, y0, x1, y1 = box[0], box[1], box[2] - 1, box[3] - 1
    draw.rectangle((x0, y0, x1, y1), outline="white", width=thickness)
    dash = 6 * thickness
    for x in range(x0, x1, 2 * dash):
        for y in (y0, y1 - thickness + 1):
            draw.rectangle((x, y, min(x + dash, x1), min(y + thickness - 1, y1)), fill=color)
    for y in range(y0, y1, 2 * dash):
        for x in (x0, x1 - thickness + 1):
            draw.rectangle((x, y, min(x + thickness - 1, x1), min(y + dash, y1)), fill=color)


def _draw_chip(
    draw: ImageDraw.ImageDraw,
    text: str,
    box: Box,
    color: tuple[int, int, int],
    taken: list[Box],
    *,
    size: tuple[int, int],
) -> None:
    """Write the name near the top left of its region, moved down or up to where no other chip is."""
    width, height = size
    size_px = max(9, round(height / 36))
    pad = max(2, round(height / 160))
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font(size_px))
    chip_width, chip_height = min(round(right - left) + 2 * pad, width), round(bottom - top) + 2 * pad
    x = max(0, min(box[0] + pad, width - chip_width))
    middle = max(0, min(box[1] + pad, height - chip_height))
    step = chip_height + 2
    places = [y for n in range(height // step + 1) for y in (middle + n * step, middle - n * step)]
    free = (
        (x, y, x + chip_width, y + chip_height)
        for y in places
        if 0 <= y <= height - chip_height
        and not any(_overlap((x, y, x + chip_width, y + chip_height), t) for t in taken)
    )
    chip = next(free, (x, middle, x + chip_width, middle + chip_height))
    taken.append(chip)
    edge = max(1, pad // 3)
    outer = (chip[0] - edge, chip[1] - edge, chip[2] + edge, chip[3] + edge)
    draw.rounded_rectangle(outer, radius=pad + edge, fill="white")
    draw.rounded_rectangle(chip, radius=pad, fill=color)
    draw.text((chip[0] + pad - left, chip[1] + pad - top), text, font=font(size_px), fill="white")


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
