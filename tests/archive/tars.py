"""Tars for the tests: written by `tarfile`, or header by header where `tarfile` would not write such bytes."""

from __future__ import annotations

import io
import random
import tarfile
import threading
import time
from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from opens2v_data.archive import MemoryStore, Part, Piece

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
    checksum = sum(block) - (256 * sum(byte > 127 for byte in block) if is_signed_sum else 0)
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


def random_tar(rng: random.Random, *, depth: int = 0) -> bytes:
    """Return a tar made to mislead a walk that starts in its middle: every format, decoys of headers in its payloads.

    One to three tars one after another, each of a few groups written by `tarfile` or by hand, with zeros between.
    """
    tar = b""
    for _ in range(rng.choice([1, 1, 2, 3])):
        for _ in range(rng.randint(1, 4)):
            tar += _random_run(rng, depth)
            if rng.random() < 0.15:
                tar += bytes(512 * rng.choice([1, 2, 3, 30]))
        if rng.random() < 0.7:
            tar += END_MARKER
    tar += bytes(rng.choice([0, 0, 0, 1, 511, 512, 9000]))
    if len(tar) < 512:  # USTAR could hold none of the names, and `tarfile` opens nothing so short
        tar = END_MARKER
    return planted(tar, rng) if depth == 0 else tar


def planted(tar: bytes, rng: random.Random) -> bytes:
    """Write decoy headers over blocks of payloads, many of which lead from one to the next.

    tar     ├ header ┼ payload ··· ┤├ header ┼ payload ····· ┤├ header ┼ payload ┤
    decoys            ··├ decoy ────────────────┼ decoy ───────┤ a true header, another decoy, or nothing
    """
    with tarfile.open(fileobj=io.BytesIO(tar), mode="r:", ignore_zeros=True, encoding="utf-8") as opened:
        infos = [(info.offset, info.offset_data, info.size) for info in opened if info.isreg()]
    blocks = [at for _, start, size in infos for at in range(start, start + size - 511, 512)]
    if not blocks or rng.random() < 0.2:
        return tar
    made = bytearray(tar)
    headers = [start for start, _, _ in infos]
    for _ in range(rng.randint(1, 3)):
        chosen = sorted(rng.sample(blocks, min(len(blocks), rng.randint(1, 8))))
        last = rng.choice([*headers, len(tar), len(tar) + 5120, chosen[-1] + 512, 1 << 43])
        for at, following in pairwise([*chosen, max(last, chosen[-1] + 512)]):
            size = following - at - 512
            field = base256(size) if size >= 8 << 30 or rng.random() < 0.2 else size
            flag = rng.choice([b"0"] * 6 + [b"x", b"L", b"g", b"5", b"S", b"1"])
            made[at : at + 512] = header(b"decoy/%d.mp4" % at, field, typeflag=flag)
    return bytes(made)


def _random_run(rng: random.Random, depth: int) -> bytes:
    """Return a few members, without an end marker."""
    payloads = [_random_payload(rng, depth) for _ in range(rng.randint(1, 4))]
    if rng.random() < 0.5:
        format = rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
        files = [(_random_name(rng), payload) for payload in payloads]
        for_all = {"comment": "c" * rng.choice([5, 600])} if rng.random() < 0.2 else None
        written = written_by_tarfile(
            files, format=format, pax_headers=for_all if format == tarfile.PAX_FORMAT else None
        )
        with tarfile.open(fileobj=io.BytesIO(written), mode="r:", encoding="utf-8") as opened:
            ends = [info.offset_data + info.size for info in opened]
        return padded(written[: ends[-1]]) if ends else b""
    tar = b""
    for payload in payloads:
        name, size = _random_name(rng).encode()[:99].rstrip(b"/"), b"%d" % len(payload)
        kind = rng.choice(
            ["plain", "base256", "pax", "pax and long", "folder", "link", "old", "two before", "long pax"]
        )
        if kind == "plain":
            tar += header(name, len(payload), prefix=b"part_001" if rng.random() < 0.3 else b"") + padded(payload)
        elif kind == "base256":
            tar += header(name, base256(len(payload))) + padded(payload)
        elif kind == "pax":  # a walk from the file's own header goes astray
            wrong = rng.choice([0, 512, 700, 1 << 30])
            tar += extension(b"x", pax_record(b"size", size)) + header(name, wrong) + padded(payload)
        elif kind == "pax and long":
            tar += extension(b"x", pax_record(b"size", size) + pax_record(b"path", name + b".pax"))
            tar += (
                extension(b"L", b"n" * rng.choice([101, 511, 512, 513]) + b"\0") + header(b"own", 0) + padded(payload)
            )
        elif kind == "folder":
            tar += header(name, len(payload), typeflag=b"5")
        elif kind == "link":
            tar += extension(b"K", b"target\0") + header(name, len(payload), typeflag=b"2")
        elif kind == "old":
            tar += header(name, len(payload), typeflag=b"\0", magic=b"ustar  \0") + padded(payload)
        elif kind == "two before":
            tar += extension(b"K", b"target\0") + extension(b"L", b"long" * 30 + b"\0")
            tar += header(name, len(payload)) + padded(payload)
        else:
            tar += extension(b"x", pax_record(b"comment", b"c" * 3000)) + header(name, len(payload)) + padded(payload)
    return tar


