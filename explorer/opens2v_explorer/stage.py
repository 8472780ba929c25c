"""A frame with its regions outlined, its cut-outs and its caption, as HTML: one number, colour and dash pattern per region.

All text of the data is escaped here. Elements that belong to a region carry its number in `data-region`; `static/subjects.js`
lights them up together, shows a region's scores, and puts words in the place of pictures that do not come.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any

from streamlit.components.v2 import component

from opens2v_explorer.captions import Piece, unnamed

if TYPE_CHECKING:
    from opens2v_explorer.subjects import Region, SubjectNote


def static_text(name: str) -> str:
    """Return a file of `static/`."""
    return resources.files("opens2v_explorer").joinpath("static", name).read_text(encoding="utf-8")


PLAIN_CODES = frozenset({"no-pairs", "no-views", "no-background", "no-caption", "no-subjects"})
"""States in which nothing is wrong: upstream just has none."""


@cache
def _component() -> Any:
    return component(
        "opens2v_stage",
        html='<div class="stage-root"></div>',
        css=static_text("subjects.css"),
        js=static_text("subjects.js"),
    )


def show(html: str, *, key: str) -> None:
    """Put HTML made here on the page.

    Args:
        html: escaped; see this module's functions.
        key: of the element, unique on the page.
    """
    _component()(data={"html": html}, key=key)


def number(value: float | None, digits: int = 2, *, unit: str = "") -> str:
    """Return a score as HTML, "–" with a word for readers where it is missing."""
    if value is None:
        return '<span class="missing" title="missing">–<span class="sr"> missing</span></span>'
    return f"{value:.{digits}f}{unit}"


def picture(src: str, alt: str, *, css: str = "", testid: str = "picture") -> str:
    """Return a picture that shows its state in words where it does not come.

    Args:
        src: of the media routes.
        alt: what it shows.
        css: classes.
    """
    return (
        f'<span class="picture {escape(css)}" data-testid="{escape(testid)}"><img src="{escape(src)}" alt="{escape(alt)}" '
        'decoding="async" loading="lazy"><span class="state" role="status" hidden></span></span>'
    )


def badge(region: Region) -> str:
    """Return a region's number on its colour."""
    return f'<span class="badge" style="background:{region.color}" aria-hidden="true">{region.number}</span>'


def frame(src: str, alt: str, regions: Sequence[Region], *, size: tuple[int, int], testid: str = "frame") -> str:
    """Return a frame with the outlines of its regions over it.

    Args:
        src: picture of the cropped annotated frame.
        alt: what it shows.
        regions: to outline; large ones lie below small ones.
        size: (width, height) of the frame, pixels.
    """
    width, height = size
    ordered = sorted(regions, key=lambda one: -_box_area(one))
    shapes = "".join(_shape(region, height=height) for region in ordered)
    labels = "".join(_label(region, size=size) for region in regions)
    shape = f"aspect-ratio:{width}/{height};max-width:calc(82vh*{width / height:.3f})"
    return (
        f'<figure class="frame" data-testid="{escape(testid)}" style="{shape}">'
        f"{picture(src, alt, css='whole')}"
        f'<svg class="outlines" viewBox="0 0 {width} {height}" role="group" aria-label="Outlines of {len(regions)} regions">'
        f"{shapes}{labels}</svg></figure>"
    )


def scores(region: Region) -> str:
    """Return the scores of a region's subjects in one line each, as plain text."""
    lines = []
    for note in region.notes:
        name = f"{note.subject.class_name} (object {note.subject.object_id})"
        lines.append(", ".join([name, scores_of(note), *(flag.text for flag in note.flags)]))
    return f"Region {region.number}: {region.name}. " + ". ".join(lines)


def scores_of(note: SubjectNote) -> str:
    """Return a subject's scores with their units, as plain text."""
    one = note.subject
    return (
        f"GME {_plain(one.gme_score, 3)} cosine, aesthetic {_plain(one.aes_score)} of about 10, "
        f"mask confidence {_plain(None if one.mask is None else one.mask.score)}"
    )


