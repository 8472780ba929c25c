"""What is to be seen on a clip's annotated frame, as values: its regions, what is odd about each subject, and the frame's size.

Upstream detects one object under several phrases, and sixteen filled masks are mud: subjects whose masks nearly agree are one
region, drawn once as an outline with its own colour, dashes and number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from opens2v_data.query.maskfacts import FAR_IOU
from opens2v_explorer.outlining import outline_path
from opens2v_loaders import decode_rle, mask_bbox, rle_area
from opens2v_loaders.cutouts import region_name, subject_box, subject_regions, why_no_mask
from opens2v_loaders.outlines import region_color

if TYPE_CHECKING:
    from opens2v_data.triples import Clip, Subject

DASHES = ("", "14 5", "3 5", "14 5 3 5")
"""Of outlines, pixels of a frame 720 high; "" is a whole line. With ten colours no two of twenty regions look alike."""

FlagCode = Literal["no-mask", "mask-size", "mask-empty", "mask-unreadable", "box-far", "no-box", "box-outside"]


@dataclass(frozen=True, kw_only=True)
class Flag:
    """Something about a subject that a reader should know.

    Attributes:
        code: which.
        text: in words, with the numbers.
    """

    code: FlagCode
    text: str


@dataclass(frozen=True, kw_only=True)
class SubjectNote:
    """A subject with what its mask and box say.

    Attributes:
        subject: the row.
        box_iou: intersection over union of its box and the box around its mask; None: one of the two is missing.
        area_ratio: of its mask, else of its box, as a share of the frame; None: neither.
        flags: what is odd.
    """

    subject: Subject
    box_iou: float | None
    area_ratio: float | None
    flags: tuple[Flag, ...]


@dataclass(frozen=True, kw_only=True)
class Region:
    """One region of the frame, under one or several names.

    Attributes:
        number: from 1; what colour, dashes and badge stand for.
        name: its class names, each once.
        notes: its subjects, the best gme score first.
        color: "#rrggbb", dark enough for white text.
        dash: SVG's stroke-dasharray; "" for a whole line.
        path: the mask's edge, pixels of the frame; None where only the box is known.
        box_xyxy: half-open pixels around it; None: nothing can be drawn.
        anchor_xy: where its badge stands, pixels; None as for the box.
    """

    number: int
    name: str
    notes: tuple[SubjectNote, ...]
    color: str
    dash: str
    path: str | None = field(repr=False)
    box_xyxy: tuple[int, int, int, int] | None
    anchor_xy: tuple[int, int] | None

    @property
    def names(self) -> tuple[str, ...]:
        """Its class names, each once."""
        return tuple(dict.fromkeys(note.subject.class_name for note in self.notes))

    @property
    def best(self) -> Subject:
        """The subject of the best gme score."""
        return self.notes[0].subject


def frame_size(clip: Clip, *, decoded: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """Return (width, height) of a clip's cropped frame, pixels: what boxes and masks are measured on.

    Args:
        clip: the row.
        decoded: (width, height) of the frames that its video has, before the crop; None: as recorded.
    """
    width, height = decoded or (clip.width, clip.height)
    if clip.crop_xyxy is None:
        return None if width is None or height is None else (width, height)
    x0, y0, x1, y1 = clip.crop_xyxy
    x0, y0 = max(x0, 0), max(y0, 0)
    x1, y1 = (x1 if width is None else min(x1, width)), (y1 if height is None else min(y1, height))
    return (x1 - x0, y1 - y0) if x0 < x1 and y0 < y1 else None


def note_of(subject: Subject, *, width: int, height: int) -> SubjectNote:
    """Return what is to be said of a subject on a frame of that size."""
    flags: list[Flag] = []
    mask, why = subject.mask, why_no_mask(subject, height=height, width=width)
    area_ratio = box_iou = None
    if mask is None:
        flags.append(Flag(code="no-mask", text="no mask: the box stands for it"))
    elif why is not None and why.startswith("mask is"):
        size = f"{mask.width} x {mask.height}"
        flags.append(Flag(code="mask-size", text=f"mask is {size} pixels, the frame {width} x {height}"))
    elif why == "empty mask":
        flags.append(Flag(code="mask-empty", text="its mask has no pixel"))
    elif why is not None:
        flags.append(Flag(code="mask-unreadable", text="its mask cannot be read"))
    else:
        area_ratio = rle_area(mask.counts) / (width * height)
        around = mask_bbox(mask)
        if around is not None and subject.bbox_xyxy is not None:
            box_iou = _box_iou(around, subject.bbox_xyxy)
            if box_iou is not None and box_iou < FAR_IOU:
                text = f"box far from mask: they overlap by {box_iou:.2f} (intersection over union)"
                flags.append(Flag(code="box-far", text=text))
    box = subject_box(replace(subject, mask=None), height=height, width=width)
    if subject.bbox_xyxy is None:
        flags.append(Flag(code="no-box", text="no box"))
    elif box is None:
        flags.append(Flag(code="box-outside", text="its box lies outside of the frame"))
    if area_ratio is None and box is not None:
        area_ratio = (box[2] - box[0]) * (box[3] - box[1]) / (width * height)
    return SubjectNote(subject=subject, box_iou=box_iou, area_ratio=area_ratio, flags=tuple(flags))


def regions_of(subjects: Sequence[Subject], *, width: int, height: int, iou: float = 0.8) -> list[Region]:
    """Return the regions of a frame, those that several subjects share once.

    Args:
        subjects: of the frame.
        width, height: of the cropped frame, pixels.
        iou: masks that overlap so much are one region.
    """
    made = []
    for number, group in enumerate(subject_regions(subjects, iou=iou), start=1):
        first = group[0]
        box = subject_box(first, height=height, width=width)
        is_masked = first.mask is not None and why_no_mask(first, height=height, width=width) is None
        # Masks have stray pixels far away; the box is where the subject is.
        anchor = subject_box(replace(first, mask=None), height=height, width=width) or box
        made.append(
            Region(
                number=number,
                name=region_name(group),
                notes=tuple(note_of(subject, width=width, height=height) for subject in group),
                color="#{:02x}{:02x}{:02x}".format(*region_color(number - 1)),
                dash=DASHES[(number - 1) % len(DASHES)],
                path=outline_path(decode_rle(first.mask)) if is_masked and first.mask is not None else None,
                box_xyxy=box,
                anchor_xy=None if anchor is None else (anchor[0], anchor[1]),
            )
        )
    return made


def _box_iou(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Return intersection over union of two boxes; None: neither has an area, or a number is none."""
    wide = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0)
    high = max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    areas = [max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0) for box in (a, b)]
    union = sum(areas) - wide * high
    return wide * high / union if union > 0 else None
