"""What chains have found, kept in a file so that a later run goes on where this one was stopped, however it was.

    byte   0                16            48
    file   ├ magic, version ┼ identity ───┼ frame ┼ frame ┼ frame ┼ torn frame
    frame  ├ length (u32) ┼ CRC-32 (u32) ┼ zlib of runs: chain (u32), length (u32), packed groups ···

Frames are only appended, each written and synced before the next. A frame that is cut or damaged ends the log: it and what
follows are dropped, and walked again.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING

from opens2v_data.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opens2v_data.archive.parts import Part

_MAGIC = b"opens2v-chains" + (1).to_bytes(2, "little")
_FRAME = Struct("<II")
_RUN = Struct("<II")


class ChainLog:
    """Groups of chains in a file, which one process at a time may have open.

    Args:
        path: made if it is not there.
        part: whose chains they are.
        origin: which upload the part is of, e.g. the store's address with its commit.

    Raises:
        ArchiveError: the file is of another upload or no log, another process has it open, or the disk refuses.
    """

    def __init__(self, path: Path, part: Part, *, origin: str) -> None:
        self.path = path
        self._known: list[tuple[int, bytes]] = []
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise ArchiveError(f"log {path} cannot be opened: {error}; check the folder and its permissions") from error
        try:
            self._load(part, _MAGIC + identity(part, origin=origin))
        except OSError as error:
            os.close(self._file)
            raise ArchiveError(f"log {path} cannot be used: {error}; check the disk") from error
        except BaseException:
            os.close(self._file)
            raise

    def _load(self, part: Part, header: bytes) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(f"log {self.path}: another process is indexing with it; wait for it to end") from None
        size = os.fstat(self._file).st_size
        data = memoryview(b"".join(iter(lambda: os.read(self._file, 1 << 24), b"")))
        found = bytes(data[: len(header)])
        if found != header[: len(found)]:
            if found[: len(_MAGIC)] != _MAGIC[: len(found)]:
                raise ArchiveError(f"log {self.path}: expected what an earlier run kept, found a file of {size} bytes")
            raise ArchiveError(
                f"log {self.path} was kept for another upload than part {part.name} with its {len(part.pieces)} pieces "
                f"of {part.size_bytes} bytes; index the upload it is of, or remove the log and start anew"
            )
        good = 0 if len(found) < len(header) else len(header)
        if good:
            for end, payload in _frames(data, good):
                self._known += _runs(payload)
                good = end
        os.ftruncate(self._file, good)
        os.lseek(self._file, good, os.SEEK_SET)
        if not good:
            self._write(header)

    def take(self) -> list[tuple[int, bytes]]:
        """Return what earlier runs kept, once: chain numbers and packed groups, in the order they were found."""
        known, self._known = self._known, []
        return known

    def append(self, runs: Sequence[tuple[int, bytes]]) -> None:
        """Keep more groups; they are on the disk when this returns.

        Raises:
            ArchiveError: the disk refuses.
        """
        payload = zlib.compress(b"".join(_RUN.pack(number, len(packed)) + packed for number, packed in runs), 1)
        try:
            self._write(_FRAME.pack(len(payload), zlib.crc32(payload)) + payload)
        except OSError as error:
            raise ArchiveError(f"log {self.path} cannot be written: {error}; make room, and run again") from error

    def close(self) -> None:
        """Let other processes have the log."""
        os.close(self._file)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        os.fsync(self._file)


def identity(part: Part, *, origin: str) -> bytes:
    """Return 32 bytes that differ for other pieces, sizes or uploads."""
    lines = [origin, part.name, *(f"{piece.size_bytes} {piece.path}" for piece in part.pieces)]
    return sha256("\0".join(lines).encode(errors="backslashreplace")).digest()


def _frames(data: memoryview, position: int) -> Iterator[tuple[int, bytes]]:
    """Give the end and the content of each frame, as far as they are whole."""
    while position + _FRAME.size <= len(data):
        length, checksum = _FRAME.unpack_from(data, position)
        end = position + _FRAME.size + length
        payload = data[position + _FRAME.size : end]
        # Zeros, which a file system may leave after a crash, are an empty frame with the right checksum.
        if not length or end > len(data) or zlib.crc32(payload) != checksum:
            return
        yield end, zlib.decompress(payload)
        position = end


def _runs(payload: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(payload):
        number, length = _RUN.unpack_from(payload, position)
        position += _RUN.size + length
        yield number, payload[position - length : position]
