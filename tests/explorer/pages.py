"""Pages run by Streamlit's AppTest, without a browser: widgets, and the HTML that they put on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from streamlit.testing.v1 import AppTest

import opens2v_explorer
from opens2v_explorer import answers, runtime

if TYPE_CHECKING:
    from opens2v_data import OpenS2V

SECONDS = 250


def make_explorer(catalog: OpenS2V, folder: Path, **others: object) -> runtime.Explorer:
    """Return an explorer of a catalog with a file of verdicts of its own, and make it the one of this process."""
    from opens2v_explorer.media.reader import MediaReader
    from opens2v_explorer.verdicts.store import VerdictStore

    explorer = runtime.Explorer(
        catalog=catalog,
        verdicts=VerdictStore(folder / "verdicts.sqlite"),
        media=MediaReader(catalog, cache=None),
        **others,  # type: ignore[arg-type]
    )
    answers.forget()
    runtime.use(explorer)
    return explorer


def run(page: str, query: str = "") -> AppTest:
    """Return a page as it is after its first run.

    Args:
        page: module of `pages`, or "app" for the whole script, whose first page is the overview.
        query: of the URL, without `?`.
    """
    if page == "app":
        test = AppTest.from_file(str(Path(opens2v_explorer.__file__).with_name("app.py")), default_timeout=SECONDS)
    else:
        test = AppTest.from_string(
            f"from opens2v_explorer.pages import {page}\n{page}.page()\n", default_timeout=SECONDS
        )
    for name, values in parse_qs(query, keep_blank_values=True).items():
        test.query_params[name] = values
    return test.run()


def html(test: AppTest) -> str:
    """Return all HTML of a page, the sidebar's too."""
    return "\n".join(str(one.proto.body) for one in test.get("html"))


def url(test: AppTest) -> Mapping[str, Sequence[str]]:
    """Return the parameters that the URL has after a run."""
    return {name: [found] if isinstance(found, str) else list(found) for name, found in test.query_params.items()}
