"""A cross-video pair as HTML: both subjects in their frames and cut out, both similarities, and what is odd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

from opens2v_explorer import markup, stage
from opens2v_explorer.media import urls
from opens2v_explorer.runtime import current
from opens2v_explorer.state import link_to
from opens2v_explorer.states import StateError, state
from opens2v_explorer.subjects import Region, frame_size, regions_of
from opens2v_explorer.verdicts import pair_target, subject_target

if TYPE_CHECKING:
    from opens2v_data.triples import Subject, Triple


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a pair.

    Attributes:
        clip_id: None: the clip is not in this catalog.
        ref: upstream's name of a clip that is not.
        object_id: None: upstream's older form names no subject.
        class_name: as the pair has it.
        triple: of the clip, None as `clip_id`.
        subject: that the pair points to, whatever its class; None: there is none.
    """

    clip_id: int | None
    ref: str | None
    object_id: int | None
    class_name: str
    triple: Triple | None
    subject: Subject | None

    @property
    def target(self) -> str | None:
        """What a verdict calls it; None: it names no subject of this catalog."""
        if self.triple is None or self.object_id is None:
            return None
        return subject_target(self.triple.clip.part, self.triple.clip.key, self.object_id)

    def problems(self) -> list[tuple[str, str]]:
        """Return what is odd about it: code and words."""
        if self.triple is None:
            return [("not-in-catalog", f"Its clip is not in this catalog: {self.ref or 'unnamed'}.")]
        if self.object_id is None:
            return [("older-form", "Upstream's older form: it names a class and no subject.")]
        if self.subject is None:
            return [("no-such-subject", f"The clip has no object {self.object_id}, which the pair points to.")]
        if self.subject.class_name != self.class_name:
            return [
                (
                    "class-differs",
                    f"The pair calls it {self.class_name!r}, but object {self.object_id} is {self.subject.class_name!r}.",
                )
            ]
        return []


def sides_of(row: Mapping[str, Any]) -> tuple[Side, Side]:
    """Return both sides of a row of view `pairs`."""
    return _side(row, ""), _side(row, "partner_")


def verdict_target(sides: tuple[Side, Side]) -> str | None:
    """Return what a verdict on the pair calls it; None: a side names no subject, so there is nothing to judge."""
    left, right = (side.target for side in sides)
    return None if left is None or right is None else pair_target(left, right)


def pair_html(row: Mapping[str, Any], sides: tuple[Side, Side]) -> str:
    """Return a pair side by side: whole frames with the subject outlined, below them the cut-outs."""
    differ = ""
    if row["class_name"] != row["partner_class_name"]:
        names = f"{row['class_name']!r} and {row['partner_class_name']!r}"
        differ = stage.notice("Class names differ.", f"The pair joins {names}.", code="classes-differ")
    return (
        f'<section data-testid="pair" data-pair="{row["pair_id"]}" aria-label="Pair {row["pair_id"]}">{meters(row)}{differ}'
        f'<div class="sides">{_side_html(sides[0], "left")}{_side_html(sides[1], "right")}</div></section>'
    )


def meters(row: Mapping[str, Any]) -> str:
    """Return both similarities."""
    image, text = (stage.number(row[f"{name}_similarity"], 3) for name in ("image", "text"))
    return (
        f'<p class="meters"><span>Image similarity <b data-testid="image-similarity">{image}</b> cosine of the cut-outs</span>'
        f'<span>Text similarity <b data-testid="text-similarity">{text}</b> cosine of the names</span></p>'
    )


def row_html(
    row: Mapping[str, Any], *, href: str, is_current: bool, verdict: str | None, names: Mapping[tuple[int, int], str]
) -> str:
    """Return a pair as a card of a list, a link that shows it large.

    Args:
        row: of view `pairs`.
        href: where it is shown large.
        is_current: whether it is shown so now.
        verdict: of the reviewer; None: none yet.
        names: class names of the subjects that pairs may point to, by clip and object id.
    """
    flags = "".join(_pointed(row, prefix, names) for prefix in ("", "partner_"))
    cutouts = "".join(_thumb(row, prefix, names) for prefix in ("", "partner_"))
    called = (row["class_name"], row["partner_class_name"])
    said = called[0] if called[0] == called[1] else f"{called[0]} / {called[1]}"
    scores = f"image {_short(row['image_similarity'])}, text {_short(row['text_similarity'])}"
    judged = f'<span class="say verdict" data-verdict="{escape(verdict)}">{escape(verdict)}</span>' if verdict else ""
    inside = (
        f'<span class="two">{cutouts}</span><span class="say"><b>{escape(said)}</b></span>'
        f'<span class="say">{scores}</span>{flags}{judged}'
    )
    current_mark = {"aria_current": "true"} if is_current else {}
    return markup.link(
        href,
        inside,
        css="row",
        keep=f"pair-{row['pair_id']}",
        data_testid="pair-row",
        data_pair=str(row["pair_id"]),
        **current_mark,
    )


