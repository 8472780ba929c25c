"""Comparing models: pairs only, the right sign, p-values that do not cry wolf, and Holm's correction."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from evaluation.made import write_model
from opens2v_eval.bootstrap import Bootstrap
from opens2v_eval.compare import ALL, TOTAL, compare_models
from opens2v_eval.counting import shares
from opens2v_eval.prompts import CATEGORIES, domain_keys
from opens2v_eval.scales import METRICS, SCALES
from opens2v_eval.scorefiles import Scores, read_scores
from opens2v_eval.tables import COMPARE_HEADER, compare_rows
from opens2v_eval.totals import score_table

if TYPE_CHECKING:
    from opens2v_eval.scales import MetricName


def scores_of(values: dict[MetricName, dict[str, float]]) -> Scores:
    return Scores(folder=Path("any"), rows={}, values=values)


def test_a_better_model_is_found_better_and_the_mirror_image_is_its_opposite(model_a: Path, model_b: Path) -> None:
    first, second = read_scores(model_a), read_scores(model_b)
    found, mirrored = compare_models(first, second), compare_models(second, first)
    rows = {(row.metric, row.category): row for row in found}
    total = rows[TOTAL, ALL]
    assert total.difference > 0 and total.p is not None and total.p < 0.01
    assert total.interval is not None and 0 < total.interval.low < total.difference < total.interval.high
    assert [(row.metric, row.category) for row in mirrored] == list(rows)
    for row, other in zip(found, mirrored, strict=True):
        assert other.difference == pytest.approx(-row.difference)
        assert (other.first, other.second) == (row.second, row.first)
        assert (other.num_only_first, other.num_only_second) == (row.num_only_second, row.num_only_first)
        assert other.p == pytest.approx(row.p)
    names = {category for _, category in rows}
    assert names == {ALL, *CATEGORIES}
    assert ("FaceSim", "multi-face-to-video") not in rows


def test_differences_are_of_the_prompts_that_both_have(model_a: Path, model_b: Path) -> None:
    first, second = read_scores(model_a), read_scores(model_b)
    rows = {row.metric: row for row in compare_models(first, second) if row.category == ALL}
    keys = domain_keys("open")
    for metric in METRICS:
        ours, theirs = shares(first, metric, keys) or {}, shares(second, metric, keys) or {}
        both = [key for key in keys if key in ours and key in theirs]
        row = rows[SCALES[metric].column]
        assert (row.num_prompts, row.num_only_first) == (len(both), len(ours) - len(both))
        assert row.difference == pytest.approx(np.mean([theirs[key] - ours[key] for key in both]))
        assert row.second - row.first == pytest.approx(row.difference)
    assert rows["NexusScore"].num_only_first > 0
    assert rows[TOTAL].num_prompts == 180


def test_the_difference_of_totals_is_that_of_the_tables_where_both_have_all(tmp_path: Path) -> None:
    first, second = (read_scores(write_model(tmp_path / str(seed), seed=seed, domain="human")) for seed in (1, 2))
    (total,) = (row for row in compare_models(first, second, domain="human") if row.metric == TOTAL)
    totals = [score_table(scores, domain="human", bootstrap=None).total for scores in (first, second)]
    assert total.difference == pytest.approx(totals[1] - totals[0])
    assert (total.first, total.second) == (pytest.approx(totals[0]), pytest.approx(totals[1]))


def test_a_model_does_not_differ_from_itself(model_a: Path) -> None:
    scores = read_scores(model_a)
    for row in compare_models(scores, scores):
        assert (row.difference, row.p, row.p_adjusted) == (0, 1.0, 1.0)


def test_models_that_do_not_differ_are_seldom_told_apart() -> None:
    rng = random.Random(2)
    keys = domain_keys("human")
    p_values = []
    for _ in range(100):
        models = [scores_of({"gmescore": {key: rng.betavariate(2, 2) for key in keys}}) for _ in range(2)]
        rows = compare_models(*models, domain="human", bootstrap=Bootstrap(num_resamples=200))
        p_values += [row.p for row in rows if row.category == ALL and row.metric == "GmeScore" and row.p is not None]
    assert len(p_values) == 100
    # At 5% three standard deviations of 100 draws are 0.065.
    assert sum(p < 0.05 for p in p_values) / 100 < 0.12
    assert 0.3 < sum(p < 0.5 for p in p_values) / 100 < 0.7


def test_prompts_that_are_easy_for_both_cancel() -> None:
    rng = random.Random(4)
    keys = domain_keys("human")
    easy = {key: rng.uniform(0.1, 0.8) for key in keys}
    first = scores_of({"gmescore": easy})
    second = scores_of({"gmescore": {key: value + rng.gauss(0.01, 0.01) for key, value in easy.items()}})
    row = next(row for row in compare_models(first, second, domain="human") if row.metric == "GmeScore")
    # 0.01 apart where a model's own interval is 0.1 wide.
    assert row.p is not None and row.p < 0.01
    assert row.interval is not None and row.interval.high - row.interval.low < 0.01


def test_p_values_are_corrected_for_their_number_in_order(model_a: Path, model_b: Path) -> None:
    rows = [row for row in compare_models(read_scores(model_a), read_scores(model_b)) if row.p is not None]
    ranked = sorted(rows, key=lambda row: row.p or 0)
    assert ranked[0].p_adjusted == pytest.approx(min(1, (ranked[0].p or 0) * len(rows)))
    adjusted = [row.p_adjusted for row in ranked if row.p_adjusted is not None]
    assert adjusted == sorted(adjusted) and len(adjusted) == len(rows) and max(adjusted) <= 1
    assert all((row.p_adjusted or 0) >= (row.p or 0) for row in rows)


def test_few_prompts_have_a_difference_but_no_interval() -> None:
    first = scores_of({"gmescore": {"singleface_1": 0.5, "singleface_2": 0.6, "singleobj_1": 0.1}})
    second = scores_of({"gmescore": {"singleface_1": 0.7, "singleface_2": 0.6, "singleobj_2": 0.1}})
    rows = compare_models(first, second)
    assert [(row.metric, row.category, row.num_prompts) for row in rows] == [
        (TOTAL, ALL, 2),
        ("GmeScore", ALL, 2),
        ("GmeScore", "single-face-to-video", 2),
    ]
    assert all(row.interval is None and row.p is None and row.p_adjusted is None for row in rows)
    assert rows[1].difference == pytest.approx(0.1) and (rows[1].num_only_first, rows[1].num_only_second) == (1, 1)
    assert {len(row) for row in compare_rows(rows)} == {len(COMPARE_HEADER)}


def test_a_total_has_no_interval_where_a_metric_has_few_prompts_of_both(model_a: Path, model_b: Path) -> None:
    first, second = read_scores(model_a), read_scores(model_b)
    few = dict(list(first.values["gmescore"].items())[:4])
    first = replace(first, values={**first.values, "gmescore": few})
    rows = {(row.metric, row.category): row for row in compare_models(first, second)}
    assert rows["total", "all"].interval is None and rows["total", "all"].p is None
    assert rows["GmeScore", "all"].interval is None
    assert rows["Aesthetics", "all"].interval is not None


def test_models_that_share_nothing_have_no_rows() -> None:
    first, second = scores_of({"gmescore": {"singleface_1": 0.5}}), scores_of({"facesim": {"singleface_1": 0.5}})
    assert compare_models(first, second) == ()
    assert compare_models(first, scores_of({"gmescore": {"singleface_2": 0.5}})) == ()
