"""What is to be said of one clip, as HTML: its scores with units, its ranges, what is odd, and where its bytes lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from opens2v_data.errors import ArchiveError
from opens2v_explorer import stage

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V
    from opens2v_data.triples import Clip
    from opens2v_explorer.media.clipfacts import ClipFacts
    from opens2v_explorer.states import State


def state_html(state: State) -> str:
    """Return a state in words, with its code in `data-code`."""
    return stage.notice(state.title, f"{state.detail} {state.advice}".strip(), code=state.code)


def facts_html(pairs: Sequence[tuple[str, str]], *, testid: str = "facts") -> str:
    """Return names and values as a list.

    Args:
        pairs: the name as text, the value as HTML.
    """
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{value}</dd>" for name, value in pairs)
    return f'<dl class="facts" data-testid="{escape(testid)}">{rows}</dl>'


def scores_html(row: Mapping[str, Any]) -> str:
    """Return a clip's scores."""
    return facts_html(
        [
            ("Aesthetic", f"{stage.number(row['aesthetic'])} LAION, about 0-10"),
            ("of the foreground", f"{stage.number(row['foreground_aesthetic'])} LAION, about 0-10"),
            ("of the background", f"{stage.number(row['background_aesthetic'])} LAION, about 0-10"),
            ("Motion", f"{stage.number(row['motion'], 4)} optical flow"),
            ("Technical quality", f"{stage.number(row['tech'], 3)} upstream's tech"),
        ],
        testid="clip-scores",
    )


def film_html(clip: Clip, facts: ClipFacts | None) -> str:
    """Return a clip's size, rate and ranges, as recorded, and beside them what its file has where it differs."""
    rate = f"{stage.number(clip.fps, 3)} frames/s"
    size = f"{_or_missing(clip.width)} x {_or_missing(clip.height)} pixels"
    frames = f"{_or_missing(clip.num_frames)} frames"
    if facts is not None:
        if clip.fps is None or abs(facts.fps - clip.fps) > 0.01:
            rate += f" recorded; {facts.fps:.3f} in the file"
        if (clip.width, clip.height) != (facts.width, facts.height):
            size += f" recorded; {facts.width} x {facts.height} in the file"
        if clip.num_frames != facts.num_frames:
            frames += f" recorded; {facts.num_frames} in the file"
    crop = "the whole frame"
    if clip.crop_xyxy is not None:
        x0, y0, x1, y1 = clip.crop_xyxy
        crop = f"x {x0} to {x1}, y {y0} to {y1} pixels ({x1 - x0} x {y1 - y0})"
    rows = [
        ("Frame", size),
        ("Crop", crop),
        ("Rate", rate),
        ("File", frames),
        ("Cut", _range(clip.cut, clip.fps)),
        ("Face cut", _range(clip.face_cut, clip.fps)),
        ("Annotated frame", stage.number(None) if clip.ann_frame_idx is None else str(clip.ann_frame_idx)),
    ]
    if facts is not None:
        rows.append(("First frame at", f"{facts.pts0_seconds:.3f} s in the file"))
    return facts_html(rows, testid="clip-film")


def origin_html(row: Mapping[str, Any], clip: Clip) -> str:
    """Return what upstream says besides: source video, caption's field, tags, quirks of the record."""
    rows = [
        ("Part", escape(clip.part)),
        ("Source video", escape(clip.cluster_id)),
        ("Caption from", escape(row["caption_source"] or "") or stage.number(None)),
    ]
    rows += [(f"Tags, {kind}", _chips(tags)) for kind, tags in clip.tags.items() if tags]
    quirks = _chips(row["quirks"]) if row["quirks"] else "none"
    return facts_html([*rows, ("Quirks of the record", quirks)], testid="clip-origin")


def place_html(catalog: OpenS2V, clip: Clip) -> str:
    """Return where a clip's bytes lie: member, place in the part's tar, and the pieces that hold it."""
    video = clip.video
    rows = [("Release", f"<code>{escape(catalog.media.release_uri)}</code>")]
    if video is None:
        return facts_html([*rows, ("Video", "not in this release")], testid="clip-place")
    rows += [("Part", escape(video.part)), ("Member", f"<code>{escape(video.member)}</code>")]
    size = f"{video.size_bytes:,} bytes"
    pieces = piece_spans(catalog, clip)
    if pieces is None:
        rows.append(("Bytes", f"{size} from byte {video.offset:,} of the part"))
    elif not pieces:
        rows.append(("Bytes", f"{size}, a file of its own"))
    else:
        rows.append(("Bytes", f"{size} from byte {video.offset:,} of the joined tar"))
        rows += [
            ("Piece", f"<code>{escape(path)}</code>, {length:,} bytes from {start:,}") for path, start, length in pieces
        ]
    return facts_html(rows, testid="clip-place")


def piece_spans(catalog: OpenS2V, clip: Clip) -> list[tuple[str, int, int]] | None:
    """Return the pieces that hold a clip: path, first byte, length; none for a file of its own; None: not known now."""
    if clip.video is None:
        return None
    try:
        part = catalog.media.part(clip.video.part)
        if not part.pieces:
            return []
        spans = part.spans(clip.video.offset, clip.video.size_bytes)
    except ArchiveError:
        return None
    return [(span.path, span.start, span.length) for span in spans]


def snippet(catalog: OpenS2V, clip: Clip) -> str:
    """Return Python that reads the clip."""
    return (
        "import opens2v_data\n\n"
        f"catalog = opens2v_data.open({catalog.catalog.uri!r})\n"
        f"(triple,) = catalog.get([{f'{clip.part}/{clip.key}'!r}])"
    )


def _range(one: tuple[int, int] | None, fps: float | None) -> str:
    if one is None:
        return stage.number(None)
    start, end = one
    seconds = f", {(end - start) / fps:.2f} s" if fps else ""
    return f"frames {start} to {end - 1} ({end - start} frames{seconds})"


def _chips(names: Sequence[str]) -> str:
    return f'<ul class="chips">{"".join(f"<li class=chip>{escape(name)}</li>" for name in names)}</ul>'


def _or_missing(value: int | None) -> str:
    return stage.number(None) if value is None else str(value)
