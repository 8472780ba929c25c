"""On Ray the same functions give the same files, and a worker that dies costs its video only."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from evaluation.test_running import KEYS, PROMPTS, is_balanced
from evaluation.videos import moving_pictures, write_video
from opens2v_data.errors import MetricError, MissingExtraError
from opens2v_eval.metrics import Values
from opens2v_eval.metrics.motion_amplitude import MotionAmplitude
from opens2v_eval.ray_running import RayScorer
from opens2v_eval.running import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from opens2v_eval.frames import Video
    from opens2v_eval.prompts import Prompt


@pytest.fixture(scope="module")
def cluster() -> Iterator[ModuleType]:
    ray = pytest.importorskip("ray", reason='Ray is an extra of its own: pip install "opens2v-data[ray]"')
    pytest.importorskip("cv2", reason="MotionAmplitude's flow is OpenCV's")
    # Workers unpickle classes of this file, which they find by these paths.
    paths = os.pathsep.join(path for path in sys.path if path)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": paths}})
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    return {key: write_video(folder / f"{key}.mp4", moving_pictures(4, seed=seed)) for seed, key in enumerate(KEYS)}


class Dies(MotionAmplitude):
    """Ends its process at one video, and finds nothing in another."""

    def score(self, video: Video, prompt: Prompt) -> Values:
        if prompt.key == KEYS[1]:
            os._exit(1)
        if prompt.key == KEYS[2]:
            raise MetricError("nothing found")
        return super().score(video, prompt)


class Unfit(MotionAmplitude):
    """Cannot be set up."""

    def setup(self, device: str) -> None:
        raise MetricError(f"no weights on {device}")


def test_workers_give_what_one_process_gives(cluster: ModuleType, videos: dict[str, Path], tmp_path: Path) -> None:
    report = run(videos, PROMPTS, metrics=["motion_amplitude"], out=tmp_path / "ray", scorer=RayScorer(num_workers=2))
    assert is_balanced(report) and report.scored == 5
    run(videos, PROMPTS, metrics=["motion_amplitude"], out=tmp_path / "one")
    name = "motion_amplitude.json"
    assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert run(videos, PROMPTS, metrics=["motion_amplitude"], out=tmp_path / "ray").kept == 5


def test_a_worker_that_dies_costs_its_video_only(cluster: ModuleType, videos: dict[str, Path], tmp_path: Path) -> None:
    scorer = RayScorer(num_workers=2)
    report = run(videos, PROMPTS, metrics=[Dies()], out=tmp_path, scorer=scorer)
    told = {failure.key: failure.error for failure in report.failed}
    assert is_balanced(report) and report.scored == 3 and set(told) == set(KEYS[1:3])
    assert "its worker died, 2 of 2 times" in told[KEYS[1]] and told[KEYS[2]] == "MetricError: nothing found"


def test_a_metric_that_cannot_be_set_up_ends_the_run(
    cluster: ModuleType, videos: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(MetricError, match="no weights on cpu"):
        run(videos, PROMPTS, metrics=[Unfit()], out=tmp_path, scorer=RayScorer())


def test_without_ray_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"needs ray, .*opens2v-data\[ray\]"):
        RayScorer()


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one worker or more and no negative retries, not 0 and 1"):
        RayScorer(num_workers=0)
