"""`opens2v eval agree`: metrics beside people's ratings."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from opens2v_data.cli.eval.common import (
    add_bootstrap_arguments,
    add_figure_arguments,
    bootstrap_of,
    figures_of,
    named_folders,
    scores_of,
)
from opens2v_data.cli.output import add_output_arguments, note, print_json, print_table

NAME = "agree"
HELP = "correlate the metrics with people's ratings: Kendall's tau-b and Spearman's rho, with intervals"
DETAILS = (
    " Ratings are a CSV with the columns key and rating, and model, dimension, rater where there are such. With three models or"
    " more their means are correlated, too."
)
EXAMPLE = "opens2v eval agree model-a=scores-a/ model-b=scores-b/ human.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "scores",
        nargs="+",
        help="folders with score files, or NAME=FOLDER with the name in the ratings (default: the folder's)",
    )
    parser.add_argument("ratings", help="CSV of people's ratings")
    add_figure_arguments(parser)
    add_bootstrap_arguments(parser)
    add_output_arguments(parser, with_json="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the step."""
    from opens2v_eval.agree import agree_with, read_ratings

    figures = figures_of(arguments)
    ratings = read_ratings(arguments.ratings)
    folders = named_folders(arguments.scores)
    models = {name: scores_of(folder, figures) for name, folder in folders.items()}
    found = agree_with(models, ratings, bootstrap=bootstrap_of(arguments), **figures)
    if arguments.json:
        print_json({"num_ratings": ratings.num_ratings, "agreements": [asdict(row) for row in found]})
    else:
        print_table(
            [
                (
                    row.dimension,
                    row.metric,
                    row.level,
                    row.num_points,
                    _text(row.kendall),
                    _range(row.kendall_interval),
                    _text(row.spearman),
                    _range(row.spearman_interval),
                )
                for row in found
            ],
            header=("rated", "metric", "points", "number", "kendall", "interval", "spearman", "interval"),
        )
    if not arguments.quiet:
        note(f"{ratings.num_ratings:,} ratings read from {ratings.source}")
        if ratings.num_outside:
            note(f"{ratings.num_outside:,} of them are of keys that are no prompts, and are left out")
        if unrated := [name for name in models if ratings.models != ("",) and name not in ratings.models]:
            note(f"no ratings of {', '.join(unrated)}")
    return 0


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _range(found: object) -> str:
    low, high = getattr(found, "low", None), getattr(found, "high", None)
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
