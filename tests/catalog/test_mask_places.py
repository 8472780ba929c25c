"""Where masks lie is looked up alike for one clip and for many, and is kept for whoever asks at random."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.catalog import KEEP_MASK_GROUPS, Catalog
from opens2v_data.catalog.manifest import digest_of
from opens2v_data.catalog.masks import blob_file, unpack_masks
from opens2v_data.catalog.schemas import MASKS
from opens2v_data.catalog.writer import TableWriter
from opens2v_data.errors import CatalogDamagedError
from opens2v_data.release.records import MaskRecord


@pytest.fixture(scope="module")
def one_row_a_group(sample_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's catalog with a row group of masks for each clip that has some."""
    root = tmp_path_factory.mktemp("mask-places") / "catalog"
    shutil.copytree(sample_catalog, root)
    rows = pq.read_table(root / "masks.parquet")
    with TableWriter(dataclasses.replace(MASKS, row_group_rows=1), root) as writer:
        writer.write(rows)
    made = manifests.load(root)
    assert writer.file is not None
    tables = made.tables | {"masks": writer.file}
    manifests.save(msgspec.structs.replace(made, tables=tables, digest=digest_of(tables, made.files)), root)
    assert len(writer.file.row_groups) > KEEP_MASK_GROUPS
    return root


def blank(path: Path) -> None:
    """Overwrite a file with zeros: whoever reads it again cannot make anything of it."""
    path.write_bytes(bytes(path.stat().st_size))


def oracle(root: Path) -> dict[int, list[MaskRecord]]:
    """All masks, by reading the table and slicing the blob files."""
    return {
        row["clip_id"]: unpack_masks(
            (root / blob_file(row["file_idx"])).read_bytes()[row["offset"] :][: row["size_bytes"]]
        )
        for row in pq.read_table(root / "masks.parquet").to_pylist()
    }


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data())
def test_masks_of_any_clips_are_those_of_the_table(one_row_a_group: Path, data: st.DataObject) -> None:
    catalog, expected = Catalog.open(one_row_a_group), oracle(one_row_a_group)
    ids = st.integers(-2, catalog.num_rows("clips") + 2)
    for wanted in data.draw(st.lists(st.lists(ids, max_size=40), max_size=4)):
        assert catalog.read_masks(wanted) == {clip_id: expected[clip_id] for clip_id in wanted if clip_id in expected}


def test_who_asks_for_many_groups_at_once_reads_each_group_once(one_row_a_group: Path, tmp_path: Path) -> None:
    root = tmp_path / "catalog"
    shutil.copytree(one_row_a_group, root)
    catalog, expected = Catalog.open(root), oracle(root)
    assert catalog.read_masks(expected) == expected
    blank(root / "masks.parquet")
    assert catalog.read_masks(expected) == expected


def test_who_asks_for_one_clip_after_another_keeps_few_groups(one_row_a_group: Path, tmp_path: Path) -> None:
    root = tmp_path / "catalog"
    shutil.copytree(one_row_a_group, root)
    catalog, expected = Catalog.open(root), oracle(root)
    for clip_id in expected:
        assert catalog.read_masks([clip_id]) == {clip_id: expected[clip_id]}
    blank(root / "masks.parquet")
    for clip_id in list(expected)[-KEEP_MASK_GROUPS:]:
        assert catalog.read_masks([clip_id]) == {clip_id: expected[clip_id]}
    with pytest.raises(CatalogDamagedError, match=r"masks\.parquet cannot be read"):
        catalog.read_masks([next(iter(expected))])
