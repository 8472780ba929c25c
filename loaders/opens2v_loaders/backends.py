"""Who decodes? What a backend must do, and the one that needs nothing but PyAV.

    OpenClip (packets, table)  ──▶  Backend.read  ──▶  Target (crop, resize, order, full frames)
                                    whole pictures; where one comes twice, the later holds

A backend says beforehand what it cannot do (`probe`). What it gives is always the frames of `PacketTable`, or an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import torch

from opens2v_loaders.colour_check import AUTO_LEVELS
from opens2v_loaders.destination import stream_to
from opens2v_loaders.frames import decoded
from opens2v_loaders.resize import resize
from opens2v_loaders.ring import Carrier, HostRing, copy_into
from opens2v_loaders.swscale import Converter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np

    from opens2v_loaders.container import OpenClip, VideoSource

BackendName = Literal["pyav", "torchcodec", "torchcodec-nvdec", "pyav-nvdec", "pyav-upload"]

# Pictures decoded, or converted, together: 16 of 720p are 44 MB of RGB, 49 would be 135.
_PICTURES_AT_ONCE = 16
_PIXELS_AT_ONCE = _PICTURES_AT_ONCE * 1280 * 720


def pictures_at_once(height: int, width: int) -> int:
    """Return how many pictures are worked on together: as many as are 16 of 720p, 16 at most."""
    return max(1, min(_PICTURES_AT_ONCE, _PIXELS_AT_ONCE // (height * width)))


class UnfitError(Exception):
    """A backend found out only while it ran that it cannot do the job; another may."""


@dataclass(frozen=True, kw_only=True)
class BackendChoice:
    """Which backend ran, and why not a better one.

    Attributes:
        name: of the backend that ran.
        reason: why it.
        considered: those that were preferred, in order, each with what kept it from running.
    """

    name: BackendName
    reason: str
    considered: tuple[tuple[BackendName, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is wanted of a clip.

    Attributes:
        indices: frame numbers in the order wanted; repeats are fine.
        full: frame numbers wanted whole besides.
        box_xyxy: half-open pixels of the decoded frame that are kept of `indices`, inside of the frame.
        size: `(height, width)` they are resized to, pixels; None leaves them.
        scaling: `fast` lets a CPU backend scale before it converts to RGB, see `swscale`.
        device: where the pictures are wanted.
        window_xyxy: half-open pixels of the resized picture that are kept; None keeps all.
        ring: carries pictures to the device where they are decoded on the CPU; None: one of its own for each clip.
        max_levels: how far from the CPU's the colours may be of a decoder that converts by itself on a GPU.
    """

    indices: tuple[int, ...]
    full: tuple[int, ...]
    box_xyxy: tuple[int, int, int, int]
    size: tuple[int, int] | None
    scaling: Literal["exact", "fast"]
    device: torch.device
    window_xyxy: tuple[int, int, int, int] | None = None
    ring: HostRing | None = None
    max_levels: int = AUTO_LEVELS

    @property
    def wanted(self) -> list[int]:
        """All frames to decode, sorted, each once."""
        return sorted({*self.indices, *self.full})

    @property
    def scaled_size(self) -> tuple[int, int]:
        """`(height, width)` that what the box keeps is resized to."""
        x0, y0, x1, y1 = self.box_xyxy
        return self.size or (y1 - y0, x1 - x0)

    @property
    def out_size(self) -> tuple[int, int]:
        """`(height, width)` of the pictures that come out."""
        if self.window_xyxy is None:
            return self.scaled_size
        left, top, right, bottom = self.window_xyxy
        return bottom - top, right - left

    def windowed(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return what is kept of resized pictures, `(…, h, w)`."""
        if self.window_xyxy is None:
            return pictures
        left, top, right, bottom = self.window_xyxy
        return pictures[..., top:bottom, left:right]


@dataclass(frozen=True, kw_only=True)
class Target:
    """Takes pictures as they come, and puts them where they are wanted.

    Attributes:
        job: what is wanted.
        frames: `(T, 3, h, w) uint8`, filled here.
        full: filled here: frame number to `(3, H, W) uint8`.
    """

    job: Job
    frames: torch.Tensor
    full: dict[int, torch.Tensor] = field(default_factory=dict)
    _rows: dict[int, list[int]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        for row, frame_idx in enumerate(self.job.indices):
            self._rows.setdefault(frame_idx, []).append(row)

    def is_wanted_small(self, frame_idx: int) -> bool:
        """Return whether the frame is one of the clip's, and not only wanted whole."""
        return frame_idx in self._rows

    def put(self, indices: Sequence[int], pictures: torch.Tensor) -> None:
        """Take whole pictures, `(N, 3, H, W) uint8 RGB`, on any device; the memory may be reused afterwards."""
        self.put_full(indices, pictures)
        places = [place for place, frame_idx in enumerate(indices) if frame_idx in self._rows]
        if not places:
            return
        chosen = pictures if len(places) == len(indices) else pictures[places]
        for place, picture in zip(places, self.small(chosen), strict=True):
            self.put_small(indices[place], picture)

    def small(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return whole pictures, `(N, 3, H, W) uint8 RGB`, cropped, resized and windowed."""
        x0, y0, x1, y1 = self.job.box_xyxy
        return self.job.windowed(resize(pictures[..., y0:y1, x0:x1], self.job.scaled_size))

    def put_full(self, indices: Sequence[int], pictures: torch.Tensor) -> None:
        """Keep those of the whole pictures that are wanted whole."""
        for frame_idx, picture in zip(indices, pictures, strict=True):
            if frame_idx in self.job.full:
                whole = torch.empty(tuple(picture.shape), dtype=torch.uint8, device=self.job.device)
                copy_into(whole, picture)
                self.full[frame_idx] = whole

    def put_small(self, frame_idx: int, picture: torch.Tensor) -> None:
        """Take one picture, `(3, h, w) uint8 RGB`, cropped, resized and windowed already."""
        for row in self._rows[frame_idx]:
            copy_into(self.frames[row], picture)


class Backend(Protocol):
    """A way to decode."""

    @property
    def name(self) -> BackendName:
        """The name a caller asks for it by."""
        ...

    def probe(self, clip: OpenClip, job: Job) -> str | None:
        """Return why it cannot do the job; None where it can, as far as can be told before."""
        ...

    def read(self, clip: OpenClip, source: VideoSource, job: Job, target: Target) -> None:
        """Decode the frames of `job.wanted` into the target.

        Raises:
            CorruptFrameError, DecodeError: see `decoding.decode`.
            UnfitError: it cannot do the job after all.
        """
        ...


class PyAVBackend:
    """PyAV on one CPU thread: exact on every clip tried, and it tells damage that FFmpeg conceals.

    Frames wanted on a GPU are converted and resized here, and carried there by the ring.
    """

    name: BackendName = "pyav"

    def probe(self, clip: OpenClip, job: Job) -> str | None:
        """Return None: it reads whatever `OpenClip` opens."""
        return None

    def read(self, clip: OpenClip, source: VideoSource, job: Job, target: Target) -> None:
        """Decode, see `frames.decoded`."""
        if job.device.type == "cpu" and job.ring is None:
            for frame_idx, small in self._pictures(clip, job, target):
                target.put_small(frame_idx, small)
            return
        ring = job.ring or HostRing(stream_to(job.device), num_buffers=2)
        with Carrier(ring, [torch.empty((*job.out_size, 3), dtype=torch.uint8)], _placing(target)) as carrier:
            for frame_idx, small in self._pictures(clip, job, target):
                carrier.add(frame_idx, [small.permute(1, 2, 0)])

    @staticmethod
    def _pictures(clip: OpenClip, job: Job, target: Target) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield small pictures, `(3, h, w)`, valid until the next; those wanted whole are put on the way."""
        converter = Converter()
        is_scaled_first = job.scaling == "fast" and job.size is not None
        for frame_idx, frame in decoded(clip, job.wanted):
            is_wanted_small = target.is_wanted_small(frame_idx)
            whole: torch.Tensor | None = None
            if frame_idx in job.full or not is_scaled_first:
                whole = _one_picture(converter.rgb(frame))
                target.put_full([frame_idx], whole)
            if is_wanted_small and is_scaled_first:
                small = converter.small_rgb(frame, job.box_xyxy, job.scaled_size)
                yield frame_idx, job.windowed(torch.from_numpy(small).permute(2, 0, 1))
            elif is_wanted_small and whole is not None:
                yield frame_idx, target.small(whole)[0]


def _placing(target: Target) -> Callable[[list[int], list[torch.Tensor]], None]:
    """Return what puts small pictures that were carried, `(n, h, w, 3)`, in their places."""

    def place(indices: list[int], planes: list[torch.Tensor]) -> None:
        for frame_idx, picture in zip(indices, planes[0], strict=True):
            target.put_small(frame_idx, picture.permute(2, 0, 1))

    return place


def _one_picture(rgb: np.ndarray) -> torch.Tensor:
    """Return `(1, 3, H, W)`; with the batch added last, torch would not see channels last, and resize in twice the time."""
    return torch.from_numpy(rgb)[None].permute(0, 3, 1, 2)
