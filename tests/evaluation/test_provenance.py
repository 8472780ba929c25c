"""What numbers were measured with is told where it keeps them from being compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_eval.metrics.naturalscore import NaturalScore
from opens2v_eval.metrics.nexusscore import NexusScore
from opens2v_eval.provenance import measured_with, provenance_notes
from opens2v_eval.scorefiles import Scores, read_scores

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opens2v_eval.scales import MetricName


def scores_of(metric: MetricName, *settings: Mapping[str, Any]) -> Scores:
    details = {f"singleobj_{n}": {"outcome": {"settings": dict(one)}} for n, one in enumerate(settings, 1)}
    return Scores(folder=Path("any"), rows={}, values={}, details={metric: details})


def test_of_others_files_nothing_is_told(model_a: Path) -> None:
    scores = read_scores(model_a)
    assert measured_with(scores, "facesim") == () and provenance_notes(scores) == []


def test_settings_that_differ_between_videos_are_named() -> None:
    one, other = {"gme": "a", "num_frames": 32}, {"gme": "b", "num_frames": 32}
    scores = scores_of("gmescore", one, other, other)
    assert measured_with(scores, "gmescore") == (other, one)
    assert provenance_notes(scores) == [
        "GmeScore: its videos were scored with 2 different settings (gme); run the metric again with one"
    ]
    assert provenance_notes(scores_of("gmescore", one, one)) == []


def test_a_detector_that_stands_in_for_the_published_one_is_named() -> None:
    (note,) = provenance_notes(scores_of("nexusscore", NexusScore().settings()))
    assert "a stand-in for the published detector: no leaderboard compares with it" in note
    own = NexusScore(detector="mine:YoloWorld").settings()
    assert provenance_notes(scores_of("nexusscore", own)) == []


def test_a_judge_or_a_question_that_is_not_the_published_one_is_named(tmp_path: Path) -> None:
    (note,) = provenance_notes(scores_of("naturalscore", NaturalScore().settings()))
    assert "asked in this project's own words" in note
    question = tmp_path / "question.txt"
    question.write_text("How natural is it, from 1 to 5?", encoding="utf-8")
    (note,) = provenance_notes(
        scores_of("naturalscore", NaturalScore(prompt_file=str(question), model="another").settings())
    )
    assert "judged by another, which is not the published judge" in note
    assert provenance_notes(scores_of("naturalscore", NaturalScore(prompt_file=str(question)).settings())) == []
