"""From an mp4 to tensors a model takes: chosen frames, cropped and resized, and whole frames besides, in one pass.

    clip = decode(mp4_bytes, indices=range(0, 96, 2), size=(480, 832), full=(0,))
    clip.frames     (48, 3, 480, 832) uint8        clip.full[0]     (3, 720, 1280) uint8
    clip.backend    BackendChoice(name='pyav', reason='…', considered=())

Which backend decodes is chosen by `backend="auto"`, and `DecodedClip.backend` says which and why. Order of preference:

    on a CPU    pyav
    on a GPU    torchcodec-nvdec, pyav-nvdec, pyav-upload, pyav

Frames are counted, and damage is told, as `frames` and `packets` say; colour is that of `swscale`, on a GPU too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from opens2v_data.errors import DecodeError, MissingExtraError

try:
    import torch
except ImportError as error:
    raise MissingExtraError(package="torch", extra="torch", needed_for="decoding to tensors") from error

from opens2v_loaders.backends import (
    Backend,
    BackendChoice,
    BackendName,
    Job,
    PyAVBackend,
    Target,
    UnfitError,
)
from opens2v_loaders.colour_check import AUTO_LEVELS, NAMED_LEVELS
from opens2v_loaders.container import OpenClip
from opens2v_loaders.cuda import NvdecBackend, UploadBackend
from opens2v_loaders.destination import on_device
from opens2v_loaders.frames import clip_box
from opens2v_loaders.swscale import matrix_and_range
from opens2v_loaders.torchcodec_backend import TorchcodecBackend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from opens2v_loaders.container import VideoSource
    from opens2v_loaders.ring import HostRing

_BACKENDS: dict[BackendName, Backend] = {
    backend.name: backend
    for backend in (
        PyAVBackend(),
        TorchcodecBackend("cpu"),
        TorchcodecBackend("cuda"),
        NvdecBackend(),
        UploadBackend(),
    )
}
# In order of preference, with the reason a caller reads. H100 figures: clips/s of the whole job, 49 frames of 720p.
_ON_CPU: dict[BackendName, str] = {"pyav": "the fastest exact one on a CPU, and it tells damage that FFmpeg conceals"}
_ON_GPU: dict[BackendName, str] = {
    "torchcodec-nvdec": "decodes on the GPU, and threads of one process keep NVDEC busy (97 clips/s on an H100)",
    "pyav-nvdec": "decodes on the GPU; it takes several processes to keep NVDEC busy (120 clips/s on an H100 with four)",
    "pyav-upload": "decodes on the CPU, converts on the GPU (44 clips/s with 16 cores)",
    "pyav": "decodes, converts and resizes on the CPU; only the result is copied to the GPU",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class DecodedClip:
    """A decoded clip.

    Attributes:
        frames: `(T, 3, H, W) uint8 in [0, 255], RGB`, on the device asked for; cropped and resized, in the order of
            `indices`. On a CPU its memory is channels last, as it is decoded, unless `out` was given.
        full: frame number to `(3, H, W) uint8 RGB`, same device: neither cropped nor resized.
        pts_seconds: `(T,) float64`, on the CPU.
        indices: the frame numbers.
        crop_xyxy: half-open pixels of the decoded frame that `frames` shows: the crop, cut to the frame.
        backend: which backend ran, and why not a better one.
    """

    frames: torch.Tensor
    full: dict[int, torch.Tensor]
    pts_seconds: torch.Tensor
    indices: tuple[int, ...]
    crop_xyxy: tuple[int, int, int, int]
    backend: BackendChoice

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        shown = ", ".join(map(str, self.indices[:6])) + (", …" if len(self.indices) > 6 else "")
        return (
            f"DecodedClip(frames=uint8{list(self.frames.shape)} on {self.frames.device}, indices=[{shown}], "
            f"full={sorted(self.full)}, crop_xyxy={self.crop_xyxy}, backend={self.backend.name})"
        )


def decode(
    data: VideoSource,
    *,
    indices: Sequence[int],
    crop: tuple[int, int, int, int] | None = None,
    crop_xyxy: tuple[int, int, int, int] | None = None,
    size: tuple[int, int] | None = None,
    full: Iterable[int] = (),
    device: str | torch.device = "cpu",
    resize: Literal["exact", "fast"] = "exact",
    window_xyxy: tuple[int, int, int, int] | None = None,
    out: torch.Tensor | None = None,
    backend: BackendName | Literal["auto"] = "auto",
    ring: HostRing | None = None,
) -> DecodedClip:
    """Decode frames of a clip, cropped and resized, and whole frames besides, in one pass.

    Args:
        data: an mp4, whole: its bytes, its path, or a seekable binary file, which is read from 0 and left open.
        indices: frame numbers in display order, from 0; repeats and any order are fine.
        crop, crop_xyxy: `(x0, y0, x1, y1)`, pixels of the decoded frame, half-open: what to keep of `indices`; cut to the
            frame. Two names for one thing: `Clip.crop_xyxy` is given under either.
        size: `(height, width)` to resize the crop to, pixels; its aspect ratio is not kept. None does not resize.
        full: frame numbers wanted whole as well, e.g. the annotated one; its boxes and masks are in its crop.
        device: where the frames are wanted: `cpu`, `cuda`, `cuda:1`.
        resize: `exact` resizes RGB with antialiasing, as torchvision does. `fast` scales before converting to RGB where
            the CPU does it: 46 dB from `exact`, in less time than decoding every frame takes; a GPU has no need of it.
        window_xyxy: half-open pixels of the resized picture: what to keep of it. None keeps all.
        out: `(T, 3, H, W) uint8` on that device, to write the frames into; one is made unless given. A buffer that is kept,
            channels last on a CPU, saves 5 to 10% (58 MB of new pages per clip; turning rows into planes).
        backend: who decodes; `auto` takes the best that can.
        ring: host buffers that carry pictures to the device, shared with other threads; None: two of its own. Where the CPU
            decodes and a ring is given, pictures may be in `frames` only once the ring's stream has come so far.

    Raises:
        NotAVideoError, NoVideoStreamError: see `container.OpenClip`.
        FrameIndexError: an index below 0 or past the last frame.
        TruncatedVideoError: the file ends before a wanted frame, or so near it that its number is in doubt.
        CorruptFrameError: a wanted frame is damaged, or one that it may be built on.
        DecodeError: the crop lies outside of the frame; the picture's size changes; a colour matrix nobody converts; the
            backend asked for fails.
        ValueError: an argument that makes no sense, a device that is not there, a backend that cannot do this job.
    """
    where = checked_device(device)
    if crop is not None and crop_xyxy is not None:
        raise ValueError(f"crop and crop_xyxy are one thing: give one of them, not {crop} and {crop_xyxy}")
    crop_xyxy = crop if crop_xyxy is None else crop_xyxy
    if resize not in ("exact", "fast"):
        raise ValueError(f"resize must be exact or fast, not {resize!r}")
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise ValueError(f"size is (height, width) in pixels, both 1 or more, not {tuple(size)}")
    if backend != "auto" and backend not in _BACKENDS:
        raise ValueError(f"backend must be auto or one of {', '.join(get_args(BackendName))}, not {backend!r}")
    with OpenClip(data) as clip:
        width, height = clip.context.width, clip.context.height
        job = Job(
            indices=tuple(int(index) for index in indices),
            full=tuple(sorted({int(index) for index in full})),
            box_xyxy=clip_box(crop_xyxy or (0, 0, width, height), width=width, height=height),
            size=None if size is None else (int(size[0]), int(size[1])),
            scaling=resize,
            device=where,
            window_xyxy=window_xyxy,
            ring=ring,
            max_levels=AUTO_LEVELS if backend == "auto" else NAMED_LEVELS,
        )
        _check_window(job)
        clip.table.check((*job.indices, *job.full))
        if clip.context.format is None or not clip.context.format.is_rgb:
            matrix_and_range(clip.context.colorspace, clip.context.color_range, "")
        with on_device(where):
            target = Target(job=job, frames=_checked_out(out, job) if out is not None else _made_out(job))
            choice = _read(clip, data, job, target, backend)
        pts = clip.table.pts[clip.table.position[list(job.indices)]]
        pts_seconds = torch.tensor([float(int(value) * clip.time_base) for value in pts], dtype=torch.float64)
    return DecodedClip(
        frames=target.frames,
        full=target.full,
        pts_seconds=pts_seconds,
        indices=job.indices,
        crop_xyxy=job.box_xyxy,
        backend=choice,
    )


def _read(
    clip: OpenClip, data: VideoSource, job: Job, target: Target, asked_for: BackendName | Literal["auto"]
) -> BackendChoice:
    if asked_for != "auto":
        chosen = _BACKENDS[asked_for]
        if (why := _why_not(chosen, clip, job)) is not None:
            raise ValueError(f"backend {asked_for} cannot decode this clip to {job.device}: {why}")
        try:
            chosen.read(clip, data, job, target)
        except UnfitError as error:
            raise DecodeError(f"backend {asked_for} failed: {error}; let backend='auto' choose another") from error
        return BackendChoice(name=asked_for, reason="asked for by name")
    considered: list[tuple[BackendName, str]] = []
    for name, reason in (_ON_GPU if job.device.type == "cuda" else _ON_CPU).items():
        why = _why_not(_BACKENDS[name], clip, job)
        if why is None:
            try:
                _BACKENDS[name].read(clip, data, job, target)
                return BackendChoice(name=name, reason=reason, considered=tuple(considered))
            except UnfitError as error:
                why = str(error)
        considered.append((name, why))
    raise AssertionError(f"pyav takes every clip, and yet: {considered}")


def _why_not(backend: Backend, clip: OpenClip, job: Job) -> str | None:
    is_on_gpu, wants_gpu = backend.name in ("torchcodec-nvdec", "pyav-nvdec"), job.device.type == "cuda"
    if is_on_gpu and not wants_gpu:
        return "it decodes on the GPU, and the frames are wanted on the CPU"
    return backend.probe(clip, job)


def checked_device(device: str | torch.device) -> torch.device:
    """Return a device that is here, with its index.

    Raises:
        ValueError: neither `cpu` nor `cuda`, or no such GPU.
    """
    where = torch.device(device)
    if where.type == "cpu":
        return torch.device("cpu")
    if where.type != "cuda":
        raise ValueError(f"device must be cpu or cuda, not {str(device)!r}")
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise ValueError(
            f"device {str(device)!r} was asked for, and torch {torch.__version__} ({built}) finds no GPU here: "
            'decode with device="cpu", or install a CUDA build of torch and a driver'
        )
    if (where.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device {str(device)!r} was asked for, and there are {torch.cuda.device_count()} GPUs")
    return torch.device("cuda", torch.cuda.current_device() if where.index is None else where.index)


def _check_window(job: Job) -> None:
    height, width = job.scaled_size
    left, top, right, bottom = job.window_xyxy or (0, 0, width, height)
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise ValueError(f"window_xyxy must lie in the resized picture of {width}x{height}, not {job.window_xyxy}")


def _made_out(job: Job) -> torch.Tensor:
    height, width = job.out_size
    if job.device.type == "cuda":
        return torch.empty((len(job.indices), 3, height, width), dtype=torch.uint8, device=job.device)
    # As pixels come; turning them costs 20 ms per clip of 49 frames (7% of the whole).
    return torch.empty((len(job.indices), height, width, 3), dtype=torch.uint8).permute(0, 3, 1, 2)


def _checked_out(out: torch.Tensor, job: Job) -> torch.Tensor:
    expected = (len(job.indices), 3, *job.out_size)
    if tuple(out.shape) != expected or out.dtype != torch.uint8 or out.device != job.device:
        raise ValueError(
            f"out must be uint8 {list(expected)} on {job.device}, not {str(out.dtype).removeprefix('torch.')} "
            f"{list(out.shape)} on {out.device}"
        )
    return out
