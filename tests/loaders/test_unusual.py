"""Clips of unusual make: other tracks beside the video, other codecs and pictures, other times. All decode as in sequence."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from loaders import clips
from opens2v_loaders.container import probe
from opens2v_loaders.frames import read_frames

_NUM_FRAMES = 12
_X265 = "log-level=none:pools=1:keyint=5"


@dataclass(frozen=True, kw_only=True)
class _Video:
    """A video track of pictures scaled to a size; times in 1/600 s."""

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    size: tuple[int, int] = (clips.WIDTH, clips.HEIGHT)
    pts: Callable[[int], int] = lambda number: 20 * number
    num_frames: int = _NUM_FRAMES
    is_cover: bool = False
    aspect: Fraction | None = None
    options: dict[str, str]

    def add(self, container: Any) -> Any:
        """Add the track; all of a file's come before the first picture."""
        track = container.add_stream(self.codec, rate=30)
        track.width, track.height, track.pix_fmt = *self.size, self.pixel_format
        track.codec_context.time_base = track.time_base = Fraction(1, 600)
        track.codec_context.thread_count = 1
        track.options = self.options
        if self.is_cover:
            track.disposition = Disposition.attached_pic
        if self.aspect is not None:
            track.codec_context.sample_aspect_ratio = self.aspect
        return track

    def write(self, container: Any, track: Any) -> None:
        """Write its pictures."""
        for number in range(1 if self.is_cover else self.num_frames):
            frame = av.VideoFrame.from_ndarray(clips.picture(number), format="rgb24")
            frame = frame.reformat(*self.size, format=self.pixel_format, **clips.ONE_SCALER_THREAD)
            frame.pts, frame.time_base = self.pts(number), Fraction(1, 600)
            container.mux(track.encode(frame))
        container.mux(track.encode(None))


def _made(*videos: _Video, suffix: str = "mp4", **options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"clip.{suffix}")
        with av.open(str(path), "w", options=options) as container:
            tracks = [video.add(container) for video in videos]
            for video, track in zip(videos, tracks, strict=True):
                video.write(container, track)
        return path.read_bytes()


def _video(codec: str = "libx264", *, options: dict[str, str] | None = None, **changes: Any) -> _Video:
    return _Video(codec=codec, options=options or {}, **changes)


def _x264(params: str = "", **options: str) -> dict[str, str]:
    return {"g": "5", "bf": "2"} | options | ({"x264-params": params} if params else {})


_UNUSUAL: dict[str, Callable[[], bytes]] = {
    "cover picture first": lambda: _made(
        _video("mjpeg", pixel_format="yuvj420p", size=(128, 96), is_cover=True), _video(options=_x264())
    ),
    "two videos": lambda: _made(_video(size=(32, 24), options=_x264()), _video(options=_x264())),
    "pixels that are not square": lambda: _made(_video(aspect=Fraction(4, 3), options=_x264())),
    "interlaced": lambda: _made(_video(options=_x264("tff=1:open-gop=1"))),
    "slices and delimiters": lambda: _made(_video(options=_x264("slices=4:aud=1"))),
    "negative offsets of time": lambda: _made(_video(options=_x264("open-gop=1")), movflags="negative_cts_offsets"),
    "a fragment for each frame": lambda: _made(
        _video(options=_x264("open-gop=1")), movflags="frag_every_frame+empty_moov+default_base_moof"
    ),
    "without edit list": lambda: _made(_video(options=_x264("open-gop=1")), use_editlist="0"),
    "times beyond 32 bits": lambda: _made(_video(pts=lambda number: 2**33 + 977 * number, options=_x264())),
    "a gap of hours": lambda: _made(_video(pts=lambda number: 20 * number + (number > 6) * 10**7, options=_x264())),
    "times before 0": lambda: _made(_video(pts=lambda number: 20 * number - 70, options=_x264())),
    "one frame": lambda: _made(_video(num_frames=1, options=_x264())),
    "two pixels": lambda: _made(_video(size=(2, 2), options=_x264())),
    "grey": lambda: _made(_video(pixel_format="gray", options=_x264())),
    "RGB in H.264": lambda: _made(_video("libx264rgb", pixel_format="rgb24", options=_x264())),
    "RGB in HEVC": lambda: _made(_video("libx265", pixel_format="gbrp", options={"x265-params": _X265})),
    "HEVC of 12 bits": lambda: _made(_video("libx265", pixel_format="yuv420p12le", options={"x265-params": _X265})),
    "HEVC, sub-layers": lambda: _made(
        _video("libx265", options={"x265-params": f"{_X265}:temporal-layers=3:bframes=3:b-pyramid=1"})
    ),
    "VP9, hidden frames": lambda: _made(
        _video("libvpx-vp9", options={"g": "30", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "5"})
    ),
    "4:2:2 of odd height": lambda: _made(_video(pixel_format="yuv422p", size=(64, 47), options=_x264())),
    "ProRes with alpha": lambda: _made(
        _video("prores_ks", pixel_format="yuva444p10le", options={"profile": "4444"}), suffix="mov"
    ),
    "PNG with alpha": lambda: _made(_video("png", pixel_format="rgba"), suffix="mov"),
    "Motion JPEG": lambda: _made(_video("mjpeg", pixel_format="yuvj420p"), suffix="mov"),
    "not compressed": lambda: _made(_video("rawvideo", pixel_format="yuyv422"), suffix="mov"),
}


