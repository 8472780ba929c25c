"""From a cast and a place to frames and exact masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.sample.barcode import BARCODE_HEIGHT, BARCODE_WIDTH, MARGIN_PIXELS, draw_barcode
from opens2v_data.sample.brush import Brush, Color, Sprite, box, ellipse
from opens2v_data.sample.figures import Look, draw_figure
from opens2v_data.sample.scenes import Plate, draw_plate

if TYPE_CHECKING:
    from collections.abc import Iterator

NUM_PHASES = 8
"""Drawings per cycle of a movement; frames reuse them."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """One figure of a video and its way through the frame.

    Attributes:
        what: a person's look, or a name of `figures.THINGS`.
        height: of the figure, as a share of the frame's height.
        start, end: where its feet are in the first and last frame, as shares of the frame's width and height.
        color: of a thing.
        cycles: how often its movement repeats in the video.
        bounce: how high it hops, as a share of the frame's height.
        mirrored: whether it looks to the left.
    """

    what: str | Look
    height: float
    start: tuple[float, float]
    end: tuple[float, float]
    color: Color = (0, 0, 0)
    cycles: float = 2.0
    bounce: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, kw_only=True)
class Video:
    """One mp4 of the release.

    Attributes:
        number: shown in the second row of every frame's barcode.
        part: part of the release whose tar holds it.
        stem: file name without `.mp4`.
        folder: folder inside the nested part's tar; None in the flat part.
        crop: `(x0, y0, x1, y1)` that the records name; None: the whole frame. Outside it lies a watermark.
        in_tar: False for a video that records name but the tar lacks.
        audio_first: whether a sound stream comes before the video stream.
        moov_at_end: whether the index lies behind the frames.
        varying: whether frames are shown for different times.
        latin1_title: a title tag whose bytes are not UTF-8.
    """

    number: int
    part: str
    stem: str
    folder: str | None
    scene: str
    actors: tuple[Actor, ...]
    width: int = 640
    height: int = 360
    fps: Fraction = Fraction(25)
    num_frames: int = 49
    gop: int = 24
    crop: tuple[int, int, int, int] | None = None
    in_tar: bool = True
    audio_first: bool = False
    moov_at_end: bool = False
    varying: bool = False
    latin1_title: str | None = None

    @property
    def file_name(self) -> str:
        return f"{self.stem}.mp4"

    @property
    def member(self) -> str:
        """Name inside the part's tar."""
        return f"{self.folder or self.part}/{self.file_name}"

    @property
    def record_path(self) -> str:
        """What records call it: as upstream, without the part's own folder."""
        return f"{self.folder}/{self.file_name}" if self.folder else self.file_name

    @property
    def crop_xyxy(self) -> tuple[int, int, int, int]:
        return self.crop or (0, 0, self.width, self.height)

    @property
    def cropped_size(self) -> tuple[int, int]:
        """(width, height) after the crop."""
        x0, y0, x1, y1 = self.crop_xyxy
        return x1 - x0, y1 - y0


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One frame as it was painted, cropped.

    Attributes:
        rgb: (H, W, 3) uint8, with the barcode.
        wholes: (H, W) bool for each actor: what is seen of it.
        parts: (H, W) bool for each actor's named parts.
        regions: (H, W) bool for what is seen of the plate's regions.
    """

    rgb: np.ndarray
    wholes: list[np.ndarray]
    parts: list[dict[str, np.ndarray]]
    regions: dict[str, np.ndarray]


@dataclass
class Stage:
    """A video's plate and drawings, ready to be shown at any frame."""

    video: Video
    seed: int
    plate: Plate = field(init=False)
    _drawings: list[list[Sprite]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        video = self.video
        self.plate = draw_plate(video.scene, width=video.width, height=video.height, seed=self.seed + video.number)
        if video.crop is not None:
            _draw_watermark(self.plate.rgb, video.crop)
        self._drawings = [
            [
                draw_figure(
                    a.what, height=a.height * video.height, phase=p / NUM_PHASES, color=a.color, mirrored=a.mirrored
                )
                for p in range(NUM_PHASES)
            ]
            for a in video.actors
        ]

    def background(self) -> np.ndarray:
        """Give the cropped plate, (H, W, 3) uint8."""
        return self.plate.rgb[self._crop()]

    def frame(self, index: int) -> np.ndarray:
        """Paint one whole (uncropped) frame, (H, W, 3) uint8."""
        rgb = self.plate.rgb.copy()
        for sprite, x, y in self._placed(index):
            target, source = _overlap(rgb.shape, sprite, x, y)
            through = 255 - sprite.alpha[source].astype(np.uint16)[..., None]
            rgb[target] = sprite.color[source] + ((rgb[target] * through + 127) // 255).astype(np.uint8)
        draw_barcode(rgb, index, self.video.number, crop_xyxy=self.video.crop_xyxy)
        return rgb

    def frames(self) -> Iterator[np.ndarray]:
        """Paint all frames in display order."""
        return (self.frame(index) for index in range(self.video.num_frames))

    def snapshot(self, index: int) -> Snapshot:
        """Paint one frame and tell what is seen of whom."""
        shape = self.plate.rgb.shape
        wholes: list[np.ndarray] = []
        parts: list[dict[str, np.ndarray]] = []
        for sprite, x, y in self._placed(index):
            target, source = _overlap(shape, sprite, x, y)
            hiding = np.zeros(shape[:2], bool)
            hiding[target] = sprite.alpha[source] >= 128
            for hidden in (*wholes, *(region for named in parts for region in named.values())):
                hidden &= ~hiding
            wholes.append(_paste(shape, target, sprite.whole[source]))
            parts.append({name: _paste(shape, target, region[source]) for name, region in sprite.regions.items()})
        crop = self._crop()
        free = np.ones(shape[:2], bool)
        x0, y0 = self.video.crop_xyxy[0] + MARGIN_PIXELS, self.video.crop_xyxy[1] + MARGIN_PIXELS
        free[y0 : y0 + BARCODE_HEIGHT - MARGIN_PIXELS, x0 : x0 + BARCODE_WIDTH - MARGIN_PIXELS] = False
        seen = free.copy()
        for (sprite, x, y), whole in zip(self._placed(index), wholes, strict=True):
            target, source = _overlap(shape, sprite, x, y)
            seen[target] &= sprite.alpha[source] < 128
            whole &= free
        return Snapshot(
            rgb=self.frame(index)[crop],
            wholes=[whole[crop] for whole in wholes],
            parts=[{name: (region & free)[crop] for name, region in named.items()} for named in parts],
            regions={name: (region & seen)[crop] for name, region in self.plate.regions.items()},
        )

    def _placed(self, index: int) -> Iterator[tuple[Sprite, int, int]]:
        """Give each actor's drawing at a frame and where its upper left corner lies."""
        share = index / max(1, self.video.num_frames - 1)
        for actor, drawings in zip(self.video.actors, self._drawings, strict=True):
            turn = share * actor.cycles % 1.0
            sprite = drawings[int(turn * NUM_PHASES) % NUM_PHASES]
            hop = actor.bounce * abs(np.sin(np.pi * 2 * turn))
            x = actor.start[0] + (actor.end[0] - actor.start[0]) * share
            y = actor.start[1] + (actor.end[1] - actor.start[1]) * share - hop
            yield (
                sprite,
                round(x * self.video.width) - sprite.anchor[0],
                round(y * self.video.height) - sprite.anchor[1],
            )

    def _crop(self) -> tuple[slice, slice]:
        x0, y0, x1, y1 = self.video.crop_xyxy
        return slice(y0, y1), slice(x0, x1)


def _overlap(shape: tuple[int, ...], sprite: Sprite, x: int, y: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Give the pixels of the frame that a sprite at (x, y) covers, and which of its own these are."""
    x0, y0 = max(0, x), max(0, y)
    x1, y1 = max(x0, min(shape[1], x + sprite.width)), max(y0, min(shape[0], y + sprite.height))
    if x1 == x0 or y1 == y0:
        return (slice(0, 0), slice(0, 0)), (slice(0, 0), slice(0, 0))
    return (slice(y0, y1), slice(x0, x1)), (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x))


def _paste(shape: tuple[int, ...], target: tuple[slice, slice], region: np.ndarray) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    mask[target] = region
    return mask


def _draw_watermark(rgb: np.ndarray, crop: tuple[int, int, int, int]) -> None:
    """Darken what lies outside the crop and put an agency's mark of rings and bars into the strip below it."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = crop
    outside = np.ones((height, width), bool)
    outside[y0:y1, x0:x1] = False
    rgb[outside] = (rgb[outside] * 0.35).astype(np.uint8)
    strip, unit = height - y1, (height - y1) / 10
    mark = Brush(width, height)
    middle = y1 + strip / 2
    for offset in np.arange(width * 0.06, width, width * 0.22):
        mark.paint(ellipse(offset, middle, unit * 3), (255, 255, 255), shade=0)
        mark.paint(ellipse(offset, middle, unit * 1.7), (60, 60, 60), shade=0)
        for bar, length in enumerate((9, 5, 7)):
            y = middle + (bar - 1) * unit * 2
            mark.paint(
                box(offset + unit * 4, y - unit * 0.6, offset + unit * (4 + length), y + unit * 0.6),
                (255, 255, 255),
                shade=0,
            )
    sprite = mark.sprite()
    top, left = -sprite.anchor[1], -sprite.anchor[0]
    here = (slice(top, top + sprite.height), slice(left, left + sprite.width))
    amount = sprite.alpha[..., None] / 255 * 0.7
    rgb[here] = (rgb[here] * (1 - amount) + sprite.color * 0.7).astype(np.uint8)
