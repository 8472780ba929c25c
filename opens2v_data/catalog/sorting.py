"""Sort more rows than fit in memory, by one integer column: scatter to ranges on disk, sort each range."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

FLUSH_BYTES = 1 << 20
"""Bytes per range kept in memory before they go to disk."""


class RangeSorter:
    """Sort rows by an integer column without nulls, stably, in bounded memory.

    Rows go to one file per range of the column; each range is then sorted on its own. Memory is that of the largest range of
    more than one value.

    Args:
        schema: of the rows.
        by: the column; rows equal in it keep the order they were added in.
        folder: for the ranges' files; emptied first, removed by `close`.
        edges: ascending values; range i holds rows with `edges[i-1] <= value < edges[i]`.
    """

    def __init__(self, schema: pa.Schema, *, by: str, folder: Path, edges: np.ndarray) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._schema, self._by, self._folder, self._edges = schema, by, folder, edges
        self._pending: dict[int, list[pa.RecordBatch]] = {}
        self._pending_bytes: dict[int, int] = {}
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}

    def add(self, rows: pa.RecordBatch) -> None:
        """Add rows."""
        if not rows.num_rows:
            return
        ranges = np.searchsorted(self._edges, rows.column(self._by).to_numpy(zero_copy_only=False), side="right")
        for index in np.unique(ranges):
            chosen = rows if (ranges == index).all() else rows.filter(pa.array(ranges == index))
            self._pending.setdefault(int(index), []).append(chosen)
            size = self._pending_bytes.get(int(index), 0) + chosen.nbytes
            self._pending_bytes[int(index)] = size
            if size >= FLUSH_BYTES:
                self._spill(int(index))

    def sorted(self) -> Iterator[pa.Table]:
        """Yield all rows in order, a range at a time, or a batch where a range has one value; nothing can be added after."""
        for index in range(len(self._edges) + 1):
            if index in self._writers:
                self._spill(index)
                self._writers.pop(index).close()
                with pa.OSFile(str(self._path(index))) as source:
                    yield from self._in_order(index, pa.ipc.open_stream(source))
                self._path(index).unlink()
            else:
                yield from self._in_order(index, self._pending.pop(index, []))

    def _in_order(self, index: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        edges = self._edges
        if 0 < index < len(edges) and edges[index] - edges[index - 1] == 1:
            # One value: the rows are in order as they came, however many they are.
            yield from (pa.Table.from_batches([batch]) for batch in batches)
        elif held := list(batches):
            yield pa.Table.from_batches(held, self._schema).sort_by([(self._by, "ascending")])

    def close(self) -> None:
        """Remove what is on disk."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:05d}.arrow"

    def _spill(self, index: int) -> None:
        if index not in self._writers:
            self._writers[index] = pa.ipc.new_stream(str(self._path(index)), self._schema)
        for batch in self._pending.pop(index, []):
            self._writers[index].write_batch(batch)
        self._pending_bytes[index] = 0
