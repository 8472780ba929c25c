"""What each metric is called, where its numbers stand, how they are clamped, scaled and weighed, and which prompts it is for.

Ranges and weights are those of the authors' `eval/merge_result.py`, versions 1.0 and 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from opens2v_eval.prompts import Prompt

MetricName = Literal[
    "aesthetics", "motion_smoothness", "motion_amplitude", "facesim", "gmescore", "nexusscore", "naturalscore"
]
Domain = Literal["open", "human", "single"]
Version = Literal["1.0", "1.1"]
Mode = Literal["published", "corrected"]

METRICS: tuple[MetricName, ...] = get_args(MetricName)
"""All metrics, in the order in which upstream sums and prints them."""
DOMAINS: tuple[Domain, ...] = get_args(Domain)
VERSIONS: tuple[Version, ...] = get_args(Version)
MODES: tuple[Mode, ...] = get_args(Mode)

NUM_NATURAL_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How one metric's numbers become a share of 1.

    Attributes:
        metric: its name here.
        column: its name in leaderboards.
        files: upstream's files of it, without `.json`; the last is what version 1.0 called it, where that differs.
        field: the number that counts, in an entry of the file.
        low, high: the range a video's number is clamped to, and which becomes 0 to 1.
        takes_absolute: the sign of a video's number is dropped.
        clamps_below: numbers below `low` are raised to it; upstream leaves those of some metrics as they are.
        leaves_out_zeros: a video with 0 does not count (NexusScore in the published mode).
    """

    metric: MetricName
    column: str
    files: tuple[str, ...]
    field: str
    low: float
    high: float
    takes_absolute: bool = False
    clamps_below: bool = False
    leaves_out_zeros: bool = False

    def clamp(self, value: float) -> float:
        """Return a video's number as it enters the mean."""
        if self.takes_absolute:
            value = abs(value)
        value = min(value, self.high)
        return max(value, self.low) if self.clamps_below else value

    def share(self, mean: float) -> float:
        """Return a mean as a share of 1."""
        return (mean - self.low) / (self.high - self.low)


SCALES: dict[MetricName, Scale] = {
    scale.metric: scale
    for scale in (
        Scale(
            metric="aesthetics",
            column="Aesthetics",
            files=("aesthetic_score",),
            field="aes_score",
            low=4,
            high=7,
            clamps_below=True,
        ),
        Scale(
            metric="motion_smoothness",
            column="MotionSmoothness",
            files=("motion_smoothness",),
            field="motion_smoothness",
            low=0,
            high=1,
            takes_absolute=True,
        ),
        Scale(
            metric="motion_amplitude",
            column="MotionAmplitude",
            files=("motion_amplitude", "motionscore"),
            field="motion_fb",
            low=0,
            high=1,
            takes_absolute=True,
        ),
        Scale(metric="facesim", column="FaceSim", files=("facesim",), field="cur_score", low=0, high=1),
        Scale(metric="gmescore", column="GmeScore", files=("gmescore",), field="gme_score", low=0, high=1),
        Scale(
            metric="nexusscore",
            column="NexusScore",
            files=("nexusscore",),
            field="nexus_score",
            low=0,
            high=0.05,
            leaves_out_zeros=True,
        ),
        Scale(
            metric="naturalscore",
            column="NaturalScore",
            files=tuple(f"naturalscore_{run}" for run in range(1, NUM_NATURAL_RUNS + 1)),
            field="",
            low=1,
            high=5,
            clamps_below=True,
        ),
    )
}
CORRECTED_SCALES: dict[MetricName, Scale] = {
    **SCALES,
    # A mean of cosines over all frames, which needs no 1/20 to undo a division by the number of frames.
    "nexusscore": replace(SCALES["nexusscore"], high=1, leaves_out_zeros=False),
}

_WEIGHTS: dict[tuple[Version, bool], dict[MetricName, float]] = {
    ("1.1", False): {
        "aesthetics": 0.16,
        "motion_smoothness": 0.06,
        "motion_amplitude": 0.02,
        "facesim": 0.20,
        "gmescore": 0.12,
        "nexusscore": 0.20,
        "naturalscore": 0.24,
    },
    ("1.1", True): {
        "aesthetics": 0.18,
        "motion_smoothness": 0.09,
        "motion_amplitude": 0.03,
        "facesim": 0.25,
        "gmescore": 0.15,
        "naturalscore": 0.30,
    },
    ("1.0", False): {
        "aesthetics": 0.12,
        "motion_amplitude": 0.12,
        "facesim": 0.20,
        "gmescore": 0.12,
        "nexusscore": 0.20,
        "naturalscore": 0.24,
    },
    ("1.0", True): {
        "aesthetics": 0.15,
        "motion_amplitude": 0.15,
        "facesim": 0.25,
        "gmescore": 0.15,
        "naturalscore": 0.30,
    },
}


def weights(domain: Domain, version: Version = "1.1") -> dict[MetricName, float]:
    """Return the weight of each metric in a total, in upstream's order; they sum to 1.

    Raises:
        ValueError: no such domain or version.
    """
    if domain not in DOMAINS or version not in VERSIONS:
        raise ValueError(
            f"expected a domain of {', '.join(DOMAINS)} and a version of {', '.join(VERSIONS)}, got {domain!r} and {version!r}"
        )
    return dict(_WEIGHTS[version, domain == "human"])


def scale_of(metric: MetricName, mode: Mode = "published") -> Scale:
    """Return a metric's scale in a mode.

    Raises:
        ValueError: no such metric or mode.
    """
    if metric not in SCALES or mode not in MODES:
        raise ValueError(
            f"expected a metric of {', '.join(METRICS)} and a mode of {', '.join(MODES)}, got {metric!r} and {mode!r}"
        )
    return (SCALES if mode == "published" else CORRECTED_SCALES)[metric]


FACE_PREFIXES = frozenset({"singleface", "singlehuman", "faceobj", "humanobj"})
"""Prompts with one person, whose face FaceSim compares."""
PERSON_LABELS = frozenset({"Man", "Woman"})


def nexus_references(prompt: Prompt) -> tuple[tuple[int, str], ...]:
    """Return what NexusScore looks for: the index of each reference image that counts, and the label to find it by.

    A man or woman is left out where the prompt gives a face, which FaceSim compares, and is a `human` where it gives a body.
    """
    wanted: list[tuple[int, str]] = []
    for index, label in enumerate(prompt.class_labels):
        if label in PERSON_LABELS:
            if "face" in prompt.key:
                continue
            if "human" in prompt.key:
                label = "human"
        wanted.append((index, label))
    return tuple(wanted)


def applies(metric: MetricName, prompt: Prompt) -> bool:
    """Say whether a metric has anything to measure for a prompt."""
    if metric == "facesim":
        return prompt.prefix in FACE_PREFIXES
    if metric == "nexusscore":
        return bool(nexus_references(prompt))
    return True
