"""What is made ready while the first page is on its way: what it shows, in the order in which it shows it, then the rest."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING

from opens2v_data.errors import Opens2vError

if TYPE_CHECKING:
    from opens2v_explorer.runtime import Explorer

FIRST_MODULES = ("opens2v_explorer.app", "opens2v_explorer.pages.overview")
"""Of the script and the page that most come to first."""

page_shown = threading.Event()
"""Set when a first page has run: a browser that starts keeps two cores busy, and what only later pages need comes after it."""

PATIENCE_SECONDS = 3.0
"""For that page; then what is needed later is loaded without it."""

FEW_CLIPS = 200_000
"""Of more, loading does not wait, as the first page gains by it: 4 s at 5 M clips, where its facets take 5 s from files."""


def warm(explorer: Explorer, warn: Callable[[str], None]) -> None:
    """Ask and load what pages need; to be run in a thread.

    Args:
        explorer: the one of this process.
        warn: called with what went wrong; pages then ask for themselves, and say it.
    """
    try:
        try:
            _prepare_first_page(explorer)
        finally:
            gc.freeze()  # what was imported stays: it need not be looked through for garbage each time
            gc.enable()
        if len(explorer.catalog) <= FEW_CLIPS:
            page_shown.wait(PATIENCE_SECONDS)
        from opens2v_explorer import answers

        explorer.catalog.query.build_categories()
        explorer.catalog.warm()
        answers.prepare()
    except Opens2vError as error:
        warn(f"warning: {error}")
    except Exception as error:  # noqa: BLE001 (in a thread of its own nobody else says it)
        if not sys.is_finalizing():
            warn(f"warning: the catalog's numbers were not loaded, pages are slower: {error}")


def _prepare_first_page(explorer: Explorer) -> None:
    for name in FIRST_MODULES:
        import_module(name)
    from opens2v_explorer import answers

    columns = (*answers.COLUMNS, "caption")
    shown = answers.rows(answers.OVERVIEW, after=None, n=answers.OVERVIEW_PICTURES, columns=columns)
    if len(explorer.catalog) <= FEW_CLIPS:
        answers.totals()
    if explorer.catalog.media.is_local:  # of a server, bytes are read for what is shown and for nothing else
        explorer.media.make_posters(shown.rows.column("clip_id").to_pylist())
