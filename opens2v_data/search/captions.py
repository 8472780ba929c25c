"""Ask a catalog's caption index, and whether there is one."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from opens2v_data.errors import CatalogError, MissingExtraError, QueryError
from opens2v_data.search.place import FORMAT, IndexInfo, index_folders, load_info
from opens2v_data.search.terms import parse_query

if TYPE_CHECKING:
    import numpy as np

    from opens2v_data.catalog.catalog import Catalog

IndexKind = Literal["ready", "absent", "stale", "no-extra"]


@dataclass(frozen=True, kw_only=True)
class IndexState:
    """Whether captions are searched by an index; where they are not, `scan_condition` gives the same clips, later.

    Attributes:
        kind: "ready"; "absent": none was built; "stale": it is another catalog's, or of another version of this project;
            "no-extra": tantivy is not installed.
        folder: where the index lies; None: there is none.
        note: what it is and what to do, one line.
    """

    kind: IndexKind
    folder: Path | None
    note: str


def index_state(catalog: Catalog, *, folder: Path | None = None) -> IndexState:
    """Say whether `CaptionSearch.open` finds an index.

    Raises:
        CatalogError: there is one whose `index.json` cannot be read.
    """
    return _look(catalog, folder)[0]


class CaptionSearch:
    """A caption index. Threads may share one; it can be pickled to other processes.

    Attributes:
        folder: where it lies.
        num_captions: captions in it, those that are null too.
    """

    def __init__(self, folder: Path, info: IndexInfo) -> None:
        self.folder = folder
        self.num_captions = info.num_captions
        self._info = info
        try:
            self._index = load_engine().Opened(folder / info.folder)
        except (ValueError, OSError) as error:
            raise CatalogError(
                f"expected a caption index in {folder / info.folder}, found {error}; run opens2v search-index --force"
            ) from error

    @classmethod
    def open(cls, catalog: Catalog, *, folder: Path | None = None) -> CaptionSearch:
        """Open the index of a catalog.

        Args:
            catalog: whose captions.
            folder: where it was built to; by default where `build_index` puts it.

        Raises:
            MissingExtraError: tantivy is not installed.
            QueryError: none was built, or it is stale; the message has the command that builds it.
            CatalogError: its files are damaged.
        """
        state, info = _look(catalog, folder)
        if state.kind == "no-extra":
            load_engine()
        if state.kind != "ready" or state.folder is None or info is None:
            raise QueryError(state.note)
        return cls(state.folder, info)

    @classmethod
    def find(cls, catalog: Catalog, *, folder: Path | None = None) -> CaptionSearch | None:
        """Open the index of a catalog, or return None where a scan has to do: none was built, or tantivy is not installed.

        `index_state` says which. An index that is stale is no reason to scan in silence:

        Raises:
            QueryError: the index is stale; the message has the command that builds it anew.
            CatalogError: its files are damaged.
        """
        state, info = _look(catalog, folder)
        if state.kind in ("absent", "no-extra"):
            return None
        if state.folder is None or info is None:
            raise QueryError(state.note)
        return cls(state.folder, info)

    def __repr__(self) -> str:
        return f"CaptionSearch({str(self.folder)!r}, num_captions={self.num_captions})"

    def __reduce__(self) -> tuple[Any, ...]:
        return CaptionSearch, (self.folder, self._info)

    def ids(self, query: str, *, limit: int | None = None) -> np.ndarray:
        """Return every clip that a query names, not only the best.

        Args:
            query: words, "phrases", AND, OR, NOT, + and -, brackets; see `opens2v_data.search.terms`.
            limit: at most so many, the first by id.

        Returns:
            Clip ids, `(N,) int32`, ascending.

        Raises:
            QueryError: no caption query; the message shows where.
            ValueError: limit below 0.
        """
        if limit is not None and limit < 0:
            raise ValueError(f"limit must be 0 or more, got {limit}")
        return self._index.ids(parse_query(query), limit=limit)

    def top(self, query: str, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the clips that fit a query best.

        Returns:
            Clip ids, `(N,) int32`, and BM25 scores, `(N,) float32`, the highest first, N ≤ n. Of clips with the same score any
            may be among the n.

        Raises:
            QueryError: as `ids`.
            ValueError: n below 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        return self._index.top(parse_query(query), n)


def load_engine() -> ModuleType:
    """Return the module that touches tantivy.

    Raises:
        MissingExtraError: tantivy is not installed.
    """
    try:
        import tantivy  # noqa: F401 - only asked whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtraError(package="tantivy", extra="search", needed_for="an index of captions") from error
    from opens2v_data.search import engine

    return engine


def _look(catalog: Catalog, folder: Path | None) -> tuple[IndexState, IndexInfo | None]:
    command = f"opens2v search-index {catalog.uri}"
    if find_spec("tantivy") is None:
        note = 'an index of captions needs tantivy, which is not installed: pip install "opens2v-data[search]"'
        return IndexState(kind="no-extra", folder=None, note=note), None
    stale: IndexState | None = None
    for place in index_folders(catalog) if folder is None else [folder]:
        info = load_info(place)
        if info is None:
            continue
        if (info.format, info.digest) == (FORMAT, catalog.digest):
            return IndexState(kind="ready", folder=place, note=f"captions are searched by the index in {place}"), info
        note = (
            f"expected the caption index of the catalog with digest {catalog.digest} in {place}, found that of "
            f"{info.digest}{'' if info.format == FORMAT else f' in format {info.format}'}; build it anew: {command}"
        )
        stale = stale or IndexState(kind="stale", folder=place, note=note)
    absent = IndexState(
        kind="absent", folder=None, note=f"{catalog.uri} has no caption index; build it with: {command}"
    )
    return stale or absent, None
