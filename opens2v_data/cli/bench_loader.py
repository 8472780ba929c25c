"""`opens2v bench-loader`: how fast batches come from a catalog here, and what takes the time."""

from __future__ import annotations

import argparse
import logging
import re
import resource
import sys
import time
from typing import Any

from opens2v_data.cli.choosing import where_of
from opens2v_data.cli.output import (
    add_catalog_argument,
    add_output_arguments,
    add_slice_argument,
    note,
    positive,
    print_json,
    print_table,
    size_text,
)

NAME = "bench-loader"
HELP = "make training batches and say how fast they come, where the time goes, and which clips are bad"
DETAILS = (
    " Bad clips are replaced, as in training. Seconds of tables, bytes and decoding are those of threads, which run beside each "
    "other; `waited` is what a training step that takes no time would wait."
)
EXAMPLE = 'opens2v bench-loader ./opens2v-5m --where "aesthetic > 5" --batches 20'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument(
        "--where", metavar="SQL", help="a condition over the columns of clips; `opens2v info --schema` lists them"
    )
    add_slice_argument(parser)
    parser.add_argument(
        "--release",
        metavar="PATH",
        help="where the release lies now, a folder or hf://…, when not where it was at ingest",
    )
    parser.add_argument("--batches", type=positive, default=20, metavar="N", help="at most N batches (default: 20)")
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="clips of a batch (default: 4)")
    parser.add_argument("--frames", type=positive, default=49, metavar="N", help="frames of a clip (default: 49)")
    parser.add_argument("--stride", type=positive, default=3, metavar="N", help="of these frames (default: 3)")
    parser.add_argument(
        "--size", default="480x832", metavar="HxW", help="height and width of a frame in pixels (default: 480x832)"
    )
    parser.add_argument("--subjects", action="store_true", help="cut out subjects, too")
    parser.add_argument("--threads", type=positive, metavar="N", help="that decode (default: one for each CPU)")
    parser.add_argument(
        "--device", type=_device, default="cpu", help="where frames are wanted: cpu or cuda (default: cpu)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order (default: 0)")
    add_output_arguments(parser, with_json="print the figures as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data
    from opens2v_data.errors import MissingExtraError

    try:
        from opens2v_loaders import ClipLoader, ClipSpec, LoaderOptions, SubjectSpec
    except MissingExtraError:
        raise
    except ImportError as error:
        raise MissingExtraError(package="torch and PyAV", extra="torch", needed_for="loading batches") from error
    height, width = _size(arguments.size)
    # Bad clips are told at the end.
    logging.getLogger("opens2v_loaders").addHandler(logging.NullHandler())
    begun, cpu_begun = time.perf_counter(), time.process_time()
    dataset = opens2v_data.open(arguments.catalog, release=arguments.release)
    loader = ClipLoader(
        dataset,
        where=where_of(dataset, arguments),
        clip=ClipSpec(num_frames=arguments.frames, stride=arguments.stride, size=(height, width)),
        batch_size=arguments.batch_size,
        seed=arguments.seed,
        subjects=SubjectSpec() if arguments.subjects else None,
        device=arguments.device,
        # A benchmark of bad data should say how bad it is, and not stop.
        options=LoaderOptions(num_threads=arguments.threads, max_bad_share=1.0),
    )
    planned_at = time.perf_counter()
    num_clips, num_batches, first_at = 0, 0, planned_at
    if len(loader):
        for batch in loader:
            num_batches, num_clips = num_batches + 1, num_clips + len(batch)
            if num_batches == 1:
                first_at = time.perf_counter()
            if num_batches == min(arguments.batches, len(loader)):
                break
    total_seconds = time.perf_counter() - planned_at
    cpu_seconds = time.process_time() - cpu_begun
    loader.close()
    if not num_batches:
        note(f"{len(loader.plan.rows)} rows fit, which make no batch of {arguments.batch_size}: choose a smaller one")
        return 1
    timing = loader.timing
    figures: dict[str, Any] = {
        "rows": len(loader.plan.rows),
        "batches": num_batches,
        "clips": num_clips,
        "clips_per_second": num_clips / total_seconds,
        "seconds": {
            "plan": planned_at - begun,
            "first_batch": first_at - planned_at,
            "all_batches": total_seconds,
            "waited": timing.wait_seconds,
            "tables": timing.rows_seconds,
            "bytes": timing.fetch_seconds,
            "decoding": timing.decode_seconds,
            "cpu": cpu_seconds,
        },
        "decoded_clips": timing.num_decoded,
        "decode_seconds_per_clip": timing.decode_seconds / max(1, timing.num_decoded),
        "bytes_read": timing.num_bytes,
        "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "bad_clips": [
            {"part": bad.part, "key": bad.key, "stage": bad.stage, "reason": bad.reason} for bad in loader.bad_clips
        ],
    }
    if arguments.json:
        print_json(figures)
    else:
        _print(figures)
    return 0


def _print(figures: dict[str, Any]) -> None:
    seconds = figures["seconds"]
    words = {
        "plan": "to plan the order",
        "first_batch": "to the first batch",
        "all_batches": "to all batches",
        "waited": "waited for batches",
        "tables": "reading tables",
        "bytes": "waiting for bytes",
        "decoding": "decoding, all threads",
        "cpu": "CPU, all of it",
    }
    print(
        f"{figures['clips']} clips in {figures['batches']} batches: {figures['clips_per_second']:.2f} clips/s, "
        f"{figures['decode_seconds_per_clip'] * 1000:.0f} ms to decode one"
    )
    print_table([(words[name], f"{value:.2f} s") for name, value in seconds.items()])
    print(f"{size_text(figures['bytes_read'])} read; largest memory {size_text(figures['max_rss_bytes'])}")
    print(f"{len(figures['bad_clips'])} bad clips")
    for bad in figures["bad_clips"]:
        print(f"  {bad['part']}/{bad['key']}: {bad['stage']}: {bad['reason']}")


def _device(text: str) -> str:
    if re.fullmatch(r"cpu|cuda(:\d+)?", text) is None:
        raise argparse.ArgumentTypeError(f"expected cpu, cuda, or cuda:N for the N-th GPU, got {text}")
    return text


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit()):
        raise ValueError(f"--size is height x width in pixels, for example 480x832, not {text!r}")
    return int(height), int(width)
