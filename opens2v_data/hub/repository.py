"""What a dataset repository on the Hub holds, and whether that is a catalog, or a file of this machine byte for byte."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from opens2v_data.catalog.manifest import FILE_NAME
from opens2v_data.catalog.schemas import TABLES

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_BLOB_OR_TABLE = re.compile(rf"masks/masks-\d+\.bin|({'|'.join(TABLES)})\.parquet")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """A repository as it is; `manifest` is None where none is a catalog's.

    A branch that is not there will be made from `main`, so `head` and `files` are then those of `main`.
    """

    is_there: bool
    has_branch: bool = False
    is_private: bool = False
    head: str | None = None
    files: dict[str, RepoFile] = field(default_factory=dict)
    manifest: OldManifest | None = None

    def has_own(self, path: str) -> bool:
        """Say whether a file there is the catalog's own, or was left by an upload of one that was given up."""
        return self.manifest is not None and (path in self.manifest.paths or _BLOB_OR_TABLE.fullmatch(path) is not None)


class _OldFile(msgspec.Struct, frozen=True):
    path: str


class OldManifest(msgspec.Struct, frozen=True):
    """What is read of a manifest that is there, of any version."""

    schema_version: int
    digest: str
    tables: dict[str, _OldFile]
    files: tuple[_OldFile, ...]

    @property
    def paths(self) -> set[str]:
        """All its files."""
        return {file.path for file in (*self.tables.values(), *self.files)}


@dataclass(frozen=True, kw_only=True)
class LocalFile:
    """A file here that is to be a repository's: `path` there, `local` here."""

    path: str
    local: Path
    size_bytes: int
    sha256: str


def look(api: HfApi, repo_id: str, branch: str, folder: Path) -> Repository:
    """Return what a repository holds; its manifest is fetched into `folder`."""
    try:
        info = api.repo_info(repo_id, repo_type="dataset")
    except RepositoryNotFoundError as error:
        # The Hub answers 401 for what is not there, and 403 for what is someone else's.
        if error.response.status_code not in (401, 404):
            raise
        return Repository(is_there=False)
    head, has_branch = info.sha, True
    if branch != "main":
        try:
            head = api.repo_info(repo_id, repo_type="dataset", revision=branch).sha
        except RevisionNotFoundError:
            has_branch = False
    entries = api.list_repo_tree(repo_id, repo_type="dataset", revision=head, recursive=True)
    files = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
    manifest = None
    if FILE_NAME in files:
        # Not into the user's cache: it is read once.
        path = api.hf_hub_download(repo_id, FILE_NAME, repo_type="dataset", revision=head, local_dir=folder)
        try:
            manifest = msgspec.json.decode(Path(path).read_bytes(), type=OldManifest)
        except msgspec.MsgspecError:
            manifest = None
    return Repository(
        is_there=True,
        has_branch=has_branch,
        is_private=bool(info.private),
        head=head,
        files=files,
        manifest=manifest,
    )


def hashed(name: str, path: Path) -> LocalFile:
    """Return a file that has just been made, with its checksum."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return LocalFile(path=name, local=path, size_bytes=path.stat().st_size, sha256=sha256)


def is_same(file: LocalFile, there: RepoFile) -> bool:
    """Say whether the Hub has a file byte for byte, by the checksum it lists: SHA-256, or git's for small text files."""
    if there.size != file.size_bytes:
        return False
    if there.lfs is not None:
        return there.lfs.sha256 == file.sha256
    digest = hashlib.sha1(f"blob {file.size_bytes}\0".encode(), usedforsecurity=False)
    with file.local.open("rb") as source:
        while data := source.read(8 << 20):
            digest.update(data)
    return there.blob_id == digest.hexdigest()
