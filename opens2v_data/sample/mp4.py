"""From frames to an mp4 whose container is as odd as upstream's."""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from opens2v_data.sample.film import Stage, Video

TICKS_PER_SECOND = 30_000
"""The mp4's clock: whole numbers of ticks for 24, 25, 30 and 30000/1001 frames per second."""


@dataclass(frozen=True, kw_only=True)
class Mp4:
    """An encoded video and what its container says.

    Attributes:
        data: the file's bytes.
        pts_seconds: of every frame, display order.
        key_frames: display indices of the frames that a decoder can start at.
    """

    data: bytes = field(repr=False)
    pts_seconds: tuple[float, ...]
    key_frames: tuple[int, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def import_av() -> ModuleType:
    """Import PyAV, or say how to install it."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(package="av", extra="video", needed_for="the sample release") from error
    return av


def encode(stage: Stage) -> Mp4:
    """Encode a video as H.264 with B-frames: one thread, no dates, no version tags, so that two runs agree.

    There is no edit list, as in upstream's sample: the first frame is shown when the B-frames' delay is over, not at 0.
    """
    av = import_av()
    video = stage.video
    # FFmpeg moves the index to the front by reading its own output again, which a buffer in memory does not allow.
    with tempfile.TemporaryDirectory(prefix="opens2v-sample-") as folder:
        path = Path(folder) / video.file_name[-40:]
        options = {"use_editlist": "0", "fflags": "+bitexact"}
        if not video.moov_at_end:
            options["movflags"] = "+faststart"
        with av.open(str(path), "w", format="mp4", options=options) as container:
            if video.latin1_title is not None:
                container.metadata["title"] = _ascii_twin(video.latin1_title)
            _encode_streams(av, container, stage)
        data = path.read_bytes()
    if video.latin1_title is not None:
        data = _patch_title(data, video.latin1_title)
    return _measure(av, data)


def _encode_streams(av: ModuleType, container: Any, stage: Stage) -> None:
    video = stage.video
    sound = container.add_stream("aac", rate=16_000) if video.audio_first else None
    if sound is not None:
        sound.bit_rate = 24_000
        sound.layout = "mono"
        sound.codec_context.flags |= av.codec.context.Flags.bitexact
    stream = container.add_stream("libx264", rate=video.fps)
    stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
    stream.options = {
        "preset": "veryfast",
        "crf": "27",
        "bf": "3",
        "g": str(video.gop),
        "keyint_min": "8",
        "threads": "1",
        # With it, x264's SIMD code reads memory that nobody wrote: some runs differed, and with another MALLOC_PERTURB_
        # every run did (PyAV 18.1, 480 lines; not with asm=0).
        "mbtree": "0",
    }
    context = stream.codec_context
    context.flags |= av.codec.context.Flags.bitexact
    context.thread_count = 1
    context.time_base = stream.time_base = Fraction(1, TICKS_PER_SECOND)
    if sound is not None:
        container.mux(list(_sing(av, sound, video.num_frames / video.fps)))
    for rgb, pts in zip(stage.frames(), frame_ticks(video), strict=True):
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame.pts, frame.time_base = pts, context.time_base
        container.mux(stream.encode(frame))
    container.mux(stream.encode())


def frame_ticks(video: Video) -> Iterator[int]:
    """Give when each frame is shown, in ticks from the first frame."""
    step = Fraction(TICKS_PER_SECOND) / video.fps
    pattern = (
        (Fraction(1, 2), Fraction(1), Fraction(1), Fraction(3, 2), Fraction(1)) if video.varying else (Fraction(1),)
    )
    now = Fraction(0)
    for index in range(video.num_frames):
        yield int(now)
        now += step * pattern[index % len(pattern)]


def _sing(av: ModuleType, stream: Any, seconds: Fraction) -> Iterator[Any]:
    """Encode a soft melody."""
    rate, chunk = 16_000, 1024
    notes = (261.63, 329.63, 392.0, 329.63, 293.66, 349.23, 440.0, 349.23)
    samples = np.arange(int(seconds * rate) // chunk * chunk)
    beat = samples % (rate // 2) / (rate // 2)
    pitch = np.array(notes)[samples // (rate // 2) % len(notes)]
    wave = 0.2 * np.sin(2 * np.pi * pitch * samples / rate) * np.exp(-3 * beat)
    for start in range(0, len(samples), chunk):
        frame = av.AudioFrame.from_ndarray(
            wave[None, start : start + chunk].astype(np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode()


def _ascii_twin(title: str) -> str:
    return "".join(character if character.isascii() else "~" for character in title)


def _patch_title(data: bytes, title: str) -> bytes:
    """Put Latin-1 bytes, which are not UTF-8, where the muxer wrote ASCII of the same length."""
    before, after = _ascii_twin(title).encode(), title.encode("latin-1")
    if data.count(before) != 1 or len(before) != len(after):
        raise ValueError(f"expected the title tag {before!r} once in the mp4, found it {data.count(before)} times")
    return data.replace(before, after)


def _measure(av: ModuleType, data: bytes) -> Mp4:
    """Read back what a player will see, from the packets."""
    try:
        container = av.open(io.BytesIO(data), metadata_errors="ignore")
    except TypeError:  # PyAV 19 removed the argument and ignores such bytes
        container = av.open(io.BytesIO(data))
    with container:
        stream = container.streams.video[0]
        packets = sorted((p.pts, bool(p.is_keyframe)) for p in container.demux(stream) if p.pts is not None)
        base = stream.time_base
    return Mp4(
        data=data,
        pts_seconds=tuple(float(pts * base) for pts, _ in packets),
        key_frames=tuple(index for index, (_, is_key) in enumerate(packets) if is_key),
    )
