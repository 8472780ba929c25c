"""Hostile text, strangers' SQL and requests to elsewhere. `watch` asserts after each test that none left the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from explorer.browser.conftest import HOSTILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from explorer.browser.watching import Watched
    from explorer.servers import Server

ALL_PAGES = ("/", "/browse", "/browse?view=table", "/clip", "/triage", "/pairs", "/views", "/review")


def test_text_of_the_data_stays_text(watch: Callable[..., Watched], crowd: Server) -> None:
    watched = watch(crowd.url)
    statement = "SELECT * FROM subjects WHERE class_name LIKE '%dog%'"
    shown = 0
    for path in (*ALL_PAGES, f"/sql?sql={quote(statement)}"):
        page = watched.open(path)
        name = quote(HOSTILE)
        for address in (path, f"{path}{'&' if '?' in path else '?'}q={name}&has={name}&who={name}&key={name}"):
            if address != path:
                page = watched.open(address)
            assert page.locator("img[src='x']").count() == 0, address
            assert page.evaluate("() => globalThis.taken === undefined"), address
            shown += page.get_by_text(HOSTILE).count()
    assert shown > 10


def test_sql_reads_and_does_nothing_else(seen: Watched, tmp_path: Path) -> None:
    page = seen.open("/sql")
    field = page.get_by_role("textbox", name="Statement")
    field.fill("SELECT count(*) AS num_clips FROM clips")
    page.get_by_role("button", name="Run").click()
    page.get_by_test_id("answer").filter(has_text="20").wait_for()
    assert page.get_by_test_id("answer").locator("th").all_inner_texts() == ["num clips"]
    path = tmp_path / "stolen.csv"
    page = seen.open(f"/sql?sql={quote(f'''COPY clips TO '{path}' ''')}")
    page.get_by_test_id("problem").wait_for()
    assert page.get_by_test_id("answer").count() == 0
    page = seen.open(f"/sql?sql={quote('''SELECT * FROM read_text('/etc/hostname')''')}")
    page.get_by_test_id("problem").wait_for()
    assert not path.exists()


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_pages_ask_no_other_host_and_complain_of_nothing(
    watch: Callable[..., Watched], running_server: str, color_scheme: str
) -> None:
    watched = watch(running_server, color_scheme=color_scheme)
    asked: list[str] = []
    watched.context.on("request", lambda request: asked.append(request.url))
    for path in (*ALL_PAGES, "/sql"):
        page = watched.open(path)
        page.wait_for_function("() => [...document.images].every(image => image.complete || image.loading === 'lazy')")
    assert len(asked) > 50
    watched.check()
