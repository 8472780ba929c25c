"""Which frames does a metric see? By the benchmark's rules, counted and decoded exactly, on the device that scores them.

    linspace    numpy.linspace(0, N - 1, k, dtype=int)      Aesthetics, FaceSim, GmeScore, NexusScore (k = 32)
    natural     i * max(N // 16, 1), i < 16                 NaturalScore; places past the end are left out
    whole       every frame                                 MotionAmplitude, MotionSmoothness

Upstream counts frames with decord, here the packet table does: the same where decord is right. With a GPU the frames are
decoded to its memory, and stay there for every model that takes them there (`stays_on_device`); `Video.backend` says by whom.
That half was not run on a GPU yet. What OpenCV computes, or writes as JPEG, is decoded on the CPU (`Video.on_cpu`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from opens2v_data.errors import DecodeError, MetricError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

    import torch

    from opens2v_loaders import BackendChoice, VideoInfo

NUM_LINSPACE_FRAMES = 32
NUM_NATURAL_FRAMES = 16
# Frames that are held at once where all are wanted: 193 of 720p. A longer video is read in parts, each from the keyframe
# before it, so that memory does not grow with its length.
MAX_BYTES_AT_ONCE = 512 * 2**20


def linspace_indices(num_frames: int, count: int = NUM_LINSPACE_FRAMES) -> list[int]:
    """Return frame numbers spread over a video, first and last among them; a short video's are repeated.

    Raises:
        ValueError: no frames, or none wanted.
    """
    if num_frames < 1 or count < 1:
        raise ValueError(f"expected a video with frames, and some wanted, not {count} of {num_frames}")
    return np.linspace(0, num_frames - 1, count, dtype=int).tolist()


def natural_indices(num_frames: int, count: int = NUM_NATURAL_FRAMES) -> list[int]:
    """Return frame numbers at whole steps from the first; fewer than `count` where the video has fewer.

    Raises:
        ValueError: no frames, or none wanted.
    """
    if num_frames < 1 or count < 1:
        raise ValueError(f"expected a video with frames, and some wanted, not {count} of {num_frames}")
    step = max(num_frames // count, 1)
    return [place * step for place in range(count) if place * step < num_frames]


def rgb_arrays(frames: torch.Tensor) -> list[np.ndarray]:
    """Return frames as arrays in host memory, for PIL and OpenCV.

    Args:
        frames: `(T, 3, H, W) uint8 RGB`, any device.

    Returns:
        `(H, W, 3) uint8 RGB`, contiguous, one for each frame.
    """
    return [np.ascontiguousarray(frame) for frame in frames.permute(0, 2, 3, 1).cpu().numpy()]


def is_on_gpu(frames: torch.Tensor) -> bool:
    """Say whether frames are in a GPU's memory."""
    return frames.device.type != "cpu"


def stays_on_device(frames: torch.Tensor, *models: object) -> bool:
    """Say whether frames are in a GPU's memory and each of these models takes them there.

    Args:
        frames: of a video.
        models: those that take tensors on their device, beside pictures in host memory, have `takes_tensors = True`.
    """
    return is_on_gpu(frames) and all(getattr(model, "takes_tensors", False) for model in models)


