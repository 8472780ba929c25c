"""What comes for `video` and `image`: decoded where it can be, and the right frames."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
from datasets import Dataset, Features, Image, List, Video, load_from_disk

from hub.loading import load, run_python, stream
from opens2v_data.hub import features
from opens2v_data.hub.features import can_decode_videos, row_features
from opens2v_data.query import CONFIGS, Config
from opens2v_data.rows import row_schema
from opens2v_data.sample import SampleFacts, read_frame_number
from opens2v_data.triples import VideoRef

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opens2v_data.dataset import OpenS2V

FIRST_VIDEO = """
import opens2v_data, datasets, sys
row = next(iter(datasets.load_dataset("opens2v-5m", split="train", streaming=True{options})))
print(type(row["video"]).__name__, row["video"]["bytes"], row["video"]["path"] == row["video_path"], "torchcodec" in sys.modules)
"""

needs_torchcodec = pytest.mark.skipif(
    not can_decode_videos(), reason="torchcodec cannot be imported (not installed, or FFmpeg's libraries are not there)"
)


@pytest.fixture
def forget_torchcodec() -> Iterator[None]:
    can_decode_videos.cache_clear()
    yield
    can_decode_videos.cache_clear()


def all_features(config: Config, **options: Any) -> Features:
    return row_features(config, row_schema(config).names, **options)


@pytest.mark.parametrize("config", CONFIGS)
def test_videos_and_images_are_media_at_any_depth(config: Config) -> None:
    found = all_features(config, decode=False)
    for side in (found["clip"], found["partner"]) if config == "nexus-cross" else (found,):
        assert side["video"] == Video(decode=False)
        assert isinstance(side["subjects"], List) and not isinstance(side["subjects"].feature["mask"], Video)
    if config == "nexus-gpt":
        assert found["views"].feature["image"] == Image(decode=False)


def test_without_torchcodec_videos_are_not_decoded(forget_torchcodec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchcodec", None)
    assert all_features("regular")["video"] == Video(decode=False)


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_a_torchcodec_that_finds_no_ffmpeg_counts_as_absent(
    forget_torchcodec: None, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(name: str) -> None:
        raise error("Could not load libtorchcodec")

    monkeypatch.setattr(features, "find_spec", lambda name: object())
    monkeypatch.setattr(features, "import_module", fail)
    assert all_features("nexus-cross")["partner"]["video"] == Video(decode=False)


def test_without_pillow_images_are_not_decoded(forget_torchcodec: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIL", "torchcodec"):
        monkeypatch.setitem(sys.modules, name, None)
    assert all_features("nexus-gpt")["views"].feature["image"] == Image(decode=False)


def test_a_broken_torchcodec_gives_addresses(many: OpenS2V, nothing_named: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "torchcodec"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise RuntimeError('Could not load libtorchcodec')")
    root = str(many.catalog.root)
    printed = run_python(
        FIRST_VIDEO.format(options=""), folder=nothing_named, path=(broken.parent,), OPENS2V_CATALOG=root
    )
    assert printed == "dict None True False"


def test_undecoded_rows_need_no_torchcodec(many: OpenS2V, nothing_named: Path) -> None:
    code = FIRST_VIDEO.format(options=", decode=False")
    printed = run_python(code, folder=nothing_named, OPENS2V_CATALOG=str(many.catalog.root))
    assert printed == "dict None True False"


def frames_shown(video: Any, clip: dict[str, Any], frame_idxs: list[int]) -> list[int]:
    """Read the numbers that are drawn into some frames of a clip."""
    x0, y0, x1, y1 = (clip[f"crop_{name}"] for name in ("x0", "y0", "x1", "y1"))
    frames = video.get_frames_at(frame_idxs).data.permute(0, 2, 3, 1).numpy()
    return [read_frame_number(np.ascontiguousarray(frame[y0:y1, x0:x1])) for frame in frames]


@needs_torchcodec
def test_a_row_gives_the_frames_of_its_clip(sample: OpenS2V, sample_facts: SampleFacts) -> None:
    facts = {(clip.part, clip.key): clip for clip in sample_facts.clips}
    num_with_sound = 0
    for row in stream(sample, decode=True, where="clip_id IN (SELECT clip_id FROM locations)"):
        video = facts[row["part"], row["clip_key"]].video
        assert video is not None
        num_with_sound += video.has_audio
        assert row["video"].metadata.num_frames == video.num_frames
        wanted = [0, video.num_frames // 2, video.num_frames - 1]
        assert frames_shown(row["video"], row, wanted) == wanted
    assert num_with_sound


@needs_torchcodec
def test_clips_with_sound_first_decode_from_the_cache_and_in_pairs(sample: OpenS2V, sample_facts: SampleFacts) -> None:
    with_sound = {clip.key for clip in sample_facts.clips if clip.video is not None and clip.video.has_audio}
    assert with_sound
    rows = load(sample, decode=True).filter(lambda key: key in with_sound, input_columns="clip_key")
    assert frames_shown(rows[0]["video"], rows[0], [3]) == [3]
    for pair in stream(sample, "nexus-cross", decode=True, where="has_subject(clip_id, 'woman')").take(3):
        for side in (pair["clip"], pair["partner"]):
            assert frames_shown(side["video"], side, [2]) == [2]


def test_a_clip_without_video_gives_none(sample: OpenS2V) -> None:
    rows = list(stream(sample, decode=True, where="clip_id NOT IN (SELECT clip_id FROM locations)"))
    assert rows and all(row["video"] is None and row["video_path"] is None for row in rows)


@needs_torchcodec
def test_what_datasets_saves_is_still_decoded_from_the_release(sample: OpenS2V, tmp_path: Path) -> None:
    load(sample, decode=True, where="clip_id = 0").save_to_disk(tmp_path / "saved")
    saved = load_from_disk(tmp_path / "saved")
    assert isinstance(saved, Dataset)
    assert frames_shown(saved[0]["video"], saved[0], [5]) == [5]


@needs_torchcodec
def test_a_mapped_row_keeps_the_address_and_no_bytes(sample: OpenS2V) -> None:
    rows = load(sample, decode=True, where="clip_id < 2").map(lambda row: {"frames": row["video"].metadata.num_frames})
    table = cast("Any", rows.with_format("arrow")[:])
    assert [video["bytes"] for video in table["video"].to_pylist()] == [None, None]
    assert table["video"].to_pylist()[0]["path"] == rows[0]["video_path"]


@needs_torchcodec
def test_bytes_that_a_row_carries_are_decoded_as_they_are(sample: OpenS2V) -> None:
    (row,) = stream(sample, where="clip_id = 1")
    data = sample.read_bytes(VideoRef.from_address(row["video_path"]))
    gone = {"path": row["video_path"].replace("catalog", "gone"), "bytes": data}
    assert frames_shown(Video().decode_example(cast("Any", gone)), row, [7]) == [7]


def test_views_are_pictures(sample: OpenS2V) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed")
    row = next(iter(stream(sample, "nexus-gpt", columns=["views"], decode=True)))
    stored = next(sample.rows(config="nexus-gpt", columns=["views"]))
    assert [view["image"].size for view in row["views"]]
    assert [view["image"].filename for view in row["views"]] == [view["image"]["path"] for view in stored["views"]]
