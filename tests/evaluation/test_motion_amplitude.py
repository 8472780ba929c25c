"""MotionAmplitude gives upstream's number to the last digit, and what a plain reading of its formula gives."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from evaluation.videos import moving_pictures, write_video

cv2 = pytest.importorskip("cv2", reason="MotionAmplitude's flow is OpenCV's")

from opens2v_data.errors import MetricError, MissingExtraError  # noqa: E402
from opens2v_eval.frames import Video  # noqa: E402
from opens2v_eval.metrics.motion_amplitude import MotionAmplitude  # noqa: E402
from opens2v_eval.prompts import Prompt  # noqa: E402
from opens2v_loaders import read_frames  # noqa: E402

REAL_VIDEO = Path(__file__).parents[3] / "shared" / "upstream_sample" / "eval" / "videos" / "singleface_3.mp4"
PROMPT = Prompt(
    key="singleface_3", prompt="A man.", image_names=("a.png",), image_paths=(Path("a.png"),), class_labels=("Man",)
)


def by_the_formula(rgb: np.ndarray) -> float:
    """The published formula, read plainly."""
    grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2GRAY) for picture in rgb]
    flows = []
    for before, after in pairwise(grey):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        size = (16, int(flow.shape[0] * (16 / flow.shape[1])))
        flows.append(cv2.resize(flow, size, interpolation=cv2.INTER_AREA))
    return abs(float(np.mean(np.mean(np.array(flows), axis=0))))


def scored(video: Video) -> tuple[float, dict[str, object]]:
    metric = MotionAmplitude()
    metric.setup("cpu")
    found = metric.score(video, PROMPT)
    assert list(found.values) == ["motion_fb"]
    value = found.values["motion_fb"]
    assert isinstance(value, float)
    return value, dict(found.details)


def test_the_published_number_comes_out_to_every_digit() -> None:
    if not REAL_VIDEO.is_file():
        pytest.skip("the benchmark's sample (../shared/upstream_sample/eval) is not on this machine")
    video = Video(REAL_VIDEO, key="singleface_3")
    assert (video.num_frames, video.width, video.height) == (69, 832, 480)
    assert scored(video)[0] == 0.038793787360191345


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 64), (66, 98)])
def test_it_is_the_formula_for_pictures_of_any_shape(tmp_path: Path, height: int, width: int) -> None:
    path = write_video(tmp_path / "singleface_3.mp4", moving_pictures(7, height=height, width=width))
    value, details = scored(Video(path, key="singleface_3"))
    assert value == by_the_formula(read_frames(path, range(7)).rgb)
    assert len(details["steps"]) == 6  # pyright: ignore[reportArgumentType]
    assert abs(details["signed"]) == value  # pyright: ignore[reportArgumentType]


def test_a_motion_to_the_right_is_half_its_pixels_a_frame(tmp_path: Path) -> None:
    """The mean is over both components, and one of them does not move."""
    path = write_video(tmp_path / "singleface_3.mp4", moving_pictures(9, height=96, width=128, step=2.0))
    value, details = scored(Video(path, key="singleface_3"))
    assert value == pytest.approx(1.0, abs=0.25)
    assert details["mean_speed"] == pytest.approx(2.0, abs=0.5)


def test_motions_of_opposite_directions_cancel_and_the_details_tell(tmp_path: Path) -> None:
    pictures = moving_pictures(8, height=96, width=128, step=2.0)
    path = write_video(tmp_path / "singleface_3.mp4", np.concatenate([pictures, pictures[-2::-1]]))
    value, details = scored(Video(path, key="singleface_3"))
    assert value < 0.1
    assert details["mean_speed"] == pytest.approx(2.0, abs=0.5)


def test_a_long_video_read_in_parts_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "singleface_3.mp4", moving_pictures(13))
    value, _ = scored(Video(path, key="singleface_3"))
    monkeypatch.setattr(Video.whole, "__kwdefaults__", {"max_bytes": 4 * 3 * 64 * 96})
    assert scored(Video(path, key="singleface_3"))[0] == value


def test_a_single_frame_and_a_strip_have_no_motion(tmp_path: Path) -> None:
    path = write_video(tmp_path / "one.mp4", moving_pictures(1))
    with pytest.raises(MetricError, match="needs 2 frames or more, and the video of singleface_3 has 1"):
        scored(Video(path, key="singleface_3"))
    path = write_video(tmp_path / "strip.mp4", np.zeros((3, 16, 320, 3), np.uint8))
    with pytest.raises(MetricError, match="320x16 pixels has no row at width 16"):
        scored(Video(path, key="singleface_3"))


def test_without_opencv_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"needs opencv-python-headless.*opens2v-data\[eval\]"):
        MotionAmplitude().setup("cpu")
