"""Every column of every table says what it is, also in the files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.releases import make, write_full
from opens2v_data.catalog.schemas import SCHEMA_VERSION, TABLES, TableSchema

TABLE_NAMES = sorted(TABLES)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("schemas")
    write_full(root / "release", num_clips=12)
    make(root / "release", root / "catalog")
    return root / "catalog"


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_the_file_of_a_table_holds_unit_and_meaning_of_every_column(catalog: Path, name: str) -> None:
    table = TABLES[name]
    schema = pq.read_schema(catalog / f"{name}.parquet")
    assert schema.names == [column.name for column in table.columns]
    for field, column in zip(schema, table.columns, strict=True):
        assert field.type == column.type
        assert field.nullable == column.nullable
        metadata = field.metadata
        assert metadata is not None
        assert metadata[b"unit"].decode() == column.unit
        assert metadata[b"doc"].decode() == column.doc != ""
    assert schema.metadata[b"doc"].decode() == table.doc != ""
    assert (schema.metadata[b"table"].decode(), schema.metadata[b"schema_version"]) == (name, b"%d" % SCHEMA_VERSION)


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_a_column_that_can_be_null_says_what_null_means(name: str) -> None:
    silent = [c.name for c in TABLES[name].columns if c.nullable and "null" not in c.doc]
    assert silent in ([], ["clip_ref", "partner_ref"], ["gme_score", "aes_score"])
    for column in silent:
        doc = next(c.doc for c in TABLES[name].columns if c.name == column)
        assert "as in subjects" in doc or "else null" in doc


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_numbers_with_a_unit_in_their_name_have_that_unit(name: str) -> None:
    for column in TABLES[name].columns:
        if column.name.endswith("_bytes") or column.name in ("offset", "json_offset", "header_offset"):
            assert column.unit == "bytes"
        if column.name.endswith(("_start", "_end", "frame_idx")) or column.name == "num_frames":
            assert column.unit == "frames"


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLE_NAMES)
def test_order_ranges_and_dictionaries_name_columns_of_the_table(table: TableSchema) -> None:
    names = {column.name: column.type for column in table.columns}
    assert {*table.order, *table.ranges, *table.dictionary} <= names.keys()
    assert all(pa.types.is_integer(names[name]) or pa.types.is_floating(names[name]) for name in table.ranges)
    assert table.row_group_rows > 0


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_rows_stand_in_the_order_that_the_table_promises(catalog: Path, name: str) -> None:
    rows = pq.read_table(catalog / f"{name}.parquet").to_pylist()
    order = [tuple((row[column] is None, row[column]) for column in TABLES[name].order) for row in rows]
    assert order == sorted(order)


def test_columns_without_nulls_have_none(catalog: Path) -> None:
    for name, table in TABLES.items():
        data = pq.read_table(catalog / f"{name}.parquet")
        assert [c.name for c in table.columns if not c.nullable and data.column(c.name).null_count] == []
