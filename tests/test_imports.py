"""Importing the core is light: proven in fresh interpreters, by what is imported and not by a clock."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = (
    "av",
    "datasets",
    "duckdb",
    "huggingface_hub",
    "numpy",
    "pandas",
    "PIL",
    "pyarrow",
    "streamlit",
    "torch",
    "torchcodec",
)


def imported_by(code: str) -> list[str]:
    """Return which heavy packages some code imports in an interpreter of its own."""
    report = f"import json, sys; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True, timeout=250
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "code",
    [
        "import opens2v_data",
        "import opens2v_data.cli",
        "import opens2v_data.errors, opens2v_data.triples, opens2v_data.archive",
        "import opens2v_loaders",
        "import opens2v_eval",
    ],
)
def test_importing_loads_no_heavy_package(code: str) -> None:
    assert imported_by(code) == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["ingest", "--help"], ["stream", "--help"], ["eval", "run", "--help"], ["--version"]]
)
def test_help_loads_no_heavy_package(arguments: list[str]) -> None:
    code = (
        "import contextlib, runpy, sys\n"
        f"sys.argv = ['opens2v', *{arguments!r}]\n"
        "with contextlib.suppress(SystemExit):\n"
        "    runpy.run_module('opens2v_data.cli', run_name='__main__')"
    )
    assert imported_by(code) == []


def test_importing_datasets_later_does_not_fail() -> None:
    pytest.importorskip("datasets")
    assert "datasets" in imported_by("import opens2v_data, datasets")
