"""`opens2v use`: set the default catalog."""

from __future__ import annotations

import argparse

from opens2v_data.cli.output import note

NAME = "use"
HELP = "make a catalog this user's default"
DETAILS = ' It is then what load_dataset("opens2v-5m") and commands without a catalog take when none is nearer.'
EXAMPLE = "opens2v use ./opens2v-5m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("catalog", help="folder of the catalog, or its address: hf://datasets/OWNER/NAME[@REVISION]")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.catalog.lookup import find_catalog, set_default_catalog

    Catalog.open(arguments.catalog)
    # As it was named: a branch on the Hub is taken at its newest commit whenever it is opened.
    place = find_catalog(arguments.catalog)
    place = place if isinstance(place, str) else place.absolute()
    path = set_default_catalog(place)
    note(f"default catalog is now {place} (written to {path})")
    return 0
