"""In which order is a slice trained on? A pure function of (rows, mix, reserve, seed, epoch, batch size).

    rows of a slice     sorted by (source, row); a group is one bucket's rows of one source
    shuffled            Philox gives each row random bits; one sort of (group, bits, place) shuffles every group at once
    a group             |─ batch 0 ─|─ batch 1 ─| … |─ batch K-1 ─|─ spares ──────────|
    an epoch            the buckets' batches in random turn: step 0 from bucket 4, step 1 from bucket 0, step 2 …
    a batch             slots 0 … B-1; rank r of w has slots [r * B/w, (r+1) * B/w)

Nothing here knows how many ranks or workers there are: any number that divides the batch gets the same global batches.
To resume is to name an epoch and a step.

**Spares.** A row that cannot be read is replaced by a spare of its own group. A function that gives every slot a spare of
its own needs as many spares as rows. So slots share them: a *cell* is one slot position of one group over a stretch of
`Reserve.per_steps` batches of its bucket, and the spares are dealt out to the cells like cards. A slot position belongs to
one rank, so no two ranks ever take the same spare, and need not talk. Within a cell spares are taken in order of steps:
the only thing to remember is how many are gone, which `ledger.Ledger` does.

    bucket's batch    0    1    2    3   │   4    5    6    7        per_steps 4, slots of a group: 0 and 1
    slot 0            ·    ·    ✗→s0 ·   │   ·    ·    ·    ·        s0 s4 …   s2 s6 …
    slot 1            ·    ✗→s1 ·    ✗→s5│   ·    ✗→s3 ·    ·        s1 s5 …   s3 s7 …

Each row comes up once an epoch at most. What no batch took and nothing called for is the tail, counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from opens2v_loaders.epoch import EpochPlan
from opens2v_loaders.groups import Groups, Reserve
from opens2v_loaders.mix import Quotas
from opens2v_loaders.rows import PlanRows
from opens2v_loaders.sampling import philox_of

STATE_VERSION = 1


class Plan:
    """The order of a slice, in every epoch.

    Attributes:
        rows: the slice.
        seed, batch_size, reserve: as given; a batch is global, over all ranks.
        quotas, groups: rows of each share in a batch, and rows and batches of each bucket.
        num_steps: batches of an epoch, the same in each.
        fingerprint: of all that the order depends on but seed, epoch and batch size.
        counts: where the rows of each bucket and source go.
    """

    def __init__(
        self,
        rows: PlanRows,
        *,
        batch_size: int,
        seed: int = 0,
        mix: Mapping[str, int] | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        """Work out how many batches each bucket gives; the order itself is made for each epoch.

        Args:
            batch_size: rows of a global batch.
            seed: `[0, 2**64)`.
            mix: weight of each source by name, see `mix.Quotas`; None: rows come as they are drawn, whatever their source.
                A bucket gives batches as long as it has rows of every source of the mix, so that the scarcest one ends the
                epoch; of the others each epoch has other rows, and the rest is its tail (`counts`).

        Raises:
            ValueError: a batch size below 1, a seed out of range, or a mix that `mix.Quotas` refuses.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, not {batch_size}")
        self.rows, self.batch_size, self.seed, self.reserve = rows, batch_size, seed, reserve or Reserve()
        philox_of(seed, 0, 0, "order")  # refuses a seed out of range before any work
        self.quotas = Quotas(mix, source_names=rows.source_names, batch_size=batch_size)
        self.groups = Groups(rows, self.quotas, self.reserve)
        self.num_steps = int(self.groups.first_batch[-1])
        self.counts = self.groups.counts
        # repr of plain ints and strings: the same on every machine.
        order_of = (
            rows.fingerprint,
            self.quotas.sources,
            self.quotas.weights,
            self.reserve.spares,
            self.reserve.per_steps,
        )
        self.fingerprint = blake2b(repr(order_of).encode(), digest_size=16).hexdigest()

    def __repr__(self) -> str:
        used = self.num_steps * self.batch_size
        return (
            f"Plan({len(self.rows):,} rows, {len(self.rows.buckets.names)} buckets, {self.num_steps:,} steps of "
            f"{self.batch_size}, {len(self.rows) - used:,} rows in no batch)"
        )

    def epoch(self, number: int) -> EpochPlan:
        """Return the order of one epoch; some 0.2 s and 12 bytes a row at the most, 4 of which stay."""
        return EpochPlan(self, number)

    def state(self, *, epoch: int, step: int) -> dict[str, Any]:
        """Return what it takes to go on from before a step, as plain values.

        Raises:
            ValueError: no such step; one past the last is the end of the epoch.
        """
        if epoch < 0 or not 0 <= step <= self.num_steps:
            raise ValueError(f"expected epoch >= 0 and step in [0, {self.num_steps}], found {epoch} and {step}")
        return {
            "version": STATE_VERSION,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "epoch": epoch,
            "step": step,
            "batch_size": self.batch_size,
        }

    def resume(self, state: Mapping[str, Any]) -> tuple[int, int]:
        """Return the epoch and step of a state, if it is of this very order; the number of ranks does not matter.

        Raises:
            ValueError: made by another version, slice, mix, reserve, seed or batch size, or no such step.
        """
        expected = {
            "version": STATE_VERSION,
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "batch_size": self.batch_size,
        }
        wrong = {name: (value, state.get(name)) for name, value in expected.items() if state.get(name) != value}
        if wrong:
            found = "; ".join(
                f"{name}: the state has {found!r}, this plan {here!r}" for name, (here, found) in wrong.items()
            )
            hint = (
                " (the fingerprint covers catalog, filter, buckets, mix and reserve)" if "fingerprint" in wrong else ""
            )
            raise ValueError(
                f"the state is of another order; {found}{hint}; resume with what it was made with, or start anew"
            )
        epoch, step = int(state["epoch"]), int(state["step"])
        self.state(epoch=epoch, step=step)
        return epoch, step
