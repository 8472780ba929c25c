"""The places: background plates of any size, each with the regions that a phrase could name."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.sample.brush import Brush, Color, box, capsule, ellipse, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, kw_only=True)
class Plate:
    """A place without anybody in it.

    Attributes:
        rgb: (H, W, 3) uint8.
        regions: (H, W) bool by name, e.g. `ground`.
    """

    rgb: np.ndarray
    regions: dict[str, np.ndarray]


def draw_plate(scene: str, *, width: int, height: int, seed: int) -> Plate:
    """Draw a place of `SCENES` in the given size; the seed moves its clouds, hills and flowers."""
    unit = min(height, width * 9 / 16 * 1.35)
    brush = Brush(width, height)
    brush.paint(box(0, 0, width, height), (255, 255, 255), shade=0)
    SCENES[scene](brush, unit, np.random.default_rng([seed, *scene.encode()]))
    return Plate(rgb=brush.picture(), regions={"ground": brush.region("ground"), "water": brush.region("water")})


def _sky(brush: Brush, top: Color, bottom: Color, *, until: float) -> None:
    brush.paint(box(0, 0, brush.width, brush.height * until), (top, bottom), shade=0)


def _sun(brush: Brush, unit: float, x: float, y: float, color: Color, *, halo: float = 0.5) -> None:
    center = (x * brush.width, y * brush.height)
    brush.glow(center, unit * halo, color, opacity=0.75)
    brush.paint(ellipse(*center, unit * 0.07), _lighter(color, 0.6), shade=0)


def _clouds(
    brush: Brush, unit: float, rng: np.random.Generator, *, number: int, color: Color = (255, 255, 255)
) -> None:
    for index in range(number):
        x = brush.width * (index + rng.uniform(0.3, 0.8)) / number
        y = brush.height * rng.uniform(0.10, 0.27)
        size = unit * rng.uniform(0.045, 0.075)
        for dx, dy, r in ((-1.5, 0.25, 0.75), (-0.5, -0.25, 1.05), (0.65, -0.05, 0.95), (1.6, 0.3, 0.65)):
            brush.paint(ellipse(x + dx * size, y + dy * size, r * size), color, shade=0.05, opacity=0.9)
        brush.paint(
            capsule((x - 1.9 * size, y + 0.6 * size), (x + 1.9 * size, y + 0.6 * size), 0.38 * size), color, shade=0.05
        )


def _ridge(
    brush: Brush, rng: np.random.Generator, base: float, swell: float, color: tuple[Color, Color], *,
    part: str | None = None, jagged: bool = False,
) -> None:  # fmt: skip
    """Paint everything below a wavy (or jagged) skyline, `base` and `swell` as shares of the height."""
    x = np.linspace(0, 1, 90)
    if jagged:
        corners = np.linspace(0, 1, 12)
        heights = np.where(np.arange(12) % 2, rng.uniform(0.5, 1.0, 12), rng.uniform(-0.7, 0.0, 12))
        wave = np.interp(x, corners, heights)
    else:
        a, b = rng.uniform(0, 2 * np.pi, 2)
        wave = 0.65 * np.sin(2 * np.pi * x * rng.uniform(0.8, 1.4) + a) + 0.35 * np.sin(2 * np.pi * x * 2.3 + b)
    skyline = np.stack([x * brush.width, (base - swell * wave) * brush.height], axis=1)
    below = np.array([(brush.width, brush.height), (0, brush.height)])
    brush.paint(np.concatenate([skyline, below]), color, part=part, shade=0.06)


def _pines(brush: Brush, unit: float, rng: np.random.Generator, *, number: int, y: float, color: Color) -> None:
    for _ in range(number):
        x, foot = rng.uniform(0, 1) * brush.width, (y + rng.uniform(-0.01, 0.03)) * brush.height
        size = unit * rng.uniform(0.09, 0.16)
        for layer in range(3):
            top, half = foot - size * (1 - 0.28 * layer), size * (0.14 + 0.07 * layer)
            low = foot - size * (0.55 - 0.27 * layer)
            brush.paint(np.array([(x, top), (x + half, low), (x - half, low)]), color, shade=0.3)


def _flowers(
    brush: Brush, unit: float, rng: np.random.Generator, *, number: int, low: float, colors: list[Color]
) -> None:
    for index in range(number):
        y = rng.uniform(low, 0.99)
        size = unit * (0.003 + 0.012 * (y - low))
        x = rng.uniform(0, 1) * brush.width
        brush.paint(
            capsule((x, y * brush.height), (x, y * brush.height - 3 * size), size * 0.3), (60, 120, 50), part="ground"
        )
        brush.paint(ellipse(x, y * brush.height - 3 * size, size * 1.3), colors[index % len(colors)], part="ground")


def meadow(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """Morning hills and a flower meadow."""
    _sky(brush, (96, 172, 232), (222, 240, 248), until=0.62)
    _sun(brush, unit, 0.84, 0.16, (255, 236, 170))
    _clouds(brush, unit, rng, number=3)
    _ridge(brush, rng, 0.50, 0.06, ((150, 190, 200), (130, 180, 170)))
    _ridge(brush, rng, 0.56, 0.05, ((118, 178, 116), (96, 160, 92)))
    _pines(brush, unit, rng, number=9, y=0.60, color=(66, 122, 84))
    _ridge(brush, rng, 0.64, 0.025, ((134, 196, 92), (72, 142, 62)), part="ground")
    _flowers(brush, unit, rng, number=34, low=0.70, colors=[(255, 250, 240), (250, 210, 70), (236, 120, 130)])


def evening_meadow(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """The same hills in evening light."""
    _sky(brush, (88, 92, 158), (254, 190, 130), until=0.62)
    _sun(brush, unit, 0.30, 0.44, (255, 214, 130), halo=0.8)
    _clouds(brush, unit, rng, number=3, color=(250, 196, 176))
    _ridge(brush, rng, 0.50, 0.06, ((150, 118, 150), (130, 110, 130)))
    _ridge(brush, rng, 0.57, 0.05, ((112, 112, 96), (92, 104, 76)))
    _ridge(brush, rng, 0.66, 0.03, ((150, 150, 74), (70, 98, 52)), part="ground")
    _flowers(brush, unit, rng, number=28, low=0.72, colors=[(255, 214, 150), (240, 150, 110), (200, 130, 170)])


def beach(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """Sea, surf and sand."""
    w, h = brush.width, brush.height
    _sky(brush, (84, 164, 226), (214, 238, 246), until=0.45)
    _sun(brush, unit, 0.16, 0.15, (255, 240, 190))
    _clouds(brush, unit, rng, number=2)
    brush.paint(box(0, 0.42 * h, w, 0.72 * h), ((52, 132, 184), (112, 204, 206)), part="water", shade=0)
    for _ in range(22):
        x, y = rng.uniform(0, w), rng.uniform(0.44, 0.64) * h
        size = unit * 0.05 * (y / h - 0.36) * 4
        brush.paint(
            capsule((x - size, y), (x + size, y), size * 0.05), (226, 246, 250), opacity=0.6, part="water", shade=0
        )
    _ridge(brush, rng, 0.672, 0.008, ((250, 252, 252), (244, 238, 222)))
    _ridge(brush, rng, 0.70, 0.010, ((216, 190, 146), (244, 222, 176)), part="ground")
    for _ in range(14):
        x, y = rng.uniform(0, w), rng.uniform(0.78, 0.98) * h
        brush.paint(ellipse(x, y, unit * 0.008, unit * 0.005), (206, 178, 138), part="ground")


def street(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """Town houses along a road."""
    w, h = brush.width, brush.height
    _sky(brush, (132, 190, 232), (236, 240, 238), until=0.6)
    _clouds(brush, unit, rng, number=3)
    fronts: list[Color] = [(214, 138, 110), (232, 200, 150), (150, 176, 186), (204, 168, 178), (178, 188, 146)]
    house = unit * 0.44
    first = int(rng.integers(0, 5))
    for index in range(int(w / house) + 1):
        x0, top = index * house, h * 0.62 - unit * (0.40 + 0.06 * float(rng.integers(0, 4)) / 2)
        front = fronts[(first + index) % 5]
        brush.paint(box(x0, top, x0 + house, h * 0.64), front, shade=0.12)
        roof = [(x0 - 2, top), (x0 + house * 0.5, top - unit * 0.10), (x0 + house + 2, top)]
        brush.paint(np.array(roof), (150, 84, 70), shade=0.2)
        for row in range(2):
            for column in range(3):
                x, y = x0 + house * (0.14 + 0.28 * column), top + unit * (0.04 + 0.15 * row)
                brush.paint(box(x - 2, y - 2, x + house * 0.16 + 2, y + unit * 0.095 + 2), (248, 244, 234), shade=0)
                brush.paint(box(x, y, x + house * 0.16, y + unit * 0.095), ((110, 150, 176), (176, 206, 218)), shade=0)
        door = (x0 + house * 0.42, h * 0.62 - unit * 0.115, x0 + house * 0.58, h * 0.63)
        brush.paint(box(*door), _lighter((110, 74, 60), 0.1), shade=0.2)
        brush.paint(ellipse(door[2] - 5, (door[1] + door[3]) / 2, 1.8), (240, 214, 130), shade=0)
    brush.paint(box(0, 0.62 * h, w, 0.74 * h), ((196, 190, 182), (212, 206, 198)), part="ground", shade=0)
    brush.paint(box(0, 0.735 * h, w, 0.755 * h), (150, 146, 144), shade=0)
    brush.paint(box(0, 0.755 * h, w, h), ((98, 100, 110), (118, 120, 128)), part="ground", shade=0)
    for index in range(int(w / (unit * 0.3)) + 1):
        x = unit * 0.3 * index
        brush.paint(box(x, 0.865 * h, x + unit * 0.16, 0.88 * h), (240, 236, 214), part="ground", shade=0)


def room(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """A living room with a window."""
    w, h = brush.width, brush.height
    wall: Color = [(232, 214, 190), (206, 220, 214), (224, 208, 216)][int(rng.integers(0, 3))]
    brush.paint(box(0, 0, w, h * 0.72), (_lighter(wall, 0.15), wall), shade=0.1)
    x0, y0, x1, y1 = w * 0.08, h * 0.12, w * 0.08 + unit * 0.46, h * 0.54
    brush.paint(box(x0 - 6, y0 - 6, x1 + 6, y1 + 6), (250, 246, 238))
    brush.paint(box(x0, y0, x1, y1), ((142, 200, 238), (226, 240, 236)), shade=0)
    brush.paint(
        ellipse((x0 + x1) / 2, y1 + unit * 0.22, unit * 0.36, unit * 0.30), (126, 178, 110), clip=box(x0, y0, x1, y1)
    )
    brush.paint(box((x0 + x1) / 2 - 3, y0, (x0 + x1) / 2 + 3, y1), (250, 246, 238), shade=0)
    brush.paint(box(x0, (y0 + y1) / 2 - 3, x1, (y0 + y1) / 2 + 3), (250, 246, 238), shade=0)
    for side, x in ((-1, x0), (1, x1)):
        cloth = [
            (x - side * 8, y0 - 16),
            (x + side * unit * 0.10, y0 - 16),
            (x + side * unit * 0.12, y1 + 24),
            (x + side * 4, y1 + 24),
        ]
        brush.paint(rounded(cloth, corner=0.1), (212, 120, 100), shade=0.4)
    px, py = w * 0.70, h * 0.16
    brush.paint(box(px - 4, py - 4, px + unit * 0.3 + 4, py + unit * 0.22 + 4), (120, 84, 60))
    brush.paint(box(px, py, px + unit * 0.3, py + unit * 0.22), ((250, 214, 160), (120, 150, 170)), shade=0)
    brush.paint(ellipse(px + unit * 0.2, py + unit * 0.07, unit * 0.03), (250, 240, 210), shade=0)
    brush.paint(box(0, 0.70 * h, w, 0.725 * h), (250, 246, 238), shade=0.05)
    brush.paint(box(0, 0.725 * h, w, h), ((176, 124, 84), (148, 98, 64)), part="ground", shade=0.05)
    for index in range(1, 5):
        y = h * (0.725 + 0.275 * (index / 5) ** 1.3)
        brush.paint(box(0, y, w, y + 1.4), (128, 84, 56), part="ground", shade=0, opacity=0.7)
    brush.paint(ellipse(w * 0.5, h * 0.90, w * 0.34, h * 0.075), (196, 84, 80))
    brush.paint(ellipse(w * 0.5, h * 0.90, w * 0.30, h * 0.060), (226, 190, 150))
    brush.paint(ellipse(w * 0.5, h * 0.90, w * 0.27, h * 0.050), (206, 104, 92))


def mountains(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """A road below snowy mountains."""
    w, h = brush.width, brush.height
    _sky(brush, (74, 142, 212), (216, 234, 246), until=0.6)
    _clouds(brush, unit, rng, number=2)
    _ridge(brush, rng, 0.40, 0.15, ((250, 252, 255), (126, 146, 178)), jagged=True)
    _ridge(brush, rng, 0.52, 0.06, ((112, 140, 150), (92, 128, 124)), jagged=True)
    _ridge(brush, rng, 0.60, 0.02, ((118, 158, 96), (92, 138, 76)), part="ground")
    _pines(brush, unit, rng, number=16, y=0.62, color=(44, 92, 78))
    brush.paint(box(0, 0.74 * h, w, h), ((104, 106, 114), (122, 124, 130)), part="ground", shade=0)
    brush.paint(box(0, 0.735 * h, w, 0.75 * h), (206, 200, 186), shade=0)
    for index in range(int(w / (unit * 0.3)) + 1):
        x = unit * 0.3 * index + unit * 0.1
        brush.paint(box(x, 0.865 * h, x + unit * 0.16, 0.88 * h), (246, 226, 150), part="ground", shade=0)


def snow(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """A winter afternoon."""
    _sky(brush, (146, 176, 214), (246, 226, 220), until=0.65)
    _sun(brush, unit, 0.72, 0.34, (255, 228, 200))
    _ridge(brush, rng, 0.50, 0.07, ((206, 218, 236), (190, 206, 228)))
    _pines(brush, unit, rng, number=16, y=0.60, color=(84, 116, 124))
    _ridge(brush, rng, 0.62, 0.03, ((246, 249, 255), (206, 220, 240)), part="ground")
    for _ in range(36):
        x, y = rng.uniform(0, brush.width), rng.uniform(0.12, 0.95) * brush.height
        brush.paint(ellipse(x, y, unit * rng.uniform(0.003, 0.006)), (255, 255, 255), shade=0, part="ground")


def autumn_park(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """A park path under coloured trees."""
    w, h = brush.width, brush.height
    _sky(brush, (164, 204, 228), (250, 236, 210), until=0.6)
    colors: list[Color] = [(222, 140, 60), (206, 98, 54), (232, 180, 80), (178, 150, 70)]
    _ridge(brush, rng, 0.54, 0.03, ((176, 186, 150), (160, 170, 110)))
    for index in range(11):
        x, y = w * (index + rng.uniform(0, 0.6)) / 11, h * rng.uniform(0.34, 0.46)
        size = unit * rng.uniform(0.09, 0.14)
        brush.paint(capsule((x, y), (x, h * 0.64), unit * 0.012, unit * 0.018), (104, 78, 64))
        for dx, dy in ((-0.5, 0.2), (0.5, 0.15), (0.0, -0.45)):
            brush.paint(
                ellipse(x + dx * size, y + dy * size, size * 0.75), colors[(index + int(dx > 0)) % 4], shade=0.3
            )
    _ridge(brush, rng, 0.62, 0.015, ((186, 178, 96), (140, 146, 70)), part="ground")
    path = [(w * 0.42, h * 0.64), (w * 0.52, h * 0.64), (w * 0.92, h), (w * 0.12, h)]
    brush.paint(np.array(path), ((226, 204, 168), (214, 188, 150)), part="ground", shade=0.05)
    for index in range(40):
        x, y = rng.uniform(0, w), rng.uniform(0.68, 0.99) * h
        leaf = ellipse(x, y, unit * 0.010, unit * 0.005, turn=rng.uniform(0, 180))
        brush.paint(leaf, colors[index % 4], part="ground")


def night_street(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """A wet evening under street lamps."""
    w, h = brush.width, brush.height
    _sky(brush, (26, 34, 72), (92, 84, 128), until=0.7)
    for _ in range(30):
        star = ellipse(rng.uniform(0, w), rng.uniform(0.02, 0.4) * h, unit * rng.uniform(0.002, 0.004))
        brush.paint(star, (236, 236, 250), shade=0)
    brush.glow((w * 0.86, h * 0.16), unit * 0.25, (230, 230, 255), opacity=0.5)
    brush.paint(ellipse(w * 0.86, h * 0.16, unit * 0.06), (244, 240, 222), shade=0.1)
    x = 0.0
    while x < w:
        wide, top = unit * rng.uniform(0.16, 0.28), h * rng.uniform(0.30, 0.50)
        brush.paint(box(x, top, x + wide, h * 0.70), (44, 46, 84), shade=0.1)
        for column in np.arange(x + unit * 0.03, x + wide - unit * 0.03, unit * 0.055):
            for row in np.arange(top + unit * 0.04, h * 0.62, unit * 0.075):
                lit = rng.uniform() < 0.45
                pane = box(column, row, column + unit * 0.025, row + unit * 0.038)
                brush.paint(pane, (252, 216, 136) if lit else (62, 64, 104), shade=0)
        x += wide
    brush.paint(box(0, 0.70 * h, w, h), ((74, 72, 104), (48, 50, 82)), part="ground", shade=0)
    for lamp in (0.28, 0.66):
        brush.paint(capsule((lamp * w, h * 0.72), (lamp * w, h * 0.28), unit * 0.008), (30, 32, 50))
        brush.glow((lamp * w, h * 0.28), unit * 0.26, (255, 220, 140), opacity=0.7)
        brush.paint(ellipse(lamp * w, h * 0.28, unit * 0.026), (255, 244, 206), shade=0)
        brush.glow((lamp * w, h * 0.84), unit * 0.22, (255, 214, 140), opacity=0.28)


def pond(brush: Brush, unit: float, rng: np.random.Generator) -> None:
    """A quiet pond with reeds."""
    w, h = brush.width, brush.height
    _sky(brush, (150, 204, 226), (240, 246, 230), until=0.45)
    _ridge(brush, rng, 0.36, 0.05, ((128, 176, 130), (104, 158, 104)))
    _pines(brush, unit, rng, number=10, y=0.41, color=(70, 124, 92))
    brush.paint(box(0, 0.42 * h, w, h), ((138, 192, 196), (54, 118, 146)), part="water", shade=0.05)
    for _ in range(18):
        x, y = rng.uniform(0, w), rng.uniform(0.48, 0.97) * h
        size = unit * (0.03 + 0.06 * (y / h - 0.4))
        brush.paint(
            capsule((x - size, y), (x + size, y), unit * 0.0035), (206, 232, 230), opacity=0.55, part="water", shade=0
        )
    for _ in range(5):
        x, y = rng.uniform(0, w), rng.uniform(0.55, 0.92) * h
        brush.paint(ellipse(x, y, unit * 0.045, unit * 0.014), (92, 158, 86), shade=0.2)
        brush.paint(ellipse(x + unit * 0.01, y - unit * 0.012, unit * 0.013), (244, 170, 190), shade=0.2)
    for side in (0.0, 1.0):
        for _ in range(12):
            x = w * abs(side - rng.uniform(0, 0.10))
            lean, tall = unit * rng.uniform(-0.04, 0.04), unit * rng.uniform(0.25, 0.45)
            brush.paint(capsule((x, h * 1.02), (x + lean, h * 1.02 - tall), unit * 0.007, unit * 0.003), (84, 138, 74))
            brush.paint(capsule((x + lean, h - tall), (x + lean, h - tall + unit * 0.05), unit * 0.011), (126, 88, 58))


def _lighter(color: Color, share: float) -> Color:
    return (
        color[0] + (255 - color[0]) * share,
        color[1] + (255 - color[1]) * share,
        color[2] + (255 - color[2]) * share,
    )


SCENES: Mapping[str, Callable[[Brush, float, np.random.Generator], None]] = MappingProxyType(
    {
        "autumn_park": autumn_park, "beach": beach, "evening_meadow": evening_meadow, "meadow": meadow,
        "mountains": mountains, "night_street": night_street, "pond": pond, "room": room, "snow": snow,
            "street": street,
    }
)  # fmt: skip
