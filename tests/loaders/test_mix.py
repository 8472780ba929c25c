"""The shares of the sources: exact over a cycle, rounded in each batch, spread over the slots."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_loaders.mix import Quotas

NAMES = ("regular", "nexus-cross", "nexus-gpt", "other")

mixes = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9), min_size=1).filter(lambda mix: any(mix.values()))


@settings(max_examples=200, deadline=None)
@given(mix=mixes, batch_size=st.integers(1, 40))
def test_every_batch_is_full_and_every_cycle_exact(mix: dict[str, int], batch_size: int) -> None:
    quotas = Quotas(mix, source_names=NAMES, batch_size=batch_size)
    assert [NAMES[code] for code in quotas.sources] == [name for name in NAMES if mix.get(name)]
    weights = np.array([mix[NAMES[code]] for code in quotas.sources])
    before = np.zeros(len(weights), int)
    for batch in range(2 * quotas.cycle + 1):
        counts = quotas.counts(batch)
        assert counts.sum() == batch_size
        # Rounded down or up: |count - share| < 1 for each.
        assert (abs(counts * weights.sum() - weights * batch_size) < weights.sum()).all()
        assert np.bincount(quotas.layout(batch), minlength=len(weights)).tolist() == counts.tolist()
        assert quotas.before(batch).tolist() == before.tolist()
        before += counts
    assert (quotas.before(quotas.cycle) * weights.sum() == weights * batch_size * quotas.cycle).all()


@settings(max_examples=100, deadline=None)
@given(mix=mixes, batch_size=st.integers(1, 40))
def test_lanes_number_the_slots_that_ever_hold_a_share(mix: dict[str, int], batch_size: int) -> None:
    quotas = Quotas(mix, source_names=NAMES, batch_size=batch_size)
    layouts = np.array([quotas.layout(batch) for batch in range(quotas.cycle)])
    for share in range(quotas.num_shares):
        slots = np.flatnonzero((layouts == share).any(axis=0))
        assert quotas.widths[share] == len(slots)
        assert quotas.lanes[share][slots].tolist() == list(range(len(slots)))
        assert (np.delete(quotas.lanes[share], slots) == -1).all()


def test_the_issues_mix_gives_every_rank_alike() -> None:
    quotas = Quotas({"regular": 5, "nexus-cross": 2, "nexus-gpt": 1}, source_names=NAMES, batch_size=256)
    assert quotas.counts(0).tolist() == quotas.counts(12345).tolist() == [160, 64, 32]
    layout = quotas.layout(7)
    for world, most in ((2, 0), (8, 0), (32, 0), (64, 1)):
        shares = np.array([np.bincount(part, minlength=3) for part in layout.reshape(world, -1)])
        assert (shares.max(axis=0) - shares.min(axis=0)).max() <= most


def test_what_is_over_goes_round() -> None:
    quotas = Quotas({"regular": 5, "nexus-cross": 2, "nexus-gpt": 1}, source_names=NAMES, batch_size=10)
    extras = [(quotas.counts(batch) - [6, 2, 1]).tolist() for batch in range(8)]
    assert all(sorted(extra) == [0, 0, 1] for extra in extras)
    assert np.sum(extras, axis=0).tolist() == [2, 4, 2]
    owners = [extra.index(1) for extra in extras]
    assert owners != sorted(owners)  # in turn, not in blocks


def test_without_a_mix_one_share_takes_all() -> None:
    quotas = Quotas(None, source_names=NAMES, batch_size=6)
    assert quotas.sources == () and quotas.num_shares == 1
    assert quotas.counts(3).tolist() == [6] and quotas.layout(3).tolist() == [0] * 6
    assert quotas.before(3).tolist() == [18]


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({}, "mix must give a weight above 0 to one of regular"),
        ({"regular": 0}, "mix must give a weight above 0"),
        ({"regular": 0.5}, "a weight of mix is an integer of 0 or more, not 0.5 for 'regular'"),
        ({"regular": -1}, "not -1 for 'regular'"),
        ({"regular": True}, "not True for 'regular'"),
        ({"Regular": 1}, "mix names the source 'Regular'; the rows come from regular, nexus-cross, nexus-gpt, other"),
        ({"regular": 99_999, "nexus-gpt": 2}, "may add up to 100,000 at most, found 100,001; round them"),
    ],
)
def test_a_mix_that_shares_nothing_is_refused(mix: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quotas(mix, source_names=NAMES, batch_size=8)
