"""An opened catalog: `opens2v_data.open(root)`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.errors import ArchiveError, MemberNotFoundError, QueryError
from opens2v_data.media import Media
from opens2v_data.query import Config, Query
from opens2v_data.rows import iter_rows, read_rows
from opens2v_data.triples import Pair, Triple, VideoRef

if TYPE_CHECKING:
    from opens2v_data.archive.cache import ClipCache


class OpenS2V:
    """A catalog one can ask and read.

    Attributes:
        catalog: its tables and manifest.
        query: its rows by condition.
        media: the bytes that rows name.
    """

    def __init__(
        self, catalog: Catalog, *, release: str | os.PathLike[str] | None = None, cache: ClipCache | None = None
    ) -> None:
        self.catalog = catalog
        self.query = Query(catalog)
        self.media = Media(catalog, release=release, cache=cache)

    def __repr__(self) -> str:
        return f"OpenS2V({self.catalog!r})"

    def __len__(self) -> int:
        return self.catalog.num_rows("clips")

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

    def rows_of(self, ids: Sequence[int] | np.ndarray, *, config: Config = "regular") -> list[dict[str, Any]]:
        """Return the rows of some ids as plain values, in the order of the ids, which may be any and name a row twice.

        Every row group that holds one of the ids is read, whole: ask for many at once.

        Raises:
            QueryError: there is no row of such an id.
        """
        unique, places = np.unique(np.asarray(ids, np.int64), return_inverse=True)
        found = read_rows(self.query, self.media, config, unique).to_pylist() if len(unique) else []
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
        """Give whole mp4s in the order asked for, many read at once, up to 256 MiB of them ahead.

        A clip that cannot be read gives the error instead, and the others go on. Closing the iterator drops what is being read.
        """
        return self.media.read_videos(videos)

    def read_file(self, path: str) -> bytes:
        """Return a view's or a background plate's file, by its path below the release.

        Raises:
            ArchiveError: not there, or a path that leaves the release.
        """
        return self.media.read_file(path)
