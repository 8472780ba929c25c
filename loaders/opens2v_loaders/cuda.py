"""Two ways to frames on a GPU with PyAV: its NVDEC decoder, kept from clip to clip, and decoding here, converting there.

    pyav-nvdec     packets ─▶ NVDEC ─▶ NV12 on the GPU ──────────────────────▶ colour ─▶ crop, resize
    pyav-upload    packets ─▶ CPU decode ─▶ YUV in a pinned buffer of the ring ─▶ one copy ─▶ colour ─▶ crop, resize

Both end in `colour.rgb_from_yuv`, which gives the CPU's colours, and NVDEC's YUV is the CPU's bit for bit.

**What was run.** The machine this was written on has no GPU: `pyav-upload` was run with the CPU in the GPU's place, where
it gives what `pyav` gives, through the ring too; the feeding of a kept decoder was run with a software decoder. `pyav-nvdec`
and the copies to a GPU were **not run on a GPU**.

**Threads and processes.** A kept decoder belongs to one thread. On an H100 one process of 4 threads did not keep NVDEC
busy, four did (120 clips/s): run several processes for more. They are the caller's to run: ranks of a loader that share a
GPU, say. FFmpeg writes on CUDA's default stream, so a picture waits for what else was put there, a training step's kernels
among it: train on a stream of your own where NVDEC is to keep up.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from av.codec import CodecContext

from opens2v_data.errors import CorruptFrameError
from opens2v_loaders import colour
from opens2v_loaders.annexb import AnnexBPackets
from opens2v_loaders.backends import BackendName, UnfitError
from opens2v_loaders.container import FFmpegError
from opens2v_loaders.destination import stream_to
from opens2v_loaders.frames import decoded
from opens2v_loaders.ring import Carrier, HostRing
from opens2v_loaders.swscale import matrix_and_range

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

    from opens2v_loaders.backends import Job, Target
    from opens2v_loaders.container import OpenClip, VideoSource

# Pictures converted together: 16 of 720p are 22 MB of YUV, and ten times 59 MB (int32) while they are converted.
_PICTURES_AT_ONCE = 16
# Kept decoders per thread: each holds some twenty pictures of the GPU's memory.
_KEPT_DECODERS = 4
# H100, A100 and L4: AV1 is decoded by some only, and left to torchcodec and the CPU.
_NVDEC_CODECS = frozenset({"h264", "hevc", "vp9"})
_NVDEC_FORMATS = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}


class UploadBackend:
    """Decode on one CPU thread, copy YUV from pinned memory (half of RGB's bytes), convert and resize on the GPU.

    Exact, and it tells concealed damage, as `backends.PyAVBackend` does. Not run on a GPU yet.
    """

    name: BackendName = "pyav-upload"

    def probe(self, clip: OpenClip, job: Job) -> str | None:
        """Return why the clip's pictures are not converted on the GPU."""
        context = clip.context
        pixel_format = context.format.name if context.format else None
        return colour.why_not(pixel_format, codec=clip.codec, width=context.width, height=context.height)

    def read(self, clip: OpenClip, source: VideoSource, job: Job, target: Target) -> None:
        """Decode, see `frames.decoded`; pictures travel as many together as a buffer of the ring holds."""
        height, width = clip.context.height, clip.context.width
        ring = job.ring or HostRing(stream_to(job.device), num_buffers=2)
        with _on(job.device), ExitStack() as stack:
            now: _Look | None = None
            carrier: Carrier | None = None
            for frame_idx, frame in decoded(clip, job.wanted):
                if (why := colour.why_not(frame.format.name, codec=clip.codec, width=width, height=height)) is not None:
                    raise UnfitError(why)
                look, planes = _Look.of(frame, frame.format.name, clip.codec), _planes(frame)
                if carrier is None or look != now:
                    if carrier is not None:
                        carrier.send()  # a thread holds one buffer at most
                    carrier, now = stack.enter_context(Carrier(ring, planes, look.converting_to(target))), look
                carrier.add(frame_idx, planes)


class NvdecBackend:
    """PyAV's NVDEC decoder, kept per thread, codec and size; pictures never leave the GPU. Not run on a GPU yet.

    NVDEC conceals damage inside of a picture's data without a word; damage that FFmpeg's parser sees is an error.
    """

    name: BackendName = "pyav-nvdec"

    def probe(self, clip: OpenClip, job: Job) -> str | None:
        """Return what keeps NVDEC, or our conversion after it, from taking the clip."""
        if job.device.type != "cuda":
            return "NVDEC is on the GPU, and frames are wanted on the CPU"
        if (why := _why_no_nvdec()) is not None:
            return why
        context = clip.context
        pixel_format = context.format.name if context.format else None
        if clip.codec not in _NVDEC_CODECS:
            return f"codec {clip.codec}: only {', '.join(sorted(_NVDEC_CODECS))} are given to NVDEC"
        if pixel_format not in _NVDEC_FORMATS:
            return f"pixel format {pixel_format}: only {', '.join(_NVDEC_FORMATS)} are given to NVDEC"
        return colour.why_not(pixel_format, codec=clip.codec, width=context.width, height=context.height)

    def read(self, clip: OpenClip, source: VideoSource, job: Job, target: Target) -> None:
        """Decode with this thread's decoder for such clips; pictures are converted 16 at a time."""
        assert clip.context.format is not None  # else `probe` would have said no
        pixel_format = clip.context.format.name
        with _on(job.device):
            context = _DECODERS.borrow(clip, job.device)
            try:
                waiting: _Waiting | None = None
                for frame_idx, frame in decoded(clip, job.wanted, context=context, packet_at=AnnexBPackets(clip)):
                    if frame.format.name != "cuda":
                        raise UnfitError(f"PyAV gave pictures in {frame.format.name}, not on the GPU")
                    look = _Look.of(frame, pixel_format, clip.codec)
                    if waiting is None or waiting.look != look:
                        _flush(waiting, target)
                        waiting = None
                    planes = _planes_on_gpu(frame, pixel_format, job.device)
                    waiting = waiting or _Waiting.empty(look, planes)
                    is_full = waiting.add(frame_idx, planes)
                    # The surface goes back to NVDEC with the frame, so the copy out of it must have ended.
                    torch.cuda.current_stream(job.device).synchronize()
                    if is_full:
                        _flush(waiting, target)
                        waiting = None
                _flush(waiting, target)
            except CorruptFrameError as error:
                _DECODERS.drop(clip, job.device)
                raise UnfitError(f"NVDEC gave no picture that is surely right ({error})") from error
            except BaseException:
                _DECODERS.drop(clip, job.device)
                raise


@dataclass(frozen=True, kw_only=True)
class _Look:
    """How pictures are converted: the arguments of `colour.rgb_from_yuv`."""

    pixel_format: str
    matrix: int
    color_range: int
    chroma_is_left: bool

    @classmethod
    def of(cls, frame: VideoFrame, pixel_format: str, codec: str) -> _Look:
        matrix, color_range = matrix_and_range(frame.colorspace, frame.color_range, pixel_format)
        return cls(
            pixel_format=pixel_format,
            matrix=matrix,
            color_range=color_range,
            chroma_is_left=colour.is_chroma_left(codec),
        )

    def converting_to(self, target: Target) -> Callable[[list[int], list[torch.Tensor]], None]:
        """Return what converts planes, `(n, h, w)` each, where they are, and puts the pictures in their places."""

        def convert(indices: list[int], planes: list[torch.Tensor]) -> None:
            pictures = colour.rgb_from_yuv(
                planes,
                pixel_format=self.pixel_format,
                matrix=self.matrix,
                color_range=self.color_range,
                chroma_is_left=self.chroma_is_left,
            )
            target.put(indices, pictures)

        return convert


@dataclass(kw_only=True)
class _Waiting:
    """Pictures of one look that wait on the GPU to be converted together; planes `(16, h, w)`."""

    look: _Look
    planes: list[torch.Tensor]
    indices: list[int]

    @classmethod
    def empty(cls, look: _Look, like: Sequence[torch.Tensor]) -> _Waiting:
        planes = [plane.new_empty((_PICTURES_AT_ONCE, *plane.shape)) for plane in like]
        return cls(look=look, planes=planes, indices=[])

    def add(self, frame_idx: int, planes: Sequence[torch.Tensor]) -> bool:
        """Copy a picture in; return whether there is no room for another."""
        for mine, plane in zip(self.planes, planes, strict=True):
            mine[len(self.indices)].copy_(plane)
        self.indices.append(frame_idx)
        return len(self.indices) == _PICTURES_AT_ONCE


def _flush(waiting: _Waiting | None, target: Target) -> None:
    if waiting is not None and waiting.indices:
        planes = [plane[: len(waiting.indices)] for plane in waiting.planes]
        waiting.look.converting_to(target)(waiting.indices, planes)


def _planes(frame: VideoFrame) -> list[torch.Tensor]:
    """Return a picture's planes, `(h, w) uint8`, or int16 where it has more bits; valid while the frame lives."""
    planes: list[torch.Tensor] = []
    for plane in frame.planes:
        dtype = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else np.int16)
        rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
        planes.append(torch.from_numpy(rows[: plane.height, : plane.width]))
    return planes


