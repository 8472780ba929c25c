"""Two ways to frames on a GPU with PyAV: its NVDEC decoder, kept from clip to clip, and decoding here, converting there.

    pyav-nvdec     packets ─▶ NVDEC ─▶ NV12 on the GPU ──────────────────────▶ colour ─▶ crop, resize
    pyav-upload    packets ─▶ CPU decode ─▶ YUV in a pinned buffer of the ring ─▶ one copy ─▶ colour ─▶ crop, resize

Both end in `colour.rgb_from_yuv`, which gives the CPU's colours, and NVDEC's YUV is the CPU's bit for bit.

**What was run.** The machine this was written on has no GPU: `pyav-upload` was run with the CPU in the GPU's place, where
it gives what `pyav` gives, through the ring too; the feeding of a kept decoder was run with a software decoder. `pyav-nvdec`
and the copies to a GPU were **not run on a GPU**.

**Threads and processes.** A kept decoder belongs to one thread. On an H100 one process of 4 threads did not keep NVDEC
busy, four did (120 clips/s): run several processes for more. They are the caller's to run: ranks of a loader that share a
GPU, say. FFmpeg writes on CUDA's default stream, so 16 pictures wait for what else was put there, a training step's kernels
among it: train on a stream of your own where NVDEC is to keep up.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from av.codec import CodecContext

from opens2v_data.errors import CorruptFrameError
from opens2v_loaders import colour
from opens2v_loaders.annexb import AnnexBPackets
from opens2v_loaders.backends import BackendName, UnfitError, pictures_at_once
from opens2v_loaders.container import FFmpegError
from opens2v_loaders.destination import stream_to
from opens2v_loaders.frames import decoded
from opens2v_loaders.ring import Carrier, HostRing
from opens2v_loaders.swscale import matrix_and_range

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

    from opens2v_loaders.backends import Job, Target
    from opens2v_loaders.container import OpenClip, VideoSource

# Kept decoders per thread: each holds some twenty pictures of the GPU's memory.
_KEPT_DECODERS = 4
# H100, A100 and L4: AV1 is decoded by some only, and left to torchcodec and the CPU; H.264 of ten bits by none.
_NVDEC_CODECS = frozenset({"h264", "hevc", "vp9"})
_NVDEC_FORMATS = {"yuv420p": "nv12", "yuvj420p": "nv12", "yuv420p10le": "p010le"}
# (width, height) of the smallest and largest pictures, as `cuvidGetDecoderCaps` says on Turing, Ampere, Ada and Hopper.
_NVDEC_SIZES = {
    "h264": ((48, 16), (4096, 4096)),
    "hevc": ((144, 144), (8192, 8192)),
    "vp9": ((128, 128), (8192, 8192)),
}


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
        with ExitStack() as stack:
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
        if pixel_format not in _NVDEC_FORMATS or (clip.codec == "h264" and pixel_format.endswith("10le")):
            return f"pixel format {pixel_format} of {clip.codec} is none that is given to NVDEC"
        why = colour.why_not(pixel_format, codec=clip.codec, width=context.width, height=context.height)
        return why or why_no_nvdec_size(clip.codec, context.width, context.height)

    def read(self, clip: OpenClip, source: VideoSource, job: Job, target: Target) -> None:
        """Decode with this thread's decoder for such clips; pictures are converted as many at a time as `Waiting` holds."""
        assert clip.context.format is not None  # else `probe` would have said no
        pixel_format = clip.context.format.name
        context = _DECODERS.borrow(clip, job.device)
        try:
            waiting: Waiting | None = None
            for frame_idx, frame in decoded(clip, job.wanted, context=context, packet_at=AnnexBPackets(clip)):
                if frame.format.name != "cuda":
                    raise UnfitError(f"PyAV gave pictures in {frame.format.name}, not on the GPU")
                look = _Look.of(frame, pixel_format, clip.codec)
                if waiting is None or waiting.look != look:
                    if waiting is not None:
                        waiting.convert()
                    waiting = Waiting(look=look, target=target)
                waiting.add(frame_idx, _planes_on_gpu(frame, pixel_format))
            if waiting is not None:
                waiting.convert()
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
class Waiting:
    """Pictures of one look that lie in the decoder's memory, and are converted together.

    Their tensors keep that memory: FFmpeg writes the next picture elsewhere (it copies each out of NVDEC's own surfaces, of
    which there are few). It is given back once the conversion has ended, not when it was asked for.

    Attributes:
        look: how they are converted.
        target: where they go.
    """

    look: _Look
    target: Target
    _indices: list[int] = field(default_factory=list)
    _pictures: list[list[torch.Tensor]] = field(default_factory=list)

    def add(self, frame_idx: int, planes: list[torch.Tensor]) -> None:
        """Take a picture's planes, luma and chroma as NV12 or P010 has them; convert when there are enough."""
        self._indices.append(frame_idx)
        self._pictures.append(planes)
        if len(self._indices) == pictures_at_once(*planes[0].shape):
            self.convert()

    def convert(self) -> None:
        """Convert what there is, and wait for that."""
        if not self._indices:
            return
        device = self.target.job.device
        if device.type == "cuda":  # FFmpeg writes on CUDA's default stream; this is torch's, which may be another
            torch.cuda.current_stream(device).wait_stream(torch.cuda.default_stream(device))
        luma, chroma = (torch.stack(planes) for planes in zip(*self._pictures, strict=True))
        self.look.converting_to(self.target)(self._indices, split_chroma(luma, chroma))
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
        self._indices, self._pictures = [], []


