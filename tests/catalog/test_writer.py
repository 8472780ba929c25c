"""Tables as files: bytes that follow from the rows alone, and row groups whose ranges are true."""

from __future__ import annotations

import hashlib
import itertools
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.catalog.manifest import CatalogFile
from opens2v_data.catalog.schemas import Column, TableSchema
from opens2v_data.catalog.writer import HashingFile, TableWriter

TABLE = TableSchema(
    name="example",
    doc="rows to write",
    order=("number",),
    row_group_rows=7,
    ranges=("number", "score", "big"),
    dictionary=("text", "tags"),
    columns=(
        Column("number", pa.int32(), "", "counts", nullable=False),
        Column("score", pa.float32(), "score", "null: missing"),
        Column("big", pa.uint64(), "", "a hash", nullable=False),
        Column("text", pa.string(), "", "null: none"),
        Column("tags", pa.list_(pa.field("element", pa.string(), nullable=False)), "", "words", nullable=False),
    ),
)
floats = st.none() | st.floats(-1000, 1000, width=32)
rows = st.fixed_dictionaries(
    {
        "number": st.integers(-(2**31), 2**31 - 1),
        "score": floats,
        "big": st.integers(0, 2**64 - 1),
        "text": st.none() | st.sampled_from(["", "a", "woman", "ü" * 40]) | st.text(max_size=5),
        "tags": st.lists(st.sampled_from(["park", "sea", ""]), max_size=3),
    }
)


def write(folder: Path, data: list[dict[str, Any]], cuts: list[int]) -> CatalogFile:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    with TableWriter(TABLE, folder) as writer:
        for number, (lo, hi) in enumerate(itertools.pairwise(edges)):
            some = data[lo:hi]
            if number % 3 == 0:
                writer.write(pa.RecordBatch.from_pylist(some, schema=TABLE.arrow))
            elif number % 3 == 1:
                writer.write(pa.Table.from_pylist(some, schema=TABLE.arrow))
            else:
                writer.write_columns(**{name: [row[name] for row in some] for name in TABLE.arrow.names})
    assert writer.file is not None
    return writer.file


@settings(max_examples=60, deadline=None)
@given(data=st.lists(rows, max_size=40), cuts=st.lists(st.integers(0, 100), max_size=8))
def test_the_bytes_follow_from_the_rows_however_they_came(data: list[dict[str, Any]], cuts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name) / "1", Path(name) / "2"
        first.mkdir()
        second.mkdir()
        whole, pieces = write(first, data, []), write(second, data, cuts)
        content = (first / "example.parquet").read_bytes()
        assert (second / "example.parquet").read_bytes() == content
        assert whole == pieces
        assert (whole.sha256, whole.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        check(first, whole, data)


def check(folder: Path, file: CatalogFile, data: list[dict[str, Any]]) -> None:
    assert pq.read_table(folder / file.path).to_pylist() == data
    parquet = pq.ParquetFile(folder / file.path)
    assert [parquet.metadata.row_group(n).num_rows for n in range(parquet.num_row_groups)] == [
        group.rows for group in file.row_groups
    ]
    assert all(group.rows == 7 for group in file.row_groups[:-1])
    assert file.rows == len(data)
    start = 0
    for group in file.row_groups:
        some = data[start : start + group.rows]
        start += group.rows
        for name in TABLE.ranges:
            values = [row[name] for row in some if row[name] is not None]
            assert group.ranges.get(name) == ((min(values), max(values)) if values else None)


def test_dictionary_arrays_slices_and_chunks_give_the_same_bytes(tmp_path: Path) -> None:
    data = [
        {"number": n, "score": None if n % 3 else n / 8, "big": n, "text": "ab"[n % 2], "tags": ["x"] * (n % 3)}
        for n in range(30)
    ]
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    expected = write(tmp_path / "1", data, [])
    table = pa.concat_tables(
        [pa.Table.from_pylist(data[:11], TABLE.arrow), pa.Table.from_pylist(data[5:], TABLE.arrow).slice(6)]
    )
    with TableWriter(TABLE, tmp_path / "2") as writer:
        writer.write(table.slice(0, 3))
        writer.write_columns(
            number=np.arange(3, 10, dtype=np.int32),
            **{name: table.column(name).slice(3, 7).combine_chunks() for name in TABLE.arrow.names[1:]},
        )
        writer.write(table.slice(10))
    assert writer.file == expected


def test_no_rows_are_a_file_with_columns(tmp_path: Path) -> None:
    file = write(tmp_path, [], [])
    assert (file.rows, file.row_groups) == (0, ())
    assert pq.read_schema(tmp_path / file.path).names == TABLE.arrow.names


def test_a_row_group_of_nulls_has_no_range(tmp_path: Path) -> None:
    file = write(tmp_path, [{"number": 1, "score": None, "big": 2**64 - 1, "text": None, "tags": []}] * 3, [])
    assert file.row_groups[0].ranges == {"number": (1, 1), "big": (2**64 - 1, 2**64 - 1)}


def test_an_error_while_writing_leaves_the_last_rows_unwritten_and_passes_through(tmp_path: Path) -> None:
    def fail() -> None:
        with TableWriter(TABLE, tmp_path) as writer:
            writer.write_columns(number=[1], score=[math.pi], big=[1], text=["x"], tags=[[]])
            raise KeyError("gone")

    with pytest.raises(KeyError, match="gone"):
        fail()
    assert pq.read_table(tmp_path / "example.parquet").num_rows == 0


def test_a_hashing_file_knows_its_length_and_checksum(tmp_path: Path) -> None:
    (tmp_path / "more").write_bytes(b"y" * 5000)
    file = HashingFile(tmp_path / "f")
    assert file.write(b"abc") == 3
    assert file.write(np.arange(4, dtype=np.int32).data) == 16
    file.write_file(tmp_path / "more")
    assert (file.tell(), file.writable(), file.readable(), file.seekable()) == (5019, True, False, False)
    file.close()
    file.close()
    content = (tmp_path / "f").read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (5019, file.sha256)
