"""Clips as one grid of pictures, or as one table: a single piece of HTML, whose links lead to the clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from opens2v_explorer import markup
from opens2v_explorer.answers import COLUMNS as COLUMNS
from opens2v_explorer.filters import Filters
from opens2v_explorer.media import urls
from opens2v_explorer.runtime import current
from opens2v_explorer.state import link_to

MAX_ALT = 200
"""Characters of a caption that a screen reader is given for a picture."""


def gallery(rows: Sequence[Mapping[str, Any]], *, filters: Filters | None = None, page: str = "clip") -> str:
    """Return clips as a grid.

    Args:
        rows: with the columns of `COLUMNS`, and `caption` where it is known.
        filters: that the links carry; by default those of the URL.
        page: that the links lead to.
    """
    current().media.prime(row["clip_id"] for row in rows)
    items = "".join(f"<li>{_card(row, clip_link(row, filters=filters, page=page))}</li>" for row in rows)
    return f'<ul class="o-gallery" aria-label="Clips" data-testid="gallery">{items}</ul>'


def listing(rows: Sequence[Mapping[str, Any]], *, filters: Filters | None = None, page: str = "clip") -> str:
    """Return clips as a table; as `gallery`."""
    shown = []
    for row in rows:
        name = f"{row['part']}/{row['clip_key']}"
        clip = markup.link(clip_link(row, filters=filters, page=page), escape(name), data_testid="row-link")
        shown.append({**row, "clip": markup.Html(clip), "size": size_of(row), "subjects": row.get("num_subjects")})
    columns = ["clip", "aesthetic", "motion", "tech", "duration_seconds", "size", "fps", "subjects", "caption"]
    return markup.table(columns, shown, caption="Clips", testid="rows")


def clip_link(row: Mapping[str, Any], *, filters: Filters | None = None, page: str = "clip") -> str:
    """Return the address of a clip's page."""
    return link_to(page, filters, key=f"{row['part']}/{row['clip_key']}")


def size_of(row: Mapping[str, Any]) -> str | None:
    """Return a clip's size after the crop in words."""
    width, height = row.get("crop_width"), row.get("crop_height")
    return None if width is None or height is None else f"{width}×{height}"


def _card(row: Mapping[str, Any], href: str) -> str:
    caption = " ".join(str(row.get("caption") or "").split())
    alt = f"Frame of a clip. {caption}" if caption else f"Frame of clip {row['clip_key']}, which has no caption"
    if len(alt) > MAX_ALT:
        alt = alt[: MAX_ALT - 1] + "…"
    seconds = row.get("duration_seconds")
    badge = "" if seconds is None else f'<span class="o-badge">{seconds:.1f} s</span>'
    facts = [
        "" if row.get("aesthetic") is None else f"aesthetic {row['aesthetic']:.2f}",
        "" if row.get("motion") is None else f"motion {row['motion']:.3g}",
        _counted(row.get("num_subjects"), "subject"),
    ]
    inside = (
        f'<span class="o-picture"><span class="o-words"></span><img data-media="1" src="{escape(urls.poster(row["clip_id"]))}" '
        f'alt="{escape(alt)}" loading="lazy" decoding="async">{badge}</span>'
        f'<span class="o-caption">{escape(caption) or "No caption"}</span>'
        f'<span class="o-facts">{escape(" · ".join(fact for fact in facts if fact))}</span>'
    )
    return markup.link(
        href, inside, css="o-card", keep=f"clip-{row['clip_id']}", data_testid="card", data_clip=str(row["clip_id"])
    )


def _counted(number: int | None, name: str) -> str:
    return "" if number is None else f"{number:,} {name}{'' if number == 1 else 's'}"
