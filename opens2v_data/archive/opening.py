"""A store for wherever a release or catalog lies: a folder, an address, the Hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.archive.addresses import SCHEME, HubAddress, is_remote
from opens2v_data.archive.stores import LocalStore

if TYPE_CHECKING:
    from opens2v_data.archive.stores import Store


def open_store(uri: str, *, revision: str | None = None) -> Store:
    """Return a store of the files at `uri`; nothing is asked of a server yet.

    Args:
        uri: a folder, `http(s)://…`, or `hf://datasets/OWNER/NAME[@REVISION]`.
        revision: commit, branch or tag, for a Hub address that names none.

    Raises:
        ValueError: an address that names a file or folder inside a repository, or two revisions.
    """
    if not is_remote(uri):
        return LocalStore(Path(uri).expanduser())
    # Imported here: a laptop without the extra `hub` reads folders.
    from opens2v_data.archive.httpstore import HttpStore
    from opens2v_data.archive.remote import HubStore

    if not uri.startswith(SCHEME):
        return HttpStore(uri)
    address = HubAddress.parse(uri)
    if address.path:
        raise ValueError(f"expected a whole repository, got {uri!r}; leave /{address.path} out")
    if revision is not None and address.revision not in (None, revision):
        raise ValueError(f"{uri!r} names another revision than {revision!r}")
    return HubStore(address.repo_id, revision=address.revision or revision)
