"""The script that Streamlit runs for every page and every change: what all pages share, then the page that the URL names."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from opens2v_data.errors import Opens2vError
from opens2v_explorer import markup, state, theme
from opens2v_explorer.runtime import current
from opens2v_explorer.warming import page_shown

OWN_CHIPS = frozenset({"browse", "evaluation"})
"""Pages that show the filters themselves, or that filters of clips say nothing to."""


def main() -> None:
    """Run the page that the URL names."""
    st.set_page_config(page_title="OpenS2V explorer", layout="wide", initial_sidebar_state="auto")
    explorer = current()
    names = [name for name in state.PATHS if find_spec(f"opens2v_explorer.pages.{name}") is not None]
    listed = [name for name in names if name != "evaluation" or explorer.evaluation is not None]
    pages = {name: st.Page(_runner(name), title=markup.TITLES[name], url_path=_url_path(name), default=name == "overview")
             for name in names}  # fmt: skip
    chosen = st.navigation(list(pages.values()), position="hidden")
    page = next(name for name, one in pages.items() if one.url_path == chosen.url_path)
    theme.install()
    filters, notices = state.current_filters(), state.notices()
    said = f"{len(explorer.catalog):,} clips · {explorer.version}"
    if explorer.slice_name:
        said = f"slice {explorer.slice_name} of {said}"
    st.html(markup.header(page, filters, catalog=said, pages=listed))
    st.html('<div id="o-main" tabindex="-1" data-keep="main"></div>')
    if notices:
        st.html(markup.notices(notices))
    if (why := explorer.media.not_kept()) is not None:
        st.html(markup.warning(why))
    if page not in OWN_CHIPS and (chips := markup.chips(filters, edit=True)):
        st.html(chips)
    try:
        chosen.run()
    except Opens2vError as error:
        st.html(markup.problem("The catalog cannot answer this.", str(error)))
    page_shown.set()


def _runner(name: str) -> Callable[[], None]:
    def run() -> None:
        import_module(f"opens2v_explorer.pages.{name}").page()

    run.__name__ = name
    return run


def _url_path(name: str) -> str:
    return state.PATHS[name].strip("/")


if __name__ == "__main__":
    main()
