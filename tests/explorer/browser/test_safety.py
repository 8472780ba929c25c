"""Hostile text, strangers' SQL and requests to elsewhere. `watch` asserts after each test that none left the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

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
    name = quote(HOSTILE)
    asked = (
        f"/browse?q={name}&has={name}&lacks={name}&after={name}",
        f"/clip?key={name}",
        f"/triage?who={name}&keys={name}",
    )
    for path in (*ALL_PAGES, f"/sql?sql={quote(statement)}", *asked):
        page = watched.open(path)
        assert page.locator("img[src='x']").count() == 0, path
        assert page.evaluate("() => globalThis.taken === undefined"), path
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
