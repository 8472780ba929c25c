"""The numbers of all clips in memory: which columns, and which statements they are enough for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import duckdb
import pyarrow.types as pa_types

from opens2v_data.catalog.schemas import CLIPS

TEXTS = ("part", "caption_source")
"""Columns of clips with a few texts, which are kept as their numbers."""

SCALARS = tuple(
    column.name
    for column in CLIPS.columns
    if column.name in TEXTS or not (pa_types.is_string(column.type) or pa_types.is_list(column.type))
)
"""Columns of clips that are kept: numbers, and `TEXTS`."""

DERIVED = ("category", "subject_area", "pair_similarity")
"""Columns of derived tables that are kept too, where these were worked out before."""

BYTES_PER_CLIP = 135
"""While they are loaded: DuckDB holds 110 bytes a clip of 21 columns and 13 of derived ones, 620 MB at 5 M clips.

Packed they take 177 MB; a scan takes a third more CPU.
"""

MEMORY_MB = 512
"""Besides these, for statements."""

_TEXTS = frozenset(column.name for column in CLIPS.columns) - frozenset(SCALARS)
_WORD = re.compile(r"\w+")
# `*` as columns, and not in count(*) or a product; COLUMNS(…); a FROM without SELECT.
_ALL = re.compile(
    r"(?:\bselect|\bdistinct|\ball|,|\.)\s*\*|\bcolumns\s*\(|(?:^|\()\s*(?:from|describe|summarize|table)\b",
    re.IGNORECASE,
)
_FILE = re.compile(r"read_parquet\('\{clips\}'[^)]*\)")
_SOURCE = "(SELECT * REPLACE ({}) FROM packed.main.clips_scalars)"


def is_enough(sql: str) -> bool:
    """Return whether some SQL names clips, and no column of theirs that is not kept, nor all columns.

    Where it says no too often, files are read and the rows are the same.
    """
    words = {word.lower() for word in _WORD.findall(sql)}
    return "clips" in words and _TEXTS.isdisjoint(words) and not _ALL.search(sql)


def load_statement(texts: Mapping[str, Sequence[str]], categories: Sequence[str] | None = None) -> str:
    """Return the statement that loads them.

    Args:
        texts: the values of each column of `TEXTS`.
        categories: the values of column `category`; None: derived columns are not loaded.
    """
    columns = [f"base.{name}::{_enum(texts[name])} AS {name}" if name in TEXTS else f"base.{name}" for name in SCALARS]
    loaded = f"SELECT {', '.join(columns)}"
    source = "memory.main.clips AS base"
    if categories is not None:
        told = f"told.category::{_enum(categories)}"
        loaded += f", {_matched('told', told)} AS category"
        loaded += "".join(
            f", {_matched('known', f'known.{name}')} AS {name}" for name in ("subject_area", "pair_similarity")
        )
        # All three are in the order of ids, without a gap: side by side they take 2.4 s and 0.75 GB at 5 M clips, joined by id
        # 5 s and 1.3 GB, out of order.
        source += (
            " POSITIONAL JOIN memory.main.clip_categories AS told POSITIONAL JOIN memory.main.clip_numbers AS known"
        )
    return f"CREATE TABLE packed.main.clips_scalars AS {loaded} FROM {source}"


def load(
    connection: duckdb.DuckDBPyConnection,
    num_clips: int,
    texts: Mapping[str, Sequence[str]],
    categories: Sequence[str] | None,
) -> bool:
    """Load them, and return whether derived columns were loaded; see `load_statement`."""
    connection.execute(f"SET memory_limit = '{num_clips * BYTES_PER_CLIP // 1_000_000 + MEMORY_MB}MB'")
    connection.execute("ATTACH ':memory:' AS packed (COMPRESS)")
    try:
        connection.execute(load_statement(texts, categories))
    except duckdb.InvalidInputException:
        # A definition of a user's own that names clips twice; it is joined by id then, when it is asked.
        categories = None
        connection.execute(load_statement(texts))
    connection.execute("CHECKPOINT packed")
    return categories is not None


def view_statement(clips_view: str, name: str, *, with_derived: bool = False) -> str:
    """Return the statement of a cursor's own view of them, with the derived columns that `clips` has.

    Args:
        clips_view: the statement of `sql/views.sql` that makes `clips`.
        name: of the view.
        with_derived: whether derived columns were loaded.
    """
    texts = (*TEXTS, "category") if with_derived else TEXTS
    source = _SOURCE.format(", ".join(f"{column}::VARCHAR AS {column}" for column in texts))
    made = clips_view.strip().replace("CREATE VIEW clips", f"CREATE TEMP VIEW {name}", 1)
    return _FILE.sub(source, made)


def _matched(table: str, value: str) -> str:
    """Return a value of a table's row, which must be the same clip's."""
    return (
        f"CASE WHEN {table}.clip_id = base.clip_id THEN {value} ELSE error('rows of {table} are not of the clips') END"
    )


def _enum(values: Sequence[str]) -> str:
    names = ", ".join("'" + value.replace("'", "''") + "'" for value in values) or "''"
    return f"ENUM({names})"