def card(region: Region, cutout_src: str, *, title_along: str = "") -> str:
    """Return a region's card: its cut-out, names and scores.

    Args:
        cutout_src: picture of its best subject.
        title_along: what to say of how it was cut out; "" for along the mask.
    """
    alt = f"Cut-out of {region.best.class_name}, object {region.best.object_id}"
    along = f'<p class="note">{escape(title_along)}</p>' if title_along else ""
    chips = "".join(f'<li class="chip">{escape(name)}</li>' for name in region.names)
    rows = "".join(_row(note) for note in region.notes)
    flags = "".join(
        f'<li class="flag" data-code="{flag.code}">{escape(_named(region, note, flag.text))}</li>'
        for note in region.notes
        for flag in note.flags
    )
    return (
        f'<article class="card" data-region="{region.number}" data-testid="region-{region.number}" tabindex="0" '
        f'aria-label="{escape(f"Region {region.number}: {region.name}")}">'
        f'<header>{badge(region)}{_sample(region)}<ul class="chips">{chips}</ul></header>'
        f"{picture(cutout_src, alt, css='checker', testid='cutout')}"
        '<table class="scores"><thead><tr><th scope="col">object</th><th scope="col" title="GME similarity, cosine">GME</th>'
        '<th scope="col" title="LAION aesthetic score, about 0-10">aesthetic</th>'
        '<th scope="col" title="Confidence of the segmenter, 0-1">mask</th>'
        '<th scope="col" title="Share of the frame, by mask, else by box">area</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>{f'<ul class=flags>{flags}</ul>' if flags else ''}{along}</article>"
    )


def cards(items: Sequence[str]) -> str:
    """Return cards as a grid."""
    return f'<div class="cards" data-testid="regions">{"".join(items)}</div>'


def caption(pieces: Sequence[Piece], regions: Sequence[Region]) -> str:
    """Return a caption whose words of regions carry their colour and number; regions it does not name are listed below."""
    by_number = {region.number: region for region in regions}
    text = "".join(_word(piece, by_number) if piece.numbers else escape(piece.text) for piece in pieces)
    missing = [by_number[number] for number in unnamed(pieces, list(by_number))]
    rest = ""
    if missing:
        chips = "".join(
            f'<li class="chip" data-region="{one.number}" tabindex="0">{badge(one)} {escape(one.name)}</li>'
            for one in missing
        )
        rest = f'<div class="unnamed" data-testid="unnamed"><span>Not in the caption:</span><ul class="chips">{chips}</ul></div>'
    return f'<div class="caption" data-testid="caption">{text}</div>{rest}'


def notice(title: str, detail: str = "", *, code: str = "") -> str:
    """Return a state in words."""
    more = f"<span>{escape(detail)}</span>" if detail else ""
    css = "notice plain-notice" if code in PLAIN_CODES else "notice"
    return (
        f'<p class="{css}" data-testid="notice" data-code="{escape(code)}"><strong>{escape(title)}</strong> {more}</p>'
    )


def panel() -> str:
    """Return the place where a region's scores are shown when it is pointed at or focused."""
    hint = "Point at an outline, or go to one with Tab, to see its scores."
    return f'<p class="panel" data-testid="scores" aria-live="polite" data-hint="{hint}">{hint}</p>'


def _word(piece: Piece, regions: dict[int, Region]) -> str:
    known = [regions[one] for one in piece.numbers if one in regions]
    if not known:
        return escape(piece.text)
    numbers = " ".join(str(one.number) for one in known)
    label = f"{piece.text}, region {' and '.join(numbers.split())}"
    badges = "".join(badge(one) for one in known)
    return (
        f'<span class="word" data-region="{numbers}" tabindex="0" role="mark" aria-label="{escape(label)}" '
        f'style="--c:{known[0].color}">{escape(piece.text)}{badges}</span>'
    )


