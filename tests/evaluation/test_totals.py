"""Totals: upstream's demo to every digit, a plain second computation for any scores, both modes, and coverage."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.made import write_model
from opens2v_data.errors import ScoresError
from opens2v_eval.bootstrap import Bootstrap
from opens2v_eval.counting import counted_values, coverage, expected_keys, raw_values
from opens2v_eval.prompts import Prompts, category, domain_keys, load_prompts
from opens2v_eval.scales import DOMAINS, METRICS, SCALES, VERSIONS, scale_of, weights
from opens2v_eval.scorefiles import Scores, read_scores
from opens2v_eval.tables import score_notes, score_rows, score_values, share_rows
from opens2v_eval.totals import by_category, by_prompt, score_table

if TYPE_CHECKING:
    from opens2v_eval.scales import Domain, MetricName, Version

DEMO = {
    "aesthetics": 0.3343864281972249,
    "motion_smoothness": 0.9492753623188406,
    "facesim": 0.9420197624713182,
    "gmescore": 0.6767578125,
    "nexusscore": 0.260162353515625,
    "naturalscore": 0.6666666666666667,
}
"""Components of upstream's demo, `model_name_Open-Domain.json`; its total is of older weights."""
DEMO_TOTAL = 0.5959962472265614


def test_upstreams_demo_comes_out_to_every_digit(upstream_eval: Path) -> None:
    stored = json.loads((upstream_eval / "model_name_Open-Domain.json").read_text(encoding="utf-8"))
    table = score_table(read_scores(upstream_eval / "scores"))
    assert {line.metric: line.share for line in table.lines if line.metric != "motion_amplitude"} == DEMO
    assert set(DEMO.values()) == set(stored.values()) - {stored["total_score"]}
    assert table.total == DEMO_TOTAL


def test_the_demos_numbers_need_no_sample() -> None:
    # The same scores, so that machines without the sample have the figure checked, too.
    scores = Scores(
        folder=Path("demo"),
        rows={},
        values={
            "aesthetics": {"faceobj_14": 4.811809062957764, "singleface_3": 5.194509506225586},
            "motion_smoothness": {"faceobj_14": 0.8985507246376812, "singleface_3": 1.0},
            "motion_amplitude": {"faceobj_14": 0.35025984048843384, "singleface_3": 0.038793787360191345},
            "facesim": {"singleface_3": 0.9420197624713182},
            "gmescore": {"faceobj_14": 0.68115234375, "singleface_3": 0.67236328125},
            "nexusscore": {"faceobj_14": 0.01300811767578125},
            "naturalscore": {"faceobj_14": 4.0, "singleface_3": 10 / 3},
        },
    )
    assert score_table(scores).total == DEMO_TOTAL


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("domain", DOMAINS)
def test_weights_sum_to_one(domain: Domain, version: Version) -> None:
    assert math.isclose(sum(weights(domain, version).values()), 1)
    assert ("nexusscore" in weights(domain, version)) == (domain != "human")
    assert ("motion_smoothness" in weights(domain, version)) == (version == "1.1")


def second_opinion(values: dict[str, dict[str, float]], domain: Domain, version: Version) -> float:
    """Compute a total by EVAL.md's table, in plain Python."""
    keys = set(domain_keys(domain))
    kept = {metric: [v for key, v in found.items() if key in keys] for metric, found in values.items()}
    shares = {
        "aesthetics": [(min(max(v, 4), 7) - 4) / 3 for v in kept["aesthetics"]],
        "motion_smoothness": [min(abs(v), 1) for v in kept["motion_smoothness"]],
        "motion_amplitude": [min(abs(v), 1) for v in kept["motion_amplitude"]],
        "facesim": [min(v, 1) for v in kept["facesim"]],
        "gmescore": [min(v, 1) for v in kept["gmescore"]],
        "nexusscore": [min(v, 0.05) / 0.05 for v in kept["nexusscore"] if v != 0],
        "naturalscore": [(min(max(v, 1), 5) - 1) / 4 for v in kept["naturalscore"]],
    }
    if version == "1.1":
        table = (
            [0.18, 0.09, 0.03, 0.25, 0.15, 0, 0.30] if domain == "human" else [0.16, 0.06, 0.02, 0.20, 0.12, 0.20, 0.24]
        )
    else:
        table = [0.15, 0, 0.15, 0.25, 0.15, 0, 0.30] if domain == "human" else [0.12, 0, 0.12, 0.20, 0.12, 0.20, 0.24]
    means = [sum(found) / len(found) if found else 0.0 for found in shares.values()]
    return sum(weight * mean for weight, mean in zip(table, means, strict=True))


