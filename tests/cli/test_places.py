"""Places that a command cannot use: names that are not UTF-8, folders that may not be written, no home."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opens2v_data.catalog.ingest import ingest
from opens2v_data.catalog.lookup import find_catalog
from opens2v_data.cli.output import fault_text
from opens2v_data.errors import CatalogNotFoundError, IngestError, ReleaseError
from opens2v_data.release.files import is_text, readable
from opens2v_data.release.layout import Release

if TYPE_CHECKING:
    from cli.conftest import Run

LATIN = os.fsdecode(b"gr\xfc\xdfe")
"""`grüße`, as a disk from another time has it."""


def test_a_name_that_is_not_utf_8_is_told_before_the_work(opens2v: Run, clean_place: Path) -> None:
    told = opens2v("ingest", LATIN, "catalog")
    assert told.code == 2
    assert r"expected UTF-8, found gr\xfc\xdfe; give the file or folder another name" in told.err
    assert list(clean_place.iterdir()) == []
    assert readable("grüße") == "grüße" and is_text("grüße") and not is_text(LATIN)


@pytest.mark.parametrize("name", ["Jsons/mask_and_bbox_High-Quality/%s.json", "Videos/%s/total_part1.tar.split.000"])
def test_a_release_with_such_a_name_in_it_is_refused_by_it(release: Path, tmp_path: Path, name: str) -> None:
    path = release / (name % LATIN)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with pytest.raises(ReleaseError, match=r"in UTF-8, found .*/gr\\xfc\\xdfe.*; rename it"):
        ingest(Release.open(str(release)), tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()


def test_a_folder_of_such_a_name_holds_no_release_and_no_catalog(
    clean_place: Path, sample_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB fails there with `std::bad_cast`, and a manifest could not say where the release is."""
    (clean_place / LATIN).mkdir()
    monkeypatch.chdir(LATIN)
    shutil.copytree(sample_release, "release")
    with pytest.raises(ReleaseError, match=r"/gr\\xfc\\xdfe/release; rename it"):
        Release.open("release")
    with pytest.raises(IngestError, match=r"/gr\\xfc\\xdfe/catalog; name another place"):
        ingest(Release.open(str(sample_release)), Path("catalog"))
    with pytest.raises(CatalogNotFoundError, match=r"/gr\\xfc\\xdfe/catalog; rename it"):
        find_catalog("catalog")
    assert [path.name for path in Path().iterdir()] == ["release"]


@pytest.mark.parametrize(
    ("variables", "path", "told"),
    [
        ({}, "home", "set HOME to a folder that may be written"),
        ({}, "home/.cache", "set XDG_CACHE_HOME to"),
        ({}, "home/.cache/opens2v/derived", "set OPENS2V_CACHE to"),
        ({}, "home/.cache/huggingface/hub", "set HF_HOME to"),
        ({"HF_HOME": "far/hf"}, "far", "set HF_HOME to"),
        ({"XDG_CACHE_HOME": "far"}, "far/opens2v", "set XDG_CACHE_HOME to"),
        ({}, "home/.config/opens2v", "set XDG_CONFIG_HOME to"),
        ({}, "home/.local", "set XDG_DATA_HOME to"),
        ({}, "home/clips", "or name another place"),
        ({}, "elsewhere", "or name another place"),
    ],
)
def test_what_may_not_be_written_is_told_with_the_variable_that_moves_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], path: str, told: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "OPENS2V_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(tmp_path / value))
    for number in (errno.EACCES, errno.EROFS):
        said = fault_text(OSError(number, "…", str(tmp_path / path)))
        assert said.startswith(f"{tmp_path / path} may not be read or written by this user") and told in said


@pytest.mark.parametrize(("command", "option"), [("slice", "-o"), ("export", "--to=csv -o"), ("demo-release", "")])
def test_a_folder_that_may_not_be_written_is_told_before_the_work(
    opens2v: Run, monkeypatch: pytest.MonkeyPatch, command: str, option: str
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    told = opens2v(command, *option.split(), "new")
    assert told.code == 2 and "expected a folder that this user may write, found '" in told.err


def test_a_user_without_a_home_is_told_to_set_one(opens2v: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(path: Any) -> Any:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setattr(Path, "expanduser", none)
    monkeypatch.setattr(Path, "home", lambda: none(None))
    told = opens2v("info")
    assert (told.code, told.err) == (
        1,
        "error: this user has no home folder; set HOME to a folder that may be written\n",
    )


def test_a_working_folder_that_is_gone_is_told(opens2v: Run, clean_place: Path) -> None:
    clean_place.rmdir()
    told = opens2v("ingest", "release", "catalog")
    assert (told.code, told.err) == (1, "error: the folder this was started in is gone; cd to one that is there\n")


def test_a_full_disk_below_the_cache_is_told_by_its_name(
    opens2v: Run, sample_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENS2V_CACHE", str(tmp_path / "cache"))

    class Full:
        def __init__(self, *_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("opens2v_data.query.derived.pq.ParquetWriter", Full)
    told = opens2v("facets", sample_catalog, "category")
    assert told.code == 1
    assert told.err.startswith(f"error: {tmp_path / 'cache'}/derived/")
    assert told.err.endswith(".parquet: No space left on device; make room, and run the same command again\n")
