"""`opens2v sample`: so many clips by chance, the same for a seed everywhere."""

from __future__ import annotations

import argparse

from opens2v_data.cli.choosing import add_slice_arguments, chosen
from opens2v_data.cli.output import add_catalog_argument, note, output_file, positive
from opens2v_data.cli.tables import add_table_arguments, give_table

NAME = "sample"
HELP = "draw clips by chance: the same for a seed on every machine, spread over the values of a column if asked"
DETAILS = (
    " Drawn by a hash of seed, part and key. With --by, each value of the column gives as many, as far as it has them."
)
EXAMPLE = "opens2v sample ./opens2v-5m -n 1000 --by part --seed 42 -o looked-at.slice.parquet"
COLUMNS = ("part", "clip_key", "aesthetic", "motion", "tech", "num_subjects", "caption")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument("-n", type=positive, default=10, metavar="N", help="how many (default: 10)")
    parser.add_argument("--by", metavar="COLUMN", help="spread over the values of this column of clips, e.g. category")
    parser.add_argument(
        "-o", "--output", type=output_file, metavar="FILE", help="save them as a slice instead of printing them"
    )
    add_slice_arguments(parser, with_order=False)
    add_table_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data

    dataset = opens2v_data.open(arguments.catalog)
    s = chosen(dataset, arguments).sample(arguments.n, by=arguments.by, seed=arguments.seed)
    if arguments.output is not None:
        saved = s.save(arguments.output)
        if not arguments.quiet:
            note(f"{saved.num_clips:,} of {len(dataset):,} clips, in {arguments.output}")
        return 0
    columns = list(COLUMNS) if arguments.by is None else list(dict.fromkeys([arguments.by, *COLUMNS]))
    give_table(s.to_arrow(columns), arguments)
    return 0
