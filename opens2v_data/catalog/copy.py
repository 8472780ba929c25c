"""Copy a catalog to a folder: all of it, or the tables that are asked often, with the rest left where it is.

Files come in ranges, in parallel, and are hashed as they are written; each gets its name when its checksum is right. What a
copy that was broken off has got so far (`<file>.tmp`) is hashed again and gone on with. One copy at a time works in a folder.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.archive.daemons import DaemonPool
from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.locks import locked_folder
from opens2v_data.catalog.manifest import FILE_NAME, ORIGIN_FILE, QUARANTINE_FILE, CatalogFile
from opens2v_data.catalog.origin import Origin, load_origin, save_origin
from opens2v_data.errors import CatalogDamagedError, CatalogError
from opens2v_data.waiting import result_of

if TYPE_CHECKING:
    from hashlib import _Hash

    from opens2v_data.archive.stores import Store

Progress = Callable[[str, int, int], None]

RANGE_BYTES = 8 << 20
NUM_THREADS = 8
"""Ranges under way or waiting to be written: 64 MB in all."""


@dataclass(frozen=True, kw_only=True)
class CopyResult:
    """What a copy came to.

    Attributes:
        root: the folder.
        num_files, num_bytes: of files copied now; a file gone on with counts with what was still missing.
        num_kept: files that were there already.
        left: paths of files that were left at the origin.
    """

    root: Path
    num_files: int
    num_bytes: int
    num_kept: int
    left: tuple[str, ...]


def copy_catalog(
    catalog: Catalog,
    root: Path,
    *,
    tables: Sequence[str] | None = None,
    masks: bool = True,
    progress: Progress | None = None,
) -> CopyResult:
    """Copy a catalog to a folder; called again, it goes on, or adds tables.

    A copy that is not whole is a catalog too: what is not in it is read from where it was copied from.

    Args:
        catalog: what to copy.
        root: where to; made if absent.
        tables: names; None: all.
        masks: whether to copy the mask blobs.
        progress: called with the stage "copy", and how many bytes of how many are there.

    Raises:
        ValueError: no table of a name, or a table's name twice.
        CatalogError: another catalog, or something else, is in the folder, or another process copies into it.
        CatalogDamagedError: a file does not have the checksum that the manifest says.
        ArchiveError: a server does not give a file; what is there is kept.
    """
    chosen, left = _choose(catalog, tables, masks)
    origin = Origin(uri=catalog.origin_uri, digest=catalog.digest)
    if not root.is_dir():
        _check_place(root, origin)
        root.mkdir(parents=True, exist_ok=True)
    busy = f"another process is copying into {root}; wait for it to end and run the same command again, or name another folder"
    # Before a look: what another copy is about to write is nothing foreign. The folder itself, as a copy has the catalog's files
    # and no others. Without locks `_copy_file` looks at lengths.
    with locked_folder(root, busy=busy):
        _check_place(root, origin)
        return _copy(catalog, root, chosen, left, origin=origin, progress=progress)


def _copy(
    catalog: Catalog,
    root: Path,
    chosen: list[CatalogFile],
    left: list[str],
    *,
    origin: Origin,
    progress: Progress | None,
) -> CopyResult:
    is_present = {file.path: _has_size(root / file.path, file.size_bytes) for file in catalog.files}
    if not all(is_present.values()) and load_origin(root) is None:
        save_origin(root, origin)
    report = progress or (lambda stage, done, total: None)
    total, done = sum(file.size_bytes for file in chosen), 0
    num_files = num_bytes = num_kept = 0
    report("copy", 0, total)
    with DaemonPool(NUM_THREADS, name="opens2v-copy") as pool:
        for file in chosen:
            if is_present[file.path]:
                num_kept += 1
                done += file.size_bytes
                report("copy", done, total)
                continue
            for is_new, length in _copy_file(catalog.store, file, root / file.path, pool):
                done += length
                num_bytes += length * is_new
                report("copy", done, total)
            num_files += 1
    if not (root / FILE_NAME).is_file():
        manifests.save(catalog.manifest, root)
    absent = tuple(path for path in left if not _has_size(root / path, catalog.reader.size(path)))
    if not absent:
        (root / ORIGIN_FILE).unlink(missing_ok=True)
    return CopyResult(root=root, num_files=num_files, num_bytes=num_bytes, num_kept=num_kept, left=absent)


def _choose(catalog: Catalog, tables: Sequence[str] | None, masks: bool) -> tuple[list[CatalogFile], list[str]]:
    known = catalog.manifest.tables
    names = list(known) if tables is None else list(tables)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"there is no table {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"tables must name at least one table and none twice, got {names}")
    # Small files first: a copy that is broken off then has most tables.
    files = [known[name] for name in names]
    files += [file for file in catalog.manifest.files if masks or file.path == QUARANTINE_FILE]
    files.sort(key=lambda file: file.size_bytes)
    paths = {file.path for file in files}
    return files, [file.path for file in catalog.files if file.path not in paths]


def _check_place(root: Path, origin: Origin) -> None:
    """Refuse a folder with something else in it."""
    if not root.exists():
        return
    if (root / FILE_NAME).is_file():
        found = manifests.load(root).digest
    elif (started := load_origin(root)) is not None:
        found = started.digest
    elif root.is_dir() and not any(root.iterdir()):
        return
    else:
        raise CatalogError(
            f"expected no folder or an empty one at {root}, found other things there; name another folder"
        )
    if found != origin.digest:
        raise CatalogError(
            f"expected a copy of the catalog with digest {origin.digest} at {root}, found one with {found}; name another folder"
        )


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.is_file() and path.stat().st_size == size_bytes


def _copy_file(store: Store, file: CatalogFile, path: Path, pool: DaemonPool) -> Iterator[tuple[bool, int]]:
    """Copy one file; give how many bytes were done each time, and whether they were read now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    digest = hashlib.sha256()
    start = _take_up(temporary, file.size_bytes, digest)
    if start:
        yield False, start
    with temporary.open("ab") as target:
        for data in _read_on(store, file, start, pool):
            digest.update(data)
            target.write(data)
            yield True, len(data)
        target.flush()
        manifests.sync_file(temporary)
    if (length := temporary.stat().st_size) != file.size_bytes:
        raise CatalogError(
            f"expected {file.size_bytes} bytes in {temporary}, found {length}: another process writes to it; wait for it to "
            "end, remove that file and run the same command again"
        )
    if digest.hexdigest() != file.sha256:
        temporary.unlink()
        raise CatalogDamagedError(
            f"expected SHA-256 {file.sha256} of {file.path}, found {digest.hexdigest()}: it changed where it lies, or on "
            "the way; run the same command again, and if it stays so, the catalog there is damaged"
        )
    temporary.replace(path)


def _take_up(temporary: Path, size_bytes: int, digest: _Hash) -> int:
    """Hash what is there of a file; return how many bytes."""
    if not temporary.is_file():
        return 0
    if temporary.stat().st_size > size_bytes:
        temporary.unlink()
        return 0
    num_bytes = 0
    with temporary.open("rb") as source:
        while data := source.read(RANGE_BYTES):
            digest.update(data)
            num_bytes += len(data)
    return num_bytes


def _read_on(store: Store, file: CatalogFile, start: int, pool: DaemonPool) -> Iterator[bytes]:
    """Give a file's bytes from `start` on, in order, while further ranges are under way."""
    pending: deque[Future[bytes]] = deque()
    at = start
    try:
        while at < file.size_bytes or pending:
            while at < file.size_bytes and len(pending) < NUM_THREADS:
                length = min(RANGE_BYTES, file.size_bytes - at)
                pending.append(pool.submit(store.read_range, file.path, at, length))
                at += length
            yield result_of(pending.popleft())
    finally:
        for future in pending:
            future.cancel()
