"""The video files of a release as table rows, and which of them a record's path means."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa

from opens2v_data.archive import Member, MemberScan, Part, PartIndex, Piece, Store, index_files, open_store
from opens2v_data.archive.addresses import is_remote
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.catalog.hashing import key_hashes
from opens2v_data.catalog.locks import locked
from opens2v_data.catalog.manifest import SourceFile, SourcePart, sync_file, write_atomically
from opens2v_data.catalog.schemas import MEMBERS
from opens2v_data.errors import TarFormatError
from opens2v_data.release.files import ReleaseFiles
from opens2v_data.release.layout import VideoPart
from opens2v_data.release.records import escapes

_SCHEMA = pa.schema([field for field in MEMBERS.arrow if field.name not in ("member_id", "part")])
_BATCH_ROWS = 16_384

MAX_FOLDERS = 3
"""Folders that a member may have in front of what a record calls it; upstream's have one or two."""


def archive_part(part: VideoPart) -> Part:
    """Return a release's part as the archive layer knows it."""
    pieces = (
        ()
        if part.layout == "files"
        else tuple(Piece(path=file.path, size_bytes=file.size_bytes) for file in part.files)
    )
    return Part(name=part.name, layout=part.layout, pieces=pieces, root=f"Videos/{part.name}" if not pieces else "")


def restore_part(source: SourcePart) -> Part:
    """Return a part as recorded in a manifest."""
    pieces = tuple(Piece(path=file.path, size_bytes=file.size_bytes) for file in source.pieces)
    return Part(name=source.name, layout=source.layout, pieces=pieces, root="" if pieces else source.folder)  # type: ignore[arg-type]


class IndexedPart(msgspec.Struct, frozen=True, kw_only=True):
    """What indexing one part gave; `files` is what was indexed, to tell whether it is still the same."""

    source: SourcePart
    files: tuple[SourceFile, ...]


def load_part(work: Path, part: VideoPart) -> IndexedPart | None:
    """Return a finished index of the part's files as they are now, or None."""
    try:
        indexed = msgspec.json.decode((work / f"members/{part.name}.json").read_bytes(), type=IndexedPart)
        with pa.memory_map(str(work / f"members/{part.name}.arrow")) as source:
            pa.ipc.open_file(source)
    except (FileNotFoundError, msgspec.MsgspecError, pa.ArrowInvalid):
        return None
    return indexed if indexed.files == _files(part) and indexed.source.layout == part.layout else None


def index_part_to(
    work: Path,
    part: VideoPart,
    store: Store,
    progress: Callable[[int, int], None] | None = None,
    *,
    chains: ChainOptions | None = None,
) -> IndexedPart:
    """Index one part's videos into `members/<part>.arrow` and `.json` (written last) below the work folder.

    Args:
        work: the ingest's work folder.
        part: which.
        store: where its files lie.
        progress: called with bytes passed and bytes in all.
        chains: walk the tar from many places at once, and keep what is found in `members/<part>.chains` meanwhile; None: from
            its start, which is faster on a disk.
    """
    folder = work / "members"
    folder.mkdir(parents=True, exist_ok=True)
    known = archive_part(part)
    scan: MemberScan | ChainScan | PartIndex
    log = folder / f"{part.name}.chains"
    if part.layout == "files":
        prefix = f"Videos/{part.name}/"
        scan = index_files(
            known,
            ((file.path.removeprefix(prefix), file.size_bytes) for file in part.files),
            # To look at each file's first bytes is nothing on a disk, and a call of the Hub's quota elsewhere.
            store=store if chains is None else None,
        )
        members = iter(scan.members)
    elif chains is None:
        scan = MemberScan(store, known, progress=progress)
        members = iter(scan)
    else:
        scan = ChainScan(
            store, known, options=chains, log=log, origin=str(getattr(store, "uri", "")), progress=progress
        )
        members = iter(scan)
    fault: str | None = None
    num_members = 0
    temporary = folder / f"{part.name}.arrow.{os.getpid()}.tmp"
    with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
        batch: list[Member] = []
        try:
            for member in members:
                batch.append(member)
                if len(batch) >= _BATCH_ROWS:
                    writer.write_batch(_rows(batch))
                    batch = []
                num_members += 1
        except TarFormatError as error:
            # What lies before the fault is good: keep it, and say where it ends.
            fault = str(error)
        if batch:
            writer.write_batch(_rows(batch))
    problems = [f"{refused.name}: {refused.reason}" for refused in scan.refused]
    truncated_at: int | None = None
    if (
        not isinstance(scan, PartIndex)
        and scan.end is not None
        and (scan.end.is_truncated or not scan.end.has_end_marker)
    ):
        truncated_at = scan.end.offset
    source = SourcePart(
        name=part.name,
        layout=part.layout,
        folder=f"Videos/{part.name}",
        pieces=() if part.layout == "files" else _files(part),
        num_members=num_members,
        refused=tuple(problems),
        skipped=dict(sorted(scan.skipped_by_kind.items())),
        truncated_at=truncated_at,
        fault=fault,
    )
    indexed = IndexedPart(source=source, files=_files(part))
    sync_file(temporary)
    temporary.replace(folder / f"{part.name}.arrow")
    write_atomically(folder / f"{part.name}.json", msgspec.json.encode(indexed))
    log.unlink(missing_ok=True)
    return indexed


