"""`opens2v facets` and `opens2v hist`: counts, as bars and as JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from opens2v_data.cli.tables import BARS, bar_lines

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run


@pytest.mark.parametrize("column", ["part", "subject_tags", "category", "num_subjects", "background_aesthetic"])
def test_facets_are_the_librarys(opens2v: Run, sample_catalog: Path, column: str) -> None:
    s = opens2v_data.open(sample_catalog).where("aesthetic > 4")
    expected = s.facets(column, limit=3).to_pylist()
    shown = opens2v("facets", sample_catalog, column, "--where", "aesthetic > 4", "--top", 3, "--json")
    assert (shown.code, shown.err, json.loads(shown.out)) == (0, "", expected)
    bars = opens2v("facets", sample_catalog, column, "--where", "aesthetic > 4", "--top", 3)
    lines = bars.out.splitlines()
    assert len(lines) == len(expected)
    for line, row in zip(lines, expected, strict=True):
        label = "(null)" if row["value"] is None else str(row["value"])
        assert line.startswith(label[:39])
        assert re.search(rf"  {row['num_clips']:,}  .*%", line)
        assert len(line) <= 100
    assert bars.err.startswith(f"shares of {s.count():,} clips")


def test_histograms_are_the_librarys(opens2v: Run, sample_catalog: Path) -> None:
    expected = opens2v_data.open(sample_catalog).all.hist("aesthetic", bins=7, lo=3)
    shown = json.loads(opens2v("hist", sample_catalog, "aesthetic", "--bins", 7, "--lo", 3, "--json").out)
    assert shown["counts"] == expected.counts.tolist() and shown["edges"] == expected.edges.tolist()
    assert (shown["num_null"], shown["num_below"], shown["num_above"]) == (
        expected.num_null,
        expected.num_below,
        expected.num_above,
    )
    bars = opens2v("hist", sample_catalog, "aesthetic", "--bins", 7, "--lo", 3)
    assert len(bars.out.splitlines()) == 7
    assert bars.err.startswith(f"{int(expected.counts.sum()):,} clips in the bins; {expected.num_null:,} null")


def test_one_argument_alone_is_the_column(opens2v: Run, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENS2V_CATALOG", str(sample_catalog))
    for command in ("facets", "hist"):
        alone, both = opens2v(command, "num_subjects"), opens2v(command, sample_catalog, "num_subjects")
        assert alone == both and alone.code == 0
    assert opens2v("facets").code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("facets", "parts"), 1, "clips has no column 'parts'; nearest names: part"),
        (("facets", "part'; --"), 1, "clips has no column"),
        (("facets", "part", "--top", "0"), 2, "above 0"),
        (("hist", "part"), 1, "expected a column of numbers, part is VARCHAR"),
        (("hist", "aesthetic", "--bins", "1000000000"), 2, "bins must be from 1 to 100,000"),
        (("hist", "aesthetic", "--lo", "nan"), 2, "lo and hi must lie in"),
        (("hist", "aesthetic", "--lo", "2", "--hi", "1"), 2, "expected lo < hi, got 2.0 and 1.0"),
        (("hist", "aesthetic", "--hi", "x"), 2, "invalid float value"),
    ],
)
def test_a_mistake_is_told_in_words(
    opens2v: Run, sample_catalog: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    command, *rest = arguments
    shown = opens2v(command, sample_catalog, *rest)
    assert (shown.code, shown.out) == (code, "")
    assert message in shown.err and "Traceback" not in shown.err


def test_bars_are_as_long_as_counts_are_large() -> None:
    lines = bar_lines(["a", "b\x1b[31m\n", "c", "d" * 99], [8, 4, 0, 1], total=20, width=80)
    bars = [sum(BARS.index(character) for character in line if character in BARS[1:]) for line in lines]
    assert bars[0] == 2 * bars[1] > 0 == bars[2] < bars[3]
    assert "40.0%" in lines[0]
    assert all(line.isprintable() for line in lines)
    assert max(map(len, lines)) <= 80
    assert bar_lines([], [], total=0) == []
    assert bar_lines(["x"], [0], total=0) != []
