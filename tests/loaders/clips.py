"""Small generated mp4s that carry their own facts: every picture shows the number of its frame."""

from __future__ import annotations

import io
import struct
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream

WIDTH, HEIGHT, NUM_FRAMES = 64, 48, 30
_TIME_BASE = Fraction(1, 600)
# With several threads swscale 9.5 now and then gives other pixels where widths are no multiple of 16 (seen at 66).
ONE_SCALER_THREAD: dict[str, Any] = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """How to encode a clip.

    Attributes:
        pts: of the frames, 1/600 s; the default is 30 frames at 30 fps.
        codec, options: of the encoder.
        movflags: of the muxer; "" puts `moov` at the end.
        audio: "first" puts an audio track before the video track, "only" leaves the video out.
        skip_start: pts that an edit list cuts away from the start.
        pixel_format: FFmpeg's name.
        scale: how many times each pixel of the picture is repeated, both ways.
        width, height: less than the picture's: it is cut on the right and below.
    """

    pts: tuple[int, ...] = tuple(range(0, 20 * NUM_FRAMES, 20))
    codec: str = "libx264"
    options: dict[str, str] = field(default_factory=lambda: {"g": "12", "bf": "0"})
    movflags: str = "faststart"
    audio: str = ""
    skip_start: int = 0
    pixel_format: str = "yuv420p"
    scale: int = 1
    width: int = WIDTH
    height: int = HEIGHT


def _x264(params: str, g: int = 10, bf: int = 3) -> dict[str, str]:
    return {"g": str(g), "bf": str(bf), "x264-params": f"scenecut=0:{params}"}


_VFR = tuple(int(t) for t in np.cumsum(np.random.default_rng(3).integers(1, 90, NUM_FRAMES)))

SPECS: dict[str, ClipSpec] = {
    "without B-frames": ClipSpec(),
    "one keyframe": ClipSpec(options=_x264("b-pyramid=normal", g=999)),
    "B-frames": ClipSpec(options=_x264("b-pyramid=none:open-gop=0")),
    "open GOP": ClipSpec(options=_x264("b-pyramid=none:open-gop=1")),
    "open GOP with reference B-frames": ClipSpec(options=_x264("b-pyramid=normal:open-gop=1:b-adapt=0")),
    "variable frame rate": ClipSpec(pts=_VFR, options=_x264("b-pyramid=normal:open-gop=1")),
    "audio first": ClipSpec(options=_x264("open-gop=1"), audio="first"),
    "moov at the end": ClipSpec(options=_x264("open-gop=1"), movflags=""),
    "fragmented": ClipSpec(options=_x264("open-gop=1"), movflags="frag_keyframe+empty_moov"),
    "first pts not zero": ClipSpec(pts=tuple(t + 777 for t in _VFR), options=_x264("open-gop=1")),
    "edit list inside a GOP": ClipSpec(options=_x264("open-gop=1"), skip_start=20 * 14 + 3),
    "MPEG-4 part 2": ClipSpec(codec="mpeg4", options={"g": "9", "bf": "2"}),
    "HEVC": ClipSpec(codec="libx265", options={"x265-params": "keyint=10:open-gop=1:bframes=3:log-level=none:pools=1"}),
    "VP9": ClipSpec(codec="libvpx-vp9", options={"g": "10", "cpu-used": "8", "deadline": "realtime", "threads": "1"}),
    "ten bits": ClipSpec(options=_x264("open-gop=1:colormatrix=bt709"), pixel_format="yuv420p10le"),
    "4:4:4": ClipSpec(options=_x264("open-gop=1"), pixel_format="yuv444p"),
    "odd size": ClipSpec(
        codec="libvpx-vp9", options={"g": "10", "cpu-used": "8", "deadline": "realtime"}, width=63, height=47
    ),
    "AV1": ClipSpec(codec="libsvtav1", options={"preset": "12", "g": "10", "svtav1-params": "lp=1"}),
}