def _planes(frame: VideoFrame) -> list[torch.Tensor]:
    """Return a picture's planes, `(h, w) uint8`, or int16 where it has more bits; valid while the frame lives."""
    planes: list[torch.Tensor] = []
    for plane in frame.planes:
        dtype = np.dtype(np.uint8 if frame.format.components[0].bits == 8 else np.int16)
        rows = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
        planes.append(torch.from_numpy(rows[: plane.height, : plane.width]))
    return planes


def _planes_on_gpu(frame: VideoFrame, pixel_format: str) -> list[torch.Tensor]:
    """Return luma and chroma of NVDEC's picture, see `interleaved_planes`."""
    expected, found = _NVDEC_FORMATS[pixel_format], getattr(frame.sw_format, "name", None)
    if found != expected:
        raise UnfitError(f"NVDEC gave {found} for {pixel_format}; expected {expected}")
    return interleaved_planes(frame)


def interleaved_planes(frame: VideoFrame) -> list[torch.Tensor]:
    """Return luma `(H, W)` and chroma `(H/2, W/2, 2)` of an NV12 (uint8) or P010 picture (int16) where it is.

    They keep its memory.
    """
    planes = [torch.from_dlpack(cast("Any", plane).__dlpack__()) for plane in frame.planes[:2]]
    # torch does little with uint16: the same bits as int16 can be stacked on a GPU.
    return [plane if plane.dtype == torch.uint8 else plane.view(torch.int16) for plane in planes]


def split_chroma(luma: torch.Tensor, chroma: torch.Tensor) -> list[torch.Tensor]:
    """Return Y, U and V of NV12 (uint8), or of P010 (16 bits, ten in the upper part) as int16.

    Args:
        luma: `(…, H, W)`.
        chroma: `(…, H/2, W/2, 2)`.
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
        self._refused: dict[tuple[str, torch.device], str] = {}

    def borrow(self, clip: OpenClip, device: torch.device) -> VideoCodecContext:
        """Return a decoder for such clips, ready for the first packet of a span.

        Raises:
            UnfitError: there is none; it is not tried again.
        """
        key, kind = self._key(clip, device), (clip.codec, device)
        context = self._kept.pop(key, None)
        if context is None:
            if kind in self._refused:
                raise UnfitError(self._refused[kind])
            try:
                context = self._make(clip.codec, device)
            except (FFmpegError, NotImplementedError, RuntimeError, ValueError) as error:
                self._refused[kind] = f"PyAV makes no NVDEC decoder for {clip.codec}: {error}"
                raise UnfitError(self._refused[kind]) from error
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

        # Makes torch's CUDA context current in this thread; FFmpeg takes the current one.
        torch.cuda.synchronize(device)
        acceleration = HWAccel(
            "cuda",
            device=str(device.index) if device.index else None,
            allow_software_fallback=False,
            options={"primary_ctx": "0", "current_ctx": "1"},
            is_hw_owned=True,
        )
        context = cast("VideoCodecContext", CodecContext.create(codec, "r", hwaccel=acceleration))
        if not context.is_hwaccel:
            raise ValueError("its decoder has no CUDA in this FFmpeg")
        context.thread_count = 1
        return context


_DECODERS = _Decoders()


def why_no_nvdec_size(codec: str, width: int, height: int) -> str | None:
    """Return why pictures of a size are not for NVDEC; None where they are, or where nothing is known of the codec."""
    if codec not in _NVDEC_SIZES:
        return None
    least, most = _NVDEC_SIZES[codec]
    if least[0] <= width <= most[0] and least[1] <= height <= most[1]:
        return None
    allowed = f"{least[0]}x{least[1]} to {most[0]}x{most[1]}"
    return f"NVDEC decodes {codec} of {allowed} pixels, and the clip has {width}x{height}"


def _why_no_nvdec() -> str | None:
    """Return why this PyAV cannot give pictures that stay on the GPU."""
    try:
        from av.codec.hwaccel import HWAccel, hwdevices_available
    except ImportError:
        return "this PyAV has no hardware decoding; 17 and later have"
    if "cuda" not in hwdevices_available() or not hasattr(HWAccel, "is_hw_owned"):
        return "this PyAV's FFmpeg was built without CUDA, or cannot leave pictures on the GPU; 17 and later can"
    return None
