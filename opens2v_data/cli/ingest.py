"""`opens2v ingest`: from a release to a catalog."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from opens2v_data.cli.output import ProgressBars, add_output_arguments, note, output_folder, positive, print_json, share

NAME = "ingest"
HELP = "make a catalog of a release: JSON, pairs, views, index of the tars"
DETAILS = (
    " Interrupted or killed, the same command goes on where it was. Records that cannot be read are listed in the"
    " catalog's quarantine.jsonl with file, offset, key and reason; nothing is dropped silently."
)
EXAMPLE = "opens2v ingest ./release ./opens2v-5m --workers 8"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "release",
        help="folder of the release: the one that holds Jsons/ and Videos/; or hf://datasets/OWNER/NAME[@REVISION]",
    )
    parser.add_argument("catalog", type=output_folder, help="folder of the catalog; made if absent")
    parser.add_argument(
        "--json-glob", metavar="GLOB", help="which annotation files, e.g. 'Jsons/mask_and_bbox_High-Quality/*.json'"
    )
    parser.add_argument(
        "--workers", type=positive, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)"
    )
    parser.add_argument(
        "--shard",
        type=share,
        metavar="I/N",
        help="do the I-th of N shares (0 ≤ I < N); a run without --shard, or the last share, puts all together",
    )
    parser.add_argument(
        "--unit-mb", type=positive, default=256, metavar="MB", help="JSON per unit of work (default: 256)"
    )
    parser.add_argument("--force", action="store_true", help="make it anew though nothing changed")
    add_output_arguments(parser, with_json="print what came of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.catalog.ingest import IngestOptions, ingest
    from opens2v_data.hub.release import open_release

    options = IngestOptions(
        json_glob=arguments.json_glob,
        workers=arguments.workers,
        shard=arguments.shard,
        unit_bytes=arguments.unit_mb << 20,
        force=arguments.force,
    )
    stages = {
        "json": ("JSON", "B"),
        "videos": ("videos", " parts"),
        "tables": ("tables", " clips"),
        "pairs": ("pairs", "B"),
    }
    root = Path(arguments.catalog)
    release = open_release(arguments.release)
    with ProgressBars(stages, quiet=arguments.quiet) as bars:
        result = ingest(release, root, options, progress=bars)
    say = (lambda text: None) if arguments.quiet else note
    if result.manifest is None:
        if not result.num_units_missing:
            say("this share is done, and so are the others: another process is putting the catalog together")
        else:
            say(
                f"this share is done; {result.num_units_missing} units or parts of other shares are not: run them, "
                "then once without --shard"
            )
        if arguments.json:
            print_json({"finished": False, "missing": result.num_units_missing})
        return 0
    manifest = result.manifest
    if arguments.json:
        tables = {name: file.rows for name, file in manifest.tables.items()}
        print_json({"finished": True, "digest": manifest.digest, "tables": tables, "report": manifest.report})
    if result.was_complete:
        say(
            f"{root} is complete, and the files of the release have the names and sizes it was made of; nothing to do "
            "(--force makes it anew)"
        )
    else:
        report = manifest.report
        say(
            f"{report['records']:,} records = {report['rows']:,} clips + {report['quarantined']:,} quarantined, in {root}"
        )
    code = 0
    for file in manifest.source.json_files:
        if file.truncated_at is not None:
            code = 3
            note(
                f"error: {file.path} ends before its last brace: nothing after byte {file.truncated_at} could be read "
                f"({file.size_bytes} bytes in all). {file.num_rows:,} clips before it are in the catalog; get the file whole "
                "and run the same command: only this file is read again"
            )
    for part in manifest.source.parts:
        if part.truncated_at is not None:
            code = 3
            note(
                f"error: the tar of part {part.name} ends at byte {part.truncated_at} without its end marker: its last pieces "
                f"are not here, and the clips there have no bytes. {part.num_members:,} members before it are indexed"
            )
        if part.fault is not None:
            code = 3
            note(
                f"error: {part.fault}. A piece before it is cut short or not this tar's: compare the pieces' sizes, get the odd "
                f"one again and run the same command. {part.num_members:,} members before it are indexed"
            )
    if manifest.report.get("pairs_unreadable"):
        count = manifest.report["pairs_unreadable"]
        note(f"warning: {count:,} pairs or stretches of pair files could not be read, see {root}/quarantine.jsonl")
    if manifest.report.get("pair_files_cut"):
        code = 3
        note(
            f"error: {manifest.report['pair_files_cut']} files of pairs are cut off; get them whole and run the same command"
        )
    return code
