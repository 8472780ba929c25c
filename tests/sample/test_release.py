"""The sample release as a whole: repeatable, small, laid out as upstream's."""

from __future__ import annotations

import builtins
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import opens2v_data.sample
from opens2v_data.errors import MissingExtraError
from opens2v_data.sample import SampleFacts, write_sample_release
from sample.reading import files_below

if TYPE_CHECKING:
    from pathlib import Path

KEY = r"[\w-]+_step1-\d+-\d+_step2-\d+-\d+_step3_step4_step5"
ANY_KEY = r"[\w-]+_step1-\d+-\d+_step2-\d+-\d+_(step3_step4_step5|step4_step5_step6)"
LAYOUT = (
    r"Videos/(total_part[12])/\1\.tar\.split\.\d{3}",
    r"Jsons/mask_and_bbox_High-Quality/total_part[12]\.json",
    r"Jsons/cross_video_pairs/(cluster_videos|cross_frames_pairs|final_output/[\w-]+)\.json",
    rf"Background/total_part[12]/{KEY}\.png",
    rf"GPT-Frames/{ANY_KEY}/(main_image|\d+_\w+)\.png",
)


def test_another_process_with_other_memory_writes_the_same_bytes(written_sample: SampleFacts, tmp_path: Path) -> None:
    script = "import sys; from opens2v_data.sample import write_sample_release as w; w(sys.argv[1])"
    # glibc fills what it hands out: bytes that a codec reads without having written them show.
    environment = {**os.environ, "MALLOC_PERTURB_": "165", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "again")], env=environment, check=True)
    assert files_below(tmp_path / "again") == files_below(written_sample.root)


def test_every_file_lies_where_upstream_would_put_it(written_sample: SampleFacts) -> None:
    paths = list(files_below(written_sample.root))
    strange = [path for path in paths if not any(re.fullmatch(pattern, path) for pattern in LAYOUT)]
    unused = [pattern for pattern in LAYOUT if not any(re.fullmatch(pattern, path) for path in paths)]
    assert (strange, unused) == ([], [])


def test_the_release_is_a_few_megabytes(written_sample: SampleFacts) -> None:
    assert sum(map(len, files_below(written_sample.root).values())) == written_sample.size_bytes
    assert 1_000_000 < written_sample.size_bytes < 6_000_000


def test_the_facts_name_the_plates_and_views_that_are_there(written_sample: SampleFacts) -> None:
    paths = set(files_below(written_sample.root))
    assert set(written_sample.background_paths) == {path for path in paths if path.startswith("Background/")}
    told = {view.path for view in written_sample.views} | {view.source_path for view in written_sample.views}
    assert told == {path for path in paths if path.startswith("GPT-Frames/")}
    assert 0.4 < len(written_sample.background_paths) / len(written_sample.clips) < 0.6


def test_pictures_have_the_size_of_the_cropped_frame(written_sample: SampleFacts) -> None:
    image = pytest.importorskip("PIL.Image")
    for clip in written_sample.clips:
        if clip.background_path is not None:
            with image.open(written_sample.root / clip.background_path) as plate:
                assert plate.size == clip.cropped_size
    for view in written_sample.views:
        with image.open(written_sample.root / view.source_path) as source:
            assert source.size == written_sample.clip(view.clip_key).cropped_size


def test_one_views_folder_carries_an_older_suffix_and_one_view_shows_no_subject(written_sample: SampleFacts) -> None:
    old = {view.folder for view in written_sample.views if view.folder != view.clip_key}
    assert [folder.endswith("_step4_step5_step6") for folder in old] == [True]
    assert [view.class_name for view in written_sample.views if view.object_id is None] == ["young girl in yellow"]


def test_an_empty_folder_is_filled_and_progress_is_told(tmp_path: Path) -> None:
    calls: list[tuple[str, int, int]] = []

    def stop_at_once(what: str, done: int, total: int) -> None:
        calls.append((what, done, total))
        raise KeyboardInterrupt("stopped by the test")

    with pytest.raises(KeyboardInterrupt, match="stopped by the test"):
        write_sample_release(tmp_path / "release", progress=stop_at_once)
    assert calls == [("encode", 0, 20)]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(
        ValueError, match="expected a new or an empty folder for the sample release, found something at"
    ):
        write_sample_release(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("module", "package"), [("av", "av"), ("PIL", "pillow")])
def test_a_missing_package_is_named_with_its_install_command(
    module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    expected = rf'the sample release needs {package}, which is not installed: pip install "opens2v-data\[video\]"'
    with pytest.raises(MissingExtraError, match=expected):
        write_sample_release(tmp_path / "release")


def test_the_room_promises_exactly_these_names() -> None:
    assert sorted(opens2v_data.sample.__all__) == [
        "ClipFacts",
        "PairFacts",
        "SampleFacts",
        "SubjectFacts",
        "VideoFacts",
        "ViewFacts",
        "read_frame_number",
        "read_video_number",
        "write_sample_release",
    ]


def test_asking_for_what_is_not_there_names_what_is(written_sample: SampleFacts) -> None:
    with pytest.raises(ValueError, match="the sample release has no clip 'nobody'"):
        written_sample.clip("nobody")
    with pytest.raises(ValueError, match=r"expected a quirk of \['absent_video'.*, found 'none'"):
        written_sample.clip_with("none")
