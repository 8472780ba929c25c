"""torchcodec as a backend: on a CPU the same frames in more time, on a GPU the first to be asked.

What it needs is not always there: FFmpeg's libraries, those of CUDA, a torch that it was built for. `why_no_torchcodec` says.
"""

from __future__ import annotations

import re
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from opens2v_data.errors import DecodeError
from opens2v_loaders.backends import BackendName, Job, Target, UnfitError, pictures_at_once
from opens2v_loaders.colour_check import ColourCheck

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opens2v_loaders.container import OpenClip, VideoSource

# Of the GPU, not of the clip: since torch 2.8 errors of CUDA itself have a class.
_FAULTS_OF_THE_GPU = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))


class TorchcodecBackend:
    """torchcodec in exact mode: the same frames and colours bit for bit, at 1.5 times PyAV's CPU time.

    Only formats that it converts as ours does are given to it. Of others it gives the same frames in other colours: up to
    73 levels at the edges of colours in clips of more than 8 bits, 25 in clips of odd size.

    It does not tell damage that FFmpeg conceals: of a clip with flipped bits it may give pictures that are wrong without
    a word. Cut-off files are refused all the same, and every frame's time is checked against the packet table.

    On a GPU (not run on a GPU yet) it decodes with NVDEC and converts with its own kernels: fewer formats are given to
    it there, a decoder that falls back to the CPU is given up, and so is one whose colours are not the CPU's
    (`colour_check`). What it cannot decode there is left to the next backend, which says what is wrong with the clip.
    """

    def __init__(self, device: Literal["cpu", "cuda"] = "cpu") -> None:
        self._device = device
        self.name: BackendName = "torchcodec" if device == "cpu" else "torchcodec-nvdec"
        self._colours = ColourCheck()

    def probe(self, clip: OpenClip, job: Job) -> str | None:
        """Return what keeps it from decoding the clip as ours."""
        if (why := why_no_torchcodec()) is not None:
            return why
        if job.scaling == "fast" and self._device == "cpu":
            return "it has no fast scaling"
        context = clip.context
        pixel_format = context.format.name if context.format else None
        if pixel_format not in _CONVERTED_ALIKE[self._device]:
            return f"it converts pixel format {pixel_format} to other colours than PyAV does"
        if (context.width % 2 or context.height % 2) and not pixel_format.endswith("444p"):
            return f"it converts odd sizes ({context.width}x{context.height}) to other colours than PyAV does"
        if self._device == "cuda" and context.colorspace not in _MATRICES_ON_GPU:
            return f"colour matrix {context.colorspace} (ITU-T H.273) is not among those that it converts on a GPU"
        if (position := clip.keyframe_that_is_none()) is not None:
            return f"it would begin at packet {position}, which is marked as a keyframe and refers to others"
        return self._colours.why_not(_kind_of(clip, job)) if self._device == "cuda" else None

    def read(self, clip: OpenClip, source: VideoSource, job: Job, target: Target) -> None:
        """Decode in exact mode, see `pictures_at_once`."""
        try:
            self._read(clip, source, job, target)
        except _FAULTS_OF_THE_GPU:
            raise
        except (DecodeError, RuntimeError, ValueError, IndexError) as error:
            if self._device == "cuda":
                raise UnfitError(f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}") from error
            if isinstance(error, DecodeError):
                raise
            raise DecodeError(
                f"torchcodec does not decode the clip ({(str(error).splitlines() or [''])[0][:200]}); "
                'decode it with backend="pyav", which says what is wrong with it'
            ) from error

    def _read(self, clip: OpenClip, source: VideoSource, job: Job, target: Target) -> None:
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]

        wanted = job.wanted
        if not wanted:
            return
        with by_nvdec_itself():
            decoder = VideoDecoder(
                whole_bytes(source),
                stream_index=clip.stream.index,
                seek_mode="exact",
                num_ffmpeg_threads=1,
                device="cpu" if self._device == "cpu" else str(job.device),
            )
        if self._device == "cuda":
            if not decoder.cpu_fallback.status_known:  # its older decoder knows only with the first picture
                decoder.get_frame_at(wanted[0])
            if decoder.cpu_fallback:
                raise UnfitError(f"torchcodec fell back to the CPU: {decoder.cpu_fallback}")
            if decoder.metadata.rotation:  # some of its versions turn pictures on a GPU, some do not
                raise UnfitError(f"the clip's display matrix turns it by {decoder.metadata.rotation:g} degrees")
        at_once = pictures_at_once(clip.context.height, clip.context.width)
        for start in range(0, len(wanted), at_once):
            indices = wanted[start : start + at_once]
            batch = decoder.get_frames_at(indices)
            self._check_times(clip, indices, batch.pts_seconds)
            pictures = self._as_coded(clip, decoder, batch.data)
            if pictures.is_cuda:
                lower_green(pictures)
            if self._device == "cuda" and (
                why := self._colours.look(_kind_of(clip, job), clip, indices[0], pictures[0], max_levels=job.max_levels)
            ):
                raise UnfitError(why)
            target.put(indices, pictures)

    @staticmethod
    def _check_times(clip: OpenClip, indices: Sequence[int], pts_seconds: torch.Tensor) -> None:
        """Refuse frames numbered in another way than ours."""
        for frame_idx, seconds in zip(indices, pts_seconds.tolist(), strict=True):
            expected = float(int(clip.table.pts[clip.table.position[frame_idx]]) * clip.time_base)
            if abs(seconds - expected) > float(clip.time_base) / 2:
                raise DecodeError(
                    f"frame {frame_idx} is at {expected:.6f} s, and torchcodec gives the one at {seconds:.6f} s for it; "
                    'decode the clip with backend="pyav"'
                )

    @staticmethod
    def _as_coded(clip: OpenClip, decoder: object, pictures: torch.Tensor) -> torch.Tensor:
        """Undo the rotation of the display matrix, which torchcodec applies and upstream's crops and masks do not."""
        degrees = getattr(getattr(decoder, "metadata", None), "rotation", None) or 0.0
        turned = torch.rot90(pictures, k=-round(degrees / 90) % 4, dims=(-2, -1)) if degrees else pictures
        if tuple(turned.shape[-2:]) != (clip.context.height, clip.context.width):
            found = f"{turned.shape[-1]}x{turned.shape[-2]}"
            raise DecodeError(
                f"the clip is {clip.context.width}x{clip.context.height}, torchcodec gives {found}: leave the clip out"
            )
        return turned


