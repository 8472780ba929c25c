"""The mp4s: every frame is there, in order, at its time; and the containers are as odd as upstream's."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from opens2v_data.sample import SampleFacts, VideoFacts, read_frame_number, read_video_number

av = pytest.importorskip("av")


def open_mp4(data: bytes) -> Any:
    try:
        return av.open(BytesIO(data), metadata_errors="ignore")
    except TypeError:  # PyAV 19 removed the argument
        return av.open(BytesIO(data))


def bytes_of(mp4s: dict[str, bytes], video: VideoFacts) -> bytes:
    return mp4s[f"{video.part}:{video.member}"]


def crop_of(facts: SampleFacts, video: VideoFacts) -> tuple[int, int, int, int]:
    for clip in facts.clips:
        if clip.video == video:
            return clip.crop_xyxy
    return 0, 0, video.width, video.height


def test_every_mp4_decodes_to_its_frames_in_order_at_the_times_told(
    written_sample: SampleFacts, mp4s: dict[str, bytes]
) -> None:
    for video in written_sample.videos:
        x0, y0, x1, y1 = crop_of(written_sample, video)
        numbers, seconds, kinds = [], [], []
        with open_mp4(bytes_of(mp4s, video)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
            assert (stream.codec_context.width, stream.codec_context.height) == (video.width, video.height)
            for frame in container.decode(stream):
                rgb = frame.to_ndarray(format="rgb24")[y0:y1, x0:x1]
                numbers.append(read_frame_number(rgb))
                assert read_video_number(rgb) == video.number
                seconds.append(float(frame.pts * stream.time_base))
                kinds.append(av.video.frame.PictureType(frame.pict_type).name)
        assert numbers == list(range(video.num_frames))
        assert tuple(seconds) == video.pts_seconds
        assert seconds[0] > 0.05
        assert "B" in kinds
        assert [index for index, kind in enumerate(kinds) if kind == "I"] == list(video.key_frames)
        assert len(video.key_frames) > 1


def test_frames_are_shown_at_the_named_rate(written_sample: SampleFacts) -> None:
    for video in written_sample.videos:
        steps = [after - before for before, after in pairwise(video.pts_seconds)]
        assert np.mean(steps) == pytest.approx(1 / video.fps, rel=0.02)
        assert (max(steps) - min(steps) > 0.5 / video.fps) is video.varying
    assert {round(video.fps, 2) for video in written_sample.videos} == {24.0, 25.0, 29.97, 30.0}


def test_each_oddity_of_a_container_has_one_video(written_sample: SampleFacts, mp4s: dict[str, bytes]) -> None:
    videos = written_sample.videos
    assert [video.varying for video in videos].count(True) == 1
    assert [video.has_audio for video in videos].count(True) == 1
    assert [video.moov_at_end for video in videos].count(True) == 1
    for video in videos:
        data = bytes_of(mp4s, video)
        assert (data.index(b"moov") > data.index(b"mdat")) is video.moov_at_end
        with open_mp4(data) as container:
            assert [stream.type for stream in container.streams] == ["audio", "video"][not video.has_audio :]


def test_one_title_is_not_utf8(mp4s: dict[str, bytes]) -> None:
    titled = [data for data in mp4s.values() if "Une journée à la plage".encode("latin-1") in data]
    assert len(titled) == 1
    with open_mp4(titled[0]) as container:
        assert container.streams.video[0].frames == 61


def test_sizes_differ(written_sample: SampleFacts) -> None:
    assert {(640, 360), (854, 480), (360, 640)} < {(video.width, video.height) for video in written_sample.videos}


def test_the_watermark_lies_outside_the_crop(written_sample: SampleFacts, mp4s: dict[str, bytes]) -> None:
    cropped = [clip for clip in written_sample.clips if clip.cropped_size != (clip.width, clip.height)]
    assert [clip.crop_xyxy for clip in cropped] == [(16, 12, 624, 324)]
    video = cropped[0].video
    assert video is not None
    with open_mp4(bytes_of(mp4s, video)) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    outside, inside = rgb[326:, :], rgb[290:322, 20:620]
    assert outside.mean() < 0.7 * inside.mean()
    assert outside.max() > 150


def test_one_video_is_told_twice_and_one_by_nobody(written_sample: SampleFacts) -> None:
    told = [clip.video.number for clip in written_sample.clips if clip.video is not None]
    assert [number for number in set(told) if told.count(number) > 1] == [7]
    assert [video.member for video in written_sample.videos if not video.is_named] == [written_sample.unnamed_member]
    assert written_sample.absent_member not in {video.member for video in written_sample.videos}


def test_masks_and_plates_fit_the_decoded_frames(written_sample: SampleFacts, mp4s: dict[str, bytes]) -> None:
    image = pytest.importorskip("PIL.Image")
    checked = 0
    for clip in written_sample.clips:
        if clip.video is None or clip.background_path is None:
            continue
        x0, y0, x1, y1 = clip.crop_xyxy
        with open_mp4(bytes_of(mp4s, clip.video)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        frame = frames[clip.ann_frame_idx][y0:y1, x0:x1].astype(int)
        with image.open(written_sample.root / clip.background_path) as plate:
            difference = np.abs(frame - np.asarray(plate).astype(int)).max(axis=2)
        figures = [subject for subject in clip.subjects if subject.mask_area and not _is_place(subject.class_name)]
        for subject in figures:
            mask = subject.mask()
            assert mask is not None
            assert np.mean(difference[mask] > 12) > 0.75, (clip.key, subject.class_name)
            checked += 1
        nobody = np.ones(frame.shape[:2], bool)
        for subject in clip.subjects:
            if subject.mask_area and (mask := subject.mask()) is not None:
                nobody &= ~mask
        nobody[:24, :104] = False
        assert np.mean(difference[nobody] > 40) < 0.05, clip.key
    assert checked > 30


def _is_place(class_name: str) -> bool:
    return class_name in {"grassy area", "meadow", "sea", "pond", "road", "sand"}
