"""Short spellings of `load_dataset` for these tests."""

from __future__ import annotations

import subprocess
import sys
from os import environ, pathsep
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import datasets

import opens2v_data

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V

NAME = "opens2v-5m"


def stream(catalog: OpenS2V, config: str | None = None, **options: Any) -> datasets.IterableDataset:
    """Stream a catalog's rows, undecoded unless asked otherwise."""
    options = {"decode": False, "data_dir": str(catalog.catalog.root)} | options
    loaded = datasets.load_dataset(NAME, config, split="train", streaming=True, **options)
    return cast("datasets.IterableDataset", loaded)


def load(catalog: OpenS2V, config: str | None = None, **options: Any) -> datasets.Dataset:
    """Load a catalog's rows through the cache of `datasets`, undecoded unless asked otherwise."""
    options = {"decode": False, "data_dir": str(catalog.catalog.root)} | options
    return cast("datasets.Dataset", datasets.load_dataset(NAME, config, split="train", **options))


def ids(rows: Any) -> list[int]:
    """Return the clip ids of rows."""
    return [int(row["clip_id"]) for row in rows]


def run_python(code: str, *, folder: Path, path: tuple[Path, ...] = (), **variables: str) -> str:
    """Run code in a fresh interpreter that finds this project; return what it prints."""
    project = Path(opens2v_data.__file__).parents[1]
    environment = {**environ, "PYTHONPATH": pathsep.join(map(str, (*path, project, project / "loaders"))), **variables}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
