"""`opens2v sample`: the library's samples, printed or saved."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

import opens2v_data

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run


@pytest.mark.parametrize("by", [None, "part", "category", "subject_tags", "caption"])
def test_a_sample_is_the_librarys(opens2v: Run, sample_catalog: Path, tmp_path: Path, by: str | None) -> None:
    options = ("-n", 4, "--seed", 7, *(() if by is None else ("--by", by)))
    s = opens2v_data.open(sample_catalog).all.sample(4, by=by, seed=7)
    rows = json.loads(opens2v("sample", sample_catalog, *options, "--json").out)
    keys = s.to_arrow(["part", "clip_key", *([by] if by and by != "part" else [])]).to_pylist()
    assert [{name: row[name] for name in keys[0]} for row in rows] == keys
    saved = opens2v("sample", sample_catalog, *options, "-o", tmp_path / "x.slice.parquet")
    assert (saved.code, saved.out) == (0, "") and saved.err.startswith("4 of ")
    assert opens2v_data.open(sample_catalog).slice(tmp_path / "x.slice.parquet").ids().tolist() == s.ids().tolist()


def test_it_is_printed_in_every_form(opens2v: Run, sample_catalog: Path, tmp_path: Path) -> None:
    rows = json.loads(opens2v("sample", sample_catalog, "-n", 5, "--json").out)
    table = list(csv.DictReader(io.StringIO(opens2v("sample", sample_catalog, "-n", 5, "--csv").out)))
    assert [row["clip_key"] for row in table] == [row["clip_key"] for row in rows]
    assert [row["caption"] for row in table] == [row["caption"] or "" for row in rows]
    opens2v("sample", sample_catalog, "-n", 5, "--parquet", tmp_path / "x.parquet")
    assert pq.ParquetFile(tmp_path / "x.parquet").read().to_pylist() == rows
    shown = opens2v("sample", sample_catalog, "-n", 5)
    assert len(shown.out.splitlines()) == 6
    for line, row in zip(shown.out.splitlines()[1:], rows, strict=True):
        assert line.startswith(row["part"]) and row["clip_key"][:40] in line


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--by", "parts"), 1, "clips has no column 'parts'; nearest names: part"),
        (("--by", '"'), 1, "clips has no column"),
        (("-n", "0"), 2, "expected a whole number above 0"),
        (("-n", "9" * 30), 1, "out of range"),
        (("--seed", "1.5"), 2, "invalid int value"),
        (("-o", "nowhere/x"), 2, "expected a folder to write"),
    ],
)
def test_a_mistake_is_told_in_words(
    opens2v: Run, sample_catalog: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    shown = opens2v("sample", sample_catalog, *options)
    assert (shown.code, shown.out) == (code, "")
    assert message in shown.err and "Traceback" not in shown.err
