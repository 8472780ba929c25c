"""MotionSmoothness: the share of frames at which a model's liking of the picture does not jump.

    windows     [0 0 0] [0 1 2] [1 2 3] … [N-3 N-2 N-1] [N-2 N-2 N-1]      one for each frame, three frames each
    scores      s0      s1      s2                                          Q-Align, 0 to 1
    artefacts   both frames of each two neighbours whose scores differ by more than 0.025
    value       1 - artefacts / N

The edges are upstream's: the first window shows the first frame three times, the last repeats its first frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.errors import MetricError
from opens2v_eval.metrics.base import Values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opens2v_eval.frames import Video
    from opens2v_eval.metrics.base import PromptPart
    from opens2v_eval.models.quality import Precision, QualityModel
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName

MODEL = "q-future/one-align"
THRESHOLD = 0.025
WINDOW_SIZE = 3


def sliding_windows(num_frames: int, size: int = WINDOW_SIZE) -> list[list[int]]:
    """Return the frame numbers of each frame's window.

    Raises:
        ValueError: no frames, or an empty window.
    """
    if num_frames < 1 or size < 1:
        raise ValueError(f"expected frames and a window, not {num_frames} frames and a window of {size}")
    left = (size - 1) // 2
    windows = []
    for centre in range(num_frames):
        start, stop = max(0, centre - left), min(num_frames, centre + size - left)
        inside = list(range(start, stop))
        missing = size - len(inside)
        if centre < left:
            windows.append([0] * size)
        elif start == 0:
            windows.append(inside + [inside[-1]] * missing)
        else:
            windows.append([inside[0]] * missing + inside)
    return windows


def artefact_frames(scores: Sequence[float], threshold: float = THRESHOLD) -> list[int]:
    """Return the frames at which the score jumps, sorted."""
    jumps = np.flatnonzero(np.abs(np.diff(np.asarray(scores, dtype=np.float64))) > threshold)
    return sorted({*jumps.tolist(), *(jumps + 1).tolist()})


class MotionSmoothness:
    """One less the share of artefacts.

    Args:
        model: Hub id or folder of Q-Align's weights, 17 GB.
        revision: of the Hub's repository.
        precision: of the model; float16 as published.
        quality: a model to ask instead; then the three above do not count.
    """

    name: MetricName = "motion_smoothness"
    looks_at: tuple[PromptPart, ...] = ()

    def __init__(
        self,
        *,
        model: str = MODEL,
        revision: str | None = None,
        precision: Precision = "float16",
        quality: QualityModel | None = None,
    ) -> None:
        if precision not in ("float16", "bfloat16", "float32"):
            raise ValueError(f"precision is float16, bfloat16 or float32, not {precision!r}")
        self._source, self._revision = model, revision
        self._precision: Precision = precision
        self._given = quality
        self._quality = quality

    def settings(self) -> Mapping[str, Any]:
        """Return model, precision, window and threshold."""
        common = {"window_size": WINDOW_SIZE, "threshold": THRESHOLD}
        if self._given is not None:
            return {"model": type(self._given).__qualname__, **common}
        return {"model": self._source, "revision": self._revision, "precision": self._precision, **common}

    def applies_to(self, prompt: Prompt) -> bool:
        """Return True: to all."""
        return True

    def setup(self, device: str) -> None:
        """Load the model.

        Raises:
            MissingExtraError: transformers or torch is not installed.
            MetricError: no such checkpoint, or one that does not fit.
        """
        if self._given is None:
            from opens2v_eval.models.quality import QAlign

            self._quality = QAlign.load(self._source, device=device, revision=self._revision, precision=self._precision)

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return `motion_smoothness`; in the details, the score of each window, and the artefacts.

        Raises:
            DecodeError: the video does not give its frames.
        """
        if self._quality is None:
            raise MetricError(f"{self.name} of {video.key}: setup(device) comes before score")
        windows = sliding_windows(video.num_frames)
        scores = [float(value) for value in self._quality.scores(video.whole(), windows).tolist()]
        if len(scores) != len(windows) or not np.isfinite(scores).all():
            raise MetricError(
                f"{self.name} of {video.key}: expected {len(windows)} finite scores, found {len(scores)}, "
                f"{int(np.isfinite(scores).sum())} of them finite; look at the weights, or take precision float32"
            )
        artefacts = artefact_frames(scores)
        return Values(
            values={"motion_smoothness": 1 - len(artefacts) / len(scores)},
            details={"frames": scores, "artefacts": artefacts},
        )

    def close(self) -> None:
        """Let the model go."""
        self._quality = self._given
