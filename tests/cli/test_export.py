"""`opens2v export`: what it writes and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

Run = Any


@pytest.mark.parametrize("form", ["webdataset", "folder", "parquet", "csv"])
def test_each_form_is_written_and_accounted_for(opens2v: Run, sample_catalog: Path, tmp_path: Path, form: str) -> None:
    chosen = ("--where", "aesthetic > 6", "--json", "--quiet")
    done = opens2v("export", sample_catalog, "--to", form, "-o", tmp_path / "out", *chosen)
    assert done.code == 0, done.err
    told = json.loads(done.out)
    if form in ("parquet", "csv"):
        assert set(told) == {f"{name}.{form}" for name in ("clips", "subjects", "pairs", "locations")}
        assert all((tmp_path / "out" / name).is_file() for name in told)
    else:
        assert told["num_planned"] == told["num_exported"] > 0
        assert told["num_failed"] == 0


def test_a_condition_that_is_none_writes_nothing(opens2v: Run, sample_catalog: Path, tmp_path: Path) -> None:
    done = opens2v("export", sample_catalog, "--to", "csv", "-o", tmp_path / "out", "--where", "aesthetik > 5")
    assert done.code == 1
    assert "nearest names: aesthetic" in done.err
    assert not (tmp_path / "out" / "clips.csv").exists()
