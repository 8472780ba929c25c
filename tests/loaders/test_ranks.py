"""A whole run on 1, 2, 4 and 8 ranks, with one clip in twenty corrupt: the same batches, and every row accounted for."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from loaders.rowsource import FakeCatalog
from loaders.test_loader import bad_rows
from opens2v_loaders.batch import Batch
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.options import LoaderOptions
from opens2v_loaders.outcomes import BadClip
from opens2v_loaders.plan import Reserve
from opens2v_loaders.planned import Accounts
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.subjects import SubjectSpec

WORLDS = (1, 2, 4, 8)
NUM_ROWS = 90
BAD_SHARE = 0.05
MIXES: dict[str, dict[str, int] | None] = {"regular": None, "mixed": {"regular": 2, "nexus-cross": 1, "nexus-gpt": 1}}


def ranks_of(world: int, *, seed: int = 0, **changes: Any) -> list[ClipLoader]:
    """Return the loaders of all ranks, of batches of 8 over rows of which one in twenty is bad."""
    lengths = np.random.default_rng(7).choice([6, 30], NUM_ROWS).tolist()
    catalog = FakeCatalog(
        num_rows=NUM_ROWS, bad=bad_rows(NUM_ROWS, BAD_SHARE, seed=seed), lengths=dict(enumerate(lengths))
    )
    given: dict[str, Any] = {
        "clip": ClipSpec(num_frames=2, stride=3, size=(20, 32), crop="random"),
        "batch_size": 8,
        "seed": seed,
        "buckets": "duration",
        "subjects": SubjectSpec(size=(16, 16)),
        "reserve": Reserve(spares=1, per_steps=3),
        "options": LoaderOptions(num_threads=1, max_bad_share=1.0),
    }
    return [ClipLoader(catalog, rank=rank, world_size=world, **(given | changes)) for rank in range(world)]


def global_accounts(loaders: list[ClipLoader], step: int) -> Accounts:
    """Return the accounts of all ranks together, as `ClipLoader.accounts` tells to make them."""
    spares, unfilled = (sum(some) for some in zip(*(loader.totals() for loader in loaders), strict=True))
    return loaders[0].plan.epoch(loaders[0].epoch).accounts(step, spares_used=spares, unfilled=unfilled)


@dataclass
class Run:
    """A run of all ranks, step by step.

    Attributes:
        batches: what each global batch is known by: per clip its row, source, frames, and the sum of its pixels.
        accounts: after each step, and before the first.
        bad: of all ranks, in order of steps and slots.
    """

    batches: list[list[tuple[Any, ...]]] = field(default_factory=list)
    accounts: list[Accounts] = field(default_factory=list)
    bad: list[BadClip] = field(default_factory=list)


def told(batch: Batch) -> list[tuple[Any, ...]]:
    """Return what the clips of a batch are known by."""
    sums = batch.videos.to(torch.int64).flatten(1).sum(dim=1).tolist()
    columns = (batch.slots.tolist(), batch.sources, batch.rows.tolist(), batch.frame_indices.tolist(), sums)
    return list(zip(*columns, strict=True))


@cache
def run(world: int, mix: str, on_bad: str, seed: int = 0) -> Run:
    """Run an epoch on so many ranks."""
    loaders = ranks_of(world, seed=seed, mix=MIXES[mix], on_bad=on_bad)
    made = Run(accounts=[global_accounts(loaders, 0)])
    for step, batches in enumerate(zip(*loaders, strict=True), start=1):
        made.batches.append([clip for batch in batches for clip in told(batch)])
        made.accounts.append(global_accounts(loaders, step))
    bad = [clip for loader in loaders for clip in loader.bad_clips]
    made.bad = sorted(bad, key=lambda clip: (clip.step, clip.slot))
    return made


@pytest.mark.parametrize("on_bad", ["replace", "skip"])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("world", WORLDS[1:])
def test_ranks_together_train_on_the_batches_of_one(world: int, mix: str, on_bad: str) -> None:
    alone, together = run(1, mix, on_bad), run(world, mix, on_bad)
    assert together.batches == alone.batches
    assert together.accounts == alone.accounts
    assert together.bad == alone.bad
    assert alone.bad


@pytest.mark.parametrize("on_bad", ["replace", "skip"])
@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("world", WORLDS)
def test_planned_is_delivered_skipped_remaining_and_tail_after_each_step(world: int, mix: str, on_bad: str) -> None:
    made = run(world, mix, on_bad)
    planned = NUM_ROWS * (3 if mix == "mixed" else 1)
    assert len(made.batches) == len(made.accounts) - 1 > 4
    seen: Counter[tuple[str, int]] = Counter()
    for step, accounts in enumerate(made.accounts):
        if step:
            seen.update((source, row) for _, source, row, _, _ in made.batches[step - 1])
        found_bad = [clip for clip in made.bad if clip.step < step]
        parts = (accounts.delivered, accounts.skipped, accounts.remaining, accounts.tail)
        assert sum(parts) == accounts.planned == planned
        assert (accounts.delivered, accounts.skipped) == (seen.total(), len(found_bad))
        assert accounts.remaining == 8 * (len(made.batches) - step)
    assert set(seen.values()) == {1}
    tried_and_bad = {(clip.source, clip.row) for clip in made.bad}
    assert len(tried_and_bad) == len(made.bad)
    assert not tried_and_bad & set(seen)
    assert {row for _, row in tried_and_bad} <= bad_rows(NUM_ROWS, BAD_SHARE).keys()


def test_other_seeds_and_epochs_give_other_orders_on_all_ranks_alike() -> None:
    orders = []
    for seed in (0, 1):
        by_world = []
        for world in (1, 4):
            loaders = ranks_of(world, seed=seed)
            for loader in loaders:
                loader.set_epoch(3)
            by_world.append([[clip for batch in some for clip in told(batch)] for some in zip(*loaders, strict=True)])
        assert by_world[0] == by_world[1]
        orders.append(by_world[0])
    first = run(1, "regular", "replace").batches
    assert orders[0] != orders[1] and first not in orders
