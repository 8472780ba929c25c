"""`opens2v demo-release`: write a small generated release."""

from __future__ import annotations

import argparse
from pathlib import Path

from opens2v_data.cli.output import ProgressBars, add_output_arguments, note, output_folder, size_text

NAME = "demo-release"
HELP = "write a small release, laid out exactly like upstream's"
DETAILS = (
    " Generated on the spot, the same every time: two parts, real H.264 clips with known masks, pairs, views, plates."
)
EXAMPLE = "opens2v demo-release ./release"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("folder", type=output_folder, help="where to; must be absent or empty")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another release (default: 0)")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.errors import ReleaseError
    from opens2v_data.sample import write_sample_release

    folder = Path(arguments.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ReleaseError(f"expected an absent or empty folder to write the release to, found {folder}; name another")
    with ProgressBars(
        {"encode": ("encoding", " clips"), "annotate": ("annotating", " clips")}, quiet=arguments.quiet
    ) as bars:
        write_sample_release(folder, seed=arguments.seed, progress=bars)
    if not arguments.quiet:
        files = [path for path in folder.rglob("*") if path.is_file()]
        note(f"wrote {len(files)} files, {size_text(sum(path.stat().st_size for path in files))}, to {folder}")
        note(f"next: opens2v ingest {folder} ./opens2v-5m")
    return 0
