"""Batches to train on, in an order that any number of ranks can resume.

    catalog = opens2v_data.open("./opens2v-5m")
    loader = ClipLoader(catalog, where="aesthetic > 5.5", clip=ClipSpec(size=(480, 832)), batch_size=256)
    for batch in loader:
        ...
    state = loader.state_dict()

**Where a loader is.** At an epoch and a step; a step is counted when its batch is handed out, however many are being made.
Iterating goes on from there: after `break`, after `load_state_dict`, after an error. When an epoch is over, the next one
begins.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from opens2v_data.errors import MissingExtraError

try:
    import torch
except ImportError as error:
    raise MissingExtraError(package="torch", extra="torch", needed_for="batches of tensors") from error

from opens2v_loaders.decoding import checked_device
from opens2v_loaders.epoch import EpochPlan
from opens2v_loaders.ledger import Ledger
from opens2v_loaders.options import LoaderOptions, OnBad
from opens2v_loaders.outcomes import BadClip, Timing
from opens2v_loaders.pipeline import Pipeline
from opens2v_loaders.plan import Plan
from opens2v_loaders.rows import plan_rows
from opens2v_loaders.samples import SOURCES, Recipe
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.subjects import SubjectSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from opens2v_loaders.batch import Batch
    from opens2v_loaders.buckets import By
    from opens2v_loaders.groups import Reserve
    from opens2v_loaders.planned import Accounts, PlannedRow
    from opens2v_loaders.rows import Ids
    from opens2v_loaders.samples import RowSource
    from opens2v_loaders.torch_dataset import ClipDataset
    from opens2v_loaders.trainers import TrainerLoader


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """Which part of each batch is this process's.

    Attributes:
        rank: `[0, world)`.
        world: processes that share a batch.
    """

    rank: int
    world: int

    @classmethod
    def here(cls, rank: int | None, world: int | None) -> Ranks:
        """Return what was given, else what torch.distributed says if it is initialised, else one rank of one.

        Raises:
            ValueError: only one of the two is given.
        """
        if (rank is None) != (world is None):
            raise ValueError(f"give rank and world_size both or neither, found {rank} and {world}")
        if rank is not None and world is not None:
            return cls(rank=rank, world=world)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return cls(rank=torch.distributed.get_rank(), world=torch.distributed.get_world_size())
        return cls(rank=0, world=1)


class ClipLoader:
    """One rank's batches of a slice, decoded by threads of this process.

    On a GPU (not run on a GPU yet) the batch is made in its memory: by NVDEC in place, else through a ring of pinned host
    buffers, on streams of the loader's own; see `destination` and `ring`.

    Attributes:
        plan: the order.
        clip, subjects, device, options: as given.
        rank, world_size: whose part of each batch.
        epoch, step: where it is; `step` batches of the epoch have been handed out.
        timing: where time went, of the latest iterator.
    """

    def __init__(
        self,
        catalog: RowSource,
        *,
        clip: ClipSpec,
        batch_size: int,
        where: str | Mapping[str, str] | None = None,
        seed: int = 0,
        mix: Mapping[str, int] | None = None,
        buckets: By | None = None,
        subjects: SubjectSpec | None = None,
        on_bad: OnBad = "replace",
        device: str | torch.device = "cpu",
        include: Ids | Mapping[str, Ids] | None = None,
        exclude: Ids | Mapping[str, Ids] | None = None,
        reserve: Reserve | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        options: LoaderOptions | None = None,
    ) -> None:
        """Work out the order.

        Args:
            catalog: `opens2v_data.open(root)`.
            clip: which frames of a clip, and to what size; `size` must be given.
            batch_size: clips of a global batch, over all ranks.
            where: a SQL condition on the rows; one for all configs of the mix, or by config.
            seed: of the order and of what is random in a sample.
            mix: weight of each config, see `samples.SOURCES`: exact quotas in each batch; None: "regular" alone.
            buckets: what the clips of a batch have in common, see `buckets`.
            subjects: which subjects, and how, see `subjects.SubjectSpec`; None: no pictures but the frames.
            on_bad: a clip that cannot be read or decoded is replaced by a spare of its bucket and source ("replace"), left out
                ("skip": that batch is smaller), or raised. The first two are logged and in `bad_clips`.
            device: where `Batch.videos` are wanted.
            include, exclude, reserve: see `rows.plan_rows` and `groups.Reserve`.
            rank, world_size: by default those of torch.distributed, if it is initialised, else 0 of 1.
            options: how batches are made ahead.

        Raises:
            ValueError: an option that makes no sense; the message names it.
            QueryError: the condition is not one that a config can answer.
        """
        if clip.size is None:
            raise ValueError("clip.size must be given, (height, width): the clips of a batch share one tensor")
        if on_bad not in get_args(OnBad):
            raise ValueError(f"on_bad must be one of {', '.join(get_args(OnBad))}, not {on_bad!r}")
        ranks = Ranks.here(rank, world_size)
        if ranks.world < 1 or batch_size % ranks.world or not 0 <= ranks.rank < ranks.world:
            raise ValueError(
                f"expected a rank below a number of ranks that divides batch_size {batch_size}, "
                f"found {ranks.rank} of {ranks.world}"
            )
        self.clip, self.subjects, self.device = clip, subjects, checked_device(device)
        self.options = options or LoaderOptions()
        self.rank, self.world_size, self._rows = ranks.rank, ranks.world, catalog
        self._on_bad: OnBad = on_bad
        columns = _columns(catalog, where, mix, sizes=buckets is not None)
        self.plan = Plan(
            plan_rows(catalog.fingerprint, **columns, buckets=buckets, include=include, exclude=exclude),
            batch_size=batch_size,
            seed=seed,
            mix=mix,
            reserve=reserve,
        )
        self._recipe = Recipe(clip=clip, subjects=subjects, seed=seed, device=self.device)
        self.step = 0
        self.timing = Timing()
        self._bad_clips: list[BadClip] = []
        self._pipeline: Pipeline | None = None
        self._iterator: weakref.ref[_Batches] | None = None
        self._carried = (0, 0)
        self._ledger = self._new_ledger(0)

    def __repr__(self) -> str:
        return f"ClipLoader({self.plan!r}, rank {self.rank} of {self.world_size}, epoch {self.epoch}, step {self.step})"

    def __len__(self) -> int:
        """Return how many batches an epoch has."""
        return self.plan.num_steps

    def __iter__(self) -> Iterator[Batch]:
        """Go on from where the loader is; an iterator of before gives no more batches."""
        self._end_iterator()
        state, totals = self._own_state(), self.totals()
        # What was noted of batches that were made and not handed out is forgotten; it will be found again.
        self._ledger = self._new_ledger(self.epoch, step=self.step, states=[state] if self.step else ())
        kept = self._ledger.totals(self.step)  # the ledger of rank 0 counts what states say, those of others do not
        self._carried = (totals[0] - kept[0], totals[1] - kept[1])
        self._bad_clips = [bad for bad in self._bad_clips if (bad.epoch, bad.step) < (self.epoch, self.step)]
        pipeline = Pipeline(
            self._rows,
            self._ledger,
            self._recipe,
            options=self.options,
            first_step=self.step,
            on_bad=self._on_bad,
            bad_clips=self._bad_clips,
            world=self.world_size,
            rank=self.rank,
        )
        self._pipeline, self.timing = pipeline, pipeline.timing
        batches = _Batches(self, pipeline)
        self._iterator = weakref.ref(batches)
        return batches

    @property
    def epoch(self) -> int:
        """The epoch it is in, from 0."""
        return self._ledger.epoch.number

    @property
    def bad_clips(self) -> tuple[BadClip, ...]:
        """This rank's clips that were bad, in batches handed out since the loader was made or was given a state."""
        return tuple(bad for bad in self._bad_clips if (bad.epoch, bad.step) < (self.epoch, self.step))

    def accounts(self) -> Accounts:
        """Return where the rows of the epoch are: planned == delivered + skipped + remaining + tail.

        Of several ranks, each knows of its own bad clips only: sum `totals` over them and ask `plan.EpochPlan.accounts`.
        """
        spares_used, unfilled = self.totals()
        return self._ledger.epoch.accounts(self.step, spares_used=spares_used, unfilled=unfilled)

    def totals(self) -> tuple[int, int]:
        """Return how many spares this rank took in the epoch so far, and how many of its slots stayed empty."""
        with self._locked():
            spares_used, unfilled = self._ledger.totals(self.step)
        return spares_used + self._carried[0], unfilled + self._carried[1]

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch; nothing happens if the loader is in that epoch already, at whatever step.

        Raises:
            ValueError: a negative number.
        """
        if epoch != self.epoch:
            self._go_to(epoch, 0, ())

    def state_dict(self) -> dict[str, Any]:
        """Return where the loader is, as plain values: what comes after the last batch handed out.

        Each rank's states what it knows of bad clips. To resume exactly where clips were bad, keep those of all ranks.
        """
        return self._own_state()

    def load_state_dict(self, state: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Go to where a loader was, of this number of ranks or any other that divides the batch.

        Args:
            state: of one rank, or of all. With one only, the slots of others get no spares in stretches that were under way,
                see `ledger`.

        Raises:
            ValueError: states of another order (catalog, filter, buckets, mix, reserve, seed, batch size or `on_bad`), or
                of different steps.
        """
        states: list[Mapping[str, Any]] = [state] if isinstance(state, Mapping) else list(state)
        if not states:
            raise ValueError("expected the state of one rank or more, found none")
        expected = self._own_state().keys()
        for one in states:
            if not isinstance(one, Mapping) or not expected <= one.keys():
                found = (
                    f"one with {', '.join(sorted(one)) or 'nothing'}" if isinstance(one, Mapping) else repr(one)[:80]
                )
                raise ValueError(
                    f"expected a state of ClipLoader.state_dict, found {found}; of a loader made by for_trainer take "
                    "state['ranks']"
                )
            if one["on_bad"] != self._on_bad:
                raise ValueError(f"the state is of on_bad={one['on_bad']!r}, this loader of {self._on_bad!r}")
        epoch, step = self.plan.resume(states[0])
        self._go_to(epoch, step, states)

    def as_torch_dataset(self) -> ClipDataset:
        """Return the rows as a map-style dataset, for `torch.utils.data.DataLoader`; see `torch_dataset.ClipDataset`."""
        from opens2v_loaders.torch_dataset import ClipDataset

        return ClipDataset(self._rows, self.plan, self._recipe)

    def for_trainer(self) -> TrainerLoader:
        """Return what frameworks take that keep a loader's state themselves; see `trainers.TrainerLoader`."""
        from opens2v_loaders.trainers import TrainerLoader

        return TrainerLoader(self)

    def close(self) -> None:
        """End the latest iterator and wait for its threads.

        Those of a loop that was left end by themselves, once they have decoded the clip they are at.
        """
        self._end_iterator()

    def _go_to(self, epoch: int, step: int, states: Sequence[Mapping[str, Any]]) -> None:
        ledger = self._new_ledger(epoch, step=step, states=states)
        self._end_iterator()
        self._ledger, self.step, self._carried = ledger, step, (0, 0)
        self._bad_clips = []

    def _new_ledger(self, epoch: int, *, step: int = 0, states: Sequence[Mapping[str, Any]] = ()) -> Ledger:
        kind = EpochPlan if self._on_bad != "skip" else _Spareless
        known = getattr(self, "_ledger", None)
        order = known.epoch if known is not None and known.epoch.number == epoch else kind(self.plan, epoch)
        return Ledger(order, world=self.world_size, rank=self.rank, step=step, states=states)

    def _own_state(self) -> dict[str, Any]:
        with self._locked():
            state = self._ledger.state(self.step)
        spares_used, unfilled = self.totals()
        return state | {"spares_used": spares_used, "unfilled": unfilled, "on_bad": self._on_bad}

    def _locked(self) -> AbstractContextManager[Any]:
        """Return what keeps the threads of an iterator off the ledger."""
        return nullcontext() if self._pipeline is None else self._pipeline.lock

    def _end_iterator(self) -> None:
        if self._iterator is not None and (batches := self._iterator()) is not None:
            batches.is_over = True
        if self._pipeline is not None:
            self._pipeline.close()
        self._pipeline = self._iterator = None

    def _next_epoch(self) -> None:
        self._ledger, self.step, self._carried = self._new_ledger(self.epoch + 1), 0, (0, 0)


