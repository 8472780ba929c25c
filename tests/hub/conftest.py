"""Catalogs made by ingesting, and a user who has named none of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import pytest

import opens2v_data
from hub.releases import make_catalog, write_many_clips

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V
    from opens2v_data.sample import SampleFacts

REAL_RELEASE = Path(__file__).resolve().parents[3] / "shared" / "upstream_sample" / "release"

datasets.disable_progress_bars()


@pytest.fixture(autouse=True)
def nothing_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, with no catalog set; return the folder."""
    for name in ("OPENS2V_CATALOG", "OPENS2V_RELEASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> OpenS2V:
    """150 clips without film, 37 pairs, 16 clips with views."""
    folder = tmp_path_factory.mktemp("many")
    return opens2v_data.open(make_catalog(write_many_clips(folder / "release"), folder / "catalog"))


@pytest.fixture(scope="session")
def sample(sample_facts: SampleFacts, tmp_path_factory: pytest.TempPathFactory) -> OpenS2V:
    """The catalog of the generated release."""
    return opens2v_data.open(make_catalog(sample_facts.root, tmp_path_factory.mktemp("sample") / "catalog"))


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> OpenS2V:
    """The catalog of the real piece of the upstream release."""
    if not REAL_RELEASE.is_dir():
        pytest.skip(f"the real upstream sample is not at {REAL_RELEASE}")
    return opens2v_data.open(make_catalog(REAL_RELEASE, tmp_path_factory.mktemp("real") / "catalog"))


@pytest.fixture(params=["many", "sample", "real"])
def catalog(request: pytest.FixtureRequest) -> OpenS2V:
    """Each of the catalogs."""
    return request.getfixturevalue(request.param)
