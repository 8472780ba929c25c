"""`opens2v contact-sheet`: triples on one picture."""

from __future__ import annotations

import argparse
from typing import Any

from opens2v_data.cli.choosing import where_of
from opens2v_data.cli.output import add_catalog_argument, add_output_arguments, add_row_arguments, note, output_file

NAME = "contact-sheet"
HELP = "draw triples, a cross-video pair and a GPT view on one picture"
DETAILS = " Clip frames, mask outlines, cut-outs and captions, to look at."
ALIKE = "class_id = partner_class_id AND object_id IS NOT NULL"
PAIRS_LOOKED_AT = 64
EXAMPLE = 'opens2v contact-sheet ./opens2v-5m --where "aesthetic > 5" -o sheet.png'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    add_row_arguments(parser, limit=3)
    parser.add_argument(
        "-o",
        "--output",
        default="contact-sheet.png",
        type=output_file,
        metavar="PNG",
        help="where to (default: contact-sheet.png)",
    )
    add_output_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data
    from opens2v_data.errors import ArchiveError, MissingExtraError

    try:
        from opens2v_loaders import PairItem, TripleItem, ViewItem, contact_sheet
    except ImportError as error:
        raise MissingExtraError(package="PyAV and Pillow", extra="video", needed_for="a contact sheet") from error
    dataset = opens2v_data.open(arguments.catalog, release=arguments.release)

    def read(clip: opens2v_data.Clip) -> bytes | None:
        if clip.video is None:
            return None
        try:
            return dataset.read_bytes(clip.video)
        except ArchiveError as error:
            note(f"warning: {error}")
            return None

    items: list[Any] = [
        TripleItem(triple=triple, video_bytes=read(triple.clip))
        for triple in dataset.triples(where_of(dataset, arguments), limit=arguments.limit)
    ]
    if not items:
        note("no row fits; `opens2v info` shows what there is")
        return 1
    # One pair that can teach something: not the same picture twice, both classes alike, both ids naming what it says.
    for where in (f"image_similarity < 0.97 AND {ALIKE}", ALIKE):
        pairs = dataset.pairs(where, limit=PAIRS_LOOKED_AT)
        pair = next((pair for pair in pairs if pair.left_subject and pair.right_subject), None)
        if pair is not None:
            items.append(PairItem(pair=pair, left_bytes=read(pair.left.clip), right_bytes=read(pair.right.clip)))
            break
    for triple in dataset.triples(with_views=True, limit=1):
        view = triple.views[0]
        png = dataset.media.read_file(view.path)
        items.append(ViewItem(triple=triple, view=view, png_bytes=png, video_bytes=read(triple.clip)))
    contact_sheet(items, path=arguments.output)
    if not arguments.quiet:
        note(f"wrote {arguments.output}")
    return 0
