"""Opening a catalog: what is wrong with it is said before anything is read, and which one is meant when none is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from catalog.releases import make, write_full
from opens2v_data.catalog import find_catalog
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.lookup import config_file, set_default_catalog
from opens2v_data.catalog.manifest import Manifest, digest_of, load, save, write_atomically
from opens2v_data.errors import CatalogDamagedError, CatalogNotFoundError, CatalogVersionError


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("manifest")
    write_full(root / "release", num_clips=8)
    make(root / "release", root / "catalog")
    return root / "catalog"


@pytest.fixture
def catalog(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "catalog")
    return tmp_path / "catalog"


def change(catalog: Path, **values: object) -> None:
    path = catalog / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_manifest_comes_back_as_it_was_saved(catalog: Path, tmp_path: Path) -> None:
    manifest = load(catalog)
    save(manifest, tmp_path)
    assert load(tmp_path) == manifest
    assert (tmp_path / "manifest.json").read_bytes() == (catalog / "manifest.json").read_bytes()
    assert isinstance(manifest, Manifest)


def test_the_digest_is_of_all_files(catalog: Path) -> None:
    opened = Catalog.open(catalog)
    manifest = opened.manifest
    assert opened.digest == manifest.digest == digest_of(manifest.tables, manifest.files)
    assert digest_of(manifest.tables, ()) != manifest.digest
    assert repr(opened) == f"Catalog({str(catalog)!r}, clips=22, subjects=40, pairs=7, views=12)"


def test_the_digest_does_not_depend_on_where_the_release_lies(made: Path, tmp_path: Path) -> None:
    write_full(tmp_path / "elsewhere", num_clips=8)
    manifest = make(tmp_path / "elsewhere", tmp_path / "catalog").manifest
    assert manifest is not None and manifest.digest == load(made).digest


@pytest.mark.parametrize("name", ["clips.parquet", "keys.parquet", "quarantine.jsonl", "masks/masks-00000.bin"])
def test_a_missing_file_is_named(catalog: Path, name: str) -> None:
    (catalog / name).unlink()
    with pytest.raises(
        CatalogDamagedError, match=rf"expected \d+ bytes in .*{name}, found no file; copy the catalog again, or run"
    ):
        Catalog.open(catalog)


@pytest.mark.parametrize("name", ["subjects.parquet", "masks/masks-00001.bin"])
def test_a_file_of_another_size_is_named_with_both_sizes(catalog: Path, name: str) -> None:
    size = (catalog / name).stat().st_size
    with (catalog / name).open("ab") as file:
        file.write(b"x")
    with pytest.raises(
        CatalogDamagedError, match=rf"expected {size} bytes in .*{name}, found {size + 1}; copy the catalog again"
    ):
        Catalog.open(catalog)


@pytest.mark.parametrize("version", [0, 2, 999, "1", None])
def test_another_schema_version_is_refused_whatever_else_it_holds(catalog: Path, version: object) -> None:
    change(catalog, schema_version=version, tables="quite different")
    found = json.dumps(version)
    with pytest.raises(
        CatalogVersionError, match=rf"expected a catalog of schema version 1 at .*found version {found}; make it anew"
    ):
        Catalog.open(catalog)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"schema_version": 1}', '{"schema_version": 1, "digest": 5}', "\0"]
)
def test_a_manifest_that_is_none_is_refused(catalog: Path, text: str) -> None:
    (catalog / "manifest.json").write_text(text)
    with pytest.raises(
        CatalogDamagedError, match=r"manifest.json is no manifest of a catalog: .*; run opens2v ingest again"
    ):
        Catalog.open(catalog)


def test_an_unfinished_catalog_says_how_to_go_on(catalog: Path) -> None:
    (catalog / "manifest.json").unlink()
    (catalog / ".ingest").mkdir()
    with pytest.raises(
        CatalogNotFoundError, match=rf"is not finished; run the same `opens2v ingest RELEASE {catalog}` again"
    ):
        Catalog.open(catalog)


def test_no_catalog_and_no_folder_say_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(
        CatalogNotFoundError, match=r"expected a catalog \(manifest.json\) at .*, found none; make one with: opens2v"
    ):
        Catalog.open(tmp_path)
    for name in ("absent", "file/below"):
        (tmp_path / "file").write_text("x")
        with pytest.raises(CatalogNotFoundError, match=rf"at .*{name}, found no folder; make one with: opens2v ingest"):
            Catalog.open(tmp_path / name)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    write_atomically(tmp_path / "f", b"first")
    write_atomically(tmp_path / "f", b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("f", b"second")]


# -- which catalog ---------------------------------------------------------------------------------------------------


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and an empty configuration."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("OPENS2V_CATALOG", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_the_place_given_wins_over_variable_local_folder_and_default(
    nowhere: Path, catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CatalogNotFoundError, match=r"no catalog: none was given .*opens2v use PATH.*demo-release"):
        find_catalog()
    assert set_default_catalog(nowhere / "default") == config_file()
    assert find_catalog() == nowhere / "default"
    shutil.copytree(catalog, nowhere / "here/opens2v-5m")
    assert find_catalog() == nowhere / "here/opens2v-5m"
    monkeypatch.setenv("OPENS2V_CATALOG", str(nowhere / "named"))
    assert find_catalog() == nowhere / "named"
    assert find_catalog("~") == Path.home()
    monkeypatch.setenv("OPENS2V_CATALOG", str(catalog))
    assert Catalog.open().root == catalog


def test_a_local_folder_that_is_no_catalog_is_not_taken(nowhere: Path) -> None:
    (nowhere / "here/opens2v-5m").mkdir()
    with pytest.raises(CatalogNotFoundError, match=r"./opens2v-5m is no catalog"):
        find_catalog()


@pytest.mark.parametrize("text", ["", "{", "[]", "5"])
def test_a_broken_configuration_is_named(nowhere: Path, text: str) -> None:
    path = set_default_catalog(nowhere)
    path.write_text(text)
    with pytest.raises(
        CatalogNotFoundError, match=rf"expected a JSON object in {path}, found .*; run: opens2v use PATH"
    ):
        find_catalog()