def _planes_on_gpu(frame: VideoFrame, pixel_format: str, device: torch.device) -> list[torch.Tensor]:
    """Return Y, U and V of an NV12 or P010 picture on the GPU, as `_planes` does; valid while the frame lives."""
    expected, found = _NVDEC_FORMATS[pixel_format], getattr(frame.sw_format, "name", None)
    if found != expected:
        raise UnfitError(f"NVDEC gave {found} for {pixel_format}; expected {expected}")
    # FFmpeg writes on CUDA's default stream; the copy is on torch's, which may be another.
    torch.cuda.current_stream(device).wait_stream(torch.cuda.default_stream(device))
    luma, chroma = (torch.from_dlpack(cast("Any", plane).__dlpack__()) for plane in frame.planes[:2])
    return split_chroma(luma, chroma)


def split_chroma(luma: torch.Tensor, chroma: torch.Tensor) -> list[torch.Tensor]:
    """Return Y, U and V of NV12 (uint8), or of P010 (uint16, ten bits in the upper part) as int16.

    Args:
        luma: `(H, W)`.
        chroma: `(H/2, W/2, 2)`.
    """
    if luma.dtype != torch.uint8:
        luma, chroma = (
            ((plane.view(torch.int16).to(torch.int32) & 0xFFFF) >> 6).to(torch.int16) for plane in (luma, chroma)
        )
    return [luma, chroma[..., 0], chroma[..., 1]]


