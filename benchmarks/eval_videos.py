"""Videos for `eval.py`, and readers of their frames: ours, and those of others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import ROOT

SAMPLE = ROOT.parent / "shared" / "upstream_sample" / "eval" / "videos" / "singleface_3.mp4"


def sequential(video: Path, indices: list[int]) -> Any:
    """Yield frames of a decode from the first to the last."""
    import av

    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for index in indices:
        yield frames[index]


def number_of_frames(video: Path) -> int:
    """Return how many there are."""
    from opens2v_eval.frames import Video

    return Video(video, key="singleface_1").num_frames


def read_ours(video: Path, indices: list[int]) -> Any:
    """Read with the library, as `Video` does."""
    from opens2v_eval.frames import Video, rgb_arrays

    return rgb_arrays(Video(video, key="singleface_1").frames(indices))


def read_decord(video: Path, indices: list[int]) -> Any:
    """Read as upstream's scripts do."""
    import decord  # pyright: ignore[reportMissingImports]

    opened = decord.VideoReader(str(video))
    return [opened[index].asnumpy() for index in indices]


def read_opencv(video: Path, indices: list[int]) -> Any:
    """Read as upstream's NaturalScore does."""
    import cv2

    capture, frames = cv2.VideoCapture(str(video)), []
    for index in indices:
        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        is_read, frame = capture.read()
        if is_read:
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    capture.release()
    return frames


def read_imageio(video: Path, indices: list[int]) -> Any:
    """Read with imageio's FFmpeg."""
    import imageio  # pyright: ignore[reportMissingImports]

    with imageio.get_reader(str(video), "ffmpeg") as reader:
        return [reader.get_data(index) for index in indices]


FRAME_READERS: dict[str, Callable[[Path, list[int]], Any]] = {
    "ours": read_ours,
    "decord": read_decord,
    "opencv": read_opencv,
    "imageio": read_imageio,
}
PACKAGE_OF_READER = {"ours": "av", "decord": "decord", "opencv": "cv2", "imageio": "imageio"}


def described(video: Path) -> str:
    """Return one line about a video."""
    from opens2v_loaders import probe

    info = probe(video)
    keys = int(info.is_keyframe.sum())
    return f"{info.width}x{info.height}, {info.num_frames_from_packets} frames, {keys} keyframes, {video.stat().st_size:,} bytes"


def some_videos(folder: Path) -> list[Path]:
    """Return the sample, else one of its form, and a generated one of 720p with open groups."""
    first = SAMPLE if SAMPLE.is_file() else generated(folder / "480p.mp4", 832, 480, 69, "")
    return [first, generated(folder / "720p.mp4", 1280, 720, 49, "open-gop=1:")]


def generated(path: Path, width: int, height: int, num_frames: int, options: str) -> Path:
    """Write a video of a bright square that wanders over noise."""
    import av
    import numpy as np

    rng = np.random.default_rng(0)
    ground = rng.integers(0, 160, (height // 8, width // 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=16)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "23", "x264-params": f"{options}keyint=24:bframes=3"}
        for number in range(num_frames):
            picture = np.roll(ground, (number, 3 * number), (0, 1))
            left, top = (7 * number) % (width - 90), (3 * number) % (height - 90)
            picture[top : top + 90, left : left + 90] = 40 + 2 * number % 200
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