def _rows(members: list[Member]) -> pa.RecordBatch:
    columns = [pa.array([getattr(member, field.name) for member in members], field.type) for field in _SCHEMA]
    return pa.RecordBatch.from_arrays(columns, schema=_SCHEMA)


def index_release_part(
    work: Path,
    part: VideoPart,
    files: ReleaseFiles,
    progress: Callable[[int, int], None] | None = None,
    *,
    chains: ChainOptions | None = None,
) -> IndexedPart:
    """Index a part of a release; what worker processes call.

    Args:
        work, part, progress: as `index_part_to`.
        files: the release's.
        chains: how many chains, where the release is on a server.

    Raises:
        IngestError: another process indexes this part into the same folder.
    """
    (work / "members").mkdir(parents=True, exist_ok=True)
    with locked(work, None, name=f"members/{part.name}.lock", what=f"indexing part {part.name} into {work.parent}"):
        if (done := load_part(work, part)) is not None:
            return done
        for left in (work / "members").glob(f"{glob.escape(part.name)}.arrow.*.tmp"):
            left.unlink(missing_ok=True)  # of a process that was killed
        store = getattr(files, "store", None) or open_store(files.uri)
        try:
            options = (chains or ChainOptions()) if is_remote(files.uri) else None
            return index_part_to(work, part, store, progress, chains=options)
        finally:
            if (close := getattr(store, "close", None)) is not None:
                close()


class MemberNames:
    """Finds the member a record's path means, by hashes of names: a record names a file relative to the part's extracted
    tar, whose members carry a folder or two in front.

    Tried in this order: the path itself, the path below a folder named like the part, the member's name without its first
    one, two, three folders where only one member of the part fits, and the path without its first one, two, three. All of
    the shorter of the two must agree: another folder is another file. A name that stands twice in a tar means the last, as
    when it is unpacked.
    """

    def __init__(self, table: pa.Table, part: str, first_member_id: int) -> None:
        last = {
            name: member_id for member_id, name in enumerate(table.column("name").to_pylist(), start=first_member_id)
        }
        ids = np.fromiter(last.values(), np.int64, len(last))
        self._part = part
        self._whole = _unambiguous(last, ids)
        self._below = [
            _unambiguous((name.split("/", depth)[-1] for name in last), ids) for depth in range(1, 1 + MAX_FOLDERS)
        ]

    def find(self, paths: list[str | None]) -> np.ndarray:
        """Return the member id per path, `(N,) int64`, -1 where none fits or the path leaves its folder."""
        usable = ["" if path is None or escapes(path) else path.removeprefix("./") for path in paths]
        found = np.full(len(paths), -1, np.int64)
        lookups = [
            (key_hashes(usable), self._whole),
            (key_hashes(f"{self._part}/{path}" for path in usable), self._whole),
            *((key_hashes(usable), below) for below in self._below),
            *((key_hashes(_without_folders(usable, depth)), self._whole) for depth in range(1, 1 + MAX_FOLDERS)),
        ]
        empty = np.array([not path for path in usable], bool)
        for hashes, (keys, ids) in lookups:
            open_ = (found < 0) & ~empty
            if not len(keys) or not open_.any():
                continue
            at = np.minimum(np.searchsorted(keys, hashes), len(keys) - 1)
            hit = open_ & (keys[at] == hashes)
            found[hit] = ids[at[hit]]
        return found


def read_members(work: Path, name: str) -> pa.Table:
    """Read one part's indexed members."""
    with pa.memory_map(str(work / f"members/{name}.arrow")) as source:
        return pa.ipc.open_file(source).read_all()


def _without_folders(paths: list[str], depth: int) -> list[str]:
    return [path.split("/", depth)[-1] for path in paths]


def _unambiguous(names: Iterable[str], ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted hashes of the names that stand once, and their ids."""
    keys, index, counts = np.unique(key_hashes(names), return_index=True, return_counts=True)
    return keys[counts == 1], ids[index[counts == 1]]


def _files(part: VideoPart) -> tuple[SourceFile, ...]:
    return tuple(SourceFile(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256) for file in part.files)
