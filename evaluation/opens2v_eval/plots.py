"""Draw models side by side, as a radar or as parallel lines: SVG or PNG.

A line is told by colour, dash and marker together, and by its number in the legend.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from opens2v_data.errors import MissingExtraError

try:
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
except ImportError as error:
    raise MissingExtraError(package="matplotlib", extra="eval", needed_for="a plot") from error

if TYPE_CHECKING:
    from opens2v_eval.leaderboard import Line

Kind = Literal["parallel", "radar"]

MAX_LINES = 8
"""More lines cannot be told apart; the others are drawn thin and grey."""
# Okabe and Ito's palette, which the colour-blind can tell apart; yellow is left out, which is too light on white.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f3c8d", "#4d4d4d")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 2, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_INK, _MUTED, _GRID, _PAPER = "#1c2024", "#5b636b", "#dfe3e7", "#ffffff"
_RC: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "opens2v",
    "font.size": 9,
    "text.parse_math": False,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "figure.facecolor": _PAPER,
    "axes.facecolor": _PAPER,
}


_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])")
"""Where a name such as MotionSmoothness is broken, so that it does not run into its neighbour."""


def draw(lines: Sequence[Line], columns: Sequence[str], *, kind: Kind = "parallel", title: str = "") -> Figure:
    """Draw models, the first ones in front.

    Args:
        lines: the models, best first.
        columns: what is drawn of each, in order.
        kind: `parallel` has an axis beside the other, `radar` one around the other.
        title: above the plot.

    Raises:
        ValueError: fewer than three columns, no line, or another kind.
    """
    if kind not in ("parallel", "radar"):
        raise ValueError(f"expected parallel or radar as kind of plot, got {kind!r}")
    if len(columns) < 3 or not lines:
        raise ValueError(f"expected a model and three columns or more to draw, got {len(lines)} and {len(columns)}")
    with mpl.rc_context(_RC):
        figure = Figure(figsize=(9.0, 5.2), layout="constrained")
        axes: Any = figure.add_subplot(projection="polar" if kind == "radar" else None)
        places = (
            [2 * math.pi * at / len(columns) for at in range(len(columns))] if kind == "radar" else range(len(columns))
        )
        for at, line in reversed(list(enumerate(lines))):
            _draw_line(axes, places, [line.values.get(column) for column in columns], at, line.name, kind)
        axes.set_ylim(0, 100)
        axes.set_xticks(list(places), [_BREAK.sub("\n", column) for column in columns])
        if kind == "radar":
            axes.set_theta_offset(math.pi / 2)
            axes.set_theta_direction(-1)
            axes.tick_params(axis="x", pad=12)
        else:
            axes.set_ylabel("percent")
            axes.set_xlim(-0.15, len(columns) - 0.85)
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles[::-1], labels[::-1], loc="outside right upper", frameon=False, fontsize=8, handlelength=3.2
        )
        if title:
            figure.suptitle(title, fontsize=10.5, fontweight="bold")
    return figure


def _draw_line(axes: Any, places: Any, values: list[float | None], at: int, name: str, kind: Kind) -> None:
    numbers = [math.nan if value is None else value for value in values]
    xs = list(places)
    if kind == "radar":
        xs, numbers = [*xs, xs[0]], [*numbers, numbers[0]]
    if at >= MAX_LINES:
        # Drawn from the last to the first, so this one's name ends the legend.
        label = "others" if at == MAX_LINES else None
        axes.plot(xs, numbers, color="#b6bdc4", linewidth=0.8, zorder=1, label=label)
        return
    axes.plot(
        xs,
        numbers,
        color=_COLOURS[at],
        linestyle=_DASHES[at],
        marker=_MARKERS[at],
        markersize=4.5,
        linewidth=1.6,
        zorder=3 + MAX_LINES - at,
        # With the number first: a name that begins with _ would be left out of the legend.
        label=f"{at + 1}  {name}",
    )


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure as SVG or PNG, by the file's suffix; return the file.

    Raises:
        ValueError: another suffix.
    """
    place = Path(path).expanduser()
    if place.suffix not in (".svg", ".png"):
        raise ValueError(f"expected a name that ends in .svg or .png for a plot, got {place.name}")
    place.parent.mkdir(parents=True, exist_ok=True)
    partial = place.with_name(f".{place.name}.partial")
    if place.suffix == ".svg":
        partial.write_text(svg(figure), encoding="utf-8")
    else:
        with mpl.rc_context(_RC), partial.open("wb") as file:
            FigureCanvasAgg(figure)
            figure.savefig(file, format="png", dpi=160)
    partial.replace(place)
    return place


def svg(figure: Figure) -> str:
    """Return a figure as the text of an SVG file."""
    text = io.StringIO()
    with mpl.rc_context(_RC):
        FigureCanvasSVG(figure)
        # No date, so that the same board gives the same bytes.
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def inline_svg(figure: Figure, *, name: str, title: str) -> str:
    """Return a figure as an element of a page, with ids of its own."""
    drawn = re.sub(r"^.*?(?=<svg)", "", svg(figure), flags=re.DOTALL)
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawn)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{escape(title)}" ', 1)
