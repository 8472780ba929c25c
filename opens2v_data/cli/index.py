"""`opens2v index`: where every clip lies in the release's tars."""

from __future__ import annotations

import argparse
from pathlib import Path

from opens2v_data.cli.output import ProgressBars, add_output_arguments, note, output_folder, positive, print_json, share

NAME = "index"
HELP = "list the clips inside the release's tars: members.parquet, over HTTP or from a disk"
DETAILS = (
    " Nothing is downloaded but the tars' headers: about one request of 1.5 kB per clip, many at once. Interrupted or killed, the"
    " same command goes on. An ingest of the same release into the same folder takes the index over."
)
EXAMPLE = "opens2v index hf://datasets/BestWishYsh/OpenS2V-5M@COMMIT ./opens2v-5m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "release", help="folder, or hf://datasets/OWNER/NAME[@REVISION]; a branch is taken at its commit of now"
    )
    parser.add_argument("catalog", type=output_folder, help="folder of the catalog to be; made if absent")
    parser.add_argument(
        "--chains",
        type=positive,
        default=256,
        metavar="N",
        help="requests under way at once, each from another place of a tar (default: 256; a folder is read from its start)",
    )
    parser.add_argument("--shard", type=share, metavar="I/N", help="only every N-th part, from the I-th (0 ≤ I < N)")
    add_output_arguments(parser, with_json="print what was found as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.archive.chains import ChainOptions
    from opens2v_data.catalog.indexing import index_release
    from opens2v_data.hub.release import open_release

    release = open_release(arguments.release)
    stages = {part.name: (part.name, "B") for part in release.video_parts()}
    with ProgressBars(stages, quiet=arguments.quiet) as bars:
        result = index_release(
            release,
            Path(arguments.catalog),
            shard=arguments.shard,
            chains=ChainOptions(max_chains=arguments.chains),
            progress=bars,
        )
    is_damaged = any(part.truncated_at is not None or part.fault is not None for part in result.parts)
    if arguments.json:
        print_json(
            {
                "path": None if result.path is None else str(result.path),
                "release": release.files.uri,
                "revision": release.revision,
                "members": result.num_members,
                "parts": {
                    part.name: {
                        "members": part.num_members,
                        "pieces": len(part.pieces),
                        "bytes": sum(piece.size_bytes for piece in part.pieces),
                        "truncated_at": part.truncated_at,
                        "fault": part.fault,
                        "refused": list(part.refused),
                    }
                    for part in result.parts
                },
                "missing_parts": result.num_parts - len(result.parts),
            }
        )
    if not arguments.quiet:
        if result.was_complete:
            note(f"{arguments.catalog} is the finished catalog of these files; its members.parquet lists them")
        elif result.path is None:
            note(
                f"this share is done; {result.num_parts - len(result.parts)} of {result.num_parts} parts are not: run the other "
                "shares, or once without --shard"
            )
        else:
            note(f"{result.num_members:,} members of {result.num_parts} parts in {result.path}")
    for part in result.parts:
        for name in part.refused:
            note(f"warning: part {part.name}: a member is refused: {name}")
        if part.fault is not None:
            note(f"error: {part.fault}. {part.num_members:,} members before it are listed")
        elif part.truncated_at is not None:
            note(
                f"error: the tar of part {part.name} ends at byte {part.truncated_at} without its end marker: its last pieces "
                f"are not there. {part.num_members:,} members before it are listed"
            )
    return 3 if is_damaged else 0
