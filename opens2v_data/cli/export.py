"""`opens2v export`: a slice as files that other tools read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.cli.choosing import add_slice_arguments, chosen
from opens2v_data.cli.output import (
    ProgressBars,
    add_cache_argument,
    add_catalog_argument,
    add_output_arguments,
    note,
    open_cache,
    output_folder,
    positive,
    print_json,
)

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V
    from opens2v_data.query.slices import Slice

NAME = "export"
HELP = "write chosen clips as WebDataset shards or folders with mp4s and cut-outs, or their tables as parquet or CSV"
DETAILS = (
    " webdataset: tars of clip, caption, row and cut-outs; killed, the same command goes on. folder: as `stream --save`. parquet"
    " and csv: tables alone (clips with captions, subjects, pairs, locations), no video is read. Exit code 3: some clips failed."
)
EXAMPLE = "opens2v export ./opens2v-5m --slice guitars.slice.parquet --to webdataset -o shards/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument("--to", required=True, choices=("webdataset", "folder", "parquet", "csv"), help="as what")
    parser.add_argument("-o", "--output", required=True, type=output_folder, metavar="FOLDER", help="where to")
    parser.add_argument(
        "--shard-clips", type=positive, default=500, metavar="N", help="webdataset: clips of a tar (default: 500)"
    )
    parser.add_argument("--no-cut-outs", action="store_true", help="webdataset: decode nothing, leave cut-outs out")
    parser.add_argument(
        "--release",
        metavar="PATH",
        help="where the release lies now, a folder or hf://…, when not where it was at ingest",
    )
    add_cache_argument(parser)
    add_slice_arguments(parser)
    add_output_arguments(parser, with_json="print what came of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data

    dataset = opens2v_data.open(arguments.catalog, release=arguments.release, cache=open_cache(arguments))
    s = chosen(dataset, arguments)
    folder = Path(arguments.output)
    if arguments.to in ("parquet", "csv"):
        return _tables(s, folder, arguments)
    report = (
        _webdataset(dataset, s, folder, arguments)
        if arguments.to == "webdataset"
        else _folder(dataset, s, folder, arguments)
    )
    if arguments.json:
        print_json(report | {"folder": str(folder)})
    if not arguments.quiet:
        note(
            f"{report['num_planned']:,} clips = {report['num_exported']:,} exported + {report['num_there_before']:,} there "
            f"before + {report['num_failed']:,} failed, in {folder}"
        )
    return 3 if report["num_failed"] else 0


def _tables(s: Slice, folder: Path, arguments: argparse.Namespace) -> int:
    from opens2v_data.exporting import export_tables

    made = export_tables(s, folder, arguments.to)
    if arguments.json:
        print_json({table.path.name: table.num_rows for table in made})
    if not arguments.quiet:
        note(f"{', '.join(f'{table.num_rows:,} rows in {table.path.name}' for table in made)}, in {folder}")
    return 0


def _webdataset(dataset: OpenS2V, s: Slice, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    exporting = _loaders("exporting")
    with ProgressBars({"clips": ("clips", " clips")}, quiet=arguments.quiet) as bars:
        report = exporting.export_webdataset(
            dataset,
            s.ids(),
            folder,
            shard_clips=arguments.shard_clips,
            cut_outs=not arguments.no_cut_outs,
            progress=lambda done, total: bars("clips", done, total),
        )
    return asdict(report)


def _folder(dataset: OpenS2V, s: Slice, folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    saving = _loaders("saving")
    ids = s.ids()
    saved = failed = 0
    with ProgressBars({"clips": ("clips", " clips")}, quiet=arguments.quiet) as bars:
        for start in range(0, len(ids), 64):
            for row in dataset.rows_of(ids[start : start + 64]):
                result = saving.save_row(folder, row, read_video=dataset.read_bytes, read_file=dataset.read_file)
                saved += result.is_saved
                failed += not result.is_saved
                if result.notes and not result.is_saved and not arguments.quiet:
                    note(f"{result.folder.name}: {'; '.join(result.notes)}")
                bars("clips", saved + failed, len(ids))
    return {"num_planned": len(ids), "num_exported": saved, "num_there_before": 0, "num_failed": failed}


def _loaders(name: str) -> Any:
    from importlib import import_module

    from opens2v_data.errors import MissingExtraError

    try:
        return import_module(f"opens2v_loaders.{name}")
    except ImportError as error:
        raise MissingExtraError(
            package="PyAV and Pillow", extra="video", needed_for="opens2v export with clips"
        ) from error
