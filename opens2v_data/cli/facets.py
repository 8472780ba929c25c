"""`opens2v facets`: how many clips have each value of a column."""

from __future__ import annotations

import argparse
from pathlib import Path

from opens2v_data.cli.choosing import add_slice_arguments, chosen
from opens2v_data.cli.output import add_catalog_argument, add_output_arguments, note, positive, print_json
from opens2v_data.cli.tables import bar_lines

NAME = "facets"
HELP = "count clips by the values of a column, as bars"
DETAILS = " Of a list column, such as subject_tags, each entry counts."
EXAMPLE = 'opens2v facets ./opens2v-5m subject_tags --where "aesthetic > 5"'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument("column", nargs="?", help="of clips: part, category, subject_tags, width, quirks, …")
    parser.add_argument("--top", type=positive, default=25, metavar="N", help="the N most frequent (default: 25)")
    add_slice_arguments(parser, with_order=False)
    add_output_arguments(parser, with_json="print values and counts as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data

    root, column = root_and_column(arguments)
    s = chosen(opens2v_data.open(root), arguments)
    table = s.facets(column, limit=arguments.top + 1)
    rows = table.slice(0, arguments.top).to_pylist()
    if arguments.json:
        print_json(rows)
        return 0
    labels = ["(null)" if row["value"] is None else str(row["value"]) for row in rows]
    num_clips = s.count()
    for line in bar_lines(labels, [row["num_clips"] for row in rows], total=num_clips):
        print(line)
    if not arguments.quiet:
        more = "; there are more values, --top N shows them" if table.num_rows > arguments.top else ""
        note(f"shares of {num_clips:,} clips{more}")
    return 0


def root_and_column(arguments: argparse.Namespace) -> tuple[str | None, str]:
    """Return the catalog and the column: one argument alone is the column.

    Raises:
        ValueError: there is none.
    """
    root, column = arguments.catalog, arguments.column
    if column is None:
        root, column = None, root
    if column is None or Path(column).is_dir():
        raise ValueError(f"expected a column, for example {EXAMPLE}")
    return root, column
