"""One clip: its player, annotated frame, subjects, text, scores, partners, views, and the place of its bytes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import streamlit as st

from opens2v_data.errors import QueryError
from opens2v_data.query.lookup import clip_ids_of
from opens2v_data.query.pairpages import PairFilter, pair_page
from opens2v_data.triples import Triple
from opens2v_explorer import clip_html, markup, stage
from opens2v_explorer.captions import link_caption
from opens2v_explorer.media import urls
from opens2v_explorer.neighbours import Neighbours, neighbours
from opens2v_explorer.player import player_data, range_notes, show_player
from opens2v_explorer.runtime import current
from opens2v_explorer.state import current_filters, current_slice, link_to, offer, param, set_params
from opens2v_explorer.states import State, StateError, state
from opens2v_explorer.subjects import Region, frame_size, regions_of
from opens2v_explorer.verdicts import clip_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opens2v_data.triples import Clip
    from opens2v_explorer.media.clipfacts import ClipFacts

PARTNERS_SHOWN = 8
MAX_PAIRS = 100


def page() -> None:
    """Show the clip of the URL's `key`; without one, the first of the filters."""
    st.html("<h1 class='o-title'>Clip</h1>")
    try:
        clip_id = _chosen()
    except StateError as error:
        _key_field()
        stage.show(clip_html.state_html(error.state), key="clip-state")
        return
    except QueryError as error:
        _key_field()
        stage.show(clip_html.state_html(state("no-such-clip", str(error))), key="clip-state")
        return
    explorer = current()
    (row,) = explorer.catalog.rows_of([clip_id], config="nexus-gpt")
    triple = Triple.from_row(row)
    _show_header(triple.clip)
    facts, problem = _facts(clip_id)
    decoded = None if facts is None else (facts.width, facts.height)
    size = frame_size(triple.clip, decoded=decoded) or _mask_size(triple)
    regions = [] if size is None else regions_of(triple.subjects, width=size[0], height=size[1])
    film, side = st.columns([3, 2], gap="medium")
    with film:
        _show_player(triple.clip, facts, problem, regions)
    with side:
        body = f'<div class="columns">{clip_html.scores_html(row)}{clip_html.film_html(triple.clip, facts)}</div>'
        stage.show(f"<h2>Scores and ranges</h2>{body}", key="clip-facts")
    stage.show(_subjects_html(triple, row, regions, size), key="clip-subjects")
    stage.show(_links_html(triple), key="clip-links")
    place, code = st.columns(2, gap="medium")
    with place:
        text = clip_html.origin_html(row, triple.clip) + "<br>" + clip_html.place_html(explorer.catalog, triple.clip)
        stage.show(f"<h2>Origin and bytes</h2>{text}", key="clip-place")
    with code:
        st.caption("Read it in Python")
        st.code(clip_html.snippet(explorer.catalog, triple.clip), language="python", wrap_lines=True)


def _chosen() -> int:
    """Return the id of the clip to show.

    Raises:
        StateError: no-results.
        QueryError: the key is no clip's, or a filter cannot be answered.
    """
    explorer = current()
    key = param("key")
    if key:
        return int(clip_ids_of(explorer.catalog.query, [key])[0])
    rows = current_slice().page(n=1, columns=["clip_id"]).rows
    if not rows.num_rows:
        raise StateError(state("no-results"))
    return rows.column("clip_id")[0].as_py()


def _key_field() -> None:
    def go() -> None:
        set_params(key=st.session_state["clip-key"].strip() or None)

    # What is typed is a wish; the URL says what is shown.
    offer("clip-key", param("key"))
    st.text_input("Key of a clip, `part/clip_key`", key="clip-key", on_change=go)


