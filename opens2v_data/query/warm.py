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

BYTES_PER_CLIP = 120
"""DuckDB keeps 110 bytes a clip of 21 columns: 551 MB at 5 M clips."""

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
_SOURCE = "(SELECT * REPLACE (part::VARCHAR AS part) FROM memory.main.clips_scalars)"


def is_enough(sql: str) -> bool:
    """Return whether some SQL names clips, and no column of theirs that is not kept, nor all columns.

    Where it says no too often, files are read and the rows are the same.
    """
    words = {word.lower() for word in _WORD.findall(sql)}
    return "clips" in words and _TEXTS.isdisjoint(words) and not _ALL.search(sql)


def load_statement(parts: list[str]) -> str:
    """Return the statement that loads them; `parts` are the values of column `part`."""
    names = ", ".join("'" + part.replace("'", "''") + "'" for part in parts) or "''"
    columns = ", ".join(name for name in SCALARS if name != "part")
    return f"CREATE TABLE clips_scalars AS SELECT {columns}, part::ENUM({names}) AS part FROM memory.main.clips"


def view_statement(clips_view: str, name: str) -> str:
    """Return the statement of a cursor's own view of them, with the derived columns that `clips` has.

    Args:
        clips_view: the statement of `sql/views.sql` that makes `clips`.
        name: of the view.
    """
    made = clips_view.strip().replace("CREATE VIEW clips", f"CREATE TEMP VIEW {name}", 1)
    return _FILE.sub(_SOURCE, made)
