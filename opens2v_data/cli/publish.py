"""`opens2v publish`: a catalog to the Hub."""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from opens2v_data.cli.output import ProgressBars, add_output_arguments, note, print_json, print_table, size_text

if TYPE_CHECKING:
    from opens2v_data.hub.preview import Draw, Pictures
    from opens2v_data.hub.publish import Plan
    from opens2v_data.triples import Triple

NAME = "publish"
HELP = "put a catalog on the Hub, with a card and a preview that the Hub's viewer can show"
DETAILS = (
    " The card's figures are counted from the catalog. The manifest goes last, so readers find a whole catalog or none."
    " Interrupted, the same command goes on where it was."
)
EXAMPLE = (
    "opens2v publish ./opens2v-5m me/opens2v-5m-catalog --dry-run "
    "--source hf://datasets/BestWishYsh/OpenS2V-5M@0123456789abcdef0123456789abcdef01234567"
)
MAX_CUT_OUTS = 8
CUT_OUT_PX = 512
"""Longest side of a cut-out: the eight of the real sample's clip are 0.65 MB then, whole they are 1.9 MB; the clip is 2.1 MB."""
JPEG_QUALITY = 90
CARD_LINES = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("catalog", help="folder of the catalog")
    parser.add_argument("repository", help="dataset repository on the Hub, OWNER/NAME; made if absent")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show what would be uploaded and the head of the card (needs no network); upload nothing",
    )
    parser.add_argument(
        "--source",
        metavar="ADDRESS",
        help="where the release lies for readers, hf://datasets/OWNER/NAME@COMMIT, when the catalog was made from a folder",
    )
    parser.add_argument("--private", action="store_true", help="make the repository private")
    parser.add_argument(
        "--preview-rows", type=_count, default=24, metavar="N", help="clips shown whole in the preview (default: 24)"
    )
    parser.add_argument("--no-preview", action="store_true", help="no preview; needs no release and no video packages")
    parser.add_argument("--revision", default="main", metavar="BRANCH", help="branch to publish to (default: main)")
    parser.add_argument(
        "--message",
        default="Publish a catalog of opens2v-data",
        help="first line of the commits (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="publish to a repository that holds something else too")
    parser.add_argument("--release", metavar="PATH", help="where the release lies now, when it was moved after ingest")
    add_output_arguments(parser, with_json="print what is uploaded, skipped and deleted as JSON")


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number, 0 for no preview, got {text}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data
    from opens2v_data.errors import MissingExtraError

    try:
        from opens2v_data.hub.publish import PublishOptions, plan_publication, upload
    except ModuleNotFoundError as error:
        raise MissingExtraError(package="huggingface_hub", extra="hub", needed_for="opens2v publish") from error
    num_rows = 0 if arguments.no_preview else arguments.preview_rows
    options = PublishOptions(
        source=arguments.source,
        branch=arguments.revision,
        is_private=arguments.private,
        num_preview_rows=num_rows,
        message=arguments.message,
        force=arguments.force,
    )
    draw = _drawer() if num_rows else None
    dataset = opens2v_data.open(arguments.catalog, release=arguments.release)
    stages = {"checksums": ("checksums", "B"), "preview": ("preview", " clips"), "upload": ("upload", "B")}
    published = None
    with TemporaryDirectory(prefix="opens2v-publish-") as work, ProgressBars(stages, quiet=arguments.quiet) as bars:
        plan = plan_publication(
            dataset,
            arguments.repository,
            work=Path(work),
            options=options,
            draw=draw,
            must_ask=not arguments.dry_run,
            progress=bars,
        )
        if not arguments.quiet:
            for text in plan.notes:
                note(f"note: {text}")
        if not arguments.dry_run:
            published = upload(plan, progress=bars)
    if arguments.json:
        print_json(_facts(plan, None if published is None else published.commit))
    elif published is None:
        _show(plan)
    if arguments.quiet:
        return 0
    counts = {action: len(plan.of(action)) for action in ("upload", "replace", "skip", "delete")}
    size = size_text(sum(file.size_bytes for file in plan.of("upload", "replace")))
    if published is None:
        note(
            f"dry run, nothing was uploaded: {counts['upload']} files to upload, {counts['replace']} to replace ({size}), "
            f"{counts['skip']} there already, {counts['delete']} to delete in {plan.repo_id}"
        )
    else:
        note(
            f"{counts['upload']} files uploaded, {counts['replace']} replaced ({size}), {counts['skip']} were there already, "
            f"{counts['delete']} deleted; {plan.repo_id} is at commit {published.commit}\n"
            f"read it with: opens2v info hf://datasets/{plan.repo_id}"
        )
    return 0


def _facts(plan: Plan, commit: str | None) -> dict[str, Any]:
    """Return what `--json` prints."""
    return {
        "repository": plan.repo_id,
        "branch": plan.options.branch,
        "is_new": plan.is_new if plan.is_asked else None,
        "digest": plan.manifest.digest,
        "source": {"uri": plan.manifest.source.uri, "revision": plan.manifest.source.revision},
        "files": [{"path": file.path, "size_bytes": file.size_bytes, "action": file.action} for file in plan.files],
        "notes": list(plan.notes),
        "commit": commit,
    }


def _show(plan: Plan) -> None:
    print_table([(file.path, file.size_bytes, file.action) for file in plan.files], header=("file", "bytes", "action"))
    lines = plan.card.splitlines()
    print(f"\nREADME.md, its first {min(CARD_LINES, len(lines))} lines of {len(lines)}:\n")
    print("\n".join(lines[:CARD_LINES]))


def _drawer() -> Draw:
    """Return what draws a preview's pictures.

    Raises:
        MissingExtraError: PyAV or Pillow is not installed.
    """
    from opens2v_data.errors import MissingExtraError

    try:
        import av  # noqa: F401 - only asked whether it is there; frames are decoded with it
        from PIL import Image

        from opens2v_loaders import annotated_frame, cut_out, draw_outlines
        from opens2v_loaders.cutouts import region_name, subject_regions
    except ImportError as error:
        raise MissingExtraError(
            package="PyAV and Pillow", extra="video", needed_for="a preview (--no-preview leaves it out)"
        ) from error
    from opens2v_data.hub.preview import CutOutPicture, Pictures

    def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
        data = io.BytesIO()
        image.save(data, kind, **how)
        return data.getvalue()

    def draw(triple: Triple, video: bytes) -> Pictures:
        frame = annotated_frame(video, triple.clip)
        cut_outs = []
        for region in subject_regions(triple.subjects)[:MAX_CUT_OUTS]:
            cut = cut_out(frame, region[0], background="transparent")
            if cut is not None:
                cut.image.thumbnail((CUT_OUT_PX, CUT_OUT_PX))
                cut_outs.append(CutOutPicture(class_name=region_name(region), png=encoded(cut.image, "PNG")))
        overlay = encoded(draw_outlines(frame, triple.subjects), "JPEG", quality=JPEG_QUALITY)
        return Pictures(overlay_jpeg=overlay, cut_outs=tuple(cut_outs))

    return draw
