"""A run does what is left, keeps what is done, survives a kill, and accounts for every pair of prompt and metric."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.videos import moving_pictures, write_video
from opens2v_data.errors import MetricError, MissingExtraError, ScoresError
from opens2v_eval.metrics import METRIC_NAMES, Metric, Values, create_metric, create_metrics
from opens2v_eval.prompts import Prompt
from opens2v_eval.results import Result, ResultsWriter, read_results, results_path
from opens2v_eval.running import NO_VIDEO, NOT_APPLICABLE, RunReport, run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opens2v_eval.frames import Video
    from opens2v_eval.scales import MetricName

KEYS = ("singleface_1", "singleobj_2", "multiface_3", "multiobject_4", "faceobj_5")


def prompt(key: str) -> Prompt:
    image = Path(f"{key}.png")
    return Prompt(key=key, prompt="A dog.", image_names=(image.name,), image_paths=(image,), class_labels=("Dog",))


PROMPTS = [prompt(key) for key in KEYS]


@dataclass
class LastByte:
    """A metric that needs no model: the video's last byte. It tells what was asked of it."""

    name: MetricName = "gmescore"
    only: str = ""
    fails: dict[str, Exception] = field(default_factory=dict)
    version: int = 1
    calls: list[str] = field(default_factory=list)

    def settings(self) -> Mapping[str, Any]:
        return {"version": self.version}

    def applies_to(self, prompt: Prompt) -> bool:
        return prompt.key.startswith(self.only)

    def setup(self, device: str) -> None:
        self.calls.append(f"setup {device}")

    def score(self, video: Video, prompt: Prompt) -> Values:
        self.calls.append(prompt.key)
        if prompt.key in self.fails:
            raise self.fails[prompt.key]
        assert isinstance(video.source, Path)
        return Values(values={"gme_score": video.source.read_bytes()[-1] / 256}, details={"frames": [1, 2]})

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def videos(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "videos"
    folder.mkdir()
    for number, key in enumerate(KEYS):
        (folder / f"{key}.mp4").write_bytes(bytes([number]))
    return {path.stem: path for path in folder.glob("*.mp4")}


def scores_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "gmescore.json").read_text())


def is_balanced(report: RunReport) -> bool:
    return report.planned == report.scored + report.kept + sum(report.skipped.values()) + len(report.failed)


def test_each_pair_is_accounted_for(videos: dict[str, Path], tmp_path: Path) -> None:
    del videos["singleobj_2"]
    metric = LastByte(only="single", fails={"singleface_1": MetricError("no frame has a face")})
    other = LastByte(name="aesthetics")
    report = run(videos, PROMPTS, metrics=[metric, other], out=tmp_path / "scores")
    assert is_balanced(report) and report.planned == 10
    assert report.skipped == {NOT_APPLICABLE: 3, NO_VIDEO: 2}
    assert (report.scored, report.kept) == (4, 0)
    assert [(f.key, f.metric, f.error) for f in report.failed] == [
        ("singleface_1", "gmescore", "MetricError: no frame has a face")
    ]
    assert [path.name for path in report.files] == ["aesthetic_score.json"]


def test_models_load_only_where_something_is_left_to_do(videos: dict[str, Path], tmp_path: Path) -> None:
    first, second = LastByte(), LastByte()
    assert run(videos, PROMPTS, metrics=[first], out=tmp_path / "scores").scored == 5
    assert first.calls == ["setup cpu", *KEYS, "close"]
    report = run(videos, PROMPTS, metrics=[second], out=tmp_path / "scores")
    assert (report.kept, report.scored, second.calls) == (5, 0, [])
    assert scores_in(tmp_path / "scores") == {key: {"gme_score": n / 256} for n, key in enumerate(KEYS)}


