"""Which spares are gone, and which rows were bad? What one rank must remember of an epoch, besides its step.

A ledger belongs to one rank and knows its slots. Its state is small, plain and sums up: give the states of *all* ranks to
the ledgers of any other number of ranks, and every later replacement is what it would have been.

Where a state is missing (only rank 0 saved one), which spares are gone is unknown for the other slots, in the stretches
that were under way. They then get no spare until those stretches end; that no row comes up twice holds all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opens2v_loaders.epoch import EpochPlan
from opens2v_loaders.planned import Accounts, PlannedRow

Cell = tuple[int, int, int]
"""(bucket, stretch, slot) under one share of the mix; the share is the fourth of a key."""


@dataclass(frozen=True, kw_only=True)
class Skip:
    """A bad row, and what came in its place.

    Attributes:
        step, slot: where it was to be.
        position, row, source, bucket: which it was, see `planned.PlannedRow`.
        reason: the caller's words.
        replaced_by: position of the spare, which may be bad in its turn; None: the slot stays empty.
    """

    step: int
    slot: int
    position: int
    row: int
    source: str
    bucket: str
    reason: str
    replaced_by: int | None


class Ledger:
    """The bad rows of one rank in one epoch; for one thread at a time.

    Attributes:
        epoch: whose rows they are.
        slots: the rank's slots of the global batch.
        skips: bad rows noted here, in the order they were noted.
        knows_all: whether the states it was made of cover all slots of the global batch (True at the epoch's start).
    """

    def __init__(
        self,
        epoch: EpochPlan,
        *,
        world: int = 1,
        rank: int = 0,
        step: int = 0,
        states: Iterable[Mapping[str, Any]] = (),
    ) -> None:
        """Open a ledger at the start of an epoch, or go on from states.

        Args:
            step: the next step, not 0 only with or for want of states.
            states: `state(step)` of the ranks that ran before, of any number of ranks, in any order.

        Raises:
            ValueError: `world` does not divide the batch, no such rank or step, or a state of another plan, epoch or step.
        """
        batch_size = epoch.plan.batch_size
        if world < 1 or batch_size % world or not 0 <= rank < world:
            raise ValueError(
                f"expected a rank below a number of ranks that divides {batch_size}, found {rank} of {world}"
            )
        expected = epoch.plan.state(epoch=epoch.number, step=step)
        self.epoch = epoch
        self.slots = range(rank * batch_size // world, (rank + 1) * batch_size // world)
        self.skips: list[Skip] = []
        self._used: dict[tuple[Cell, int], int] = {}
        self._unknown: set[Cell] = set()
        self._last: dict[tuple[Cell, int], int] = {}  # the last step at which a cell was asked for a spare
        self._now: dict[tuple[int, int], int | None] = {}  # (step, slot): the position in it, once it is not the plan's
        self._earlier = {"spares_used": 0, "unfilled": 0}
        known = set(range(batch_size)) if step == 0 else set[int]()
        for state in states:
            if wrong := [name for name in expected if state.get(name) != expected[name]]:
                found = ", ".join(f"{name} {state.get(name)!r} and not {expected[name]!r}" for name in wrong)
                raise ValueError(f"a state of another place in the order: it has {found}")
            if twice := known.intersection(range(*state["slots"])) if step else ():
                raise ValueError(f"two states have slot {min(twice)}: give the state of each rank once")
            known.update(range(*state["slots"]))
            self._unknown.update((b, stretch, slot) for b, stretch, slot in state["unknown"] if slot in self.slots)
            for bucket, stretch, slot, share, used in state["used"]:
                if slot in self.slots:
                    self._used[(bucket, stretch, slot), share] = used
            if self.slots.start == 0:  # counted once, whatever the number of ranks
                for name in self._earlier:
                    self._earlier[name] += state[name]
        self.knows_all = known.issuperset(range(batch_size))
        if step and not self.knows_all:
            open_stretches = epoch.open_stretches(step).items()
            self._unknown.update((*place, slot) for place in open_stretches for slot in self.slots if slot not in known)

    def bad(self, step: int, slot: int, *, reason: str) -> PlannedRow | None:
        """Note that the row now in a slot is bad, and return the one to try instead.

        Steps of one slot must come in order: a row that fails while an earlier step's is not yet read waits for that. So
        the spares go the same way however threads run.

        Args:
            slot: place in the global batch, one of `slots`.
            reason: what is wrong with it, for `skips`.

        Returns:
            The spare, or None when the slot has to stay empty.

        Raises:
            ValueError: another rank's slot, an earlier step than before, or a slot that is empty already.
            IndexError: no such step.
        """
        if slot not in self.slots:
            raise ValueError(f"slot {slot} is another rank's; this ledger has [{self.slots.start}, {self.slots.stop})")
        bucket, share, stretch, _ = self.epoch.cell(step, slot)
        key = (bucket, stretch, slot), share
        if step < self._last.get(key, 0):
            raise ValueError(
                f"slot {slot}: step {step} comes after step {self._last[key]}; note bad rows of a slot in order of steps"
            )
        at = (step, slot)
        position = self._now[at] if at in self._now else int(self.epoch.batch(step).positions[slot])
        if position is None:
            raise ValueError(f"slot {slot} of step {step} is empty already: {self.skips[-1]}")
        self._last[key] = step
        used = self._used.get(key, 0)
        spare = None if key[0] in self._unknown else self.epoch.replacement(step, slot, used)
        if spare is not None:
            self._used[key] = used + 1
        self._now[at] = spare.position if spare else None
        rows = self.epoch.plan.rows
        self.skips.append(
            Skip(
                step=step,
                slot=slot,
                position=position,
                row=int(rows.rows[position]),
                source=rows.source_names[rows.sources[position]],
                bucket=rows.buckets.names[bucket],
                reason=reason,
                replaced_by=self._now[at],
            )
        )
        return spare

    def totals(self, step: int) -> tuple[int, int]:
        """Return how many spares were taken and how many slots left empty before a step; sum them over the ranks."""
        before = [skip.replaced_by is not None for skip in self.skips if skip.step < step]
        taken = sum(before)
        return self._earlier["spares_used"] + taken, self._earlier["unfilled"] + len(before) - taken

    def accounts(self, step: int) -> Accounts:
        """Return where the rows are before a step, as far as this ledger knows: with one rank, all of them.

        With more, sum `totals` over the ranks and ask `EpochPlan.accounts`.
        """
        spares_used, unfilled = self.totals(step)
        return self.epoch.accounts(step, spares_used=spares_used, unfilled=unfilled)

    def state(self, step: int) -> dict[str, Any]:
        """Return what to go on from before a step, as plain values: `Plan.state`, and what is known of open stretches.

        What was noted for that step and later ones is left out: it will be found again.

        Raises:
            ValueError: no such step.
        """
        plan = self.epoch.plan.state(epoch=self.epoch.number, step=step)
        open_stretches = self.epoch.open_stretches(step)
        used = dict(self._used)
        for skip in self.skips:
            if skip.step >= step and skip.replaced_by is not None:
                bucket, share, stretch, _ = self.epoch.cell(skip.step, skip.slot)
                used[(bucket, stretch, skip.slot), share] -= 1
        taken, unfilled = self.totals(step)
        return plan | {
            "slots": [self.slots.start, self.slots.stop],
            "used": [
                [*cell, share, count]
                for (cell, share), count in sorted(used.items())
                if count and open_stretches.get(cell[0]) == cell[1]
            ],
            "unknown": [list(cell) for cell in sorted(self._unknown) if open_stretches.get(cell[0]) == cell[1]],
            "spares_used": taken,
            "unfilled": unfilled,
        }
