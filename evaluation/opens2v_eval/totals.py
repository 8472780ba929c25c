"""A model's figures on a domain: clamp per video, average over videos, scale, weigh; with coverage and intervals.

table = score_table(read_scores("./scores"), domain="open", version="1.1")
table.total, table.interval
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from opens2v_data.errors import ScoresError
from opens2v_eval.bootstrap import MIN_PROMPTS, Bootstrap, Estimate, Interval, interval_of, mean_of, sum_of
from opens2v_eval.counting import Coverage, counted_values, coverage, files_of, raw_values, shares
from opens2v_eval.prompts import CATEGORIES, Prompts, category, domain_keys
from opens2v_eval.scales import Domain, MetricName, Mode, Version, scale_of, weights
from opens2v_eval.scorefiles import Note, Scores


@dataclass(frozen=True, kw_only=True)
class MetricLine:
    """One metric of a table.

    Attributes:
        metric, column: its name here and in leaderboards.
        weight: its share of the total.
        mean: of the clamped numbers, in the metric's own unit; None where the metric is missing.
        share: the mean as a share of 1, which leaderboards print as percent; None where it is missing.
        interval: of the share; None where it is missing, or fewer than 5 prompts have a number.
        coverage: for how many prompts it has a number.
    """

    metric: MetricName
    column: str
    weight: float
    mean: float | None
    share: float | None
    interval: Interval | None
    coverage: Coverage = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """A model's figures on a domain in one mode.

    Attributes:
        domain, version, mode: what they are of.
        lines: one for each metric that has a weight.
        total: share of 1; a missing metric counts as 0 in it.
        interval: of the total; None where a metric has a number of fewer than 5 prompts.
        missing: metrics that have no number.
        num_prompts: prompts of the domain.
        notes: of the score files.
    """

    domain: Domain
    version: Version
    mode: Mode
    lines: tuple[MetricLine, ...]
    total: float
    interval: Interval | None
    missing: tuple[MetricName, ...]
    num_prompts: int
    notes: tuple[Note, ...] = field(repr=False)

    def line(self, metric: MetricName) -> MetricLine:
        """Return a metric's line.

        Raises:
            ValueError: it has no weight in this table.
        """
        for line in self.lines:
            if line.metric == metric:
                return line
        raise ValueError(f"{metric} has no weight in the {self.domain} domain of version {self.version}")


@dataclass(frozen=True, kw_only=True)
class CategoryRow:
    """Shares of the prompts of one category, with the number of prompts behind each; None where there are none."""

    category: str
    shares: dict[MetricName, float | None]
    counts: dict[MetricName, int]


@dataclass(frozen=True, kw_only=True)
class PromptRow:
    """Shares of one video; None where a metric has no number that counts."""

    key: str
    category: str
    shares: dict[MetricName, float | None]


def score_table(
    scores: Scores,
    *,
    domain: Domain = "open",
    version: Version = "1.1",
    mode: Mode = "published",
    prompts: Prompts | None = None,
    allow_missing: bool = False,
    bootstrap: Bootstrap | None = Bootstrap(),  # noqa: B008 - a frozen value
) -> ScoreTable:
    """Return a model's figures.

    Args:
        scores: of the model.
        domain: which prompts count.
        version: whose weights.
        mode: `published` compares with the leaderboard; `corrected` needs what was found in frames.
        prompts: where they are not the published ones.
        allow_missing: let a metric without numbers count as 0, and name it; else it is an error.
        bootstrap: how intervals are made; None makes none.

    Raises:
        ScoresError: a metric that has a weight has no numbers.
    """
    keys = domain_keys(domain) if prompts is None else prompts.keys
    weighed = weights(domain, version)
    counted: dict[MetricName, dict[str, float]] = {
        metric: counted_values(scores, metric, keys, mode=mode) or {} for metric in weighed
    }
    missing: tuple[MetricName, ...] = tuple(metric for metric in weighed if not counted[metric])
    if missing and not allow_missing:
        only_zeros = {
            metric for metric in missing if any(key in (raw_values(scores, metric, mode) or {}) for key in keys)
        }
        wanted = ", ".join(
            f"{scale_of(metric).column} ({files_of(metric, mode)}{', in which all are 0' if metric in only_zeros else ''})"
            for metric in missing
        )
        raise ScoresError(
            f"{scores.folder}: no scores of {wanted} for the {domain} domain in {mode} mode, and a total would count them "
            "as 0: run these metrics, or allow it (--allow-missing)"
        )
    seen = [key for key in keys if any(key in values for values in counted.values())]
    estimates: dict[MetricName, Estimate] = {}
    for metric, values in counted.items():
        if values:
            scale = scale_of(metric, mode)
            found = [scale.share(values[key]) if key in values else math.nan for key in seen]
            estimates[metric] = mean_of(np.array(found))
    drawn = bootstrap.weights(len(seen)) if bootstrap is not None and seen else None

    def range_of(estimate: Estimate | None, num_values: int) -> Interval | None:
        # Resamples of all prompts repeat a metric's few values, however many prompts have other metrics' numbers.
        if bootstrap is None or drawn is None or estimate is None or num_values < MIN_PROMPTS:
            return None
        return interval_of(estimate, estimate(drawn), len(seen), bootstrap)

    lines: list[MetricLine] = []
    for metric, weight in weighed.items():
        values, scale = counted[metric], scale_of(metric, mode)
        mean = math.fsum(values.values()) / len(values) if values else None
        lines.append(
            MetricLine(
                metric=metric,
                column=scale.column,
                weight=weight,
                mean=mean,
                share=None if mean is None else scale.share(mean),
                interval=range_of(estimates.get(metric), len(values)),
                coverage=coverage(scores, metric, domain=domain, mode=mode, prompts=prompts, counted=values),
            )
        )
    return ScoreTable(
        domain=domain,
        version=version,
        mode=mode,
        lines=tuple(lines),
        total=sum(line.weight * (line.share or 0.0) for line in lines),
        interval=range_of(
            sum_of([(weighed[metric], estimate) for metric, estimate in estimates.items()]),
            min((len(values) for values in counted.values() if values), default=0),
        ),
        missing=missing,
        num_prompts=len(keys),
        notes=scores.notes,
    )


def by_category(
    scores: Scores,
    *,
    domain: Domain = "open",
    version: Version = "1.1",
    mode: Mode = "published",
    prompts: Prompts | None = None,
) -> tuple[CategoryRow, ...]:
    """Return the shares of each category that the domain has. There is no total: not every metric is for every category."""
    rows = by_prompt(scores, domain=domain, version=version, mode=mode, prompts=prompts)
    metrics: tuple[MetricName, ...] = tuple(weights(domain, version))
    made: list[CategoryRow] = []
    for name in CATEGORIES:
        members = [row for row in rows if row.category == name]
        if members:
            found: dict[MetricName, list[float]] = {
                metric: [share for row in members if (share := row.shares[metric]) is not None] for metric in metrics
            }
            made.append(
                CategoryRow(
                    category=name,
                    shares={metric: _mean(values) for metric, values in found.items()},
                    counts={metric: len(values) for metric, values in found.items()},
                )
            )
    return tuple(made)


def by_prompt(
    scores: Scores,
    *,
    domain: Domain = "open",
    version: Version = "1.1",
    mode: Mode = "published",
    prompts: Prompts | None = None,
) -> tuple[PromptRow, ...]:
    """Return the shares of each video of the domain."""
    keys = domain_keys(domain) if prompts is None else prompts.keys
    found: dict[MetricName, dict[str, float]] = {}
    for metric in weights(domain, version):
        found[metric] = shares(scores, metric, keys, mode=mode) or {}
    return tuple(
        PromptRow(
            key=key,
            category=category(key),
            shares={metric: values.get(key) for metric, values in found.items()},
        )
        for key in keys
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
