"""Which row comes next, and what are its bytes? The plan's rows in order, each with the mp4s of its clips.

    steps ─▶ rows of some batches ─▶ places of bytes ─▶ fetcher ─▶ bytes, in order ─▶ a row with all of its

The fetcher looks ahead as far as it likes; what it has asked for and not given waits in `_coming`.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import ArchiveError
from opens2v_loaders.samples import Item, absent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from opens2v_data.triples import VideoRef
    from opens2v_loaders.epoch import EpochPlan
    from opens2v_loaders.outcomes import Timing
    from opens2v_loaders.planned import PlannedBatch
    from opens2v_loaders.samples import RowSource

_MAX_ROWS_AT_ONCE = 512  # as many as a stream makes at a time (`opens2v_data.rows.BATCH_ROWS`)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fed:
    """A row with its bytes.

    Attributes:
        part: the rank's part of the batch it is of.
        place: its number there.
        item: the row.
        videos: mp4s of `item.clips`, or why there is none.
    """

    part: PlannedBatch
    place: int
    item: Item
    videos: tuple[bytes | ArchiveError, ...]


class Feed:
    """The rows of one rank from a step on, in the thread that iterates.

    Args:
        first_step: the batch to begin with.
        world, rank: whose part of each batch.
        timing: where its time is noted.
        is_over: asked before tables are read again.
        with_subjects: whether the rows' subjects and masks are wanted.
    """

    def __init__(
        self,
        rows: RowSource,
        epoch: EpochPlan,
        *,
        first_step: int,
        world: int,
        rank: int,
        timing: Timing,
        is_over: Callable[[], bool],
        with_subjects: bool = True,
    ) -> None:
        self._rows, self._epoch, self._timing, self._is_over = rows, epoch, timing, is_over
        self._next_step, self._world, self._rank, self._with_subjects = first_step, world, rank, with_subjects
        self._coming: deque[tuple[PlannedBatch, int, Item]] = deque()
        self._held: bytes | ArchiveError | None = None  # bytes of the next row that has any

    def __iter__(self) -> Generator[Fed]:
        """Yield rows; once only.

        Raises:
            RuntimeError: the source gives fewer videos than it was asked for.
        """
        videos = self._rows.read_videos(self._wanted())
        try:
            while True:
                # Tables are read while the fetcher is asked, and are no waiting for bytes.
                begun = time.perf_counter() - self._timing.rows_seconds
                fed = self._next(videos)
                self._timing.fetch_seconds += time.perf_counter() - self._timing.rows_seconds - begun
                if fed is None:
                    break
                yield fed
        finally:
            if (close := getattr(videos, "close", None)) is not None:
                close()
        if self._next_step < self._epoch.num_steps and not self._is_over():
            raise _too_few(f"it ended before step {self._next_step} of {self._epoch.num_steps}")

    def _wanted(self) -> Iterator[VideoRef]:
        """Give the places of bytes in order, and note in `_coming` whose they are."""
        num_batches = 1
        share = self._epoch.plan.batch_size // self._world
        while self._next_step < self._epoch.num_steps and not self._is_over():
            begun = time.perf_counter()
            last = min(self._next_step + num_batches, self._epoch.num_steps)
            steps = range(self._next_step, last)
            parts = [self._epoch.batch(step).part(world=self._world, rank=self._rank) for step in steps]
            items = self._items(parts)
            self._timing.rows_seconds += time.perf_counter() - begun
            for number, item in enumerate(items):
                self._coming.append((parts[number // share], number % share, item))
                for clip in item.clips:
                    if clip.video is not None:
                        yield clip.video
            # The first batch must not wait for rows of later ones; later on, asking for many at once costs less for each.
            self._next_step, num_batches = last, min(2 * num_batches, max(1, _MAX_ROWS_AT_ONCE // share))

    def _items(self, parts: list[PlannedBatch]) -> list[Item]:
        ids = np.concatenate([part.rows for part in parts])
        codes = np.concatenate([part.sources for part in parts])
        items: list[Item | None] = [None] * len(ids)
        for code in np.unique(codes).tolist():
            source = self._epoch.plan.rows.source_names[code]
            places = np.flatnonzero(codes == code)
            found = self._rows.rows_of(ids[places], config=source, with_subjects=self._with_subjects)
            for place, values in zip(places.tolist(), found, strict=True):
                items[place] = Item.from_row(source, int(ids[place]), values)
        return [item for item in items if item is not None]

    def _next(self, videos: Iterator[bytes | ArchiveError]) -> Fed | None:
        """Return the next row with the bytes of its clips, or None after the last."""
        if not self._coming and self._held is None:
            # The fetcher looks further only when it is asked for bytes.
            self._held = next(videos, None)
        if not self._coming:
            return None
        part, place, item = self._coming.popleft()
        found: list[bytes | ArchiveError] = []
        for clip in item.clips:
            if clip.video is None:
                found.append(absent(clip))
                continue
            data, self._held = self._held, None
            if data is None and (data := next(videos, None)) is None:
                raise _too_few(f"none came for clip {clip.key} of {clip.part}")
            found.append(data)
        return Fed(part=part, place=place, item=item, videos=tuple(found))


def _too_few(what: str) -> RuntimeError:
    return RuntimeError(
        f"read_videos of the catalog must give the bytes, or the error, of each video that it is asked for: {what}"
    )
