"""`opens2v card`: a catalog's data card."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path

from opens2v_data.cli.output import add_catalog_argument, add_output_arguments, note

NAME = "card"
HELP = (
    "print a catalog's data card, its figures counted from the tables; or check that a file is that card (extra: hub)"
)
DETAILS = (
    " The text is dataset_card.md, the figures are answers to questions of sql/questions. With --check the differences are"
    " printed instead, and the exit code is 1 where there are any. `opens2v publish` puts the same card on the Hub."
)
EXAMPLE = "opens2v card ./opens2v-5m --repository me/opens2v-5m-catalog"
PLACEHOLDER = "OWNER/NAME"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument(
        "--check", metavar="FILE", help="compare with this file, print the differences, exit with 1 if any"
    )
    parser.add_argument(
        "--repository",
        metavar="OWNER/NAME",
        default=PLACEHOLDER,
        help="dataset repository on the Hub that the card says to load (default: %(default)s)",
    )
    parser.add_argument(
        "--source",
        metavar="ADDRESS",
        help="where the release lies for readers, hf://datasets/OWNER/NAME@COMMIT, when the catalog was made from a folder",
    )
    parser.add_argument("--preview", action="store_true", help="the repository has a preview too")
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.errors import MissingExtraError

    try:
        from opens2v_data.hub.card import count_figures, make_card
        from opens2v_data.hub.provenance import published_source
    except ModuleNotFoundError as error:
        raise MissingExtraError(package="huggingface_hub", extra="hub", needed_for="opens2v card") from error
    catalog = Catalog.open(arguments.catalog)
    card = make_card(
        count_figures(catalog),
        source=published_source(catalog.manifest.source, arguments.source),
        repo_id=arguments.repository,
        has_preview=arguments.preview,
    )
    if arguments.check is None:
        sys.stdout.write(card)
        return 0
    path = Path(arguments.check)
    try:
        found = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected a card in UTF-8 in {path}, found byte {error.start} that is none") from error
    lines = difflib.unified_diff(
        found.splitlines(), card.splitlines(), str(path), f"the card of {catalog.uri}", lineterm="", n=1
    )
    if found == card:
        if not arguments.quiet:
            note(f"{path} is the card of {catalog.uri}")
        return 0
    print("\n".join(lines) or "the files differ in line ends alone")
    if not arguments.quiet:
        note(f"{path} is not the card of {catalog.uri}; write it anew with: opens2v card {catalog.uri} > {path}")
    return 1
