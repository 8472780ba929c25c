"""One browser for all tests of this package, a page of its own for each, and a catalog with more clips and with hostile text."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from explorer.browser.watching import CHROMIUM_ARGUMENTS, Watched
from explorer.servers import START_SECONDS, Server, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser

HOSTILE = "<img src=x onerror=window.taken=1>dog"
"""Stands for "dog" in all of upstream's text in the catalog of `crowd`."""

NUM_COPIES = 3
SECONDS = 60
"""That a page may take; a busy machine takes many times what an idle one does."""

SLOWER = "OPENS2V_SLOWER_PAGES"
"""Variable that makes each page's scripts so many times slower, and its answers late by so many milliseconds: `6,300`."""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _lack("playwright is not installed (the extra `dev` has it)")
    path = shutil.which("chromium")
    if path is None:
        _lack("Chromium is not installed (Debian's package `chromium`)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path, args=list(CHROMIUM_ARGUMENTS), timeout=START_SECONDS * 1000
        )
        yield browser
        browser.close()


@pytest.fixture
def watch(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """Make pages of explorers: `watch(url, **options of the browser's context)`; all that is wrong with them fails the test."""
    made: list[Watched] = []

    def make(url: str, **options: object) -> Watched:
        given = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light", **options}
        context = chromium.new_context(**given)  # type: ignore[arg-type]
        context.set_default_timeout(SECONDS * 1000)
        made.append(Watched(page=context.new_page(), context=context, url=url))
        if os.environ.get(SLOWER):
            made[-1].slow_down(*map(float, os.environ[SLOWER].split(",")))
        return made[-1]

    yield make
    for one in made:
        one.context.close()
    for one in made:
        one.check()


@pytest.fixture
def seen(watch: Callable[..., Watched], running_server: str) -> Watched:
    """A page of `running_explorer`, of 1280 x 900 pixels and light."""
    return watch(running_server)


@pytest.fixture(scope="package")
def crowd(sample_release: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An explorer of some 60 clips, the same few films, in whose texts each dog is a tag with a script."""
    from opens2v_data.catalog.ingest import ingest
    from opens2v_data.release.layout import Release

    folder = tmp_path_factory.mktemp("crowd")
    release = shutil.copytree(sample_release, folder / "release")
    for path in release.glob("Jsons/mask_and_bbox_High-Quality/*.json"):
        records = json.loads(path.read_text().replace("dog", HOSTILE))
        for key, record in list(records.items()):
            records |= {key.replace("_step1", f"c{n}_step1", 1): record for n in range(1, NUM_COPIES)}
        path.write_text(json.dumps(records))
    assert ingest(Release.open(str(release)), folder / "opens2v-5m").manifest is not None
    server = start(folder / "opens2v-5m", folder)
    try:
        yield server
    finally:
        server.stop()


def _lack(reason: str) -> NoReturn:
    """Skip, but fail where tests of pages must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and in CI pages must be tried")
    pytest.skip(reason)
