"""Arrow arrays of plain values: what `pyarrow.array` makes, without what it imports."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.arrays import int64_array, string_array

if TYPE_CHECKING:
    from pathlib import Path

FIRST_ANSWERS = """
import sys
import opens2v_data

catalog = opens2v_data.open(sys.argv[1])
page = catalog.all.sort("-aesthetic").page(n=12, columns=("clip_id", "caption"))
rows = catalog.rows_of(page.rows.column("clip_id").to_pylist(), with_subjects=False)
print(len(rows), "pandas" in sys.modules)
"""


@settings(max_examples=50, deadline=None)  # the first `pyarrow.array` imports pandas
@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_numbers_are_those_of_pyarrow(values: list[int]) -> None:
    made = int64_array(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.int64()))


@settings(max_examples=50, deadline=None)  # the first `pyarrow.array` imports pandas
@given(st.lists(st.none() | st.text(max_size=20)))
def test_texts_are_those_of_pyarrow(values: list[str | None]) -> None:
    made = string_array(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string())) and made.null_count == values.count(None)


def test_first_answers_import_no_pandas(sample_catalog: Path) -> None:
    command = [sys.executable, "-c", FIRST_ANSWERS, str(sample_catalog)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=250)
    assert done.stdout.split() == ["12", "False"]