def _show_header(clip: Clip) -> None:
    _key_field()
    try:
        near = neighbours(current_filters(), clip.clip_id)
    except QueryError as error:
        st.warning(str(error))
        near = Neighbours(place=None, total=0, before=None, after=None)
    keys = _keys([one for one in (near.before, near.after) if one is not None])
    links = [
        _step("clip-before", "Previous", keys.get(near.before)),
        _step("clip-after", "Next", keys.get(near.after)),
    ]
    if near.place is None:
        said = f"Not among the {near.total:,} clips of the filters."
    else:
        said = f"{near.place:,} of {near.total:,} in the order of the filters."
    title = f'<strong data-testid="clip-key">{escape(clip.key)}</strong>'
    body = f"{title}<span>{said}</span>{''.join(links)}{_verdicts_html(clip)}"
    stage.show(f'<div class="links" data-testid="clip-header">{body}</div>', key="clip-header")


def _verdicts_html(clip: Clip) -> str:
    """Return what reviewers said of the clip."""
    found = current().verdicts.current("clip", targets=[clip_target(clip.part, clip.key)])
    said = ", ".join(f"{event.verdict} by {event.who}" for event in found) or "none yet"
    return f'<span data-testid="clip-verdicts">Verdicts: {escape(said)}</span>'


def _step(testid: str, text: str, key: str | None) -> str:
    if key is None:
        return f'<span class="missing" data-testid="{testid}">{text}</span>'
    return markup.link(link_to("clip", key=key), text, keep=testid, data_testid=testid)


def _keys(clip_ids: list[int]) -> dict[int | None, str]:
    """Return `part/clip_key` of some clips."""
    if not clip_ids:
        return {}
    found = current().catalog.all.with_ids(clip_ids)
    rows = found.page(n=len(clip_ids), columns=["clip_id", "part", "clip_key"]).rows.to_pylist()
    return {row["clip_id"]: f"{row['part']}/{row['clip_key']}" for row in rows}


def _facts(clip_id: int) -> tuple[ClipFacts | None, State | None]:
    try:
        facts = current().media.facts(clip_id)
    except StateError as error:
        return None, error.state
    return facts, state("truncated") if facts.is_truncated else None


def _mask_size(triple: Triple) -> tuple[int, int] | None:
    """Return (width, height) of the first mask, for a clip whose frame size is nowhere recorded."""
    return next(((one.mask.width, one.mask.height) for one in triple.subjects if one.mask is not None), None)


def _show_player(clip: Clip, facts: ClipFacts | None, problem: State | None, regions: list[Region]) -> None:
    if problem is not None:
        stage.show(clip_html.state_html(problem), key="clip-video-state")
    if facts is None:
        st.button("Try again", key="clip-retry")
        return
    notes = range_notes(clip, facts.num_frames)
    if notes:
        stage.show(
            "".join(stage.notice("Range outside of the file.", note, code="range") for note in notes), key="notes"
        )
    # The address of frame 0 with a word for the number, which the player puts in.
    still = urls.still(clip.clip_id, 0).replace("/still/0.", "/still/FRAME.")
    data = player_data(clip, facts, regions, src=urls.video(clip.clip_id), still=still)
    show_player(data, key=f"player-{clip.clip_id}")


def _subjects_html(triple: Triple, row: Mapping[str, Any], regions: list[Region], size: tuple[int, int] | None) -> str:
    clip = triple.clip
    notices = []
    if not triple.subjects:
        notices.append(state("no-subjects"))
    elif all(subject.mask is None for subject in triple.subjects):
        notices.append(state("no-masks"))
    if clip.ann_frame_idx is None:
        notices.append(state("no-frame"))
    picture = ""
    if clip.ann_frame_idx is not None and size is not None:
        names = "; ".join(f"{region.number} {region.name}" for region in regions)
        alt = f"Annotated frame {clip.ann_frame_idx} of clip {clip.key}" + (f", with {names}" if names else "")
        picture = stage.frame(urls.frame(clip.clip_id), alt, regions, size=size) + (stage.panel() if regions else "")
    counted = f"{len(triple.subjects)} subjects in {len(regions)} regions" if regions else "Subjects"
    items = [
        stage.card(region, _cutout(clip, region), title_along="" if region.path else "cut along its box")
        for region in regions
    ]
    return (
        '<div class="columns wide-first"><section aria-label="Annotated frame"><h2>Annotated frame, '
        f"{escape(counted)}</h2>{''.join(map(clip_html.state_html, notices))}{picture}</section>"
        f'<section aria-label="Caption"><h2>Caption</h2>{_caption_html(row, regions)}</section></div>'
        f"{stage.cards(items) if items else ''}"
    )


