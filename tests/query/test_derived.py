"""Where tables that are worked out from a catalog lie: in the cache, or where else they can be written."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.query import Query
from opens2v_data.query.derived import derived_folder

if TYPE_CHECKING:
    from pathlib import Path

ASKED = "SELECT category, count(*) AS n FROM clips GROUP BY ALL ORDER BY ALL"


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that cannot be written, since a file has its name; gives the folder of temporary files."""
    (tmp_path / "file").touch()
    (tmp_path / "tmp").mkdir()
    monkeypatch.delenv("OPENS2V_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    return tmp_path / "tmp"


def test_they_lie_in_the_cache_whether_it_is_there_or_not_yet(
    sample_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.open(sample_catalog)
    monkeypatch.delenv("OPENS2V_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    assert derived_folder(catalog) == tmp_path / "not" / "yet" / "opens2v" / "derived" / catalog.digest[:16]
    assert not (tmp_path / "not").exists()
    monkeypatch.setenv("OPENS2V_CACHE", str(tmp_path / "own"))
    assert derived_folder(catalog) == tmp_path / "own" / "derived" / catalog.digest[:16]


def test_without_a_cache_that_can_be_written_they_lie_among_temporary_files_of_the_user(
    sample_catalog: Path, no_cache: Path
) -> None:
    catalog = Catalog.open(sample_catalog)
    with closing(Query(catalog)) as query:
        found = query.ask(ASKED)
    (own,) = no_cache.iterdir()
    assert own.name == f"opens2v-{os.getuid()}" and own.stat().st_mode & 0o777 == 0o700
    made = sorted(own.rglob("*.parquet"))
    assert len(made) == 3
    with closing(Query(catalog)) as query:  # found again, and not made again
        assert query.find_categories() and query.ask(ASKED) == found
    assert sorted(own.rglob("*.parquet")) == made


@pytest.mark.parametrize("taken", ["others-may-write", "link", "file"])
def test_a_folder_that_others_could_have_made_is_not_used(sample_catalog: Path, no_cache: Path, taken: str) -> None:
    own = no_cache / f"opens2v-{os.getuid()}"
    if taken == "others-may-write":
        own.mkdir()
        own.chmod(0o777)
    elif taken == "link":
        (no_cache / "elsewhere").mkdir()
        own.symlink_to(no_cache / "elsewhere")
    else:
        own.touch()
    with (
        closing(Query(Catalog.open(sample_catalog))) as query,
        pytest.raises(OSError, match=r"Not a directory: .*file/opens2v"),
    ):
        query.ask(ASKED)
    assert not list(no_cache.rglob("*.parquet"))
