"""`opens2v stream`: triples to the terminal, or to a folder."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from opens2v_data.cli.choosing import where_of
from opens2v_data.cli.output import (
    add_cache_argument,
    add_catalog_argument,
    add_output_arguments,
    add_row_arguments,
    note,
    open_cache,
    output_folder,
    print_json_line,
)

NAME = "stream"
HELP = "give triples: to the terminal, as JSON lines, or clips, subject cut-outs and captions to a folder"
DETAILS = ""
EXAMPLE = (
    "opens2v stream ./opens2v-5m --where \"aesthetic > 5 AND has_subject(clip_id, 'woman')\" --limit 5 --save out/"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    add_row_arguments(parser, limit=None)
    parser.add_argument(
        "--config",
        choices=("regular", "nexus-cross", "nexus-gpt"),
        default="regular",
        help="rows are clips, cross-video pairs, or clips with GPT-Image-1 views (default: regular)",
    )
    parser.add_argument(
        "--save",
        type=output_folder,
        metavar="FOLDER",
        help="write each row's mp4, caption, annotated frame and cut-outs there",
    )
    add_cache_argument(parser)
    add_output_arguments(parser, with_json="print rows as JSON lines")


FETCH_ROWS = 32
"""Rows whose videos come from a server at once: some 64 MB, or twice that for pairs."""


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data

    dataset = opens2v_data.open(arguments.catalog, release=arguments.release, cache=open_cache(arguments))
    where = where_of(dataset, arguments, config=arguments.config)
    rows = dataset.rows(where, config=arguments.config, limit=arguments.limit)
    if arguments.save is not None:
        return _save(dataset, rows, where, arguments)
    count = 0
    for row in rows:
        count += 1
        if arguments.json:
            print_json_line(row)
        elif arguments.config == "nexus-cross":
            print(pair_text(row))
        else:
            print(clip_text(row))
    if count == 0 and not arguments.quiet:
        note("no row fits; `opens2v info` shows what there is")
    return 0


def clip_text(row: dict[str, Any]) -> str:
    """Return a row of config regular or nexus-gpt as lines for a terminal."""
    span = f"frames {row['cut_start']}-{row['cut_end']}" if row["cut_start"] is not None else "no cut"
    size = f"{row['width']}x{row['height']}"
    scores = ", ".join(f"{name} {_score(row[name])}" for name in ("aesthetic", "motion", "tech"))
    video = f"{row['video_size_bytes']:,} bytes" if row["video_path"] else "no bytes in the release"
    lines = [
        f"{row['part']}/{row['clip_key']}",
        f"  video     {video}, {size}, {_score(row['fps'])} fps, {span}",
        f"  scores    {scores}",
    ]
    caption = row["caption"] or "(no caption)"
    lines.append(
        textwrap.fill(caption, 100, initial_indent="  caption   ", subsequent_indent="            ", max_lines=3)
    )
    subjects = [
        f"{subject['object_id']} {subject['class_name']}{'' if subject['mask'] else ' (no mask)'}"
        for subject in row["subjects"]
    ]
    lines.append(
        textwrap.fill(
            ", ".join(subjects) or "none", 100, initial_indent="  subjects  ", subsequent_indent="            "
        )
    )
    for view in row.get("views") or ():
        lines.append(f"  view      {view['class_name']}: {view['path']}")
    return "\n".join(lines)


def pair_text(row: dict[str, Any]) -> str:
    """Return a row of config nexus-cross as lines for a terminal."""
    sides = []
    for side, prefix in (("clip", ""), ("partner", "partner_")):
        clip, object_id = row[side], row[f"{prefix}object_id"]
        which = f"object {object_id}" if object_id is not None else "object not said"
        sides.append(f"  {side:9} {clip['part']}/{clip['clip_key']}: {which}, {row[f'{prefix}class_name']}")
    similarity = f"image {_score(row['image_similarity'])}, text {_score(row['text_similarity'])}"
    return "\n".join([f"pair {row['pair_id']}: similarity {similarity}", *sides])


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _save(dataset: Any, rows: Any, where: str | None, arguments: argparse.Namespace) -> int:
    from opens2v_data.errors import MissingExtraError

    try:
        from opens2v_loaders import save_row
    except ImportError as error:
        raise MissingExtraError(package="PyAV and Pillow", extra="video", needed_for="opens2v stream --save") from error
    from tqdm import tqdm

    planned = None
    if not arguments.quiet:
        planned = dataset.count(where, config=arguments.config)
        planned = min(planned, arguments.limit) if arguments.limit else planned
    folder = Path(arguments.save)
    saved = skipped = 0
    with_videos = _with_videos(dataset, rows)
    for row, read_video in tqdm(with_videos, total=planned, unit=" rows", disable=True if arguments.quiet else None):
        result = save_row(folder, row, read_video=read_video, read_file=dataset.media.read_file)
        saved += result.is_saved
        skipped += not result.is_saved
        if arguments.json:
            print_json_line({"folder": str(result.folder), "saved": result.is_saved, "notes": list(result.notes)})
        elif result.notes and not arguments.quiet:
            tqdm.write(f"{result.folder.name}: {'; '.join(result.notes)}", file=sys.stderr)
    if not arguments.quiet:
        note(f"{saved + skipped} rows = {saved} saved + {skipped} skipped, in {folder}")
    return 1 if skipped and not saved else 0


def _with_videos(dataset: Any, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Give rows with what reads their mp4s; from a server, those of many rows come at once."""
    from opens2v_data.archive.addresses import is_remote
    from opens2v_data.triples import VideoRef

    if not is_remote(dataset.media.release_uri):
        yield from ((row, dataset.read_bytes) for row in rows)
        return
    waiting = iter(rows)
    while some := list(islice(waiting, FETCH_ROWS)):
        sides = [side for row in some for side in ((row["clip"], row["partner"]) if "partner" in row else (row,))]
        addresses = list(dict.fromkeys(side["video_path"] for side in sides if side["video_path"]))
        videos = dataset.media.read_videos(map(VideoRef.from_address, addresses))
        found = dict(zip(addresses, videos, strict=True))

        def read_video(ref: Any, found: dict[str, Any] = found) -> bytes:
            data = found.get(ref.path) if ref is not None else None
            if isinstance(data, Exception):
                raise data
            return dataset.read_bytes(ref) if data is None else data

        yield from ((row, read_video) for row in some)
