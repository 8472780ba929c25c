"""A catalog on disk: its manifest, its files, its masks."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.lookup import find_catalog
from opens2v_data.catalog.manifest import QUARANTINE_FILE, Manifest
from opens2v_data.catalog.masks import blob_file, unpack_masks
from opens2v_data.errors import CatalogDamagedError
from opens2v_data.release.records import MaskRecord


class Catalog:
    """A finished catalog.

    Attributes:
        root: its folder.
        manifest: what it is made of.
    """

    def __init__(self, root: Path, manifest: Manifest) -> None:
        self.root = root
        self.manifest = manifest

    @classmethod
    def open(cls, root: str | os.PathLike[str] | None = None) -> Catalog:
        """Open a catalog; without `root`, the one that `find_catalog`'s rule finds.

        Raises:
            CatalogNotFoundError: none there, or its ingest is not finished.
            CatalogVersionError: written by another schema version.
            CatalogDamagedError: a table is missing or has another size than the manifest says.
        """
        folder = find_catalog(root).absolute()
        manifest = manifests.load(folder)
        for file in (*manifest.tables.values(), *manifest.files):
            path = folder / file.path
            size = path.stat().st_size if path.is_file() else None
            if size != file.size_bytes:
                raise CatalogDamagedError(
                    f"expected {file.size_bytes} bytes in {path}, found {'no file' if size is None else size}; "
                    "copy the catalog again, or run opens2v ingest again"
                )
        return cls(folder, manifest)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name}={self.num_rows(name)}" for name in ("clips", "subjects", "pairs", "views"))
        return f"Catalog({str(self.root)!r}, {counts})"

    @property
    def digest(self) -> str:
        """SHA-256 over all files: two catalogs with one digest hold the same."""
        return self.manifest.digest

    def num_rows(self, table: str) -> int:
        """Return a table's number of rows."""
        return self.manifest.tables[table].rows

    def quarantine(self) -> Iterator[dict[str, Any]]:
        """Give the lines of `quarantine.jsonl`: what of the release gave no row, and why."""
        with (self.root / QUARANTINE_FILE).open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def read_masks(self, clip_ids: Iterable[int]) -> dict[int, list[MaskRecord]]:
        """Return the masks of some clips; clips without masks are absent.

        Opens only the row groups and reads only the blobs of these clips.
        """
        wanted = np.unique(np.fromiter(clip_ids, np.int64))
        masks: dict[int, list[MaskRecord]] = {}
        if not len(wanted):
            return masks
        file = self.manifest.tables["masks"]
        groups: list[int] = []
        for index, group in enumerate(file.row_groups):
            low, high = group.ranges["clip_id"]
            at = np.searchsorted(wanted, low)
            if at < len(wanted) and wanted[at] <= high:
                groups.append(index)
        with pq.ParquetFile(self.root / file.path) as table:
            rows = table.read_row_groups(groups, use_threads=False) if groups else table.schema_arrow.empty_table()
        columns = [rows.column(name).to_numpy() for name in ("clip_id", "file_idx", "offset", "size_bytes")]
        chosen = np.isin(columns[0], wanted)
        opened: dict[int, int] = {}
        try:
            for clip_id, file_idx, offset, size in zip(*(column[chosen].tolist() for column in columns), strict=True):
                if file_idx not in opened:
                    opened[file_idx] = os.open(self.root / blob_file(file_idx), os.O_RDONLY)
                masks[clip_id] = unpack_masks(os.pread(opened[file_idx], size, offset))
        finally:
            for descriptor in opened.values():
                os.close(descriptor)
        return masks