@pytest.mark.parametrize(
    ("looks_at", "changed", "kept"),
    [
        ((), {"text", "images"}, 5),
        (("text",), {"images"}, 5),
        (("text",), {"text"}, 4),
        (("images",), {"text"}, 5),
        (("images",), {"images"}, 4),
        (None, {"text"}, 4),
        (None, {"images"}, 4),
        (None, set(), 5),
    ],
)
def test_a_prompt_that_changed_is_scored_anew_by_metrics_that_look_at_what_changed(
    videos: dict[str, Path], tmp_path: Path, looks_at: tuple[str, ...] | None, changed: set[str], kept: int
) -> None:
    image, out = tmp_path / "reference.png", tmp_path / "scores"

    def prompts(text: str, pixels: bytes) -> list[Prompt]:
        image.write_bytes(pixels)
        of_one = replace(PROMPTS[1], prompt=text, image_paths=(image,))
        return [PROMPTS[0], of_one, *PROMPTS[2:]]

    def metric() -> LastByte:
        made = LastByte()
        if looks_at is not None:
            made.looks_at = looks_at  # pyright: ignore[reportAttributeAccessIssue]
        return made

    run(videos, prompts("a dog", b"large"), metrics=[metric()], out=out)
    again = prompts("a cat" if "text" in changed else "a dog", b"cropped" if "images" in changed else b"large")
    second = metric()
    report = run(videos, again, metrics=[second], out=out)
    assert (report.kept, report.scored) == (kept, 5 - kept)
    assert "singleobj_2" not in second.calls or kept == 4
    assert set(scores_in(out)) == set(KEYS)


def test_a_line_that_does_not_say_what_was_asked_is_of_any_prompt() -> None:
    line = json.loads(Result(key="singleobj_1", status="done", values={"gme_score": 0.5}).line())
    assert "asked" not in line["outcome"]
    old = Result(key=line["key"], **line["outcome"])
    assert old.is_of(video={}, settings={}, asked="0f")
    assert not replace(old, asked="0e").is_of(video={}, settings={}, asked="0f")