class _Batches:
    """Iterates. A pipeline ends soon after it is dropped, and before it says that it is over."""

    def __init__(self, loader: ClipLoader, pipeline: Pipeline) -> None:
        self._loader, self._pipeline = loader, pipeline
        self.is_over = False
        pipeline.start(self)

    def __iter__(self) -> _Batches:
        return self

    def __next__(self) -> Batch:
        if self.is_over:
            raise StopIteration
        try:
            batch = self._pipeline.take()
            if batch is not None and not self.is_over:
                self._loader.step = batch.step + 1
                return batch
        except BaseException:  # Ctrl-C between taking a batch and counting it, too: it comes again
            self.is_over = True
            self._pipeline.close()
            raise
        if not self.is_over:  # else it was closed meanwhile, by another thread
            self.is_over = True
            self._pipeline.close()
            self._loader._next_epoch()
        raise StopIteration


class _Spareless(EpochPlan):
    """An epoch whose bad rows are not replaced."""

    def replacement(self, step: int, slot: int, attempt: int) -> PlannedRow | None:
        """Return None."""
        return None


def _columns(
    catalog: RowSource, where: str | Mapping[str, str] | None, mix: Mapping[str, int] | None, *, sizes: bool
) -> dict[str, Any]:
    """Return the rows of all configs of a mix, as `plan_rows` takes them."""
    wanted = {"regular": 1} if mix is None else mix
    names = tuple(name for name in SOURCES if wanted.get(name, 0))
    if unknown := sorted(set(wanted) - set(SOURCES)):
        raise ValueError(f"mix names {', '.join(unknown)}; rows come from {', '.join(SOURCES)}")
    if not names:
        raise ValueError(f"mix must give a weight above 0 to one of {', '.join(SOURCES)} at least, not {dict(wanted)}")
    if where is None or isinstance(where, str):
        conditions: Mapping[str, str | None] = dict.fromkeys(names, where)
    else:
        conditions = where
        if unknown := sorted(set(where) - set(names)):
            raise ValueError(f"where names {', '.join(unknown)}; the rows come from {', '.join(names)}")
    found = [catalog.row_sizes(conditions.get(name), config=name) for name in names]
    columns: dict[str, Any] = {"rows": np.concatenate([one["row_id"] for one in found]), "source_names": names}
    if len(names) > 1:
        columns["sources"] = np.repeat(np.arange(len(names), dtype=np.uint8), [len(one["row_id"]) for one in found])
    if sizes:
        columns |= {name: np.concatenate([one[name] for one in found]) for name in ("width", "height", "num_frames")}
    return columns
