"""Bad rows and their replacements: whole runs with corrupt rows, cut off anywhere, gone on with by any number of ranks."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.plans import Made, plans, rows_of
from opens2v_loaders.ledger import Ledger
from opens2v_loaders.plan import EpochPlan, Plan, Reserve

WORLDS = (1, 2, 4, 8, 16)


@dataclass
class Run:
    """What a run handed out, step by step and slot by slot; None where a slot stayed empty."""

    delivered: list[list[int | None]] = field(default_factory=list)
    ledgers: list[Ledger] = field(default_factory=list)
    tried: Counter[int] = field(default_factory=Counter)

    def totals(self, step: int) -> tuple[int, int]:
        """Return spares used and slots unfilled, over all ranks."""
        taken, unfilled = zip(*(ledger.totals(step) for ledger in self.ledgers), strict=True)
        return sum(taken), sum(unfilled)


def run(
    epoch: EpochPlan,
    bad: set[int],
    *,
    world: int,
    first: int = 0,
    stop: int | None = None,
    ahead: int = 0,
    states: Any = (),
) -> Run:
    """Train from a step to another on some ranks, each reading `ahead` steps more than it hands out."""
    made = Run(ledgers=[Ledger(epoch, world=world, rank=rank, step=first, states=states) for rank in range(world)])
    stop = epoch.num_steps if stop is None else stop
    for step in range(first, min(stop + ahead, epoch.num_steps)):
        slots: list[int | None] = []
        for rank, ledger in enumerate(made.ledgers):
            part = epoch.batch(step).part(world=world, rank=rank)
            for slot, planned in zip(part.slots.tolist(), part.positions.tolist(), strict=True):
                position: int | None = planned
                while position is not None:
                    if step < stop:
                        made.tried[position] += 1
                    if position not in bad:
                        break
                    spare = ledger.bad(step, slot, reason="corrupt")
                    position = spare.position if spare else None
                slots.append(position)
        if step < stop:
            made.delivered.append(slots)
    return made


def _saved(ledgers: list[Ledger], step: int) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(ledger.state(step))) for ledger in ledgers]


def draw_bad(made: Made, data: st.DataObject) -> set[int]:
    """Draw which positions are bad, from none to all."""
    share = data.draw(st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.7, 1.0]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    return set(np.flatnonzero(rng.random(len(made.plan.rows)) < share).tolist())


def draw_world(made: Made, data: st.DataObject) -> int:
    """Draw a number of ranks that divides the batch."""
    return data.draw(st.sampled_from([world for world in WORLDS if made.plan.batch_size % world == 0]))


@settings(max_examples=80, deadline=None)
@given(made=plans(max_rows=150), data=st.data())
def test_any_ranks_deliver_the_same_good_rows_once_and_account_for_all(made: Made, data: st.DataObject) -> None:
    plan, epoch, bad = made.plan, made.plan.epoch(0), draw_bad(made, data)
    alone = run(epoch, bad, world=1)
    together = run(epoch, bad, world=draw_world(made, data))
    assert together.delivered == alone.delivered
    assert set(alone.tried.values()) <= {1}
    delivered = [position for slots in alone.delivered for position in slots if position is not None]
    assert not bad.intersection(delivered)
    spares_used, unfilled = together.totals(plan.num_steps)
    accounts = epoch.accounts(plan.num_steps, spares_used=spares_used, unfilled=unfilled)
    assert accounts.delivered == len(delivered)
    assert (
        accounts.skipped == len(bad.intersection(alone.tried)) == sum(len(ledger.skips) for ledger in together.ledgers)
    )
    assert accounts.remaining == 0
    assert accounts.tail == len(plan.rows) - len(alone.tried)
    assert alone.ledgers[0].accounts(plan.num_steps) == accounts


@settings(max_examples=80, deadline=None)
@given(made=plans(max_rows=150), data=st.data())
def test_a_run_cut_off_anywhere_goes_on_the_same_on_any_number_of_ranks(made: Made, data: st.DataObject) -> None:
    epoch, bad = made.plan.epoch(1), draw_bad(made, data)
    whole = run(epoch, bad, world=1)
    step = data.draw(st.integers(0, epoch.num_steps))
    # What ranks read ahead of the steps they handed out is forgotten with them.
    before = run(epoch, bad, world=draw_world(made, data), stop=step, ahead=data.draw(st.integers(0, 4)))
    states = data.draw(st.permutations(_saved(before.ledgers, step)))
    assert [made.plan.resume(state) for state in states] == [(1, step)] * len(states)
    again = data.draw(st.integers(step, epoch.num_steps))
    middle = run(made.plan.epoch(1), bad, world=draw_world(made, data), first=step, stop=again, ahead=1, states=states)
    states = data.draw(st.permutations(_saved(middle.ledgers, again)))
    after = run(epoch, bad, world=draw_world(made, data), first=again, states=states)
    assert before.delivered + middle.delivered + after.delivered == whole.delivered
    assert all(ledger.knows_all for ledger in after.ledgers)
    assert after.totals(epoch.num_steps) == whole.totals(epoch.num_steps)


@settings(max_examples=80, deadline=None)
@given(made=plans(max_rows=150), data=st.data())
def test_with_the_states_of_some_ranks_lost_no_row_comes_twice(made: Made, data: st.DataObject) -> None:
    epoch, bad = made.plan.epoch(2), draw_bad(made, data)
    step = data.draw(st.integers(0, epoch.num_steps))
    before = run(epoch, bad, world=draw_world(made, data), stop=step)
    saved = _saved(before.ledgers, step)
    kept = data.draw(st.lists(st.sampled_from(saved), unique_by=lambda state: state["slots"][0]))
    again = data.draw(st.integers(step, epoch.num_steps))
    middle = run(epoch, bad, world=draw_world(made, data), first=step, stop=again, states=kept)
    states = data.draw(st.permutations(_saved(middle.ledgers, again)))
    after = run(epoch, bad, world=draw_world(made, data), first=again, states=states)
    assert set((before.tried + middle.tried + after.tried).values()) <= {1}
    assert [ledger.knows_all for ledger in middle.ledgers] == [step == 0 or len(kept) == len(saved)] * len(
        middle.ledgers
    )
    # Rows as planned come as planned; only replacements may be missing.
    for number, slots in enumerate(middle.delivered + after.delivered, start=step):
        planned = epoch.batch(number).positions.tolist()
        assert [a for a, b in zip(slots, planned, strict=True) if b not in bad] == [b for b in planned if b not in bad]


def test_a_slot_whose_state_is_kept_loses_nothing_by_the_loss_of_others() -> None:
    plan = Plan(rows_of(2000, buckets=False), batch_size=8, reserve=Reserve(spares=3, per_steps=16))
    epoch, bad = plan.epoch(0), set(range(0, 2000, 9))
    whole = run(epoch, bad, world=1)
    before = run(epoch, bad, world=2, stop=21)
    (kept, _) = _saved(before.ledgers, 21)  # of slots 0 to 3; step 21 is in the second stretch of 16
    after = run(epoch, bad, world=4, first=21, states=[kept])
    expected = whole.delivered[21:]
    assert [slots[:4] for slots in after.delivered] == [slots[:4] for slots in expected]
    assert [slots[4:] for slots in after.delivered[:11]] != [slots[4:] for slots in expected[:11]]  # no spares until 32
    assert after.delivered[11:] == expected[11:]
    assert not any(ledger.knows_all for ledger in after.ledgers)


def test_a_state_speaks_of_its_own_slots_only() -> None:
    # Else what another rank once knew could come to stand for what it knows now.
    plan = Plan(rows_of(2000, buckets=False), batch_size=8, reserve=Reserve(spares=3, per_steps=16))
    epoch = plan.epoch(0)
    before = run(epoch, set(range(0, 2000, 3)), world=2, stop=10)
    half = _saved(before.ledgers, 10)[:1]
    for rank in range(4):
        state = Ledger(epoch, world=4, rank=rank, step=10, states=half).state(10)
        again = Ledger(epoch, world=8, rank=2 * rank, step=10, states=[state]).state(10)
        for found, slots in ((state, {2 * rank, 2 * rank + 1}), (again, {2 * rank})):
            assert {cell[2] for cell in found["used"]} == (slots if rank < 2 else set())
            assert {cell[2] for cell in found["unknown"]} == (slots if rank >= 2 else set())


def test_with_one_spare_for_each_slot_there_is_nothing_to_remember() -> None:
    plan = Plan(rows_of(400, buckets=False), batch_size=8, reserve=Reserve(spares=1, per_steps=1))
    epoch = plan.epoch(0)
    assert plan.num_steps == 25  # half of the rows are spares
    bad = set(np.flatnonzero(np.random.default_rng(0).random(400) < 0.2).tolist())
    whole = run(epoch, bad, world=1)
    for step in range(25):
        resumed = run(epoch, bad, world=8, first=step)  # without any state but the step
        assert resumed.delivered == whole.delivered[step:]


def test_five_percent_of_bad_rows_are_replaced_where_the_reserve_is_for_that() -> None:
    plan = Plan(rows_of(20_000, buckets=False), batch_size=16, reserve=Reserve(spares=16, per_steps=128))
    bad = set(np.flatnonzero(np.random.default_rng(1).random(20_000) < 0.05).tolist())
    made = run(plan.epoch(0), bad, world=1)
    assert made.totals(plan.num_steps)[1] <= 3  # slots left empty; 0.02% of some 890 bad ones expected
    assert made.totals(plan.num_steps)[0] > 800


def test_a_skip_says_which_row_was_bad_why_and_what_came_instead() -> None:
    plan = Plan(rows_of(100), batch_size=4)
    epoch = plan.epoch(0)
    ledger = Ledger(epoch)
    planned = epoch.batch(1)
    first = ledger.bad(1, 2, reason="truncated")
    second = ledger.bad(1, 2, reason="no video stream")
    assert first is not None
    skips = ledger.skips
    assert [(skip.step, skip.slot, skip.reason) for skip in skips] == [(1, 2, "truncated"), (1, 2, "no video stream")]
    assert skips[0].position == planned.positions[2] and skips[0].row == planned.rows[2]
    assert skips[0].replaced_by == first.position == skips[1].position
    assert skips[1].row == first.row and skips[1].replaced_by == (second and second.position)
    assert skips[0].bucket == first.bucket == planned.bucket
    assert ledger.totals(1) == (0, 0) and sum(ledger.totals(2)) == 2


def test_a_state_holds_no_more_than_the_stretches_under_way() -> None:
    plan = Plan(rows_of(4000), batch_size=8, reserve=Reserve(spares=2, per_steps=10))
    epoch = plan.epoch(0)
    (ledger,) = run(epoch, set(range(0, 4000, 5)), world=1).ledgers
    for step in range(0, plan.num_steps + 1, 7):
        used = ledger.state(step)["used"]
        assert len(used) <= 8 * 3  # a slot of a bucket each
        assert {tuple(cell[:2]) for cell in used} <= set(epoch.open_stretches(step).items())
    assert epoch.open_stretches(0) == epoch.open_stretches(plan.num_steps) == {}
    end = ledger.state(plan.num_steps)
    assert end["used"] == [] and end["spares_used"] + end["unfilled"] == len(ledger.skips) > 500


def test_a_ledger_refuses_what_would_take_a_spare_twice() -> None:
    plan = Plan(rows_of(64, buckets=False), batch_size=8, reserve=Reserve(spares=1, per_steps=8))
    epoch = plan.epoch(0)
    ledger = Ledger(epoch, world=2, rank=1)
    with pytest.raises(ValueError, match=r"slot 3 is another rank's; this ledger has \[4, 8\)"):
        ledger.bad(0, 3, reason="")
    assert ledger.bad(2, 4, reason="") is not None
    with pytest.raises(ValueError, match="step 1 comes after step 2; note bad rows of a slot in order of steps"):
        ledger.bad(1, 4, reason="")
    assert ledger.bad(1, 5, reason="") is not None  # another slot has a clock of its own
    while ledger.bad(2, 4, reason="") is not None:
        pass
    with pytest.raises(ValueError, match="slot 4 of step 2 is empty already"):
        ledger.bad(2, 4, reason="")
    with pytest.raises(ValueError, match="a rank below a number of ranks that divides 8, found 0 of 3"):
        Ledger(epoch, world=3)


def test_states_of_another_place_are_refused() -> None:
    plan = Plan(rows_of(64, buckets=False), batch_size=8, reserve=Reserve(spares=1, per_steps=8))
    epoch = plan.epoch(0)
    states = [Ledger(epoch, world=2, rank=rank).state(3) for rank in range(2)]
    assert Ledger(epoch, step=3, states=states).knows_all
    with pytest.raises(ValueError, match="a state of another place in the order: it has step 3 and not 4"):
        Ledger(epoch, step=4, states=states)
    with pytest.raises(ValueError, match="it has epoch 0 and not 1"):
        Ledger(plan.epoch(1), step=3, states=states)
    with pytest.raises(ValueError, match="two states have slot 0: give the state of each rank once"):
        Ledger(epoch, step=3, states=[states[0], states[0]])
    with pytest.raises(ValueError, match="found 0 and 99"):
        Ledger(epoch, step=99)
