"""`opens2v report`: plots of a catalog, or of some of its clips, on one page."""

from __future__ import annotations

import argparse
from pathlib import Path

from opens2v_data.cli.choosing import add_slice_arguments, chosen
from opens2v_data.cli.output import (
    ProgressBars,
    add_catalog_argument,
    add_output_arguments,
    note,
    output_folder,
    print_json,
)

NAME = "report"
HELP = "write a page with plots of scores, categories, durations and more, of all clips or of some (extra: report)"
DETAILS = (
    " The page holds all it shows and asks no server for anything; it follows the reader's light or dark setting. The plots lie"
    " beside it as SVG files, too."
)
EXAMPLE = 'opens2v report ./opens2v-5m -o report/ --where "aesthetic > 5.5"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="report",
        type=output_folder,
        metavar="FOLDER",
        help="where to; made if absent (default: report)",
    )
    add_slice_arguments(parser, with_order=False)
    add_output_arguments(parser, with_json="print what was written as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data
    from opens2v_data.report import write_report

    clips = chosen(opens2v_data.open(arguments.catalog), arguments)
    with ProgressBars({"questions": ("questions", "")}, quiet=arguments.quiet) as bars:
        result = write_report(clips, Path(arguments.output), progress=bars)
    if arguments.json:
        print_json({"page": str(result.page), "plots": [str(path) for path in result.plots], "clips": result.num_clips})
    if not arguments.quiet:
        note(f"wrote {result.page}, {len(result.plots)} plots, about {result.num_clips:,} clips")
    return 0
