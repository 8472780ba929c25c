"""A release's file in memory, for tests of what reads it."""

from __future__ import annotations

from collections.abc import Iterator

from opens2v_data.release.files import FileEntry


class MemoryFiles:
    """Files as a dict; answers what `ReleaseFiles` asks."""

    uri = "memory"

    def __init__(self, **contents: bytes) -> None:
        self.contents = contents
        self.max_read_bytes = 0

    def walk(self, prefix: str) -> Iterator[FileEntry]:
        for path, data in sorted(self.contents.items()):
            if path.startswith(prefix):
                yield FileEntry(path=path, size_bytes=len(data))

    def size(self, path: str) -> int:
        return len(self.contents[path])

    def readinto(self, path: str, offset: int, buffer: memoryview) -> int:
        data = self.contents[path][offset : offset + len(buffer)]
        buffer[: len(data)] = data
        self.max_read_bytes = max(self.max_read_bytes, len(data))
        return len(data)

    def read(self, path: str) -> bytes:
        return self.contents[path]
