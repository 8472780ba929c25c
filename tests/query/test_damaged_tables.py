"""Damaged tables of the right size, and too little memory: what DuckDB says is told as that, not as a wrong statement."""

from __future__ import annotations

import contextlib
import random
import shutil
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from opens2v_data.cli import main
from opens2v_data.errors import CatalogDamagedError, QueryError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def copied(sample_catalog: Path, tmp_path: Path) -> Path:
    """A catalog that may be damaged."""
    return shutil.copytree(sample_catalog, tmp_path / "opens2v-5m")


def overwrite(path: Path, start: int, text: bytes) -> None:
    """Write over some bytes of a file, which keeps its size."""
    old = path.read_bytes()
    path.write_bytes(old[:start] + text + old[start + len(text) :])


@pytest.mark.parametrize("table", ["clips", "captions", "subjects", "locations"])
@pytest.mark.parametrize("start", [4, -8])
def test_rows_and_statements_name_a_damaged_catalog(copied: Path, table: str, start: int) -> None:
    """Bytes of the first page's header, and the length of the footer."""
    path = copied / f"{table}.parquet"
    size = path.stat().st_size
    overwrite(path, start % size, b"\xff" * min(64, size - start % size))
    with pytest.raises(CatalogDamagedError, match=r"cannot be read: .*opens2v verify"):
        list(opens2v_data.open(copied).rows())
    with pytest.raises(CatalogDamagedError, match=r"cannot be read: .*opens2v verify"):
        opens2v_data.open(copied).sql(f"SELECT * FROM {table}")


def test_bytes_changed_anywhere_give_rows_or_damage(copied: Path) -> None:
    """A changed score is a score, which only `verify` sees; nothing else than damage is raised."""
    rng = random.Random(0)
    whole = {name: (copied / f"{name}.parquet").read_bytes() for name in ("clips", "captions", "subjects")}
    for name in rng.choices(sorted(whole), k=12):
        overwrite(copied / f"{name}.parquet", rng.randrange(len(whole[name]) - 8), rng.randbytes(8))
        with contextlib.suppress(CatalogDamagedError):
            assert len(list(opens2v_data.open(copied).rows())) == 20
        (copied / f"{name}.parquet").write_bytes(whole[name])


def test_too_little_memory_is_told_with_what_to_do(sample_catalog: Path) -> None:
    with pytest.raises(QueryError, match=r"expected an answer within 256MB of memory, found none: ask for fewer rows"):
        opens2v_data.open(sample_catalog).sql("SELECT list(range) FROM range(50000000)")


def test_stream_tells_damage_in_one_line(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And with no traceback."""
    overwrite(copied / "subjects.parquet", 100, b"x" * 40)
    assert main(["stream", str(copied), "--limit", "1"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: a table of ") and "subjects.parquet" in said and said.count("\n") == 1
