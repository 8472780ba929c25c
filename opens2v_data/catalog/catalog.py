"""A catalog, in a folder or on a server: its manifest, its files, its masks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.archive.opening import open_store
from opens2v_data.archive.stores import LocalStore
from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.lookup import find_catalog
from opens2v_data.catalog.manifest import QUARANTINE_FILE, CatalogFile, Manifest
from opens2v_data.catalog.masks import blob_file, unpack_masks
from opens2v_data.catalog.origin import PartlyLocalStore, load_origin
from opens2v_data.catalog.ranges import RangeReader, Span, check_size
from opens2v_data.errors import CatalogDamagedError, CatalogNotFoundError
from opens2v_data.release.records import MaskRecord

if TYPE_CHECKING:
    from opens2v_data.archive.stores import Store

KEEP_MASK_GROUPS = 16
"""Row groups of the masks table that stay unpacked, 1.3 MB each: a stream in id order asks the same one 128 times. Who asks for
clips of more groups at once asks at random, and would unpack most of the table each time (130 ms of CPU for 64 clips of 5 M):
then all stay, 100 MB at 5 M clips."""

_PLACES = ("clip_id", "file_idx", "offset", "size_bytes")


class Catalog:
    """A finished catalog. It can be pickled to other processes.

    Args:
        manifest: what it is made of.
        uri: its folder, or its address, at its commit where it lies on the Hub.
        store: its files.
        folder: its folder; None: it lies on a server.

    Attributes:
        manifest, uri, store: as given.
        reader: reads ranges of its files, and keeps some.
    """

    def __init__(self, manifest: Manifest, *, uri: str, store: Store, folder: Path | None = None) -> None:
        self.manifest = manifest
        self.uri = uri
        self.store = store
        self._folder = folder
        self.reader = RangeReader(store, {file.path: file for file in self.files})
        self._mask_footer: pq.FileMetaData | None = None
        self._mask_groups: dict[int, list[np.ndarray]] = {}
        self._keeps_mask_groups = KEEP_MASK_GROUPS

    @classmethod
    def open(cls, root: str | os.PathLike[str] | None = None) -> Catalog:
        """Open a catalog; without `root`, the one that `find_catalog`'s rule finds.

        On the Hub a branch is taken at its commit of now; the files' sizes are compared with the repository's listing.

        Raises:
            CatalogNotFoundError: none there, or its ingest is not finished.
            CatalogVersionError: written by another schema version.
            CatalogDamagedError: a table is missing or has another size than the manifest says.
            ArchiveError: a server does not give it.
        """
        place = find_catalog(root)
        if isinstance(place, str):
            return cls._open_remote(place)
        folder = place.absolute()
        manifest = manifests.load(folder)
        origin = load_origin(folder)
        absent: set[str] = set()
        for file in (*manifest.tables.values(), *manifest.files):
            path = folder / file.path
            size = path.stat().st_size if path.is_file() else None
            if size is None and origin is not None:
                absent.add(file.path)
            else:
                check_size(str(path), file.size_bytes, size)
        store: Store = LocalStore(folder)
        if origin is not None and absent:
            if origin.digest != manifest.digest:
                raise CatalogDamagedError(
                    f"expected files of the catalog with digest {manifest.digest} in {folder}, {origin.uri} they come from had "
                    f"{origin.digest}; copy it again into an empty folder"
                )
            local = frozenset(file.path for file in (*manifest.tables.values(), *manifest.files)) - absent
            store = PartlyLocalStore(folder, local, origin.uri)
        return cls(manifest, uri=str(folder), store=store, folder=folder)

    @classmethod
    def _open_remote(cls, address: str) -> Catalog:
        store = open_store(address)
        uri: str = getattr(store, "uri", address)
        manifest = manifests.load_remote(store, uri)
        catalog = cls(manifest, uri=uri, store=store)
        walk = getattr(store, "walk", None)
        if walk is not None:
            # One listing, some thousand files a page, instead of a request per file.
            sizes = {file.path: file.size_bytes for file in walk("")}
            for file in catalog.files:
                check_size(f"{uri}/{file.path}", file.size_bytes, sizes.get(file.path))
        return catalog

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={self.num_rows(name)}" for name in ("clips", "subjects", "pairs", "views"))
        return f"Catalog({self.uri!r}, {counts})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _catalog, (self.manifest, self.uri, self.store, self._folder)

    @property
    def root(self) -> Path:
        """Its folder.

        Raises:
            CatalogNotFoundError: it lies on a server.
        """
        if self._folder is None:
            raise CatalogNotFoundError(
                f"expected a catalog in a folder, {self.uri} lies on a server; copy it first: "
                f"opens2v copy {self.uri} ./opens2v-5m"
            )
        return self._folder

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy that is not whole: see `opens2v_data.catalog.origin`."""
        return isinstance(self.store, PartlyLocalStore)

    @property
    def origin_uri(self) -> str:
        """Where all its files are: `uri`, or for a copy that is not whole the place it was copied from."""
        return self.store.uri if isinstance(self.store, PartlyLocalStore) else self.uri

    @property
    def files(self) -> list[CatalogFile]:
        """All its files but the manifest."""
        return [*self.manifest.tables.values(), *self.manifest.files]

    @property
    def digest(self) -> str:
        """SHA-256 over all files: two catalogs with one digest hold the same."""
        return self.manifest.digest

    def local_path(self, path: str) -> Path | None:
        """Return where one of its files lies on this machine; None: on a server."""
        if self._folder is None or (isinstance(self.store, PartlyLocalStore) and path not in self.store.local):
            return None
        return self._folder / path

    def num_rows(self, table: str) -> int:
        """Return a table's number of rows."""
        return self.manifest.tables[table].rows

    def quarantine(self) -> Iterator[dict[str, Any]]:
        """Give the lines of `quarantine.jsonl`: what of the release gave no row, and why."""
        path = self.local_path(QUARANTINE_FILE)
        if path is None:
            data = self.store.read_range(QUARANTINE_FILE, 0, self.reader.size(QUARANTINE_FILE))
            yield from map(json.loads, data.splitlines())
            return
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def read_masks(self, clip_ids: Iterable[int]) -> dict[int, list[MaskRecord]]:
        """Return the masks of some clips; clips without masks are absent.

        Opens only the row groups and reads only the blobs of these clips.

        Raises:
            CatalogDamagedError: the table or a blob is damaged.
            ArchiveError: a server does not give them.
        """
        wanted = np.unique(np.fromiter(clip_ids, np.int64))
        if not len(wanted):
            return {}
        groups: list[int] = []
        for index, group in enumerate(self.manifest.tables["masks"].row_groups):
            low, high = group.ranges["clip_id"]
            at = np.searchsorted(wanted, low)
            if at < len(wanted) and wanted[at] <= high:
                groups.append(index)
        ids: list[int] = []
        spans: list[Span] = []
        for columns in self._read_mask_groups(groups):
            # In order of clip_id: to look up a few ids costs less than to pass over 65,536 rows.
            known = columns[0]
            mine = wanted[np.searchsorted(wanted, known[0]) : np.searchsorted(wanted, known[-1], side="right")]
            at = np.searchsorted(known, mine)
            chosen = at[known[at] == mine]
            rows = zip(*(column[chosen].tolist() for column in columns), strict=True)
            for clip_id, file_idx, offset, size in rows:
                ids.append(clip_id)
                spans.append(Span(blob_file(file_idx), offset, size))
        return {clip_id: unpack_masks(blob) for clip_id, blob in zip(ids, self.reader.read_spans(spans), strict=True)}

    def _read_mask_groups(self, groups: list[int]) -> list[list[np.ndarray]]:
        """Return the columns `_PLACES` of row groups of the masks table."""
        # Single operations on a dict, for threads and forks: see `RangeReader`.
        found = {group: self._mask_groups.get(group) for group in groups}
        missing = [group for group, columns in found.items() if columns is None]
        if missing:
            for group, table in zip(missing, self._unpack_mask_groups(missing), strict=True):
                found[group] = self._mask_groups[group] = [table.column(name).to_numpy() for name in _PLACES]
            if len(groups) > KEEP_MASK_GROUPS:
                self._keeps_mask_groups = len(self.manifest.tables["masks"].row_groups)
            for oldest in list(self._mask_groups)[: -self._keeps_mask_groups]:
                self._mask_groups.pop(oldest, None)
        return [columns for columns in found.values() if columns is not None]

    def _unpack_mask_groups(self, groups: list[int]) -> list[pa.Table]:
        path = self.manifest.tables["masks"].path
        try:
            footer = self._mask_footer
            if footer is None:
                footer = self._mask_footer = pq.read_metadata(pa.BufferReader(self.reader.footer(path)[1]))
            spans = [_extent(path, footer.row_group(group)) for group in groups]
            tables: list[pa.Table] = []
            for group, span, data in zip(groups, spans, self.reader.read_spans(spans), strict=True):
                stretch = _Stretch(data, start=span.start, size=self.reader.size(path))
                with pq.ParquetFile(pa.PythonFile(stretch, mode="r"), metadata=footer) as opened:
                    tables.append(opened.read_row_group(group, use_threads=False))
            return tables
        except (pa.ArrowException, OSError, IndexError) as error:
            raise CatalogDamagedError(f"{self.uri}/{path} cannot be read: {error}; run opens2v verify") from error


class _Stretch:
    """A file of which only one stretch is here, as pyarrow reads it."""

    closed = False

    def __init__(self, data: bytes, *, start: int, size: int) -> None:
        self._data = data
        self._start = start
        self._size = size
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        start = self._at - self._start
        if start < 0:
            raise OSError(f"byte {self._at} is not in the row group, which starts at {self._start}")
        data = self._data[start:] if size < 0 else self._data[start : start + size]
        self._at += len(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True


def _extent(path: str, group: pq.RowGroupMetaData) -> Span:
    columns = [group.column(index) for index in range(group.num_columns)]
    starts = [
        column.data_page_offset
        if column.dictionary_page_offset is None
        else min(column.dictionary_page_offset, column.data_page_offset)
        for column in columns
    ]
    ends = [start + column.total_compressed_size for start, column in zip(starts, columns, strict=True)]
    return Span(path, min(starts), max(ends) - min(starts))


def _catalog(manifest: Manifest, uri: str, store: Store, folder: Path | None) -> Catalog:
    return Catalog(manifest, uri=uri, store=store, folder=folder)
