"""`opens2v explore`: what it says before it serves; `tests/explorer` tells what it serves."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

import opens2v_data

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run

pytest.importorskip("streamlit", reason="the explorer needs the extra `explorer`")


@pytest.fixture(autouse=True)
def no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command ends its process, which here is the tests'."""

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("opens2v_explorer.serving.leave", leave)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What would have been served; nothing listens."""
    calls: list[dict[str, Any]] = []

    def serve(catalog: opens2v_data.OpenS2V, **options: Any) -> None:
        options["on_ready"]("http://127.0.0.1:1")
        calls.append({"catalog": catalog, **options})

    monkeypatch.setattr("opens2v_explorer.serving.serve", serve)
    return calls


def test_it_serves_this_machine_only_unless_told_otherwise(
    opens2v: Run, sample_catalog: Path, served: list[dict[str, Any]]
) -> None:
    shown = opens2v("explore", sample_catalog)
    assert (shown.code, shown.out, shown.err) == (
        0,
        "",
        f"{sample_catalog} is at http://127.0.0.1:1 (Ctrl-C ends it)\n",
    )
    (call,) = served
    assert (call["host"], call["port"], call["open_browser"], call["pictures_gb"]) == ("127.0.0.1", 8501, True, 2.0)
    assert call["catalog"].media.cache is None


def test_options_reach_the_server(
    opens2v: Run, sample_catalog: Path, served: list[dict[str, Any]], tmp_path: Path
) -> None:
    options = ["--port", 9000, "--host", "0.0.0.0", "--allow-host", "lab", "--no-browser", "--pictures-gb", 0.5]
    options += ["--verdicts", tmp_path / "v.sqlite", "--reviewer", "ann", "--slice", "s.parquet", "--remap"]
    assert opens2v("explore", sample_catalog, *options, "--release", tmp_path).code == 0
    (call,) = served
    assert call["catalog"].media.release_uri == str(tmp_path)
    given = {name: call[name] for name in ("port", "host", "allow_hosts", "open_browser", "pictures_gb", "reviewer")}
    assert given == {
        "port": 9000, "host": "0.0.0.0", "allow_hosts": ["lab"], "open_browser": False, "pictures_gb": 0.5, "reviewer": "ann"
    }  # fmt: skip
    assert (call["slice_path"], call["remap"]) == ("s.parquet", True)


def test_a_host_that_others_reach_is_warned_of(
    opens2v: Run, sample_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opens2v_explorer.serving.run", lambda app, listening, on_ready: on_ready())
    monkeypatch.setattr("opens2v_explorer.serving.make_app", lambda *_, **__: None)
    monkeypatch.setattr("opens2v_explorer.serving.bound", lambda host, port: socket.create_server(("127.0.0.1", 0)))
    shown = opens2v("explore", sample_catalog, "--host", "0.0.0.0", "--no-browser", "--verdicts", tmp_path / "v.sqlite")
    assert shown.code == 0
    assert "warning: 0.0.0.0 can be reached from other machines" in shown.err and "no passwords" in shown.err
    quiet = opens2v("explore", sample_catalog, "--no-browser", "--verdicts", tmp_path / "v.sqlite")
    assert "warning" not in quiet.err


def test_a_port_in_use_is_an_error_with_a_way_out(opens2v: Run, sample_catalog: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        shown = opens2v("explore", sample_catalog, "--port", port, "--no-browser", "--verdicts", tmp_path / "v.sqlite")
    assert shown.code == 1
    assert shown.err.startswith(f"error: cannot listen on port {port} of 127.0.0.1: Address already in use")
    assert "--port 0 takes a free port" in shown.err


def test_what_is_no_catalog_is_told(opens2v: Run, tmp_path: Path) -> None:
    shown = opens2v("explore", tmp_path / "nothing", "--no-browser")
    assert shown.code == 1 and "catalog" in shown.err and "opens2v ingest" in shown.err


def test_a_slice_of_another_catalog_is_told(opens2v: Run, sample_catalog: Path, tmp_path: Path) -> None:
    assert opens2v("slice", sample_catalog, "-o", tmp_path / "s.parquet").code == 0
    table = pq.read_table(tmp_path / "s.parquet")
    digest = opens2v_data.open(sample_catalog).fingerprint.encode()
    metadata = {name: value.replace(digest, b"0" * 64) for name, value in (table.schema.metadata or {}).items()}
    assert metadata != table.schema.metadata
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "s.parquet")
    common = ["--no-browser", "--verdicts", tmp_path / "v.sqlite"]
    shown = opens2v("explore", sample_catalog, "--slice", tmp_path / "s.parquet", *common)
    assert shown.code == 1 and "is a slice of the catalog with digest" in shown.err and "remap" in shown.err


def test_a_missing_extra_names_its_install_command(
    opens2v: Run, sample_catalog: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "opens2v_explorer.serving", raising=False)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    shown = opens2v("explore", sample_catalog)
    assert shown.code == 1 and 'pip install "opens2v-data[explorer]"' in shown.err


@pytest.mark.parametrize(
    "options", [("--port", "70000"), ("--port", "x"), ("--cache-gb", "-1"), ("--pictures-gb", "-1")]
)
def test_wrong_numbers_are_a_wrong_command_line(opens2v: Run, sample_catalog: Path, options: tuple[str, str]) -> None:
    assert opens2v("explore", sample_catalog, *options).code == 2
