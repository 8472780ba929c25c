"""`opens2v fetch`: the chosen clips' mp4s, and nothing else of 11 TB."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from opens2v_data.cli.choosing import where_of
from opens2v_data.cli.output import (
    add_cache_argument,
    add_catalog_argument,
    add_output_arguments,
    add_row_arguments,
    note,
    open_cache,
    output_folder,
    positive,
    print_json,
    size_text,
)

NAME = "fetch"
HELP = "fetch the chosen clips' mp4s to a folder, from the Hub or a disk"
DETAILS = (
    " Each clip is checked and written whole or not at all. fetch.jsonl in the folder has a line per clip: what came, and"
    " what did not and why. Run again, the same command fetches what is missing. Exit code 3: some clips could not be fetched."
)
EXAMPLE = 'opens2v fetch ./opens2v-5m --where "aesthetic > 5.5" --to clips/ --cache-gb 50'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    add_row_arguments(parser, limit=None)
    parser.add_argument(
        "--to", required=True, type=output_folder, metavar="FOLDER", help="where the mp4s go, as <part>/<clip key>.mp4"
    )
    add_cache_argument(parser)
    parser.add_argument(
        "--max-concurrency",
        type=positive,
        default=128,
        metavar="N",
        help="requests under way at once, at most (default: 128)",
    )
    add_output_arguments(parser, with_json="print what came of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from tqdm import tqdm

    import opens2v_data
    from opens2v_data.archive.wanted import FetchOptions
    from opens2v_data.fetching import REPORT_FILE, fetch_clips

    dataset = opens2v_data.open(arguments.catalog, release=arguments.release, cache=open_cache(arguments))
    options = FetchOptions(
        min_concurrency=min(16, arguments.max_concurrency), max_concurrency=arguments.max_concurrency
    )
    folder = Path(arguments.to)
    with tqdm(unit=" clips", disable=True if arguments.quiet else None) as bar:

        def progress(done: int, planned: int, num_bytes: int) -> None:
            bar.total = planned
            bar.set_postfix_str(size_text(num_bytes), refresh=False)
            bar.update(done - bar.n)

        report = fetch_clips(
            dataset,
            folder,
            where_of(dataset, arguments),
            limit=arguments.limit,
            options=options,
            progress=progress,
        )
    counters = getattr(dataset.media.store, "counters", None)
    resolves = 0 if counters is None else counters.num_resolves
    if arguments.json:
        print_json(asdict(report) | {"num_resolves": resolves, "folder": str(folder)})
    if not arguments.quiet:
        asked = f"{report.stats.num_requests:,} requests" + (f", {resolves:,} of /resolve" if resolves else "")
        note(
            f"{report.num_planned:,} clips = {report.num_delivered:,} fetched + {report.num_there_before:,} there before + "
            f"{report.num_failed:,} failed; {size_text(report.num_bytes)} written, {size_text(report.stats.num_bytes)} read in "
            f"{asked}; {folder / REPORT_FILE} says what became of each"
        )
    return 3 if report.num_failed else 0
