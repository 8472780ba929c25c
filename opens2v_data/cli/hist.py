"""`opens2v hist`: how the numbers of a column lie."""

from __future__ import annotations

import argparse
from itertools import pairwise

from opens2v_data.cli.choosing import add_slice_arguments, chosen
from opens2v_data.cli.facets import root_and_column
from opens2v_data.cli.output import add_catalog_argument, add_output_arguments, note, positive, print_json
from opens2v_data.cli.tables import bar_lines

NAME = "hist"
HELP = "show how the numbers of a column lie, as bars"
DETAILS = " Edges are those of the whole catalog unless --lo and --hi are given, so that two slices compare."
EXAMPLE = "opens2v hist ./opens2v-5m aesthetic --has woman --bins 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument(
        "column", nargs="?", help="of clips: aesthetic, motion, tech, duration_seconds, aspect_ratio, …"
    )
    parser.add_argument("--bins", type=positive, default=20, metavar="N", help="how many bins (default: 20)")
    parser.add_argument("--lo", type=float, metavar="X", help="lower edge")
    parser.add_argument("--hi", type=float, metavar="X", help="upper edge")
    add_slice_arguments(parser, with_order=False)
    add_output_arguments(parser, with_json="print edges and counts as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data

    root, column = root_and_column(arguments)
    s = chosen(opens2v_data.open(root), arguments)
    found = s.hist(column, bins=arguments.bins, lo=arguments.lo, hi=arguments.hi)
    if arguments.json:
        outside = {"num_null": found.num_null, "num_below": found.num_below, "num_above": found.num_above}
        print_json({"column": column, "edges": found.edges.tolist(), "counts": found.counts.tolist()} | outside)
        return 0
    edges = [f"{edge:.4g}" for edge in found.edges]
    width = max(map(len, edges))
    labels = [f"{low:>{width}} – {high:>{width}}" for low, high in pairwise(edges)]
    for line in bar_lines(labels, found.counts.tolist(), total=s.count()):
        print(line)
    if not arguments.quiet:
        outside = f"{found.num_null:,} null, {found.num_below:,} below, {found.num_above:,} above"
        note(f"{int(found.counts.sum()):,} clips in the bins; {outside}")
    return 0
