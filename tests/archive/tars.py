"""Tars for the tests: written by `tarfile`, or header by header where `tarfile` would not write such bytes."""

from __future__ import annotations

import io
import tarfile
from itertools import pairwise
from typing import TYPE_CHECKING

from opens2v_data.archive import MemoryStore, Part, Piece

if TYPE_CHECKING:
    from collections.abc import Iterable

MP4_START = b"\0\0\0\x18ftypisom\0\0\2\0"
END_MARKER = bytes(1024)


def written_by_tarfile(
    files: Iterable[tuple[str, bytes]], *, format: int = tarfile.GNU_FORMAT, pax_headers: dict[str, str] | None = None
) -> bytes:
    """Return a tar of the files; one whose name USTAR cannot hold is left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format, encoding="utf-8", pax_headers=pax_headers) as tar:
        for name, payload in files:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            try:
                tar.addfile(info, io.BytesIO(payload))
            except ValueError:
                assert format == tarfile.USTAR_FORMAT
    return buffer.getvalue()


def header(
    name: bytes,
    size: int | bytes,
    *,
    typeflag: bytes = b"0",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    is_signed_sum: bool = False,
) -> bytes:
    """Return one header block; a size given as bytes is the 12-byte field itself."""
    block = bytearray(512)
    block[0 : len(name)] = name
    block[124:136] = b"%011o\0" % size if isinstance(size, int) else size
    block[148:156] = b" " * 8
    block[156:157] = typeflag
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix
    checksum = sum(byte - 256 if is_signed_sum and byte > 127 else byte for byte in block)
    block[148:156] = b"%06o\0 " % checksum
    return bytes(block)


def base256(size_bytes: int) -> bytes:
    """Return a size field as GNU writes sizes from 8 GiB on."""
    return b"\x80" + size_bytes.to_bytes(11, "big")


def padded(payload: bytes) -> bytes:
    """Return the payload filled with zeros to whole blocks."""
    return payload + bytes(-len(payload) % 512)


def pax_record(key: bytes, value: bytes) -> bytes:
    """Return one `<length> <key>=<value>` record, whose length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest) + 1
    while len(b"%d" % length) + len(rest) != length:
        length += 1
    return b"%d" % length + rest


def extension(typeflag: bytes, payload: bytes) -> bytes:
    """Return an L, K, x or g element."""
    return header(b"././@Extension", len(payload), typeflag=typeflag) + padded(payload)


def cut(tar: bytes, cuts: Iterable[int] = (), *, name: str = "total_part1") -> tuple[MemoryStore, Part]:
    """Cut a tar at the given offsets (taken into its length) and return a store and the part."""
    borders = [0, *sorted({at % (len(tar) + 1) for at in cuts} - {0, len(tar)}), len(tar)]
    pieces = {
        f"Videos/{name}/{name}.tar.split.{number:03d}": tar[start:end]
        for number, (start, end) in enumerate(pairwise(borders))
    }
    part = Part(
        name=name,
        layout="split-tar",
        pieces=tuple(Piece(path=path, size_bytes=len(data)) for path, data in pieces.items()),
    )
    return MemoryStore(pieces), part
