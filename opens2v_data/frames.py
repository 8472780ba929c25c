"""A catalog's tables as polars frames that read what they are asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import MissingExtraError, QueryError
from opens2v_data.query.hints import nearest

if TYPE_CHECKING:
    import polars


def scan(table: str, root: str | os.PathLike[str] | None = None, **options: Any) -> polars.LazyFrame:
    """Return a table of a catalog as a polars LazyFrame: columns and row groups are read when they are asked for.

    It is the table as it lies in its file: no derived columns, class ids and not class names. No pandas is needed or imported.

    Args:
        table: clips, captions, subjects, classes, pairs, views, members, locations, …: `opens2v info --schema` lists them.
        root: of the catalog, as for `open`; on this machine.
        options: passed on to `polars.scan_parquet`.

    Raises:
        QueryError: there is no such table, or it lies on a server; the message says what to do.
        MissingExtraError: polars is not installed.
    """
    catalog = Catalog.open(root)
    tables = catalog.manifest.tables
    if table not in tables:
        near = nearest(table, tables) or sorted(tables)
        raise QueryError(f"no table is called {table!r}; nearest names: {', '.join(near)}")
    path = catalog.local_path(tables[table].path)
    if path is None:
        raise QueryError(
            f"{catalog.uri} lies on a server, and polars would read it without the pinned commit; copy the table first: "
            f"opens2v copy {catalog.uri} ./opens2v-5m"
        )
    try:
        import polars
    except ImportError as error:
        raise MissingExtraError(package="polars", extra="polars", needed_for="opens2v_data.scan") from error
    return polars.scan_parquet(path, **options)