def test_a_new_video_and_new_settings_are_scored_anew(videos: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "scores"
    run(videos, PROMPTS, metrics=[LastByte()], out=out)
    videos["multiface_3"].write_bytes(b"another video \xff")
    metric = LastByte()
    assert run(videos, PROMPTS, metrics=[metric], out=out).kept == 4
    assert metric.calls == ["setup cpu", "multiface_3", "close"]
    assert scores_in(out)["multiface_3"] == {"gme_score": 255 / 256}
    assert run(videos, PROMPTS, metrics=[LastByte(version=2)], out=out).scored == 5


def test_scores_of_videos_that_are_gone_leave_the_file(videos: dict[str, Path], tmp_path: Path) -> None:
    run(videos, PROMPTS, metrics=[LastByte()], out=tmp_path)
    videos["faceobj_5"].unlink()
    report = run(videos, PROMPTS, metrics=[LastByte()], out=tmp_path)
    assert (report.kept, report.skipped) == (4, {NO_VIDEO: 1})
    assert sorted(scores_in(tmp_path)) == sorted(KEYS[:4])


def test_what_goes_wrong_with_a_video_is_data_and_is_tried_again(videos: dict[str, Path], tmp_path: Path) -> None:
    fails = {KEYS[1]: RuntimeError("shape mismatch"), KEYS[3]: MetricError("no answer")}
    report = run(videos, PROMPTS, metrics=[LastByte(fails=fails)], out=tmp_path)
    assert {f.key: f.error for f in report.failed} == {
        KEYS[1]: "RuntimeError: shape mismatch",
        KEYS[3]: "MetricError: no answer",
    }
    results = read_results(tmp_path, "gmescore")
    assert "test_running.py" in (results[KEYS[1]].error or {})["trace"]  # a fault of the code says where
    assert "trace" not in (results[KEYS[3]].error or {})
    assert sorted(scores_in(tmp_path)) == sorted({*KEYS} - {*fails})
    unasked = LastByte()
    report = run(videos, PROMPTS, metrics=[unasked], out=tmp_path, retry_failed=False)
    assert is_balanced(report) and len(report.failed) == 2 and not unasked.calls
    report = run(videos, PROMPTS, metrics=[LastByte()], out=tmp_path)
    assert (report.scored, report.kept, report.failed) == (2, 3, ())


def test_a_number_that_is_none_is_a_failure(videos: dict[str, Path], tmp_path: Path) -> None:
    class Nan(LastByte):
        def score(self, video: Video, prompt: Prompt) -> Values:
            return Values(values={"gme_score": float("nan")})

    class Mixed(LastByte):
        def score(self, video: Video, prompt: Prompt) -> Values:
            return Values(values={"gme_score": 1.0}, details={"frames": [float("inf")]})

    report = run(videos, PROMPTS, metrics=[Nan()], out=tmp_path / "a")
    assert "expected a number for gme_score, found nan" in report.failed[0].error and len(report.failed) == 5
    assert not (tmp_path / "a" / "gmescore.json").exists()
    assert len(run(videos, PROMPTS, metrics=[Mixed()], out=tmp_path / "b").failed) == 5


def test_a_value_that_is_left_out_is_done_and_not_in_the_file(videos: dict[str, Path], tmp_path: Path) -> None:
    class Nothing(LastByte):
        def score(self, video: Video, prompt: Prompt) -> Values:
            return Values(values={"gme_score": None if prompt.key == KEYS[0] else 0.5})

    assert run(videos, PROMPTS, metrics=[Nothing()], out=tmp_path).scored == 5
    assert sorted(scores_in(tmp_path)) == sorted(KEYS[1:])
    assert run(videos, PROMPTS, metrics=[Nothing()], out=tmp_path).kept == 5


def test_a_package_that_is_not_installed_ends_the_run(videos: dict[str, Path], tmp_path: Path) -> None:
    error = MissingExtraError(package="openai", extra="eval", needed_for="NaturalScore")
    metric = LastByte(fails={KEYS[2]: error})
    with pytest.raises(MissingExtraError, match="needs openai"):
        run(videos, PROMPTS, metrics=[metric], out=tmp_path)
    assert metric.calls[-1] == "close"
    assert run(videos, PROMPTS, metrics=[LastByte()], out=tmp_path).kept == 2


def test_answers_of_several_runs_go_to_a_file_each(videos: dict[str, Path], tmp_path: Path) -> None:
    class Answers(LastByte):
        def score(self, video: Video, prompt: Prompt) -> Values:
            return Values(values={"run_1": "4", "run_2": "I am sorry", "run_3": "3"})

    report = run(videos, PROMPTS, metrics=[Answers(name="naturalscore")], out=tmp_path)
    assert [path.name for path in report.files] == [f"naturalscore_{n}.json" for n in (1, 2, 3)]
    assert json.loads((tmp_path / "naturalscore_2.json").read_text())[KEYS[0]] == "I am sorry"


@given(count=st.integers(1, 7), order=st.permutations(range(7)), data=st.data())
@settings(max_examples=12, deadline=None)
def test_shards_in_any_order_give_what_one_process_gives(count: int, order: list[int], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        videos = {key: root / f"{key}.mp4" for key in data.draw(st.permutations(KEYS))}
        for key, path in videos.items():
            path.write_bytes(key.encode())
        run(videos, PROMPTS, metrics=[LastByte()], out=root / "one")
        reports = [
            run(videos, PROMPTS, metrics=[LastByte()], out=root / "several", shard=(index, count))
            for index in order
            if index < count
        ]
        assert sum(report.planned for report in reports) == 5 and all(is_balanced(report) for report in reports)
        assert (root / "several/gmescore.json").read_bytes() == (root / "one/gmescore.json").read_bytes()


def test_progress_is_told_from_what_was_there(videos: dict[str, Path], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    run(videos, PROMPTS[:2], metrics=[LastByte()], out=tmp_path)
    run(videos, PROMPTS, metrics=[LastByte()], out=tmp_path, progress=lambda *now: told.append(now))
    assert told == [("gmescore", done, 5) for done in (2, 3, 4, 5)]


def test_a_callers_mistake_is_told(videos: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a shard is \(i, n\) with 0 <= i < n, not \(4, 4\)"):
        run(videos, PROMPTS, metrics=[LastByte()], out=tmp_path, shard=(4, 4))
    with pytest.raises(ValueError, match="each metric runs once, not gmescore, gmescore"):
        run(videos, PROMPTS, metrics=[LastByte(), LastByte()], out=tmp_path)
    with pytest.raises(ValueError, match=r"a metric is one of motion_amplitude, .*, not 'beauty'"):
        create_metrics("beauty")
    with pytest.raises(ValueError, match="each metric is named once"):
        create_metrics("aesthetics,aesthetics")
    with pytest.raises(ValueError, match="options were given for facesim, which is not among aesthetics"):
        create_metrics(["aesthetics"], options={"facesim": {}})
    with pytest.raises(TypeError, match="aesthetics has no option colour; it has clip, head, revision, num_frames"):
        create_metrics("aesthetics", options={"aesthetics": {"colour": "red"}})
    with pytest.raises(ValueError, match="details of a must not be named key"):
        Result(key="a", status="done", details={"key": 1})


@pytest.mark.parametrize("name", METRIC_NAMES)
def test_each_metric_is_made_by_name_without_loading_anything(name: MetricName) -> None:
    metric: Metric = create_metric(name)
    assert metric.name == name
    assert json.loads(json.dumps(dict(metric.settings()))) == metric.settings()


def test_half_a_line_of_a_killed_process_counts_as_nothing(tmp_path: Path) -> None:
    path = results_path(tmp_path, "gmescore")
    with ResultsWriter(path) as writer:
        for key in KEYS[:3]:
            writer.write(Result(key=key, status="done", values={"gme_score": 0.5}))
    whole = path.read_bytes()
    ends = [0, *(place + 1 for place in range(len(whole)) if whole[place : place + 1] == b"\n")]
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        num_whole = sum(end <= cut for end in ends) - 1
        assert list(read_results(tmp_path, "gmescore")) == list(KEYS[:num_whole])
        with ResultsWriter(path) as writer:
            writer.write(Result(key="again", status="failed", error={"type": "E", "message": "m"}))
        assert list(read_results(tmp_path, "gmescore")) == [*KEYS[:num_whole], "again"]


def test_a_line_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = results_path(tmp_path, "gmescore")
    path.parent.mkdir()
    path.write_text('{"key": "a", "frames": []}\n{"key": "b", "outcome": {"state": "done"}}\n')
    with pytest.raises(ScoresError, match=r"gmescore\.jsonl, line 2: expected .*status"):
        read_results(tmp_path, "gmescore")


def test_of_two_results_the_younger_counts_whatever_file_it_is_in(tmp_path: Path) -> None:
    for at, shard in ((2.0, (0, 1)), (1.0, (0, 2)), (3.0, (1, 2))):
        with ResultsWriter(results_path(tmp_path, "gmescore", shard=shard)) as writer:
            writer.write(Result(key="a", status="done", values={"gme_score": at}, at=at))
    assert read_results(tmp_path, "gmescore")["a"].values == {"gme_score": 3.0}


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from evaluation.test_running import PROMPTS
from opens2v_eval.frames import Video
from opens2v_eval.metrics.motion_amplitude import MotionAmplitude
from opens2v_eval.running import run

class Dies(MotionAmplitude):
    seen = 0
    def score(self, video, prompt):
        Dies.seen += 1
        if Dies.seen == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().score(video, prompt)

folder = Path(sys.argv[1])
run({{p.stem: p for p in folder.glob("*.mp4")}}, PROMPTS, metrics=[Dies()], out=Path(sys.argv[2]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="MotionAmplitude's flow is OpenCV's")
    folder = tmp_path / "videos"
    folder.mkdir()
    videos = {key: folder / f"{key}.mp4" for key in KEYS}
    for seed, path in enumerate(videos.values()):
        write_video(path, moving_pictures(4, seed=seed))
    code = CHILD.format(paths=[path for path in sys.path if path])
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "scores")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, env=environment)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    report = run(videos, PROMPTS, metrics=["motion_amplitude"], out=tmp_path / "scores")
    assert (report.kept, report.scored) == (2, 3)
    run(videos, PROMPTS, metrics=["motion_amplitude"], out=tmp_path / "fresh")
    assert (tmp_path / "scores/motion_amplitude.json").read_bytes() == (
        tmp_path / "fresh/motion_amplitude.json"
    ).read_bytes()


def test_several_processes_share_a_folder(videos: dict[str, Path], tmp_path: Path) -> None:
    """Two write at once what the other does not; the file of the last has all."""
    out, turns = tmp_path / "scores", itertools.count()

    class Meets(LastByte):
        def score(self, video: Video, prompt: Prompt) -> Values:
            if next(turns) == 0:  # in the middle of this run another begins and ends
                run(videos, PROMPTS, metrics=[LastByte()], out=out, shard=(1, 2))
            return super().score(video, prompt)

    run(videos, PROMPTS, metrics=[Meets()], out=out, shard=(0, 2))
    assert scores_in(out) == {key: {"gme_score": n / 256} for n, key in enumerate(KEYS)}
