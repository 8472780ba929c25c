"""MotionAmplitude: the mean optical flow of all frames, as one number.

Upstream's file has a second one, `motion_lk`. It is the mean level of a picture on which the paths of tracked corners were
drawn in colours from `numpy.random`, and the corners that were lost shift the colours of the others: no two runs agree, no
table uses it, and it is left out here.

The published number of `singleface_3.mp4`, 0.038793787360191345, comes out to every digit with OpenCV 4.10, 4.12 and 5.0, on
one thread and on several.

Its frames are decoded on the CPU, whatever the device: OpenCV computes the flow there, and from levels that a GPU's conversion
to RGB rounds otherwise the last digits would differ.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.frames import rgb_arrays
from opens2v_eval.metrics.base import Values

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from opens2v_eval.frames import Video
    from opens2v_eval.metrics.base import PromptPart
    from opens2v_eval.prompts import Prompt
    from opens2v_eval.scales import MetricName

# pyr_scale, levels, winsize, iterations, poly_n, poly_sigma, flags
FARNEBACK = (0.5, 3, 15, 3, 5, 1.2, 0)
FLOW_WIDTH = 16


class MotionAmplitude:
    """Farneback's flow between neighbours, averaged over time, place and both directions; then its absolute value.

    It is signed until the end: motions of opposite directions cancel, and a camera that goes forth and back scores 0. The
    details have the mean speed, which does not cancel, next to it.
    """

    name: MetricName = "motion_amplitude"
    looks_at: tuple[PromptPart, ...] = ()

    def settings(self) -> Mapping[str, Any]:
        """Return the numbers of the flow."""
        return {"farneback": list(FARNEBACK), "flow_width": FLOW_WIDTH}

    def applies_to(self, prompt: Prompt) -> bool:
        """Return True: to all."""
        return True

    def setup(self, device: str) -> None:
        """See that OpenCV is there; its flow is computed on the CPU, whatever the device.

        Raises:
            MissingExtraError: it is not installed.
        """
        _opencv()

    def score(self, video: Video, prompt: Prompt) -> Values:
        """Return `motion_fb`; in the details, signed means of each step, and the mean speed.

        Raises:
            DecodeError: the video does not give its frames.
            MetricError: it has one frame only, or is so wide that its flow has no row.
        """
        video = video.on_cpu()
        video.need_frames(2, metric=self.name)
        height = int(video.height * (FLOW_WIDTH / video.width))
        if height < 1:
            raise MetricError(
                f"{self.name} of {video.key}: the flow of {video.width}x{video.height} pixels has no row at width "
                f"{FLOW_WIDTH}; the video is wider than 16 to 1: leave it out"
            )
        flows = np.stack(_small_flows(video, (FLOW_WIDTH, height)))
        signed = float(np.mean(np.mean(flows, axis=0)))  # in this order, for the last digits
        return Values(
            values={"motion_fb": abs(signed)},
            details={
                "signed": signed,
                "mean_speed": float(np.mean(np.hypot(flows[..., 0], flows[..., 1]))),
                "steps": [float(value) for value in np.mean(flows, axis=(1, 2, 3))],
                "opencv": _opencv().__version__,
            },
        )

    def close(self) -> None:
        """Do nothing: there is no model."""


def _small_flows(video: Video, size: tuple[int, int]) -> list[np.ndarray]:
    """Return the flow of each step, shrunk to (width, height): pixels of the video per frame, float32."""
    cv2 = _opencv()

    def small_flow(pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        flow = cv2.calcOpticalFlowFarneback(*pair, None, *FARNEBACK)
        return cv2.resize(flow, size, interpolation=cv2.INTER_AREA)

    flows: list[np.ndarray] = []
    last: list[np.ndarray] = []
    # OpenCV computes one flow mostly on one thread, and lets others run meanwhile; each flow is the same whoever computes it.
    with ThreadPoolExecutor(num_cores()) as threads:
        for part in video.whole():
            # Upstream hands RGB to a conversion that takes BGR: red counts as blue. So it is in all published numbers.
            greys = [*last, *(cv2.cvtColor(rgb, cv2.COLOR_BGR2GRAY) for rgb in rgb_arrays(part))]
            flows += threads.map(small_flow, pairwise(greys))
            last = greys[-1:]
    return flows


def num_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(
            package="opencv-python-headless", extra="eval", needed_for="MotionAmplitude's optical flow"
        ) from error
    return cv2
