"""How well do metrics agree with people? Kendall's tau-b and Spearman's rho with intervals, per video and per model.

Ratings are a CSV with a header. A line is one person's rating of one video:

    model,key,rating,dimension,rater
    my-model,singleface_3,4,naturalness,anna

`key` and `rating` are needed. `model` is needed where ratings of several models are given; `dimension` says what was rated, and
each is compared apart; `rater` is free. Several ratings of a video are averaged. Higher is better.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from opens2v_data.errors import EvaluationError
from opens2v_eval.bootstrap import Bootstrap, Estimate, Interval, interval
from opens2v_eval.counting import shares
from opens2v_eval.jsonfiles import shortened
from opens2v_eval.prompts import Prompts, domain_keys, prefix
from opens2v_eval.scales import SCALES, Domain, Mode, Version, weights
from opens2v_eval.scorefiles import Scores
from opens2v_eval.totals import ScoreTable, score_table

OVERALL = "overall"
"""The dimension of ratings that name none."""
TOTAL = "total"


@dataclass(frozen=True, kw_only=True)
class Ratings:
    """People's ratings, averaged per video.

    Attributes:
        source: their file.
        means: mean rating by dimension and by (model, key); the model is "" where the file has no such column.
        num_ratings: lines read.
        num_outside: lines about keys that are no prompts of the benchmark; they are left out.
    """

    source: str
    means: Mapping[str, Mapping[tuple[str, str], float]] = field(repr=False)
    num_ratings: int
    num_outside: int

    @property
    def models(self) -> tuple[str, ...]:
        """All models that were rated."""
        return tuple(sorted({model for found in self.means.values() for model, _ in found}))


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How one metric agrees with one dimension of ratings.

    Attributes:
        dimension: of the ratings.
        metric: its column's name; `total` per model.
        level: `video`, where each video is a point, or `model`, where each model's mean is.
        num_points: how many videos or models.
        kendall, spearman: tau-b and rho; None where either side is the same everywhere, or there are fewer than 3 points.
        kendall_interval, spearman_interval: None for fewer than 5 points.
    """

    dimension: str
    metric: str
    level: str
    num_points: int
    kendall: float | None
    kendall_interval: Interval | None
    spearman: float | None
    spearman_interval: Interval | None


def read_ratings(path: str | Path) -> Ratings:
    """Read people's ratings.

    Raises:
        EvaluationError: it cannot be read or has not the form above; the message has the line.
    """
    place = Path(path).expanduser()
    try:
        text = place.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise EvaluationError(
            f"{place}: expected ratings as CSV; it cannot be read: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{place}: expected ratings as CSV in UTF-8; byte {error.start} is none of it") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    sums: dict[str, dict[tuple[str, str], list[float]]] = {}
    num_ratings = num_outside = 0
    try:
        columns = reader.fieldnames or ()
        if not {"key", "rating"} <= set(columns):
            raise EvaluationError(
                f"{place}: expected the columns key and rating, found {', '.join(columns) or 'nothing'}"
            )
        for line in reader:
            where = f"{place}, line {reader.line_num}"
            if None in line or None in line.values():
                raise EvaluationError(f"{where}: expected {len(columns)} cells as in the first line")
            num_ratings += 1
            key = line["key"].strip()
            try:
                prefix(key)
            except ValueError:
                num_outside += 1
                continue
            rating = _rating(line["rating"], where)
            dimension = (line.get("dimension") or "").strip() or OVERALL
            model = (line.get("model") or "").strip()
            sums.setdefault(dimension, {}).setdefault((model, key), []).append(rating)
    except csv.Error as error:
        raise EvaluationError(f"{place}, line {reader.line_num}: expected CSV: {error}") from error
    if not sums:
        raise EvaluationError(f"{place}: expected ratings of the benchmark's videos, found none in {num_ratings} lines")
    means = {
        dimension: {place: math.fsum(values) / len(values) for place, values in sorted(found.items())}
        for dimension, found in sorted(sums.items())
    }
    return Ratings(source=str(place), means=means, num_ratings=num_ratings, num_outside=num_outside)


