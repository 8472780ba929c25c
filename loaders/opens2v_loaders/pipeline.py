"""How do batches get made ahead of the training step? Bytes are fetched, and clips decoded, by threads of one process.

    feeder thread     `Feed`: rows with bytes, in order ─▶ jobs ┐      no more batches open than the budget has room for
    decode threads    job ─▶ frames, into the batch's tensor ◀─┘
    settling          the oldest batch first: its bad clips get spares, which go to the front of the jobs
    caller            takes the oldest batch once it is settled, and there (`destination`)

A batch's memory is one tensor, made when it is opened and written by the decode threads, each clip in its place. So
nothing is stacked, and what is open is known beforehand.

Bad clips are replaced in the order of steps and slots, whichever thread finds them first: the same rows go the same way
in every run. Whoever finishes a batch's last clip settles it, so nobody waits for that. They are logged by the caller,
when the batch is taken: a log's handler may hold locks of its own.

**Ends.** The threads end with `close`, or by themselves once nobody has the iterator any more; the end of the process
closes what still runs. A request that is never answered holds up none of these: its thread is a daemon. In a forked
process there are no threads, and whoever asks for a batch there is told.

**Locks.** `with self.lock`, not `with self._changed`: a condition's `__enter__` is Python, and Ctrl-C between its getting
the lock and its return would keep the lock for good.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from opens2v_data.errors import ArchiveError, DecodeError
from opens2v_data.waiting import WAKE_SECONDS, uncut
from opens2v_loaders.batch import collate
from opens2v_loaders.destination import destination_on
from opens2v_loaders.feeding import Fed, Feed
from opens2v_loaders.outcomes import Timing
from opens2v_loaders.replacing import Replacer
from opens2v_loaders.ring import RingClosedError
from opens2v_loaders.samples import Item, videos_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from opens2v_loaders.batch import Batch
    from opens2v_loaders.ledger import Ledger
    from opens2v_loaders.options import LoaderOptions, OnBad
    from opens2v_loaders.outcomes import BadClip, Stage
    from opens2v_loaders.planned import PlannedBatch, PlannedRow
    from opens2v_loaders.ring import Mark
    from opens2v_loaders.samples import Recipe, RowSource, Sample

_log = logging.getLogger("opens2v_loaders")

_SECONDS_BETWEEN_LOOKS = 0.2
_SECONDS_TO_END = 5.0  # a decode ends in less
_SECONDS_TO_FETCH = 1.0  # for the feeder: a request to a server that hangs does not end


_running: weakref.WeakSet[Pipeline] = weakref.WeakSet()


def _close_all() -> None:
    for pipeline in list(_running):
        pipeline.close()


# Before the interpreter goes: a thread that decodes then would never come back to Python.
atexit.register(_close_all)


def _lose_all() -> None:
    """In a forked process: locks may be held by threads that did not come along, and closing would wait for them."""
    for pipeline in list(_running):
        pipeline.lose_threads()
    _running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lose_all)


@dataclass(kw_only=True, eq=False)
class _Open:
    """A batch being made."""

    part: PlannedBatch
    videos: torch.Tensor
    samples: list[Sample | None]
    num_waiting: int
    bad: list[tuple[int, Item, Stage, Exception]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
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
    """Makes one rank's batches of an epoch, from a step on; begins with `start`.

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
        self._rows, self._recipe, self._options, self._epoch = rows, recipe, options, ledger.epoch
        # Reentrant: an iterator may be collected, and so closed, in a thread that holds it.
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._open: deque[_Open] = deque()
        self._jobs: deque[_Job] = deque()
        self._is_fed = self._is_closed = self._is_lost = False
        self._owner: weakref.ref[object] | None = None
        self._fault: BaseException | None = None
        self._replacer = Replacer(ledger, options=options, on_bad=on_bad, bad_clips=bad_clips)
        self.timing = Timing()
        self._feed = Feed(
            rows,
            ledger.epoch,
            first_step=first_step,
            world=world,
            rank=rank,
            timing=self.timing,
            is_over=self._is_over,
            with_subjects=recipe.subjects is not None,
        )
        self._destination = destination_on(recipe.device, num_threads=options.threads)
        batch_bytes = len(ledger.slots) * int(np.prod(recipe.shape))
        self._max_open = max(1, options.max_bytes_ahead // batch_bytes)
        self._feeder = threading.Thread(target=self._guard, args=(self._submit_all,), name="opens2v-feed", daemon=True)
        self._threads = [self._feeder]
        for number in range(options.threads):
            self._threads.append(
                threading.Thread(target=self._guard, args=(self._decode,), name=f"opens2v-decode-{number}", daemon=True)
            )

    def start(self, owner: object) -> None:
        """Begin, and end with this object: the threads look now and then whether it is still there.

        Not by a destructor: one that takes a lock can be interrupted by Ctrl-C, which is then lost.
        """
        self._owner = weakref.ref(owner)
        _running.add(self)
        try:
            for thread in self._threads:
                with uncut():
                    thread.start()
        except BaseException:  # Ctrl-C, or no more threads: those that have begun end at once
            self.close()
            raise

    def take(self) -> Batch | None:
        """Wait for the next batch; None after the last.

        Raises:
            DecodeError, ArchiveError: a clip is bad, with on_bad="raise".
            TooManyBadClipsError: see `LoaderOptions.max_bad_share`.
            RuntimeError: this is a forked process, and the threads are in the one that began.
        """
        begun = time.perf_counter()
        with self.lock:
            if self._is_lost:
                raise RuntimeError(
                    f"the iterator was begun in process {os.getppid()} or above, this is {os.getpid()}, forked from it "
                    "without its threads: iterate the loader anew here"
                )
            while not (self._fault or self._is_closed or (self._open and self._open[0].is_settled)):
                if self._is_fed and not self._open:
                    return None
                self._changed.wait(WAKE_SECONDS)
            self.timing.wait_seconds += time.perf_counter() - begun
            if self._open and self._open[0].is_settled and not self._is_closed:
                batch = self._open.popleft()
                self._changed.notify_all()
            elif self._fault:
                raise self._fault
            else:
                return None
        for words in batch.words:
            _log.warning("%s", words)
        if batch.error is not None:
            raise batch.error
        self._destination.hand_out(batch.videos, batch.marks)
        return self._finished(batch)

    def close(self) -> None:
        """End the threads and wait for that; what is being made is dropped."""
        with self.lock:
            self._is_closed = True
            self._drop()
        begun = time.monotonic()
        for thread in reversed(self._threads):  # the feeder last
            give_up_at = begun + (_SECONDS_TO_FETCH if thread is self._feeder else _SECONDS_TO_END)
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(max(0.0, give_up_at - time.monotonic()))

    def lose_threads(self) -> None:
        """Take note, in a forked process, that there are no threads, and that their locks are held by nobody."""
        self.lock = threading.RLock()
        self._changed = threading.Condition(self.lock)
        self._threads = []
        self._is_lost = self._is_closed = True
        self._jobs.clear()
        self._open.clear()

    def _is_over(self) -> bool:
        return self._is_closed or (self._owner is not None and self._owner() is None)

    def _drop(self) -> None:
        self._jobs.clear()
        self._open.clear()
        self._destination.close()
        self._changed.notify_all()

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            with self._destination.working():
                work()
        except RingClosedError:
            pass  # nobody wants what it was at
        except BaseException as fault:  # noqa: BLE001 - raised where the batch is taken
            with self.lock:
                self._fault = self._fault or fault
                self._changed.notify_all()
        finally:
            with self.lock:
                if self._is_over():
                    self._drop()

    # The feeder

    def _submit_all(self) -> None:
        batch: _Open | None = None
        with closing(iter(self._feed)) as rows:
            for fed in rows:
                if batch is None or batch.part.step != fed.part.step:
                    batch = self._opened(fed.part)
                    if batch is None:
                        return
                if not self._submit(batch, fed):
                    return
        with self.lock:
            self._is_fed = True
            self._changed.notify_all()

    def _opened(self, part: PlannedBatch) -> _Open | None:
        """Wait until there is room for a batch, and open it; None when closed."""
        with self.lock:
            while len(self._open) >= self._max_open and not self._is_over():
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)
            if self._is_over():
                return None
        videos = self._destination.new_batch((len(part), *self._recipe.shape))
        batch = _Open(part=part, videos=videos, samples=[None] * len(part), num_waiting=len(part))
        with self.lock:
            self._open.append(batch)
        return batch

    def _submit(self, batch: _Open, fed: Fed) -> bool:
        """Hand a row to the decode threads; return False when closed."""
        errors = [found for found in fed.videos if isinstance(found, ArchiveError)]
        with self.lock:
            if errors:
                self._note_bad(batch, fed.place, fed.item, "fetch", errors[0])
                return not self._is_over()
            while len(self._jobs) >= 2 * self._options.threads and not self._is_over():
                self._changed.wait(_SECONDS_BETWEEN_LOOKS)
            if self._is_over():
                return False
            whole = tuple(found for found in fed.videos if isinstance(found, bytes))
            self.timing.num_bytes += sum(map(len, whole))
            self._jobs.append(_Job(batch=batch, place=fed.place, item=fed.item, videos=whole))
            self._changed.notify_all()
            return True

    # The decode threads

    def _decode(self) -> None:
        while True:
            with self.lock:
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
            (values,) = self._rows.rows_of(
                [job.spare.row], config=job.spare.source, with_subjects=self._recipe.subjects is not None
            )
            item = Item.from_row(job.spare.source, job.spare.row, values)
        try:
            if job.spare is not None:
                videos = videos_of(item, self._rows.read_bytes)
            stage = "decode"
            self._destination.begin_clip(job.batch.videos)
            sample = self._recipe.make(
                item,
                videos,
                epoch=self._epoch.number,
                out=job.batch.videos[job.place],
                read_file=self._rows.read_file,
                ring=self._destination.ring,
            )
        except (DecodeError, ArchiveError) as error:
            self._destination.mark().wait()  # else pictures on their way would come down on the spare's
            with self.lock:
                self._note_bad(job.batch, job.place, item, stage, error)
            return
        mark = self._destination.mark()
        with self.lock:
            job.batch.marks.append(mark)
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
            self._replacer.batch_done(len(batch.part))
            self._changed.notify_all()

    def _replace(self, batch: _Open, place: int, item: Item, stage: Stage, error: Exception) -> None:
        verdict = self._replacer.decide(batch.part, place, item, stage, error)
        batch.error = batch.error or verdict.error
        if verdict.words is not None:
            batch.words.append(verdict.words)
        if verdict.spare is not None and verdict.error is None:
            batch.num_waiting += 1
            self._jobs.appendleft(_Job(batch=batch, place=place, spare=verdict.spare))
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
            picture_shape=(3, 0, 0) if spec is None else spec.picture_shape,
        )
