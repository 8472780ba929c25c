"""In which order does one epoch of a plan come? See `plan` for the drawing; what all epochs share is in `groups`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from opens2v_loaders.buckets import CHUNK_ROWS
from opens2v_loaders.planned import Accounts, PlannedBatch, PlannedRow
from opens2v_loaders.sampling import philox_of

if TYPE_CHECKING:
    from opens2v_loaders.plan import Plan


class EpochPlan:
    """The order of one epoch.

    Attributes:
        plan: what it is an epoch of.
        number: which, from 0.
        num_steps: batches.
    """

    def __init__(self, plan: Plan, number: int) -> None:
        """Shuffle; see `Plan.epoch`.

        Raises:
            ValueError: a negative number.
        """
        self.plan, self.number, self.num_steps = plan, number, plan.num_steps
        order, groups = philox_of(plan.seed, number, 0, "order"), plan.groups
        self._order = _shuffled(len(plan.rows), order, groups=groups.codes, num_groups=groups.num_groups)
        turns = _shuffled(plan.num_steps, philox_of(plan.seed, number, 0, "turns"))
        buckets = np.repeat(np.arange(len(plan.rows.buckets.names), dtype=np.uint16), np.diff(groups.first_batch))
        self._bucket_of = buckets[turns]  # (num_steps,): the bucket whose turn it is

    @cached_property
    def _steps(self) -> np.ndarray:
        """`(num_steps,) uint32`: the steps of bucket 0 in order, then of bucket 1, …: by `Groups.first_batch`."""
        return np.argsort(self._bucket_of, kind="stable").astype(np.uint32)

    @cached_property
    def _batch_of(self) -> np.ndarray:
        """`(num_steps,) uint32`: which batch, numbered bucket by bucket, comes at a step."""
        batch_of = np.empty(self.num_steps, np.uint32)
        batch_of[self._steps] = np.arange(self.num_steps, dtype=np.uint32)
        return batch_of

    def batch(self, step: int) -> PlannedBatch:
        """Return a batch, in some microseconds.

        Raises:
            IndexError: no such step.
        """
        bucket, batch = self._place(step)
        plan, groups = self.plan, self.plan.groups
        layout = plan.quotas.layout(batch)
        before = plan.quotas.before(batch) - plan.quotas.before(int(groups.first_batch[bucket]))
        positions = np.empty(plan.batch_size, np.int64)
        for share, count in enumerate(plan.quotas.counts(batch)):
            start = int(groups.starts[bucket, share] + before[share])
            positions[layout == share] = self._order[start : start + count]
        return PlannedBatch(
            step=step,
            bucket=plan.rows.buckets.names[bucket],
            slots=np.arange(plan.batch_size),
            positions=positions,
            rows=plan.rows.rows[positions],
            sources=plan.rows.sources[positions],
        )

    def batches(self, *, first_step: int = 0, world: int = 1, rank: int = 0) -> Iterator[PlannedBatch]:
        """Yield one rank's part of each batch from a step on; see `PlannedBatch.part` for errors."""
        for step in range(first_step, self.num_steps):
            yield self.batch(step).part(world=world, rank=rank)

    def replacement(self, step: int, slot: int, attempt: int) -> PlannedRow | None:
        """Return a spare for a bad row, of the same bucket and source; a pure function, the same for every rank.

        Args:
            slot: place in the global batch.
            attempt: how many spares of the slot's cell are gone, see the module's drawing; `ledger.Ledger` counts.
                With `Reserve(per_steps=1)` that is how many this very slot has tried.

        Returns:
            The spare, or None when the cell has no more. No two (cell, attempt) give the same row.

        Raises:
            IndexError: no such step or slot.
            ValueError: a negative attempt.
        """
        if attempt < 0:
            raise ValueError(f"attempt must be 0 or more, not {attempt}")
        bucket, share, stretch, lane = self.cell(step, slot)
        plan, groups = self.plan, self.plan.groups
        num_batches = int(groups.first_batch[bucket + 1] - groups.first_batch[bucket])
        width = int(plan.quotas.widths[share])
        num_cells = -(-num_batches // plan.reserve.per_steps) * width
        used = int(groups.in_batches[bucket, share])
        card = attempt * num_cells + stretch * width + lane
        if card >= int(groups.sizes[bucket, share]) - used:
            return None
        position = int(self._order[int(groups.starts[bucket, share]) + used + card])
        return PlannedRow(
            position=position,
            row=int(plan.rows.rows[position]),
            source=plan.rows.source_names[plan.rows.sources[position]],
            bucket=plan.rows.buckets.names[bucket],
        )

    def cell(self, step: int, slot: int) -> tuple[int, int, int, int]:
        """Return what a slot shares its spares with: (bucket, share of the mix, stretch, slot's number in the share).

        Raises:
            IndexError: no such step or slot.
        """
        bucket, batch = self._place(step)
        if not 0 <= slot < self.plan.batch_size:
            raise IndexError(f"slot must lie in [0, {self.plan.batch_size}), not {slot}")
        share = int(self.plan.quotas.layout(batch)[slot])
        stretch = (batch - int(self.plan.groups.first_batch[bucket])) // self.plan.reserve.per_steps
        return bucket, share, stretch, int(self.plan.quotas.lanes[share, slot])

    def open_stretches(self, step: int) -> dict[int, int]:
        """Return the stretches under way before a step, by bucket: begun, and not at their end."""
        found = {}
        for bucket, (first, last) in enumerate(self.plan.groups.borders()):
            done = int(np.searchsorted(self._steps[first:last], step))
            if done % self.plan.reserve.per_steps and done < last - first:
                found[bucket] = done // self.plan.reserve.per_steps
        return found

    def accounts(self, step: int, *, spares_used: int = 0, unfilled: int = 0) -> Accounts:
        """Return where the rows are before a step, over all ranks.

        Args:
            spares_used: spares taken so far, by all ranks.
            unfilled: slots that stayed empty, by all ranks.

        Raises:
            ValueError: no such step, or more spares or empty slots than there can be.
        """
        self.plan.state(epoch=self.number, step=step)
        in_batches, total = self.num_steps * self.plan.batch_size, len(self.plan.rows)
        handed_out = step * self.plan.batch_size
        if not 0 <= spares_used <= total - in_batches or not 0 <= unfilled <= handed_out:
            raise ValueError(
                f"expected at most {total - in_batches} spares used and {handed_out} slots unfilled, "
                f"found {spares_used} and {unfilled}"
            )
        return Accounts(
            planned=total,
            delivered=handed_out - unfilled,
            skipped=spares_used + unfilled,
            remaining=in_batches - handed_out,
            tail=total - in_batches - spares_used,
        )

    def _place(self, step: int) -> tuple[int, int]:
        if not 0 <= step < self.num_steps:
            raise IndexError(f"step must lie in [0, {self.num_steps}) of epoch {self.number}, not {step}")
        return int(self._bucket_of[step]), int(self._batch_of[step])


def _shuffled(
    num_rows: int, bits: np.random.Philox, *, groups: np.ndarray | None = None, num_groups: int = 1
) -> np.ndarray:
    """Return the row numbers, group after group, random within each: `(num_rows,) uint32`.

    One in-place sort of 64-bit keys, `group · random bits · row number`. 5.4 M rows of 16 buckets leave 37 random bits:
    some 7 pairs of rows draw the same ones and stay in order of their numbers.
    """
    index_bits, group_bits = max(num_rows - 1, 1).bit_length(), (num_groups - 1).bit_length()
    random_bits = 64 - index_bits - group_bits
    index_shift, random_shift = np.uint64(index_bits), np.uint64(64 - random_bits)
    keys, order = np.empty(num_rows, np.uint64), np.empty(num_rows, np.uint32)
    for start in range(0, num_rows, CHUNK_ROWS):
        part = keys[start : start + CHUNK_ROWS]
        part[:] = bits.random_raw(len(part))
        part >>= random_shift
        part <<= index_shift
        part |= np.arange(start, start + len(part), dtype=np.uint64)
        if groups is not None and group_bits:
            part |= groups[start : start + len(part)].astype(np.uint64) << np.uint64(64 - group_bits)
    keys.sort()
    mask = np.uint64((1 << index_bits) - 1)
    for start in range(0, num_rows, CHUNK_ROWS):
        order[start : start + CHUNK_ROWS] = keys[start : start + CHUNK_ROWS] & mask
    return order
