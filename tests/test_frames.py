"""polars frames of a catalog's tables and slices, against Arrow's own reading of the files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import opens2v_data
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.errors import QueryError

polars = pytest.importorskip("polars")


@pytest.mark.parametrize("table", sorted(TABLES))
def test_a_scan_gives_the_tables_rows(sample_catalog: Path, table: str) -> None:
    frame = opens2v_data.scan(table, sample_catalog)
    assert isinstance(frame, polars.LazyFrame)
    assert frame.collect().rows() == [
        tuple(row.values()) for row in pq.read_table(sample_catalog / f"{table}.parquet").to_pylist()
    ]


def test_a_slice_is_a_frame_in_its_order(sample_catalog: Path) -> None:
    s = opens2v_data.open(sample_catalog).where("aesthetic > 5").sort("-aesthetic")
    assert s.to_polars(["clip_id", "caption"]).rows() == [
        tuple(row.values()) for row in s.to_arrow(["clip_id", "caption"]).to_pylist()
    ]


def test_an_unknown_table_is_refused_with_near_names(sample_catalog: Path) -> None:
    with pytest.raises(QueryError, match="no table is called 'clip'; nearest names: clips"):
        opens2v_data.scan("clip", sample_catalog)


def test_arrow_and_polars_need_no_pandas(sample_catalog: Path) -> None:
    code = (
        "import sys; sys.meta_path.insert(0, type('No', (), {'find_spec': staticmethod(lambda name, *_: (_ for _ in ()).throw("
        "ModuleNotFoundError(name)) if name.split('.')[0] == 'pandas' else None)})); import opens2v_data; "
        "s = opens2v_data.open(sys.argv[1]).where('aesthetic > ?', 5); assert len(s.to_polars()) == s.count() > 0; "
        "assert len(opens2v_data.scan('clips', sys.argv[1]).collect()) == 20; assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(sample_catalog)], check=True, timeout=250)
