"""What is a metric? One name, the prompts it applies to, models that it loads once, and values for one video.

metric.applies_to(prompt)          no model needed
metric.setup("cuda")               loads models; only when a video is left to score
metric.score(video, prompt)        Values: what the score file says, and the details behind it
metric.close()                     lets the models go: metrics run one after another

A metric may say what of a prompt its values depend on, `looks_at = ("text",)` or `("images",)`, so that a run knows when they are
of another prompt; one that does not say it is taken to look at both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opens2v_eval.frames import Video
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName


PromptPart = Literal["text", "images"]
"""What a metric may look at of a prompt: its words, or its reference images with their labels."""
PROMPT_PARTS: tuple[PromptPart, ...] = ("text", "images")


@dataclass(frozen=True, kw_only=True)
class Values:
    """What a metric says of one video.

    Attributes:
        values: names and values as upstream's score file has them, e.g. `{"aes_score": 5.19}`; None where a metric applies
            and yet has no value (no face in any frame). Answers of a language model are strings.
        details: what the values were made of, as JSON: numbers per frame, and what the corrected mode needs.
    """

    values: Mapping[str, float | str | None]
    details: Mapping[str, Any] = field(default_factory=dict)


class Metric(Protocol):
    """A metric of the benchmark."""

    @property
    def name(self) -> MetricName:
        """The name on the command line, and of its results' file."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Return what its values depend on besides video and prompt, as JSON: models, revisions, thresholds.

        A video scored with other settings is scored anew.
        """
        ...

    def applies_to(self, prompt: Prompt) -> bool:
        """Return whether the prompt has a value of this metric."""
        ...

    def setup(self, device: str) -> None:
        """Load models.

        Args:
            device: `cpu`, `cuda`, `cuda:1`.

        Raises:
            MissingExtraError: a package is not installed.
            EvaluationError: weights are not there, or do not fit.
        """
        ...

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return the values of one video.

        Raises:
            DecodeError: the video does not give its frames.
            MetricError: there is no value for such a video.
        """
        ...

    def close(self) -> None:
        """Let the models go; `setup` may be called again."""
        ...
