"""`opens2v search-index`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.search import CaptionSearch

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run

pytest.importorskip("tantivy", reason="the extra search is not installed")


def test_an_index_is_built_once_and_then_found(opens2v: Run, catalog: Path) -> None:
    shown = opens2v("search-index", catalog, "--json")
    facts = json.loads(shown.out)
    opened = Catalog.open(catalog)
    assert shown.code == 0
    assert facts["folder"] == str(catalog / "search") and not facts["was_complete"]
    assert facts["captions"] == opened.num_rows("captions") and facts["digest"] == opened.digest
    assert CaptionSearch.open(opened).num_captions == facts["captions"]
    again = opens2v("search-index", catalog)
    assert (again.code, again.out) == (0, "") and "--force builds it anew" in again.err
    forced = opens2v("search-index", catalog, "--force", "--quiet")
    assert (forced.code, forced.out, forced.err) == (0, "", "")


def test_a_folder_that_is_no_catalog_is_refused(opens2v: Run, tmp_path: Path) -> None:
    shown = opens2v("search-index", tmp_path)
    assert shown.code == 1 and "expected a catalog" in shown.err
