"""Repositories: each commit is a snapshot of paths; the bytes stay in the files they came from."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

USER = "tester"
# Every repository that the Hub creates starts with this file (shortened).
GIT_ATTRIBUTES = b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.tar filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of a commit.

    Args:
        source: where its bytes lie.
        size_bytes: its size.
        sha256: of its bytes, or of its name, size and mtime where contents are not hashed.
        blob_id: what git calls it: the SHA-1 of the file, or of the pointer where it is stored by LFS.
        is_lfs: whether it is stored by LFS, behind the second host.
        stamp: what changes when the file does (size and mtime, or the SHA-256 of an upload).
    """

    source: Path
    size_bytes: int
    sha256: str
    blob_id: str
    is_lfs: bool
    stamp: str

    @property
    def etag(self) -> str:
        """What ETag says of it: the SHA-256 of an LFS file, the blob id of another."""
        return self.sha256 if self.is_lfs else self.blob_id

    @property
    def key(self) -> str:
        """Name of the object on the second host."""
        return hashlib.sha1(f"{self.source}\n{self.stamp}".encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A snapshot: all files by path."""

    sha: str
    title: str
    date: str
    files: dict[str, File]
    _listings: dict[tuple[str, bool], list[dict[str, Any]]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def folders(self) -> frozenset[str]:
        """Paths of all folders, the root (an empty path) included."""
        found = {""}
        for path in self.files:
            while "/" in path:
                path = path.rpartition("/")[0]
                if path in found:
                    break
                found.add(path)
        return frozenset(found)

    def entry(self, path: str) -> dict[str, Any] | None:
        """Return what the API says of a path, or None if nothing lies there."""
        if path in self.folders and path:
            return {"type": "directory", "oid": _folder_id(self.sha, path), "size": 0, "path": path}
        file = self.files.get(path)
        if file is None:
            return None
        entry: dict[str, Any] = {"type": "file", "oid": file.blob_id, "size": file.size_bytes, "path": path}
        if file.is_lfs:
            entry["lfs"] = {
                "oid": file.sha256,
                "size": file.size_bytes,
                "pointerSize": len(_pointer(file.sha256, file.size_bytes)),
            }
        return entry

    def listing(self, folder: str, *, recursive: bool) -> list[dict[str, Any]]:
        """Return the entries of a folder, by path."""
        if (folder, recursive) not in self._listings:
            prefix = f"{folder}/" if folder else ""
            paths = [
                path
                for path in (*self.files, *self.folders)
                if path and path.startswith(prefix) and (recursive or "/" not in path[len(prefix) :])
            ]
            self._listings[folder, recursive] = [entry for path in sorted(paths) if (entry := self.entry(path))]
        return self._listings[folder, recursive]


class Repo:
    """A dataset repository with all its commits and one branch.

    Args:
        repo_id: "owner/name".
        private: whether the token is needed to see it.
    """

    def __init__(self, repo_id: str, *, private: bool) -> None:
        self.repo_id = repo_id
        self.private = private
        self.commits: dict[str, Commit] = {}
        self.head = ""

    def commit(self, files: dict[str, File], *, title: str) -> Commit:
        """Make `main` a snapshot of the files given."""
        digest = hashlib.sha1(f"{self.repo_id}\n{self.head}\n".encode(), usedforsecurity=False)
        for path in sorted(files):
            digest.update(f"{path}\n{files[path].stamp}\n".encode())
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        made = Commit(sha=digest.hexdigest(), title=title, date=date, files=files)
        self.commits[made.sha] = made
        self.head = made.sha
        return made

    def at(self, revision: str) -> Commit | None:
        """Return the commit of a revision: `main` or the whole commit hash."""
        return self.commits.get(self.head if revision in ("main", "refs/heads/main") else revision)


def scan(folder: Path, *, lfs_threshold_bytes: int, hash_contents: bool, known: dict[str, File]) -> dict[str, File]:
    """Return the files below a folder, as a commit would hold them.

    Args:
        folder: what to scan; links are followed.
        lfs_threshold_bytes: files of this size or more are stored by LFS.
        hash_contents: read every file for its hashes; else LFS files get a SHA-256 of name, size and mtime.
        known: files by stamp and source, hashed before; filled.

    Raises:
        ValueError: it is not a folder.
    """
    if not folder.is_dir():
        raise ValueError(f"expected a folder at {folder}, found none")
    files = {}
    for path in sorted(_walk(folder)):
        status = path.stat()
        stamp = f"{status.st_size}/{status.st_mtime_ns}/{hash_contents}/{lfs_threshold_bytes}"
        name = path.relative_to(folder).as_posix()
        if f"{path}/{stamp}" not in known:
            is_lfs = status.st_size >= lfs_threshold_bytes
            sha256 = None if hash_contents or not is_lfs else _sha256(f"{name}\n{stamp}".encode())
            known[f"{path}/{stamp}"] = make_file(path, status.st_size, is_lfs=is_lfs, sha256=sha256, stamp=stamp)
        files[name] = known[f"{path}/{stamp}"]
    return files


def make_file(source: Path, size_bytes: int, *, is_lfs: bool, sha256: str | None = None, stamp: str = "") -> File:
    """Return the file of a commit, hashing what is on disk unless its SHA-256 is given."""
    if is_lfs:
        if sha256 is None:
            with source.open("rb") as stream:
                sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        blob_id = git_blob_id(_pointer(sha256, size_bytes))
    else:
        data = source.read_bytes()
        sha256, blob_id = _sha256(data), git_blob_id(data)
    return File(
        source=source, size_bytes=size_bytes, sha256=sha256, blob_id=blob_id, is_lfs=is_lfs, stamp=stamp or sha256
    )


def git_blob_id(data: bytes) -> str:
    """Return what git calls a blob of these bytes."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _walk(folder: Path) -> Iterable[Path]:
    for root, _, names in os.walk(folder, followlinks=True):
        for name in names:
            yield Path(root, name)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _pointer(sha256: str, size_bytes: int) -> bytes:
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n".encode()


def _folder_id(sha: str, path: str) -> str:
    return hashlib.sha1(f"{sha}/{path}".encode(), usedforsecurity=False).hexdigest()
