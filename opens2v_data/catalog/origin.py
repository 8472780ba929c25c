"""A copy of a catalog that is not whole: files that are here are read here, the others where they were left.

While files are missing, `origin.json` beside the manifest says where the catalog was copied from:

    {"uri": "hf://datasets/me/opens2v-5m-catalog@<commit>", "digest": "<of the catalog>"}
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from opens2v_data.archive.opening import open_store
from opens2v_data.archive.stores import BufferStore, LocalStore
from opens2v_data.catalog.manifest import ORIGIN_FILE, write_atomically
from opens2v_data.errors import CatalogDamagedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.archive.stores import Buffer, Store


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where a copy comes from; `digest` is that of the catalog."""

    uri: str
    digest: str


def load_origin(root: Path) -> Origin | None:
    """Return where the copy at `root` comes from; None: it is no copy, or whole.

    Raises:
        CatalogDamagedError: the file that says so cannot be read.
    """
    path = root / ORIGIN_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Origin)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.MsgspecError as error:
        raise CatalogDamagedError(f"{path} is damaged: {error}; run opens2v copy again into an empty folder") from error


def save_origin(root: Path, origin: Origin) -> None:
    """Write down where the copy at `root` comes from."""
    write_atomically(root / ORIGIN_FILE, msgspec.json.encode(origin) + b"\n")


class PartlyLocalStore:
    """Some files from a folder, the others from where the folder's were copied from; a `Store`.

    The origin is opened when one of its files is first read: what is here can be read without a network.

    Args:
        root: the folder.
        local: paths of the files in it.
        uri: where the others are.
    """

    def __init__(self, root: Path, local: frozenset[str], uri: str) -> None:
        self.root = root
        self.local = local
        self.uri = uri
        self._here = LocalStore(root)
        self._origin: Store | None = None

    def __repr__(self) -> str:
        return f"PartlyLocalStore({str(self.root)!r}, {len(self.local)} files, the others from {self.uri!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return PartlyLocalStore, (self.root, self.local, self.uri)

    def size(self, path: str) -> int:
        """Return the file's size in bytes."""
        return self._of(path).size(path)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from byte `start` on."""
        return self._of(path).read_range(path, start, length)

    def read_buffer(self, path: str, start: int, length: int) -> Buffer:
        """Return what `read_range` does, perhaps as a `memoryview`."""
        store = self._of(path)
        read = store.read_buffer if isinstance(store, BufferStore) else store.read_range
        return read(path, start, length)

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several `(start, length)` ranges, in the order given."""
        return self._of(path).read_ranges(path, ranges)

    def _of(self, path: str) -> Store:
        if path in self.local:
            return self._here
        if self._origin is None:
            self._origin = open_store(self.uri)
        return self._origin
