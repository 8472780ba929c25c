"""An opened catalog: `opens2v_data.open(root)`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import ArchiveError, MemberNotFoundError, QueryError
from opens2v_data.media import Media
from opens2v_data.query import Config, Query
from opens2v_data.query.lookup import clip_ids_of
from opens2v_data.query.saved import open_saved
from opens2v_data.query.slices import Slice
from opens2v_data.rows import iter_rows, read_rows, row_schema
from opens2v_data.triples import Pair, Triple, VideoRef

if TYPE_CHECKING:
    import pyarrow as pa

    from opens2v_data.archive.cache import ClipCache
    from opens2v_data.query.safe import SafeSql


class OpenS2V:
    """A catalog one can ask and read.

    Attributes:
        catalog: its tables and manifest.
        query: its rows by condition.
        media: the bytes that rows name.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        release: str | os.PathLike[str] | None = None,
        cache: ClipCache | None = None,
        category: str | os.PathLike[str] | None = None,
    ) -> None:
        self.catalog = catalog
        self.query = Query(catalog, category=None if category is None else os.fspath(category))
        self.media = Media(catalog, release=release, cache=cache)
        self._safe: SafeSql | None = None

    def __repr__(self) -> str:
        return f"OpenS2V({self.catalog!r})"

    def __len__(self) -> int:
        return self.catalog.num_rows("clips")

    def warm(self) -> None:
        """Load the numbers of all clips into memory, for whoever asks often; see `Query.warm`."""
        self.query.warm()

    @property
    def all(self) -> Slice:
        """All clips, as a slice."""
        return Slice(self.query, opened=self)

    def where(self, condition: str, *values: Any) -> Slice:
        """Return the slice of clips that meet a condition; see `Slice.where`.

        Raises:
            QueryError: it is not one condition.
        """
        return self.all.where(condition, *values)

    def has_subject(self, name: str, **numbers: Any) -> Slice:
        """Return the slice of clips with such a subject; see `Slice.has_subject`."""
        return self.all.has_subject(name, **numbers)

    def search(self, text: str) -> Slice:
        """Return the slice of clips whose caption meets a text query; see `Slice.search`."""
        return self.all.search(text)

    def slice(self, path: str | os.PathLike[str], *, remap: bool = False) -> Slice:
        """Open a saved slice, in the order it was saved in.

        Args:
            path: a file that `Slice.save` or `opens2v slice -o` wrote.
            remap: it may be of another catalog: clips are then found by part and key, and those not here are left out.

        Raises:
            QueryError: no saved slice, or another catalog's without `remap`.
        """
        return Slice(self.query, open_saved(self.query, path, remap=remap), opened=self)

    def sql(
        self, statement: str, *values: Any, safe: bool = False, max_rows: int = 10_000, seconds: float = 10.0
    ) -> pa.Table:
        """Answer one SELECT over the catalog's views.

        Args:
            statement: SQL, with `?` for values; `opens2v sql --tables` lists views, columns and macros.
            values: bound to the marks.
            safe: the statement is a stranger's: it can read these views and nothing else, for so long and so many rows.
            max_rows, seconds: with `safe`; more rows are cut off, more time raises.

        Raises:
            QueryError: no SQL, not one SELECT, or it names what is not there; the message shows the place.
        """
        if not safe:
            return self.query.ask(statement, values)
        if values:
            raise ValueError("a safe statement takes no values: write them into it")
        if self._safe is None:
            from opens2v_data.query.safe import SafeSql

            self._safe = SafeSql(self.catalog, category=self.query.category)
        return self._safe.ask(statement, max_rows=max_rows, seconds=seconds).table

    def get(self, keys: Sequence[str], *, masks: bool = True) -> list[Triple]:
        """Return clips by key, in the order of the keys.

        Args:
            keys: `part/clip_key`, or `clip_key` alone where only one part has it.
            masks: False gives subjects without their masks.

        Raises:
            QueryError: a key that no clip has, or that several have; the message names up to five.
        """
        found = [Triple.from_row(row) for row in self.rows_of(clip_ids_of(self.query, keys))]
        if masks:
            return found
        return [replace(one, subjects=tuple(replace(subject, mask=None) for subject in one.subjects)) for one in found]

    def count(self, where: str | None = None, *, config: Config = "regular") -> int:
        """Return how many rows a condition names.

        Raises:
            QueryError: the condition is not one that the config can answer.
        """
        return self.query.count(config, where)

    def rows(
        self,
        where: str | None = None,
        *,
        config: Config = "regular",
        columns: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Give rows as plain values, in id order: what a row of `load_dataset("opens2v-5m", config)` holds, undecoded.

        Raises:
            QueryError: the condition or a column is not one that the config can answer.
        """
        for table in iter_rows(self.query, self.media, config, where, columns=columns, limit=limit):
            yield from table.to_pylist()

    @property
    def fingerprint(self) -> str:
        """Of the catalog's content: two catalogs with one fingerprint hold the same rows under the same ids."""
        return self.catalog.manifest.digest

    def row_sizes(self, where: str | None = None, *, config: Config = "regular") -> dict[str, np.ndarray]:
        """Return ids, picture sizes and lengths of the rows that a condition names, see `Query.sizes`.

        Raises:
            QueryError: the condition is not one that the config can answer.
        """
        return self.query.sizes(config, where)

    def rows_of(
        self, ids: Sequence[int] | np.ndarray, *, config: Config = "regular", with_subjects: bool = True
    ) -> list[dict[str, Any]]:
        """Return the rows of some ids as plain values, in the order of the ids, which may be any and name a row twice.

        Every row group that holds one of the ids is read, whole: ask for many at once.

        Args:
            ids: of clips, or of pairs for "nexus-cross".
            config: what the ids count.
            with_subjects: False leaves the subjects and their masks unread, and `subjects` empty: half the time of a row
                ("nexus-cross" reads them all the same).

        Raises:
            QueryError: there is no row of such an id.
        """
        unique, places = np.unique(np.asarray(ids, np.int64), return_inverse=True)
        is_bare = not with_subjects and config != "nexus-cross"
        columns = [name for name in row_schema(config).names if name != "subjects"] if is_bare else None
        found: list[dict[str, Any]] = []
        if len(unique):
            found = read_rows(self.query, self.media, config, unique, columns=columns).to_pylist()
        if is_bare:
            found = [row | {"subjects": []} for row in found]
        if len(found) != len(unique):
            raise QueryError(f"expected {len(unique)} rows of config {config}, found {len(found)}: an id names no row")
        return [found[place] for place in places.tolist()]

    def triples(
        self, where: str | None = None, *, with_views: bool = False, limit: int | None = None
    ) -> Iterator[Triple]:
        """Give subject-text-video triples, in clip order.

        Args:
            where: a SQL condition over clips and subjects, for example
                `aesthetic > 5 AND has_subject(clip_id, 'woman', min_gme := 0.3)`.
            with_views: only clips with GPT-Image-1 views, and these with them.
            limit: at most so many.

        Raises:
            QueryError: the condition is not one that clips can answer.
        """
        config: Config = "nexus-gpt" if with_views else "regular"
        return (Triple.from_row(row) for row in self.rows(where, config=config, limit=limit))

    def pairs(self, where: str | None = None, *, limit: int | None = None) -> Iterator[Pair]:
        """Give cross-video pairs, in the order of the table.

        Raises:
            QueryError: the condition is not one that pairs can answer.
        """
        return (Pair.from_row(row) for row in self.rows(where, config="nexus-cross", limit=limit))

    def read_bytes(self, video: VideoRef | None) -> bytes:
        """Return a clip's whole mp4.

        Raises:
            MemberNotFoundError: None was given, as a clip whose video is not in the release has it.
            ArchiveError: the release is not here, a piece is missing or has changed, or the bytes end early.
        """
        if video is None:
            raise MemberNotFoundError("the release has no bytes for this clip: its `video` is None")
        return self.media.read_video(video)

    def read_videos(self, videos: Iterable[VideoRef]) -> Iterator[bytes | ArchiveError]:
        """Give whole mp4s in the order asked for, many read at once, up to 128 MiB of them ahead.

        A clip that cannot be read gives the error instead, and the others go on. Closing the iterator drops what is being read.
        """
        return self.media.read_videos(videos)

    def read_file(self, path: str) -> bytes:
        """Return a view's or a background plate's file, by its path below the release.

        Raises:
            ArchiveError: not there, or a path that leaves the release.
        """
        return self.media.read_file(path)
