"""Soft-edged, softly lit shapes, which remember exactly which pixels they cover."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

Color = tuple[float, float, float]
Point = tuple[float, float]


def import_pillow() -> tuple[ModuleType, ModuleType]:
    """Import `PIL.Image` and `PIL.ImageDraw`, or say how to install them."""
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise MissingExtraError(package="pillow", extra="video", needed_for="the sample release") from error
    return Image, ImageDraw


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None, *, turn: float = 0.0) -> np.ndarray:
    """Outline an ellipse; `turn` in degrees, clockwise on the screen."""
    angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x, y = rx * np.cos(angle), (rx if ry is None else ry) * np.sin(angle)
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    return np.stack([cx + c * x - s * y, cy + s * x + c * y], axis=1)


def capsule(start: Point, end: Point, r0: float, r1: float | None = None) -> np.ndarray:
    """Outline a stroke with round ends, of radius `r0` at the start and `r1` at the end."""
    r1 = r0 if r1 is None else r1
    (x0, y0), (x1, y1) = start, end
    heading = np.arctan2(y1 - y0, x1 - x0)
    tail = heading + np.linspace(np.pi / 2, 3 * np.pi / 2, 16)
    tip = heading + np.linspace(-np.pi / 2, np.pi / 2, 16)
    return np.concatenate(
        [
            np.stack([x0 + r0 * np.cos(tail), y0 + r0 * np.sin(tail)], axis=1),
            np.stack([x1 + r1 * np.cos(tip), y1 + r1 * np.sin(tip)], axis=1),
        ]
    )


def rounded(points: Sequence[Point], *, corner: float = 0.3) -> np.ndarray:
    """Round a polygon's corners; `corner` is the share of each edge that bends, below 0.5."""
    p = np.asarray(points, dtype=float)
    before, after = np.roll(p, 1, axis=0), np.roll(p, -1, axis=0)
    enter, leave = p + (before - p) * corner, p + (after - p) * corner
    t = np.linspace(0, 1, 9)[:, None]
    bends = [(1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c for a, b, c in zip(enter, p, leave, strict=True)]
    return np.concatenate(bends)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """Outline a rectangle."""
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], dtype=float)


@dataclass(frozen=True, kw_only=True)
class Sprite:
    """One figure, drawn once and laid on many frames.

    Attributes:
        color: (H, W, 3) uint8 RGB, already multiplied with `alpha`.
        alpha: (H, W) uint8.
        whole: (H, W) bool, the figure's own pixels: at least half covered, without the things it only holds.
        regions: (H, W) bool of each named part or held thing.
        anchor: (x, y) in this sprite of the figure's origin, which lies between its feet.
    """

    color: np.ndarray
    alpha: np.ndarray
    whole: np.ndarray
    regions: dict[str, np.ndarray]
    anchor: tuple[int, int]

    @property
    def height(self) -> int:
        return self.alpha.shape[0]

    @property
    def width(self) -> int:
        return self.alpha.shape[1]


