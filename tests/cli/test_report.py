"""`opens2v report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli.conftest import Run

pytest.importorskip("matplotlib", reason="the extra report is not installed")


def test_a_page_and_its_plots_are_written(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("report", sample_catalog, "-o", "made", "--where", "aesthetic > 4.5", "--has", "woman", "--json")
    facts = json.loads(shown.out)
    assert shown.code == 0 and f"wrote {facts['page']}" in shown.err
    assert Path(facts["page"]) == Path("made/index.html") and Path(facts["page"]).is_file()
    assert facts["clips"] > 0 and all(Path(path).is_file() for path in facts["plots"])


def test_a_condition_that_is_none_is_refused_and_nothing_written(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("report", sample_catalog, "--where", "nothing_like_it > 1")
    assert shown.code == 1 and "nothing_like_it" in shown.err and not Path("report").exists()
