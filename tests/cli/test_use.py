"""`opens2v use`, and which catalog a command takes when none is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opens2v_data.catalog.lookup import config_file

if TYPE_CHECKING:
    from cli.conftest import Run


def named(opens2v: Run) -> str:
    """Return the catalog that a command takes."""
    shown = opens2v("info", "--json")
    assert (shown.code, shown.err) == (0, "")
    return json.loads(shown.out)["catalog"]


def test_use_writes_the_default_below_the_users_configuration(
    opens2v: Run, catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = opens2v("use", catalog.name)
    path = tmp_path / "config/opens2v/config.json"
    assert (shown.code, shown.out) == (0, "")
    assert shown.err == f"default catalog is now {catalog} (written to {path})\n"
    assert json.loads(path.read_text()) == {"catalog": str(catalog)}
    assert [entry.name for entry in path.parent.iterdir()] == ["config.json"]


def test_use_refuses_what_is_no_catalog_and_writes_nothing(opens2v: Run, tmp_path: Path) -> None:
    shown = opens2v("use", tmp_path / "nowhere")
    assert shown.code == 1
    assert "expected a catalog (manifest.json)" in shown.err and "opens2v ingest RELEASE" in shown.err
    assert not config_file().exists()


def test_the_nearest_catalog_is_taken(
    opens2v: Run, sample_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("default", "here/opens2v-5m", "variable", "argument")]
    default, local, variable, argument = (shutil.copytree(sample_catalog, place) for place in places)
    assert opens2v("use", default).code == 0
    shutil.move(local, tmp_path / "aside")
    assert named(opens2v) == str(default)
    shutil.move(tmp_path / "aside", local)
    assert named(opens2v) == str(local)
    monkeypatch.setenv("OPENS2V_CATALOG", str(variable))
    assert named(opens2v) == str(variable)
    assert json.loads(opens2v("info", argument, "--json").out)["catalog"] == str(argument)


def test_a_folder_here_without_a_manifest_is_not_taken(opens2v: Run, sample_catalog: Path) -> None:
    opens2v("use", sample_catalog)
    Path("opens2v-5m").mkdir()
    assert named(opens2v) == str(sample_catalog)


def test_without_any_catalog_the_message_names_the_commands(opens2v: Run) -> None:
    for command in ("info", "verify", "stream", "contact-sheet"):
        shown = opens2v(command)
        assert (shown.code, shown.out) == (1, "")
        for next_step in ("opens2v ingest RELEASE ./opens2v-5m", "opens2v use PATH", "opens2v demo-release ./release"):
            assert next_step in shown.err


def test_a_variable_that_names_no_catalog_is_an_error_and_not_skipped(
    opens2v: Run, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opens2v("use", sample_catalog)
    monkeypatch.setenv("OPENS2V_CATALOG", str(tmp_path / "gone"))
    shown = opens2v("info")
    assert shown.code == 1 and f"at {tmp_path / 'gone'}, found no folder" in shown.err


@pytest.mark.parametrize("text", ["", "{", "[1]", '"text"'])
def test_a_damaged_configuration_says_how_to_mend_it(opens2v: Run, sample_catalog: Path, text: str) -> None:
    config_file().parent.mkdir(parents=True)
    config_file().write_text(text)
    shown = opens2v("info")
    assert shown.code == 1 and f"expected a JSON object in {config_file()}" in shown.err and "opens2v use" in shown.err
    assert opens2v("use", sample_catalog).code == 0
    assert named(opens2v) == str(sample_catalog)
