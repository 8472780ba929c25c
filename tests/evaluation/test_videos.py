"""A model's videos: what is missing, extra or unreadable is told before any model loads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from opens2v_data.errors import EvaluationError
from opens2v_eval.prompts import Prompts, load_prompts
from opens2v_eval.videos import check_videos

pytest.importorskip("av", reason="the extra video is not installed")
from evaluation.videos import moving_pictures, write_video

KEYS = ("singleobj_1", "singleobj_2", "singleobj_3", "singleface_1", "multiface_1")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "any.mp4", moving_pictures(12))


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Prompts:
    path = tmp_path_factory.mktemp("prompts") / "mine.json"
    entry = {"prompt": "A cup.", "img_paths": ["a.png"], "class_label": ["Cup"]}
    path.write_text(json.dumps(dict.fromkeys(KEYS, entry)), encoding="utf-8")
    return load_prompts(path, check=False)


def test_each_prompt_is_found_missing_or_unreadable_and_what_is_left_is_extra(
    tmp_path: Path, video: Path, prompts: Prompts
) -> None:
    data = video.read_bytes()
    for name in ("singleobj_1.mp4", "singleobj_9.mp4", "cover.MP4"):
        shutil.copy(video, tmp_path / name)
    (tmp_path / "singleobj_2.mp4").write_bytes(b"")
    (tmp_path / "singleobj_3.mp4").write_bytes(b"<html>not found</html>" * 40)
    (tmp_path / "singleface_1.mp4").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "notes.txt").write_text("not a video", encoding="utf-8")
    seen: list[tuple[str, int, int]] = []
    check = check_videos(tmp_path, prompts, progress=lambda *now: seen.append(now))
    assert check.found == {"singleobj_1": tmp_path / "singleobj_1.mp4"}
    assert check.missing == ("multiface_1",) and not check.is_complete
    assert [path.name for path in check.extra] == ["cover.MP4", "singleobj_9.mp4"]
    reasons = {bad.key: bad.reason for bad in check.unreadable}
    assert list(reasons) == ["singleobj_2", "singleobj_3", "singleface_1"]
    assert reasons["singleobj_2"] == "the file is empty" and "cut off" in reasons["singleface_1"]
    assert len(check.found) + len(check.missing) + len(check.unreadable) == len(prompts)
    assert seen == [("videos", done, 5) for done in range(1, 6)]


def test_without_probing_only_names_and_sizes_are_looked_at(tmp_path: Path, prompts: Prompts) -> None:
    for key in KEYS:
        (tmp_path / f"{key}.mp4").write_bytes(b"not a video")
    assert check_videos(tmp_path, prompts, probe=False).is_complete
    assert len(check_videos(tmp_path, prompts).unreadable) == 5


def test_a_folder_that_is_not_there_is_told(tmp_path: Path, prompts: Prompts) -> None:
    with pytest.raises(EvaluationError, match=r"expected a folder of videos named <key>\.mp4; there is none"):
        check_videos(tmp_path / "absent", prompts)


def test_upstreams_video_is_readable(upstream_eval: Path) -> None:
    prompts = load_prompts(upstream_eval / "input_json")
    check = check_videos(upstream_eval / "videos", prompts)
    assert list(check.found) == ["singleface_3"] and len(check.missing) == 179
    assert not check.extra and not check.unreadable
