"""The models of `opens2v explore --eval`: their arguments, and what is read of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.cli.eval.common import HUB_DATASET, SOURCE_HELP, add_unchecked_argument

if TYPE_CHECKING:
    from opens2v_explorer.evaluation.loading import Evaluation, ModelFolders


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which models are shown, and of which prompts."""
    group = parser.add_argument_group(
        "evaluation", "one more page: models' videos of the benchmark's prompts side by side, with their scores"
    )
    group.add_argument(
        "--eval",
        action="append",
        default=[],
        metavar="NAME=VIDEOS[,SCORES]",
        help="a model: a folder of KEY.mp4, and one of score files; NAME=,SCORES has no videos; several times",
    )
    group.add_argument(
        "--prompts", metavar="SOURCE", default=HUB_DATASET, help=f"{SOURCE_HELP} (default: {HUB_DATASET})"
    )
    group.add_argument(
        "--images", metavar="FOLDER", help="the folder that holds Images/, where it is not beside the file"
    )
    group.add_argument(
        "--domain", choices=("open", "human", "single"), default="open", help="180, 60 or 90 prompts (default: open)"
    )
    group.add_argument("--version", choices=("1.0", "1.1"), default="1.1", help="whose weights (default: 1.1)")
    group.add_argument("--board", metavar="CSV", help="a leaderboard in upstream's form, to see the models in")
    add_unchecked_argument(group)


def evaluation_of(arguments: argparse.Namespace) -> Evaluation | None:
    """Read the models of --eval; None without any."""
    if not arguments.eval:
        for option in ("board", "images"):
            if getattr(arguments, option) is not None:
                raise ValueError(f"--{option} goes with --eval")
        return None
    from opens2v_explorer.evaluation.loading import load_evaluation

    models: dict[str, ModelFolders] = {}
    for text in arguments.eval:
        name, folders = model_of(text)
        if name in models:
            raise ValueError(f"two models are called {name!r}; give each --eval NAME=VIDEOS,SCORES a name of its own")
        models[name] = folders
    return load_evaluation(
        models,
        prompts=arguments.prompts,
        domain=arguments.domain,
        images=arguments.images,
        check=not arguments.unchecked,
        version=arguments.version,
        board=arguments.board,
    )


def model_of(text: str) -> tuple[str, ModelFolders]:
    """Return a model's name and folders, of `NAME=VIDEOS`, `NAME=VIDEOS,SCORES` or `NAME=,SCORES`.

    Raises:
        ValueError: it is none of them.
    """
    from opens2v_explorer.evaluation.loading import ModelFolders

    name, equals, folders = text.partition("=")
    videos, comma, scores = folders.rpartition(",")
    # A folder whose own name has a comma is taken as it is.
    if not comma or Path(folders).expanduser().is_dir():
        videos, scores = folders, ""
    if not name or not equals or not (videos or scores):
        raise ValueError(f"expected --eval NAME=VIDEOS[,SCORES], such as mine=videos/,scores/; got {text!r}")
    paths = [Path(one).expanduser() if one else None for one in (videos, scores)]
    return name, ModelFolders(videos=paths[0], scores=paths[1])
