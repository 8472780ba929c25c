"""Is this worth training on? One picture of triples, cross-video pairs and GPT views, to look at.

A piece that is missing (no bytes, no masks, a clip that does not decode) is a box with the reason, never an error.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import DecodeError, MissingExtraError
from opens2v_loaders.cutouts import annotated_frame, cut_out, region_name, subject_regions
from opens2v_loaders.frames import read_frames
from opens2v_loaders.layout import (
    GAP,
    MUTED,
    PADDING,
    PAGE,
    WARNING,
    card,
    checkerboard,
    column,
    facts,
    fitted,
    labelled,
    placeholder,
    row,
    split_line,
    text_block,
)
from opens2v_loaders.outlines import draw_outlines, region_color

try:
    from PIL import Image, UnidentifiedImageError
except ImportError as error:
    raise MissingExtraError(package="pillow", extra="video", needed_for="contact sheets") from error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from opens2v_data.triples import Clip, Pair, Subject, Triple, View

MARGIN, STRIP_FRAMES, CUTOUT_COLUMNS = 36, 5, 6
NO_BYTES = "no video bytes at hand for this clip"


@dataclass(frozen=True, kw_only=True)
class TripleItem:
    """A triple to show.

    Attributes:
        video_bytes: the clip's whole mp4, or None.
    """

    triple: Triple
    video_bytes: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class PairItem:
    """A cross-video pair to show.

    Attributes:
        left_bytes, right_bytes: the two clips' whole mp4s, or None.
    """

    pair: Pair
    left_bytes: bytes | None = field(default=None, repr=False)
    right_bytes: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class ViewItem:
    """A GPT-Image-1 view to show beside what it was made from.

    Attributes:
        triple: the clip whose subject the view shows.
        png_bytes: the view's picture, or None.
        video_bytes: the clip's whole mp4, or None.
    """

    triple: Triple
    view: View
    png_bytes: bytes | None = field(default=None, repr=False)
    video_bytes: bytes | None = field(default=None, repr=False)


def contact_sheet(
    items: Sequence[TripleItem | PairItem | ViewItem],
    *,
    path: str | PathLike[str] | None = None,
    width: int = 1600,
) -> Image.Image:
    """Draw the items below each other, each on a card.

    Args:
        path: where to save the picture as well; its ending names the format, `.png` for one.
        width: pixels, 800 or more.

    Returns:
        An RGB image, as high as it needs to be.
    """
    if width < 800:
        raise ValueError(f"width must be 800 or more pixels, not {width}")
    inner = width - 2 * (MARGIN + PADDING)
    cards = [card(_content(item, inner)) for item in items] or [card(text_block("Nothing to show.", width=inner))]
    stacked = column(cards, gap=MARGIN // 2, ground=PAGE)
    sheet = Image.new("RGB", (width, stacked.height + 2 * MARGIN), PAGE)
    sheet.paste(stacked, (MARGIN, MARGIN))
    if path is not None:
        sheet.save(Path(path))
    return sheet


def _content(item: TripleItem | PairItem | ViewItem, width: int) -> Image.Image:
    if isinstance(item, TripleItem):
        return _triple(item, width)
    return _pair(item, width) if isinstance(item, PairItem) else _view(item, width)


def _triple(item: TripleItem, width: int) -> Image.Image:
    triple, clip = item.triple, item.triple.clip
    frame = _annotated(item.video_bytes, clip)
    picture_width = round(width * 0.56)
    if isinstance(frame, str):
        picture = placeholder(frame, picture_width, round(picture_width * 9 / 16))
    else:
        outlined = draw_outlines(frame, triple.subjects)
        height = min(round(picture_width * outlined.height / outlined.width), picture_width)
        picture = fitted(outlined, picture_width, height)
    text_width = width - picture_width - 2 * GAP
    scores = facts(
        [("aesthetic", _number(clip.aesthetic)), ("motion", _number(clip.motion)), ("tech", _number(clip.tech))],
        width=text_width,
    )
    tags = " · ".join(word for kind in ("subject", "object", "background") for word in clip.tags.get(kind, ()))
    tags_block = text_block(tags or "no word tags", width=text_width, size=15, color=MUTED, max_lines=3)
    caption = text_block(triple.caption or "(no caption)", width=text_width, size=16, max_lines=24)
    return column(
        [
            split_line("Subject-text-video triple", f"{clip.part} / {clip.key}", width=width),
            row([picture, column([scores, caption, tags_block])], gap=2 * GAP),
            _strip(item.video_bytes, clip, width),
            _cutouts(frame, triple.subjects, width),
        ],
        gap=GAP + 4,
    )


def _strip(video_bytes: bytes | None, clip: Clip, width: int) -> Image.Image:
    """Draw frames spread over `face_cut`, else `cut`, else the file."""
    cell = (width - (STRIP_FRAMES - 1) * GAP) // STRIP_FRAMES
    name = "face_cut" if clip.face_cut else "cut" if clip.cut else "clip"
    start, stop = clip.face_cut or clip.cut or (0, clip.num_frames or 0)
    indices = sorted({int(i) for i in np.linspace(start, stop - 1, STRIP_FRAMES).round()}) if stop > start else []
    if video_bytes is None or not indices:
        return placeholder(NO_BYTES if indices else f"{name} [{start}, {stop}) holds no frame", width, 80)
    try:
        frames = read_frames(video_bytes, indices, crop_xyxy=clip.crop_xyxy)
    except (DecodeError, ValueError) as error:
        return placeholder(f"{type(error).__name__}: {error}", width, 80)
    cells = []
    for frame_idx, rgb, seconds in zip(indices, frames.rgb, frames.pts_seconds, strict=True):
        height = min(round(cell * rgb.shape[0] / rgb.shape[1]), cell)
        cells.append(labelled(fitted(Image.fromarray(rgb), cell, height), "", f"frame {frame_idx} · {seconds:.2f} s"))
    return row(cells)


def _cutouts(frame: np.ndarray | str, subjects: Sequence[Subject], width: int) -> Image.Image:
    """Draw one cut-out per region, in the colours of the outlines."""
    if not subjects:
        return placeholder("the clip has no subjects", width, 80)
    cell = (width - (CUTOUT_COLUMNS - 1) * GAP) // CUTOUT_COLUMNS
    cells = []
    for number, region in enumerate(subject_regions(subjects)):
        picture, note = _cutout_cell(frame, region[0], cell, round(cell * 0.75))
        scores = f"gme {_number(region[0].gme_score)} · aes {_number(region[0].aes_score)}"
        cells.append(
            labelled(picture, region_name(region), f"{scores} · {note}" if note else scores, color=region_color(number))
        )
    rows = [cells[i : i + CUTOUT_COLUMNS] for i in range(0, len(cells), CUTOUT_COLUMNS)]
    return column([row(cells) for cells in rows])


def _pair(item: PairItem, width: int) -> Image.Image:
    pair = item.pair
    side_width = (width - 3 * GAP) // 2
    sides = [
        _side(pair.left, pair.left_object_id, pair.left_class_name, item.left_bytes, side_width),
        _side(pair.right, pair.right_object_id, pair.right_class_name, item.right_bytes, side_width),
    ]
    similarities = [
        ("image similarity", _number(pair.image_similarity)),
        ("text similarity", _number(pair.text_similarity)),
    ]
    parts = [
        split_line("Cross-video pair", pair.left.clip.cluster_id, width=width),
        facts(similarities, width=width // 3),
        row(sides, gap=3 * GAP),
    ]
    if pair.image_similarity is not None and pair.image_similarity > 0.99:
        parts.append(text_block("The two cut-outs are nearly the same picture.", width=width, size=15, color=WARNING))
    return column(parts)


def _side(triple: Triple, object_id: int | None, class_name: str, video_bytes: bytes | None, width: int) -> Image.Image:
    cut_width = (width - GAP) * 2 // 5
    frame_width = width - GAP - cut_width
    height = round(frame_width * 9 / 16)
    frame = _annotated(video_bytes, triple.clip)
    subject = _subject(triple, object_id, class_name)
    cut, note = _cutout_cell(frame, subject, cut_width, height)
    label = f"{class_name} (object {object_id})" if object_id is not None else class_name
    pictures = row([_frame_cell(frame, subject, frame_width, height), cut])
    return labelled(labelled(pictures, label, note), "", f"{triple.clip.part} / {triple.clip.key}")


def _view(item: ViewItem, width: int) -> Image.Image:
    view, clip = item.view, item.triple.clip
    cell_height = round((width - 2 * GAP) / (1 + 0.9 + 16 / 9))
    view_width, cut_width = cell_height, round(cell_height * 0.9)
    frame_width = width - view_width - cut_width - 2 * GAP
    subject = _subject(item.triple, view.object_id)
    frame = _annotated(item.video_bytes, clip)
    cut, note = _cutout_cell(frame, subject, cut_width, cell_height)
    cells = [
        labelled(_png_cell(item.png_bytes, view_width, cell_height), "GPT-Image-1 view", f"number {view.view_idx}"),
        labelled(cut, "cut-out", note or (f"object {view.object_id}" if view.object_id is not None else "")),
        labelled(_frame_cell(frame, subject, frame_width, cell_height), "source frame", f"frame {clip.ann_frame_idx}"),
    ]
    return column([split_line(f"GPT view: {view.class_name}", f"{clip.part} / {clip.key}", width=width), row(cells)])


def _annotated(video_bytes: bytes | None, clip: Clip) -> np.ndarray | str:
    """Return the annotated frame, or why there is none."""
    if video_bytes is None:
        return NO_BYTES
    try:
        return annotated_frame(video_bytes, clip)
    except (DecodeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def _subject(triple: Triple, object_id: int | None, class_name: str | None = None) -> Subject | str:
    """Return the subject of that id, or why there is none; a pair's id can name one of another class than the pair does."""
    if object_id is None:
        return "upstream names no subject here"
    found = next((subject for subject in triple.subjects if subject.object_id == object_id), None)
    if found is None:
        return f"the clip has no subject {object_id}"
    if class_name is not None and found.class_name != class_name:
        return f"subject {object_id} is {found.class_name!r} here, upstream's pair says {class_name!r}"
    return found