def _cutout(clip: Clip, region: Region) -> str:
    along = "mask" if region.path else "box"
    return urls.cutout(clip.clip_id, region.best.object_id, 320, along=along)


def _caption_html(row: Mapping[str, Any], regions: list[Region]) -> str:
    text = row["caption"]
    if not text:
        return clip_html.state_html(state("no-caption"))
    names = {region.number: region.names for region in regions}
    body = stage.caption(link_caption(text, names), regions)
    others = row["caption_alternatives"] or []
    if others:
        entries = "".join(f"<li>{escape(one)}</li>" for one in others)
        summary = f"<summary>{len(others)} more captions of the record</summary>"
        body += f'<details class="alternatives">{summary}<ul>{entries}</ul></details>'
    return body


def _links_html(triple: Triple) -> str:
    clip = triple.clip
    key = f"{clip.part}/{clip.key}"
    return (
        f'<div class="columns"><section><h2>Cross-video pairs</h2>{_pairs_html(clip, key)}</section>'
        f"<section><h2>GPT-Image-1 views</h2>{_views_html(triple, key)}</section>"
        f"<section><h2>Background plate</h2>{_plate_html(clip)}</section></div>"
    )


def _pairs_html(clip: Clip, key: str) -> str:
    wanted = PairFilter(clip_id=clip.clip_id)
    found = pair_page(current().catalog.all, wanted, order="-image", n=MAX_PAIRS).rows.to_pylist()
    if not found:
        return clip_html.state_html(state("no-pairs"))
    ids = {row[name] for row in found[:PARTNERS_SHOWN] for name in ("clip_id", "partner_clip_id")}
    keys = _keys(sorted(one for one in ids if one is not None))
    groups: dict[int | None, list[str]] = {}
    for row in found[:PARTNERS_SHOWN]:
        is_first = row["clip_id"] == clip.clip_id
        names = (row["class_name"], row["partner_class_name"])
        mine, other = names if is_first else names[::-1]
        href = link_to("pairs", of=key, pair=row["pair_id"])
        partner = row["partner_clip_id"] if is_first else row["clip_id"]
        groups.setdefault(partner, []).append(
            f"<li>{markup.link(href, f'{escape(mine)} / {escape(other)}')}, "
            f"image {stage.number(row['image_similarity'], 3)}, text {stage.number(row['text_similarity'], 3)}</li>"
        )
    items = []
    for partner, lines in groups.items():
        where = "a clip that is not in this catalog"
        if partner is not None:
            link = markup.link(link_to("clip", key=keys[partner]), escape(keys[partner]), data_testid="partner")
            where = "this clip" if partner == clip.clip_id else link
        items.append(f"<li>In {where}<ul>{''.join(lines)}</ul></li>")
    many = f"{MAX_PAIRS} or more" if len(found) == MAX_PAIRS else str(len(found))
    every = markup.link(link_to("pairs", of=key), f"All {many} pairs", data_testid="clip-pairs")
    return f'<ul class="plain" data-testid="partners">{"".join(items)}</ul><p class="links">{every}</p>'


def _views_html(triple: Triple, key: str) -> str:
    if not triple.views:
        return clip_html.state_html(state("no-views"))
    items = "".join(
        f"<figure>{stage.picture(urls.view(triple.clip.clip_id, nth, 320), f'View of {view.class_name}')}"
        f"<figcaption>{escape(view.class_name)}</figcaption></figure>"
        for nth, view in enumerate(triple.views)
    )
    compare = markup.link(link_to("gpt_views", key=key), "Compare them", data_testid="clip-views")
    return f'<div class="thumbs">{items}</div><p class="links">{compare}</p>'


def _plate_html(clip: Clip) -> str:
    if clip.background_path is None:
        return clip_html.state_html(state("no-background"))
    return stage.picture(
        urls.background(clip.clip_id, width=480), f"Background plate of clip {clip.key}", testid="plate"
    )
