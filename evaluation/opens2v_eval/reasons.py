"""Why has a video no number of a metric that counts? Told apart, so that a page can say it in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from opens2v_eval.counting import CORRECTED_METRICS
from opens2v_eval.prompts import Prompt
from opens2v_eval.scales import SCALES, MetricName, Mode, applies, scale_of
from opens2v_eval.scorefiles import Scores

Reason = Literal["not-for", "not-run", "no-details", "no-face", "refusal", "not-a-number", "zero", "no-score"]
"""not-for       the metric has nothing to measure for the prompt
not-run       there is no file of the metric
no-details    the corrected mode wants what was found in frames, and there is only the published number
no-face       the reference image has no face to compare with
refusal       no answer of the judge is a number
not-a-number  the entry cannot be used
zero          0, which the published mode leaves out of the mean
no-score      the metric was run, and has nothing for this video
"""


def reason_of(
    scores: Scores, metric: MetricName, prompt: Prompt, values: Mapping[str, float] | None, *, mode: Mode = "published"
) -> Reason | None:
    """Return why a video has no share of a metric; None where it has one.

    Args:
        scores: of the model.
        metric: which.
        prompt: of the video.
        values: the metric's numbers by key, see `raw_values`; None where there are none at all.
        mode: how numbers are counted.
    """
    key = prompt.key
    if values is not None and key in values:
        return "zero" if scale_of(metric, mode).leaves_out_zeros and values[key] == 0 else None
    if not applies(metric, prompt):
        return "not-for"
    if scores.details.get(metric, {}).get(key, {}).get("reference_has_face") is False:
        return "no-face"
    if mode == "corrected" and metric in CORRECTED_METRICS and key in scores.values.get(metric, {}):
        return "no-details"
    files = [scores.rows[stem] for stem in SCALES[metric].files if stem in scores.rows]
    if not files and values is None:
        return "not-run"
    if any(key in rows for rows in files):
        return "refusal" if metric == "naturalscore" else "not-a-number"
    return "no-score"


def answers_of(scores: Scores, key: str) -> list[str]:
    """Return what the judge of NaturalScore said of a video, run by run, as it stands in the files."""
    runs = (scores.rows.get(stem, {}) for stem in SCALES["naturalscore"].files)
    return [str(rows[key]) for rows in runs if key in rows]
