"""Agreement with people: scipy's tau-b and rho, on resamples too; ratings of any form are read or their fault is told."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.errors import EvaluationError
from opens2v_eval.agree import OVERALL, TOTAL, agree_with, kendall_of, read_ratings, spearman_of
from opens2v_eval.bootstrap import Bootstrap
from opens2v_eval.prompts import domain_keys
from opens2v_eval.scales import METRICS
from opens2v_eval.scorefiles import Scores, read_scores

if TYPE_CHECKING:
    from opens2v_eval.scales import MetricName

stats = pytest.importorskip("scipy.stats", reason="the extra eval is not installed")
FAST = Bootstrap(num_resamples=200)


def put(folder: Path, text: str) -> Path:
    path = folder / "human.csv"
    path.write_text(text, encoding="utf-8")
    return path


points = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), min_size=3, max_size=25)


@given(points)
@settings(max_examples=50, deadline=None)
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_tau_b_and_rho_of_weighted_points_are_scipys_of_repeated_points(drawn: list[tuple[int, int, int]]) -> None:
    left, right, counts = (np.array(column, float) for column in zip(*drawn, strict=True))
    repeated = np.repeat(np.arange(len(drawn)), counts.astype(int))
    if len(repeated) < 2:
        return
    with np.errstate(invalid="ignore"):
        tau = stats.kendalltau(left[repeated], right[repeated]).statistic
        rho = stats.spearmanr(left[repeated], right[repeated]).statistic
    np.testing.assert_allclose(kendall_of(left, right)(counts[None])[0], tau, atol=1e-12)
    np.testing.assert_allclose(spearman_of(left, right)(counts[None])[0], rho, atol=1e-12)


def model_of(rng: random.Random, shift: float = 0.0) -> Scores:
    values: dict[MetricName, dict[str, float]] = {
        metric: {key: rng.random() * 0.04 + shift for key in domain_keys("human")} for metric in METRICS
    }
    return Scores(folder=Path("any"), rows={}, values=values)


def test_a_metric_that_follows_people_agrees_and_another_does_not(tmp_path: Path) -> None:
    rng = random.Random(1)
    scores = model_of(rng)
    lines = ["key,rating,dimension,rater"]
    for key, value in scores.values["gmescore"].items():
        for rater in ("anna", "bo"):
            lines.append(f"{key},{value * 100 + rng.gauss(0, 0.3)},text,{rater}")
    ratings = read_ratings(put(tmp_path, "\n".join(lines)))
    assert ratings.num_ratings == 120 and ratings.models == ("",) and list(ratings.means) == ["text"]
    rows = {row.metric: row for row in agree_with({"mine": scores}, ratings, domain="human", bootstrap=FAST)}
    assert set(rows) == {"Aesthetics", "MotionSmoothness", "MotionAmplitude", "FaceSim", "GmeScore", "NaturalScore"}
    gme = rows["GmeScore"]
    expected = [ratings.means["text"]["", key] for key in domain_keys("human")]
    assert gme.kendall == pytest.approx(stats.kendalltau(list(scores.values["gmescore"].values()), expected).statistic)
    assert gme.kendall is not None and gme.kendall > 0.6 and gme.num_points == 60 and gme.level == "video"
    assert gme.kendall_interval is not None and gme.kendall_interval.low > 0.4
    assert gme.spearman_interval is not None and (gme.spearman or 0) in gme.spearman_interval
    facesim = rows["FaceSim"]
    assert facesim.kendall_interval is not None and 0 in facesim.kendall_interval
    # All below the lowest rating that counts: the same everywhere.
    assert rows["NaturalScore"].kendall is None and rows["NaturalScore"].kendall_interval is None


def test_models_are_compared_by_their_means_from_three_on(tmp_path: Path) -> None:
    rng = random.Random(2)
    models = {f"model-{n}": model_of(rng, shift=0.1 * n) for n in range(6)}
    lines = ["model,key,rating"]
    for n, name in enumerate(models):
        lines += [f"{name},{key},{n + rng.gauss(0, 0.2):.3f}" for key in domain_keys("human")]
    lines.append("someone-else,singleface_1,5")
    ratings = read_ratings(put(tmp_path, "\n".join(lines)))
    assert ratings.models == (*models, "someone-else")
    found = agree_with(models, ratings, domain="human", bootstrap=FAST)
    of_models = {row.metric: row for row in found if row.level == "model"}
    assert of_models["GmeScore"].num_points == 6 and of_models["GmeScore"].spearman == pytest.approx(1)
    assert of_models[TOTAL].kendall == pytest.approx(1)
    assert all(row.dimension == OVERALL for row in found)
    assert {row.num_points for row in found if row.level == "video"} == {360}
    two = dict(list(models.items())[:2])
    assert {row.level for row in agree_with(two, ratings, domain="human", bootstrap=FAST)} == {"video"}


def test_keys_outside_are_counted_and_ratings_are_averaged(tmp_path: Path) -> None:
    path = put(tmp_path, "rating,key\n1,singleface_1\n4,singleface_1\n3,intro\n")
    ratings = read_ratings(path)
    assert ratings.means == {OVERALL: {("", "singleface_1"): 2.5}}
    assert (ratings.num_ratings, ratings.num_outside) == (3, 1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "expected the columns key and rating, found nothing"),
        ("key,score\nsingleface_1,3\n", "expected the columns key and rating, found key, score"),
        ("key,rating\nsingleface_1,good\n", "line 2: expected a number as rating, found 'good'"),
        ("key,rating\nsingleface_1,nan\n", "line 2: expected a number as rating, found 'nan'"),
        ("key,rating\nsingleface_1\n", "line 2: expected 2 cells as in the first line"),
        ("key,rating\nsingleface_1,3,4\n", "line 2: expected 2 cells as in the first line"),
        ("key,rating\nintro,3\n", "expected ratings of the benchmark's videos, found none in 1 lines"),
        ('key,rating\n"singleface_1,3', "expected CSV: unexpected end"),
    ],
)
def test_ratings_of_another_form_are_told_with_their_line(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(EvaluationError, match=told):
        read_ratings(put(tmp_path, text))


def test_ratings_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="expected ratings as CSV"):
        read_ratings(tmp_path / "absent.csv")


def test_models_and_ratings_must_be_named_alike(tmp_path: Path, model_a: Path) -> None:
    scores = read_scores(model_a)
    named = read_ratings(put(tmp_path, "model,key,rating\nother,singleface_1,3\n"))
    with pytest.raises(EvaluationError, match="rates other, but scores are given of mine: name them alike"):
        agree_with({"mine": scores}, named)
    unnamed = read_ratings(put(tmp_path, "key,rating\nsingleface_1,3\n"))
    with pytest.raises(EvaluationError, match="has no column model, which is needed with scores of 2 models"):
        agree_with({"mine": scores, "yours": scores}, unnamed)
    rows = agree_with({"mine": scores}, unnamed)
    assert all(row.num_points == 1 and row.kendall is None for row in rows)


def test_fewer_than_three_points_have_no_correlation(tmp_path: Path) -> None:
    scores = Scores(folder=Path("any"), rows={}, values={"gmescore": {"singleface_1": 0.1, "singleface_2": 0.2}})
    ratings = read_ratings(put(tmp_path, "key,rating\nsingleface_1,3\nsingleface_2,4\n"))
    (row,) = agree_with({"x": scores}, ratings)
    assert (row.num_points, row.kendall, row.spearman) == (2, None, None)
    assert math.isfinite(row.num_points)