class Brush:
    """Paints outlines on a canvas of pixels; outlines come in units of `scale` pixels around `origin`."""

    def __init__(self, width: int, height: int, *, scale: float = 1.0, origin: Point = (0.0, 0.0)) -> None:
        self._image, self._draw = import_pillow()
        self.width, self.height = width, height
        self._scale, self._origin = scale, origin
        self._color = np.zeros((height, width, 3), np.float32)
        self._alpha = np.zeros((height, width), np.float32)
        self._whole = np.zeros((height, width), bool)
        self._regions: dict[str, np.ndarray] = {}

    def paint(
        self,
        outline: np.ndarray,
        color: Color | tuple[Color, Color],
        *,
        part: str | None = None,
        held: bool = False,
        solid: bool = True,
        shade: float = 0.22,
        opacity: float = 1.0,
        clip: np.ndarray | None = None,
    ) -> None:
        """Paint one outline over what is there.

        Args:
            outline: (N, 2) in units.
            color: RGB in [0, 255], or one for the top and one for the bottom.
            part: the name of the region it belongs to, e.g. `top`.
            held: whether the part is a thing of its own, outside the figure's whole.
            solid: False for shadows and glints, which hide nothing and belong to no mask.
            shade: how much darker the lower right is than the upper left, as a share.
            clip: a second outline, outside of which nothing is painted.
        """
        placed = self._place(outline)
        window = self._window(placed)
        if window is None:
            return
        x0, y0, x1, y1 = window
        cover = self._coverage(placed, window)
        if clip is not None:
            cover = cover * self._coverage(self._place(clip), window)
        here = (slice(y0, y1), slice(x0, x1))
        ink = self._ink(color, placed, window, shade)
        amount = cover * opacity
        self._color[here] = self._color[here] * (1 - amount[..., None]) + ink * amount[..., None]
        self._alpha[here] = self._alpha[here] * (1 - amount) + amount
        if solid:
            self._claim(here, cover >= 0.5, part=part, held=held)

    def glow(self, center: Point, radius: float, color: Color, *, opacity: float) -> None:
        """Lay a round, soft-edged light (or shadow) that belongs to no mask."""
        window = self._window(self._place(ellipse(*center, radius)))
        if window is None:
            return
        x0, y0, x1, y1 = window
        cx, cy = self._place(np.array([center]))[0]
        y, x = np.mgrid[y0:y1, x0:x1]
        distance = np.hypot(x + 0.5 - cx, y + 0.5 - cy) / (radius * self._scale)
        amount = (opacity * np.clip(1 - distance, 0, 1) ** 2).astype(np.float32)
        here = (slice(y0, y1), slice(x0, x1))
        self._color[here] = (
            self._color[here] * (1 - amount[..., None]) + np.asarray(color, np.float32) * amount[..., None]
        )
        self._alpha[here] = self._alpha[here] * (1 - amount) + amount

    def picture(self) -> np.ndarray:
        """Give the canvas as (H, W, 3) uint8, over black."""
        return np.clip(np.rint(self._color), 0, 255).astype(np.uint8)

    def region(self, part: str) -> np.ndarray:
        """Give the pixels of one named part as (H, W) bool."""
        return self._regions.get(part, np.zeros((self.height, self.width), bool))

    def sprite(self) -> Sprite:
        """Cut the painted figure out of the canvas."""
        alpha = np.clip(np.rint(self._alpha * 255), 0, 255).astype(np.uint8)
        rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
        if not len(rows):
            raise ValueError("nothing was painted")
        here = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        return Sprite(
            color=self.picture()[here],
            alpha=alpha[here],
            whole=self._whole[here],
            regions={part: region[here] for part, region in self._regions.items()},
            anchor=(round(self._origin[0]) - int(columns[0]), round(self._origin[1]) - int(rows[0])),
        )

    def _place(self, outline: np.ndarray) -> np.ndarray:
        return outline * self._scale + np.asarray(self._origin)

    def _window(self, placed: np.ndarray) -> tuple[int, int, int, int] | None:
        x0, y0 = np.floor(placed.min(axis=0)).astype(int)
        x1, y1 = np.ceil(placed.max(axis=0)).astype(int)
        x0, y0, x1, y1 = max(0, x0), max(0, y0), min(self.width, x1), min(self.height, y1)
        return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else None

    def _coverage(self, placed: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
        """Give the share of each pixel that lies inside, from a drawing at four times the size."""
        x0, y0, x1, y1 = window
        fine = 4
        sheet = self._image.new("L", ((x1 - x0) * fine, (y1 - y0) * fine), 0)
        points = [(float(x), float(y)) for x, y in (placed - (x0, y0)) * fine]
        self._draw.Draw(sheet).polygon(points, fill=255)
        return np.asarray(sheet.reduce(fine), np.float32) / 255

    @staticmethod
    def _ink(
        color: Color | tuple[Color, Color], placed: np.ndarray, window: tuple[int, int, int, int], shade: float
    ) -> np.ndarray:
        x0, y0, x1, y1 = window
        low, high = placed.min(axis=0), placed.max(axis=0)
        size = np.maximum(high - low, 1e-6)
        u = (np.arange(x0, x1, dtype=np.float32) + 0.5 - low[0]) / size[0]
        v = (np.arange(y0, y1, dtype=np.float32) + 0.5 - low[1]) / size[1]
        first, last = np.broadcast_to(np.asarray(color, np.float32), (2, 3))
        mix = np.clip(v, 0, 1)[:, None, None]
        ink = first * (1 - mix) + last * mix
        light = 1 + shade * (0.5 - (0.4 * u[None, :] + 0.6 * v[:, None]))
        return np.clip(ink * light[..., None], 0, 255)

    def _claim(self, here: tuple[slice, slice], inside: np.ndarray, *, part: str | None, held: bool) -> None:
        for region in self._regions.values():
            region[here] &= ~inside
        if part is not None:
            self._regions.setdefault(part, np.zeros((self.height, self.width), bool))[here] |= inside
        if held:
            self._whole[here] &= ~inside
        else:
            self._whole[here] |= inside
