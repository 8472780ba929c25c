"""What does a subject look like? Its cut-out, and the annotated frame with every region outlined.

Boxes and masks are in the *cropped* annotated frame: `annotated_frame` gives that frame, everything else here takes it.

A cut-out is made from the mask. Where there is none, an empty one, one of another size or one that cannot be read, the
box is cut out instead, and `CutOut.source` and `CutOut.note` say so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, floor, isfinite
from typing import TYPE_CHECKING, Literal

import numpy as np

from opens2v_data.errors import DecodeError, MissingExtraError
from opens2v_loaders.masks import decode_rle, mask_bbox, region_clusters

try:
    from PIL import Image
except ImportError as error:
    raise MissingExtraError(package="pillow", extra="video", needed_for="cutting out subjects") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.triples import Clip, Subject
    from opens2v_loaders.container import VideoSource

Background = Literal["white", "black", "transparent"]
Box = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class CutOut:
    """One subject, cut out of the annotated frame.

    Attributes:
        image: PIL image; RGB, or RGBA where the background is transparent.
        box_xyxy: half-open pixels of the cropped annotated frame that the image shows.
        source: what it was cut along.
        note: why the mask was not used; None where it was.
    """

    image: Image.Image = field(repr=False)
    box_xyxy: Box
    source: Literal["mask", "bbox"]
    note: str | None


def annotated_frame(video: VideoSource, clip: Clip) -> np.ndarray:
    """Decode the frame that a clip's boxes and masks belong to: `(H, W, 3) uint8 RGB`, cropped to `clip.crop_xyxy`.

    A crop that reaches past the frame is cut to it; masks then have another size than the frame, which `cut_out` notes.

    Raises:
        DecodeError: the clip has no annotated frame, its crop lies outside, or its video does not decode (a subclass).
    """
    from opens2v_loaders.frames import read_frames

    if clip.ann_frame_idx is None:
        raise DecodeError(f"clip {clip.key} of {clip.part} names no annotated frame, so it has no cut-outs")
    return read_frames(video, [clip.ann_frame_idx], crop_xyxy=clip.crop_xyxy).rgb[0]


def cut_out(
    frame_rgb: np.ndarray, subject: Subject, *, background: Background = "white", margin_px: int = 0
) -> CutOut | None:
    """Cut a subject out of the cropped annotated frame.

    Args:
        frame_rgb: `(H, W, 3) uint8 RGB`, see `annotated_frame`.
        background: what stands where the mask does not; a cut-out along the box keeps all of its pixels.
        margin_px: kept around the region on each side, as far as the frame goes.

    Returns:
        The cut-out, or None when nothing can be cut out: no usable mask, and no box that overlaps the frame.
    """
    if margin_px < 0:
        raise ValueError(f"margin_px must be 0 or more, not {margin_px}")
    if background not in ("white", "black", "transparent"):
        raise ValueError(f"background must be white, black or transparent, not {background!r}")
    height, width = frame_rgb.shape[:2]
    note = why_no_mask(subject, height=height, width=width)
    box = subject_box(subject, height=height, width=width)
    if box is None:
        return None
    x0, y0, x1, y1 = box = _grow(box, margin_px, height=height, width=width)
    pixels = frame_rgb[y0:y1, x0:x1]
    if note is None and subject.mask is not None:
        inside = decode_rle(subject.mask)[y0:y1, x0:x1]
    else:
        inside = np.ones(pixels.shape[:2], bool)
    if background == "transparent":
        alpha = np.where(inside, np.uint8(255), np.uint8(0))
        image = Image.fromarray(np.dstack([pixels, alpha]))
    else:
        image = Image.fromarray(np.where(inside[..., None], pixels, np.uint8(255 if background == "white" else 0)))
    return CutOut(image=image, box_xyxy=box, source="mask" if note is None else "bbox", note=note)


def why_no_mask(subject: Subject, *, height: int, width: int) -> str | None:
    """Return why a subject's mask cannot be used on a frame of that size; None when it can."""
    mask = subject.mask
    if mask is None:
        return "no mask"
    if (mask.height, mask.width) != (height, width):
        return f"mask is {mask.height}x{mask.width}, frame is {height}x{width}"
    try:
        return None if mask_bbox(mask) else "empty mask"
    except DecodeError as error:
        return f"unreadable mask: {error}"


def subject_box(subject: Subject, *, height: int, width: int) -> Box | None:
    """Return the half-open pixels that hold a subject: around its mask, else its box cut to the frame, else None."""
    if subject.mask is not None and why_no_mask(subject, height=height, width=width) is None:
        return mask_bbox(subject.mask)
    if subject.bbox_xyxy is None or not all(isfinite(value) for value in subject.bbox_xyxy):
        return None
    x1, y1, x2, y2 = subject.bbox_xyxy
    left, top, right, bottom = max(floor(x1), 0), max(floor(y1), 0), min(ceil(x2), width), min(ceil(y2), height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def subject_regions(subjects: Sequence[Subject], *, iou: float = 0.8) -> list[list[Subject]]:
    """Group subjects that are the same region under several names; the best gme score first in each group.

    Subjects without a usable mask are regions of their own. See `masks.region_clusters`.
    """
    groups = region_clusters([subject.mask for subject in subjects], iou)
    return [
        sorted((subjects[i] for i in group), key=lambda s: -1.0 if s.gme_score is None else s.gme_score, reverse=True)
        for group in groups
    ]


def region_name(region: Sequence[Subject]) -> str:
    """Return the class names of a region, each once, joined by " · "."""
    return " · ".join(dict.fromkeys(subject.class_name for subject in region))


def _grow(box: Box, margin_px: int, *, height: int, width: int) -> Box:
    x0, y0, x1, y1 = box
    return max(x0 - margin_px, 0), max(y0 - margin_px, 0), min(x1 + margin_px, width), min(y1 + margin_px, height)
