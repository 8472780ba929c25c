"""Frames are those of the benchmark's rules, whoever counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.videos import moving_pictures, write_video
from opens2v_data.errors import DecodeError, MetricError
from opens2v_eval.frames import Video, linspace_indices, natural_indices, rgb_arrays
from opens2v_loaders import read_frames

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "singleface_1.mp4", moving_pictures(21))


@given(num_frames=st.integers(1, 2000), count=st.integers(1, 64))
@settings(max_examples=60, deadline=None)
def test_spread_frames_are_those_of_numpy(num_frames: int, count: int) -> None:
    assert linspace_indices(num_frames, count) == [int(i) for i in np.linspace(0, num_frames - 1, count, dtype=int)]


@given(num_frames=st.integers(1, 2000))
@settings(max_examples=60, deadline=None)
def test_natural_frames_are_those_that_a_seek_to_whole_steps_gives(num_frames: int) -> None:
    step = max(num_frames // 16, 1)
    given_by_seeking = [place for place in (i * step for i in range(16)) if place < num_frames]
    assert natural_indices(num_frames) == given_by_seeking
    assert len(natural_indices(num_frames)) == min(num_frames, 16)


def test_no_frames_are_refused() -> None:
    for rule in (linspace_indices, natural_indices):
        with pytest.raises(ValueError, match="expected a video with frames"):
            rule(0)


def test_a_video_gives_exact_frames_from_a_path_and_from_bytes(path: Path) -> None:
    for source in (path, str(path), path.read_bytes()):
        video = Video(source, key="singleface_1")
        assert (video.num_frames, video.width, video.height) == (21, 96, 64)
        frames = video.linspace(32)
        expected = read_frames(path, linspace_indices(21, 32)).rgb
        np.testing.assert_array_equal(np.stack(rgb_arrays(frames)), expected)
        assert video.backend is not None and video.backend.name == "pyav"


def test_frames_asked_for_twice_are_decoded_once(path: Path) -> None:
    video = Video(path, key="singleface_1")
    assert video.linspace(8) is video.linspace(8)
    assert video.natural() is not video.linspace(8)


@pytest.mark.parametrize("frames_at_once", [1, 4, 21, 100])
def test_a_whole_video_is_the_same_in_parts(path: Path, frames_at_once: int) -> None:
    video = Video(path, key="singleface_1")
    parts = list(video.whole(max_bytes=frames_at_once * 3 * 96 * 64))
    assert max(len(part) for part in parts) == min(frames_at_once, 21)
    pictures = np.concatenate([np.stack(rgb_arrays(part)) for part in parts])
    np.testing.assert_array_equal(pictures, read_frames(path, range(21)).rgb)


def test_what_is_no_whole_video_is_told(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DecodeError, match=r"expected a video at .*none"):
        _ = Video(tmp_path / "none.mp4", key="singleface_1").num_frames
    with pytest.raises(DecodeError, match="expected an MP4/MOV file"):
        _ = Video(b"no video", key="singleface_1").num_frames
    with pytest.raises(MetricError, match="needs 22 frames or more, and the video of singleface_1 has 21"):
        Video(path, key="singleface_1").need_frames(22, metric="motion_amplitude")


def test_a_video_that_is_cut_off_is_refused(path: Path) -> None:
    data = path.read_bytes()
    with pytest.raises(DecodeError, match="the video of singleface_1 is cut off"):
        _ = Video(data[: len(data) * 2 // 3], key="singleface_1").num_frames
