"""`opens2v://` for fsspec: a clip's bytes by the address in a row's `video_path`, out of the release's tars.

    opens2v://<catalog's folder or address, percent-encoded>/<part>/<offset>-<size>/<member>

The address has all that a read needs, so opening a clip asks no table. Read-only; there is nothing to list.
"""

from __future__ import annotations

import errno
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from opens2v_data.errors import ArchiveError, CatalogError
from opens2v_data.hub.opened import open_cached
from opens2v_data.triples import PROTOCOL, VideoRef

WHOLE_BYTES = 16 << 20
"""Clips up to this size are read at once when opened: they are some 2 MB, and decoders want the index at both ends."""

BLOCK_BYTES = 2 << 20
"""Longer ones are read in blocks of this size, of which `MAX_BLOCKS` are kept."""

MAX_BLOCKS = 8


class ClipFileSystem(AbstractFileSystem):
    """Clips of catalogs. Holds nothing: catalogs are opened once per process, see `opened`."""

    protocol = PROTOCOL

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return name and size, which the address says; whether the bytes are there is for `exists`."""
        ref = _ref(path)
        return {"name": self._strip_protocol(path), "size": ref.size_bytes, "type": "file"}

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return the clip itself: an address names one."""
        found = self.info(path)
        return [found if detail else found["name"]]

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Say whether the clip's bytes can be read."""
        try:
            ref = _ref(path)
            _read(ref, max(0, ref.size_bytes - 1), ref.size_bytes)
        except (FileNotFoundError, ArchiveError, CatalogError):
            return False
        return True

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return a clip's bytes, or those of a range as slices count, in one read.

        Raises:
            FileNotFoundError: no address of a clip.
            CatalogError: its catalog cannot be opened.
            ArchiveError: its bytes cannot be read.
        """
        ref = _ref(path)
        start, end, _ = slice(start, end).indices(ref.size_bytes)
        return _read(ref, start, max(start, end))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> ClipFile:
        if mode != "rb":
            raise OSError(errno.EROFS, f"clips are read-only, cannot be opened with mode {mode!r}", path)
        return ClipFile(self, path)


class ClipFile(AbstractBufferedFile):
    """An opened clip: seekable; may be used on both sides of a fork and sent to other processes."""

    def __init__(self, fs: ClipFileSystem, path: str) -> None:
        self._ref = _ref(path)
        options: dict[str, Any] = {"cache_type": "all"}
        if self._ref.size_bytes > WHOLE_BYTES:
            kept = {"maxblocks": MAX_BLOCKS}
            options = {"cache_type": "blockcache", "block_size": BLOCK_BYTES, "cache_options": kept}
        super().__init__(fs, path, size=self._ref.size_bytes, **options)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return _read(self._ref, start, min(end, self._ref.size_bytes))  # the last block is asked for whole


def _ref(path: str) -> VideoRef:
    address = path if path.startswith(f"{PROTOCOL}://") else f"{PROTOCOL}://{path}"
    try:
        return VideoRef.from_address(address)
    except ValueError as error:
        raise FileNotFoundError(errno.ENOENT, str(error), path) from error


def _read(ref: VideoRef, start: int, end: int) -> bytes:
    return open_cached(ref.catalog_root).media.read_range(ref, start, end - start)
