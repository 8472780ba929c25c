"""`opens2v eval prompts`: the benchmark's prompts, and which videos of a model they lack."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from opens2v_data.cli.eval.common import HUB_DATASET, SOURCE_HELP, add_domain_arguments
from opens2v_data.cli.output import ProgressBars, add_output_arguments, note, print_json, print_table

if TYPE_CHECKING:
    from opens2v_eval.prompts import Prompts
    from opens2v_eval.videos import VideoCheck

NAME = "prompts"
HELP = "show the prompts with their reference images, and which videos of a model are missing or unreadable"
DETAILS = " With --videos it exits with 1 unless each prompt has a video that can be read."
EXAMPLE = "opens2v eval prompts ./OpenS2V-Eval --domain human --videos ./my_model_videos"
MAX_TEXT = 60
MAX_NAMES = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("source", nargs="?", help=f"{SOURCE_HELP} (default: {HUB_DATASET})")
    parser.add_argument("--prompts", metavar="SOURCE", help="the same, as the other steps have it")
    add_domain_arguments(parser)
    parser.add_argument(
        "--images", metavar="FOLDER", help="the folder that holds Images/, where it is not beside the file"
    )
    parser.add_argument("--videos", metavar="FOLDER", help="compare with the videos of a model, named KEY.mp4")
    add_output_arguments(parser, with_json="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the step."""
    from opens2v_eval.prompts import load_prompts
    from opens2v_eval.videos import check_videos

    if arguments.source is not None and arguments.prompts is not None:
        raise ValueError(f"expected one source of prompts, got {arguments.source} and --prompts {arguments.prompts}")
    source = arguments.source or arguments.prompts or HUB_DATASET
    prompts = load_prompts(source, domain=arguments.domain, images=arguments.images, check=not arguments.unchecked)
    check = None
    if arguments.videos is not None:
        with ProgressBars({"videos": ("videos", "")}, quiet=arguments.quiet) as bars:
            check = check_videos(arguments.videos, prompts, progress=bars)
    absent = prompts.missing_images()
    if arguments.json:
        print_json(_values(prompts, check))
    elif check is None:
        print_table(
            [(prompt.key, prompt.category, len(prompt.image_names), _short(prompt.prompt)) for prompt in prompts],
            header=("key", "category", "images", "prompt"),
        )
    if not arguments.quiet:
        counts = Counter(prompt.category for prompt in prompts)
        note(
            f"{len(prompts)} prompts from {prompts.source}: {', '.join(f'{count} {name}' for name, count in counts.items())}"
        )
        if absent:
            note(
                f"{len(absent)} reference images are not below {prompts.root}, such as {absent[0][1].name} of {absent[0][0]}"
            )
    if check is not None:
        tell_videos(check, quiet=arguments.quiet)
    return 0 if check is None or check.is_complete else 1


def tell_videos(check: VideoCheck, *, quiet: bool = False) -> None:
    """Say which videos are there, missing or extra; those that cannot be read are told with `quiet`, too."""
    for bad in check.unreadable:
        note(f"unreadable: {bad.path.name}: {bad.reason}")
    if quiet:
        return
    total = len(check.found) + len(check.missing) + len(check.unreadable)
    note(f"{len(check.found)} of {total} prompts have a video in {check.folder} that can be read")
    if check.missing:
        note(f"missing: {_some([f'{key}.mp4' for key in check.missing])}")
    if check.extra:
        note(f"of no prompt: {_some([path.name for path in check.extra])}")


def _values(prompts: Prompts, check: VideoCheck | None) -> dict[str, object]:
    values: dict[str, object] = {
        "domain": prompts.domain,
        "source": prompts.source,
        "prompts": [
            {
                "key": prompt.key,
                "category": prompt.category,
                "prompt": prompt.prompt,
                "references": [
                    {"label": label, "name": name, "path": str(path), "is_there": path.is_file()}
                    for label, name, path in zip(
                        prompt.class_labels, prompt.image_names, prompt.image_paths, strict=True
                    )
                ],
            }
            for prompt in prompts
        ],
    }
    if check is not None:
        values["videos"] = {
            "found": {key: str(path) for key, path in check.found.items()},
            "missing": list(check.missing),
            "extra": [str(path) for path in check.extra],
            "unreadable": [{"key": bad.key, "path": str(bad.path), "reason": bad.reason} for bad in check.unreadable],
        }
    return values


def _some(names: Sequence[str]) -> str:
    more = (
        f" and {len(names) - MAX_NAMES} more (`opens2v eval prompts --videos --json` has all)"
        if len(names) > MAX_NAMES
        else ""
    )
    return ", ".join(names[:MAX_NAMES]) + more


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"
