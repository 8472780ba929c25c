"""Tables that are worked out from a catalog by SQL, once, and kept: kinds of classes, categories of clips, numbers of clips that
other tables hold.

    <cache>/derived/<digest>/class_kinds-<definition>.parquet         class_id, kind
                             clip_categories-<definition>.parquet     clip_id, category, kinds; by clip_id
                             clip_numbers-<definition>.parquet        clip_id, subject_area, pair_similarity; by clip_id

The definition is `sql/category.sql`, which says what a file of one's own must give. At 5 M clips and 50 M subjects the
default one takes some 10 s on 2 cores, and the numbers of `sql/clip-numbers.sql` as long; whoever asks first waits for them.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.archive.cache import CACHE_VARIABLE, default_cache_folder
from opens2v_data.errors import QueryError
from opens2v_data.sqlfiles import sql_text

if TYPE_CHECKING:
    from opens2v_data.catalog.catalog import Catalog

FOLDER = "derived"
FORMAT = 2
NUMBERS = "clip-numbers"
"""Text of the numbers of clips; no definition of a user's changes them."""

TABLES = ("class_kinds", "clip_categories", "clip_numbers")
RANGE_CLIPS = 262_144
"""Clips worked out at once: 2.6 M subjects, which is far below `connecting.MEMORY_LIMIT`."""

