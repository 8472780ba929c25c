"""Where bytes come from: files by path and byte range, on a disk or in memory."""

from __future__ import annotations

import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from opens2v_data.archive.forked import forget_after_fork
from opens2v_data.archive.names import name_fault
from opens2v_data.errors import ArchiveError, MissingPieceError, ShortReadError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


Buffer = bytes | memoryview


class Store(Protocol):
    """Files that can be read by byte range; safe to call from several threads.

    Paths are relative to the release, with `/` between components, and never hold `..`.
    """

    def size(self, path: str) -> int:
        """Return the file's size in bytes.

        Raises:
            MissingPieceError: there is no such file.
        """
        ...

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from byte `start` on.

        Raises:
            MissingPieceError: there is no such file.
            ShortReadError: the file ends before the range does.
        """
        ...

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several `(start, length)` ranges, in the order given."""
        ...


@runtime_checkable
class BufferStore(Store, Protocol):
    """A store that can also give what it read without copying it into `bytes`."""

    def read_buffer(self, path: str, start: int, length: int) -> Buffer:
        """Return what `read_range` does, perhaps as a `memoryview`."""
        ...


class LocalStore:
    """A release in a local folder, read with `pread` on a few descriptors that stay open.

    Symlinks are followed (the Hub's cache is made of them); absolute paths and `..` are refused. It can be pickled to
    worker processes; each opens descriptors of its own.

    Args:
        root: the release's folder.
        max_open_files: how many descriptors to keep; the one unused for longest is closed first.
    """

    def __init__(self, root: str | os.PathLike[str], *, max_open_files: int = 64) -> None:
        if max_open_files < 1:
            raise ValueError(f"max_open_files must be at least 1, got {max_open_files}")
        self.root = Path(root)
        self._max_open_files = max_open_files
        self._files: OrderedDict[str, _OpenFile] = OrderedDict()
        self._lock = threading.Lock()
        forget_after_fork(self)

    def __repr__(self) -> str:
        return f"LocalStore({str(self.root)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _new_local_store, (self.root, self._max_open_files)

    def size(self, path: str) -> int:
        """Return the file's size in bytes (of the very file that reads go to, even if the path was replaced)."""
        file = self._open(path)  # held while used: another thread may push it out of the cache
        return os.fstat(file.descriptor).st_size

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from byte `start` on."""
        check_range(start, length)
        file = self._open(path)
        chunks: list[bytes] = []
        missing = length
        while missing:  # Linux gives at most 2 GiB a call
            try:
                chunk = os.pread(file.descriptor, missing, start + length - missing)
            except OSError as error:
                raise ArchiveError(f"{self.root / path}, byte {start}: cannot be read: {error}") from error
            if not chunk:
                raise _short_read(str(self.root / path), start, length, length - missing)
            chunks.append(chunk)
            missing -= len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several `(start, length)` ranges, in the order given."""
        return [self.read_range(path, start, length) for start, length in ranges]

    def _after_fork(self) -> None:
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close all descriptors; the store can still be used and opens them again."""
        with self._lock:
            self._files.clear()

    def _open(self, path: str) -> _OpenFile:
        with self._lock:
            if file := self._files.get(path):
                self._files.move_to_end(path)
                return file
        check_name(path, self.root)
        file = _OpenFile(self.root / path)
        with self._lock:
            self._files[path] = file
            if len(self._files) > self._max_open_files:
                self._files.popitem(last=False)
        return file


class MemoryStore:
    """Files held in memory, which count what is read from them.

    Attributes:
        num_requests: ranges read so far.
        num_bytes: bytes given so far.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.num_requests = 0
        self.num_bytes = 0
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"MemoryStore({len(self.files)} files, {sum(map(len, self.files.values()))} bytes)"

    def size(self, path: str) -> int:
        """Return the file's size in bytes."""
        return len(self._file(path))

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from byte `start` on."""
        check_range(start, length)
        data = self._file(path)[start : start + length]
        if len(data) < length:
            raise _short_read(path, start, length, len(data))
        with self._lock:
            self.num_requests += 1
            self.num_bytes += length
        return data

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of several `(start, length)` ranges, in the order given."""
        return [self.read_range(path, start, length) for start, length in ranges]

    def _file(self, path: str) -> bytes:
        try:
            return self.files[path]
        except KeyError:
            raise MissingPieceError(f"{path} is not in this store of {len(self.files)} files; add it first") from None


class _OpenFile:
    """A descriptor that closes once nobody holds it: a thread that still reads keeps it from being closed."""

    def __init__(self, path: Path) -> None:
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not block
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingPieceError(
                f"{path} is not there; download it into that place, or give the folder that holds the whole release"
            ) from error
        except OSError as error:
            raise ArchiveError(f"{path} cannot be opened: {error}; check its permissions and the disk") from error
        if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
            raise MissingPieceError(f"{path} is not a file; move it away and download the file of that name")

    def __del__(self) -> None:
        if (descriptor := self.__dict__.pop("descriptor", None)) is not None:
            os.close(descriptor)


def _new_local_store(root: Path, max_open_files: int) -> LocalStore:
    return LocalStore(root, max_open_files=max_open_files)


def check_name(path: str, where: Path | str) -> None:
    if fault := name_fault(path):
        raise ArchiveError(f"path {path!r} is refused: {fault}; give a path below {where}")


def check_range(start: int, length: int) -> None:
    if start < 0 or length < 0:
        raise ValueError(f"start and length must not be negative, got start {start} and length {length}")


def _short_read(path: str, start: int, length: int, got: int) -> ShortReadError:
    return ShortReadError(
        f"{path}: expected {length} bytes from byte {start} on, found {got}; the file is cut short: download it again"
    )
