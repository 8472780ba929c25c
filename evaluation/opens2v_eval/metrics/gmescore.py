"""GmeScore: cosine of GME between the prompt and each of 32 frames spread over the video, and their mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MetricError
from opens2v_eval.frames import NUM_LINSPACE_FRAMES, linspace_indices, rgb_arrays, stays_on_device
from opens2v_eval.metrics.base import Values
from opens2v_eval.models.gme import PUBLISHED_GME, RETRIEVAL_INSTRUCTION, Gme

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opens2v_eval.frames import Video
    from opens2v_eval.metrics.base import PromptPart
    from opens2v_eval.models.gme import Embedder
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName


class GmeScore:
    """Mean cosine of prompt and frames.

    Args:
        gme: Hub id or folder of GME; the published scores are by the 7B model.
        revision: of its repository.
        batch_size: frames per pass.
        num_frames: frames to score, 32 as published.
        embedder: a model that is loaded already, instead of `gme`; it is kept by `close`.
    """

    name: MetricName = "gmescore"
    looks_at: tuple[PromptPart, ...] = ("text",)

    def __init__(
        self,
        *,
        gme: str = PUBLISHED_GME,
        revision: str | None = None,
        batch_size: int = 8,
        num_frames: int = NUM_LINSPACE_FRAMES,
        embedder: Embedder | None = None,
    ) -> None:
        self._gme, self._revision, self._batch_size = gme, revision, batch_size
        self._num_frames = num_frames
        self._given = embedder
        self._model: Embedder | None = embedder

    def settings(self) -> Mapping[str, Any]:
        """Return the model and the number of frames."""
        return {"gme": self._gme, "revision": self._revision, "num_frames": self._num_frames}

    def applies_to(self, prompt: Prompt) -> bool:
        """Return True: to all."""
        return True

    def setup(self, device: str) -> None:
        """Load GME.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            MetricError: weights that are not there, or do not fit.
        """
        if self._given is None:
            self._model = Gme.load(self._gme, revision=self._revision, device=device, batch_size=self._batch_size)

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return `gme_score`, and the cosine of each frame.

        Raises:
            DecodeError: the video does not give its frames.
            MetricError: `setup` was not called.
        """
        if self._model is None:
            raise MetricError(f"{self.name} of {video.key}: setup(device) comes before score")
        pictures = video.linspace(self._num_frames)
        # Through PIL, as published, but for frames on a GPU.
        is_on_device = stays_on_device(pictures, self._model)
        frames = self._model.embed_images(list(pictures) if is_on_device else rgb_arrays(pictures))
        text = self._model.embed_texts([prompt.prompt], instruction=RETRIEVAL_INSTRUCTION)
        cosines = (frames * text).sum(dim=-1)
        return Values(
            values={"gme_score": cosines.mean().item()},
            details={
                "frame_indices": linspace_indices(video.num_frames, self._num_frames),
                "frames": cosines.tolist(),
            },
        )

    def close(self) -> None:
        """Let the model go."""
        self._model = self._given
