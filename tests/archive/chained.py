"""Tars and stores for tests of chains, and what a scan tells."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from archive.tars import END_MARKER, MP4_START, extension, header, padded
from opens2v_data.archive import Member, MemberScan, MemoryStore, Refused
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.tarwalk import WalkEnd
from opens2v_data.errors import TarFormatError

MANY = ChainOptions(max_chains=8, min_chain_bytes=512, scan_bytes=512, save_seconds=0.01, backoff_seconds=0.0)

Found = tuple[list[Member], list[Refused], dict[str, int], WalkEnd | str]
"""Members, refused names, counts of other kinds, and how the walk ended or what went wrong."""


def told(scan: MemberScan | ChainScan) -> Found:
    members: list[Member] = []
    try:
        members.extend(scan)
    except TarFormatError as error:
        return members, scan.refused, dict(scan.skipped_by_kind), str(error)
    assert scan.end is not None
    return members, scan.refused, dict(scan.skipped_by_kind), scan.end


class SlowStore(MemoryStore):
    """Takes a random time for each request, so that threads take turns; may fail as it is told."""

    def __init__(
        self, files: dict[str, bytes], *, fault: Callable[[int], Exception | None] = lambda number: None
    ) -> None:
        super().__init__(files)
        self._rng = random.Random(0)
        self._fault = fault
        self.seconds = 0.0005

    def read_range(self, path: str, start: int, length: int) -> bytes:
        time.sleep(self._rng.random() * self.seconds)
        data = super().read_range(path, start, length)
        if error := self._fault(self.num_requests):
            raise error
        return data


def two_megabytes(count: int, seed: int = 0) -> list[int]:
    """Sizes as of clips: about 2 MB, from a tenth to ten times as much."""
    rng = random.Random(seed)
    return [int(2_000_000 * min(10.0, max(0.1, rng.lognormvariate(-0.2, 0.6)))) for _ in range(count)]


def many_members(count: int) -> bytes:
    rng = random.Random(1)
    files = ((b"v/%05d.mp4" % i, MP4_START + rng.randbytes(rng.randint(70_000, 90_000))) for i in range(count))
    long = extension(b"L", b"v/" + b"n" * 120 + b".mp4\0")
    tar = b"".join(long * (i % 7 == 0) + header(name, len(data)) + padded(data) for i, (name, data) in enumerate(files))
    return tar + END_MARKER
