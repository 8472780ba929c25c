"""The order of training: against plain Python, on any number of ranks, from any step, with every row accounted for."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.plans import SOURCES, Made, oracle, plans, rows_of
from opens2v_loaders.plan import EpochPlan, Plan, Reserve
from opens2v_loaders.planned import PlannedBatch

WORLDS = (1, 2, 4, 8, 16)


def all_spares(epoch: EpochPlan) -> dict[tuple[int, int, int, int], list[int]]:
    """Return the positions of every cell's spares, in the order they are taken."""
    found: dict[tuple[int, int, int, int], list[int]] = {}
    for step in range(epoch.num_steps):
        for slot in range(epoch.plan.batch_size):
            cell = epoch.cell(step, slot)
            if cell not in found:
                found[cell] = []
                while spare := epoch.replacement(step, slot, len(found[cell])):
                    found[cell].append(spare.position)
    return found


@settings(max_examples=150, deadline=None)
@given(made=plans(max_rows=120), number=st.integers(0, 3))
def test_the_order_is_the_one_worked_out_with_lists(made: Made, number: int) -> None:
    epoch, expected = made.plan.epoch(number), oracle(made.plan, made.mix, number)
    assert [epoch.batch(step).positions.tolist() for step in range(epoch.num_steps)] == expected.batches
    for step, slots in enumerate(expected.spares):
        for slot, spares in enumerate(slots):
            found = [epoch.replacement(step, slot, attempt) for attempt in range(len(spares) + 1)]
            assert [spare and spare.position for spare in found] == [*spares, None]


@settings(max_examples=60, deadline=None)
@given(made=plans(), number=st.integers(0, 5))
def test_every_number_of_ranks_that_divides_the_batch_gets_the_same_global_batches(made: Made, number: int) -> None:
    epoch = made.plan.epoch(number)
    for step in range(min(epoch.num_steps, 5)):
        whole = epoch.batch(step)
        for world in WORLDS:
            if made.plan.batch_size % world:
                with pytest.raises(ValueError, match=f"cannot be shared by {world} ranks"):
                    whole.part(world=world, rank=0)
                continue
            parts = [made.plan.epoch(number).batch(step).part(world=world, rank=rank) for rank in range(world)]
            for column in ("slots", "positions", "rows", "sources"):
                joined = np.concatenate([getattr(part, column) for part in parts])
                assert joined.tolist() == getattr(whole, column).tolist()
                # As the design has it: local = batches[step].reshape(world, -1)[rank].
                shares = getattr(whole, column).reshape(world, -1)
                assert all((getattr(part, column) == share).all() for part, share in zip(parts, shares, strict=True))
            assert {part.bucket for part in parts} == {whole.bucket}


@settings(max_examples=60, deadline=None)
@given(made=plans(), number=st.integers(0, 5))
def test_batches_and_spares_have_each_row_once(made: Made, number: int) -> None:
    plan, epoch = made.plan, made.plan.epoch(number)
    in_batches = [p for batch in epoch.batches() for p in batch.positions.tolist()]
    spares = [position for found in all_spares(epoch).values() for position in found]
    times = Counter(in_batches + spares)
    assert set(times.values()) <= {1}
    if made.mix is None or plan.batch_size % plan.quotas.cycle == 0:
        # Every slot has its share in every batch, so that all rows of the buckets that give batches have a place.
        used = {counts.bucket for counts in plan.counts if counts.in_batches}
        assert len(times) == sum(
            counts.rows for counts in plan.counts if counts.bucket in used and counts.source != "left out"
        )