def agree_with(
    models: Mapping[str, Scores],
    ratings: Ratings,
    *,
    domain: Domain = "open",
    version: Version = "1.1",
    mode: Mode = "published",
    prompts: Prompts | None = None,
    bootstrap: Bootstrap = Bootstrap(),  # noqa: B008 - a frozen value
) -> tuple[Agreement, ...]:
    """Return how each metric agrees with each dimension of ratings: per video, and per model where there are 3 or more.

    Args:
        models: scores by the model's name in the ratings; with one model and ratings that name none, any name.
        ratings: people's.
        domain, version, mode, prompts: as for `score_table`.
        bootstrap: how intervals are made: prompts are resampled with all their videos per video, models per model.

    Raises:
        EvaluationError: no model of these was rated.
    """
    names = dict.fromkeys(models)
    if ratings.models == ("",):
        if len(models) != 1:
            raise EvaluationError(
                f"{ratings.source}: has no column model, which is needed with scores of {len(models)} models"
            )
        named = {"": next(iter(models.values()))}
    else:
        named = {name: models[name] for name in names if name in ratings.models}
    if not named:
        raise EvaluationError(
            f"{ratings.source}: rates {', '.join(ratings.models)}, but scores are given of {', '.join(names)}: name them alike"
        )
    keys = domain_keys(domain) if prompts is None else prompts.keys
    tables = {
        name: score_table(
            scores, domain=domain, version=version, mode=mode, prompts=prompts, allow_missing=True, bootstrap=None
        )
        for name, scores in named.items()
    }
    rows: list[Agreement] = []
    for dimension, found in ratings.means.items():
        for metric in weights(domain, version):
            column = SCALES[metric].column
            points = [
                (key, value, found[name, key])
                for name, scores in named.items()
                for key, value in (shares(scores, metric, keys, mode=mode) or {}).items()
                if (name, key) in found
            ]
            if points:
                rows.append(_agreement(dimension, column, "video", points, bootstrap))
        if len(tables) >= 3:
            rows += _per_model(dimension, found, tables, set(keys), bootstrap)
    return tuple(rows)


def _per_model(
    dimension: str,
    found: Mapping[tuple[str, str], float],
    tables: Mapping[str, ScoreTable],
    keys: set[str],
    bootstrap: Bootstrap,
) -> list[Agreement]:
    figures: dict[str, list[tuple[str, float, float]]] = {}
    for name, table in tables.items():
        rated = [value for (model, key), value in found.items() if model == name and key in keys]
        if not rated:
            continue
        human = math.fsum(rated) / len(rated)
        if not table.missing:
            figures.setdefault(TOTAL, []).append((name, table.total, human))
        for line in table.lines:
            if line.share is not None:
                figures.setdefault(line.column, []).append((name, line.share, human))
    return [
        _agreement(dimension, column, "model", points, bootstrap)
        for column, points in figures.items()
        if len(points) >= 3
    ]


def _agreement(
    dimension: str, column: str, level: str, points: list[tuple[str, float, float]], bootstrap: Bootstrap
) -> Agreement:
    """Return the agreement of points (what is resampled, the metric's number, the people's)."""
    groups = sorted({group for group, _, _ in points})
    place = {group: at for at, group in enumerate(groups)}
    owner = np.array([place[group] for group, _, _ in points])
    left, right = (np.array([point[side] for point in points]) for side in (1, 2))
    figures: list[tuple[float | None, Interval | None]] = []
    for make in (kendall_of, spearman_of):
        of_points = make(left, right)

        def estimate(drawn: np.ndarray, of_points: Estimate = of_points) -> np.ndarray:
            return of_points(drawn[:, owner])

        point = float(of_points(np.ones((1, len(points))))[0]) if len(points) >= 3 else math.nan
        known = math.isfinite(point)
        figures.append((point if known else None, interval(estimate, len(groups), bootstrap) if known else None))
    (kendall, kendall_interval), (spearman, spearman_interval) = figures
    return Agreement(
        dimension=dimension,
        metric=column,
        level=level,
        num_points=len(points),
        kendall=kendall,
        kendall_interval=kendall_interval,
        spearman=spearman,
        spearman_interval=spearman_interval,
    )


def kendall_of(left: np.ndarray, right: np.ndarray) -> Estimate:
    """Return the estimate of Kendall's tau-b of weighted points; copies of a point are ties of both sides."""
    signs_left, signs_right = (np.sign(values[:, None] - values[None, :]) for values in (left, right))
    both = signs_left * signs_right

    def estimate(weights: np.ndarray) -> np.ndarray:
        concordant, untied_left, untied_right = (
            ((weights @ matrix) * weights).sum(axis=1) for matrix in (both, np.abs(signs_left), np.abs(signs_right))
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            return concordant / np.sqrt(untied_left * untied_right)

    return estimate


def spearman_of(left: np.ndarray, right: np.ndarray) -> Estimate:
    """Return the estimate of Spearman's rho of weighted points, with mean ranks for ties."""
    # Rank of i in a resample: how many are below it, and half of those that are equal to it.
    below = [
        (values[:, None] < values[None, :]).astype(np.float64) + (values[:, None] == values[None, :]) / 2
        for values in (left, right)
    ]

    def estimate(weights: np.ndarray) -> np.ndarray:
        count = weights.sum(axis=1, keepdims=True)
        ranks = [weights @ matrix for matrix in below]
        off = [rank - (weights * rank).sum(axis=1, keepdims=True) / count for rank in ranks]
        product = (weights * off[0] * off[1]).sum(axis=1)
        # The mean's rounding leaves 1e-12 or so where all ranks are the same.
        spread = [(weights * one**2).sum(axis=1) for one in off]
        with np.errstate(invalid="ignore", divide="ignore"):
            rho = product / np.sqrt(spread[0] * spread[1])
        return np.where((spread[0] > 1e-6) & (spread[1] > 1e-6), np.clip(rho, -1, 1), np.nan)

    return estimate


def _rating(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EvaluationError(f"{where}: expected a number as rating, found {shortened(text)!r}")
    return value
