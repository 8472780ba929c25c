"""What does an error of DuckDB tell: a server that gives nothing, a damaged table, too little memory, or a wrong statement?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb

from opens2v_data.errors import CatalogDamagedError, QueryError

if TYPE_CHECKING:
    from opens2v_data.catalog.ranges import TableFileSystem

_DAMAGE = re.compile(
    r"Failed to read file|magic bytes|[Pp]arquet|TProtocolException|invalid TType|don't know what type|Out of buffer"
)
"""What DuckDB says of a file of the right size with other bytes: of 120 files with 1 to 64 bytes changed it said nothing else."""


def raise_fault(error: duckdb.Error, *, tables: TableFileSystem | None, uri: str, memory_limit: str) -> None:
    """Raise what is no fault of the statement; return where the statement may be to blame.

    Args:
        error: as DuckDB raised it.
        tables: through which it read tables on a server, if it did.
        uri: the catalog's.
        memory_limit: as DuckDB spells it.

    Raises:
        ArchiveError: a server does not give a table.
        QueryError: the answer needs more memory.
        CatalogDamagedError: a table cannot be read.
    """
    fault = tables.take_fault(str(error)) if tables is not None else None
    if fault is not None:
        raise fault from None
    if isinstance(error, duckdb.OutOfMemoryException):
        raise QueryError(
            f"expected an answer within {memory_limit} of memory, found none: ask for fewer rows or columns, or filter "
            f"before joining ({str(error).splitlines()[0]})"
        ) from error
    # Of a file that is no parquet inside it says so by the base of its errors, or as if the statement were wrong.
    is_of_files = type(error) is duckdb.Error or isinstance(error, duckdb.InvalidInputException)
    if isinstance(error, duckdb.IOException) or (is_of_files and _DAMAGE.search(str(error).split("\n\nLINE")[0])):
        raise CatalogDamagedError(
            f"a table of {uri} cannot be read: {first_lines(error)}; `opens2v verify` says which files are "
            "damaged: copy the catalog again, or run opens2v ingest again"
        ) from error


def first_lines(error: Exception) -> str:
    """Return the first two lines of what DuckDB says, without the place."""
    return " ".join(str(error).split("\n\nLINE")[0].split("\n")[:2])
