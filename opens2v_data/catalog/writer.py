"""Write one table: fixed row groups whatever batches come, checksum and ranges as it goes."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import Executor, Future
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.catalog.manifest import CatalogFile, RowGroup
from opens2v_data.catalog.schemas import TableSchema
from opens2v_data.waiting import result_of

ZSTD_LEVEL = 1
COPY_BYTES = 4 << 20
BUFFER_BYTES = 1 << 20


class HashingFile:
    """A file that is written once, from start to end, and knows its SHA-256."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=BUFFER_BYTES)
        self._hash = hashlib.sha256()
        self.size_bytes = 0
        self.closed = False

    def write(self, data: bytes | memoryview | pa.Buffer) -> int:
        view = memoryview(data)
        self._hash.update(view)
        self._file.write(view)
        self.size_bytes += view.nbytes
        return view.nbytes

    def write_file(self, path: Path) -> None:
        """Append a whole file."""
        with path.open("rb", buffering=0) as source:
            while data := source.read(COPY_BYTES):
                self.write(data)

    def tell(self) -> int:
        return self.size_bytes

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        if not self.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self.closed = True

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False

    def seekable(self) -> bool:
        return False

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


class TableWriter:
    """Write `<folder>/<table>.parquet`; the bytes depend on the rows only, not on how they were batched.

    Use as a context manager; `file` is there after it.

    Args:
        table: what to write.
        folder: where to.
        pool: threads that encode row groups, one at a time per table, while the caller goes on; None: the caller does.
        schema: the table's with other metadata; None: the table's.
    """

    def __init__(
        self, table: TableSchema, folder: Path, pool: Executor | None = None, *, schema: pa.Schema | None = None
    ) -> None:
        self.table = table
        self._pool = pool
        self._encoding: Future[None] | None = None
        self.path = folder / f"{table.name}.parquet"
        self.num_rows = 0
        self.file: CatalogFile | None = None
        self._schema = schema or table.arrow
        self._sink = HashingFile(self.path)
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            self._schema,
            compression="zstd",
            compression_level=ZSTD_LEVEL,
            use_dictionary=[_leaf(name, self._schema) for name in table.dictionary] or False,  # pyright: ignore[reportArgumentType]
            write_statistics=True,
            version="2.6",
        )
        self._pending: list[pa.RecordBatch] = []
        self._num_pending = 0
        self._row_groups: list[RowGroup] = []

    def write(self, rows: pa.RecordBatch | pa.Table) -> None:
        """Add rows, whose columns must be the table's, in its order."""
        batches = rows.to_batches() if isinstance(rows, pa.Table) else [rows]
        for batch in batches:
            if batch.num_rows:
                self._pending.append(batch)
                self._num_pending += batch.num_rows
        while self._num_pending >= self.table.row_group_rows:
            self._flush(self.table.row_group_rows)

    def write_columns(self, **columns: object) -> None:
        """Add rows given as one sequence, NumPy array or Arrow array per column."""
        arrays = [
            column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type)
            for field in self._schema
        ]
        self.write(pa.RecordBatch.from_arrays(arrays, schema=self._schema))

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                while self._num_pending:
                    self._flush(min(self._num_pending, self.table.row_group_rows))
            self._wait()
            self._writer.close()
        finally:
            self._sink.close()
        self.file = CatalogFile(
            path=self.path.name,
            size_bytes=self._sink.size_bytes,
            sha256=self._sink.sha256,
            rows=self.num_rows,
            row_groups=tuple(self._row_groups),
        )

    def _flush(self, num_rows: int) -> None:
        # One contiguous array per column: parquet's page borders would otherwise follow the batches.
        pending = pa.Table.from_batches(self._pending, self._schema)
        group = pending.slice(0, num_rows).combine_chunks()
        rest = pending.slice(num_rows)
        self._pending = rest.to_batches()
        self._num_pending = rest.num_rows
        self._wait()
        if self._pool is None:
            self._encode(group)
        else:
            self._encoding = self._pool.submit(self._encode, group)

    def _wait(self) -> None:
        encoding, self._encoding = self._encoding, None
        if encoding is not None:
            result_of(encoding)

    def _encode(self, group: pa.Table) -> None:
        self._writer.write_table(group, row_group_size=group.num_rows)
        self.num_rows += group.num_rows
        ranges = {}
        for name in self.table.ranges:
            values = group.column(name).combine_chunks().drop_null().to_numpy(zero_copy_only=False)
            if len(values):
                ranges[name] = (values.min().item(), values.max().item())
        self._row_groups.append(RowGroup(rows=group.num_rows, ranges=ranges))


def _leaf(name: str, schema: pa.Schema) -> str:
    return f"{name}.list.element" if pa.types.is_list(schema.field(name).type) else name