def _kind_of(clip: OpenClip, job: Job) -> tuple[object, ...]:
    """Return what torchcodec's colours may depend on."""
    context = clip.context
    pixel_format = context.format.name if context.format else None
    return job.device, job.max_levels, clip.codec, pixel_format, context.colorspace, context.color_range


_CONVERTED_ALIKE = {
    "cpu": frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}),
    "cuda": frozenset({"yuv420p", "yuvj420p"}),
}
# AVCOL_SPC_* that torchcodec converts on a GPU: BT.709, and unmarked and the two BT.601 ones alike.
_MATRICES_ON_GPU = frozenset({1, 2, 5, 6})


def lower_green(pictures: torch.Tensor) -> None:
    """Take exactly converted pictures' green one level lower, where they are: then all is within 2 levels of swscale's.

    swscale cuts the two products of red and blue and the three of green down to whole levels before it sums them. What is
    converted exactly, and then rounded or cut, is 0 to 2 levels above it in red and blue, 0 to 3 in green, 1.1 on average.

    Args:
        pictures: `(…, 3, H, W) uint8 RGB`, written to.
    """
    pictures[..., 1, :, :].clamp_(min=1).sub_(1)


@contextmanager
def by_nvdec_itself() -> Iterator[None]:
    """Have torchcodec's decoders that are made meanwhile ask NVDEC themselves, and keep its sessions, where it can.

    Before 0.13 they went through FFmpeg unless told, with a new session for each clip. The way's name was `beta` then.
    """
    try:
        from torchcodec.decoders import set_cuda_backend  # pyright: ignore[reportPrivateImportUsage]
    except ImportError:  # older than 0.8: it has the one way
        yield
        return
    with ExitStack() as stack:
        for name in ("nvdec", "beta"):
            try:
                stack.enter_context(set_cuda_backend(name))
                break
            except ValueError:  # not a name of this version
                continue
        yield


def why_no_torchcodec() -> str | None:
    """Return why torchcodec cannot be imported; None where it can."""
    try:
        import torchcodec.decoders  # noqa: F401
    except ImportError:
        return 'torchcodec is not installed: pip install "opens2v-data[torch]"'
    except (RuntimeError, OSError) as error:
        return _why_not_loaded(str(error))
    return None


def _why_not_loaded(words: str) -> str:
    """Return what keeps torchcodec's libraries from being loaded; it lists five tries, for FFmpeg 8 to 4, at great length."""
    missing = list(dict.fromkeys(re.findall(r"(lib[\w+.-]+): cannot open shared object file", words)))
    if symbol := re.search(r"undefined symbol: (\S+)", words):
        return f"torchcodec does not load: it was built for another torch (undefined symbol {symbol[1]})"
    if others := [name for name in missing if not name.startswith(("libav", "libsw"))]:
        return f"torchcodec does not load: {', '.join(others)} cannot be found"
    if missing:
        return f"torchcodec does not find FFmpeg's libraries: {', '.join(missing)}"
    return f"torchcodec does not load: {' '.join(words.split())[:200]}"


def whole_bytes(source: VideoSource) -> bytes:
    """Return the bytes of a source; a file is read from 0 and left open."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, (bytearray, memoryview)):
        return bytes(source)
    if isinstance(source, (str, PathLike)):
        return Path(source).read_bytes()
    source.seek(0)
    return source.read()
