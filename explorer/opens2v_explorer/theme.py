"""What every page has beneath it: the style sheet, and the script that follows links."""

from __future__ import annotations

from functools import cache
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

from opens2v_explorer.stage import static_text
from opens2v_explorer.states import STATES


def install() -> None:
    """Put style sheet and script on the page; called once a run, before anything is shown."""
    st.html(f"<style>{static_text('theme.css')}</style>")
    # A list: in a dict Streamlit looks for data frames, and imports pandas for it, 0.17 s before anything is shown.
    _links()(data=[{code: state.title for code, state in STATES.items()}], key="o-links", height=1)


@cache
def _links() -> Any:
    return component("opens2v_links", html="<span></span>", js=static_text("links.js"))
