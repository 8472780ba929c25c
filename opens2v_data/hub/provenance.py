"""What does a published catalog say of the release it was made from? Nothing of the machine that made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from opens2v_data.archive.addresses import SCHEME, HubAddress, is_remote
from opens2v_data.catalog.manifest import QUARANTINE_FILE
from opens2v_data.errors import CatalogError

if TYPE_CHECKING:
    from opens2v_data.catalog.catalog import Catalog
    from opens2v_data.catalog.manifest import Source, SourcePart

LOCAL = "local:"
"""Before the name of a release's folder in a published manifest: no path of anyone's machine, and no folder that a reader has."""


def published_source(source: Source, address: str | None) -> Source:
    """Return what a published manifest says of the release: an address for readers, never a path of this machine.

    Args:
        source: as the catalog has it.
        address: where the release lies on the Hub, at a commit; None: as the catalog has it.
    """
    if address is not None:
        uri, revision = address, HubAddress.parse(address).revision
    elif source.uri.startswith(SCHEME):
        uri, revision = source.uri, source.revision
    elif is_remote(source.uri):
        parts = urlsplit(source.uri)
        # Names, passwords and signatures in an address are its maker's.
        uri, revision = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", source.revision
    else:
        uri, revision = LOCAL + Path(source.uri).name, source.revision
    named = source.parts if is_remote(source.uri) else tuple(_without(part, source.uri) for part in source.parts)
    return msgspec.structs.replace(source, uri=uri, revision=revision, parts=named)


def _without(part: SourcePart, folder: str) -> SourcePart:
    """Take a folder of this machine out of what is said of a part."""

    def named(text: str) -> str:
        return text.replace(f"{folder.rstrip('/')}/", "").replace(folder, "the release") if len(folder) > 1 else text

    return msgspec.structs.replace(
        part,
        fault=None if part.fault is None else named(part.fault),
        refused=tuple(named(text) for text in part.refused),
    )


def check_says_nothing_of_this_machine(catalog: Catalog) -> None:
    """Refuse a catalog whose files name a folder of this machine.

    Raises:
        CatalogError: its quarantine does.
    """
    folder = catalog.manifest.source.uri
    if is_remote(folder) or len(folder) < 2:
        return
    if folder.encode() in (catalog.root / QUARANTINE_FILE).read_bytes():
        raise CatalogError(
            f"{QUARANTINE_FILE} of {catalog.root} names {folder}, a path of this machine, and its checksum stands in the "
            "manifest; make the catalog anew from a folder reached by a path that may be known, or from the Hub"
        )
