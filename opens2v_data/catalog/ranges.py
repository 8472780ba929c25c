"""A catalog's files by byte range, for tables and blobs that lie on a server.

    DuckDB ── catalog://tables/clips.parquet ──▶ TableFileSystem ──▶ RangeReader ──▶ store: one request per range
    masks  ─────────────────────────────────────────────────────────▶    │
                                                     kept: footers for good, the last 64 MB of row groups

DuckDB leaves row groups closed by their ranges in the footer, also those without any of the ids of an `IN (…)` or a join, asks
for the columns that a question names, and for neighbouring columns at once: what it asks for is what is read. What is added
here: a footer is read once, in one request as a rule, and rows that are asked for 512 at a time do not fetch their row group
32 times.
"""

from __future__ import annotations

import io
import sys
import threading
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from fsspec.spec import AbstractFileSystem

from opens2v_data.archive.daemons import DaemonPool
from opens2v_data.archive.stores import LocalStore
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.errors import ArchiveError, CatalogDamagedError, CatalogError
from opens2v_data.waiting import results_of

if TYPE_CHECKING:
    from opens2v_data.archive.stores import Store
    from opens2v_data.catalog.manifest import CatalogFile

KEEP_BYTES = 64 << 20
"""Of row groups. A batch of 512 clips in id order takes some 10 MB of them at 5 M clips, most of it captions and subjects."""

KEEP_RANGES = 1024
"""At most so many, since they are looked through one by one: some 60 µs for a read."""

WHOLE_BYTES = 128 << 10
"""Files up to this size are read whole: a round trip of 30 ms is worth more."""

MERGE_GAP_BYTES = 64 << 10
"""Ranges this close are read as one: at 30 ms and 20 MB/s a connection, a request costs as much as 600 kB."""

MERGED_BYTES = 8 << 20
"""No read of several ranges is longer, so that they come in parallel."""

NUM_THREADS = 16

PROTOCOL = "catalog"
_MAGIC = b"PAR1"


class Span(NamedTuple):
    """`length` bytes of a file from byte `start` on."""

    path: str
    start: int
    length: int

    @property
    def end(self) -> int:
        """Byte after the last."""
        return self.start + self.length


class RangeReader:
    """Reads ranges of a catalog's files and keeps what is likely to be asked for again. Threads may share one.

    There is no lock that a fork could leave taken: what is kept are dicts whose single operations are whole, and two threads
    that miss the same range both read it.

    Args:
        store: where the files lie.
        files: by path, with their sizes.
        keep_bytes: how much of ranges to keep; footers come on top.
    """

    def __init__(self, store: Store, files: Mapping[str, CatalogFile], *, keep_bytes: int = KEEP_BYTES) -> None:
        self.store = store
        self._files = files
        self._keep_bytes = keep_bytes
        self._kept: dict[Span, bytes] = {}
        self._tails: dict[str, tuple[int, bytes]] = {}
        # Tables that are one read away on a disk need no threads.
        self._num_threads = 1 if isinstance(store, LocalStore) else NUM_THREADS

    def size(self, path: str) -> int:
        """Return a file's size in bytes, as the manifest has it."""
        return self._files[path].size_bytes

    def footer(self, path: str) -> tuple[int, bytes]:
        """Return where the end of a table that is kept starts, and its bytes, which hold the parquet footer.

        Raises:
            CatalogDamagedError: the file is no parquet file.
            ArchiveError: it cannot be read.
        """
        found = self._tails.get(path)
        if found is None:
            found = self._tails[path] = self._read_footer(path)
        return found

    def read(self, path: str, start: int, length: int) -> bytes:
        """Return bytes of a table; fewer when it ends before.

        Raises:
            CatalogDamagedError, ArchiveError: as `footer`.
        """
        size = self.size(path)
        length = max(0, min(length, size - start))
        if not length:
            return b""
        at, tail = self.footer(path)
        if start >= at:
            return tail[start - at : start - at + length]
        wanted = Span(path, start, length)
        for span in list(self._kept):
            if span.path == path and span.start <= start and wanted.end <= span.end:
                data = self._kept.pop(span, None)
                if data is not None:
                    self._kept[span] = data  # used last
                    return data[start - span.start : start - span.start + length]
        data = self.store.read_range(path, start, length)
        self._keep(wanted, data)
        return data

    def read_spans(self, spans: Sequence[Span]) -> list[bytes]:
        """Return the bytes of several ranges, in the order given; neighbours are read at once, the rest in parallel.

        Raises:
            ArchiveError: one cannot be read.
        """
        merged = merge_spans(spans)
        num_threads = min(self._num_threads, len(merged))
        if num_threads < 2:
            found = [self.store.read_range(*span) for span in merged]
        else:
            with DaemonPool(num_threads, name="opens2v-catalog") as pool:
                found = results_of([pool.submit(self.store.read_range, *span) for span in merged])
        given: list[bytes] = []
        for span in spans:
            at = bisect_right(merged, (span.path, span.start, sys.maxsize)) - 1
            start = span.start - merged[at].start
            given.append(found[at][start : start + span.length])
        return given

    def _read_footer(self, path: str) -> tuple[int, bytes]:
        file = self._files[path]
        size = file.size_bytes
        if not hasattr(self.store, "walk") and not isinstance(self.store, LocalStore):
            # Nothing listed the files with their sizes when the catalog was opened.
            check_size(path, file.size_bytes, self.store.size(path))
        guess = size if size <= WHOLE_BYTES else min(size, _footer_guess(file))
        at, tail = size - guess, self.store.read_range(path, size - guess, guess)
        if tail[-4:] != _MAGIC:
            raise CatalogDamagedError(
                f"expected a parquet file at {path}, found {tail[-4:]!r} at its end; copy or publish the catalog again"
            )
        needed = min(size, int.from_bytes(tail[-8:-4], "little") + 8)
        if needed > guess:
            at, tail = size - needed, self.store.read_range(path, size - needed, needed - guess) + tail
        return at, tail

    def _keep(self, span: Span, data: bytes) -> None:
        if len(data) > self._keep_bytes:
            return
        self._kept[span] = data
        kept = list(self._kept)  # the one used longest ago is first
        total, count = sum(some.length for some in kept), len(kept)
        for oldest in kept:
            if total <= self._keep_bytes and count <= KEEP_RANGES:
                break
            if self._kept.pop(oldest, None) is not None:
                total, count = total - oldest.length, count - 1


