"""`manifest.json`: what the catalog is made of, from which files, and what became of every record."""

from __future__ import annotations

import hashlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from opens2v_data.archive.names import name_fault
from opens2v_data.catalog.schemas import SCHEMA_VERSION
from opens2v_data.errors import CatalogDamagedError, CatalogNotFoundError, CatalogVersionError, MissingPieceError

if TYPE_CHECKING:
    from opens2v_data.archive.stores import Store

FILE_NAME = "manifest.json"
QUARANTINE_FILE = "quarantine.jsonl"
WORK_FOLDER = ".ingest"
"""Units of an ingest under way, below the catalog; gone when it is done."""
ORIGIN_FILE = "origin.json"
"""Where a copy was made from, while it is not whole: see `opens2v_data.catalog.origin`."""


class RowGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One row group: `ranges` maps a filter column to its (minimum, maximum); a column of nulls has none."""

    rows: int
    ranges: dict[str, tuple[float | int, float | int]]


class CatalogFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file below the catalog; `rows` and `row_groups` are those of a table, 0 and () for other files."""

    path: str
    size_bytes: int
    sha256: str
    rows: int = 0
    row_groups: tuple[RowGroup, ...] = ()


class SourceFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the release; `sha256` where the Hub says it."""

    path: str
    size_bytes: int
    sha256: str | None = None


class SourceJson(msgspec.Struct, frozen=True, kw_only=True):
    """One annotation file and what became of it: `num_records` = `num_rows` + `num_quarantined`."""

    path: str
    part: str
    size_bytes: int
    num_records: int
    num_rows: int
    num_quarantined: int
    truncated_at: int | None = None


class SourcePart(msgspec.Struct, frozen=True, kw_only=True):
    """One part's videos.

    Attributes:
        pieces: in joining order; for layout "files" none, `folder` says where they lie.
        refused: members not listed, and why.
        skipped: how many elements of the tar were no files: directories, links.
        truncated_at: where the tar ends without its end marker, bytes: its last pieces are not there. None: it is whole.
        fault: why the tar could not be read to its end, for example since a piece in the middle is too short.
    """

    name: str
    layout: str
    folder: str
    pieces: tuple[SourceFile, ...]
    num_members: int
    refused: tuple[str, ...] = ()
    skipped: dict[str, int] = {}
    truncated_at: int | None = None
    fault: str | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The release that was read: `revision` is the commit, None for a local folder."""

    uri: str
    revision: str | None
    json_glob: str | None
    json_files: tuple[SourceJson, ...]
    parts: tuple[SourcePart, ...]
    other_files: tuple[SourceFile, ...]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Attributes:
        schema_version: see `schemas.SCHEMA_VERSION`.
        digest: SHA-256 over all files' paths and checksums; two catalogs with one digest hold the same.
        source: the release.
        tables: file per table.
        files: blob files and `quarantine.jsonl`.
        report: counts of what was met: quirks, quarantine reasons, links not found.
    """

    schema_version: int
    digest: str
    source: Source
    tables: dict[str, CatalogFile]
    files: tuple[CatalogFile, ...]
    report: dict[str, Any]


def digest_of(tables: dict[str, CatalogFile], files: tuple[CatalogFile, ...]) -> str:
    """Return the digest of a catalog's files."""
    digest = hashlib.sha256(f"opens2v catalog {SCHEMA_VERSION}\n".encode())
    for file in sorted([*tables.values(), *files], key=lambda file: file.path):
        digest.update(f"{file.path} {file.sha256}\n".encode())
    return digest.hexdigest()


def save(manifest: Manifest, root: Path) -> None:
    """Write the manifest; it appears whole or not at all."""
    write_atomically(root / FILE_NAME, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")


def load(root: Path) -> Manifest:
    """Read the manifest of the catalog at `root`.

    Raises:
        CatalogNotFoundError: no catalog there, or one whose ingest or copying did not finish.
        CatalogVersionError: written by another schema version.
        CatalogDamagedError: no manifest of ours.
    """
    path, quoted = root / FILE_NAME, shlex.quote(str(root))
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        if (root / WORK_FOLDER).is_dir():
            raise CatalogNotFoundError(
                f"the catalog at {root} is not finished; run the same `opens2v ingest RELEASE {quoted}` again and it continues"
            ) from error
        if (root / ORIGIN_FILE).is_file():
            raise CatalogNotFoundError(
                f"the copy at {root} is not finished; run the same `opens2v copy CATALOG {quoted}` again and it continues"
            ) from error
        if (root / "Jsons").is_dir() or (root / "Videos").is_dir():
            raise CatalogNotFoundError(
                f"expected a catalog at {root}, found a release; make its catalog with: opens2v ingest {quoted} ./opens2v-5m"
            ) from error
        raise CatalogNotFoundError(
            f"expected a catalog ({FILE_NAME}) at {root}, found {'none' if root.is_dir() else 'no folder'}; "
            f"make one with: opens2v ingest RELEASE {quoted}"
        ) from error
    return decode(data, str(root))


def load_remote(store: Store, uri: str) -> Manifest:
    """Read the manifest of the catalog in a store.

    Raises:
        CatalogNotFoundError: no catalog there.
        CatalogVersionError, CatalogDamagedError: as `load`.
        ArchiveError: it cannot be read.
    """
    try:
        data = store.read_range(FILE_NAME, 0, store.size(FILE_NAME))
    except MissingPieceError as error:
        raise CatalogNotFoundError(
            f"expected a catalog ({FILE_NAME}) at {uri}, found none; check the address, or put one there with: "
            "opens2v publish CATALOG OWNER/NAME"
        ) from error
    return decode(data, uri)


def decode(data: bytes, place: str) -> Manifest:
    """Return the manifest in a file's bytes; `place` says where the catalog lies.

    Raises:
        CatalogVersionError, CatalogDamagedError: as `load`.
    """
    try:
        version = msgspec.json.decode(data, type=dict[str, msgspec.Raw]).get("schema_version")
        if version is not None and bytes(version) != b"%d" % SCHEMA_VERSION:
            raise CatalogVersionError(
                f"expected a catalog of schema version {SCHEMA_VERSION} at {place}, found version {bytes(version).decode()}; "
                "make it anew with this version of opens2v ingest, or install the version that wrote it"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.MsgspecError as error:
        raise CatalogDamagedError(
            f"{place}/{FILE_NAME} is no manifest of a catalog: {error}; run opens2v ingest again"
        ) from error
    for file in (*manifest.tables.values(), *manifest.files):
        # It may be a stranger's: a copy writes files of these names.
        if fault := name_fault(file.path):
            raise CatalogDamagedError(f"{place}/{FILE_NAME} names a file {file.path!r}, which is refused: {fault}")
    return manifest


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it appears whole or not at all, also after a power cut."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def sync_file(path: Path) -> None:
    """Make a file's bytes last: what says that they are there must not come to disk before them."""
    sync_folder(path)


def sync_folder(path: Path) -> None:
    """Make renames in a folder last."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
