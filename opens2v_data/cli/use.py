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
    parser.add_argument("catalog", help="folder of the catalog")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.catalog.lookup import set_default_catalog

    catalog = Catalog.open(arguments.catalog)
    path = set_default_catalog(catalog.root)
    note(f"default catalog is now {catalog.root} (written to {path})")
    return 0
