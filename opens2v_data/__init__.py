"""OpenS2V-5M, askable and streamable.

import opens2v_data
from datasets import load_dataset

ds = load_dataset("opens2v-5m", streaming=True)          # importing opens2v_data taught `datasets` the name
catalog = opens2v_data.open("./opens2v-5m")              # the same rows as values, without `datasets`
for triple in catalog.triples("aesthetic > 5", limit=3): ...
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opens2v_data.hub.registration import register_when_imported
from opens2v_data.triples import Clip, MaskRLE, Pair, Subject, Triple, VideoRef, View
from opens2v_data.version import __version__ as __version__

if TYPE_CHECKING:
    from opens2v_data.archive.cache import ClipCache
    from opens2v_data.dataset import OpenS2V as OpenS2V
    from opens2v_data.frames import scan as scan

__all__ = ["Clip", "MaskRLE", "OpenS2V", "Pair", "Subject", "Triple", "VideoRef", "View", "open", "scan"]


def open(
    root: str | os.PathLike[str] | None = None,
    *,
    release: str | os.PathLike[str] | None = None,
    cache: ClipCache | None = None,
    category: str | os.PathLike[str] | None = None,
) -> OpenS2V:
    """Open a catalog.

    Args:
        root: its folder, or its address on the Hub, `hf://datasets/OWNER/NAME[@REVISION]`; by default
            OPENS2V_CATALOG, `./opens2v-5m`, or the one set by `opens2v use`, in this order.
        release: folder or address of the release, for bytes; by default OPENS2V_RELEASE, else where the catalog was made from.
        cache: keeps clips that come from a server (`opens2v_data.archive.cache.ClipCache`); None: none.
        category: file with a definition of the column `category`; by default `sql/category.sql`, which says what one must give.

    Raises:
        CatalogNotFoundError: there is none; the message says what to run.
    """
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.dataset import OpenS2V

    return OpenS2V(Catalog.open(root), release=release, cache=cache, category=category)


def __getattr__(name: str) -> Any:
    # Tables need pyarrow and duckdb, which `import opens2v_data` must not wait for.
    if name == "OpenS2V":
        from opens2v_data.dataset import OpenS2V

        return OpenS2V
    if name == "scan":
        from opens2v_data.frames import scan

        return scan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


register_when_imported()
