"""What do the pieces of a contact sheet look like? Text, thumbnails and cards, in one light theme."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import MissingExtraError

try:
    from PIL import Image, ImageDraw, ImageFont
except ImportError as error:
    raise MissingExtraError(package="pillow", extra="video", needed_for="drawing pictures") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    Color = tuple[int, int, int]

PAGE, CARD, EDGE, WELL = (243, 244, 247), (255, 255, 255), (224, 227, 233), (247, 248, 250)
INK, MUTED, ACCENT, WARNING = (30, 34, 42), (112, 119, 132), (44, 92, 197), (168, 88, 0)
GAP, PADDING, RADIUS = 14, 28, 8


@cache
def font(size: int) -> Font:
    """Return pillow's own font at a size in pixels."""
    return ImageFont.load_default(size=size)


def drawable(text: str) -> str:
    """Return the text as one line that fonts take: upstream's captions hold line breaks and lone surrogates."""
    return " ".join(text.encode("utf-8", "replace").decode("utf-8").split())


def text_width(text: str, size: int) -> int:
    """Return how wide a line is, pixels."""
    return round(font(size).getlength(text))


def elided(text: str, size: int, width: int) -> str:
    """Return the line, shortened in the middle where it is wider than `width`."""
    text = drawable(text)
    if text_width(text, size) <= width:
        return text
    keep = len(text)
    while keep > 2 and text_width(text[: keep - keep // 2] + "…" + text[len(text) - keep // 2 :], size) > width:
        keep -= 1
    return text[: keep - keep // 2] + "…" + text[len(text) - keep // 2 :]


def wrapped(text: str, size: int, width: int, max_lines: int) -> list[str]:
    """Break text into lines no wider than `width`; what does not fit ends in "…"."""
    lines = [""]
    for word in drawable(text).split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if not lines[-1] or text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], " ".join(lines[max_lines - 1 :])]
        while text_width(lines[-1] + "…", size) > width and " " in lines[-1]:
            lines[-1] = lines[-1].rsplit(" ", 1)[0]
        lines[-1] += "…"
    return [elided(line, size, width) for line in lines]


def text_block(text: str, *, width: int, size: int = 17, color: Color = INK, max_lines: int = 40) -> Image.Image:
    """Draw wrapped text on the card's ground."""
    lines, step = wrapped(text, size, width, max_lines), round(size * 1.45)
    block = Image.new("RGB", (width, step * len(lines)), CARD)
    draw = ImageDraw.Draw(block)
    for number, line in enumerate(lines):
        draw.text((0, number * step), line, font=font(size), fill=color)
    return block


def split_line(left: str, right: str, *, width: int, size: int = 22, right_size: int = 15) -> Image.Image:
    """Draw a heading with a muted note at the right end."""
    line = Image.new("RGB", (width, round(size * 1.5)), CARD)
    draw = ImageDraw.Draw(line)
    note = elided(right, right_size, width * 2 // 3)
    note_width = text_width(note, right_size)
    draw.text((0, 0), elided(left, size, width - note_width - GAP), font=font(size), fill=INK)
    draw.text((width - note_width, (size - right_size) * 0.8), note, font=font(right_size), fill=MUTED)
    return line


def facts(pairs: Sequence[tuple[str, str]], *, width: int) -> Image.Image:
    """Draw small labels, each over its value, side by side."""
    block = Image.new("RGB", (width, 50), CARD)
    draw = ImageDraw.Draw(block)
    step = width // max(len(pairs), 1)
    for number, (label, value) in enumerate(pairs):
        draw.text((number * step, 0), elided(label, 13, step - 6), font=font(13), fill=MUTED)
        draw.text((number * step, 19), elided(value, 21, step - 6), font=font(21), fill=INK)
    return block


def fitted(image: Image.Image, width: int, height: int, ground: Image.Image | None = None) -> Image.Image:
    """Scale a picture into a box of exactly that size, whole, over a ground, with round corners."""
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.resize(size, Image.Resampling.LANCZOS)
    box = Image.new("RGB", (width, height), WELL) if ground is None else ground.copy()
    place = ((width - small.width) // 2, (height - small.height) // 2)
    box.paste(small.convert("RGB"), place, small.getchannel("A") if small.mode == "RGBA" else None)
    return rounded(box)


def rounded(image: Image.Image) -> Image.Image:
    """Round a picture's corners onto the card's ground, with a hairline around."""
    corners = Image.new("L", image.size, 0)
    ImageDraw.Draw(corners).rounded_rectangle((0, 0, image.width - 1, image.height - 1), radius=RADIUS, fill=255)
    out = Image.new("RGB", image.size, CARD)
    out.paste(image, (0, 0), corners)
    ImageDraw.Draw(out).rounded_rectangle((0, 0, image.width - 1, image.height - 1), radius=RADIUS, outline=EDGE)
    return out


def checkerboard(width: int, height: int, square: int = 10) -> Image.Image:
    """Draw the ground that stands for "transparent"."""
    rows, columns = np.mgrid[0:height, 0:width] // square
    light = (rows + columns) % 2 == 0
    return Image.fromarray(np.where(light, np.uint8(255), np.uint8(236))[..., None].repeat(3, axis=2))


def placeholder(reason: str, width: int, height: int) -> Image.Image:
    """Draw an empty box that says why there is no picture."""
    box = Image.new("RGB", (width, height), WELL)
    draw = ImageDraw.Draw(box)
    size = 15 if width > 220 else 13
    lines = wrapped(reason, size, width - 24, max(1, (height - 12) // round(size * 1.4)))
    top = (height - round(size * 1.4) * len(lines)) // 2
    for number, line in enumerate(lines):
        left = (width - text_width(line, size)) // 2
        draw.text((left, top + number * round(size * 1.4)), line, font=font(size), fill=WARNING)
    return rounded(box)


def labelled(picture: Image.Image, label: str, note: str = "", *, color: Color | None = None) -> Image.Image:
    """Set a label, and a muted note, under a picture; a bar of the region's colour between."""
    lines = [line for line in (label, note) if line]
    out = Image.new("RGB", (picture.width, picture.height + 10 + 21 * len(lines)), CARD)
    out.paste(picture, (0, 0))
    draw = ImageDraw.Draw(out)
    if color is not None:
        draw.rounded_rectangle((0, picture.height + 4, 27, picture.height + 7), radius=2, fill=color)
    for number, line in enumerate(lines):
        place = (0, picture.height + 10 + 21 * number)
        draw.text(place, elided(line, 15, picture.width), font=font(15), fill=INK if number == 0 and label else MUTED)
    return out


def row(pictures: Sequence[Image.Image], *, gap: int = GAP) -> Image.Image:
    """Set pictures side by side, tops aligned."""
    size = (sum(picture.width for picture in pictures) + gap * (len(pictures) - 1), max(p.height for p in pictures))
    out, left = Image.new("RGB", size, CARD), 0
    for picture in pictures:
        out.paste(picture, (left, 0))
        left += picture.width + gap
    return out


def column(pictures: Sequence[Image.Image], *, gap: int = GAP, ground: Color = CARD) -> Image.Image:
    """Set pictures below each other, left edges aligned."""
    size = (max(picture.width for picture in pictures), sum(p.height for p in pictures) + gap * (len(pictures) - 1))
    out, top = Image.new("RGB", size, ground), 0
    for picture in pictures:
        out.paste(picture, (0, top))
        top += picture.height + gap
    return out


def card(content: Image.Image) -> Image.Image:
    """Set content on a white card with a margin."""
    out = Image.new("RGB", (content.width + 2 * PADDING, content.height + 2 * PADDING), PAGE)
    box = (0, 0, out.width - 1, out.height - 1)
    ImageDraw.Draw(out).rounded_rectangle(box, radius=2 * RADIUS, fill=CARD, outline=EDGE)
    out.paste(content, (PADDING, PADDING))
    return out
