"""Compare two models on the prompts that both have: differences per metric and category, with intervals and p-values.

Both videos of a prompt stay together when prompts are resampled (paired bootstrap), so what a prompt itself makes easy or hard
cancels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from opens2v_eval.bootstrap import MIN_PROMPTS, Bootstrap, Estimate, Interval, interval_of, mean_of, sum_of
from opens2v_eval.counting import shares
from opens2v_eval.prompts import CATEGORIES, Prompts, category, domain_keys
from opens2v_eval.scales import SCALES, Domain, MetricName, Mode, Version, weights
from opens2v_eval.scorefiles import Scores

METHOD = (
    "paired bootstrap over prompts; p is two-sided: twice the smaller share of resamples whose difference is 0 or on the other "
    "side, with 1 added to count and number; p_adjusted corrects for the number of rows (Holm)"
)
ALL = "all"
TOTAL = "total"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How two models differ.

    Attributes:
        metric: its column's name, or `total`, the weighted sum of the metrics both have.
        category: or `all`.
        num_prompts: that both models have a number for; of a total, for one metric at least.
        num_only_first, num_only_second: prompts that only one has, which are left out.
        first, second: means over the shared prompts, as shares of 1.
        difference: second less first.
        interval: of the difference; None for fewer than 5 prompts, of the total for fewer than 5 of any of its metrics.
        p: see `METHOD`; None where there is no interval.
        p_adjusted: for the number of rows.
    """

    metric: str
    category: str
    num_prompts: int
    num_only_first: int
    num_only_second: int
    first: float
    second: float
    difference: float
    interval: Interval | None
    p: float | None
    p_adjusted: float | None = None


def compare_models(
    first: Scores,
    second: Scores,
    *,
    domain: Domain = "open",
    version: Version = "1.1",
    mode: Mode = "published",
    prompts: Prompts | None = None,
    bootstrap: Bootstrap = Bootstrap(),  # noqa: B008 - a frozen value
) -> tuple[Difference, ...]:
    """Return the differences of two models: of the total, of each metric, and of each metric in each category.

    A row whose metric one of them lacks, or that no prompt of both has, is left out. Of NexusScore in the published mode a video
    with 0 has no number, so its prompt is left out: a model is compared only where both found something.

    Args:
        first, second: scores of the models.
        domain: which prompts.
        version: whose weights.
        mode: how numbers are counted.
        prompts: where they are not the published ones.
        bootstrap: how resamples are drawn.
    """
    keys = domain_keys(domain) if prompts is None else prompts.keys
    weighed = weights(domain, version)
    pairs: dict[MetricName, tuple[np.ndarray, np.ndarray]] = {}
    for metric in weighed:
        ours, theirs = shares(first, metric, keys, mode=mode), shares(second, metric, keys, mode=mode)
        if ours and theirs:
            pairs[metric] = _column(ours, keys), _column(theirs, keys)
    kinds = np.array([category(key) for key in keys])
    rows: list[Difference] = []
    total = _total(pairs, weighed, bootstrap)
    if total is not None:
        rows.append(total)
    for name in (ALL, *CATEGORIES):
        chosen = np.full(len(keys), True) if name == ALL else kinds == name
        for metric, (left, right) in pairs.items():
            made = _metric(SCALES[metric].column, name, left[chosen], right[chosen], bootstrap)
            if made is not None:
                rows.append(made)
    return _adjusted(rows)


def _column(values: dict[str, float], keys: Sequence[str]) -> np.ndarray:
    return np.array([values.get(key, math.nan) for key in keys])


def _metric(column: str, name: str, left: np.ndarray, right: np.ndarray, bootstrap: Bootstrap) -> Difference | None:
    has_left, has_right = np.isfinite(left), np.isfinite(right)
    both = has_left & has_right
    if not both.any():
        return None
    estimate = mean_of((right - left)[both])
    return _difference(
        estimate,
        int(both.sum()),
        bootstrap,
        metric=column,
        category=name,
        only=(int((has_left & ~has_right).sum()), int((has_right & ~has_left).sum())),
        means=(float(left[both].mean()), float(right[both].mean())),
    )


def _total(
    pairs: dict[MetricName, tuple[np.ndarray, np.ndarray]], weighed: dict[MetricName, float], bootstrap: Bootstrap
) -> Difference | None:
    shared = {metric: np.isfinite(left) & np.isfinite(right) for metric, (left, right) in pairs.items()}
    if not any(both.any() for both in shared.values()):
        return None
    used = np.any(list(shared.values()), axis=0)
    has_left, has_right = (np.any([np.isfinite(sides[at]) for sides in pairs.values()], axis=0) for at in (0, 1))
    parts: list[tuple[float, Estimate]] = []
    means = [0.0, 0.0]
    for metric, (left, right) in pairs.items():
        both = shared[metric]
        if both.any():
            parts.append((weighed[metric], mean_of(np.where(both, right - left, np.nan)[used])))
            means = [
                sum_ + weighed[metric] * float(side[both].mean())
                for sum_, side in zip(means, (left, right), strict=True)
            ]
    return _difference(
        sum_of(parts),
        int(used.sum()),
        bootstrap,
        metric=TOTAL,
        category=ALL,
        only=(int((has_left & ~has_right).sum()), int((has_right & ~has_left).sum())),
        means=(means[0], means[1]),
        num_values=min(int(both.sum()) for both in shared.values() if both.any()),
    )


def _difference(
    estimate: Estimate,
    num_prompts: int,
    bootstrap: Bootstrap,
    *,
    metric: str,
    category: str,
    only: tuple[int, int],
    means: tuple[float, float],
    num_values: int | None = None,
) -> Difference:
    point = float(estimate(np.ones((1, num_prompts)))[0])
    found, p = None, None
    if (num_prompts if num_values is None else num_values) >= MIN_PROMPTS:
        drawn = estimate(bootstrap.weights(num_prompts))
        found = interval_of(estimate, drawn, num_prompts, bootstrap)
        p = _p_value(drawn)
    return Difference(
        metric=metric,
        category=category,
        num_prompts=num_prompts,
        num_only_first=only[0],
        num_only_second=only[1],
        first=means[0],
        second=means[1],
        difference=point,
        interval=found,
        p=p,
    )


def _p_value(drawn: np.ndarray) -> float | None:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return None
    smaller = min(np.count_nonzero(known <= 0), np.count_nonzero(known >= 0))
    return min(1.0, 2 * (int(smaller) + 1) / (len(known) + 1))


def _adjusted(rows: Sequence[Difference]) -> tuple[Difference, ...]:
    """Add what Holm's step-down correction makes of the p-values."""
    ranked = sorted((row.p, at) for at, row in enumerate(rows) if row.p is not None)
    found: dict[int, float] = {}
    highest = 0.0
    for rank, (p, at) in enumerate(ranked):
        highest = max(highest, min(1.0, p * (len(ranked) - rank)))
        found[at] = highest
    return tuple(replace(row, p_adjusted=found.get(at)) for at, row in enumerate(rows))
