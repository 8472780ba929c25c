"""Which numbers count, video by video, in each mode, and for how many prompts there should be one.

`published` is what the leaderboard has. `corrected` takes FaceSim and NexusScore from what was found in every frame: a frame
without the face, or without the subject, counts as 0. The other metrics are the same in both.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from opens2v_data.errors import ScoresError
from opens2v_eval.details import FOLDER
from opens2v_eval.prompts import Prompts, domain_keys, prefix
from opens2v_eval.scales import FACE_PREFIXES, SCALES, Domain, MetricName, Mode, applies, scale_of
from opens2v_eval.scorefiles import Scores

CORRECTED_METRICS: frozenset[MetricName] = frozenset({"facesim", "nexusscore"})
"""The metrics that the two modes count differently."""

_MULTIFACE_WITH_PLACE = frozenset(f"multiface_{n}" for n in (1, 8, 10, 11, 13, 15))
"""The prompts of several faces that also have a place as reference, which NexusScore looks for (Open-Domain_Eval.json)."""


CAUTIONS = (
    "NexusScore is divided by the number of frames in which anything was found, so it falls as the subject is seen in more "
    "frames, and prompts where nothing is found leave its mean.",
    "FaceSim is the mean over frames that have a face, so a face that vanishes is rewarded.",
    "MotionAmplitude is the absolute value of a signed mean, so opposite motions cancel.",
    "A metric that is missing counts as 0 in a total.",
)
"""What a reader of a number of the published mode should know; shown with every board and table."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """For how many prompts a metric has a number that counts.

    Attributes:
        num_expected: prompts of the domain that the metric is for.
        num_counted: those that are in the mean.
        missing: keys without a number.
        zeros: keys that the published mode leaves out of the mean because they have 0.
        unexpected: keys with a number of a metric that is not for them; they count, as upstream counts them.
    """

    num_expected: int
    num_counted: int
    missing: tuple[str, ...]
    zeros: tuple[str, ...]
    unexpected: tuple[str, ...]


def expected_keys(metric: MetricName, domain: Domain, prompts: Prompts | None = None) -> tuple[str, ...]:
    """Return the prompts of a domain that a metric is for; known without the prompts where those are the published ones."""
    if prompts is not None:
        return tuple(prompt.key for prompt in prompts if applies(metric, prompt))
    keys = domain_keys(domain)
    if metric == "facesim":
        return tuple(key for key in keys if prefix(key) in FACE_PREFIXES)
    if metric == "nexusscore":
        return tuple(
            key for key in keys if prefix(key) not in ("singleface", "multiface") or key in _MULTIFACE_WITH_PLACE
        )
    return keys


def counted_values(
    scores: Scores, metric: MetricName, keys: Iterable[str], *, mode: Mode = "published"
) -> dict[str, float] | None:
    """Return the number of each video as it enters the mean, clamped, in the order of keys; None where there are none at all.

    Raises:
        ScoresError: details are not in the form of `details/<metric>.jsonl`.
    """
    values = raw_values(scores, metric, mode)
    if values is None:
        return None
    scale = scale_of(metric, mode)
    return {
        key: scale.clamp(values[key])
        for key in keys
        if key in values and not (scale.leaves_out_zeros and values[key] == 0)
    }


def shares(
    scores: Scores, metric: MetricName, keys: Iterable[str], *, mode: Mode = "published"
) -> dict[str, float] | None:
    """Return the number of each video as a share of 1; a metric's figure is their mean. See `counted_values`."""
    counted = counted_values(scores, metric, keys, mode=mode)
    if counted is None:
        return None
    scale = scale_of(metric, mode)
    return {key: scale.share(value) for key, value in counted.items()}


def raw_values(scores: Scores, metric: MetricName, mode: Mode) -> Mapping[str, float] | None:
    """Return the number of each video before it is clamped; None where there are none."""
    if mode == "published" or metric not in CORRECTED_METRICS:
        return scores.values.get(metric)
    if metric not in scores.details:
        return None
    of_entry = _corrected_facesim if metric == "facesim" else _corrected_nexusscore
    found: dict[str, float] = {}
    for key, entry in scores.details[metric].items():
        value = of_entry(entry, f"{scores.folder / FOLDER / metric}.jsonl: {key}")
        if value is not None:
            found[key] = value
    return found


def coverage(
    scores: Scores,
    metric: MetricName,
    *,
    domain: Domain,
    mode: Mode = "published",
    prompts: Prompts | None = None,
    counted: Collection[str] | None = None,
) -> Coverage:
    """Return for how many prompts of a domain a metric has a number.

    Args:
        scores: of a model.
        metric: which.
        domain: its prompts.
        mode: how numbers are counted.
        prompts: the prompts, where they are not the published ones.
        counted: the keys that are in the mean, where they are known already.
    """
    expected = expected_keys(metric, domain, prompts)
    keys = domain_keys(domain) if prompts is None else prompts.keys
    values = raw_values(scores, metric, mode) or {}
    if counted is None:
        counted = counted_values(scores, metric, keys, mode=mode) or {}
    wanted = set(expected)
    return Coverage(
        num_expected=len(expected),
        num_counted=sum(key in wanted for key in counted),
        missing=tuple(key for key in expected if key not in values),
        zeros=tuple(key for key in expected if key in values and key not in counted),
        unexpected=tuple(key for key in counted if key not in wanted),
    )


def _corrected_facesim(entry: Mapping[str, Any], where: str) -> float | None:
    if entry.get("reference_has_face") is False:
        return None
    return _mean_with_zeros(entry.get("cur"), f"{where}, field cur")


def _corrected_nexusscore(entry: Mapping[str, Any], where: str) -> float | None:
    references = entry.get("references")
    if not isinstance(references, list) or not all(isinstance(one, dict) for one in references):
        raise ScoresError(f"{where}: expected a list of objects as references; run the metric again")
    if not references:
        return None
    means = [_mean_with_zeros(one.get("frames"), f"{where}, reference {one.get('image')}") for one in references]
    return math.fsum(means) / len(means)


def _mean_with_zeros(values: object, where: str) -> float:
    """Return the mean over frames, of which those without a find (null) count as 0."""
    if not isinstance(values, list) or not values:
        raise ScoresError(f"{where}: expected a number or null for each frame; run the metric again")
    for value in values:
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value)
        ):
            raise ScoresError(f"{where}: expected a finite number or null for each frame, found {value!r}")
    return math.fsum(value for value in values if value is not None) / len(values)


def files_of(metric: MetricName, mode: Mode) -> str:
    """Return the file that a metric's numbers come from, for messages."""
    if mode == "corrected" and metric in CORRECTED_METRICS:
        return f"{FOLDER}/{metric}.jsonl"
    return f"{SCALES[metric].files[0]}.json"
