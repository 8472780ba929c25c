"""`opens2v eval show`: several models' videos side by side."""

from __future__ import annotations

import argparse
from pathlib import Path

from opens2v_data.cli.eval.common import HUB_DATASET, SOURCE_HELP, add_domain_arguments, named_folders, scores_of
from opens2v_data.cli.output import add_output_arguments, note, print_json

NAME = "show"
HELP = "write a page that shows prompts, reference images and several models' videos side by side with their scores"
DETAILS = (
    " Images and videos are named where they lie, so that the page is small and opens without a server. --json prints what it"
    " shows as plain values, for a page of another kind."
)
EXAMPLE = "opens2v eval show a=scores-a/ b=scores-b/ --videos a=videos-a/ --videos b=videos-b/ -o side-by-side.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument(
        "scores", nargs="+", help="folders with score files, or NAME=FOLDER (default name: the folder's)"
    )
    parser.add_argument(
        "--videos",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="a model's videos, named KEY.mp4; may be repeated",
    )
    parser.add_argument(
        "--prompts", metavar="SOURCE", default=HUB_DATASET, help=f"{SOURCE_HELP} (default: {HUB_DATASET})"
    )
    add_domain_arguments(parser)
    parser.add_argument(
        "--images", metavar="FOLDER", help="the folder that holds Images/, where it is not beside the file"
    )
    parser.add_argument("--version", choices=("1.0", "1.1"), default="1.1", help="whose weights (default: 1.1)")
    parser.add_argument(
        "--mode",
        choices=("published", "corrected"),
        default="published",
        help="how numbers are counted (default: published)",
    )
    parser.add_argument("--title", default="OpenS2V-Eval, side by side", help="of the page")
    parser.add_argument(
        "-o", "--output", default="side-by-side.html", metavar="HTML", help="where to (default: %(default)s)"
    )
    add_output_arguments(parser, with_json="print what would be shown as JSON, and write no page")


def run(arguments: argparse.Namespace) -> int:
    """Run the step."""
    from opens2v_data.errors import EvaluationError
    from opens2v_eval.details import replace_text
    from opens2v_eval.prompts import load_prompts
    from opens2v_eval.side_by_side import Model, board_data
    from opens2v_eval.side_page import side_page

    folders = named_folders(arguments.scores)
    videos = named_folders(arguments.videos)
    if strangers := sorted(set(videos) - set(folders)):
        raise ValueError(f"--videos names {', '.join(strangers)}, but scores are given of {', '.join(folders)}")
    for folder in videos.values():
        if not Path(folder).expanduser().is_dir():
            raise EvaluationError(f"{folder}: expected a folder of videos named KEY.mp4; there is none")
    prompts = load_prompts(
        arguments.prompts, domain=arguments.domain, images=arguments.images, check=not arguments.unchecked
    )
    figures = {"domain": arguments.domain, "prompts": prompts}
    models = {
        name: Model(
            scores=scores_of(folder, figures), videos=Path(videos[name]).expanduser() if name in videos else None
        )
        for name, folder in folders.items()
    }
    data = board_data(prompts, models, version=arguments.version, mode=arguments.mode)
    if arguments.json:
        print_json(data)
        return 0
    path = Path(arguments.output).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, side_page(data, title=arguments.title, folder=path.parent))
    if not arguments.quiet:
        shown = sum(video["path"] is not None for prompt in data["prompts"] for video in prompt["videos"])
        note(f"wrote {path}: {len(prompts)} prompts, {len(models)} models, {shown} videos")
        if absent := prompts.missing_images():
            note(
                f"{len(absent)} reference images are not below {prompts.root}, and are not shown; --images names another folder"
            )
    return 0
