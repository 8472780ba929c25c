"""Stores that misbehave as servers do, by a plan that a seed fixes, and clips to fetch from them."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from archive.fetched import wait_until
from archive.tars import MP4_START, cut, written_by_tarfile
from opens2v_data.archive import MemoryStore, Part, index_part
from opens2v_data.archive.fetch import Wanted
from opens2v_data.errors import RemoteError, ShortReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def clips_in_a_tar(
    num_clips: int, *, min_bytes: int, max_bytes: int, seed: int = 0, num_pieces: int = 4
) -> tuple[MemoryStore, list[Wanted], dict[int, bytes]]:
    """Return a store of a split tar, its clips as wanted in index order, and their true bytes by key."""
    generator = random.Random(seed)
    files = [
        (f"part_001/{number}/video.mp4", MP4_START + generator.randbytes(generator.randint(min_bytes, max_bytes)))
        for number in range(num_clips)
    ]
    tar = written_by_tarfile(files)
    store, part = cut(tar, [generator.randrange(len(tar)) for _ in range(num_pieces - 1)])
    store_for_index = MemoryStore(store.files)
    return store, wanted_of(store_for_index, part), {key: data for key, (_, data) in enumerate(files)}


def wanted_of(store: MemoryStore, part: Part) -> list[Wanted]:
    """Return all members of a part; keys are their numbers."""
    return [
        Wanted(
            key=number,
            part=part,
            name=member.name,
            offset=member.offset,
            size_bytes=member.size_bytes,
            has_ftyp=member.has_ftyp,
        )
        for number, member in enumerate(index_part(store, part).members)
    ]


class FaultyStore:
    """A store whose reads fail as told; everything else goes to another store.

    Args:
        store: what reads go to.
        faults: each with its share of all reads: "503", "429", "cut", "short", "wrong", "late", "hang".
        seed: which reads they hit.
        seconds: of "late"; every read takes `latency_seconds` besides.

    Attributes:
        num_requests, num_bytes: reads so far, and bytes given.
        injected: how often each fault was.
        max_at_once: the most reads that ran at the same time.
        release: set it to let hanging reads go on.
    """

    def __init__(
        self,
        store: MemoryStore,
        faults: dict[str, float] | None = None,
        *,
        seed: int = 0,
        seconds: float = 0.0,
        latency_seconds: float = 0.0,
    ) -> None:
        self._store, self._faults, self._seconds, self._latency_seconds = store, faults or {}, seconds, latency_seconds
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self.num_requests = self.num_bytes = self.max_at_once = self._num_at_once = 0
        self.injected: Counter[str] = Counter()
        self.release = threading.Event()

    def size(self, path: str) -> int:
        return self._store.size(path)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with self._lock:
            self.num_requests += 1
            self._num_at_once += 1
            self.max_at_once = max(self.max_at_once, self._num_at_once)
            fault = self._draw()
            self.injected[fault] += 1
        try:
            return self._answer(fault, path, start, length)
        finally:
            with self._lock:
                self._num_at_once -= 1

    def read_ranges(self, path: str, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        return [self.read_range(path, start, length) for start, length in ranges]

    def _draw(self) -> str:
        chance = self._random.random()
        for fault, share in self._faults.items():
            if chance < share:
                return fault
            chance -= share
        return "none"

    def _answer(self, fault: str, path: str, start: int, length: int) -> bytes:
        time.sleep(self._latency_seconds)
        if fault == "hang":
            self.release.wait()
        if fault == "late":
            self.release.wait(self._seconds)
        if fault in ("503", "429"):
            wait = 0.01 if fault == "429" else None
            raise RemoteError(
                f"{path}: the server answered {fault}", status=int(fault), is_retryable=True, retry_after_seconds=wait
            )
        if fault == "cut":
            raise ConnectionResetError("the connection was cut")
        if fault == "short":
            raise ShortReadError(f"{path}: expected {length} bytes, found {length // 2}")
        data = self._store.read_range(path, start, length)
        with self._lock:
            self.num_bytes += len(data)
        return b"<html>an error's page</html>".ljust(length)[:length] if fault == "wrong" else data


class RefusesToOpen(MemoryStore):
    """A store that gives no sizes.

    Args:
        files: what it has.
        status: of the refusal; None to give sizes after all.
        until: what must be so before an answer comes.

    Attributes:
        asked: for whose sizes.
    """

    def __init__(self, files: dict[str, bytes], status: int, *, until: Callable[[], bool] | None = None) -> None:
        super().__init__(files)
        self.status: int | None = status
        self.asked: list[str] = []
        self._until = until

    def size(self, path: str) -> int:
        self.asked.append(path)
        if self.status is None:
            return super().size(path)
        assert self._until is None or wait_until(self._until)
        raise RemoteError(
            f"{path}: the Hub answered {self.status}", status=self.status, is_retryable=self.status >= 500
        )


class SlowLine:
    """A store with a latency and a line that gives so many bytes a second to all reads together.

    Args:
        store: what reads go to.
        latency_seconds: of each read.
        bytes_per_second: of all reads together.
        refuse_above: more reads at once than this get a 429; none is answered before there were so many.
    """

    def __init__(
        self,
        store: MemoryStore,
        *,
        latency_seconds: float,
        bytes_per_second: float,
        refuse_above: int | None = None,
    ) -> None:
        self._store, self._latency_seconds, self._bytes_per_second = store, latency_seconds, bytes_per_second
        self._refuse_above = refuse_above
        self._lock = threading.Lock()
        self._line_free_at = 0.0
        self._num_at_once = self.num_refused = self.max_at_once = 0
        self._is_crowded = threading.Event()

    def size(self, path: str) -> int:
        return self._store.size(path)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with self._lock:
            self._num_at_once += 1
            self.max_at_once = max(self.max_at_once, self._num_at_once)
            is_refused = self._refuse_above is not None and self._num_at_once > self._refuse_above
            if is_refused or self._refuse_above is None:
                self._is_crowded.set()
            self.num_refused += is_refused
            now = time.monotonic()
            if not is_refused:
                self._line_free_at = max(now, self._line_free_at) + length / self._bytes_per_second
            until = max(now + self._latency_seconds, 0.0 if is_refused else self._line_free_at)
        self._is_crowded.wait()
        time.sleep(until - now)
        with self._lock:
            self._num_at_once -= 1
        if is_refused:
            raise RemoteError(
                f"{path}: the server answered 429", status=429, is_retryable=True, retry_after_seconds=0.05
            )
        return self._store.read_range(path, start, length)

    def read_ranges(self, path: str, ranges: Iterable[tuple[int, int]]) -> list[bytes]:
        return [self.read_range(path, start, length) for start, length in ranges]


class Watched(MemoryStore):
    """A store that calls a function before each read."""

    def __init__(self, files: dict[str, bytes], before: Callable[[str, int, int], None]) -> None:
        super().__init__(files)
        self._before = before

    def read_range(self, path: str, start: int, length: int) -> bytes:
        self._before(path, start, length)
        return super().read_range(path, start, length)
