"""`opens2v slice`: choose clips, see how many, and keep them in a file that other commands take."""

from __future__ import annotations

import argparse

from opens2v_data.cli.choosing import add_slice_arguments, chosen
from opens2v_data.cli.output import add_catalog_argument, add_output_arguments, note, output_file, print_json

NAME = "slice"
HELP = "choose clips by SQL, subjects and captions; count them, show the SQL, or save them"
DETAILS = (
    " A saved slice holds the clips' ids and keys, the catalog's digest and the SQL. stream, fetch, export, contact-sheet and"
    " others take it with --slice, ClipLoader through `catalog.slice(FILE)`."
)
EXAMPLE = 'opens2v slice ./opens2v-5m --where "aesthetic > 5.5" --has "woman:gme>0.3" --sort=-aesthetic -o women.slice.parquet'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    add_slice_arguments(parser)
    parser.add_argument(
        "-o", "--output", type=output_file, metavar="FILE", help="save it there, e.g. guitars.slice.parquet"
    )
    parser.add_argument("--sql", action="store_true", help="print the statement that gives it")
    parser.add_argument("--ids", action="store_true", help="print part/clip_key of each clip, a line each")
    add_output_arguments(parser, with_json="print count, SQL and file as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data

    dataset = opens2v_data.open(arguments.catalog)
    s = chosen(dataset, arguments)
    if arguments.output is not None:
        saved = s.save(arguments.output)
        count = saved.num_clips
    else:
        count = s.count()
    if arguments.json:
        print_json({"num_clips": count, "of": len(dataset), "sql": s.sql(), "file": arguments.output})
        return 0
    if arguments.sql:
        print(s.sql())
    if arguments.ids:
        rows = s.to_arrow(["part", "clip_key"])
        for part, key in zip(rows.column("part").to_pylist(), rows.column("clip_key").to_pylist(), strict=True):
            print(f"{part}/{key}")
    if not arguments.quiet:
        where = f", in {arguments.output}" if arguments.output is not None else ""
        note(f"{count:,} of {len(dataset):,} clips{where}")
    return 0
