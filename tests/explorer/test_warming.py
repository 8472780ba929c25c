"""What is made ready while the first page is on its way, and in which order."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from opens2v_data.errors import QueryError
from opens2v_explorer import answers, runtime, warming
from opens2v_explorer.serving import make_explorer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from explorer.conftest import BrokenCatalog
    from opens2v_explorer.runtime import Explorer


@pytest.fixture
def explorer(broken_catalog: BrokenCatalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Explorer]:
    monkeypatch.setattr(warming, "PATIENCE_SECONDS", 0.0)
    made = make_explorer(
        opens2v_data.open(broken_catalog.root), verdicts_path=tmp_path / "v.sqlite", pictures_dir=tmp_path / "cache"
    )
    runtime.use(made)
    answers.forget()
    yield made
    made.verdicts.close()
    made.catalog.query.close()
    runtime.use(None)
    gc.unfreeze()


def test_what_the_first_page_shows_is_there_when_it_is_asked_for(
    explorer: Explorer, broken_catalog: BrokenCatalog
) -> None:
    said: list[str] = []
    warming.warm(explorer, said.append)
    assert said == []
    columns = (*answers.COLUMNS, "caption")
    shown = answers.rows(answers.OVERVIEW, after=None, n=answers.OVERVIEW_PICTURES, columns=columns)
    clip_ids = shown.rows.column("clip_id").to_pylist()
    assert len(clip_ids) == answers.OVERVIEW_PICTURES
    cache = explorer.media.cache
    assert cache is not None
    before = cache.num_hits
    for clip_id in set(clip_ids) - {broken_catalog.missing, broken_catalog.corrupt}:
        explorer.media.poster(clip_id)
    assert cache.num_hits - before >= len(clip_ids) - 2


def test_the_first_page_comes_before_what_later_ones_need(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(warming.page_shown, "wait", lambda seconds: order.append("page"))
    monkeypatch.setattr(explorer.media, "make_posters", lambda ids: order.append("posters"))
    monkeypatch.setattr(explorer.catalog, "warm", lambda: order.append("numbers"))
    warming.warm(explorer, order.append)
    assert order == ["posters", "page", "numbers"]


def test_numbers_of_many_clips_do_not_wait_for_the_first_page(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(warming, "FEW_CLIPS", len(explorer.catalog) - 1)
    monkeypatch.setattr(warming.page_shown, "wait", lambda seconds: order.append("page"))
    monkeypatch.setattr(explorer.catalog, "warm", lambda: order.append("numbers"))
    warming.warm(explorer, order.append)
    assert order == ["numbers"]


def test_pictures_of_a_server_are_not_made_unasked(explorer: Explorer, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(explorer.catalog.media, "release_uri", "hf://datasets/somebody/release")
    monkeypatch.setattr(explorer.media, "make_posters", made.append)
    warming.warm(explorer, made.append)
    assert made == []


def test_what_goes_wrong_is_said_and_garbage_is_collected_again(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise QueryError("the numbers of clips are damaged")

    said: list[str] = []
    monkeypatch.setattr(answers, "totals", fail)
    gc.disable()
    try:
        warming.warm(explorer, said.append)
        assert gc.isenabled()
    finally:
        gc.enable()
    assert said == ["warning: the numbers of clips are damaged"]
