"""The numbers of all clips in memory: which columns, and which statements they are enough for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import duckdb
import pyarrow.types as pa_types

from opens2v_data.catalog.schemas import CLIPS
from opens2v_data.query.bins import Bins

TEXTS = ("part", "caption_source")
"""Columns of clips with a few texts, which are kept as their numbers."""

LISTS = ("quirks",)
"""Columns of lists that are empty for most clips: 1 MB at 5 M, where a hundredth of them has one."""

SCALARS = tuple(
    column.name
    for column in CLIPS.columns
    if column.name in (*TEXTS, *LISTS) or not (pa_types.is_string(column.type) or pa_types.is_list(column.type))
)
"""Columns of clips that are kept: numbers, `TEXTS` and `LISTS`."""

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
_TABLE = "packed.main.clips_scalars"
_SOURCE = "(SELECT * REPLACE ({}), {} FROM packed.main.clips_scalars)"


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
    return f"CREATE TABLE {_TABLE} AS {loaded} FROM {source}"


def load(
    connection: duckdb.DuckDBPyConnection,
    num_clips: int,
    texts: Mapping[str, Sequence[str]],
    categories: Sequence[str] | None,
) -> InMemory:
    """Load them; see `load_statement`."""
    connection.execute(f"SET memory_limit = '{num_clips * BYTES_PER_CLIP // 1_000_000 + MEMORY_MB}MB'")
    connection.execute("ATTACH ':memory:' AS packed (COMPRESS)")
    try:
        connection.execute(load_statement(texts, categories))
    except duckdb.InvalidInputException:
        # A definition of a user's own that names clips twice; it is joined by id then, when it is asked.
        categories = None
        connection.execute(load_statement(texts))
    connection.execute("CHECKPOINT packed")
    return InMemory(has_derived=categories is not None)


class InMemory:
    """What is in memory of the clips.

    Args:
        has_derived: whether derived columns were loaded.
    """

    def __init__(self, *, has_derived: bool) -> None:
        self.has_derived = has_derived
        self._bins: dict[Bins, str] = {}

    def view_statement(self, clips_view: str, name: str) -> str:
        """Return the statement of a cursor's own view of it, with the derived columns that `clips` has.

        Args:
            clips_view: the statement of `sql/views.sql` that makes `clips`.
            name: of the view.
        """
        source = _SOURCE.format(
            ", ".join(f"{column}::VARCHAR AS {column}" for column in self._texts),
            ", ".join(f'{column} AS "{_code_of(column)}"' for column in self._texts),
        )
        made = clips_view.strip().replace("CREATE VIEW clips", f"CREATE TEMP VIEW {name}", 1)
        return _FILE.sub(source, made)

    def code_name(self, column: str) -> str | None:
        """Return under which name the view has the numbers of a column's texts, an ENUM in their order; None: not as numbers.

        To count by them takes half of what it takes by texts.
        """
        return _code_of(column) if column in self._texts else None

    def bin_name(self, bins: Bins) -> str | None:
        """Return under which name the view has what `keep_bins` kept; None: nothing."""
        return self._bins.get(bins)

    def keep_bins(
        self,
        cursor: duckdb.DuckDBPyConnection,
        ends: Mapping[str, tuple[float, float]],
        *,
        bins: int,
        clips_view: str,
    ) -> None:
        """Keep in which bin each clip's number lies; of columns that are not in memory nothing. See `Engine.keep_bins`.

        Others may ask meanwhile. Columns of the view are worked out by its text, for a column of a table is made of that
        table's columns alone.
        """
        for column, (low, high) in ends.items():
            kept = Bins(column=column, low=float(low), high=float(high), num_bins=bins)
            worked_out = re.search(rf"^ +(.+) AS {re.escape(column)},?$", clips_view, re.MULTILINE)
            if kept in self._bins or not (worked_out or column in self._numbers):
                continue
            name = f"bin {len(self._bins)} of {column}"
            code = kept.code(worked_out[1] if worked_out else f'"{column}"').literal()
            cursor.execute(f'ALTER TABLE {_TABLE} ADD COLUMN "{name}" {kept.type}')
            cursor.execute(f'ALTER TABLE {_TABLE} ALTER "{name}" TYPE {kept.type} USING {code}')
            self._bins[kept] = name

    @property
    def _numbers(self) -> set[str]:
        """Return the columns of the table that hold numbers."""
        return {*SCALARS, *(DERIVED if self.has_derived else ())} - {*self._texts, *LISTS}

    @property
    def _texts(self) -> tuple[str, ...]:
        return (*TEXTS, "category") if self.has_derived else TEXTS


def _code_of(column: str) -> str:
    return f"code of {column}"


def _matched(table: str, value: str) -> str:
    """Return a value of a table's row, which must be the same clip's."""
    return (
        f"CASE WHEN {table}.clip_id = base.clip_id THEN {value} ELSE error('rows of {table} are not of the clips') END"
    )


def _enum(values: Sequence[str]) -> str:
    names = ", ".join("'" + value.replace("'", "''") + "'" for value in values) or "''"
    return f"ENUM({names})"
