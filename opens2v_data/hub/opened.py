"""Opened catalogs, one per process and place: what the builder's shards and the file system read through."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from opens2v_data.archive.addresses import is_remote
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.manifest import FILE_NAME
from opens2v_data.dataset import OpenS2V
from opens2v_data.media import RELEASE_VARIABLE


def open_cached(root: str) -> OpenS2V:
    """Return the catalog at `root`, opened again after a fork, when it was made anew, or when OPENS2V_RELEASE changed.

    Args:
        root: a folder, or an address. Rows and builders hold addresses at a commit, where nothing is ever made anew; another
            is opened once per process.

    Raises:
        CatalogError: it cannot be opened.
        ArchiveError: a server does not give it.
    """
    return _open(
        root, None if is_remote(root) else _stamp(Path(root) / FILE_NAME), os.environ.get(RELEASE_VARIABLE), os.getpid()
    )


@lru_cache(maxsize=8)
def _open(root: str, stamp: tuple[int, int] | None, release: str | None, pid: int) -> OpenS2V:
    return OpenS2V(Catalog.open(root), release=release)


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None  # `Catalog.open` says what is wrong
    return found.st_mtime_ns, found.st_ino
