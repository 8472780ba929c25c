"""GPT-Image-1 views beside the subject they show and the frame they were made from: is it still the same subject?"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, get_args

import numpy as np
import streamlit as st

from opens2v_data.errors import QueryError
from opens2v_data.query.lookup import clip_ids_of
from opens2v_explorer import clip_html, markup, stage
from opens2v_explorer.media import urls
from opens2v_explorer.runtime import current
from opens2v_explorer.state import current_filters, current_slice, link_to, param
from opens2v_explorer.states import state
from opens2v_explorer.verdicts import view_target
from opens2v_explorer.verdicts.buttons import identity_buttons, judged_by, lists_html, reviewer
from opens2v_explorer.verdicts.unjudged import LEFT, Judged, as_param, clips_with_views_left

if TYPE_CHECKING:
    from opens2v_data.triples import Triple, View

CLIPS_SHOWN = 4


def page() -> None:
    """Show the views of the URL's clip, else of the filters' clips that have any, some at a time."""
    st.html("<h1 class='o-title'>GPT-Image-1 views</h1>")
    judged, mine = _judged_param(), judged_by("view", reviewer())
    if not param("key"):
        lists = lists_html("views", judged, lambda one: link_to("gpt_views", judged=one))
        stage.show(lists, key="views-which")
    try:
        clip_ids, after, total = _chosen(judged, mine)
    except QueryError as error:
        st.html(markup.problem("The views cannot be listed.", str(error)))
        return
    if total is not None:
        st.html(
            f'<p class="o-status" role="status" data-testid="views-status"><b>{total:,}</b> clips with views{LEFT[judged]}, '
            "among those that meet the filters</p>"
        )
    if not clip_ids and judged != "any":
        done = state("queue-done", f"No clip of these is left with views{LEFT[judged]}.")
        stage.show(clip_html.state_html(done), key="views-none")
        return
    if not clip_ids:
        detail = "None of the clips that meet the filters has a view." if not current_filters().is_empty else None
        stage.show(clip_html.state_html(state("no-views", detail)), key="views-none")
        return
    triples = [current().media.triple(clip_id) for clip_id in clip_ids]
    # The keys mean one group of buttons: the first that has no verdict.
    waiting = next((one for one in _targets(triples) if one not in mine), None)
    for triple in triples:
        _show_clip(triple, waiting)
    pager = []
    if param("key"):
        pager.append(markup.link(link_to("gpt_views"), "All clips with views", data_testid="views-all"))
    if param("after"):
        first = link_to("gpt_views", judged=as_param(judged))
        pager.append(markup.link(first, "First clips", keep="views-first", data_testid="views-first"))
    if after:
        following = link_to("gpt_views", judged=as_param(judged), after=after)
        pager.append(markup.link(following, "Next clips", keep="views-next", data_testid="views-next"))
    stage.show(f'<p class="links">{"".join(pager)}</p>', key="views-pager")


def _judged_param() -> Judged:
    for judged in get_args(Judged):
        if judged == param("judged"):
            return judged
    return "any"


def _chosen(judged: Judged, mine: set[str]) -> tuple[list[int], str | None, int | None]:
    """Return the clips to show, where the next ones start, and how many there are; None: one was asked for by key.

    Raises:
        QueryError: the key is no clip's, or a filter or place in the list cannot be answered.
    """
    key = param("key")
    if key:
        return clip_ids_of(current().catalog.query, [key]).tolist(), None, None
    s = current_slice()
    ids = clips_with_views_left(
        current(), judged, reviewer(), mine, np.asarray(s.row_sizes(config="nexus-gpt")["row_id"])
    )
    found = s.with_ids(ids).page(after=param("after") or None, n=CLIPS_SHOWN, columns=["clip_id"])
    return found.rows.column("clip_id").to_pylist(), found.after, len(ids)


def _show_clip(triple: Triple, waiting: str | None) -> None:
    clip = triple.clip
    key = f"{clip.part}/{clip.key}"
    link = markup.link(link_to("clip", key=key), escape(key), keep=f"clip-{clip.clip_id}", data_testid="view-clip")
    nothing = "" if triple.views else clip_html.state_html(state("no-views"))
    head = f'<article data-testid="views" data-clip="{clip.clip_id}"><h2>{link}</h2>{nothing}</article>'
    stage.show(head, key=f"views-{clip.clip_id}")
    filters = current_filters()
    for nth, view in enumerate(triple.views):
        stage.show(_view_html(triple, view, nth), key=f"view-{clip.clip_id}-{nth}")
        target = view_target(clip.part, clip.key, view.view_idx, view.class_name)
        identity_buttons(
            "view",
            target,
            key=f"judge-{clip.clip_id}-{nth}",
            label=f"Is the generated {view.class_name} the same?",
            hotkeys=target == waiting,
            filter_hash="" if filters.is_empty else filters.fingerprint,
            # The run that follows gives the keys to the next view.
            on_judged=lambda: None,
            moves_on=True,
        )


def _targets(triples: list[Triple]) -> list[str]:
    """Return what verdicts call the views of some clips, in the order of the page."""
    return [
        view_target(one.clip.part, one.clip.key, view.view_idx, view.class_name)
        for one in triples
        for view in one.views
    ]


def _view_html(triple: Triple, view: View, nth: int) -> str:
    clip_id = triple.clip.clip_id
    subject = next((one for one in triple.subjects if one.object_id == view.object_id), None)
    if subject is None:
        text = f"No subject of this clip is called {view.class_name!r}, so there is no cut-out to compare with."
        cutout = stage.notice("No subject of that name.", text, code="no-such-subject")
        said = "no subject"
    else:
        src = urls.cutout(clip_id, subject.object_id, 480, along="box")
        cutout = stage.picture(src, f"Cut-out of {subject.class_name}", css="checker", testid="cutout")
        said = f"object {subject.object_id}, GME {_plain(subject.gme_score)}, aesthetic {_plain(subject.aes_score)}"
    made = stage.picture(urls.view(clip_id, nth, 480), f"Generated view of {view.class_name}", testid="view")
    source = stage.picture(urls.view_source(clip_id, nth, 480), "Frame the view was made from", testid="source")
    name = f"{escape(view.class_name)}, view {view.view_idx} of {escape(triple.clip.key)}"
    return (
        f'<section class="view" data-testid="view-row" data-view="{view.view_idx}" aria-label="{name}">'
        f"<figure>{cutout}<figcaption><b>{escape(view.class_name)}</b>, cut out: {escape(said)}</figcaption></figure>"
        f"<figure>{made}<figcaption><b>Generated</b>: <code>{escape(view.path.rpartition('/')[2])}</code></figcaption></figure>"
        f"<figure>{source}<figcaption><b>Source</b>: main_image.png, the frame it was made from</figcaption></figure></section>"
    )


def _plain(value: float | None) -> str:
    return "missing" if value is None else f"{value:.2f}"