@cache
def _data(name: str) -> bytes:
    return _UNUSUAL[name]()


def _in_sequence(data: bytes) -> tuple[np.ndarray, list[float]]:
    pictures: list[np.ndarray] = []
    seconds: list[float] = []
    with av.open(io.BytesIO(data), "r") as container:
        track: Any = container.streams.best("video")
        track.codec_context.thread_count = 1
        decoded: Any = container.decode(track)
        for frame in decoded:
            pictures.append(frame.to_ndarray(format="rgb24", **clips.ONE_SCALER_THREAD))
            seconds.append(frame.time)
    return np.stack(pictures), seconds


@pytest.mark.parametrize("name", _UNUSUAL)
def test_every_frame_alone_and_together_is_that_of_a_sequential_decode(name: str) -> None:
    data = _data(name)
    expected, seconds = _in_sequence(data)
    info = probe(data)
    assert info.num_frames_from_packets == len(expected) and not info.is_truncated
    assert [info.pts_seconds(number) for number in range(len(expected))] == pytest.approx(seconds)
    for number, rgb in enumerate(expected):
        assert np.array_equal(read_frames(data, [number]).rgb[0], rgb), number
    numbers = [*range(len(expected) - 1, -1, -2), 0]
    assert np.array_equal(read_frames(data, numbers).rgb, expected[numbers])


@pytest.mark.parametrize("name", _UNUSUAL)
def test_tensors_of_them_are_the_same_and_can_be_scaled_fast(name: str) -> None:
    pytest.importorskip("torch", reason="decode() gives tensors")
    from opens2v_loaders.decoding import decode

    data = _data(name)
    expected, _ = _in_sequence(data)
    last = len(expected) - 1
    found = decode(data, indices=[last, 0], full=(last // 2,))
    assert np.array_equal(found.frames.permute(0, 2, 3, 1).numpy(), expected[[last, 0]])
    assert np.array_equal(found.full[last // 2].permute(1, 2, 0).numpy(), expected[last // 2])
    box = (1, 1, *expected.shape[2:0:-1])  # an odd place, on purpose
    fast = decode(data, indices=[last, 0], crop_xyxy=box, size=(20, 30), resize="fast").frames
    slow = decode(data, indices=[last, 0], crop_xyxy=box, size=(20, 30)).frames
    assert fast.shape == slow.shape == (2, 3, 20, 30)
    assert (fast.float() - slow.float()).abs().mean() < 12, "the same picture, and not another"