class TableFileSystem(AbstractFileSystem):
    """A catalog's tables for DuckDB: read-only, no readahead.

    Attributes:
        faults: errors of reads by their message, since DuckDB passes on the text of an error only.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, reader: RangeReader) -> None:
        super().__init__()
        self.reader = reader
        self.faults: dict[str, Exception] = {}

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return name and size."""
        return {"name": path, "size": self.reader.size(_name(path)), "type": "file"}

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Say that it is there, as the manifest does."""
        return True

    def glob(self, path: str, **kwargs: Any) -> list[str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the path: there are no patterns in it."""
        return [path]

    def modified(self, path: str) -> datetime:
        """Return a time that never changes: neither does a pinned file."""
        return datetime.fromtimestamp(0, UTC)

    def take_fault(self, text: str) -> Exception | None:
        """Return the error whose message is in DuckDB's, or None; none is kept after it."""
        found = next((error for message, error in list(self.faults.items()) if message in text), None)
        self.faults.clear()
        return found

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> TableFile:  # pyright: ignore[reportIncompatibleMethodOverride]
        return TableFile(self, _name(path))


class TableFile(io.RawIOBase):
    """An opened table. DuckDB seeks and reads it from several threads at once: each has a position of its own."""

    def __init__(self, system: TableFileSystem, path: str) -> None:
        self._system = system
        self._path = path
        self._at = threading.local()
        self.size = system.reader.size(path)

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return this thread's position."""
        return getattr(self._at, "position", 0)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move this thread's position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self.size}[whence]
        self._at.position = base + offset
        return self._at.position

    def read(self, size: int | None = -1) -> bytes:
        """Return bytes from this thread's position on."""
        start = self.tell()
        length = self.size - start if size is None or size < 0 else size
        try:
            data = self._system.reader.read(self._path, start, length)
        except (ArchiveError, CatalogError) as error:
            self._system.faults[str(error)] = error
            raise
        self._at.position = start + len(data)
        return data


def merge_spans(spans: Sequence[Span]) -> list[Span]:
    """Return the reads that hold all spans: neighbours at most `MERGE_GAP_BYTES` apart are one, up to `MERGED_BYTES`."""
    merged: list[Span] = []
    for span in sorted(set(spans)):
        last = merged[-1] if merged else None
        if (
            last is not None
            and span.path == last.path
            and span.start <= last.end + MERGE_GAP_BYTES
            and (span.end <= last.end or span.end - last.start <= MERGED_BYTES)
        ):
            merged[-1] = Span(last.path, last.start, max(last.end, span.end) - last.start)
        else:
            merged.append(span)
    return merged


def check_size(path: str, expected: int, found: int | None) -> None:
    """Refuse a file of another size than the manifest says.

    Raises:
        CatalogDamagedError: it has another, or is not there.
    """
    if found != expected:
        raise CatalogDamagedError(
            f"expected {expected} bytes in {path}, found {'no file' if found is None else found}; "
            "copy the catalog again, or run opens2v ingest again"
        )


def _footer_guess(file: CatalogFile) -> int:
    """Return what the footer is likely to take at most, bytes; a longer one costs a second request.

    Measured on footers of tables with 25 to 200 row groups: 82 to 122 bytes per column and row group, schema included.
    """
    table = TABLES.get(PurePosixPath(file.path).stem)
    num_columns = len(table.columns) if table is not None else 16
    return (12 << 10) + 115 * num_columns * len(file.row_groups)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