def rows_html(items: Sequence[str]) -> str:
    """Return cards as a list."""
    listed = "".join(f"<div role=listitem>{one}</div>" for one in items)
    return f'<div class="rows" role="list" data-testid="pairs">{listed}</div>'


def subject_region(triple: Triple, subject: Subject, number: int = 1) -> tuple[Region | None, tuple[int, int] | None]:
    """Return a subject's region on its clip's frame, and the frame's size; None where it cannot be placed."""
    size = frame_size(triple.clip)
    if size is None and subject.mask is not None:
        size = subject.mask.width, subject.mask.height
    if size is None:
        return None, None
    (region,) = regions_of([subject], width=size[0], height=size[1])
    return replace(region, number=number), size


def _side(row: Mapping[str, Any], prefix: str) -> Side:
    clip_id, object_id = row[f"{prefix}clip_id"], row[f"{prefix}object_id"]
    triple = subject = None
    if clip_id is not None:
        try:
            triple = current().media.triple(clip_id)
        except StateError:
            clip_id = None
    if triple is not None and object_id is not None:
        subject = next((one for one in triple.subjects if one.object_id == object_id), None)
    return Side(
        clip_id=clip_id,
        ref=row["partner_ref" if prefix else "clip_ref"],
        object_id=object_id,
        class_name=row[f"{prefix}class_name"],
        triple=triple,
        subject=subject,
    )


def _side_html(side: Side, name: str) -> str:
    problems = "".join(stage.notice(text, code=code) for code, text in side.problems())
    if side.triple is None:
        return f'<div class="side" data-testid="side-{name}"><p class="name"><b>{escape(side.class_name)}</b></p>{problems}</div>'
    clip = side.triple.clip
    key = f"{clip.part}/{clip.key}"
    link = markup.link(link_to("clip", key=key), escape(key), keep=f"side-{name}", data_testid=f"side-{name}-clip")
    region, size = (None, frame_size(clip)) if side.subject is None else subject_region(side.triple, side.subject)
    said = "" if side.object_id is None else f", object {side.object_id}"
    alt = f"Annotated frame of clip {clip.key}" + ("" if region is None else f" with {side.class_name} outlined")
    frame = "" if size is None else stage.frame(
        urls.frame(clip.clip_id), alt, [] if region is None else [region], size=size, testid=f"frame-{name}"
    )  # fmt: skip
    if clip.ann_frame_idx is None:
        one = state("no-frame")
        frame = stage.notice(one.title, one.detail, code=one.code)
    cutout = flags = ""
    if region is not None:
        along = "mask" if region.path else "box"
        src = urls.cutout(clip.clip_id, region.best.object_id, 480, along=along)
        cutout = stage.picture(src, f"Cut-out of {side.class_name}", css="checker", testid=f"cutout-{name}")
        texts = [flag.text for flag in region.notes[0].flags]
        flags = "".join(f'<li class="flag">{escape(text)}</li>' for text in texts)
    scores = "" if region is None else f'<p class="note">{escape(stage.scores_of(region.notes[0]))}</p>'
    return (
        f'<div class="side" data-testid="side-{name}"><p class="name"><b>{escape(side.class_name)}</b>{said}<br>{link}</p>'
        f"{problems}{frame}{cutout}{f'<ul class=flags>{flags}</ul>' if flags else ''}{scores}</div>"
    )


def _thumb(row: Mapping[str, Any], prefix: str, names: Mapping[tuple[int, int], str]) -> str:
    clip_id, object_id = row[f"{prefix}clip_id"], row[f"{prefix}object_id"]
    name = row[f"{prefix}class_name"]
    if clip_id is None:
        return _words("not-in-catalog", "not in this catalog")
    if object_id is None:
        return stage.picture(urls.poster(clip_id, 160), f"Frame of a clip with {name}", css="checker", testid="thumb")
    if (clip_id, object_id) not in names:
        return _words("no-such-subject", f"no object {object_id}")
    src = urls.cutout(clip_id, object_id, 160, along="box")
    return stage.picture(src, f"Cut-out of {name}", css="checker", testid="thumb")


def _words(code: str, text: str) -> str:
    return f'<span class="picture checker"><span class="state" data-state="{code}">{escape(text)}</span></span>'


def _pointed(row: Mapping[str, Any], prefix: str, names: Mapping[tuple[int, int], str]) -> str:
    """Return a word on a side whose object is of another class than the pair says, or not there at all."""
    clip_id, object_id, called = (row[f"{prefix}{name}"] for name in ("clip_id", "object_id", "class_name"))
    if clip_id is None or object_id is None:
        return ""
    found = names.get((clip_id, object_id))
    if found == called:
        return ""
    side = "right" if prefix else "left"
    text = f"{side}: no object {object_id}" if found is None else f"{side}: object {object_id} is {found}"
    return f'<span class="say flag" data-code="{"no-such-subject" if found is None else "class-differs"}">{escape(text)}</span>'


def _short(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"
