"""From a catalog's rows to bytes: clips out of the release's tars, plates and views out of its folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.archive import Part, PartReader, Store, open_store
from opens2v_data.archive.addresses import is_remote
from opens2v_data.archive.cache import CacheKey
from opens2v_data.archive.fetch import Fetcher
from opens2v_data.archive.wanted import Delivered, Wanted
from opens2v_data.catalog.members import restore_part
from opens2v_data.errors import ArchiveError, MemberNotFoundError, MissingPieceError
from opens2v_data.triples import VideoRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opens2v_data.archive.cache import ClipCache
    from opens2v_data.catalog.catalog import Catalog

RELEASE_VARIABLE = "OPENS2V_RELEASE"


class Media:
    """Reads what a catalog's rows name.

    Args:
        catalog: whose rows.
        release: folder or address of the release; by default OPENS2V_RELEASE, else where the catalog was made from.
        cache: where whole clips of a server are looked for first, and kept; None: nowhere.

    Attributes:
        release_uri: where bytes come from.
    """

    def __init__(
        self, catalog: Catalog, *, release: str | os.PathLike[str] | None = None, cache: ClipCache | None = None
    ) -> None:
        self.catalog = catalog
        source = catalog.manifest.source
        uri = str(release or os.environ.get(RELEASE_VARIABLE) or source.uri)
        self.release_uri = uri if is_remote(uri) else str(Path(uri).expanduser())
        # Reading a disk needs none, and files there can change under the same name.
        self.cache = cache if is_remote(self.release_uri) else None
        self._store: Store | None = None
        self._fetcher: Fetcher | None = None
        self._parts = {part.name: part for part in source.parts}
        self._readers: dict[str, PartReader] = {}

    @property
    def is_local(self) -> bool:
        """Whether bytes come from a folder and not from a server."""
        return not is_remote(self.release_uri)

    def read_video(self, ref: VideoRef) -> bytes:
        """Return a clip's whole mp4.

        Raises:
            ArchiveError: the release or the part is not here, a piece is missing or has changed, or the bytes end early.
        """
        key = self._cache_key(ref)
        if self.cache is not None and key is not None and (data := self.cache.get(key)) is not None:
            return data
        data = self._reader(ref.part).read_member(name=ref.member, offset=ref.offset, size_bytes=ref.size_bytes)
        if self.cache is not None and key is not None:
            self.cache.put(key, data)
        return data

    def read_videos(self, refs: Iterable[VideoRef]) -> Iterator[bytes | ArchiveError]:
        """Give whole mp4s in the order asked for, many read at once: for a release on a server.

        A clip that cannot be read gives the error instead, and the others go on.
        """
        if self._fetcher is None:
            self._fetcher = Fetcher(self.store, cache=self.cache, source=self.source)

        def wanted() -> Iterator[Wanted]:
            for ref in refs:
                yield Wanted(
                    key=None, part=self.part(ref.part), name=ref.member, offset=ref.offset, size_bytes=ref.size_bytes
                )

        for result in self._fetcher.fetch(wanted()):
            yield bytes(result.data) if isinstance(result, Delivered) else result.error

    @property
    def source(self) -> str:
        """What the release's bytes are called in a cache: its address with the commit, or its folder."""
        store = self.store
        return getattr(store, "uri", None) or str(Path(self.release_uri).resolve())

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
        store = self.store
        return store.read_range(path, 0, store.size(path))

    def file_path(self, path: str) -> str:
        """Return where a plate or a view lies: a path on this machine, or an address that fsspec opens."""
        return f"{self.release_uri}/{path}"

    @property
    def store(self) -> Store:
        """The release's files.

        Raises:
            MissingPieceError: there is no folder where the release was.
        """
        if self._store is None:
            if not is_remote(self.release_uri) and not Path(self.release_uri).is_dir():
                raise MissingPieceError(
                    f"expected the release at {self.release_uri}, found no folder: bytes of clips, views and plates are read "
                    f"from there. Say where it is now with {RELEASE_VARIABLE}=… or --release"
                )
            # The commit that was indexed, whatever its branch is at now: offsets are good for that one only.
            self._store = open_store(self.release_uri, revision=self._revision)
        return self._store

    def _cache_key(self, ref: VideoRef) -> CacheKey | None:
        if self.cache is None:
            return None
        return CacheKey(
            source=self.source, part=ref.part, name=ref.member, offset=ref.offset, size_bytes=ref.size_bytes
        )

    @property
    def _revision(self) -> str | None:
        return self.catalog.manifest.source.revision if "@" not in self.release_uri else None

    def part(self, name: str) -> Part:
        """Return a part as indexed.

        Raises:
            MemberNotFoundError: the catalog has no videos of it.
        """
        return self._reader(name).part

    def _reader(self, part: str) -> PartReader:
        if part not in self._readers:
            if part not in self._parts:
                raise MemberNotFoundError(
                    f"part {part} has no videos in catalog {self.catalog.uri}; it has {sorted(self._parts)}"
                )
            self._readers[part] = PartReader(self.store, restore_part(self._parts[part]))
        return self._readers[part]
