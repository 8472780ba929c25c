"""Where a catalog may be made, and what is there already."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from catalog.releases import make, record, write_json
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import CatalogNotFoundError, IngestError


@pytest.fixture
def release(tmp_path: Path) -> Path:
    write_json(tmp_path / "release", "p1", {"a": record(0), "b": record(1)})
    return tmp_path / "release"


def test_a_release_is_never_written_into(release: Path) -> None:
    before = sorted(release.rglob("*"))
    with pytest.raises(IngestError, match=r"found a release at .*; name another"):
        make(release, release)
    assert sorted(release.rglob("*")) == before


def test_somebodys_folder_is_left_alone(release: Path, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/todo.txt").write_text("mine")
    with pytest.raises(IngestError, match="expected an absent or empty folder, or a catalog"):
        make(release, tmp_path / "notes")
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["todo.txt"]


def test_the_catalog_of_another_release_is_replaced_only_by_force(release: Path, tmp_path: Path) -> None:
    digest = Catalog.open(_made(release, tmp_path / "catalog")).digest
    write_json(tmp_path / "other", "p9", {"z": record(9)})
    with pytest.raises(IngestError, match=r"is of another release, .*--force"):
        make(tmp_path / "other", tmp_path / "catalog")
    assert Catalog.open(tmp_path / "catalog").digest == digest
    make(tmp_path / "other", tmp_path / "catalog", force=True)
    assert Catalog.open(tmp_path / "catalog").num_rows("clips") == 1


def test_a_release_that_moved_is_found_at_its_new_place_by_the_same_command(release: Path, tmp_path: Path) -> None:
    digest = Catalog.open(_made(release, tmp_path / "catalog")).digest
    shutil.move(release, tmp_path / "moved")
    assert make(tmp_path / "moved", tmp_path / "catalog").was_complete
    catalog = Catalog.open(tmp_path / "catalog")
    assert catalog.manifest.source.uri == str((tmp_path / "moved").resolve())
    assert catalog.digest == digest


def test_a_catalog_that_lost_a_table_is_made_again_by_the_same_command(release: Path, tmp_path: Path) -> None:
    digest = Catalog.open(_made(release, tmp_path / "catalog")).digest
    (tmp_path / "catalog/clips.parquet").unlink()
    assert not make(release, tmp_path / "catalog").was_complete
    assert Catalog.open(tmp_path / "catalog").digest == digest


def test_a_release_opened_as_a_catalog_is_told_from_one(release: Path) -> None:
    with pytest.raises(CatalogNotFoundError, match=r"found a release; make its catalog with: opens2v ingest"):
        Catalog.open(release)


def _made(release: Path, root: Path) -> Path:
    assert make(release, root).manifest is not None
    return root
