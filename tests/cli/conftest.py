"""What tests of the command line share: a clean place to stand in, and a way to run a command."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest

from opens2v_data.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command gave."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs one command."""

    def __call__(self, *arguments: object) -> Outcome: ...


@pytest.fixture(autouse=True)
def clean_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty working folder, and no catalog or release that the tester's own settings name."""
    for name in ("OPENS2V_CATALOG", "OPENS2V_RELEASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "100")
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def opens2v(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 1
        captured = capsys.readouterr()
        return Outcome(code=code, out=captured.out, err=captured.err)

    return run


@pytest.fixture
def release(sample_release: Path, tmp_path: Path) -> Path:
    """A copy of the sample release that a test may damage."""
    return shutil.copytree(sample_release, tmp_path / "release")


@pytest.fixture
def catalog(sample_catalog: Path, tmp_path: Path) -> Path:
    """A copy of the sample's catalog that a test may damage."""
    return shutil.copytree(sample_catalog, tmp_path / "opens2v-5m")
