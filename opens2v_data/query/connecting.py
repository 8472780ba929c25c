"""How is DuckDB set up to read a catalog's tables?"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from opens2v_data.catalog.ranges import TableFileSystem

MEMORY_LIMIT = "256MB"
"""For DuckDB itself: ids sort in far less, and a stream must stay below 500 MB in all."""

MAX_THREADS = 4
"""Threads share that memory: on 16 and 32 of them joins of 10 M pairs ran out of it, on 8 they did not."""

REMOTE_THREADS = 8
"""For tables on a server, however few the cores: each waits for a row group. The most that the memory was seen to do for."""


def connect(tables: TableFileSystem | None, *, threads: int | None, memory_limit: str) -> duckdb.DuckDBPyConnection:
    """Return a connection in memory, without views.

    Args:
        tables: gives tables that lie on a server; None: all lie on this machine.
        threads: None: all cores, at most `MAX_THREADS`, or `REMOTE_THREADS` with `tables`.
        memory_limit: as DuckDB spells it.
    """
    default_threads = min(MAX_THREADS, os.cpu_count() or 1) if tables is None else REMOTE_THREADS
    options: dict[str, Any] = {
        "memory_limit": memory_limit,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # A name that no view has is no Python variable of a caller.
        "python_enable_replacements": False,
        "threads": threads or default_threads,
        # Not ".tmp" in whatever folder this runs in.
        "temp_directory": str(Path(tempfile.gettempdir()) / f"opens2v-duckdb-{os.getpid()}"),
    }
    connection = duckdb.connect(":memory:", config=options)
    connection.execute("SET enable_progress_bar = false")
    # Footers are read once: to parse them for each statement takes 20-40 ms of CPU at 5 M clips. GLOBAL: for cursors too.
    connection.execute("SET GLOBAL parquet_metadata_cache = true")
    # A page's other columns are fetched for its rows and not carried through the sort (24 ms for 36 ms, from memory at 5 M
    # clips). By itself DuckDB does so up to 50 rows; a page of 50 asks for 51.
    connection.execute("SET GLOBAL late_materialization_max_rows = 1000")
    if tables is not None:
        connection.register_filesystem(tables)
        # Columns of a row group that lie side by side are then asked for at once; later versions do so by themselves.
        connection.execute("SET prefetch_all_parquet_files = true")
    return connection