def picture(number: int) -> np.ndarray:
    """Return `(48, 64, 3) uint8 RGB`: the number as a byte of black and white bars over a moving pattern."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    pattern = np.stack([columns * 3 + number * 5, rows * 4 + number * 3, (rows + columns) * 2 - number * 7], axis=-1)
    rgb = (pattern % 256).astype(np.uint8)
    for bit in range(8):
        rgb[:16, bit * 8 : bit * 8 + 8] = 235 if number >> bit & 1 else 20
    return rgb


def number_in(rgb: np.ndarray) -> int:
    """Read the number back."""
    return sum(1 << bit for bit in range(8) if rgb[4:12, bit * 8 + 2 : bit * 8 + 6].mean() > 128)


@cache
def clip_bytes(name: str) -> bytes:
    """Return the clip of that name in `SPECS`."""
    return encode(SPECS[name])


def encode(spec: ClipSpec) -> bytes:
    """Encode a clip; frame i shows the number i (before an edit list cuts)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "clip.mp4")
        with av.open(str(path), "w", options={"movflags": spec.movflags} if spec.movflags else {}) as container:
            audio = cast("AudioStream", container.add_stream("aac", rate=8000)) if spec.audio else None
            video = None if spec.audio == "only" else _add_video(container, spec)
            if audio is not None:
                silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
                silence.sample_rate, silence.pts = 8000, 0
                container.mux(audio.encode(silence))
                container.mux(audio.encode(None))
            if video is not None:
                for number, pts in enumerate(spec.pts):
                    rgb = picture(number).repeat(spec.scale, 0).repeat(spec.scale, 1)
                    rgb = np.ascontiguousarray(rgb[: spec.height, : spec.width])
                    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                    frame = frame.reformat(format=spec.pixel_format, **ONE_SCALER_THREAD)
                    frame.pts, frame.time_base = pts, _TIME_BASE
                    container.mux(video.encode(frame))
                container.mux(video.encode(None))
        data = path.read_bytes()
    return _cut_start(data, spec.skip_start) if spec.skip_start else data


def _add_video(container: Any, spec: ClipSpec) -> VideoStream:
    video = container.add_stream(spec.codec, rate=30)
    video.width, video.height, video.pix_fmt = spec.width, spec.height, spec.pixel_format
    video.codec_context.time_base = video.time_base = _TIME_BASE
    video.codec_context.thread_count = 1
    video.options = spec.options
    return video


def _cut_start(data: bytes, ticks: int) -> bytes:
    """Move the start of the (only) edit by so many 1/600 s."""
    at = data.index(b"elst") + 12  # type, version and flags, count
    duration, media_time = struct.unpack(">Ii", data[at : at + 8])
    timescale = struct.unpack(">I", data[(mdhd := data.index(b"mdhd")) + 16 : mdhd + 20])[0]
    movie_timescale = struct.unpack(">I", data[(mvhd := data.index(b"mvhd")) + 16 : mvhd + 20])[0]
    edit = struct.pack(">Ii", duration - ticks * movie_timescale // 600, media_time + ticks * timescale // 600)
    return data[:at] + edit + data[at + 8 :]


def with_rotation(data: bytes) -> bytes:
    """Turn the clip a quarter by its track's display matrix."""
    upright = struct.pack(">5i", 0x10000, 0, 0, 0, 0x10000)
    turned = struct.pack(">5i", 0, 0x10000, 0, -0x10000, 0)
    at = data.index(upright, data.index(b"tkhd"))
    return data[:at] + turned + data[at + len(turned) :]


def with_keyframes_moved(data: bytes, packets: int) -> bytes:
    """Mark as keyframes those that come so many packets after the right ones, but for the first."""
    at = data.index(b"stss") + 8  # type, version and flags
    (count,) = struct.unpack(">I", data[at : at + 4])
    numbers = struct.unpack(f">{count}I", data[at + 4 : at + 4 + 4 * count])
    moved = struct.pack(f">{count}I", numbers[0], *(number + packets for number in numbers[1:]))
    return data[: at + 4] + moved + data[at + 4 + len(moved) :]


def with_all_marked_as_keyframes(data: bytes) -> bytes:
    """Take out the box that says which packets are keyframes: then all are."""
    return data.replace(b"stss", b"free", 1)


def decode_all(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode the whole clip in sequence with plain PyAV: `(N, H, W, 3) uint8 RGB` and `(N,)` seconds."""
    lenient: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
    with av.open(io.BytesIO(data), **lenient) as container:
        container.streams.video[0].codec_context.thread_count = 1
        frames = [
            (frame.to_ndarray(format="rgb24", **ONE_SCALER_THREAD), frame.time) for frame in container.decode(video=0)
        ]
    return np.stack([rgb for rgb, _ in frames]), np.array([seconds for _, seconds in frames])