Ask = Callable[..., pa.Table]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a category is.

    Attributes:
        kinds: SELECT of class_id and kind.
        categories: SELECT of clip_id and category for clips from `$lo` to before `$hi`.
        name: where it comes from, for messages.
    """

    kinds: str
    categories: str
    name: str

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Definition:
        """Read a definition; None: the one of `sql/category.sql`.

        Raises:
            QueryError: it is not one or two SELECTs; the message says what is expected.
        """
        default = _selects(sql_text("category"), "sql/category.sql")
        if path is None:
            return cls(kinds=default[0], categories=default[1], name="sql/category.sql")
        try:
            own = _selects(Path(path).read_text(encoding="utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise QueryError(f"expected a definition of categories in {path}: {error}") from error
        return cls(kinds=own[0], categories=own[1] if len(own) > 1 else default[1], name=str(path))

    @property
    def digest(self) -> str:
        """Of both texts: another definition has tables of its own."""
        numbers = sql_text(NUMBERS)
        return blake2b(f"{FORMAT}\0{self.kinds}\0{self.categories}\0{numbers}".encode(), digest_size=8).hexdigest()


def derived_folder(catalog: Catalog) -> Path:
    """Return where a catalog's derived tables lie: below the user's cache, since a catalog may be read-only.

    Where the cache cannot be written, as in a container without a home, below a folder of the user's among temporary files.
    """
    cache = default_cache_folder()
    base = cache if os.environ.get(CACHE_VARIABLE) else cache.parent
    name = Path(FOLDER) / catalog.digest[:16]
    # Not `Path.exists`, which before Python 3.14 raises in a folder that one may not enter.
    nearest = next(path for path in (base / name, *(base / name).absolute().parents) if os.path.exists(path))  # noqa: PTH110
    if nearest.is_dir() and (nearest == base / name or os.access(nearest, os.W_OK | os.X_OK)):
        return base / name
    return (_temporary() or base) / name


def _temporary() -> Path | None:
    """Return a folder among temporary files that nobody else can write; None: another has taken its name."""
    path = Path(tempfile.gettempdir()) / f"opens2v-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return None
    is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return path if is_ours else None


def category_tables(
    catalog: Catalog, definition: Definition, ask: Ask, *, progress: Progress | None = None
) -> dict[str, Path]:
    """Return the files of `TABLES`, worked out if they are not there.

    Args:
        catalog: whose.
        definition: of them.
        ask: answers a statement over the catalog, with values and tables, as `Query.ask` does.
        progress: called with clips done and clips in all.

    Raises:
        QueryError: the definition is no SQL, or gives other columns or rows than it must.
        OSError: the cache cannot be written.
    """
    if (known := known_tables(catalog, definition)) is not None:
        return known
    paths = _paths(catalog, definition)
    derived_folder(catalog).mkdir(parents=True, exist_ok=True)
    try:
        kinds = ask(definition.kinds)
    except QueryError as error:
        raise QueryError(f"the kinds of {definition.name}: {error}") from error
    _check(kinds, ("class_id", "kind"), definition, "first")
    kinds = (
        kinds.cast(pa.schema([("class_id", pa.int32()), ("kind", pa.string())])) if kinds.num_columns == 2 else kinds
    )
    _write(paths["class_kinds"], iter([kinds]))
    _write(paths["clip_categories"], _ranges(catalog, definition, ask, kinds, progress))
    _write(paths["clip_numbers"], (ask(sql_text(NUMBERS), {"lo": lo, "hi": hi}) for lo, hi in _stretches(catalog)))
    return paths


def known_tables(catalog: Catalog, definition: Definition) -> dict[str, Path] | None:
    """Return the files that `category_tables` made before, or None."""
    paths = _paths(catalog, definition)
    return paths if all(path.is_file() for path in paths.values()) else None


def _paths(catalog: Catalog, definition: Definition) -> dict[str, Path]:
    folder = derived_folder(catalog)
    return {name: folder / f"{name}-{definition.digest}.parquet" for name in TABLES}


def _ranges(
    catalog: Catalog, definition: Definition, ask: Ask, kinds: pa.Table, progress: Progress | None
) -> Iterator[pa.Table]:
    num_clips = catalog.num_rows("clips")
    for lo, hi in _stretches(catalog):
        try:
            rows = ask(definition.categories, {"lo": lo, "hi": hi}, tables={"class_kinds": kinds})
        except QueryError as error:
            raise QueryError(f"the categories of {definition.name}: {error}") from error
        _check(rows, ("clip_id", "category"), definition, "second")
        if rows.num_rows != hi - lo:
            raise QueryError(
                f"expected the second SELECT of {definition.name} to give one row for each of the {hi - lo} clips from {lo} to "
                f"before {hi}, found {rows.num_rows}"
            )
        ids = rows.column("clip_id").to_numpy()
        yield rows if (ids[1:] > ids[:-1]).all() else rows.sort_by("clip_id")
        if progress is not None:
            progress(hi, num_clips)


def _stretches(catalog: Catalog) -> Iterator[tuple[int, int]]:
    """Give the ranges of clip ids that are worked out at once; an empty catalog has one."""
    num_clips = catalog.num_rows("clips")
    for lo in range(0, max(num_clips, 1), RANGE_CLIPS):
        yield lo, min(lo + RANGE_CLIPS, num_clips)


def _check(table: pa.Table, columns: tuple[str, ...], definition: Definition, which: str) -> None:
    if missing := [name for name in columns if name not in table.column_names]:
        raise QueryError(
            f"expected the {which} SELECT of {definition.name} to give {' and '.join(columns)}, found "
            f"{', '.join(table.column_names)} without {', '.join(missing)}; sql/category.sql says what a definition is"
        )


def _write(path: Path, tables: Iterator[pa.Table]) -> None:
    """Write a file whole or not at all; two processes at once write the same."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    writer: pq.ParquetWriter | None = None
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd", compression_level=1)
            writer.write_table(table.cast(writer.schema), row_group_size=122_880)
        assert writer is not None
        writer.close()
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # a full disk: nobody knows that it is the cache's
            error.filename = str(path)
        raise
    finally:
        if writer is not None:
            writer.close()
        temporary.unlink(missing_ok=True)


def _selects(text: str, name: str) -> list[str]:
    try:
        statements: list[Any] = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise QueryError(f"the definition of categories in {name} is no SQL: {error}") from error
    if not 1 <= len(statements) <= 2 or any(one.type != duckdb.StatementType.SELECT for one in statements):
        raise QueryError(
            f"expected one or two SELECTs in {name}, found {len(statements)} statements; sql/category.sql says what a "
            "definition is"
        )
    return [one.query.strip().rstrip(";") for one in statements]
