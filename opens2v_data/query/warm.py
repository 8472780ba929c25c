"""The numbers of all clips in memory: which columns, and which statements they are enough for."""

from __future__ import annotations

import re

import pyarrow.types as pa_types

from opens2v_data.catalog.schemas import CLIPS

SCALARS = tuple(
    column.name
    for column in CLIPS.columns
    if column.name == "part" or not (pa_types.is_string(column.type) or pa_types.is_list(column.type))
)
"""Columns of clips that are kept: numbers, and the part."""

DERIVED = ("category", "subject_area", "pair_similarity")
"""Columns of derived tables that are kept too, where these were worked out before."""

BYTES_PER_CLIP = 135
"""While they are loaded: DuckDB holds 110 bytes a clip of 21 columns and 13 of derived ones, 620 MB at 5 M clips."""

PACK = ("ATTACH ':memory:' AS packed (COMPRESS)", "CHECKPOINT packed")
"""Before and after loading. Packed, 5 M clips take 177 MB instead of 663; a scan takes a third more CPU."""

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


def load_statement(parts: list[str], categories: list[str] | None = None) -> str:
    """Return the statement that loads them.

    Args:
        parts: the values of column `part`.
        categories: the values of column `category`; None: derived columns are not loaded.
    """
    columns = ", ".join(f"base.{name}" for name in SCALARS if name != "part")
    loaded = f"SELECT {columns}, base.part::{_enum(parts)} AS part"
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


def view_statement(clips_view: str, name: str, *, with_derived: bool = False) -> str:
    """Return the statement of a cursor's own view of them, with the derived columns that `clips` has.

    Args:
        clips_view: the statement of `sql/views.sql` that makes `clips`.
        name: of the view.
        with_derived: whether derived columns were loaded.
    """
    texts = ("part", "category") if with_derived else ("part",)
    source = _SOURCE.format(", ".join(f"{column}::VARCHAR AS {column}" for column in texts))
    made = clips_view.strip().replace("CREATE VIEW clips", f"CREATE TEMP VIEW {name}", 1)
    return _FILE.sub(source, made)


def _matched(table: str, value: str) -> str:
    """Return a value of a table's row, which must be the same clip's."""
    return (
        f"CASE WHEN {table}.clip_id = base.clip_id THEN {value} ELSE error('rows of {table} are not of the clips') END"
    )


def _enum(values: list[str]) -> str:
    names = ", ".join("'" + value.replace("'", "''") + "'" for value in values) or "''"
    return f"ENUM({names})"