@settings(max_examples=60, deadline=None)
@given(made=plans(), number=st.integers(0, 5))
def test_a_batch_is_of_one_bucket_and_has_its_share_of_every_source(made: Made, number: int) -> None:
    plan, epoch = made.plan, made.plan.epoch(number)
    total = Counter[str]()
    for step, batch in enumerate(epoch.batches()):
        assert batch.step == step and batch.slots.tolist() == list(range(plan.batch_size))
        assert batch.rows.tolist() == plan.rows.rows[batch.positions].tolist()
        assert {plan.rows.buckets.names[code] for code in plan.rows.buckets.codes[batch.positions]} == {batch.bucket}
        names = Counter(SOURCES[code] for code in batch.sources)
        total += names
        if made.mix:
            for name in SOURCES:
                exact = made.mix.get(name, 0) * plan.batch_size / sum(made.mix.values())
                assert int(exact) <= names[name] <= -int(-exact // 1)
    if made.mix:
        # Rounding evens out over the epoch: never a whole cycle of batches off.
        for name in SOURCES:
            exact = made.mix.get(name, 0) * plan.batch_size * epoch.num_steps / sum(made.mix.values())
            assert abs(total[name] - exact) <= sum(made.mix.values())


@settings(max_examples=60, deadline=None)
@given(made=plans(), number=st.integers(0, 5))
def test_a_spare_is_of_the_bucket_and_source_it_stands_in_for(made: Made, number: int) -> None:
    epoch = made.plan.epoch(number)
    for batch in epoch.batches():
        for slot in batch.slots.tolist():
            spare = epoch.replacement(batch.step, slot, 0)
            if spare:
                assert spare.bucket == batch.bucket
                assert made.mix is None or spare.source == SOURCES[batch.sources[slot]]
                assert (spare.source, spare.row) in made.frames
                assert made.plan.rows.rows[spare.position] == spare.row


@settings(max_examples=40, deadline=None)
@given(made=plans())
def test_each_group_keeps_back_what_the_reserve_asks_for_and_not_a_batch_more(made: Made) -> None:
    plan, epoch = made.plan, made.plan.epoch(0)
    steps = Counter(batch.bucket for batch in epoch.batches())
    for counts in plan.counts:
        assert counts.rows == counts.in_batches + counts.spares
        if counts.source == "left out":
            assert counts.in_batches == 0
        else:
            share = 0 if made.mix is None else [n for n in SOURCES if made.mix.get(n)].index(counts.source)
            promised = plan.reserve.spares * steps[counts.bucket] // plan.reserve.per_steps
            assert counts.spares >= promised * plan.quotas.widths[share]
    if made.mix is None:
        for counts in plan.counts:
            one_more = plan.reserve.spares * (steps[counts.bucket] + 1) // plan.reserve.per_steps
            assert counts.spares < plan.batch_size * (1 + one_more)
    assert sum(counts.rows for counts in plan.counts) == len(plan.rows)


@settings(max_examples=40, deadline=None)
@given(made=plans(), data=st.data())
def test_planned_is_delivered_and_skipped_and_remaining_and_tail(made: Made, data: st.DataObject) -> None:
    plan, epoch = made.plan, made.plan.epoch(0)
    step = data.draw(st.integers(0, plan.num_steps))
    tail = len(plan.rows) - plan.num_steps * plan.batch_size
    spares_used = data.draw(st.integers(0, tail))
    unfilled = data.draw(st.integers(0, step * plan.batch_size))
    accounts = epoch.accounts(step, spares_used=spares_used, unfilled=unfilled)
    assert accounts.planned == len(plan.rows)
    assert accounts.planned == accounts.delivered + accounts.skipped + accounts.remaining + accounts.tail
    assert accounts.delivered + accounts.skipped == step * plan.batch_size + spares_used
    assert min(accounts.delivered, accounts.skipped, accounts.remaining, accounts.tail) >= 0
    with pytest.raises(ValueError, match="spares used and"):
        epoch.accounts(step, spares_used=tail + 1)


@settings(max_examples=40, deadline=None)
@given(made=plans(), data=st.data())
def test_a_run_goes_on_from_any_step_on_any_number_of_ranks(made: Made, data: st.DataObject) -> None:
    plan = made.plan
    number, step = data.draw(st.integers(0, 3)), data.draw(st.integers(0, plan.num_steps))
    state = json.loads(json.dumps(plan.state(epoch=number, step=step)))
    again = Plan(plan.rows, batch_size=plan.batch_size, seed=plan.seed, mix=made.mix, reserve=plan.reserve)
    assert again.resume(state) == (number, step)
    expected = [batch.rows.tolist() for batch in plan.epoch(number).batches(first_step=step)]
    world = data.draw(st.sampled_from([world for world in WORLDS if plan.batch_size % world == 0]))
    resumed = again.epoch(number)
    ranks = [list(resumed.batches(first_step=step, world=world, rank=rank)) for rank in range(world)]
    assert [np.concatenate([part.rows for part in parts]).tolist() for parts in zip(*ranks, strict=True)] == expected


def test_epochs_and_seeds_are_other_orders_of_the_same_rows() -> None:
    rows = rows_of(1000, buckets=False)
    plan = Plan(rows, batch_size=8, reserve=Reserve(spares=0))

    def order(plan: Plan, number: int) -> list[int]:
        return [row for batch in plan.epoch(number).batches() for row in batch.rows.tolist()]

    orders = [order(plan, 0), order(plan, 1), order(plan, 2), order(Plan(rows, batch_size=8, seed=1), 0)]
    for first in range(4):
        for second in range(first):
            same = sum(a == b for a, b in zip(orders[first], orders[second], strict=False))
            assert same < 12  # of 1000, one by chance
    assert {tuple(sorted(order(plan, number))) for number in range(3)} == {tuple(range(0, 7000, 7))}
    assert order(plan, 1) == orders[1]


def test_a_slice_of_more_rows_than_are_shuffled_at_once_has_each_row_once_and_mixes_them() -> None:
    num_rows = 600_000  # more than two chunks of 2**18
    plan = Plan(rows_of(num_rows), batch_size=1000, reserve=Reserve(spares=0))
    epoch = plan.epoch(0)
    positions = np.concatenate([batch.positions for batch in epoch.batches()])
    assert plan.num_steps >= 597 and len(np.unique(positions)) == len(positions) == plan.num_steps * 1000
    # A batch has rows from all over the slice: of 1000 rows, 100 from each tenth, standard deviation 9.5.
    tenths = np.array(
        [np.bincount(epoch.batch(step).positions * 10 // num_rows, minlength=10) for step in range(0, 600, 60)]
    )
    assert tenths.min() > 50 and tenths.max() < 150
    for batch in epoch.batches(first_step=590):
        assert {plan.rows.buckets.names[code] for code in plan.rows.buckets.codes[batch.positions]} == {batch.bucket}


def test_every_row_comes_everywhere_in_the_epoch() -> None:
    plan = Plan(rows_of(32, buckets=False), batch_size=4, reserve=Reserve(spares=0))
    times = np.zeros((32, 8), int)
    for number in range(800):
        for batch in plan.epoch(number).batches():
            times[batch.positions, batch.step] += 1
    # 100 expected in each of 256 places, standard deviation 9.4.
    assert times.min() > 60 and times.max() < 140


def test_buckets_come_in_random_turns() -> None:
    plan = Plan(rows_of(3000), batch_size=8)
    buckets = [batch.bucket for batch in plan.epoch(0).batches()]
    runs = 1 + sum(left != right for left, right in pairwise(buckets))
    assert set(buckets) == {"<49f", "49-144f", "145-288f"}
    assert runs > len(buckets) / 2  # two of three neighbours differ
    assert buckets != [batch.bucket for batch in plan.epoch(1).batches()]


GOLDEN_FINGERPRINT = "b771bf847325143f021a09647e5bbfe7"
GOLDEN_ROWS = [[77, 0, 196, 63], [42, 35, 238, 49], [56, 217, 21, 189], [14, 7, 266, 84]]


def test_this_is_the_order_for_ever() -> None:
    # A change here breaks every run that wants to resume.
    plan = Plan(rows_of(40), batch_size=4, seed=3, mix={"regular": 2, "nexus-gpt": 1})
    assert plan.fingerprint == GOLDEN_FINGERPRINT
    assert [batch.rows.tolist() for batch in plan.epoch(2).batches()] == GOLDEN_ROWS


def test_a_state_of_another_order_is_refused() -> None:
    rows = rows_of(200)
    plan = Plan(rows, batch_size=8, mix={"regular": 2, "nexus-gpt": 1})
    state = plan.state(epoch=1, step=2)
    assert set(state) == {"version", "fingerprint", "seed", "epoch", "step", "batch_size"}
    mixes: list[dict[str, int] | None] = [None, {"regular": 1, "nexus-gpt": 1}, {"regular": 2, "nexus-cross": 1}]
    others = [
        Plan(rows_of(200, seed=1), batch_size=8, mix={"regular": 2, "nexus-gpt": 1}),
        Plan(rows_of(200, exclude=[7]), batch_size=8, mix={"regular": 2, "nexus-gpt": 1}),
        Plan(rows, batch_size=8, mix={"regular": 2, "nexus-gpt": 1}, reserve=Reserve(spares=1)),
        *(Plan(rows, batch_size=8, mix=mix) for mix in mixes),
    ]
    for other in others:
        with pytest.raises(ValueError, match=r"the state is of another order; fingerprint: .* covers catalog, filter"):
            other.resume(state)
    with pytest.raises(ValueError, match="seed: the state has 0, this plan 5"):
        Plan(rows, batch_size=8, seed=5, mix={"regular": 2, "nexus-gpt": 1}).resume(state)
    with pytest.raises(ValueError, match="batch_size: the state has 8, this plan 4"):
        Plan(rows, batch_size=4, mix={"regular": 2, "nexus-gpt": 1}).resume(state)
    with pytest.raises(ValueError, match="version: the state has 0, this plan 1"):
        plan.resume(state | {"version": 0})
    with pytest.raises(ValueError, match=rf"step in \[0, {plan.num_steps}\], found 1 and 999"):
        plan.resume(state | {"step": 999})
    # Twice the weights are the same mix.
    assert Plan(rows, batch_size=8, mix={"nexus-gpt": 2, "regular": 4}).resume(state) == (1, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 1 or more, not 0"),
        ({"seed": -1}, r"seed must lie in \[0, 2\*\*64\), not -1"),
        ({"mix": {"nexus": 1}}, "mix names the source 'nexus'; the rows come from regular, nexus-cross, nexus-gpt"),
    ],
)
def test_a_plan_refuses_what_makes_no_order(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(rows_of(20), **dict[str, Any]({"batch_size": 4}, **changes))


def test_places_that_are_not_in_the_epoch_are_refused() -> None:
    plan = Plan(rows_of(64, buckets=False), batch_size=8)
    epoch = plan.epoch(0)
    with pytest.raises(IndexError, match=r"step must lie in \[0, 8\) of epoch 0, not 8"):
        epoch.batch(8)
    with pytest.raises(IndexError, match="step must lie in"):
        epoch.batch(-1)
    with pytest.raises(IndexError, match=r"slot must lie in \[0, 8\), not 8"):
        epoch.replacement(0, 8, 0)
    with pytest.raises(ValueError, match="attempt must be 0 or more, not -1"):
        epoch.replacement(0, 0, -1)
    with pytest.raises(ValueError, match=r"rank must lie in \[0, 2\), not 2"):
        epoch.batch(0).part(world=2, rank=2)
    with pytest.raises(ValueError, match=r"epoch must lie in \[0, 2\*\*64\), not -1"):
        plan.epoch(-1)
    with pytest.raises(ValueError, match="found -1 and 0"):
        plan.state(epoch=-1, step=0)
    with pytest.raises(ValueError, match="spares of 0 or more and per_steps of 1 or more, found 0 and 0"):
        Reserve(spares=0, per_steps=0)


def test_a_slice_too_small_gives_no_batch_and_says_so() -> None:
    plan = Plan(rows_of(5, buckets=False), batch_size=8)
    assert plan.num_steps == 0 and list(plan.epoch(0).batches()) == []
    assert repr(plan) == "Plan(5 rows, 1 buckets, 0 steps of 8, 5 rows in no batch)"
    assert plan.epoch(0).accounts(0).tail == 5


def test_reprs_show_sizes_not_data() -> None:
    batch = Plan(rows_of(64, buckets=False), batch_size=8).epoch(0).batch(0)
    assert isinstance(batch, PlannedBatch)
    assert repr(batch) == "PlannedBatch(step=0, bucket='all', 8 rows)"
