"""Build a catalog's caption index: read captions row group by row group, write tantivy's files, then say that they count."""

from __future__ import annotations

import secrets
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.archive.daemons import DaemonPool
from opens2v_data.catalog.locks import locked_folder
from opens2v_data.catalog.manifest import sync_folder
from opens2v_data.catalog.ranges import TableFile, TableFileSystem
from opens2v_data.errors import CatalogDamagedError
from opens2v_data.search.captions import load_engine
from opens2v_data.search.place import FORMAT, INFO_FILE, IndexInfo, folder_to_write, load_info, save_info
from opens2v_data.search.words import spaced_words
from opens2v_data.waiting import result_of

if TYPE_CHECKING:
    from opens2v_data.catalog.catalog import Catalog

Progress = Callable[[str, int, int], None]

STAGE = "captions"
HEAP_BYTES = 512 << 20
NUM_THREADS = 2
"""Of tantivy. With these 5 M captions of 60 words took 93 CPU-seconds and 0.75 GB of memory, and gave 0.6 GB in six segments."""


@dataclass(frozen=True, kw_only=True)
class IndexResult:
    """What a build came to.

    Attributes:
        folder: where the index lies, `index.json` and all.
        num_captions: captions in it, those that are null too.
        size_bytes: of its files.
        was_complete: it was there already, of this catalog, and was left alone.
    """

    folder: Path
    num_captions: int
    size_bytes: int
    was_complete: bool


def build_index(
    catalog: Catalog, *, progress: Progress | None = None, folder: Path | None = None, force: bool = False
) -> IndexResult:
    """Build the index that `CaptionSearch` opens; an index of another catalog in the same place is replaced.

    Killed at any moment, it leaves the former index or none; called again, it removes what was left and starts anew.

    Args:
        catalog: whose captions to index, in a folder or on a server.
        progress: called with the stage "captions", and how many captions of how many were read.
        folder: where to; by default `search` in the catalog's folder, or in the user's cache where one may not write there.
        force: build it also where one of this catalog is there.

    Raises:
        MissingExtraError: tantivy is not installed.
        CatalogError: another process builds there.
        CatalogDamagedError: the captions cannot be read.
        ArchiveError: a server does not give them.
    """
    engine = load_engine()
    place = folder_to_write(catalog) if folder is None else folder
    place.mkdir(parents=True, exist_ok=True)
    busy = f"another process builds the caption index in {place}; wait for it to end"
    # Without locks two builds write folders of their own, and the last one counts.
    with locked_folder(place, busy=busy):
        found = load_info(place)
        if not force and found is not None and (found.format, found.digest) == (FORMAT, catalog.digest):
            _remove_leftovers(place, keep=found.folder)
            return IndexResult(
                folder=place,
                num_captions=found.num_captions,
                size_bytes=_size_bytes(place / found.folder),
                was_complete=True,
            )
        _remove_leftovers(place, keep=None if found is None else found.folder)
        name = f"index-{secrets.token_hex(8)}"
        (place / name).mkdir()
        num_captions = engine.write(
            place / name, _documents(catalog, progress), heap_bytes=HEAP_BYTES, num_threads=NUM_THREADS
        )
        if num_captions != catalog.num_rows("captions"):
            raise CatalogDamagedError(
                f"expected {catalog.num_rows('captions')} captions in {catalog.uri}, found {num_captions}; run opens2v verify"
            )
        sync_folder(place / name)
        save_info(place, IndexInfo(format=FORMAT, digest=catalog.digest, num_captions=num_captions, folder=name))
        _remove_leftovers(place, keep=name)
    return IndexResult(
        folder=place, num_captions=num_captions, size_bytes=_size_bytes(place / name), was_complete=False
    )


def _documents(catalog: Catalog, progress: Progress | None) -> Iterator[tuple[list[int], list[str]]]:
    """Give clip ids and the words of their captions, a row group at a time."""
    report = progress or (lambda stage, done, total: None)
    path = catalog.manifest.tables["captions"].path
    total = catalog.num_rows("captions")
    done = 0
    report(STAGE, 0, total)
    local = catalog.local_path(path)
    source = local if local is not None else pa.PythonFile(TableFile(TableFileSystem(catalog.reader), path), mode="r")
    try:
        # Words are told apart in a second thread: that takes as long as writing them does.
        with pq.ParquetFile(source) as captions, DaemonPool(1, name="opens2v-search") as pool:
            reads = deque(pool.submit(_read_group, captions, group) for group in range(min(2, captions.num_row_groups)))
            for group in range(captions.num_row_groups):
                clip_ids, words = result_of(reads.popleft())
                if group + 2 < captions.num_row_groups:
                    reads.append(pool.submit(_read_group, captions, group + 2))
                yield clip_ids, words
                done += len(clip_ids)
                report(STAGE, done, total)
    except (pa.ArrowException, OSError) as error:
        raise CatalogDamagedError(f"{catalog.uri}/{path} cannot be read: {error}; run opens2v verify") from error


def _read_group(captions: pq.ParquetFile, group: int) -> tuple[list[int], list[str]]:
    table = captions.read_row_group(group, columns=["clip_id", "caption"], use_threads=False)
    words = spaced_words(table.column("caption").combine_chunks()).fill_null("")
    return table.column("clip_id").to_pylist(), words.to_pylist()


def _remove_leftovers(place: Path, *, keep: str | None) -> None:
    """Remove what killed builds left, and the index that no longer counts; who has it open goes on reading it."""
    for path in place.iterdir():
        if path.is_dir() and path.name.startswith("index-") and path.name != keep:
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(f"{INFO_FILE}.") and path.name.endswith(".tmp"):
            path.unlink(missing_ok=True)


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