number = st.floats(-3, 9, allow_nan=False)
some_values = st.fixed_dictionaries(
    {
        metric: st.dictionaries(
            st.sampled_from(domain_keys("open")), st.one_of(number, st.just(0.0)), min_size=1, max_size=12
        )
        for metric in METRICS
    }
)


@given(values=some_values, domain=st.sampled_from(DOMAINS), version=st.sampled_from(VERSIONS), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_any_scores_give_what_a_plain_computation_gives_in_any_order(
    values: dict[MetricName, dict[str, float]], domain: Domain, version: Version, seed: int
) -> None:
    rng = random.Random(seed)
    shuffled: dict[MetricName, dict[str, float]] = {
        metric: dict(rng.sample(list(found.items()), len(found)))
        for metric, found in rng.sample(list(values.items()), len(values))
    }
    options: dict[str, Any] = {"domain": domain, "version": version, "allow_missing": True, "bootstrap": None}
    table = score_table(Scores(folder=Path("any"), rows={}, values=values), **options)
    assert table.total == pytest.approx(second_opinion({**values}, domain, version), abs=1e-12)
    again = score_table(Scores(folder=Path("any"), rows={}, values=shuffled), **options)
    assert again == table
    for line in table.lines:
        in_domain = set(domain_keys(domain)) & set(values[line.metric])
        found = line.coverage
        assert found.num_expected == len(expected_keys(line.metric, domain))
        assert found.num_counted + len(found.missing) + len(found.zeros) == found.num_expected
        zeros = {key for key in in_domain if values[line.metric][key] == 0 and line.metric == "nexusscore"}
        assert found.num_counted + len(found.unexpected) == len(in_domain - zeros)


def test_a_metric_without_scores_is_an_error_unless_allowed_and_then_named(model_a: Path) -> None:
    scores = read_scores(model_a)
    lacking = replace(scores, values={m: v for m, v in scores.values.items() if m not in ("gmescore", "naturalscore")})
    with pytest.raises(ScoresError, match=r"no scores of GmeScore \(gmescore\.json\), NaturalScore .*--allow-missing"):
        score_table(lacking)
    table = score_table(lacking, allow_missing=True, bootstrap=None)
    assert table.missing == ("gmescore", "naturalscore")
    assert table.line("gmescore").share is None and table.line("gmescore").mean is None
    whole = score_table(scores, bootstrap=None)
    left = sum(
        line.weight * line.share for line in whole.lines if line.metric not in table.missing and line.share is not None
    )
    assert table.total == pytest.approx(left)
    assert "counts as 0 what is missing: GmeScore, NaturalScore" in score_notes(table)[0]
    assert score_values(table)["missing"] == ["gmescore", "naturalscore"]


def test_a_metric_whose_numbers_are_all_left_out_is_told_from_one_that_was_not_run(model_a: Path) -> None:
    whole = read_scores(model_a)
    zeros = replace(whole, values={**whole.values, "nexusscore": {"singleobj_1": 0.0}})
    with pytest.raises(ScoresError, match=r"no scores of NexusScore \(nexusscore\.json, in which all are 0\)"):
        score_table(zeros)
    absent = {metric: found for metric, found in whole.values.items() if metric != "nexusscore"}
    with pytest.raises(ScoresError, match=r"no scores of NexusScore \(nexusscore\.json\) for"):
        score_table(replace(whole, values=absent))


def test_corrected_mode_counts_frames_without_a_find_as_0(tmp_path: Path, model_a: Path) -> None:
    scores = read_scores(model_a)
    details: dict[MetricName, dict[str, dict[str, Any]]] = {
        "facesim": {
            "singleface_1": {"key": "singleface_1", "cur": [0.8, None, 0.4, None]},
            "singleface_2": {"key": "singleface_2", "cur": [None, None]},
            "singleface_3": {"key": "singleface_3", "cur": [None], "reference_has_face": False},
        },
        "nexusscore": {
            "faceobj_1": {"key": "faceobj_1", "references": [{"frames": [0.6, None]}, {"frames": [None, None]}]},
            "faceobj_2": {"key": "faceobj_2", "references": []},
        },
    }
    scores = replace(scores, details=details)
    assert raw_values(scores, "facesim", "corrected") == {"singleface_1": pytest.approx(0.3), "singleface_2": 0.0}
    assert raw_values(scores, "nexusscore", "corrected") == {"faceobj_1": pytest.approx(0.15)}
    published, corrected = (score_table(scores, mode=mode, bootstrap=None) for mode in ("published", "corrected"))
    assert corrected.line("facesim").share == pytest.approx(0.15)
    # Not divided by 0.05: it is a mean of cosines.
    assert corrected.line("nexusscore").share == pytest.approx(0.15)
    for metric in ("aesthetics", "motion_smoothness", "motion_amplitude", "gmescore", "naturalscore"):
        assert corrected.line(metric) == published.line(metric)
    assert corrected.line("facesim").coverage.num_counted == 2


def test_corrected_mode_keeps_zeros_that_the_published_one_leaves_out() -> None:
    scores = Scores(
        folder=Path("any"),
        rows={},
        values={"nexusscore": {"singleobj_1": 0.0, "singleobj_2": 0.02}},
        details={
            "nexusscore": {key: {"references": [{"frames": [None, None]}]} for key in ("singleobj_1", "singleobj_2")}
        },
    )
    keys = domain_keys("single")
    assert counted_values(scores, "nexusscore", keys) == {"singleobj_2": 0.02}
    assert counted_values(scores, "nexusscore", keys, mode="corrected") == {"singleobj_1": 0.0, "singleobj_2": 0.0}
    found = coverage(scores, "nexusscore", domain="single")
    assert (found.zeros, found.num_counted, found.num_expected) == (("singleobj_1",), 1, 60)
    assert coverage(scores, "nexusscore", domain="single", mode="corrected").zeros == ()


def test_corrected_mode_without_what_was_found_in_frames_says_what_is_needed(model_a: Path) -> None:
    scores = replace(read_scores(model_a), details={})
    with pytest.raises(
        ScoresError, match=r"FaceSim \(details/facesim\.jsonl\), NexusScore \(details/nexusscore\.jsonl\)"
    ):
        score_table(scores, mode="corrected")
    assert score_table(scores, mode="corrected", allow_missing=True).missing == ("facesim", "nexusscore")


@pytest.mark.parametrize(
    ("metric", "entry", "told"),
    [
        ("facesim", {"cur": []}, "singleface_1, field cur: expected a number or null for each frame"),
        ("facesim", {}, "field cur: expected a number or null"),
        ("facesim", {"cur": ["0.5"]}, "expected a finite number or null for each frame, found '0.5'"),
        ("nexusscore", {"references": {}}, "expected a list of objects as references"),
        ("nexusscore", {"references": [{"image": 2, "frames": [math.nan]}]}, "reference 2: expected a finite number"),
    ],
)
def test_details_of_another_form_are_told(metric: MetricName, entry: dict[str, Any], told: str) -> None:
    scores = Scores(folder=Path("any"), rows={}, values={}, details={metric: {"singleface_1": entry}})
    with pytest.raises(ScoresError, match=told):
        raw_values(scores, metric, "corrected")


def test_intervals_hold_the_figures_and_repeat(model_a: Path) -> None:
    scores = read_scores(model_a)
    table = score_table(scores)
    assert table == score_table(scores)
    assert table.interval is not None and table.total in table.interval
    for line in table.lines:
        assert line.interval is not None and line.share is not None and line.share in line.interval
        assert line.interval.high - line.interval.low < 0.2
    assert all(line.interval is None for line in score_table(scores, bootstrap=None).lines)
    wide = score_table(scores, bootstrap=Bootstrap(level=0.99))
    assert (
        wide.interval is not None and wide.interval.low < table.interval.low < table.interval.high < wide.interval.high
    )


def test_a_metric_of_few_videos_has_no_interval_however_many_others_have(model_a: Path) -> None:
    whole = read_scores(model_a)
    few = dict(list(whole.values["facesim"].items())[:4])
    table = score_table(replace(whole, values={**whole.values, "facesim": few}))
    assert table.line("facesim").share is not None and table.line("facesim").interval is None
    assert table.line("gmescore").interval is not None
    assert table.interval is None, "a total of it would hardly move with FaceSim's four"


def test_intervals_of_a_total_cover_the_truth(tmp_path: Path) -> None:
    # Scores drawn anew 80 times from one law: the total's own mean is the truth.
    rng = random.Random(5)
    keys = domain_keys("human")
    tables = []
    for _ in range(80):
        values: dict[MetricName, dict[str, float]] = {
            metric: {key: scale.low + (scale.high - scale.low) * rng.betavariate(2, 3) for key in keys}
            for metric, scale in SCALES.items()
        }
        scores = Scores(folder=Path("any"), rows={}, values=values)
        tables.append(score_table(scores, domain="human", bootstrap=Bootstrap(num_resamples=300, level=0.9)))
    truth = 2 / 5
    covered = sum(table.interval is not None and truth in table.interval for table in tables)
    # Three standard deviations of 80 draws at 0.9 are 0.10.
    assert 0.78 < covered / len(tables) <= 1


def test_categories_and_prompts_average_to_the_figures(model_a: Path) -> None:
    scores = read_scores(model_a)
    table = score_table(scores, bootstrap=None)
    categories, prompts = by_category(scores), by_prompt(scores)
    assert [row.key for row in prompts] == list(domain_keys("open")) and len(categories) == 7
    assert all(row.category == category(row.key) for row in prompts)
    for line in table.lines:
        values = [share for row in prompts if (share := row.shares[line.metric]) is not None]
        assert line.share == pytest.approx(math.fsum(values) / len(values))
        total = sum((row.shares[line.metric] or 0) * row.counts[line.metric] for row in categories)
        count = sum(row.counts[line.metric] for row in categories)
        assert line.share == pytest.approx(total / count) and count == len(values)
    faces = next(row for row in categories if row.category == "multi-face-to-video")
    assert faces.shares["facesim"] is None and faces.counts["facesim"] == 0


def test_own_prompts_take_the_place_of_the_published_ones(model_a: Path, tmp_path: Path) -> None:
    entry = {"prompt": "A cup.", "img_paths": ["a.png"], "class_label": ["Cup"]}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"singleobj_1": entry, "singleobj_77": entry}), encoding="utf-8")
    prompts: Prompts = load_prompts(path, check=False)
    scores = read_scores(model_a, keys=prompts.keys)
    table = score_table(scores, prompts=prompts, allow_missing=True)
    assert table.num_prompts == 2 and table.missing == ("facesim",)
    assert table.line("gmescore").coverage.missing == ("singleobj_77",)


