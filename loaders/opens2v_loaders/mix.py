"""How many rows of each source does batch number c hold, and in which slots? Pure functions of c.

    mix {"regular": 5, "nexus-cross": 2, "nexus-gpt": 1}, batch of 10: shares 6.25, 2.5, 1.25
    whole parts 6 2 1, one slot over; over 8 batches it goes 2, 4 and 2 times to the three
    batch 0  6 2 1 + regular       batch 1  6 2 1 + nexus-cross       batch 2  6 2 1 + nexus-gpt       …

Every batch holds a source's share rounded down or up, and every cycle of sum(mix) batches holds it exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import gcd

import numpy as np

_MAX_CYCLE = 100_000  # batches; the table of a cycle takes 8 bytes a source for each


class Quotas:
    """The shares of the sources in each batch.

    Attributes:
        batch_size: slots of a batch.
        sources: codes of the sources mixed, in the order of `source_names`; empty without a mix, where one share takes all.
        weights: of the shares, divided by what they have in common.
        num_shares: how many shares there are: one per source mixed, or 1.
        cycle: after so many batches the shares repeat.
        widths: `(num_shares,)`, how many slots ever hold each share.
        lanes: `(num_shares, batch_size)`, a slot's number among those that ever hold the share; -1 where it never does.
    """

    def __init__(self, mix: Mapping[str, int] | None, *, source_names: Sequence[str], batch_size: int) -> None:
        """Work out one cycle.

        Args:
            mix: weight of each source, integers; sources left out, or of weight 0, come into no batch. None: no shares,
                rows come as they are drawn.

        Raises:
            ValueError: an unknown source, a weight that is no integer of 0 or more, all weights 0, or a cycle too long.
        """
        weights = _weights(mix, source_names)
        self.batch_size = batch_size
        self.sources = tuple(weights) if mix is not None else ()
        share_of = np.array(list(weights.values()), np.int64)
        self.num_shares = len(share_of)
        self.weights = tuple(weights.values())
        self.cycle = cycle = int(share_of.sum())
        if cycle > _MAX_CYCLE:
            raise ValueError(f"the weights of mix may add up to {_MAX_CYCLE:,} at most, found {cycle:,}; round them")
        self._whole, over = np.divmod(share_of * batch_size, cycle)
        # Source s has `over[s]` of every `cycle` points of a circle; a batch takes the points cycle apart from its own.
        # That gives each source one slot more or none, `sum(over) / cycle` slots in all, and none is due twice.
        start = np.cumsum(over) - over
        turns = np.arange(cycle, dtype=np.int64) * _spreading_step(cycle) % cycle
        extra = (turns[:, None] - start) % cycle < over
        self._kind_of, self._layouts = self._lay_out(extra)
        self._extra = extra
        self._before = np.zeros((cycle + 1, self.num_shares), np.int64)
        np.cumsum(self._whole + extra, axis=0, out=self._before[1:])
        ever = np.array([(self._layouts == share).any(axis=0) for share in range(self.num_shares)])
        self.widths = ever.sum(axis=1)
        self.lanes = np.where(ever, np.cumsum(ever, axis=1) - 1, -1)

    def before(self, batch: int) -> np.ndarray:
        """Return how many rows of each share the batches before this one hold: `(num_shares,) int64`."""
        rounds, place = divmod(batch, self.cycle)
        return rounds * self._before[-1] + self._before[place]

    def counts(self, batch: int) -> np.ndarray:
        """Return how many rows of each share a batch holds: `(num_shares,) int64`, `batch_size` in all."""
        return self._whole + self._extra[batch % self.cycle]

    def layout(self, batch: int) -> np.ndarray:
        """Return the share of each slot of a batch: `(batch_size,) uint8`, spread so that every rank gets alike."""
        return self._layouts[self._kind_of[batch % self.cycle]]

    def _lay_out(self, extra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which layout each batch of a cycle has, and the layouts: there are few, whatever the cycle."""
        kinds, kind_of = np.unique(extra, axis=0, return_inverse=True)
        layouts = np.empty((len(kinds), self.batch_size), np.uint8)
        for kind, more in enumerate(kinds):
            counts = self._whole + more
            share = np.repeat(np.arange(self.num_shares), counts)
            nth = np.concatenate([np.arange(count) for count in counts])
            # The j-th of n stands in the middle of the j-th of n equal stretches; where two meet, the earlier source first.
            layouts[kind] = share[np.lexsort((share, (2 * nth + 1) / (2 * counts[share])))]
        return kind_of.reshape(-1), layouts


def _weights(mix: Mapping[str, int] | None, source_names: Sequence[str]) -> dict[int, int]:
    """Return weights by source code, divided by what they share."""
    if mix is None:
        return {0: 1}
    known = ", ".join(source_names)
    for name, weight in mix.items():
        if name not in source_names:
            raise ValueError(f"mix names the source {name!r}; the rows come from {known}")
        if isinstance(weight, bool) or not isinstance(weight, (int, np.integer)) or weight < 0:
            raise ValueError(f"a weight of mix is an integer of 0 or more, not {weight!r} for {name!r}")
    found = {code: int(mix[name]) for code, name in enumerate(source_names) if mix.get(name, 0) > 0}
    if not found:
        raise ValueError(f"mix must give a weight above 0 to one of {known} at least, not {dict(mix)}")
    shared = reduce(gcd, found.values())
    return {code: weight // shared for code, weight in found.items()}


def _spreading_step(cycle: int) -> int:
    """Return a step that meets every number below `cycle` once, neighbours far apart: near the golden section of it."""
    step = round(cycle * 0.6180339887)
    while gcd(step, cycle) != 1:
        step += 1
    return step
