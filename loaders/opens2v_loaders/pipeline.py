"""How do batches get made ahead of the training step? Bytes are fetched, and clips decoded, by threads of one process.

    feeder thread     plan ─▶ rows ─▶ bytes, in order ─▶ jobs ─┐       no more batches open than the budget has room for
    decode threads    job ─▶ frames, into the batch's tensor ◀─┘
    settling          the oldest batch first: its bad clips get spares, which go to the front of the jobs
    caller            takes the oldest batch once it is settled

A batch's memory is one tensor, made when it is opened and written by the decode threads, each clip in its place. So
nothing is stacked, and what is open is known beforehand.

Bad clips are replaced in the order of steps and slots, whichever thread finds them first: the same rows go the same way
in every run. Whoever finishes a batch's last clip settles it, so nobody waits for that.

The threads end with `close`, or by themselves once nobody has the iterator any more; the end of the process closes what
still runs.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from opens2v_data.errors import ArchiveError, DecodeError, TooManyBadClipsError
from opens2v_loaders.batch import collate
from opens2v_loaders.outcomes import BadClip, Stage, Timing
from opens2v_loaders.samples import Item, absent, videos_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opens2v_data.triples import VideoRef
    from opens2v_loaders.batch import Batch
    from opens2v_loaders.ledger import Ledger
    from opens2v_loaders.options import LoaderOptions, OnBad
    from opens2v_loaders.plan import PlannedBatch, PlannedRow
    from opens2v_loaders.samples import Recipe, RowSource, Sample

_log = logging.getLogger("opens2v_loaders")

_MAX_ROWS_AT_ONCE = 512  # as many as a stream makes at a time (`opens2v_data.rows.BATCH_ROWS`)
_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_END = 5.0  # a decode ends in less; a request to a server that hangs does not, and its thread is a daemon


_running: weakref.WeakSet[Pipeline] = weakref.WeakSet()


def _close_all() -> None:
    for pipeline in list(_running):
        pipeline.close()


# Before the interpreter goes: a thread that decodes then would never come back to Python.
atexit.register(_close_all)


@dataclass(kw_only=True, eq=False)
class _Open:
    """A batch being made."""

    part: PlannedBatch
    videos: torch.Tensor
    samples: list[Sample | None]
    num_waiting: int
    bad: list[tuple[int, Item, Stage, Exception]] = field(default_factory=list)
    num_tried: int = 0
    is_settled: bool = False
    error: Exception | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Job:
    """A clip to decode: `item` with its bytes, or a spare, whose row and bytes the decode thread reads itself."""

    batch: _Open
    place: int
    item: Item | None = None
    videos: tuple[bytes, ...] = ()
    spare: PlannedRow | None = None


class Pipeline:
    """Makes one rank's batches of an epoch, from a step on.

    Args:
        rows: where rows and bytes come from.
        ledger: of the rank; taken under `lock`.
        recipe: what a row becomes.
        first_step: the batch to begin with.
        on_bad: see `loader.ClipLoader`.
        bad_clips: where bad clips are noted.
        world, rank: whose part of each batch.
    """

    def __init__(
        self,
        rows: RowSource,
        ledger: Ledger,
        recipe: Recipe,
        *,
        options: LoaderOptions,
        first_step: int,
        on_bad: OnBad,
        bad_clips: list[BadClip],
        world: int,
        rank: int,
    ) -> None:
        self._rows, self._ledger, self._recipe, self._options = rows, ledger, recipe, options
        self._on_bad, self._bad_clips = on_bad, bad_clips
        self._epoch = ledger.epoch
        self._first_step, self._world, self._rank = first_step, world, rank
        # Reentrant: an iterator may be collected, and so closed, in a thread that holds it.
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._open: deque[_Open] = deque()
        self._jobs: deque[_Job] = deque()
        self._is_fed = self._is_closed = False
        self._owner: weakref.ref[object] | None = None
        self._fault: BaseException | None = None
        self._held: bytes | ArchiveError | None = None  # bytes of the next row that has any
        self._num_tried = self._num_bad = 0
        self.timing = Timing()
        batch_bytes = len(ledger.slots) * int(np.prod(recipe.shape))
        self._max_open = max(1, options.max_bytes_ahead // batch_bytes)
        self._threads = [threading.Thread(target=self._guard, args=(self._feed,), name="opens2v-feed", daemon=True)]
        for number in range(options.threads):
            self._threads.append(
                threading.Thread(target=self._guard, args=(self._decode,), name=f"opens2v-decode-{number}", daemon=True)
            )
        _running.add(self)
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:  # Ctrl-C: nobody else knows of those that have begun
            self.close()
            raise

    def take(self) -> Batch | None:
        """Wait for the next batch; None after the last.

        Raises:
            DecodeError, ArchiveError: a clip is bad, with on_bad="raise".
            TooManyBadClipsError: see `LoaderOptions.max_bad_share`.
        """
        begun = time.perf_counter()
        with self._changed:
            while not (self._fault or self._is_closed or (self._open and self._open[0].is_settled)):
                if self._is_fed and not self._open:
                    return None
                self._changed.wait()
            self.timing.wait_seconds += time.perf_counter() - begun
            if self._open and self._open[0].is_settled and not self._is_closed:
                batch = self._open.popleft()
                self._changed.notify_all()
            elif self._fault:
                raise self._fault
            else:
                return None
        if batch.error is not None:
            raise batch.error
        return self._finished(batch)

    def belongs_to(self, owner: object) -> None:
        """End with this object: the threads look now and then whether it is still there.

        Not by a destructor: one that takes a lock can be interrupted by Ctrl-C, which is then lost.
        """
        self._owner = weakref.ref(owner)

    def close(self) -> None:
        """End the threads and wait for that; what is being made is dropped."""
        with self._changed:
            self._is_closed = True
            self._drop()
        give_up_at = time.monotonic() + _SECONDS_TO_END
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, give_up_at - time.monotonic()))

    def _is_over(self) -> bool:
        return self._is_closed or (self._owner is not None and self._owner() is None)

    def _drop(self) -> None:
        self._jobs.clear()
        self._open.clear()
        self._changed.notify_all()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as fault:  # noqa: BLE001 - raised where the batch is taken
            with self._changed:
                self._fault = self._fault or fault
                self._changed.notify_all()
        finally:
            with self._changed:
                if self._is_over():
                    self._drop()

    # The feeder

    def _feed(self) -> None:
        coming: deque[tuple[PlannedBatch, int, Item]] = deque()
        videos = self._rows.read_videos(self._wanted(coming))
        try:
            batch: _Open | None = None
            while True:
                # Tables are read while the fetcher is asked, and are no waiting for bytes.
                begun = time.perf_counter() - self.timing.rows_seconds
                found = self._next_videos(coming, videos)
                self.timing.fetch_seconds += time.perf_counter() - self.timing.rows_seconds - begun
                if found is None:
                    break
                part, place, item, data = found
                if batch is None or batch.part.step != part.step:
                    batch = self._opened(part)
                    if batch is None:
                        return
                if not self._submit(batch, place, item, data):
                    return
        finally:
            if (close := getattr(videos, "close", None)) is not None:
                close()
        with self._changed:
            self._is_fed = True
            self._changed.notify_all()

    def _wanted(self, coming: deque[tuple[PlannedBatch, int, Item]]) -> Iterator[VideoRef]:
        """Give the places of bytes in order, and note in `coming` whose they are."""
        step, num_batches = self._first_step, 1
        share = len(self._ledger.slots)
        while step < self._epoch.num_steps and not self._is_over():
            begun = time.perf_counter()
            last = min(step + num_batches, self._epoch.num_steps)
            parts = [self._epoch.batch(s).part(world=self._world, rank=self._rank) for s in range(step, last)]
            items = self._items(parts)
            self.timing.rows_seconds += time.perf_counter() - begun
            for number, item in enumerate(items):
                coming.append((parts[number // share], number % share, item))
                for clip in item.clips:
                    if clip.video is not None:
                        yield clip.video
            # The first batch must not wait for rows of later ones; later on, asking for many at once costs less for each.
            step, num_batches = last, min(2 * num_batches, max(1, _MAX_ROWS_AT_ONCE // share))

    def _items(self, parts: list[PlannedBatch]) -> list[Item]:
        ids = np.concatenate([part.rows for part in parts])
        codes = np.concatenate([part.sources for part in parts])
        items: list[Item | None] = [None] * len(ids)
        for code in np.unique(codes).tolist():
            source = self._epoch.plan.rows.source_names[code]
            places = np.flatnonzero(codes == code)
            for place, values in zip(places.tolist(), self._rows.rows_of(ids[places], config=source), strict=True):
                items[place] = Item.from_row(source, int(ids[place]), values)
        return [item for item in items if item is not None]

    def _next_videos(
        self, coming: deque[tuple[PlannedBatch, int, Item]], videos: Iterator[bytes | ArchiveError]
    ) -> tuple[PlannedBatch, int, Item, list[bytes | ArchiveError]] | None:
        """Return the next row with the bytes of its clips, or None after the last."""
        if not coming and self._held is None:
            # The fetcher looks further only when it is asked for bytes.
            self._held = next(videos, None)
        if not coming:
            return None
        part, place, item = coming.popleft()
        found: list[bytes | ArchiveError] = []
        for clip in item.clips:
            if clip.video is None:
                found.append(absent(clip))
            elif self._held is not None:
                found.append(self._held)
                self._held = None
            else:
                found.append(next(videos))
        return part, place, item, found

    def _opened(self, part: PlannedBatch) -> _Open | None:
        """Wait until there is room for a batch, and open it; None when closed."""
        with self._changed:
            while len(self._open) >= self._max_open and not self._is_over():
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)
            if self._is_over():
                return None
        videos = torch.empty((len(part), *self._recipe.shape), dtype=torch.uint8, device=self._recipe.device)
        batch = _Open(part=part, videos=videos, samples=[None] * len(part), num_waiting=len(part))
        with self._changed:
            self._open.append(batch)
        return batch

    def _submit(self, batch: _Open, place: int, item: Item, data: list[bytes | ArchiveError]) -> bool:
        """Hand a row to the decode threads; return False when closed."""
        errors = [found for found in data if isinstance(found, ArchiveError)]
        with self._changed:
            if errors:
                self._note_bad(batch, place, item, "fetch", errors[0])
                return not self._is_over()
            while len(self._jobs) >= 2 * self._options.threads and not self._is_over():
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)
            if self._is_over():
                return False
            whole = tuple(found for found in data if isinstance(found, bytes))
            self.timing.num_bytes += sum(map(len, whole))
            self._jobs.append(_Job(batch=batch, place=place, item=item, videos=whole))
            self._changed.notify_all()
            return True

    # The decode threads

    def _decode(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._is_over():
                    self._changed.wait(_SECONDS_BETWEEN_LOOKS)
                if self._is_over():
                    return
                job = self._jobs.popleft()
                self._changed.notify_all()
            begun = time.perf_counter()
            self._do(job)
            del job  # a thread that waits holds no bytes
            with self.lock:
                self.timing.decode_seconds += time.perf_counter() - begun

    def _do(self, job: _Job) -> None:
        item, videos = job.item, list(job.videos)
        stage: Stage = "fetch"
        if item is None:
            assert job.spare is not None
            (values,) = self._rows.rows_of([job.spare.row], config=job.spare.source)
            item = Item.from_row(job.spare.source, job.spare.row, values)
        try:
            if job.spare is not None:
                videos = videos_of(item, self._rows.read_bytes)
            stage = "decode"
            sample = self._recipe.make(
                item,
                videos,
                epoch=self._epoch.number,
                out=job.batch.videos[job.place],
                read_file=self._rows.read_file,
            )
        except (DecodeError, ArchiveError) as error:
            with self._changed:
                self._note_bad(job.batch, job.place, item, stage, error)
            return
        if self._recipe.device.type == "cuda":
            torch.cuda.current_stream(self._recipe.device).synchronize()  # not run on a GPU yet
        with self._changed:
            if job.spare is not None:
                self.timing.num_bytes += sum(map(len, videos))
            self.timing.num_decoded += 1
            job.batch.samples[job.place] = sample
            job.batch.num_waiting -= 1
            self._settle()

    # Settling; all of these hold the lock

    def _note_bad(self, batch: _Open, place: int, item: Item, stage: Stage, error: Exception) -> None:
        batch.bad.append((place, item, stage, error))
        batch.num_waiting -= 1
        self._settle()

    def _settle(self) -> None:
        """Replace bad clips of batches that wait for nothing else, the oldest batch first."""
        for batch in self._open:
            if batch.is_settled:
                continue
            if batch.num_waiting:
                return
            bad, batch.bad = sorted(batch.bad, key=lambda found: found[0]), []
            for place, item, stage, error in bad:
                self._replace(batch, place, item, stage, error)
            if batch.num_waiting:
                return
            batch.is_settled = True
            self._num_tried += len(batch.part)
            self._changed.notify_all()

    def _replace(self, batch: _Open, place: int, item: Item, stage: Stage, error: Exception) -> None:
        step, slot = batch.part.step, int(batch.part.slots[place])
        clip = item.triple.clip
        words = f"{stage} of {clip.key} of {clip.part}: {error}"
        if self._on_bad == "raise":
            if batch.error is None:
                error.add_note(f"step {step} of epoch {self._epoch.number}, slot {slot}: {words}")
                batch.error = error
            return
        spare = self._ledger.bad(step, slot, reason=words)
        self._bad_clips.append(
            BadClip(
                epoch=self._epoch.number,
                step=step,
                slot=slot,
                source=item.source,
                row=item.row,
                key=clip.key,
                part=clip.part,
                stage=stage,
                reason=str(error),
                replaced_by=None if spare is None else spare.row,
            )
        )
        outcome = "the slot stays empty" if spare is None else f"row {spare.row} takes its place"
        _log.warning("epoch %d, step %d, slot %d: %s; %s", self._epoch.number, step, slot, words, outcome)
        self._num_bad += 1
        batch.num_tried += 1
        tried = self._num_tried + len(batch.part) + batch.num_tried
        if self._num_bad >= max(1, self._options.min_bad) and self._num_bad > self._options.max_bad_share * tried:
            batch.error = batch.error or TooManyBadClipsError(
                f"expected at most {self._options.max_bad_share:.0%} of clips to be bad, found {self._num_bad} of {tried} up to "
                f"step {step}; the last: {words}. If that is what the release is like, raise max_bad_share of LoaderOptions"
            )
            return
        if spare is not None:
            batch.num_waiting += 1
            self._jobs.appendleft(_Job(batch=batch, place=place, spare=spare))
            self._changed.notify_all()

    def _finished(self, batch: _Open) -> Batch:
        places = [place for place, sample in enumerate(batch.samples) if sample is not None]
        samples = [sample for sample in batch.samples if sample is not None]
        spec = self._recipe.subjects
        return collate(
            samples,
            batch.videos if len(places) == len(batch.samples) else batch.videos[places],
            slots=batch.part.slots[places].tolist(),
            epoch=self._epoch.number,
            step=batch.part.step,
            bucket=batch.part.bucket,
            picture_size=(0, 0) if spec is None else spec.size,
        )