def test_tables_are_shown_side_by_side_with_the_total_last(model_a: Path) -> None:
    scores = read_scores(model_a)
    tables = [score_table(scores, mode=mode) for mode in ("published", "corrected")]
    header, rows = score_rows(tables)
    assert header == ("metric", "weight", "published", "interval", "videos", "corrected", "interval", "videos")
    assert [row[0] for row in rows] == [*(SCALES[metric].column for metric in METRICS), "TotalScore"]
    assert {len(row) for row in rows} == {8}
    assert str(rows[-1][2]) == f"{tables[0].total * 100:.2f}" and str(rows[-1][5]) == f"{tables[1].total * 100:.2f}"
    assert "left out of the mean" in " ".join(score_notes(tables[0]))
    json.dumps([score_values(table) for table in tables], allow_nan=False)
    header, rows = share_rows(by_prompt(scores))
    assert header[:2] == ("key", "category") and len(rows) == 180
    header, rows = share_rows(by_category(scores))
    assert header[:2] == ("category", "prompts") and [row[1] for row in rows] == [30, 30, 30, 15, 15, 30, 30]


def test_a_domain_counts_its_own_prompts_only(tmp_path: Path) -> None:
    scores = read_scores(write_model(tmp_path, seed=9))
    human = score_table(scores, domain="human", bootstrap=None)
    assert human.num_prompts == 60 and [line.coverage.num_counted for line in human.lines] == [60] * 6
    only = read_scores(tmp_path, keys=domain_keys("human"))
    assert score_table(only, domain="human", bootstrap=None).total == human.total


def test_what_is_no_domain_metric_or_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a domain of open, human, single"):
        weights("all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a version of 1\.0, 1\.1, got 'open' and '2'"):
        weights("open", "2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a mode of published, corrected, got 'gmescore' and 'fair'"):
        scale_of("gmescore", "fair")  # type: ignore[arg-type]
