"""A slice's tables as files that need nothing of ours: clips with captions, subjects, pairs, places of bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from opens2v_data.query.bound import Bound, all_of

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice

TableForm = Literal["parquet", "csv"]
ROW_GROUP_ROWS = 16_384
BATCH_ROWS = 8_192


@dataclass(frozen=True, kw_only=True)
class ExportedTable:
    """One file.

    Attributes:
        path: where it is.
        num_rows: in it.
    """

    path: Path
    num_rows: int


def export_tables(
    s: Slice, folder: Path, form: TableForm = "parquet", *, progress: Callable[[str, int], None] | None = None
) -> list[ExportedTable]:
    """Write the slice's tables to a folder: clips (with caption), subjects, pairs (both clips in the slice), locations.

    Args:
        s: the slice; clips come in its order, other rows by clip id. Trimmed subjects are left out.
        folder: made if absent; files of these names in it are replaced, each when it is whole.
        form: in CSV, lists are written as JSON and null as nothing.
        progress: called with a table's name and its rows so far.

    Raises:
        ValueError: another form.
        OSError: the folder cannot be written.
    """
    if form not in get_args(TableForm):
        raise ValueError(f"form must be one of {', '.join(get_args(TableForm))}, got {form!r}")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, statement in _statements(s).items():
        path = folder / f"{name}.{form}"
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        num_rows = 0
        try:
            with s.query.asked(statement.sql, statement.values, tables=statement.tables) as relation:
                reader = relation.to_arrow_reader(BATCH_ROWS)
                with _Writer(temporary, reader.schema, form) as write:
                    for batch in reader:
                        write(batch)
                        num_rows += batch.num_rows
                        if progress is not None:
                            progress(name, num_rows)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        made.append(ExportedTable(path=path, num_rows=num_rows))
    return made


def _statements(s: Slice) -> dict[str, Bound]:
    ids = s.spec.ids()
    member = s.spec.membership()

    def among(column: str) -> Bound:
        return Bound(sql=f"{column} IN ({ids.sql})", values=ids.values, tables=ids.tables)

    def select(sql: str, where: Bound, order: str) -> Bound:
        return Bound(sql=f"{sql} WHERE {where.sql} ORDER BY {order}", values=where.values, tables=where.tables)

    return {
        "clips": select(f"SELECT {', '.join(_clip_columns(s))} FROM clips", member, s.spec.order_by),
        "subjects": select("SELECT * FROM subjects", all_of([among("clip_id"), *s.spec.trims]), "clip_id, object_id"),
        "pairs": select("SELECT * FROM pairs", all_of([among("clip_id"), among("partner_clip_id")]), "pair_id"),
        "locations": select("SELECT * FROM locations", among("clip_id"), "clip_id"),
    }


_DERIVED = {"category", "kinds", "subject_area", "pair_similarity"}


def _clip_columns(s: Slice) -> list[str]:
    """Return the columns of clips, caption and derived ones too; category where it was worked out before."""
    hidden = {"path", "json_offset"} | (set() if s.query.find_categories() else _DERIVED)
    return [name for name, _ in s.query.columns("regular") if name not in hidden]


class _Writer:
    """Writes record batches to one file."""

    def __init__(self, path: Path, schema: pa.Schema, form: TableForm) -> None:
        self._schema = schema
        self._lists = [field.name for field in schema if pa.types.is_nested(field.type)] if form == "csv" else []
        if form == "csv":
            plain = pa.schema([pa.field(f.name, pa.string()) if f.name in self._lists else f for f in schema])
            self._sink: pa_csv.CSVWriter | pq.ParquetWriter = pa_csv.CSVWriter(path, plain)
        else:
            self._sink = pq.ParquetWriter(path, schema, compression="zstd")

    def __enter__(self) -> Callable[[pa.RecordBatch], None]:
        return self._write

    def __exit__(self, *exception: object) -> None:
        self._sink.close()

    def _write(self, batch: pa.RecordBatch) -> None:
        for name in self._lists:
            values = [
                None if one is None else json.dumps(one, ensure_ascii=False) for one in batch.column(name).to_pylist()
            ]
            batch = batch.set_column(batch.schema.get_field_index(name), name, pa.array(values, pa.string()))
        self._sink.write_batch(batch)
