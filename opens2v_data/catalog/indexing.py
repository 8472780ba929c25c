"""The index of a release's videos alone: which bytes of which tar are which clip, without any annotation.

A maintainer makes it once; an ingest of the same release into the same folder takes it over.

<catalog>/.ingest/members/…   one index per part, complete once its .json is there; chains under way beside it
          members.parquet     all of them, once there are all; commit, pieces, sizes and hashes in its metadata
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from opens2v_data.archive.chains import ChainOptions
from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.assemble import write_members
from opens2v_data.catalog.locks import BusyError, locked
from opens2v_data.catalog.manifest import WORK_FOLDER, SourcePart, sync_folder
from opens2v_data.catalog.members import IndexedPart, index_release_part, load_part
from opens2v_data.catalog.schemas import MEMBERS
from opens2v_data.errors import CatalogError, IngestError
from opens2v_data.release.layout import Release

METADATA_KEY = b"opens2v.source"
"""In the metadata of members.parquet: JSON of release, commit and parts with the sizes and hashes of their pieces."""

Progress = Callable[[str, int, int], None]
"""Called with a part's name, bytes passed and bytes in all."""


class IndexSource(msgspec.Struct, frozen=True, kw_only=True):
    """What an index is of."""

    uri: str
    revision: str | None
    parts: tuple[SourcePart, ...]


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """What indexing did.

    Attributes:
        path: members.parquet; None while parts of other shares are missing.
        parts: all parts that are indexed.
        num_parts: parts in all.
        num_done_before: parts found indexed from an earlier run.
        was_complete: the folder has the finished catalog of these very files.
    """

    path: Path | None
    parts: tuple[SourcePart, ...]
    num_parts: int
    num_done_before: int
    was_complete: bool = False

    @property
    def num_members(self) -> int:
        """Members listed in the parts indexed so far."""
        return sum(part.num_members for part in self.parts)


def index_release(
    release: Release,
    root: Path,
    *,
    shard: tuple[int, int] | None = None,
    chains: ChainOptions | None = None,
    progress: Progress | None = None,
) -> IndexResult:
    """Index all parts of a release, or a share of them; what an earlier run found is kept.

    Args:
        release: a folder, or a repository at its commit.
        root: folder of the catalog to be; made if absent.
        shard: (i, n): only every n-th part, starting with the i-th (0 ≤ i < n).
        chains: how many places of a tar to walk from at once, where it is on a server.
        progress: called often.

    Raises:
        ReleaseError: there are no videos.
        IngestError: another process is at it, or the folder holds something else.
        ArchiveError: bytes could not be read; what is done is kept.
    """
    parts = release.video_parts()
    if not parts:
        raise IngestError(f"expected videos below {release.files.uri}/Videos, found none")
    done = _finished_catalog(root, release)
    if done is not None:
        return IndexResult(
            path=root / done.tables["members"].path,
            parts=done.source.parts,
            num_parts=len(parts),
            num_done_before=len(parts),
            was_complete=True,
        )
    work = root / WORK_FOLDER
    if root.is_dir() and not work.is_dir() and any(root.iterdir()):
        raise IngestError(
            f"expected an absent or empty folder, or the catalog of this release, at {root}, found other files"
        )
    work.mkdir(parents=True, exist_ok=True)
    index, count = shard or (0, 1)
    with locked(work, shard):
        num_done_before = sum(load_part(work, part) is not None for part in parts)
        for part in list(parts)[index::count]:
            if load_part(work, part) is None:
                report = None if progress is None else _reporter(progress, part.name)
                index_release_part(work, part, release.files, report, chains=chains)
        indexed = [found for part in parts if (found := load_part(work, part)) is not None]
        path: Path | None = None
        if len(indexed) == len(parts):
            try:
                with nullcontext() if shard is None else locked(work, None):
                    path = _write(work, root, release, indexed)
            except BusyError:
                pass  # another share is writing the same
    return IndexResult(
        path=path,
        parts=tuple(part.source for part in indexed),
        num_parts=len(parts),
        num_done_before=num_done_before,
    )


def read_index_source(path: Path) -> IndexSource:
    """Return what a members.parquet is of.

    Raises:
        CatalogError: it was not written by `index_release`.
    """
    found = (pq.read_schema(path).metadata or {}).get(METADATA_KEY)
    if found is None:
        raise CatalogError(
            f"expected an index written by `opens2v index` at {path}, found a table that does not say of what"
        )
    return msgspec.json.decode(found, type=IndexSource)


def _finished_catalog(root: Path, release: Release) -> manifests.Manifest | None:
    try:
        manifest = manifests.load(root)
    except CatalogError:
        return None
    pieces = {part.name: [(file.path, file.size_bytes) for file in part.files] for part in release.video_parts()}
    known = {part.name: [(file.path, file.size_bytes) for file in part.pieces] for part in manifest.source.parts}
    if pieces == known and manifest.source.revision == release.revision:
        return manifest
    raise IngestError(
        f"{root} has the catalog of {manifest.source.uri}, whose videos are others than those of {release.files.uri}; index into "
        "another folder, or make the catalog anew with opens2v ingest --force"
    )


def _write(work: Path, root: Path, release: Release, indexed: Sequence[IndexedPart]) -> Path:
    source = IndexSource(uri=release.files.uri, revision=release.revision, parts=tuple(part.source for part in indexed))
    schema = MEMBERS.arrow.with_metadata({**(MEMBERS.arrow.metadata or {}), METADATA_KEY: msgspec.json.encode(source)})
    folder = work / "index"
    folder.mkdir(exist_ok=True)
    write_members(work, folder, indexed, schema=schema)
    path = root / f"{MEMBERS.name}.parquet"
    (folder / path.name).replace(path)
    folder.rmdir()
    sync_folder(root)
    return path


def _reporter(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(name, done, total)
