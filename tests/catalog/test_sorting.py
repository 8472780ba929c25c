"""The sorter of more rows than fit in memory against Python's stable sort."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.catalog import sorting
from opens2v_data.catalog.links import ClassNames
from opens2v_data.catalog.sorting import RangeSorter

SCHEMA = pa.schema([pa.field("key", pa.int64(), nullable=False), pa.field("text", pa.string())])


@settings(max_examples=150, deadline=None)
@given(
    batches=st.lists(st.lists(st.tuples(st.integers(-5, 30), st.text(max_size=3)), max_size=12), max_size=8),
    edges=st.lists(st.integers(-6, 31), max_size=5, unique=True),
    flush_bytes=st.sampled_from([1, 60, 1 << 20]),
)
def test_rows_come_as_a_stable_sort_gives_them(
    batches: list[list[tuple[int, str]]], edges: list[int], flush_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as name, mock.patch.object(sorting, "FLUSH_BYTES", flush_bytes):
        folder = Path(name) / "sort"
        sorter = RangeSorter(SCHEMA, by="key", folder=folder, edges=np.array(sorted(edges), np.int64))
        for rows in batches:
            columns = [
                pa.array([key for key, _ in rows], pa.int64()),
                pa.array([text for _, text in rows], pa.string()),
            ]
            sorter.add(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        tables = list(sorter.sorted())
        sorter.close()
        assert not folder.exists()
    found = [(row["key"], row["text"]) for table in tables for row in table.to_pylist()]
    assert found == sorted((row for rows in batches for row in rows), key=lambda row: row[0])
    assert all(table.schema == SCHEMA for table in tables)


def test_what_an_interrupted_sort_left_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "sort").mkdir()
    (tmp_path / "sort/00000.arrow").write_bytes(b"left")
    sorter = RangeSorter(SCHEMA, by="key", folder=tmp_path / "sort", edges=np.array([], np.int64))
    sorter.add(pa.RecordBatch.from_arrays([pa.array([2, 1]), pa.array(["b", "a"])], schema=SCHEMA))
    assert [table.column("key").to_pylist() for table in sorter.sorted()] == [[1, 2]]


@given(counts=st.dictionaries(st.text(max_size=3), st.integers(1, 50), max_size=12), rows_per_range=st.integers(1, 60))
def test_ranges_of_classes_hold_so_many_rows_or_one_class(counts: dict[str, int], rows_per_range: int) -> None:
    from collections import Counter

    edges = ClassNames(Counter(counts)).edges(rows_per_range)
    sizes = sorted(counts.values(), reverse=True)
    assert edges.tolist() == sorted(set(edges.tolist()))
    borders = [0, *(min(edge, len(sizes)) for edge in edges.tolist()), len(sizes)]
    for lo, hi in itertools.pairwise(borders):
        assert hi - lo <= 1 or sum(sizes[lo:hi]) <= rows_per_range


@given(
    values=st.lists(st.integers(0, 5), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    edges=st.sets(st.integers(0, 6)),
)
def test_ranges_of_one_value_come_batch_by_batch_and_in_order_too(
    values: list[int], cuts: list[int], edges: set[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    schema = pa.schema([pa.field("key", pa.int64(), nullable=False), pa.field("row", pa.int64())])
    folder = tmp_path_factory.mktemp("sort")
    sorter = RangeSorter(schema, by="key", folder=folder, edges=np.array(sorted(edges), np.int64))
    rows = list(enumerate(values))
    for lo, hi in itertools.pairwise([0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]):
        columns = [
            pa.array([key for _, key in rows[lo:hi]], pa.int64()),
            pa.array([row for row, _ in rows[lo:hi]], pa.int64()),
        ]
        sorter.add(pa.RecordBatch.from_arrays(columns, schema=schema))
    found = [
        (key, row)
        for table in sorter.sorted()
        for key, row in zip(*(table[name].to_pylist() for name in ("key", "row")), strict=False)
    ]
    assert found == sorted((key, row) for row, key in rows)


@pytest.mark.parametrize("dtype", [pa.int32(), pa.int64()])
def test_the_column_may_have_any_integer_type(tmp_path: Path, dtype: pa.DataType) -> None:
    schema = pa.schema([pa.field("key", dtype, nullable=False)])
    sorter = RangeSorter(schema, by="key", folder=tmp_path / "sort", edges=np.array([3]))
    sorter.add(pa.RecordBatch.from_arrays([pa.array([5, 1, 3], dtype)], schema=schema))
    assert [key for table in sorter.sorted() for key in table.column("key").to_pylist()] == [1, 3, 5]
