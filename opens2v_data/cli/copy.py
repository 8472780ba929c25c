"""`opens2v copy`: a catalog, or some of its tables, to a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from opens2v_data.cli.output import ProgressBars, add_output_arguments, note, output_folder, print_json, size_text

NAME = "copy"
HELP = "copy a catalog to a folder, whole or the tables asked often, with checksums checked"
DETAILS = (
    " Tables that are left out, and masks with --no-masks, are still read from where the catalog was copied from. Interrupted or"
    " killed, the same command goes on where it was; with other --tables it adds those."
)
EXAMPLE = "opens2v copy hf://datasets/me/opens2v-5m-catalog ./opens2v-5m --tables clips,captions,subjects,classes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("catalog", help="address of the catalog, hf://datasets/OWNER/NAME[@REVISION], or its folder")
    parser.add_argument("folder", type=output_folder, help="where to copy it; made if absent")
    parser.add_argument("--tables", metavar="NAMES", help="only these tables, with commas between them (default: all)")
    parser.add_argument("--no-masks", action="store_true", help="leave the mask blobs out, most of a catalog's bytes")
    add_output_arguments(parser, with_json="print what came of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.catalog.copy import copy_catalog

    tables = None
    if arguments.tables is not None:
        tables = [name.strip() for name in arguments.tables.split(",")]
    catalog = Catalog.open(arguments.catalog)
    with ProgressBars({"copy": ("copy", "B")}, quiet=arguments.quiet) as bars:
        result = copy_catalog(
            catalog, Path(arguments.folder).expanduser(), tables=tables, masks=not arguments.no_masks, progress=bars
        )
    if arguments.json:
        print_json(
            {
                "catalog": catalog.uri,
                "folder": str(result.root),
                "digest": catalog.digest,
                "copied": {"files": result.num_files, "bytes": result.num_bytes},
                "kept": result.num_kept,
                "left": list(result.left),
            }
        )
    if not arguments.quiet:
        note(
            f"{result.num_files} files ({size_text(result.num_bytes)}) copied to {result.root}, {result.num_kept} were there"
        )
        if result.left:
            note(f"{len(result.left)} files are left where they are, and read from there: {catalog.origin_uri}")
    return 0
