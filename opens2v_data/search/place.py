"""Where a catalog's caption index lies, and which one counts.

    search/                   in the catalog's folder; where one may not write there, below the user's cache, by digest
      index.json              the catalog's digest, the number of captions, and the folder that counts: written last, at once
      index-<16 hex digits>/  tantivy's files

A build that was killed leaves an `index-…` that `index.json` does not name; the next build removes it. Who builds holds a lock of
the kernel on `search/`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opens2v_data.archive.cache import CACHE_VARIABLE, default_cache_folder
from opens2v_data.catalog.manifest import write_atomically
from opens2v_data.errors import CatalogError, CatalogNotFoundError

if TYPE_CHECKING:
    from opens2v_data.catalog.catalog import Catalog

FOLDER = "search"
INFO_FILE = "index.json"
FORMAT = 1
"""Raised when what a word is, or how the index is written, changes."""


class IndexInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What `index.json` says.

    Attributes:
        format: see `FORMAT`.
        digest: of the catalog whose captions these are.
        num_captions: captions in it, those that are null too.
        folder: name of the folder that counts.
    """

    format: int
    digest: str
    num_captions: int
    folder: str


def index_folders(catalog: Catalog) -> list[Path]:
    """Return where an index of this catalog can lie, the first choice first."""
    cache = default_cache_folder()
    base = cache if os.environ.get(CACHE_VARIABLE) else cache.parent
    places = [base / FOLDER / catalog.digest[:16]]
    with suppress(CatalogNotFoundError):  # it lies on a server
        places.insert(0, catalog.root / FOLDER)
    return places


def folder_to_write(catalog: Catalog) -> Path:
    """Return where to put an index: in the catalog if one may write there, else in the user's cache."""
    places = index_folders(catalog)
    return next((place for place in places[:-1] if os.access(place.parent, os.W_OK)), places[-1])


def load_info(folder: Path) -> IndexInfo | None:
    """Return what `index.json` says, or None where there is none.

    Raises:
        CatalogError: it is no such file.
    """
    path = folder / INFO_FILE
    try:
        info = msgspec.json.decode(path.read_bytes(), type=IndexInfo)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise CatalogError(
            f"expected the account of a caption index in {path}, found {error}; remove {folder} and run opens2v search-index"
        ) from error
    if Path(info.folder).name != info.folder or not info.folder.startswith("index-"):
        raise CatalogError(
            f"{path} names the folder {info.folder!r}, which is refused; remove {folder}, run opens2v search-index"
        )
    return info


def save_info(folder: Path, info: IndexInfo) -> None:
    """Write `index.json`; from then on that index counts."""
    write_atomically(folder / INFO_FILE, msgspec.json.format(msgspec.json.encode(info), indent=1) + b"\n")
