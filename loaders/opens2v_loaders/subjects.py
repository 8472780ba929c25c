"""Which subjects of a clip become pictures, and how? By a named policy, cut out and fitted to one size.

subjects of a clip ──▶ policy ──▶ cut out of the annotated frame ──▶ letterboxed to `size`, on the same background
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from opens2v_data.errors import MissingExtraError
from opens2v_loaders.cutouts import cut_out, subject_box, subject_regions, why_no_mask
from opens2v_loaders.masks import rle_area
from opens2v_loaders.sampling import draw_int

try:
    from PIL import Image
except ImportError as error:
    raise MissingExtraError(package="pillow", extra="video", needed_for="cutting out subjects") from error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.triples import MaskRLE, Subject

Policy = Literal["good", "all", "largest", "best", "random"]
Background = Literal["white", "black", "transparent"]


@dataclass(frozen=True, kw_only=True)
class SubjectSpec:
    """Which subjects of a clip a sample shows, and how.

    Attributes:
        policy: which, of those that can be cut out. All but "all" take one of each region, that of the highest GME score.
            "good": those of `min_aes` or `min_gme`, the largest first; where none is good, the largest of all.
            "all": every one, several of a region too, in order of object ids: what upstream's loader gives.
            "largest": whatever their scores, the largest first.
            "best": the highest GME score first.
            "random": in an order drawn for the row and the epoch.
        max_subjects: at most so many.
        size: (height, width) of a picture, pixels. The cut-out keeps its shape and stands in the middle.
        background: around it. Upstream uses white and black, in different places. With "transparent" pictures have a
            fourth channel, alpha: 0 around the subject, 255 on it; views are opaque.
        min_aes: LAION aesthetic score of the cut-out, about 0-10.
        min_gme: GME similarity of class name and cut-out.
        region_iou: subjects whose masks overlap so much are one region under several names.
        scene: also give the whole annotated frame and the background plate, see `scenes`.
    """

    policy: Policy = "good"
    max_subjects: int = 3
    size: tuple[int, int] = (224, 224)
    background: Background = "white"
    min_aes: float = 4.5
    min_gme: float = 0.6
    region_iou: float = 0.8
    scene: bool = False

    def __post_init__(self) -> None:
        """Check what later steps would not.

        Raises:
            ValueError: names the value and what it may be.
        """
        if self.policy not in get_args(Policy):
            raise ValueError(f"policy must be one of {', '.join(get_args(Policy))}, not {self.policy!r}")
        if self.max_subjects < 1 or len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(
                f"max_subjects and both sides of size must be 1 or more, not {self.max_subjects} and {self.size}"
            )
        if self.background not in get_args(Background):
            raise ValueError(f"background must be white, black or transparent, not {self.background!r}")

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        """`(C, H, W)` of a subject's picture."""
        return (4 if self.background == "transparent" else 3, *self.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One picture of a sample: a subject's cut-out, a partner's, a view, or a scene.

    Attributes:
        pixels: `(3, H, W) uint8 RGB`, or `(4, H, W) uint8 RGBA`, see `SubjectSpec.background`.
        box_xyxy: half-open pixels of the cropped annotated frame that it shows; zeros for a view or a scene.
        name: the subject's class name; "foreground" or "background" for a scene.
        object_id: of the clip it is cut out of; -1 for a scene or a view of no subject.
        mask: what it is cut out along, in the cropped annotated frame; None where that is the box, for a view or a scene.
    """

    pixels: np.ndarray
    box_xyxy: tuple[int, int, int, int]
    name: str
    object_id: int
    mask: MaskRLE | None = None


def choose(
    subjects: Sequence[Subject],
    spec: SubjectSpec,
    *,
    height: int,
    width: int,
    rng: np.random.Generator | None = None,
) -> list[Subject]:
    """Return the subjects of a clip that a policy takes.

    Args:
        height, width: of the cropped annotated frame, pixels.
        rng: draws the order of policy "random".

    Raises:
        ValueError: no random generator where one is needed.
    """
    usable = [subject for subject in subjects if subject_box(subject, height=height, width=width) is not None]
    if spec.policy == "all" or not usable:
        return usable[: spec.max_subjects]

    def area(subject: Subject) -> float:
        return _area(subject, height=height, width=width)

    if spec.policy == "good":
        good = [s for s in usable if (s.aes_score or 0.0) >= spec.min_aes or (s.gme_score or 0.0) >= spec.min_gme]
        if not good:
            return [max(usable, key=area)]
        usable = good
    found = [region[0] for region in subject_regions(usable, iou=spec.region_iou)]
    if spec.policy == "random":
        if rng is None:
            raise ValueError('policy="random" needs rng, e.g. rng_of(seed, epoch, row, "subjects")')
        for last in range(len(found) - 1, 0, -1):
            other = draw_int(rng, 0, last)
            found[last], found[other] = found[other], found[last]
    else:
        found.sort(key=_gme if spec.policy == "best" else area, reverse=True)
    return found[: spec.max_subjects]


def subject_picture(frame_rgb: np.ndarray, subject: Subject, spec: SubjectSpec) -> Picture | None:
    """Return a subject's picture, or None where nothing can be cut out.

    Args:
        frame_rgb: `(H, W, 3) uint8 RGB`, the cropped annotated frame.
    """
    found = cut_out(frame_rgb, subject, background=spec.background)
    if found is None:
        return None
    return Picture(
        pixels=letterbox(found.image, spec),
        box_xyxy=found.box_xyxy,
        name=subject.class_name,
        object_id=subject.object_id,
        mask=subject.mask if found.source == "mask" else None,
    )


def letterbox(image: Image.Image, spec: SubjectSpec) -> np.ndarray:
    """Return a picture fitted into `spec.size` with its shape kept, in the middle: `uint8`, of `spec.picture_shape`."""
    height, width = spec.size
    scale = min(height / image.height, width / image.width)
    fitted = (max(1, min(width, round(image.width * scale))), max(1, min(height, round(image.height * scale))))
    is_transparent = spec.background == "transparent"
    mode, ground = ("RGBA", (0, 0, 0, 0)) if is_transparent else ("RGB", spec.background)
    canvas = Image.new(mode, (width, height), ground)
    resized = image.convert(mode).resize(fitted, Image.Resampling.BILINEAR)
    canvas.paste(resized, ((width - fitted[0]) // 2, (height - fitted[1]) // 2))
    return np.ascontiguousarray(np.asarray(canvas).transpose(2, 0, 1))


def _gme(subject: Subject) -> float:
    return -1.0 if subject.gme_score is None else subject.gme_score


def _area(subject: Subject, *, height: int, width: int) -> float:
    if subject.mask is not None and why_no_mask(subject, height=height, width=width) is None:
        return float(rle_area(subject.mask.counts))
    box = subject_box(subject, height=height, width=width)
    return 0.0 if box is None else float((box[2] - box[0]) * (box[3] - box[1]))
