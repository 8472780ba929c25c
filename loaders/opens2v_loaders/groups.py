"""How many batches does each bucket give, and what does each group have in them? The same in every epoch; see `plan`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from opens2v_loaders.buckets import CHUNK_ROWS
from opens2v_loaders.planned import GroupCounts

if TYPE_CHECKING:
    from opens2v_loaders.mix import Quotas
    from opens2v_loaders.rows import PlanRows


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """How many rows each epoch holds back to replace bad ones; other rows in each epoch.

    A slot position has `spares` for each `per_steps` batches of its bucket, and more where rows are left over. 4 for 128
    hold back 3% of an epoch. Of the slots whose row is bad, this many find no spare (binomial, spares being bad as often):

        rows that are bad            0.1%      0.5%      1%        5%
        4 for 128 (3% held back)     0.0002%   0.1%      1.1%      43%
        8 for 128 (6%)               0         <0.001%   0.001%    8.4%
        16 for 128 (11%)             0         0         0         0.02%
        1 for 1 (50%)                0.1%      0.5%      1%        5%        nothing to remember

    Attributes:
        spares: 0: only what is left over at the end of each group.
        per_steps: batches of one bucket.
    """

    spares: int = 4
    per_steps: int = 128

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            ValueError: spares below 0, or per_steps below 1.
        """
        if self.spares < 0 or self.per_steps < 1:
            raise ValueError(
                f"expected spares of 0 or more and per_steps of 1 or more, found {self.spares} and {self.per_steps}"
            )


class Groups:
    """The rows of each bucket and share of the mix, and how many of them come up in batches.

    Attributes:
        codes: `(rows,) uint8 or uint16`, each row's group, bucket * kinds + share; kinds are the shares, and with a mix one more
            for the sources it leaves out.
        num_groups: buckets * kinds.
        starts: `(buckets, kinds) int64`, where a group begins once rows are sorted by group.
        sizes: `(buckets, shares) int64`, its rows.
        first_batch: `(buckets + 1,) int64`: batches are numbered bucket by bucket, so that shares even out over buckets too.
        in_batches: `(buckets, shares) int64`, rows that come up in a batch.
        counts: the same by name.
    """

    def __init__(self, rows: PlanRows, quotas: Quotas, reserve: Reserve) -> None:
        """Count, and find the most batches that leave every share its reserve.

        Raises:
            ValueError: more than 65,536 groups.
        """
        num_buckets, kinds = len(rows.buckets.names), quotas.num_shares + bool(quotas.sources)
        self.codes = _group_codes(rows, quotas, kinds)
        self.num_groups = num_buckets * kinds
        sizes = np.bincount(self.codes, minlength=self.num_groups).reshape(num_buckets, kinds)
        self.starts = (np.cumsum(sizes) - sizes.ravel()).reshape(num_buckets, kinds)
        self.sizes = sizes[:, : quotas.num_shares]
        self.first_batch = np.zeros(num_buckets + 1, np.int64)
        for bucket in range(num_buckets):
            first = int(self.first_batch[bucket])
            self.first_batch[bucket + 1] = first + _num_batches(first, self.sizes[bucket], quotas, reserve)
        self.in_batches = np.array(
            [quotas.before(last) - quotas.before(first) for first, last in self.borders()]
        ).reshape(num_buckets, quotas.num_shares)
        self.counts = tuple(self._counts(rows, quotas, sizes))

    def borders(self) -> Iterator[tuple[int, int]]:
        """Give the half-open range of each bucket's batches."""
        yield from zip(self.first_batch[:-1].tolist(), self.first_batch[1:].tolist(), strict=True)

    def _counts(self, rows: PlanRows, quotas: Quotas, sizes: np.ndarray) -> Iterator[GroupCounts]:
        names = [rows.source_names[code] for code in quotas.sources] or ["all"]
        for bucket, name in enumerate(rows.buckets.names):
            for share, source in enumerate([*names, "left out"][: sizes.shape[1]]):
                num_rows = int(sizes[bucket, share])
                used = int(self.in_batches[bucket, share]) if share < len(names) else 0
                yield GroupCounts(bucket=name, source=source, rows=num_rows, in_batches=used, spares=num_rows - used)


def _group_codes(rows: PlanRows, quotas: Quotas, kinds: int) -> np.ndarray:
    """Return each row's group; sources the mix leaves out are the last kind."""
    num_groups = len(rows.buckets.names) * kinds
    if num_groups > 1 << 16:
        raise ValueError(f"expected at most {1 << 16} groups of bucket and source, found {num_groups}")
    share_of = np.full(max(len(rows.source_names), 1), kinds - 1, np.uint16)
    share_of[list(quotas.sources)] = np.arange(len(quotas.sources))
    codes = np.empty(len(rows), np.uint8 if num_groups <= 1 << 8 else np.uint16)
    for start in range(0, len(rows), CHUNK_ROWS):
        part = slice(start, start + CHUNK_ROWS)
        codes[part] = rows.buckets.codes[part] * np.uint16(kinds) + share_of[rows.sources[part]]
    return codes


def _num_batches(first: int, sizes: np.ndarray, quotas: Quotas, reserve: Reserve) -> int:
    """Return the most batches of a bucket, the first of that number, that leave every share its reserve."""

    def fits(num: int) -> bool:
        held_back = quotas.widths * (reserve.spares * num // reserve.per_steps)
        used = quotas.before(first + num) - quotas.before(first)
        return bool((used + held_back <= sizes).all())

    low, high = 0, int(sizes.sum()) // quotas.batch_size
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
