"""What does a plan hand out, and how are its rows accounted for? Values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class PlannedRow:
    """One row of the plan.

    Attributes:
        position: index into the plan's `PlanRows`.
        row: the row's id in its source.
        source, bucket: names.
    """

    position: int
    row: int
    source: str
    bucket: str


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedBatch:
    """A batch, or one rank's part of it.

    Attributes:
        step: number of the batch in its epoch.
        bucket: name of the bucket all its rows are of.
        slots: `(n,) int64`, places in the global batch.
        positions: `(n,) int64`, indices into the plan's `PlanRows`.
        rows: `(n,) int64`, ids of the rows in their sources.
        sources: `(n,) uint8`, indices into `PlanRows.source_names`.
    """

    step: int
    bucket: str
    slots: np.ndarray
    positions: np.ndarray
    rows: np.ndarray
    sources: np.ndarray

    def __len__(self) -> int:
        return len(self.slots)

    def __repr__(self) -> str:
        return f"PlannedBatch(step={self.step}, bucket={self.bucket!r}, {len(self)} rows)"

    def part(self, *, world: int, rank: int) -> PlannedBatch:
        """Return the part of one rank of `world`.

        Raises:
            ValueError: `world` does not divide the batch, or there is no such rank.
        """
        if world < 1 or len(self) % world:
            raise ValueError(
                f"the batch of {len(self)} cannot be shared by {world} ranks: use a number of ranks that divides it"
            )
        if not 0 <= rank < world:
            raise ValueError(f"rank must lie in [0, {world}), not {rank}")
        share = slice(rank * len(self) // world, (rank + 1) * len(self) // world)
        columns = {name: getattr(self, name)[share] for name in ("slots", "positions", "rows", "sources")}
        return PlannedBatch(step=self.step, bucket=self.bucket, **columns)


@dataclass(frozen=True, kw_only=True)
class GroupCounts:
    """Where the rows of one bucket and source go in an epoch: `rows == in_batches + spares`.

    Attributes:
        bucket, source: names; source is "all" without a mix, and the sources a mix leaves out are "left out".
        rows: in the slice.
        in_batches: that come up in a batch.
        spares: that come up only to replace a bad row.
    """

    bucket: str
    source: str
    rows: int
    in_batches: int
    spares: int


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Where the rows of an epoch are at a step: `planned == delivered + skipped + remaining + tail`.

    Attributes:
        planned: rows of the slice.
        delivered: handed out.
        skipped: tried and bad, spares that were bad among them.
        remaining: in batches to come.
        tail: in no batch, and not needed as spares so far.
    """

    planned: int
    delivered: int
    skipped: int
    remaining: int
    tail: int
