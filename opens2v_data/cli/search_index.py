"""`opens2v search-index`: an index of captions."""

from __future__ import annotations

import argparse

from opens2v_data.cli.output import (
    ProgressBars,
    add_catalog_argument,
    add_output_arguments,
    note,
    print_json,
    size_text,
)

NAME = "search-index"
HELP = "build an index of a catalog's captions, so that text is searched in milliseconds (extra: search)"
DETAILS = (
    " It lies in the catalog's folder, in search/, or in the user's cache where one may not write there. Without one, a scan of"
    " the captions finds the same clips in seconds. Killed, it leaves the former index or none; the same command builds it anew."
    " The index of a catalog that has changed since is replaced."
)
EXAMPLE = "opens2v search-index ./opens2v-5m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument("--force", action="store_true", help="build it also where one of this catalog is there")
    add_output_arguments(parser, with_json="print where it lies, captions and bytes as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.search import build_index

    catalog = Catalog.open(arguments.catalog)
    with ProgressBars({"captions": ("captions", "")}, quiet=arguments.quiet) as bars:
        result = build_index(catalog, progress=bars, force=arguments.force)
    if arguments.json:
        print_json(
            {
                "catalog": catalog.uri,
                "digest": catalog.digest,
                "folder": str(result.folder),
                "captions": result.num_captions,
                "bytes": result.size_bytes,
                "was_complete": result.was_complete,
            }
        )
    if not arguments.quiet:
        what = f"{result.num_captions:,} captions ({size_text(result.size_bytes)}) in {result.folder}"
        note(f"{what} were indexed already; --force builds it anew" if result.was_complete else f"indexed {what}")
    return 0
