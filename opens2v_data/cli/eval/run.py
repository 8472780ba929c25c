"""`opens2v eval run`: score a model's videos."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from opens2v_data.cli.eval.common import HUB_DATASET, SOURCE_HELP, add_domain_arguments
from opens2v_data.cli.eval.prompts import tell_videos
from opens2v_data.cli.output import ProgressBars, add_output_arguments, note, output_folder, positive, print_json, share

if TYPE_CHECKING:
    from opens2v_eval.metrics import Metric
    from opens2v_eval.running import Scorer
    from opens2v_eval.videos import VideoCheck

NAME = "run"
HELP = "score a model's videos with the metrics (extra: eval)"
DETAILS = (
    " Videos are looked through before any model loads. Results are kept as they come: the same command goes on where it was"
    " stopped, and does anew only what failed or changed. Several processes with shards of their own may share the folder of"
    " scores. Exits with 1 if a video could not be scored."
)
EXAMPLE = "opens2v eval run ./my_model_videos --prompts ./OpenS2V-Eval --metrics all -o scores/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("videos", help="folder with the model's videos, named KEY.mp4")
    parser.add_argument(
        "--prompts", metavar="SOURCE", default=HUB_DATASET, help=f"{SOURCE_HELP} (default: {HUB_DATASET})"
    )
    add_domain_arguments(parser)
    parser.add_argument(
        "--images", metavar="FOLDER", help="the folder that holds Images/, where it is not beside the file"
    )
    parser.add_argument(
        "--metrics",
        metavar="NAMES",
        default="all",
        help="with commas between: aesthetics, motion_amplitude, motion_smoothness, facesim, gmescore, nexusscore, naturalscore "
        "(default: all)",
    )
    parser.add_argument(
        "-o", "--output", type=output_folder, metavar="FOLDER", default="scores", help="where to (default: scores)"
    )
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1; auto takes a GPU where there is one (default: auto)"
    )
    parser.add_argument(
        "--shard", type=share, default=(0, 1), metavar="I/N", help="only every N-th prompt, from the I-th (0 ≤ I < N)"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="METRIC.NAME=VALUE",
        help="an option of a metric's class, such as aesthetics.clip=./clip-vit-large-patch14; may be repeated",
    )
    parser.add_argument(
        "--ray",
        type=positive,
        metavar="N",
        help="score on N workers of Ray (extra: ray), each with the device, instead of in this process",
    )
    parser.add_argument(
        "--estimate", action="store_true", help="only tell what asking a language model (naturalscore) would take"
    )
    parser.add_argument(
        "--prices",
        type=_prices,
        metavar="IN,OUT",
        help="of a million tokens to and from that model, for --estimate",
    )
    parser.add_argument("--keep-failed", action="store_true", help="do not try again what failed in an earlier run")
    add_output_arguments(parser, with_json="print what became of each as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the step."""
    from opens2v_data.errors import EvaluationError
    from opens2v_eval.metrics import METRIC_NAMES, create_metrics
    from opens2v_eval.prompts import load_prompts
    from opens2v_eval.running import run as score_videos
    from opens2v_eval.videos import check_videos

    try:
        metrics = create_metrics(arguments.metrics, options=options_of(arguments.option))
    except TypeError as error:
        raise ValueError(f"--option: {error}") from error
    device = _device(arguments.device, is_here=arguments.ray is None)
    prompts = load_prompts(
        arguments.prompts, domain=arguments.domain, images=arguments.images, check=not arguments.unchecked
    )
    stages = {"videos": ("look through", ""), **{name: (name, "") for name in METRIC_NAMES}}
    with ProgressBars(stages, quiet=arguments.quiet) as bars:
        check = check_videos(arguments.videos, prompts, progress=bars)
    tell_videos(check, quiet=arguments.quiet)
    if not check.found:
        raise EvaluationError(
            f"{check.folder}: none of {len(prompts)} prompts has a video that can be read: name them KEY.mp4"
        )
    if arguments.estimate:
        return _estimate(arguments, metrics, check)
    with ProgressBars(stages, quiet=arguments.quiet) as bars:
        report = score_videos(
            check.found,
            prompts,
            metrics=metrics,
            out=arguments.output,
            device=device,
            shard=arguments.shard,
            retry_failed=not arguments.keep_failed,
            scorer=_scorer(arguments.ray, device),
            progress=bars,
        )
    if arguments.json:
        print_json(
            {
                "planned": report.planned,
                "scored": report.scored,
                "kept": report.kept,
                "skipped": dict(report.skipped),
                "failed": [
                    {"key": failure.key, "metric": failure.metric, "error": failure.error} for failure in report.failed
                ],
                "files": [str(path) for path in report.files],
            }
        )
    for failure in report.failed:
        note(f"failed: {failure.key}, {failure.metric}: {failure.error}")
    if not arguments.quiet:
        skipped = "".join(f", {count:,} left out ({reason})" for reason, count in report.skipped.items())
        note(
            f"{report.planned:,} scores planned: {report.scored:,} made, {report.kept:,} kept{skipped}, {len(report.failed):,} "
            f"failed; in {arguments.output}"
        )
    return 1 if report.failed else 0


def _estimate(arguments: argparse.Namespace, metrics: Sequence[Metric], check: VideoCheck) -> int:
    from opens2v_loaders import probe

    judges = [metric for metric in metrics if hasattr(metric, "estimate")]
    if not judges:
        raise ValueError("--estimate is of naturalscore, which is not among --metrics")
    infos = [probe(path) for path in check.found.values()]
    sizes = [(info.width, info.height, info.num_frames_from_packets) for info in infos]
    prices = dict(zip(("input_price", "output_price"), arguments.prices or (), strict=False))
    for metric in judges:
        estimate = cast(Any, metric).estimate(sizes, **prices)
        if arguments.json:
            print_json(asdict(estimate))
        else:
            print(f"{metric.name}: {estimate}")
    return 0


def _scorer(num_workers: int | None, device: str) -> Scorer | None:
    if num_workers is None:
        return None
    from opens2v_eval.ray_running import RayScorer

    return RayScorer(num_workers=num_workers, device=device, num_gpus=0 if device == "cpu" else 1)


def _prices(text: str) -> tuple[float, float]:
    try:
        into, out = map(float, text.split(","))
        return into, out
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected two numbers with a comma between, got {text}") from None


def options_of(texts: list[str]) -> dict[str, dict[str, Any]]:
    """Return options by metric and name; a value that is JSON (a number, true, a list) is taken as such."""
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        metric, dot, name = place.partition(".")
        if not (equals and dot and metric and name.isidentifier()):
            raise ValueError(f"expected --option METRIC.NAME=VALUE, got {text!r}")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        found.setdefault(metric, {})[name] = parsed
    return found


def _device(name: str, *, is_here: bool) -> str:
    """Return where to compute; a GPU that is to be on this machine is looked for."""
    if name != "auto" and re.fullmatch(r"cpu|cuda(:\d+)?", name) is None:
        raise ValueError(f"--device is auto, cpu, cuda or a GPU by its number as in cuda:1, not {name!r}")
    try:
        import torch
    except ImportError:
        return "cpu" if name == "auto" else name
    num_gpus = torch.cuda.device_count()
    if name == "auto":
        return "cuda" if num_gpus else "cpu"
    if is_here and name != "cpu" and int(name.partition(":")[2] or 0) >= num_gpus:
        raise ValueError(f"--device {name}: torch sees {num_gpus or 'no'} GPUs here; take another, or cpu")
    return name
