"""Intervals: they cover a known truth, are the same for the same seed, and agree with scipy's."""

from __future__ import annotations

import numpy as np
import pytest

from opens2v_eval.bootstrap import MIN_PROMPTS, Bootstrap, Interval, interval, mean_of, sum_of


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_intervals_of_a_skewed_mean_cover_the_truth_as_often_as_they_say(method: str) -> None:
    rng = np.random.default_rng(7)
    truth, covered, num_trials = 1 / 4, 0, 200
    options = Bootstrap(num_resamples=300, level=0.9, method=method)  # type: ignore[arg-type]
    for _ in range(num_trials):
        values = rng.beta(1, 3, size=60)
        found = interval(mean_of(values), 60, options)
        assert found is not None
        covered += truth in found
    # Three standard deviations of 200 draws at 0.9 are 0.064; 60 prompts leave bootstrap intervals a little narrow.
    assert 0.82 < covered / num_trials < 0.965


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_an_interval_agrees_with_scipys(method: str) -> None:
    stats = pytest.importorskip("scipy.stats", reason="the extra eval is not installed")
    values = np.random.default_rng(1).beta(1, 4, size=90)
    ours = interval(mean_of(values), 90, Bootstrap(num_resamples=6_000, method=method))  # type: ignore[arg-type]
    name = "BCa" if method == "bca" else "percentile"
    theirs = stats.bootstrap((values,), np.mean, n_resamples=6_000, method=name, rng=np.random.default_rng(2))
    assert ours is not None
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert abs(ours.low - theirs.confidence_interval.low) < 0.06 * width
    assert abs(ours.high - theirs.confidence_interval.high) < 0.06 * width


def test_the_same_seed_gives_the_same_interval_and_another_one_another() -> None:
    estimate = mean_of(np.linspace(0, 1, 40) ** 3)
    assert interval(estimate, 40, Bootstrap()) == interval(estimate, 40, Bootstrap())
    assert interval(estimate, 40, Bootstrap()) != interval(estimate, 40, Bootstrap(seed=1))


def test_prompts_without_a_number_are_left_out_of_the_mean() -> None:
    values = np.array([0.2, np.nan, 0.4, np.nan])
    weights = np.array([[1, 1, 1, 1], [2, 5, 0, 0], [0, 1, 0, 3]], float)
    np.testing.assert_allclose(mean_of(values)(weights), [0.3, 0.2, np.nan])
    both = sum_of([(0.5, mean_of(values)), (0.25, mean_of(np.ones(4)))])
    np.testing.assert_allclose(both(weights[:2]), [0.4, 0.35])


def test_where_all_are_the_same_the_interval_is_a_point() -> None:
    found = interval(mean_of(np.full(20, 0.25)), 20, Bootstrap())
    assert found == Interval(low=0.25, high=0.25, level=0.95)


def test_too_few_prompts_have_no_interval() -> None:
    assert interval(mean_of(np.linspace(0, 1, MIN_PROMPTS - 1)), MIN_PROMPTS - 1, Bootstrap()) is None
    mostly_none = np.full(30, np.nan)
    assert interval(mean_of(mostly_none), 30, Bootstrap()) is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"num_resamples": 10}, "expected 100 resamples or more, got 10"),
        ({"level": 1.0}, r"expected a level of 0\.5 or more and below 1, got 1\.0"),
        ({"method": "t"}, "expected bca or percentile as method, got 't'"),
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Bootstrap(**wrong)  # type: ignore[arg-type]
