from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import fsspec
import pytest
from datasets import load_dataset

import opens2v_data
from hub.loading import NAME, ids, run_python, stream
from opens2v_data.catalog.lookup import set_default_catalog
from opens2v_data.errors import CatalogNotFoundError
from opens2v_data.hub.registration import FILESYSTEM_CLASS, register_when_imported

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V

FIRST_ROW = """
ds = datasets.load_dataset("opens2v-5m", streaming=True, decode=False)
print(next(iter(ds["train"]))["caption"])
"""


def test_importing_the_project_imports_neither_datasets_nor_other_heavy_packages(nothing_named: Path) -> None:
    code = "import opens2v_data, sys; print(sorted({'datasets', 'pandas', 'torch', 'fsspec', 'pyarrow'} & set(sys.modules)))"
    assert run_python(code, folder=nothing_named) == "[]"


@pytest.mark.parametrize("first", ["import opens2v_data, datasets", "import datasets, opens2v_data"])
def test_the_name_is_known_whichever_is_imported_first(first: str, many: OpenS2V, nothing_named: Path) -> None:
    printed = run_python(first + FIRST_ROW, folder=nothing_named, OPENS2V_CATALOG=str(many.catalog.root))
    assert printed == "clip 0, née \U0001f98a"


def test_inspection_knows_the_name_when_datasets_is_imported_first(nothing_named: Path) -> None:
    code = "import datasets, opens2v_data; print(*datasets.get_dataset_config_names('opens2v-5m'))"
    assert run_python(code, folder=nothing_named) == "regular nexus-cross nexus-gpt"


def test_registering_again_wraps_nothing_twice() -> None:
    def wrapped() -> list[Any]:
        modules = datasets.load.dataset_module_factory, datasets.inspect.dataset_module_factory
        return [*modules, vars(datasets.Video)["decode_example"]]

    before = wrapped()
    register_when_imported()
    assert wrapped() == before
    assert not any(hasattr(function.__wrapped__, "__wrapped__") for function in before)


def test_the_protocol_is_known_to_fsspec_without_an_installed_entry_point() -> None:
    known = fsspec.get_filesystem_class("opens2v")
    assert f"{known.__module__}.{known.__name__}" == FILESYSTEM_CLASS


def test_configs_splits_and_features_can_be_asked_without_loading(many: OpenS2V) -> None:
    assert datasets.get_dataset_config_names(NAME) == ["regular", "nexus-cross", "nexus-gpt"]
    assert datasets.get_dataset_default_config_name(NAME) == "regular"
    root = str(many.catalog.root)
    assert datasets.get_dataset_split_names(NAME, "nexus-gpt", data_dir=root) == ["train"]
    info = datasets.get_dataset_config_info(NAME, "nexus-cross", data_dir=root)
    assert info.features is not None and "partner" in info.features
    builder = datasets.load_dataset_builder(NAME, data_dir=root)
    assert builder.info.dataset_name == NAME
    assert root in builder.info.description and "read_bytes" in builder.info.description


def test_other_names_go_to_datasets(nothing_named: Path) -> None:
    (nothing_named / "other.jsonl").write_text('{"a": 1}\n')
    found = load_dataset("json", data_files="other.jsonl", split="train", streaming=True)
    assert next(iter(found)) == {"a": 1}


def test_a_local_folder_of_data_files_keeps_its_name(nothing_named: Path) -> None:
    (nothing_named / NAME).mkdir()
    (nothing_named / NAME / "train.jsonl").write_text('{"a": 1}\n')
    assert next(iter(load_dataset(NAME, split="train", streaming=True))) == {"a": 1}


def test_a_catalog_named_by_data_dir_wins_over_such_a_folder(many: OpenS2V, nothing_named: Path) -> None:
    (nothing_named / NAME).mkdir()
    (nothing_named / NAME / "train.jsonl").write_text('{"a": 1}\n')
    assert len(ids(stream(many))) == len(many)


def test_the_catalog_in_the_working_folder_is_found(many: OpenS2V, nothing_named: Path) -> None:
    shutil.copytree(many.catalog.root, nothing_named / NAME)
    row = next(iter(load_dataset(NAME, split="train", streaming=True, decode=False)))
    address = opens2v_data.VideoRef.from_address(row["video_path"])
    assert address.catalog_root == str(nothing_named / NAME)


@pytest.mark.parametrize("folder", ["Jsons", "Videos", ".ingest"])
def test_a_release_or_an_unfinished_catalog_is_no_folder_of_data_files(folder: str, nothing_named: Path) -> None:
    (nothing_named / NAME / folder).mkdir(parents=True)
    (nothing_named / NAME / folder / "total_part1.json").write_text("{}")
    with pytest.raises(CatalogNotFoundError, match="opens2v ingest"):
        load_dataset(NAME, streaming=True)


def test_data_dir_comes_before_the_variable_and_that_before_the_users_default(
    many: OpenS2V, sample: OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    def num_rows(**options: Any) -> int:
        return len(ids(load_dataset(NAME, split="train", streaming=True, columns=["clip_id"], **options)))

    set_default_catalog(sample.catalog.root)
    assert num_rows() == len(sample)
    monkeypatch.setenv("OPENS2V_CATALOG", str(many.catalog.root))
    assert num_rows() == len(many)
    assert num_rows(data_dir=str(sample.catalog.root)) == len(sample)


def test_without_any_catalog_the_message_says_what_to_run() -> None:
    with pytest.raises(CatalogNotFoundError, match=r"opens2v ingest RELEASE[\s\S]*opens2v use PATH[\s\S]*demo-release"):
        load_dataset(NAME, streaming=True)


def test_a_data_dir_without_catalog_is_named_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(CatalogNotFoundError, match=r"expected a catalog \(manifest.json\) at .*/nowhere"):
        load_dataset(NAME, data_dir=str(tmp_path / "nowhere"), streaming=True)


def test_data_files_are_refused(many: OpenS2V) -> None:
    with pytest.raises(ValueError, match="read from a catalog, not from data_files"):
        load_dataset(NAME, data_dir=str(many.catalog.root), data_files="x.parquet", streaming=True)


def test_a_revision_must_be_the_catalogs(many: OpenS2V, tmp_path: Path) -> None:
    digest = many.catalog.digest
    assert len(ids(stream(many, revision=digest[:12]))) == len(many)
    with pytest.raises(CatalogNotFoundError, match=f"revision 'main', found at .* made from a folder.*{digest}"):
        stream(many, revision="main")
    root = tmp_path / "from_hub"
    shutil.copytree(many.catalog.root, root)
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["source"]["revision"] = "0123456789abcdef"
    (root / "manifest.json").write_text(json.dumps(manifest))
    assert len(ids(stream(opens2v_data.open(root), revision="0123456"))) == len(many)
    with pytest.raises(CatalogNotFoundError, match="made from revision 0123456789abcdef"):
        stream(opens2v_data.open(root), revision="fedcba")


def test_a_cache_that_cannot_be_made_is_told_with_the_variable_that_moves_it(many: OpenS2V, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file") as caught:
        load_dataset(NAME, data_dir=str(many.catalog.root), cache_dir=str(tmp_path / "file/cache"))
    assert "set HF_HOME to a folder that may be written" in caught.value.__notes__[0]
