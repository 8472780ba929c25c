"""Small slices to plan, and what their plan must be, in plain Python."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd

import numpy as np
from hypothesis import strategies as st

from opens2v_loaders.buckets import By
from opens2v_loaders.plan import Plan, Reserve
from opens2v_loaders.rows import PlanRows, plan_rows
from opens2v_loaders.sampling import philox_of

BUCKETS: tuple[By | None, ...] = (None, "duration")
SOURCES: tuple[str, ...] = ("regular", "nexus-cross", "nexus-gpt")


Names = Sequence[str | None]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A plan with what it was made of: (source, row) → duration in frames."""

    plan: Plan
    frames: dict[tuple[str, int], int]
    mix: dict[str, int] | None


def rows_of(num_rows: int, *, seed: int = 0, buckets: bool = True, **changes: object) -> PlanRows:
    """Return rows of three sources in turn, with random durations of three buckets."""
    rng = np.random.default_rng(seed)
    columns: dict[str, object] = {
        "sources": np.sort(np.arange(num_rows) % 3),
        "source_names": SOURCES,
        "buckets": "duration" if buckets else None,
        "num_frames": rng.choice([30, 100, 200], num_rows),
    }
    return plan_rows("a catalog", np.arange(num_rows) * 7, **(columns | changes))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@st.composite
def plans(draw: st.DrawFn, *, max_rows: int = 300) -> Made:
    """Draw a slice, a mix, a reserve and a batch that 1, 2, 4 or 8 ranks can share."""
    num_rows = draw(st.integers(0, max_rows))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sources = np.sort(rng.choice(3, num_rows, p=[0.5, 0.25, 0.25]))
    frames = rng.choice([0, 30, 100, 200, 400], num_rows)
    rows = rng.permutation(num_rows * 2)[:num_rows]
    by = draw(st.sampled_from(BUCKETS))
    mix = draw(
        st.none()
        | st.dictionaries(st.sampled_from(SOURCES), st.integers(0, 6), min_size=1).filter(lambda mix: any(mix.values()))
    )
    reserve = Reserve(spares=draw(st.integers(0, 3)), per_steps=draw(st.integers(1, 5)))
    made = plan_rows("a catalog", rows, sources=sources, source_names=SOURCES, buckets=by, num_frames=frames)
    plan = Plan(
        made,
        batch_size=draw(st.sampled_from([1, 2, 4, 8, 16])),
        seed=draw(st.integers(0, 99)),
        mix=mix,
        reserve=reserve,
    )
    names = [SOURCES[code] for code in sources]
    return Made(
        plan=plan, frames=dict(zip(zip(names, rows.tolist(), strict=True), frames.tolist(), strict=True)), mix=mix
    )


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """An epoch as `plan`, `mix` and `rows` describe it, worked out with lists.

    Attributes:
        batches: positions by slot, for each step.
        spares: positions left to each slot of each step, in the order they are taken; shared by the slots of a cell.
    """

    batches: list[list[int]]
    spares: list[list[list[int]]]


def oracle(plan: Plan, mix: dict[str, int] | None, epoch: int) -> Oracle:
    """Return what an epoch of a plan must be."""
    rows, size, reserve = plan.rows, plan.batch_size, plan.reserve
    names: Names = [name for name in rows.source_names if mix and mix.get(name)] or [None]
    weights = [mix[name] if mix and name else 1 for name in names]
    common = gcd(*weights)
    weights = [weight // common for weight in weights]
    groups = _shuffled_groups(rows, names, mix is not None, plan.seed, epoch)
    shares = range(len(names))
    layouts = [_layout(batch, weights, size) for batch in range(sum(weights))]
    ever = {
        share: sorted({slot for lay in layouts for slot, got in enumerate(lay) if got == share}) for share in shares
    }

    number, by_bucket = 0, []  # batches are numbered bucket by bucket
    for bucket in range(len(rows.buckets.names)):
        left = [list(groups[bucket, share]) for share in shares]
        taken: list[tuple[list[int], list[int]]] = []
        while True:
            layout = layouts[number % sum(weights)]
            held_back = reserve.spares * (len(taken) + 1) // reserve.per_steps
            if any(len(left[s]) < layout.count(s) + held_back * len(ever[s]) for s in shares):
                break
            # Rows are dealt to the slots in their order, share by share.
            taken.append(([left[share].pop(0) for share in layout], layout))
            number += 1
        cards: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for share in shares:
            cells = [
                (stretch, share, slot) for stretch in range(-(-len(taken) // reserve.per_steps)) for slot in ever[share]
            ]
            for card, position in enumerate(left[share] if cells else []):
                cards[cells[card % len(cells)]].append(position)
        by_bucket.append(
            [
                (positions, [cards[k // reserve.per_steps, share, slot] for slot, share in enumerate(layout)])
                for k, (positions, layout) in enumerate(taken)
            ]
        )
    turns = [bucket for bucket, found in enumerate(by_bucket) for _ in found]
    in_turn = [iter(found) for found in by_bucket]
    order = [next(in_turn[turns[i]]) for i in _sorted_by_bits(range(len(turns)), plan.seed, epoch, "turns", 0)]
    return Oracle(batches=[batch for batch, _ in order], spares=[spares for _, spares in order])


def _shuffled_groups(
    rows: PlanRows, names: Names, mixed: bool, seed: int, epoch: int
) -> dict[tuple[int, int], list[int]]:
    kinds = len(names) + mixed
    group_bits = (len(rows.buckets.names) * kinds - 1).bit_length() if len(rows) else 0
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for position in _sorted_by_bits(range(len(rows)), seed, epoch, "order", group_bits):
        name = rows.source_names[rows.sources[position]]
        if not mixed or name in names:
            groups[int(rows.buckets.codes[position]), names.index(name) if mixed else 0].append(position)
    return groups


def _sorted_by_bits(numbers: range, seed: int, epoch: int, stream: str, group_bits: int) -> list[int]:
    """Sort by the bits Philox gives, as many of them as a 64-bit key has room for."""
    bits = 64 - group_bits - max(len(numbers) - 1, 1).bit_length()
    drawn = philox_of(seed, epoch, 0, stream).random_raw(len(numbers))
    return sorted(numbers, key=lambda i: (int(drawn[i]) >> (64 - bits), i))


def _layout(batch: int, weights: list[int], size: int) -> list[int]:
    """Return the share of each slot: whole parts, and the slots over to whose stretch of a circle the batch points."""
    cycle = sum(weights)
    step = next(s for s in range(round(cycle * 0.6180339887), 2 * cycle + 2) if gcd(s, cycle) == 1)
    over = [weight * size % cycle for weight in weights]
    owners = [share for share, points in enumerate(over) for _ in range(points)]
    counts = [weight * size // cycle for weight in weights]
    for point in range(batch * step % cycle, len(owners), cycle):
        counts[owners[point]] += 1
    middles = [(Fraction(2 * j + 1, 2 * n), share) for share, n in enumerate(counts) for j in range(n)]
    return [share for _, share in sorted(middles)]