class _Decoders(threading.local):
    """The decoders a thread keeps, least recently used first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int, torch.device], VideoCodecContext] = OrderedDict()

    def borrow(self, clip: OpenClip, device: torch.device) -> VideoCodecContext:
        """Return a decoder for such clips, ready for the first packet of a span."""
        key = self._key(clip, device)
        context = self._kept.pop(key, None)
        if context is None:
            try:
                context = self._make(clip.codec, device)
            except (FFmpegError, NotImplementedError, RuntimeError, ValueError) as error:
                raise UnfitError(f"PyAV makes no NVDEC decoder for {clip.codec}: {error}") from error
        self._kept[key] = context
        while len(self._kept) > _KEPT_DECODERS:
            self._kept.popitem(last=False)
        return context

    def drop(self, clip: OpenClip, device: torch.device) -> None:
        """Forget a decoder that was left in the middle of a clip."""
        self._kept.pop(self._key(clip, device), None)

    @staticmethod
    def _key(clip: OpenClip, device: torch.device) -> tuple[str, int, int, torch.device]:
        return clip.codec, clip.context.width, clip.context.height, device

    @staticmethod
    def _make(codec: str, device: torch.device) -> VideoCodecContext:
        from av.codec.hwaccel import HWAccel

        torch.cuda.synchronize(
            device
        )  # makes torch's CUDA context current in this thread; FFmpeg takes the current one
        acceleration = HWAccel(
            "cuda",
            device=str(device.index) if device.index else None,
            allow_software_fallback=False,
            options={"primary_ctx": "0", "current_ctx": "1"},
            is_hw_owned=True,
        )
        context = cast("VideoCodecContext", CodecContext.create(codec, "r", hwaccel=acceleration))
        context.thread_count = 1
        return context


_DECODERS = _Decoders()


def _why_no_nvdec() -> str | None:
    """Return why this PyAV cannot give pictures that stay on the GPU."""
    try:
        from av.codec.hwaccel import HWAccel, hwdevices_available
    except ImportError:
        return "this PyAV has no hardware decoding; 17 and later have"
    if "cuda" not in hwdevices_available() or not hasattr(HWAccel, "is_hw_owned"):
        return "this PyAV's FFmpeg was built without CUDA, or cannot leave pictures on the GPU; 17 and later can"
    return None


def _on(device: torch.device) -> AbstractContextManager[object]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