def _random_payload(rng: random.Random, depth: int) -> bytes:
    kind = rng.choice(["mp4", "mp4", "mp4", "small", "aligned", "tar"])
    if kind == "tar" and depth == 0:
        return random_tar(rng, depth=1)
    if kind == "small":
        return _noise(rng).randbytes(rng.randint(0, 20))
    if kind == "aligned":
        return MP4_START + _noise(rng).randbytes(512 * rng.randint(1, 8) - len(MP4_START))
    return MP4_START + _noise(rng).randbytes(rng.randint(0, 12_000))


def _random_name(rng: random.Random) -> str:
    name = "/".join(rng.choice(["part_001", "vid", "é中", "x" * 60, ".", "a b"]) for _ in range(rng.randint(0, 3)))
    length = rng.choice([1, 5, 20, 80, 100, 101, 140, 260])
    name += "/" * bool(name) + "".join(_noise(rng).choices("abcxyz09_-é", k=length)) + ".mp4"
    return rng.choice(["../", "/"]) + name if rng.random() < 0.03 else name


def _noise(rng: random.Random) -> random.Random:
    """Return what gives many bytes for one draw: Hypothesis draws 8 KiB at most for an example, and can shrink no noise."""
    return random.Random(rng.getrandbits(32))


def random_cuts(rng: random.Random, tar: bytes) -> list[int]:
    """Return where to cut a tar: anywhere, in and around headers, and into pieces of one byte."""
    cuts = [rng.randrange(len(tar) + 1) for _ in range(rng.randint(0, 6))]
    magics = [at - 257 for at in _all(tar, b"ustar")]
    for _ in range(rng.randint(0, 6) if magics else 0):
        cuts.append(max(0, rng.choice(magics) + rng.choice([0, 1, 100, 257, 300, 511, 512, 513, -1])))
    for _ in range(rng.choice([0, 0, 1, 2])):
        at = rng.randrange(len(tar) + 1)
        cuts += range(at, min(at + rng.randint(2, 5), len(tar)))
    return cuts


def _all(data: bytes, pattern: bytes) -> Iterator[int]:
    at = data.find(pattern)
    while at >= 0:
        yield at
        at = data.find(pattern, at + 1)


class VirtualTar:
    """A `Store` of one large tar, whose bytes are made when they are read: headers at known places, noise between.

    Args:
        sizes: of the members' payloads.
        num_pieces: equal ones, but for the last.
        extensions: written before each member's header.
        seconds_per_request: how long each takes.

    Attributes:
        part: to index.
        sizes: of the members' payloads.
        starts: of the members' first headers, and of the end marker.
        num_requests: ranges read so far.
        num_bytes: bytes given so far.
        max_concurrent: most requests under way at one moment.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        num_pieces: int = 1,
        extensions: bytes = b"",
        seconds_per_request: float = 0.0,
    ) -> None:
        self._extensions = extensions
        self.sizes = list(sizes)
        self.starts = [0, *accumulate(len(extensions) + 512 + size + -size % 512 for size in sizes)]
        self._noise = random.Random(0).randbytes(1 << 20).replace(b"ustar", b"USTAR")
        self._seconds = seconds_per_request
        self._lock = threading.Lock()
        self.num_requests = 0
        self.num_bytes = 0
        self.max_concurrent = 0
        self._num_under_way = 0
        total = self.starts[-1] + len(END_MARKER)
        step = -(-total // num_pieces)
        self._offsets = {f"p/{number:03d}": number * step for number in range(num_pieces)}
        self.part = Part(
            name="p",
            layout="split-tar",
            pieces=tuple(
                Piece(path=path, size_bytes=min(step, total - start)) for path, start in self._offsets.items()
            ),
        )

    def size(self, path: str) -> int:
        return next(piece.size_bytes for piece in self.part.pieces if piece.path == path)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with self._lock:
            self.num_requests += 1
            self.num_bytes += length
            self._num_under_way += 1
            self.max_concurrent = max(self.max_concurrent, self._num_under_way)
        if self._seconds:
            time.sleep(self._seconds)
        with self._lock:
            self._num_under_way -= 1
        assert 0 <= start <= start + length <= self.size(path)
        position = start + self._offsets[path]
        end, chunks = position + length, list[bytes]()
        while position < end:
            index = bisect_right(self.starts, position) - 1
            if index == len(self.sizes):
                chunks.append(bytes(end - position))
                break
            head = self._head(index)
            skip = position - self.starts[index]
            stop = min(end, self.starts[index + 1])
            chunk = head[skip : skip + stop - position]
            data_end = self.starts[index] + len(head) + self.sizes[index]
            at = position + len(chunk)
            while at < min(stop, data_end):
                noise_at = at % len(self._noise)
                piece = self._noise[noise_at : noise_at + min(stop, data_end) - at]
                chunk += piece
                at += len(piece)
            chunks.append(chunk + bytes(stop - at))
            position = stop
        return b"".join(chunks)

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        return [self.read_range(path, start, length) for start, length in ranges]

    def _head(self, index: int) -> bytes:
        name = b"part_001/video%06d/clip%07d_segment0_step1-0-95.mp4" % (index // 3, index)
        return self._extensions + header(name, self.sizes[index])
