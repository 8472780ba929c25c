"""`opens2v verify`: check a catalog."""

from __future__ import annotations

import argparse

from opens2v_data.cli.output import ProgressBars, add_catalog_argument, add_output_arguments, print_json

NAME = "verify"
HELP = "check a catalog: checksums, row counts, links between tables, members present"
DETAILS = " Exits with 1 when anything is wrong."
EXAMPLE = "opens2v verify ./opens2v-5m --release ./release"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument(
        "--release", metavar="PATH", help="also check that this release still has every file, piece and video"
    )
    parser.add_argument(
        "--recount", action="store_true", help="also count the release's records by a second method; reads all JSON"
    )
    add_output_arguments(parser, with_json="print the checks as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.catalog.verify import verify
    from opens2v_data.hub.release import open_release

    catalog = Catalog.open(arguments.catalog)
    if arguments.recount and arguments.release is None:
        raise ValueError("--recount reads the release's JSON: name it with --release")
    stages = {"checksums": ("checksums", "B"), "members": ("members", " clips"), "recount": ("recount", "B")}
    with ProgressBars(stages, quiet=arguments.quiet) as bars:
        release = None if arguments.release is None else open_release(arguments.release)
        checks = list(verify(catalog, release=release, recount=arguments.recount, progress=bars))
    if arguments.json:
        print_json(
            {
                "ok": all(check.is_ok for check in checks),
                "checks": [
                    {"name": c.name, "ok": c.is_ok, "note": c.note, "problems": list(c.problems)} for c in checks
                ],
            }
        )
    else:
        for check in checks:
            print(f"{'ok  ' if check.is_ok else 'BAD '} {check.name}{f' ({check.note})' if check.note else ''}")
            for problem in check.problems:
                print(f"       {problem}")
    return 0 if all(check.is_ok for check in checks) else 1
