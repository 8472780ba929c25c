"""Draw figures as SVG, in colours that a page or a file chooses later.

Matplotlib draws with colours that stand for roles (`#0f0001` is ink); `inline` makes CSS variables of them, so that one drawing
follows the reader's light or dark page, and `standalone` makes them fixed. Text stays text in the reader's own fonts: class names
may be in any script, and no font is fetched.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from opens2v_data.report.figures import Distribution

INK, MUTED, GRID, ACCENT, PAPER = "#0f0001", "#0f0002", "#0f0003", "#0f0004", "#0f0005"
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", ACCENT: "--accent", PAPER: "--paper"}
_FIXED = {INK: "#1c2024", MUTED: "#5b636b", GRID: "#dfe3e7", ACCENT: "#2f6f9f", PAPER: "#ffffff"}

WIDTH, HEIGHT = 6.0, 3.1
"""Inches, at 72 points each; the page scales them."""
BAR_HEIGHT = 0.21
MAX_LABEL = 30

_RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "ytick.major.size": 0,
}
_FONT = re.compile(r"(font(?:-family)?: (?:[\d.]+px )?)[^;\"]+")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A drawing.

    Attributes:
        name: of its file, without suffix.
        title: what it shows.
        note: what is to be known of it, one sentence.
        header, rows: the numbers that it draws.
        drawing: SVG in colours of roles.
    """

    name: str
    title: str
    note: str
    header: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    drawing: str

    def inline(self) -> str:
        """Return the drawing as an element of a page, in the page's colours."""
        svg = re.sub(r"^.*?(?=<svg)", "", self.drawing, flags=re.DOTALL)
        svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
        # Ids are those of the page then.
        svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{self.name}-", svg)
        for colour, variable in _VARIABLES.items():
            svg = svg.replace(colour, f"var({variable})")
        return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(self.title)}" ', 1)

    def standalone(self) -> bytes:
        """Return the drawing as a file, on white."""
        svg = self.drawing
        for colour, fixed in _FIXED.items():
            svg = svg.replace(colour, fixed)
        return svg.encode()


def histogram(name: str, title: str, distribution: Distribution, *, unit: str, counted: str, note: str = "") -> Plot:
    """Draw how many things have a number in each bin."""
    edges, counts = distribution.edges, distribution.counts

    def draw(axes: Any) -> None:
        axes.stairs(counts, edges, fill=True, color=ACCENT)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel(unit)

    shown = int(counts.sum())
    beyond = distribution.num_known - shown
    told = f"{distribution.num_known:,} {counted} have it" + (
        f", {beyond:,} of them outside of the plot" if beyond else ""
    )
    rows = tuple(
        (f"{low:.4g} to {high:.4g}", int(count)) for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    )
    return Plot(
        name=name,
        title=title,
        note=f"{told}. {note}".strip(),
        header=(unit, counted),
        rows=rows,
        drawing=_drawn(name, title, draw, counted=counted),
    )


def columns(
    name: str, title: str, counts: Sequence[tuple[int, int]], *, unit: str, counted: str, note: str = ""
) -> Plot:
    """Draw how many things have each of some whole numbers."""

    def draw(axes: Any) -> None:
        axes.bar([number for number, _ in counts], [count for _, count in counts], width=0.8, color=ACCENT)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(unit)

    return Plot(
        name=name,
        title=title,
        note=note,
        header=(unit, counted),
        rows=tuple(counts),
        drawing=_drawn(name, title, draw, counted=counted),
    )


def bars(name: str, title: str, counts: Sequence[tuple[str, int]], *, what: str, counted: str, note: str = "") -> Plot:
    """Draw how many things have each of some names, one bar below the other."""
    labels = [label_of(text) for text, _ in counts]
    numbers = [count for _, count in counts]

    def draw(axes: Any) -> None:
        places = range(len(labels))
        axes.barh(places, numbers, height=0.72, color=ACCENT)
        axes.set_yticks(places, labels)
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_ylim(len(labels) - 0.4, -0.6)
        for place, number in enumerate(numbers):
            axes.annotate(
                f"{number:,}",
                (number, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                color=MUTED,
                size=8,
            )
        axes.margins(x=0.14)
        axes.tick_params(axis="x", labelbottom=False, length=0)
        axes.grid(axis="x", visible=False)
        axes.spines["bottom"].set_visible(False)

    height = max(1.2, 0.55 + BAR_HEIGHT * len(labels))
    return Plot(
        name=name,
        title=title,
        note=note,
        header=(what, counted),
        rows=tuple(counts),
        drawing=_drawn(name, title, draw, counted=None, height=height),
    )


def label_of(text: str) -> str:
    """Return text of the release so that it fits beside a bar and into XML."""
    line = "".join(character if character.isprintable() else " " for character in text)
    line = " ".join(line.split()) or repr(text)
    return line if len(line) <= MAX_LABEL else f"{line[: MAX_LABEL - 1]}…"


def _drawn(name: str, title: str, draw: Any, *, counted: str | None, height: float = HEIGHT) -> str:
    settings: Any = _RC | {"svg.hashsalt": name}
    with mpl.rc_context(settings), warnings.catch_warnings():
        # Matplotlib measures with a font of its own, which lacks the letters of many scripts; the reader's have them.
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        figure = Figure(figsize=(WIDTH, height), layout="constrained", facecolor=PAPER)
        FigureCanvasSVG(figure)
        axes = figure.add_subplot(facecolor=PAPER)
        draw(axes)
        figure.suptitle(title, x=0.012, ha="left")
        if counted is not None:
            axes.grid(axis="x", visible=False)
            axes.yaxis.set_major_formatter(EngFormatter(sep=""))
            axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
            axes.set_ylabel(counted)
            axes.set_ylim(bottom=0)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _FONT.sub(r"\g<1>system-ui, 'DejaVu Sans', sans-serif", buffer.getvalue())