def _row(note: SubjectNote) -> str:
    one = note.subject
    area = "" if note.area_ratio is None else f"{100 * note.area_ratio:.1f} %"
    return (
        f'<tr data-object="{one.object_id}"><th scope="row">{one.object_id} {escape(one.class_name)}</th>'
        f"<td>{number(one.gme_score, 3)}</td><td>{number(one.aes_score)}</td>"
        f"<td>{number(None if one.mask is None else one.mask.score)}</td><td>{area or number(None)}</td></tr>"
    )


def _named(region: Region, note: SubjectNote, text: str) -> str:
    return text if len(region.notes) == 1 else f"{note.subject.class_name} ({note.subject.object_id}): {text}"


def _sample(region: Region) -> str:
    dash = f' stroke-dasharray="{region.dash}"' if region.dash else ""
    return (
        '<svg class="sample" viewBox="0 0 40 6" aria-hidden="true">'
        f'<line x1="0" y1="3" x2="40" y2="3" stroke="{region.color}" stroke-width="4"{dash}/></svg>'
    )


def _shape(region: Region, *, height: int) -> str:
    if region.path is None and region.box_xyxy is None:
        return ""
    scale = height / 720
    dash = f' stroke-dasharray="{_scaled(region.dash, scale)}"' if region.dash else ""
    if region.path is not None:
        d, rule = region.path, ' fill-rule="evenodd"'
    else:
        assert region.box_xyxy is not None
        x0, y0, x1, y1 = region.box_xyxy
        d, rule = f"M{x0} {y0}h{x1 - x0}v{y1 - y0}h{x0 - x1}z", ""
    kind = "mask" if region.path is not None else "box"
    far = "".join(_far_box(note, region, scale) for note in region.notes)
    return (
        f'<g class="region" data-region="{region.number}" data-kind="{kind}" data-scores="{escape(scores(region))}" tabindex="0" '
        f'role="img" aria-label="{escape(scores(region))}"><path class="hit" d="{d}"{rule}/>'
        f'<path class="halo" d="{d}" stroke-width="{4.5 * scale:.2f}"/>'
        f'<path class="line" d="{d}" stroke="{region.color}" stroke-width="{2.5 * scale:.2f}"{dash}/>{far}</g>'
    )


def _far_box(note: SubjectNote, region: Region, scale: float) -> str:
    """Return the box of a subject whose mask is elsewhere, so that both can be seen."""
    if note.subject.bbox_xyxy is None or not any(flag.code == "box-far" for flag in note.flags):
        return ""
    x1, y1, x2, y2 = note.subject.bbox_xyxy
    return (
        f'<path class="far" d="M{x1:.0f} {y1:.0f}H{x2:.0f}V{y2:.0f}H{x1:.0f}z" stroke="{region.color}" '
        f'stroke-width="{2.5 * scale:.2f}" stroke-dasharray="{_scaled("22 8", scale)}"/>'
    )


def _label(region: Region, *, size: tuple[int, int]) -> str:
    if region.anchor_xy is None:
        return ""
    scale = size[1] / 720
    radius = 15 * scale
    x = min(max(region.anchor_xy[0], radius), size[0] - radius)
    y = min(max(region.anchor_xy[1], radius), size[1] - radius)
    return (
        f'<g class="label" data-region="{region.number}" aria-hidden="true">'
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{region.color}" stroke="#fff" stroke-width="{2 * scale:.2f}"/>'
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{18 * scale:.1f}">{region.number}</text></g>'
    )


def _scaled(dash: str, scale: float) -> str:
    return " ".join(f"{float(one) * scale:.1f}" for one in dash.split())


def _box_area(region: Region) -> int:
    if region.box_xyxy is None:
        return 0
    x0, y0, x1, y1 = region.box_xyxy
    return (x1 - x0) * (y1 - y0)


def _plain(value: float | None, digits: int = 2) -> str:
    return "missing" if value is None else f"{value:.{digits}f}"
