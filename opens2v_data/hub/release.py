"""A release as it lies on the Hub: its file tree by API, its JSON by ranges read ahead of the parser."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opens2v_data.archive.addresses import is_remote
from opens2v_data.archive.daemons import start as start_thread
from opens2v_data.archive.opening import open_store
from opens2v_data.errors import ArchiveError, ReleaseError
from opens2v_data.release.files import FileEntry, checked_path
from opens2v_data.release.layout import Release
from opens2v_data.waiting import result_of

if TYPE_CHECKING:
    from opens2v_data.archive.remote import HubStore

BLOCK_BYTES = 4 << 20
"""Read-ahead of files read from start to end."""

BLOCKS_AHEAD = 4
"""Blocks under way: what a unit of 512 MB reads too much at its end is at most 3% of it."""


class HubFiles:
    """The files of a dataset repository at one commit; what `LocalFiles` is for a folder.

    A second read that goes on where the first ended starts reading ahead; other reads get just their bytes. It can be pickled to
    worker processes.

    Args:
        store: the repository.
    """

    def __init__(self, store: HubStore) -> None:
        self.store = store
        self.uri = store.uri
        self._trees: dict[str, list[FileEntry]] = {}
        self._sizes: dict[str, int] = {}
        self._streams: dict[str, _Stream] = {}

    def __repr__(self) -> str:
        return f"HubFiles({self.uri!r})"

    def __reduce__(self) -> tuple[type[HubFiles], tuple[HubStore]]:
        return type(self), (self.store,)

    def walk(self, prefix: str) -> Iterator[FileEntry]:
        """Give all files below `prefix` in path order, with their hashes; asked of the Hub once."""
        if prefix not in self._trees:
            found = [
                FileEntry(path=file.path, size_bytes=file.size_bytes, sha256=file.sha256)
                for file in self.store.walk(checked_path(prefix))
            ]
            self._trees[prefix] = found
            self._sizes.update((file.path, file.size_bytes) for file in found)
        yield from self._trees[prefix]

    def size(self, path: str) -> int:
        """Return a file's length in bytes."""
        if path not in self._sizes:
            with _as_release_errors():
                self._sizes[path] = self.store.size(checked_path(path))
        return self._sizes[path]

    def readinto(self, path: str, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset`; return how many bytes came, less than asked only at the end of the file."""
        length = min(len(buffer), max(0, self.size(path) - offset))
        if not length:
            return 0
        stream = self._streams.get(path)
        with _as_release_errors():
            if stream is not None and stream.position == offset:
                try:
                    stream.readinto(buffer[:length])
                except ArchiveError:
                    # A block that failed would fail for ever.
                    self._streams.pop(path).close()
                    raise
            else:
                if stream is not None:
                    stream.close()
                buffer[:length] = self.store.read_range(path, offset, length)
                self._streams[path] = _Stream(self.store, path, offset + length, self.size(path))
        return length

    def read(self, path: str) -> bytes:
        """Return a whole, small file."""
        with _as_release_errors():
            return self.store.read_range(checked_path(path), 0, self.size(path))

    def close(self) -> None:
        """Forget what was read ahead; the files can still be read."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()


class _Stream:
    """One file read on from a position: blocks of it come while the ones before are parsed."""

    def __init__(self, store: HubStore, path: str, position: int, size_bytes: int) -> None:
        self.position = position
        self._store, self._path = store, path
        self._size_bytes = size_bytes
        self._next = position
        self._blocks: list[tuple[int, Future[bytes]]] = []

    def readinto(self, buffer: memoryview) -> None:
        done = 0
        while done < len(buffer):
            while len(self._blocks) < BLOCKS_AHEAD and self._next < self._size_bytes:
                length = min(BLOCK_BYTES, self._size_bytes - self._next)
                self._blocks.append((self._next, self._fetch(self._next, length)))
                self._next += length
            start, block = self._blocks[0]
            data = memoryview(result_of(block))[self.position - start :]
            count = min(len(data), len(buffer) - done)
            buffer[done : done + count] = data[:count]
            done += count
            self.position += count
            if count == len(data):
                self._blocks.pop(0)

    def close(self) -> None:
        self._blocks.clear()

    def _fetch(self, start: int, length: int) -> Future[bytes]:
        # A daemon: at Ctrl-C nobody waits for a server that asked for patience.
        return start_thread(self._store.read_range, self._path, start, length, name="opens2v-read-ahead")


@contextmanager
def _as_release_errors() -> Iterator[None]:
    """Say of a release what a store says of bytes."""
    try:
        yield
    except ArchiveError as error:
        raise ReleaseError(str(error)) from error


def open_release(uri: str) -> Release:
    """Open a release: a folder, or `hf://datasets/OWNER/NAME[@REVISION]`, which is pinned to its commit of now.

    Raises:
        ReleaseError: it is not laid out as expected.
        RemoteError: the Hub has no such repository or revision, or no access is given.
        ValueError: an address of another form.
    """
    if not is_remote(uri):
        return Release.open(uri)
    store = open_store(uri)
    if not hasattr(store, "walk"):
        raise ValueError(
            f"expected a folder or hf://datasets/OWNER/NAME[@REVISION], got {uri!r}: a plain server lists no files"
        )
    files = HubFiles(store)  # type: ignore[arg-type]
    return Release(files, revision=files.store.commit)
