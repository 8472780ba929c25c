"""GNU tars cut into pieces of an awkward size.

    joined tar   | dir | header | mp4 ............ |pad| L header | long name | header | mp4 ...... |
    pieces       |......000......|......001......|......002......|......003......|

No piece is a multiple of 512 bytes, so cuts fall into mp4s and, by choice of the size, into at least one header.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TAR_TIME = 1_748_217_600
"""2025-05-26 00:00 UTC, as the members of upstream's sample."""


@dataclass(frozen=True, kw_only=True)
class Tar:
    """A joined tar.

    Attributes:
        data: its bytes.
        offsets: of each file's first byte.
        headers: half-open byte ranges of everything that is neither file nor padding.
    """

    data: bytes = field(repr=False)
    offsets: dict[str, int]
    headers: tuple[tuple[int, int], ...] = field(repr=False)


def build_tar(files: Sequence[tuple[str, bytes]]) -> Tar:
    """Lay files out as GNU tar does when it is given folders: each folder before what lies in it."""
    data = bytearray()
    offsets: dict[str, int] = {}
    headers: list[tuple[int, int]] = []
    folders: set[str] = set()

    def add(info: tarfile.TarInfo) -> None:
        info.mtime = TAR_TIME
        header = info.tobuf(tarfile.GNU_FORMAT)
        headers.append((len(data), len(data) + len(header)))
        data.extend(header)

    for name, content in files:
        steps = name.split("/")[:-1]
        for depth in range(1, len(steps) + 1):
            folder = "/".join(steps[:depth])
            if folder not in folders:
                folders.add(folder)
                info = tarfile.TarInfo(f"{folder}/")
                info.type, info.mode = tarfile.DIRTYPE, 0o775
                add(info)
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o664
        add(info)
        offsets[name] = len(data)
        data.extend(content)
        data.extend(bytes(-len(content) % tarfile.BLOCKSIZE))
    data.extend(bytes(2 * tarfile.BLOCKSIZE))
    data.extend(bytes(-len(data) % tarfile.RECORDSIZE))
    return Tar(data=bytes(data), offsets=offsets, headers=tuple(headers))


def choose_piece_size(tar: Tar, *, at_least: int) -> int:
    """Find the first odd size from `at_least` on whose cuts hit a header, well inside.

    Raises:
        ValueError: no size below twice `at_least` does, so the tar is too short for it.
    """
    for size in range(at_least | 1, 2 * at_least, 2):
        cuts = range(size, len(tar.data), size)
        if any(start + 100 < cut < end - 100 for cut in cuts for start, end in tar.headers):
            return size
    raise ValueError(f"no piece size from {at_least} bytes on cuts a header of a tar of {len(tar.data)} bytes")


def write_pieces(tar: Tar, folder: Path, *, name: str, piece_size: int) -> None:
    """Write the pieces as `<name>.tar.split.000`, `.001`, …"""
    folder.mkdir(parents=True)
    for number, start in enumerate(range(0, len(tar.data), piece_size)):
        (folder / f"{name}.tar.split.{number:03d}").write_bytes(tar.data[start : start + piece_size])