class Video:
    """A generated video; its container is read on the first question, its frames when they are asked for.

    The last frames read are kept, as several models of one metric ask for the same.

    Args:
        source: an mp4: its path, or its bytes.
        key: of its prompt.
        device: where frames are wanted: `cpu`, `cuda`, `cuda:1`.
    """

    def __init__(self, source: str | PathLike[str] | bytes, *, key: str, device: str | torch.device = "cpu") -> None:
        self.source = source if isinstance(source, bytes) else Path(source)
        self.key = key
        self.device = device
        self._info: VideoInfo | None = None
        self._kept: tuple[tuple[int, ...], torch.Tensor] | None = None
        self._backend: BackendChoice | None = None

    def __repr__(self) -> str:
        place = f"{len(self.source)} bytes" if isinstance(self.source, bytes) else str(self.source)
        return f"Video({self.key!r}, {place}, device={str(self.device)!r})"

    @property
    def info(self) -> VideoInfo:
        """What the container says.

        Raises:
            DecodeError: it is no video, has no frames, or is cut off.
        """
        if self._info is None:
            from opens2v_loaders import probe

            if isinstance(self.source, Path) and not self.source.is_file():
                raise DecodeError(f"expected a video at {self.source}, found none; generate it, or correct the folder")
            info = probe(self.source)
            if info.is_truncated or info.num_frames_from_packets < 1:
                raise DecodeError(
                    f"the video of {self.key} is cut off: it has {info.num_frames_intact} whole frames of "
                    f"{info.num_packets_from_header} that its index promises; write or copy it again"
                )
            self._info = info
        return self._info

    @property
    def num_frames(self) -> int:
        """Frames in the video."""
        return self.info.num_frames_from_packets

    @property
    def width(self) -> int:
        """Pixels."""
        return self.info.width

    @property
    def height(self) -> int:
        """Pixels."""
        return self.info.height

    @property
    def backend(self) -> BackendChoice | None:
        """Who decoded last, and why not a better one; None before the first frames."""
        return self._backend

    def on_cpu(self) -> Video:
        """Return the same video with its frames in host memory, decoded there: bit-exact, whatever the device."""
        import torch

        if torch.device(self.device).type == "cpu":
            return self
        made = Video(self.source, key=self.key)
        made._info = self._info
        return made

    def frames(self, indices: Sequence[int]) -> torch.Tensor:
        """Return frames by their numbers.

        Returns:
            `(T, 3, H, W) uint8 in [0, 255], RGB`, on the device. Not to be written to: it is kept for the next to ask.

        Raises:
            DecodeError: the video does not give them.
        """
        wanted = tuple(int(index) for index in indices)
        if self._kept is None or self._kept[0] != wanted:
            self._kept = None  # not both at once
            self._kept = wanted, self._read(wanted)
        return self._kept[1]

    def linspace(self, count: int = NUM_LINSPACE_FRAMES) -> torch.Tensor:
        """Return frames spread over the video, see `linspace_indices`."""
        return self.frames(linspace_indices(self.num_frames, count))

    def natural(self, count: int = NUM_NATURAL_FRAMES) -> torch.Tensor:
        """Return frames at whole steps, see `natural_indices`."""
        return self.frames(natural_indices(self.num_frames, count))

    def whole(self, *, max_bytes: int = MAX_BYTES_AT_ONCE) -> Iterator[torch.Tensor]:
        """Yield every frame in order, some at a time: `(t, 3, H, W) uint8 RGB` on the device, at most so many bytes.

        Raises:
            DecodeError: the video does not give them.
        """
        at_once = max(max_bytes // (3 * self.width * self.height), 1)
        for start in range(0, self.num_frames, at_once):
            yield self._read(tuple(range(start, min(start + at_once, self.num_frames))))

    def need_frames(self, least: int, *, metric: str) -> None:
        """Check that the video is long enough.

        Raises:
            MetricError: it is shorter.
        """
        if self.num_frames < least:
            raise MetricError(
                f"{metric} needs {least} frames or more, and the video of {self.key} has {self.num_frames}: "
                "generate a longer one, or leave it out"
            )

    def _read(self, indices: tuple[int, ...]) -> torch.Tensor:
        import torch

        from opens2v_loaders import BackendChoice, decode, read_frames

        _ = self.info  # says better than a decoder what is wrong with a file
        if torch.device(self.device).type == "cpu":
            # The same frames as `decode` gives, without its copies, which torch's threads wait for busily: 69 frames of 480p
            # take 0.2 instead of 0.55 CPU-s.
            self._backend = BackendChoice(name="pyav", reason="frames on a CPU, neither cropped nor resized")
            return torch.from_numpy(read_frames(self.source, indices).rgb).permute(0, 3, 1, 2)
        clip = decode(self.source, indices=indices, device=self.device)
        self._backend = clip.backend
        return clip.frames
