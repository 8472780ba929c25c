"""`opens2v eval compare`: two models on the prompts that both have."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from opens2v_data.cli.eval.common import (
    add_bootstrap_arguments,
    add_figure_arguments,
    bootstrap_of,
    figures_of,
    print_csv,
    scores_of,
)
from opens2v_data.cli.output import add_output_arguments, note, print_json, print_table

NAME = "compare"
HELP = "compare two models by paired bootstrap: differences in percent points per metric and category"
DETAILS = " Only prompts that both models have count. The difference is the second model less the first."
EXAMPLE = "opens2v eval compare scores-a/ scores-b/ --domain open"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("first", help="folder with the score files of a model")
    parser.add_argument("second", help="folder with those of another")
    add_figure_arguments(parser)
    add_bootstrap_arguments(parser)
    parser.add_argument("--csv", action="store_true", help="print as CSV")
    add_output_arguments(parser, with_json="print as JSON, in shares of 1")


def run(arguments: argparse.Namespace) -> int:
    """Run the step."""
    from opens2v_data.errors import ScoresError
    from opens2v_eval.compare import METHOD, compare_models
    from opens2v_eval.tables import COMPARE_HEADER, compare_rows

    if arguments.csv and arguments.json:
        raise ValueError("expected one of --json and --csv, got both")
    figures = figures_of(arguments)
    first, second = (scores_of(folder, figures) for folder in (arguments.first, arguments.second))
    found = compare_models(first, second, bootstrap=bootstrap_of(arguments), **figures)
    if not found:
        raise ScoresError(
            f"{first.folder} and {second.folder} share no prompt of the {arguments.domain} domain that both score"
        )
    if arguments.json:
        print_json({"method": METHOD, "mode": arguments.mode, "differences": [asdict(row) for row in found]})
    elif arguments.csv:
        print_csv(COMPARE_HEADER, compare_rows(found))
    else:
        print_table(compare_rows(found), header=COMPARE_HEADER)
    if not arguments.quiet:
        note(f"{METHOD}; {arguments.resamples:,} resamples, seed {arguments.seed}")
        for row in found:
            if row.category == "all" and (row.num_only_first or row.num_only_second):
                note(
                    f"{row.metric}: {row.num_only_first} prompts only the first has, {row.num_only_second} only the second"
                )
    return 0
