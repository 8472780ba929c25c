"""The few questions a release is asked: which files are there, how long are they, which bytes lie where.

`LocalFiles` answers for a folder; the Hub answers through the same Protocol.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

from opens2v_data.errors import ReleaseError

MAX_OPEN_FILES = 16
"""Files are read one after another; a release has one file of pairs per cluster, more than a process may open."""


@dataclass(frozen=True, kw_only=True, order=True)
class FileEntry:
    """A file of the release.

    Attributes:
        path: below the release, with `/`.
        size_bytes: its length.
        sha256: of its bytes, where whoever keeps them says so (the Hub does of large files).
    """

    path: str
    size_bytes: int
    sha256: str | None = None


class ReleaseFiles(Protocol):
    """What reading a release needs of wherever it lies."""

    uri: str

    def walk(self, prefix: str) -> Iterator[FileEntry]:
        """Give all files below `prefix` in path order; nothing when the folder is absent."""
        ...

    def size(self, path: str) -> int:
        """Return a file's length in bytes."""
        ...

    def readinto(self, path: str, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; return how many bytes came, less than asked only at the end of the file."""
        ...

    def read(self, path: str) -> bytes:
        """Return a whole, small file."""
        ...


def checked_path(path: str) -> str:
    """Return `path` if it stays below the release.

    Raises:
        ReleaseError: absolute, or with a `..` in it.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\0" in path:
        raise ReleaseError(f"expected a path below the release, found {path!r}")
    return path


def readable(name: str | os.PathLike[str]) -> str:
    """Return a name on this machine as text that can be printed, `\\xff` for a byte that is no UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_text(name: str | os.PathLike[str]) -> bool:
    """Say whether a name on this machine is UTF-8, as it must be to stand in JSON, in parquet or in SQL."""
    return readable(name) == os.fspath(name)


def checked_text(name: PurePath) -> str:
    """Return a path with `/` if it is UTF-8.

    Raises:
        ReleaseError: it is not.
    """
    if not is_text(name):
        raise ReleaseError(
            f"expected the names of a release's folder and files in UTF-8, found {readable(name)}; rename it"
        )
    return name.as_posix()


class LocalFiles:
    """A release in a local folder."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self._descriptors: dict[str, int] = {}
        self.root = Path(root).expanduser().resolve()
        self.uri = checked_text(self.root)
        if not self.root.is_dir():
            raise ReleaseError(
                f"expected the folder of a release, found {'a file' if self.root.exists() else 'nothing'} at {self.root}; "
                "give the folder that holds Jsons/ and Videos/, or make a small one: opens2v demo-release ./release"
            )

    def walk(self, prefix: str) -> Iterator[FileEntry]:
        base = self.root / checked_path(prefix)
        if not base.is_dir():
            return
        for folder, folders, names in os.walk(base, followlinks=True):
            folders.sort()
            for name in sorted(names):
                full = Path(folder) / name
                try:
                    size_bytes = full.stat().st_size
                except FileNotFoundError:
                    continue  # a link to nothing, as a download cut short leaves in the Hub's cache
                yield FileEntry(path=checked_text(full.relative_to(self.root)), size_bytes=size_bytes)

    def size(self, path: str) -> int:
        return os.fstat(self._descriptor(path)).st_size

    def readinto(self, path: str, offset: int, buffer: memoryview) -> int:
        descriptor = self._descriptor(path)
        done = 0
        while done < len(buffer):
            count = os.preadv(descriptor, [buffer[done:]], offset + done)
            if count == 0:
                break
            done += count
        return done

    def read(self, path: str) -> bytes:
        return (self.root / checked_path(path)).read_bytes()

    def close(self) -> None:
        """Close what is open; a later read opens again."""
        while self._descriptors:
            os.close(self._descriptors.popitem()[1])

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[LocalFiles], tuple[str]]:
        return type(self), (str(self.root),)

    def _descriptor(self, path: str) -> int:
        if path not in self._descriptors:
            while len(self._descriptors) >= MAX_OPEN_FILES:
                os.close(self._descriptors.pop(next(iter(self._descriptors))))
            try:
                self._descriptors[path] = os.open(self.root / checked_path(path), os.O_RDONLY)
            except FileNotFoundError as error:
                raise ReleaseError(f"expected {path} in the release at {self.root}, found nothing") from error
        return self._descriptors[path]
