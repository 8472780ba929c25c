"""A slice in a file: its ids in order, of which catalog, and the SQL that made it.

It is what loaders, `fetch`, `export`, the explorer and verdicts give each other.

    guitars.slice.parquet    clip_id int32, part string, clip_key string, in the slice's order
                             schema metadata: opens2v_slice {"version", "digest", "sql", "order", "num_clips", "made_with"}
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.errors import QueryError
from opens2v_data.query.bound import Bound, exact_path, identifier
from opens2v_data.query.spec import Sort, Spec
from opens2v_data.version import __version__

if TYPE_CHECKING:
    from opens2v_data.query.conditions import Query
    from opens2v_data.query.slices import Slice

VERSION = 1
_META = b"opens2v_slice"
_COLUMNS = ("clip_id", "part", "clip_key")


@dataclass(frozen=True, kw_only=True)
class SavedSlice:
    """What a file says of its slice.

    Attributes:
        path: the file.
        digest: of the catalog it was made of.
        sql: the statement that made it; null where it was too long to write out.
        order: the columns it is sorted by.
        num_clips: how many.
        made_with: the version of opens2v-data.
    """

    path: Path
    digest: str
    sql: str | None
    order: tuple[Sort, ...]
    num_clips: int
    made_with: str


def save(s: Slice, path: str | os.PathLike[str]) -> SavedSlice:
    """Write a slice; whole or not at all."""
    target = Path(path)
    rows = s.to_arrow(list(_COLUMNS))
    try:
        sql = s.sql()
    except QueryError:
        sql = None  # ids of a search, too many to write out
    facts = {
        "version": VERSION,
        "digest": s.query.catalog.digest,
        "sql": sql,
        "order": [[sort.column, sort.is_descending] for sort in s.spec.order],
        "num_clips": rows.num_rows,
        "made_with": __version__,
    }
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        schema = rows.schema.with_metadata({_META: json.dumps(facts).encode()})
        pq.write_table(rows.cast(schema), temporary, compression="zstd")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return read_facts(target)


def read_facts(path: str | os.PathLike[str]) -> SavedSlice:
    """Return what a file says of its slice.

    Raises:
        QueryError: it is no saved slice.
    """
    place = Path(path)
    try:
        schema = pq.read_schema(place)
        facts = json.loads((schema.metadata or {})[_META])
        if facts["version"] != VERSION:
            raise QueryError(
                f"{place} is a slice of version {facts['version']}, opens2v-data reads {VERSION}; save it again"
            )
        if any(name not in schema.names for name in _COLUMNS) or not isinstance(facts["digest"], str):
            raise KeyError("columns")
        return SavedSlice(
            path=place,
            digest=facts["digest"],
            sql=facts["sql"],
            order=tuple(Sort(column=str(name), is_descending=bool(down)) for name, down in facts["order"]),
            num_clips=int(facts["num_clips"]),
            made_with=facts["made_with"],
        )
    except FileNotFoundError as error:
        raise QueryError(
            f"expected a saved slice at {place}, found no file; opens2v slice … -o {place} makes one"
        ) from error
    except (KeyError, ValueError, TypeError, pa.ArrowException, OSError) as error:
        raise QueryError(
            f"expected a saved slice at {place}, found another file ({type(error).__name__}); opens2v slice … -o FILE makes one"
        ) from error


def open_saved(query: Query, path: str | os.PathLike[str], *, remap: bool = False) -> Spec:
    """Return what a saved slice is in a catalog.

    Args:
        query: of the catalog.
        path: the file.
        remap: the catalog may be another: clips are then found by part and key, and those that are not there are left out.

    Raises:
        QueryError: it is no saved slice, or of another catalog without `remap`.
    """
    facts = read_facts(path)
    names = [name for name, _ in query.columns("regular")]
    for sort in facts.order:
        identifier(sort.column, names)
    place = str(facts.path.absolute())
    is_own = facts.digest == query.catalog.digest
    if not is_own and not remap:
        raise QueryError(
            f"{place} is a slice of the catalog with digest {facts.digest[:12]}…, this one has {query.catalog.digest[:12]}…: ids "
            "mean other clips here. Open that catalog, or find the clips by part and key with remap=True (--remap)"
        )
    # Read here in any case, some milliseconds, so that damage is told as what it is.
    rows = _rows(facts.path, ["clip_id"] if is_own else _COLUMNS)
    ids = np.empty(0, np.int32)  # the file itself is asked
    if not is_own:
        wanted = rows.append_column("at", pa.array(np.arange(rows.num_rows, dtype=np.int64)))
        found = query.ask(
            "SELECT clip.clip_id FROM saved_rows AS saved JOIN clips AS clip USING (part, clip_key) ORDER BY saved.at",
            tables={"saved_rows": wanted},
        )
        ids = found.column("clip_id").to_numpy()
    return Spec(conditions=(_among(ids, place if is_own else None),), order=facts.order)


def _rows(path: Path, columns: Sequence[str]) -> pa.Table:
    try:
        # Not `read_table`, to which a folder `part=…` in the path is a column.
        with pq.ParquetFile(path) as file:
            return file.read(columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise QueryError(f"the saved slice at {path} is damaged ({error}); save it again") from error


def _among(ids: np.ndarray, place: str | None) -> Bound:
    """Return the condition of some ids: by the file they lie in, where there is one, since that can be written out as SQL."""
    if place is not None:
        sql = "clip_id IN (SELECT clip_id FROM read_parquet(?, hive_partitioning = false))"
        return Bound(sql=sql, values=(exact_path(place),))
    name = f"ids_{uuid.uuid4().hex}"
    table = pa.table({"clip_id": pa.array(ids, pa.int32())})
    return Bound(sql=f"clip_id IN (SELECT clip_id FROM {name})", tables={name: table})
