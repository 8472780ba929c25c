"""From a catalog's rows to bytes: clips out of the release's tars, plates and views out of its folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.archive import LocalStore, PartReader
from opens2v_data.catalog.members import restore_part
from opens2v_data.errors import MemberNotFoundError, MissingPieceError
from opens2v_data.triples import VideoRef

if TYPE_CHECKING:
    from opens2v_data.catalog.catalog import Catalog

RELEASE_VARIABLE = "OPENS2V_RELEASE"


class Media:
    """Reads what a catalog's rows name.

    Args:
        catalog: whose rows.
        release: folder of the release; by default OPENS2V_RELEASE, else where the catalog was made from.
    """

    def __init__(self, catalog: Catalog, *, release: str | os.PathLike[str] | None = None) -> None:
        self.catalog = catalog
        source = catalog.manifest.source
        self.release_root = Path(release or os.environ.get(RELEASE_VARIABLE) or source.uri).expanduser()
        self._store = LocalStore(self.release_root) if self.release_root.is_dir() else None
        self._parts = {part.name: part for part in source.parts}
        self._readers: dict[str, PartReader] = {}

    def read_video(self, ref: VideoRef) -> bytes:
        """Return a clip's whole mp4.

        Raises:
            ArchiveError: the release or the part is not here, a piece is missing or has changed, or the bytes end early.
        """
        return self._reader(ref.part).read_member(name=ref.member, offset=ref.offset, size_bytes=ref.size_bytes)

    def read_range(self, ref: VideoRef, start: int, length: int) -> bytes:
        """Return `length` bytes of a clip's mp4 from `start`.

        Raises:
            ValueError: the range leaves the clip.
            ArchiveError: as `read_video`.
        """
        if start < 0 or length < 0 or start + length > ref.size_bytes:
            raise ValueError(f"range {start}+{length} leaves {ref.member} of {ref.size_bytes} bytes")
        reader = self._reader(ref.part)
        if reader.part.layout == "files":
            return reader.store.read_range(f"{reader.part.root}/{ref.member}", start, length)
        return reader.read(ref.offset + start, length)

    def read_file(self, path: str) -> bytes:
        """Return a plate or a view, by its path below the release.

        Raises:
            ArchiveError: not there, or a path that leaves the release.
        """
        store = self._open_store()
        return store.read_range(path, 0, store.size(path))

    def file_path(self, path: str) -> Path:
        """Return where a plate or a view lies on this machine."""
        return self.release_root / path

    def _open_store(self) -> LocalStore:
        if self._store is None:
            raise MissingPieceError(
                f"expected the release at {self.release_root}, found no folder: bytes of clips, views and plates are read from "
                f"there. Say where it is now with {RELEASE_VARIABLE}=… or --release"
            )
        return self._store

    def _reader(self, part: str) -> PartReader:
        if part not in self._readers:
            if part not in self._parts:
                raise MemberNotFoundError(
                    f"part {part} has no videos in catalog {self.catalog.root}; it has {sorted(self._parts)}"
                )
            self._readers[part] = PartReader(self._open_store(), restore_part(self._parts[part]))
        return self._readers[part]
