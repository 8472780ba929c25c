"""Write a report: ask, draw, and put page and plots into a folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.catalog.manifest import write_atomically
from opens2v_data.errors import MissingExtraError
from opens2v_data.report.figures import count_figures

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice

Progress = Callable[[str, int, int], None]

PAGE_FILE = "index.html"
PLOTS_FOLDER = "plots"


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """What was written.

    Attributes:
        page: the page, with the plots in it.
        plots: the plots as files, in the page's order.
        num_clips: clips that it is about.
    """

    page: Path
    plots: tuple[Path, ...]
    num_clips: int


def write_report(clips: Slice, folder: Path, *, progress: Progress | None = None) -> ReportResult:
    """Write a page about the clips of a slice, and its plots as SVG files.

    The page holds all it shows: it asks no server for anything. The same clips give the same bytes.

    Args:
        clips: which; `opens2v_data.open(root).all` for a whole catalog.
        folder: where to; made if absent. Files of an earlier report there are replaced.
        progress: called with the stage "questions", and how many of how many were answered.

    Raises:
        MissingExtraError: matplotlib is not installed.
        QueryError: the slice's condition cannot be answered.
    """
    try:
        import matplotlib  # noqa: F401 - only asked whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtraError(package="matplotlib", extra="report", needed_for="the plots of a report") from error
    from opens2v_data.report.page import make_page, make_plots

    figures = count_figures(clips, progress=progress)
    plots = make_plots(figures)
    (folder / PLOTS_FOLDER).mkdir(parents=True, exist_ok=True)
    paths = []
    for plot in plots:
        paths.append(folder / PLOTS_FOLDER / f"{plot.name}.svg")
        write_atomically(paths[-1], plot.standalone())
    # Last: a page that is there has its plots beside it.
    write_atomically(folder / PAGE_FILE, make_page(figures, plots).encode())
    return ReportResult(page=folder / PAGE_FILE, plots=tuple(paths), num_clips=figures.totals["num_clips"])
