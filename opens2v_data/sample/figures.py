"""The cast: people, animals and things, each drawn around an origin between its feet, one unit tall (y grows down)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from opens2v_data.sample.brush import Brush, Color, Sprite, box, capsule, ellipse, rounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DARK: Color = (38, 34, 44)


@dataclass(frozen=True, kw_only=True)
class Look:
    """What tells one person from another, and stays the same over the clips of a cluster."""

    skin: Color = (238, 190, 160)
    hair: Color = (72, 44, 30)
    hair_style: Literal["long", "short", "bun", "pigtails"] = "short"
    top: Color = (200, 60, 60)
    legs: Color = (58, 70, 110)
    skirt: bool = False
    glasses: bool = False
    holds: Literal["guitar", "cup", "umbrella", "string", None] = None
    thing: Color = (220, 170, 60)


def person(brush: Brush, phase: float, look: Look) -> None:
    """Draw a person who faces us; parts `top`, `glasses`, and what the hands hold."""
    swing = float(np.sin(2 * np.pi * phase))
    _legs(brush, look, swing)
    hair = look.hair
    if look.hair_style == "long":
        brush.paint(rounded([(-0.135, -0.97), (0.135, -0.97), (0.15, -0.66), (-0.15, -0.66)], corner=0.42), hair)
    elif look.hair_style == "pigtails":
        for side in (-1, 1):
            brush.paint(ellipse(side * 0.15, -0.80 + 0.01 * swing * side, 0.05, 0.10, turn=-14 * side), hair)
    if look.holds == "umbrella":
        brush.paint(capsule((0.19, -0.48), (0.19, -1.16), 0.008), (90, 80, 80), part="umbrella", held=True)
    left_hand, right_hand = _hands(look, swing)
    brush.paint(capsule((0.115, -0.70), right_hand, 0.038, 0.030), _darker(look.top, 0.9), part="top")
    brush.paint(capsule((0.0, -0.80), (0.0, -0.72), 0.042), _darker(look.skin, 0.9))
    brush.paint(
        rounded([(-0.10, -0.755), (0.10, -0.755), (0.155, -0.66), (0.125, -0.42), (-0.125, -0.42), (-0.155, -0.66)]),
        look.top,
        part="top",
    )
    brush.paint(ellipse(0.0, -0.752, 0.05, 0.022), _darker(look.skin, 0.94))
    _head(brush, look)
    if look.holds == "guitar":
        _guitar(brush, look.thing)
    brush.paint(capsule((-0.115, -0.70), left_hand, 0.038, 0.030), _darker(look.top, 1.04), part="top")
    for hand in (left_hand, right_hand):
        brush.paint(ellipse(*hand, 0.033), look.skin)
    if look.holds == "cup":
        _cup(brush, (right_hand[0], right_hand[1] - 0.01), 0.075, look.thing)
        brush.paint(ellipse(right_hand[0] + 0.022, right_hand[1] - 0.005, 0.024, 0.03), look.skin)
    elif look.holds == "umbrella":
        _umbrella(brush, look.thing)
        brush.paint(ellipse(*right_hand, 0.033), look.skin)


def _hands(look: Look, swing: float) -> tuple[tuple[float, float], tuple[float, float]]:
    free_left, free_right = (
        (-0.175 - 0.02 * swing, -0.44 + 0.015 * swing),
        (0.175 - 0.02 * swing, -0.44 - 0.015 * swing),
    )
    match look.holds:
        case "guitar":
            return (-0.03, -0.50 + 0.022 * swing), (0.215, -0.60)
        case "cup":
            return free_left, (0.13, -0.57 + 0.012 * swing)
        case "umbrella":
            return free_left, (0.19, -0.52)
        case "string":
            return free_left, (0.20, -0.62)
        case _:
            return free_left, free_right


def _legs(brush: Brush, look: Look, swing: float) -> None:
    brush.paint(ellipse(0.0, -0.005, 0.2, 0.026), (20, 30, 30), solid=False, opacity=0.18)
    brush.paint(ellipse(0.0, -0.005, 0.14, 0.018), (20, 30, 30), solid=False, opacity=0.18)
    leg = look.skin if look.skirt else look.legs
    for side in (-1, 1):
        foot = (side * 0.062 + 0.05 * swing * side, -0.035 - 0.018 * max(0.0, swing * side))
        brush.paint(capsule((side * 0.06, -0.42), foot, 0.052, 0.036), _darker(leg, 0.95 + 0.05 * side))
        brush.paint(ellipse(foot[0] + side * 0.012, foot[1] + 0.012, 0.052, 0.026), (56, 48, 52))
    if look.skirt:
        brush.paint(rounded([(-0.115, -0.45), (0.115, -0.45), (0.19, -0.22), (-0.19, -0.22)], corner=0.15), look.legs)
    else:
        brush.paint(rounded([(-0.118, -0.45), (0.118, -0.45), (0.112, -0.36), (-0.112, -0.36)], corner=0.2), look.legs)


def _head(brush: Brush, look: Look) -> None:
    skin, hair = look.skin, look.hair
    for side in (-1, 1):
        brush.paint(ellipse(side * 0.104, -0.865, 0.02, 0.028), _darker(skin, 0.93))
    brush.paint(ellipse(0.0, -0.87, 0.105, 0.12), skin, shade=0.14)
    if look.hair_style == "bun":
        brush.paint(ellipse(0.0, -1.01, 0.052, 0.046), hair)
    crown = [(0.112 * np.cos(a), -0.885 + 0.128 * np.sin(a)) for a in np.linspace(np.pi * 1.02, np.pi * 1.98, 40)]
    fringe = [(0.108, -0.86), (0.085, -0.925), (0.02, -0.945), (-0.06, -0.922), (-0.10, -0.86)]
    brush.paint(np.array(crown + fringe), hair, shade=0.35)
    if look.hair_style == "long":
        for side in (-1, 1):
            brush.paint(capsule((side * 0.108, -0.90), (side * 0.122, -0.74), 0.026, 0.020), _darker(hair, 0.96))
    for side in (-1, 1):
        x = side * 0.040
        brush.paint(ellipse(x, -0.868, 0.0135, 0.018), DARK, shade=0)
        brush.paint(ellipse(x - 0.004, -0.874, 0.0045), (250, 250, 250), shade=0, solid=False)
        brush.paint(capsule((x - side * 0.017, -0.901), (x + side * 0.020, -0.900), 0.0045), _darker(hair, 0.8))
        brush.paint(ellipse(side * 0.062, -0.832, 0.021, 0.014), (232, 110, 100), solid=False, opacity=0.35)
    brush.paint(ellipse(0.003, -0.842, 0.010, 0.008), _darker(skin, 0.86), solid=False)
    smile = [(0.034 * np.cos(a), -0.818 + 0.022 * np.sin(a)) for a in np.linspace(0, np.pi, 16)]
    brush.paint(np.array(smile), (150, 48, 52), shade=0, solid=False)
    if look.glasses:
        for side in (-1, 1):
            lens = ellipse(side * 0.042, -0.866, 0.033, 0.030)
            brush.paint(ellipse(side * 0.042, -0.866, 0.037, 0.034), DARK, part="glasses", opacity=0.0)
            brush.paint(lens, (225, 240, 250), part="glasses", opacity=0.25)
            _ring(brush, side * 0.042, -0.866, 0.036, 0.033, DARK)
        brush.paint(capsule((-0.010, -0.870), (0.010, -0.870), 0.005), DARK, part="glasses")


def _ring(brush: Brush, cx: float, cy: float, rx: float, ry: float, color: Color) -> None:
    corners = ellipse(cx, cy, rx, ry)
    for a, b in zip(corners, np.roll(corners, -4, axis=0), strict=True):
        brush.paint(capsule((a[0], a[1]), (b[0], b[1]), 0.0045), color, solid=False, shade=0)


def _guitar(brush: Brush, color: Color) -> None:
    brush.paint(capsule((0.02, -0.50), (0.31, -0.65), 0.017), (96, 62, 40), part="guitar", held=True)
    brush.paint(capsule((0.29, -0.64), (0.335, -0.663), 0.026), (70, 44, 30), part="guitar", held=True)
    brush.paint(ellipse(-0.10, -0.45, 0.105, 0.095), color, part="guitar", held=True)
    brush.paint(ellipse(0.005, -0.495, 0.080, 0.072), _darker(color, 1.03), part="guitar", held=True)
    brush.paint(ellipse(-0.035, -0.478, 0.034), (66, 40, 28), part="guitar", held=True)
    brush.paint(capsule((-0.135, -0.455), (-0.125, -0.42), 0.008), (66, 40, 28), part="guitar", held=True)
    for offset in (-0.006, 0.0, 0.006):
        line = capsule((-0.13, -0.437 + offset), (0.31, -0.652 + offset), 0.0014)
        brush.paint(line, (240, 236, 226), solid=False, shade=0)


def _cup(brush: Brush, hand: tuple[float, float], size: float, color: Color) -> None:
    x, y = hand
    bend = [(x + size * (0.50 + 0.40 * np.cos(a)), y + size * 0.36 * np.sin(a)) for a in np.linspace(-1.6, 1.6, 12)]
    for start, end in itertools.pairwise(bend):
        brush.paint(capsule(start, end, size * 0.09), _darker(color, 0.85), part="cup", held=True)
    outline = rounded([(x - size * 0.6, y - size), (x + size * 0.6, y - size), (x + size * 0.46, y + size * 0.8),
                       (x - size * 0.46, y + size * 0.8)], corner=0.18)  # fmt: skip
    brush.paint(outline, color, part="cup", held=True)
    brush.paint(ellipse(x, y - size * 0.93, size * 0.54, size * 0.15), (86, 52, 34), part="cup", held=True)


def guitar(brush: Brush, phase: float, color: Color) -> None:
    """Draw a guitar that nobody holds."""
    _guitar(brush, color)


def cup(brush: Brush, phase: float, color: Color) -> None:
    """Draw a cup that nobody holds."""
    _cup(brush, (0.0, -0.5), 0.4, color)


def _umbrella(brush: Brush, color: Color) -> None:
    for rib in range(5):
        x0, x1 = -0.15 + rib * 0.136, -0.15 + (rib + 1) * 0.136
        ends = [_dome(x0), *[_dome(x0 + (x1 - x0) * t) for t in np.linspace(0.1, 0.9, 9)], _dome(x1)]
        scallop = [(x1 - (x1 - x0) * t, -1.06 - 0.05 * np.sin(np.pi * t)) for t in np.linspace(0, 1, 9)]
        tint = _darker(color, 1.05 if rib % 2 else 0.94)
        brush.paint(np.array(ends + scallop), tint, part="umbrella", held=True)
    brush.paint(capsule((0.19, -1.30), (0.19, -1.34), 0.010), (90, 80, 80), part="umbrella", held=True)


def _dome(x: float) -> tuple[float, float]:
    return x, -1.06 - 0.25 * float(np.sqrt(max(0.0, 1 - ((x - 0.19) / 0.345) ** 2)))


def dog(brush: Brush, phase: float, color: Color) -> None:
    """Draw a dog that walks to the right; part `collar`."""
    swing = float(np.sin(2 * np.pi * phase))
    dark = _darker(color, 0.72)
    brush.paint(ellipse(0.0, -0.01, 0.62, 0.07), (20, 30, 30), solid=False, opacity=0.25)
    brush.paint(capsule((-0.42, -0.58), (-0.62, -0.86 + 0.08 * swing), 0.06, 0.035), color)
    for x, way in ((-0.36, 1), (0.30, -1)):
        brush.paint(capsule((x, -0.38), (x + 0.11 * swing * way, -0.05), 0.075, 0.055), dark)
    brush.paint(capsule((-0.34, -0.52), (0.30, -0.52), 0.21, 0.20), color)
    for x, way in ((-0.28, -1), (0.38, 1)):
        brush.paint(capsule((x, -0.40), (x + 0.11 * swing * way, -0.05), 0.08, 0.058), color)
    brush.paint(capsule((0.34, -0.60), (0.50, -0.76), 0.15, 0.13), color)
    brush.paint(capsule((0.34, -0.70), (0.49, -0.58), 0.035), (196, 48, 52), part="collar")
    brush.paint(ellipse(0.54, -0.83, 0.17, 0.16), color)
    brush.paint(capsule((0.60, -0.78), (0.76, -0.75), 0.085, 0.065), _darker(color, 1.15))
    brush.paint(ellipse(0.82, -0.78, 0.036, 0.030), DARK)
    brush.paint(ellipse(0.44, -0.78 + 0.01 * swing, 0.065, 0.14, turn=14), dark)
    brush.paint(ellipse(0.60, -0.86, 0.024), DARK, shade=0)
    brush.paint(ellipse(0.593, -0.868, 0.008), (250, 250, 250), shade=0, solid=False)


def cat(brush: Brush, phase: float, color: Color) -> None:
    """Draw a sitting cat whose tail moves."""
    swing = float(np.sin(2 * np.pi * phase))
    dark = _darker(color, 0.75)
    brush.paint(ellipse(0.0, -0.01, 0.40, 0.05), (20, 30, 30), solid=False, opacity=0.25)
    brush.paint(capsule((0.18, -0.10), (0.46, -0.20), 0.06), dark)
    brush.paint(capsule((0.46, -0.20), (0.50 + 0.06 * swing, -0.48), 0.06, 0.045), dark)
    brush.paint(ellipse(0.0, -0.28, 0.27, 0.29), color)
    brush.paint(ellipse(0.0, -0.24, 0.14, 0.20), _darker(color, 1.3), shade=0.1)
    for side in (-1, 1):
        brush.paint(ellipse(side * 0.12, -0.04, 0.10, 0.05), _darker(color, 1.1))
        ear = [(side * 0.05, -0.88), (side * 0.23, -0.80), (side * 0.21, -1.0)]
        brush.paint(rounded(ear, corner=0.12), color)
        brush.paint(
            rounded([(side * 0.10, -0.87), (side * 0.19, -0.83), (side * 0.19, -0.95)], corner=0.1), (230, 160, 150)
        )
    brush.paint(ellipse(0.0, -0.70, 0.245, 0.205), color)
    for stripe in (-0.07, 0.0, 0.07):
        brush.paint(capsule((stripe, -0.88), (stripe * 0.8, -0.80), 0.016), dark)
    for side in (-1, 1):
        brush.paint(ellipse(side * 0.095, -0.71, 0.042, 0.05), (150, 200, 90), shade=0)
        brush.paint(ellipse(side * 0.095, -0.71, 0.016, 0.045), DARK, shade=0)
        for lift in (-0.02, 0.02):
            brush.paint(
                capsule((side * 0.08, -0.615), (side * 0.27, -0.62 + lift), 0.005), (250, 246, 240), solid=False
            )
    brush.paint(rounded([(-0.03, -0.655), (0.03, -0.655), (0.0, -0.62)], corner=0.2), (214, 110, 110))


def duck(brush: Brush, phase: float, color: Color) -> None:
    """Draw a swimming duck."""
    lift = 0.02 * float(np.sin(2 * np.pi * phase))
    brush.paint(ellipse(0.0, -0.02, 0.72, 0.07), (240, 250, 255), solid=False, opacity=0.35)
    brush.paint(
        rounded([(-0.70, -0.52), (-0.35, -0.36), (0.50, -0.40), (0.46, -0.04), (-0.40, -0.02)], corner=0.4), color
    )
    brush.paint(ellipse(-0.08, -0.27 + lift, 0.32, 0.15, turn=-8), _darker(color, 0.84))
    brush.paint(capsule((0.36, -0.36), (0.42, -0.70), 0.13, 0.11), _darker(color, 1.04))
    brush.paint(ellipse(0.45, -0.78, 0.19, 0.18), (40, 120, 84))
    brush.paint(capsule((0.60, -0.76), (0.80, -0.73), 0.06, 0.035), (240, 170, 50))
    brush.paint(ellipse(0.52, -0.82, 0.028), DARK, shade=0)


def car(brush: Brush, phase: float, color: Color) -> None:
    """Draw a small car that drives to the right."""
    brush.paint(ellipse(0.0, -0.02, 1.30, 0.07), (20, 24, 30), solid=False, opacity=0.35)
    cabin = rounded([(-0.72, -0.55), (-0.50, -1.0), (0.28, -1.0), (0.66, -0.55)], corner=0.2)
    brush.paint(cabin, _darker(color, 0.95))
    for window in ([(-0.58, -0.58), (-0.43, -0.92), (-0.14, -0.92), (-0.14, -0.58)],
                   [(-0.07, -0.58), (-0.07, -0.92), (0.22, -0.92), (0.50, -0.58)]):  # fmt: skip
        brush.paint(rounded(window, corner=0.1), ((206, 232, 246), (150, 190, 214)), shade=0)
    body = [(-1.20, -0.60), (0.70, -0.60), (1.18, -0.46), (1.22, -0.20), (-1.22, -0.20)]
    brush.paint(rounded(body, corner=0.2), color, shade=0.35)
    brush.paint(capsule((-1.1, -0.37), (1.1, -0.37), 0.012), _darker(color, 0.7))
    brush.paint(capsule((-0.02, -0.47), (0.10, -0.47), 0.018), _darker(color, 0.6))
    brush.paint(ellipse(1.12, -0.40, 0.07, 0.06), (255, 244, 190))
    brush.paint(ellipse(-1.16, -0.42, 0.05, 0.06), (230, 80, 60))
    for x in (-0.68, 0.70):
        brush.paint(ellipse(x, -0.21, 0.21), DARK)
        brush.paint(ellipse(x, -0.21, 0.115), (190, 196, 204))
        for spoke in range(3):
            angle = np.pi * (spoke / 3) + 2 * np.pi * phase
            dx, dy = 0.10 * float(np.cos(angle)), 0.10 * float(np.sin(angle))
            brush.paint(capsule((x - dx, -0.21 - dy), (x + dx, -0.21 + dy), 0.014), (120, 126, 136), shade=0)


def ball(brush: Brush, phase: float, color: Color) -> None:
    """Draw a beach ball that rolls."""
    disc = ellipse(0.0, -0.5, 0.5)
    brush.paint(disc, (250, 246, 236), shade=0.4)
    for gore in range(3):
        turn = 2 * np.pi * (gore / 3 + phase)
        wedge = [(0.0, -0.5)] + [(np.cos(turn + a), -0.5 + np.sin(turn + a)) for a in np.linspace(0, np.pi / 3, 8)]
        brush.paint(np.array(wedge), color, clip=disc, shade=0.2)
    brush.paint(ellipse(0.0, -0.5, 0.08), (250, 246, 236))
    brush.glow((-0.18, -0.70), 0.30, (255, 255, 255), opacity=0.55)


def balloon(brush: Brush, phase: float, color: Color) -> None:
    """Draw a balloon on a string."""
    sway = 0.04 * float(np.sin(2 * np.pi * phase))
    for low, high, x0, x1 in ((0.0, -0.2, 0.0, sway), (-0.2, -0.45, sway, 0.0)):
        brush.paint(capsule((x0, low), (x1, high), 0.006), (90, 90, 96))
    brush.paint(rounded([(-0.035, -0.43), (0.035, -0.43), (0.0, -0.48)], corner=0.1), _darker(color, 0.8))
    brush.paint(ellipse(0.0, -0.72, 0.215, 0.265), color, shade=0.45)
    brush.glow((-0.08, -0.84), 0.12, (255, 255, 255), opacity=0.7)


def airship(brush: Brush, phase: float, color: Color) -> None:
    """Draw a hot-air balloon; part `basket`."""
    sway = 0.01 * float(np.sin(2 * np.pi * phase))
    for side in (-1, 1):
        brush.paint(capsule((side * 0.15, -0.36), (side * 0.055 + sway, -0.14), 0.006), (90, 74, 60))
    brush.paint(rounded([(-0.07 + sway, -0.15), (0.07 + sway, -0.15), (0.055 + sway, 0), (-0.055 + sway, 0)],
        corner=0.15),
                (166, 112, 66), part="basket")  # fmt: skip
    envelope = [(0.36 * np.sin(a), -0.66 - 0.34 * np.cos(a)) for a in np.linspace(-2.2, 2.2, 60)]
    skin = np.array([*envelope, (0.12, -0.33), (-0.12, -0.33)])
    brush.paint(skin, color, shade=0.4)
    for x, width in ((-0.22, 0.09), (0.0, 0.12), (0.22, 0.09)):
        brush.paint(ellipse(x, -0.66, width, 0.40), (250, 240, 214), clip=skin, shade=0.35)
    brush.paint(ellipse(0.0, -0.66, 0.05, 0.40), _darker(color, 1.08), clip=skin, shade=0.35)
    brush.paint(box(-0.5, -0.60, 0.5, -0.55), _darker(color, 0.82), clip=skin)
    brush.glow((-0.14, -0.82), 0.18, (255, 255, 255), opacity=0.4)


def kite(brush: Brush, phase: float, color: Color) -> None:
    """Draw a kite with a tail of bows."""
    tail = [(0.10 * np.sin(6 * t + 2 * np.pi * phase) * t, -0.42 + 0.42 * t) for t in np.linspace(0, 1, 12)]
    for start, end in itertools.pairwise(tail):
        brush.paint(capsule(start, end, 0.010), (250, 240, 220))
    for bow in (4, 7, 10):
        brush.paint(ellipse(*tail[bow], 0.055, 0.026), color)
    brush.paint(np.array([(0, -1.0), (0.24, -0.74), (0, -0.40), (-0.24, -0.74)]), color, shade=0.3)
    for quarter, tint in (
        ([(0, -1.0), (0.24, -0.74), (0, -0.74)], 1.25),
        ([(-0.24, -0.74), (0, -0.74), (0, -0.40)], 0.72),
    ):
        brush.paint(np.array(quarter), _darker(color, tint), shade=0.15)


def sailboat(brush: Brush, phase: float, color: Color) -> None:
    """Draw a sailing boat; part `sail`."""
    sway = 0.012 * float(np.sin(2 * np.pi * phase))
    brush.paint(ellipse(0.0, 0.0, 0.62, 0.04), (240, 250, 255), solid=False, opacity=0.5)
    brush.paint(capsule((0.02, -0.16), (0.02 + sway, -0.98), 0.014), (110, 84, 64))
    brush.paint(
        np.array([(0.05, -0.24), (0.48, -0.24), (0.05 + sway, -0.96)]), (252, 248, 238), part="sail", shade=0.18
    )
    brush.paint(np.array([(-0.01, -0.24), (-0.34, -0.24), (-0.01 + sway, -0.82)]), _darker(color, 1.15), part="sail")
    brush.paint(rounded([(-0.52, -0.19), (0.56, -0.19), (0.38, 0.0), (-0.38, 0.0)], corner=0.16), color)
    brush.paint(box(-0.46, -0.155, 0.47, -0.13), (250, 246, 236), shade=0)


def snowman(brush: Brush, phase: float, color: Color) -> None:
    """Draw a snowman; parts `scarf` and `hat`."""
    nod = 0.006 * float(np.sin(2 * np.pi * phase))
    white: Color = (250, 251, 255)
    brush.paint(ellipse(0.0, -0.02, 0.36, 0.04), (70, 90, 120), solid=False, opacity=0.35)
    brush.paint(capsule((-0.17, -0.52), (-0.42, -0.66 - nod), 0.012), (96, 66, 46))
    brush.paint(capsule((0.17, -0.52), (0.42, -0.64 + nod), 0.012), (96, 66, 46))
    brush.paint(ellipse(0.0, -0.22, 0.27, 0.235), white, shade=0.3)
    brush.paint(ellipse(0.0, -0.51, 0.20, 0.18), white, shade=0.26)
    for y in (-0.44, -0.52):
        brush.paint(ellipse(0.0, y, 0.016), DARK)
    brush.paint(ellipse(nod, -0.735, 0.145, 0.135), white, shade=0.2)
    brush.paint(capsule((-0.12, -0.635), (0.12, -0.635), 0.034), color, part="scarf")
    brush.paint(capsule((0.08, -0.62), (0.12, -0.47), 0.034, 0.040), _darker(color, 0.9), part="scarf")
    for side in (-1, 1):
        brush.paint(ellipse(side * 0.05 + nod, -0.765, 0.015, 0.018), DARK, shade=0)
    brush.paint(np.array([(nod, -0.745), (nod, -0.705), (0.13 + nod, -0.715)]), (240, 140, 50))
    brush.paint(
        rounded([(-0.10, -0.84), (0.10, -0.84), (0.095, -1.0), (-0.095, -1.0)], corner=0.1), (52, 50, 66), part="hat"
    )
    brush.paint(capsule((-0.16, -0.84), (0.16, -0.84), 0.018), (52, 50, 66), part="hat")


def robot(brush: Brush, phase: float, color: Color) -> None:
    """Draw a tin robot."""
    swing = float(np.sin(2 * np.pi * phase))
    grey: Color = (176, 184, 196)
    brush.paint(ellipse(0.0, -0.01, 0.34, 0.045), (20, 30, 30), solid=False, opacity=0.3)
    for side in (-1, 1):
        brush.paint(capsule((side * 0.12, -0.30), (side * 0.12, -0.06 - 0.03 * max(0, swing * side)), 0.055), grey)
        brush.paint(capsule((side * 0.28, -0.56), (side * 0.36, -0.36 + 0.05 * swing * side), 0.045), grey)
    brush.paint(rounded([(-0.26, -0.64), (0.26, -0.64), (0.24, -0.22), (-0.24, -0.22)], corner=0.14), color)
    brush.paint(rounded([(-0.14, -0.55), (0.14, -0.55), (0.14, -0.36), (-0.14, -0.36)], corner=0.1), (238, 232, 210))
    for x, dot in ((-0.07, (220, 80, 70)), (0.0, (240, 190, 60)), (0.07, (90, 170, 110))):
        brush.paint(ellipse(x, -0.455, 0.028), dot)
    brush.paint(capsule((0.0, -0.92), (0.0, -0.99), 0.012), (120, 126, 136))
    brush.paint(ellipse(0.0, -0.985, 0.028), (230, 80, 60))
    brush.paint(rounded([(-0.20, -0.93), (0.20, -0.93), (0.20, -0.66), (-0.20, -0.66)], corner=0.2), grey)
    for side in (-1, 1):
        brush.paint(ellipse(side * 0.085, -0.815, 0.052), (250, 244, 200))
        brush.paint(ellipse(side * 0.085 + 0.012 * swing, -0.815, 0.022), DARK)
    mouth = [(0.08 * np.cos(a), -0.725 + 0.035 * np.sin(a)) for a in np.linspace(0, np.pi, 16)]
    brush.paint(np.array(mouth), DARK)


def tree(brush: Brush, phase: float, color: Color) -> None:
    """Draw a round tree; part `trunk`."""
    sway = 0.008 * float(np.sin(2 * np.pi * phase))
    brush.paint(ellipse(0.0, -0.005, 0.30, 0.03), (20, 30, 20), solid=False, opacity=0.25)
    brush.paint(
        rounded([(-0.045, -0.42), (0.045, -0.42), (0.07, 0), (-0.07, 0)], corner=0.1), (110, 78, 56), part="trunk"
    )
    for x, y, r, tint in ((-0.17, -0.50, 0.17, 0.84), (0.17, -0.52, 0.17, 0.80), (0.0, -0.46, 0.17, 0.88),
                          (-0.11, -0.68, 0.18, 0.98), (0.13, -0.70, 0.17, 0.94), (0.0, -0.80, 0.17, 1.06)):  # fmt: skip
        brush.paint(ellipse(x + sway * (1 - y), y, r), _darker(color, tint), shade=0.35)


def _darker(color: Color, factor: float) -> Color:
    return (min(255.0, color[0] * factor), min(255.0, color[1] * factor), min(255.0, color[2] * factor))


THINGS: Mapping[str, Callable[[Brush, float, Color], None]] = MappingProxyType(
    {
        "airship": airship, "ball": ball, "balloon": balloon, "car": car, "cat": cat, "cup": cup, "dog": dog,
            "duck": duck,
        "guitar": guitar, "kite": kite, "robot": robot, "sailboat": sailboat, "snowman": snowman, "tree": tree,
    }
)  # fmt: skip


def draw_figure(what: str | Look, *, height: float, phase: float, color: Color, mirrored: bool = False) -> Sprite:
    """Draw one figure as a sprite.

    Args:
        what: a person's look, or a name of `THINGS`.
        height: of the figure in pixels, from its feet to the top of its head.
        phase: of its movement, in [0, 1).
        color: of a thing; a person's colours are in its look.
        mirrored: whether left and right are exchanged.
    """
    width, above, below = round(height * 2.8), round(height * 1.45), round(height * 0.08) + 2
    brush = Brush(width, above + below, scale=height, origin=(width // 2, above))
    if isinstance(what, Look):
        person(brush, phase, what)
    else:
        THINGS[what](brush, phase, color)
    sprite = brush.sprite()
    return _mirror(sprite) if mirrored else sprite


def _mirror(sprite: Sprite) -> Sprite:
    return Sprite(
        color=sprite.color[:, ::-1],
        alpha=sprite.alpha[:, ::-1],
        whole=sprite.whole[:, ::-1],
        regions={part: region[:, ::-1] for part, region in sprite.regions.items()},
        anchor=(sprite.width - 1 - sprite.anchor[0], sprite.anchor[1]),
    )
