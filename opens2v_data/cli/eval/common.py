"""What the steps of the benchmark share: where prompts come from, which figures are asked for, how resamples are drawn."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opens2v_eval.bootstrap import Bootstrap
    from opens2v_eval.prompts import Prompts
    from opens2v_eval.scorefiles import Scores

HUB_DATASET = "hf://datasets/BestWishYsh/OpenS2V-Eval"
SOURCE_HELP = "upstream's JSON file, a folder with it, or the dataset's address on the Hub"


def add_domain_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which prompts."""
    parser.add_argument(
        "--domain", choices=("open", "human", "single"), default="open", help="180, 60 or 90 prompts (default: open)"
    )
    add_unchecked_argument(parser)


def add_unchecked_argument(parser: argparse._ActionsContainer) -> None:
    """Add --unchecked."""
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="take prompts that are not the published set, under keys of the same form",
    )


def add_figure_arguments(parser: argparse.ArgumentParser, *, modes: Sequence[str] = ("published", "corrected")) -> None:
    """Add what figures are of: domain, prompts, version, mode."""
    add_domain_arguments(parser)
    parser.add_argument(
        "--prompts", metavar="SOURCE", help=f"{SOURCE_HELP}; only needed where they are not the published ones"
    )
    parser.add_argument("--version", choices=("1.0", "1.1"), default="1.1", help="whose weights (default: 1.1)")
    parser.add_argument(
        "--mode",
        choices=tuple(modes),
        default="published",
        help="published: as the leaderboard; corrected: a frame without the face or the subject counts as 0, which needs the "
        "details/ of a run (default: published)",
    )


def add_bootstrap_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how intervals are made."""
    parser.add_argument("--resamples", type=int, default=2000, metavar="N", help="for intervals (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the resamples (default: 0)")
    parser.add_argument("--level", type=float, default=0.95, metavar="SHARE", help="of the intervals (default: 0.95)")
    parser.add_argument(
        "--interval", choices=("bca", "percentile"), default="bca", help="how intervals are made (default: bca)"
    )


def bootstrap_of(arguments: argparse.Namespace) -> Bootstrap:
    """Return how intervals are made."""
    from opens2v_eval.bootstrap import Bootstrap

    return Bootstrap(
        num_resamples=arguments.resamples, seed=arguments.seed, level=arguments.level, method=arguments.interval
    )


def prompts_of(arguments: argparse.Namespace) -> Prompts | None:
    """Return the prompts that --prompts names; None where it names none."""
    if arguments.prompts is None:
        if arguments.unchecked:
            raise ValueError("--unchecked goes with --prompts")
        return None
    from opens2v_eval.prompts import load_prompts

    return load_prompts(arguments.prompts, domain=arguments.domain, check=not arguments.unchecked)


def figures_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options that all figures take."""
    return {
        "domain": arguments.domain,
        "version": arguments.version,
        "mode": arguments.mode,
        "prompts": prompts_of(arguments),
    }


def scores_of(folder: str, figures: dict[str, Any]) -> Scores:
    """Read the scores of a domain's prompts."""
    from opens2v_eval.prompts import domain_keys
    from opens2v_eval.scorefiles import read_scores

    prompts = figures["prompts"]
    return read_scores(folder, keys=frozenset(domain_keys(figures["domain"]) if prompts is None else prompts.keys))


def named_folders(texts: Sequence[str]) -> dict[str, str]:
    """Return folders by the name of a model, of `NAME=FOLDER` or `FOLDER`."""
    folders: dict[str, str] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        name, folder = (name, folder) if equals else (Path(text).name, text)
        if name in folders:
            raise ValueError(f"two folders are of the model {name!r}: name them NAME=FOLDER")
        folders[name] = folder
    return folders


def print_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a CSV table."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