def _cutout_cell(frame: np.ndarray | str, subject: Subject | str, width: int, height: int) -> tuple[Image.Image, str]:
    """Draw a cut-out over a checkerboard; the note says why it is only a box."""
    if isinstance(subject, str) or isinstance(frame, str):
        return placeholder(subject if isinstance(subject, str) else "no frame to cut out of", width, height), ""
    cut = cut_out(frame, subject, background="transparent", margin_px=4)
    if cut is None:
        return placeholder("neither a mask nor a box in the frame", width, height), ""
    return fitted(cut.image, width, height, checkerboard(width, height)), f"box: {cut.note}" if cut.note else ""


def _frame_cell(frame: np.ndarray | str, subject: Subject | str, width: int, height: int) -> Image.Image:
    if isinstance(frame, str):
        return placeholder(frame, width, height)
    outlined = draw_outlines(frame, [] if isinstance(subject, str) else [subject], labels=False)
    return fitted(outlined, width, height)


def _png_cell(png_bytes: bytes | None, width: int, height: int) -> Image.Image:
    if png_bytes is None:
        return placeholder("no picture at hand for this view", width, height)
    try:
        picture = Image.open(io.BytesIO(png_bytes)).convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        return placeholder(f"the view is no picture that pillow reads: {error}", width, height)
    return fitted(picture, width, height, checkerboard(width, height))


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}" if abs(value) < 1.5 else f"{value:.2f}"
