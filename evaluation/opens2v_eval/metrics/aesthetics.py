"""Aesthetics: LAION's aesthetic score of 32 frames spread over the video, and their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MetricError
from opens2v_eval.frames import NUM_LINSPACE_FRAMES, linspace_indices
from opens2v_eval.metrics.base import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opens2v_eval.frames import Video
    from opens2v_eval.metrics.base import PromptPart
    from opens2v_eval.models.clip_aesthetics import ClipAesthetics
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName

CLIP = "openai/clip-vit-large-patch14"
# LAION's sac+logos+ava1-l14-linearMSE.pth as the benchmark's authors publish it beside their other weights.
HEAD = "BestWishYsh/OpenS2V-Weight/aesthetic-model.pth"


class Aesthetics:
    """Mean aesthetic score of the frames.

    Args:
        clip: Hub id or folder of CLIP ViT-L/14.
        head: LAION's head: a file, or `OWNER/NAME/FILE` of a Hub repository.
        revision: of CLIP's repository.
        num_frames: frames to score, 32 as published.
    """

    name: MetricName = "aesthetics"
    looks_at: tuple[PromptPart, ...] = ()

    def __init__(
        self, *, clip: str = CLIP, head: str = HEAD, revision: str | None = None, num_frames: int = NUM_LINSPACE_FRAMES
    ) -> None:
        self._clip, self._head, self._revision = clip, head, revision
        self._num_frames = num_frames
        self._model: ClipAesthetics | None = None

    def settings(self) -> Mapping[str, Any]:
        """Return the models and the number of frames."""
        return {
            "clip": self._clip,
            "head": self._head,
            "revision": self._revision,
            "num_frames": self._num_frames,
        }

    def applies_to(self, prompt: Prompt) -> bool:
        """Return True: to all."""
        return True

    def setup(self, device: str) -> None:
        """Load CLIP and the head.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            MetricError: weights that are not there, or do not fit.
        """
        from opens2v_eval.models.clip_aesthetics import ClipAesthetics

        self._model = ClipAesthetics(clip=self._clip, head=self._head, device=device, revision=self._revision)

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return `aes_score`, and the score of each frame.

        Raises:
            DecodeError: the video does not give its frames.
        """
        if self._model is None:
            raise MetricError(f"{self.name} of {video.key}: setup(device) comes before score")
        scores = self._model.scores(video.linspace(self._num_frames))
        return Values(
            values={"aes_score": scores.mean().item()},
            details={
                "frame_indices": linspace_indices(video.num_frames, self._num_frames),
                "frames": scores.tolist(),
            },
        )

    def close(self) -> None:
        """Let the models go."""
        self._model = None
