"""GPT-Image-1 views beside the subject they show and the frame they were made from: is it still the same subject?"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from opens2v_data.errors import QueryError
from opens2v_data.query.lookup import clip_ids_of
from opens2v_explorer import clip_html, markup, stage
from opens2v_explorer.media import urls
from opens2v_explorer.runtime import current
from opens2v_explorer.state import current_filters, current_slice, link_to, param
from opens2v_explorer.states import state

if TYPE_CHECKING:
    from opens2v_data.triples import Triple, View

CLIPS_SHOWN = 6


def page() -> None:
    """Show the views of the URL's clip, else of the filters' clips that have any, some at a time."""
    st.title("GPT-Image-1 views")
    try:
        clip_ids, after, total = _chosen()
    except QueryError as error:
        st.html(markup.problem("The views cannot be listed.", str(error)))
        return
    if total is not None:
        st.html(
            f'<p class="o-status" role="status" data-testid="views-status"><b>{total:,}</b> clips with views, among those '
            "that meet the filters</p>"
        )
    if not clip_ids:
        detail = "None of the clips that meet the filters has a view." if not current_filters().is_empty else None
        stage.show(clip_html.state_html(state("no-views", detail)), key="views-none")
        return
    for clip_id in clip_ids:
        triple = current().media.triple(clip_id)
        stage.show(_clip_html(triple), key=f"views-{clip_id}")
    pager = []
    if param("key"):
        pager.append(markup.link(link_to("gpt_views"), "All clips with views", data_testid="views-all"))
    if param("after"):
        pager.append(markup.link(link_to("gpt_views"), "First clips", keep="views-first", data_testid="views-first"))
    if after:
        pager.append(
            markup.link(link_to("gpt_views", after=after), "Next clips", keep="views-next", data_testid="views-next")
        )
    stage.show(f'<p class="links">{"".join(pager)}</p>', key="views-pager")


def _chosen() -> tuple[list[int], str | None, int | None]:
    """Return the clips to show, where the next ones start, and how many there are; None: one was asked for by key.

    Raises:
        QueryError: the key is no clip's, or a filter or place in the list cannot be answered.
    """
    key = param("key")
    if key:
        return clip_ids_of(current().catalog.query, [key]).tolist(), None, None
    s = current_slice()
    ids = np.sort(np.asarray(s.row_sizes(config="nexus-gpt")["row_id"]))
    found = s.with_ids(ids).page(after=param("after") or None, n=CLIPS_SHOWN, columns=["clip_id"])
    return found.rows.column("clip_id").to_pylist(), found.after, len(ids)


def _clip_html(triple: Triple) -> str:
    clip = triple.clip
    key = f"{clip.part}/{clip.key}"
    link = markup.link(link_to("clip", key=key), escape(key), keep=f"clip-{clip.clip_id}", data_testid="view-clip")
    if triple.views:
        body = "".join(_view_html(triple, view, nth) for nth, view in enumerate(triple.views))
    else:
        body = clip_html.state_html(state("no-views"))
    return f'<article data-testid="views" data-clip="{clip.clip_id}"><h3>{link}</h3>{body}</article>'


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
    name = f"{escape(view.class_name)}, view {view.view_idx}"
    return (
        f'<section class="view" data-testid="view-row" data-view="{view.view_idx}" aria-label="{name}">'
        f"<figure>{cutout}<figcaption><b>{escape(view.class_name)}</b>, cut out: {escape(said)}</figcaption></figure>"
        f"<figure>{made}<figcaption><b>Generated</b>: <code>{escape(view.path.rpartition('/')[2])}</code></figcaption></figure>"
        f"<figure>{source}<figcaption><b>Source</b>: main_image.png, the frame it was made from</figcaption></figure></section>"
    )


def _plain(value: float | None) -> str:
    return "missing" if value is None else f"{value:.2f}"
