"""`opens2v info`: what a catalog holds."""

from __future__ import annotations

import argparse
from typing import Any

from opens2v_data.cli.output import add_catalog_argument, print_json, print_table, size_text

NAME = "info"
HELP = "show what a catalog holds: counts, sizes, revision, what was skipped and why"
DETAILS = ""
EXAMPLE = "opens2v info ./opens2v-5m --json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument("--schema", action="store_true", help="show every table's columns with type, unit and meaning")
    parser.add_argument("--json", action="store_true", help="print as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if arguments.schema:
        return _show_schema(arguments.json)
    from opens2v_data.catalog.catalog import Catalog

    catalog = Catalog.open(arguments.catalog)
    facts = describe(catalog)
    if arguments.json:
        print_json(facts)
        return 0
    print(f"catalog   {facts['catalog']}")
    print(f"digest    {facts['digest']}")
    print(f"release   {facts['release']['uri']} @ {facts['release']['revision'] or 'local folder, no revision'}")
    print(
        f"records   {facts['records']:,} = {facts['tables']['clips']:,} clips + {facts['quarantined']['records']:,} quarantined\n"
    )
    rows = [(name, facts["tables"][name], size_text(facts["bytes"][name])) for name in facts["tables"]]
    rows.append(("mask blobs", "", size_text(facts["bytes"]["mask_blobs"])))
    print_table(rows, header=("table", "rows", "size"))
    for title, counts in (
        ("skipped, and why", facts["quarantined"]["by_reason"]),
        ("oddities met, records kept", facts["quirks"]),
        ("links", facts["links"]),
    ):
        if counts:
            print(f"\n{title}")
            print_table([(f"  {name.replace('_', ' ')}", count) for name, count in counts.items()])
    for part in facts["release"]["parts"]:
        if part["truncated_at"] is not None:
            print(f"\npart {part['name']}: its tar ends at byte {part['truncated_at']} without its end marker")
        for problem in ([part["fault"]] if part["fault"] else []) + part["refused"][:5]:
            print(f"\n{problem}")
    return 0


def describe(catalog: Any) -> dict[str, Any]:
    """Return what `--json` prints."""
    manifest = catalog.manifest
    report = dict(manifest.report)
    taken = ("records", "rows", "quarantined", "quarantined_by_reason", "quirks")
    blobs = sum(file.size_bytes for file in manifest.files if file.path.startswith("masks/"))
    return {
        "catalog": catalog.uri,
        "digest": manifest.digest,
        "schema_version": manifest.schema_version,
        "release": {
            "uri": manifest.source.uri,
            "revision": manifest.source.revision,
            "json_files": [
                {
                    "path": file.path,
                    "records": file.num_records,
                    "clips": file.num_rows,
                    "truncated_at": file.truncated_at,
                }
                for file in manifest.source.json_files
            ],
            "parts": [
                {
                    "name": part.name,
                    "layout": part.layout,
                    "pieces": len(part.pieces),
                    "size_bytes": sum(piece.size_bytes for piece in part.pieces),
                    "members": part.num_members,
                    "refused": list(part.refused),
                    "skipped": part.skipped,
                    "truncated_at": part.truncated_at,
                    "fault": part.fault,
                }
                for part in manifest.source.parts
            ],
        },
        "records": report["records"],
        "tables": {name: file.rows for name, file in manifest.tables.items()},
        "bytes": {name: file.size_bytes for name, file in manifest.tables.items()} | {"mask_blobs": blobs},
        "quarantined": {"records": report["quarantined"], "by_reason": report["quarantined_by_reason"]},
        "quirks": report["quirks"],
        "links": {name: count for name, count in report.items() if name not in taken},
    }


def _show_schema(as_json: bool) -> int:
    from opens2v_data.catalog.schemas import TABLES

    if as_json:
        tables = {
            table.name: {
                "doc": table.doc,
                "order": list(table.order),
                "columns": [
                    {"name": column.name, "type": str(column.type), "unit": column.unit, "doc": column.doc}
                    for column in table.columns
                ],
            }
            for table in TABLES.values()
        }
        print_json(tables)
        return 0
    for table in TABLES.values():
        print(f"{table.name}: {table.doc}; in order of {', '.join(table.order)}")
        print_table(
            [(f"  {c.name}", str(c.type).replace(" not null", ""), c.unit or "-", c.doc) for c in table.columns]
        )
        print()
    return 0
