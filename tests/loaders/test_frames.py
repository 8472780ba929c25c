"""Frames against a full sequential decode, in every order and of every damaged file."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import clips, real_sample
from opens2v_data.errors import (
    CorruptFrameError,
    DecodeError,
    FrameIndexError,
    NotAVideoError,
    TruncatedVideoError,
)
from opens2v_loaders.container import OpenClip, probe
from opens2v_loaders.frames import clip_box, read_frames


@pytest.mark.parametrize("name", clips.SPECS)
def test_every_frame_alone_is_that_of_a_sequential_decode(name: str) -> None:
    data = clips.clip_bytes(name)
    rgb, seconds = clips.decode_all(data)
    for frame_idx in range(len(rgb)):
        frames = read_frames(data, [frame_idx])
        assert np.array_equal(frames.rgb[0], rgb[frame_idx]), f"frame {frame_idx} of {name}"
        assert frames.pts_seconds.tolist() == [seconds[frame_idx]]


@pytest.mark.parametrize("name", clips.SPECS)
def test_the_pictures_show_their_own_numbers(name: str) -> None:
    first = 15 if "edit list" in name else 0
    num_frames = clips.NUM_FRAMES - first
    frames = read_frames(clips.clip_bytes(name), range(num_frames))
    assert [clips.number_in(rgb) for rgb in frames.rgb] == list(range(first, first + num_frames))


@given(name=st.sampled_from(sorted(clips.SPECS)), picks=st.lists(st.integers(0, 14), max_size=8), far=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_frames_come_in_the_order_asked_for(name: str, picks: list[int], far: bool) -> None:
    data = clips.clip_bytes(name)
    rgb, seconds = clips.decode_all(data)
    indices = [len(rgb) - 1 - pick if far and pick % 3 == 0 else pick for pick in picks]
    frames = read_frames(data, indices)
    assert frames.indices == tuple(indices) and len(frames) == len(indices)
    assert np.array_equal(frames.rgb, rgb[indices]) and frames.pts_seconds.tolist() == seconds[indices].tolist()


@pytest.mark.parametrize("name", sorted(clips.SPECS))
def test_torchcodec_in_exact_mode_agrees_on_times_and_pictures(name: str) -> None:
    try:
        from torchcodec.decoders import VideoDecoder  # pyright: ignore[reportPrivateImportUsage]
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchcodec cannot be imported here (not installed, or no FFmpeg libraries): {str(error)[:60]}")
    data = clips.clip_bytes(name)
    indices = list(range(probe(data).num_frames_from_packets))
    frames = read_frames(data, indices)
    theirs = VideoDecoder(data, seek_mode="exact", num_ffmpeg_threads=1).get_frames_at(indices)
    assert np.allclose(theirs.pts_seconds.numpy(), frames.pts_seconds, atol=1e-6)
    difference = np.abs(theirs.data.permute(0, 2, 3, 1).numpy().astype(int) - frames.rgb)
    assert difference.mean() < 2


def test_a_crop_keeps_that_part_and_is_cut_to_the_frame() -> None:
    data = clips.clip_bytes("B-frames")
    whole = read_frames(data, [4, 2]).rgb
    assert np.array_equal(read_frames(data, [4, 2], crop_xyxy=(8, 4, 30, 40)).rgb, whole[:, 4:40, 8:30])
    assert np.array_equal(read_frames(data, [4, 2], crop_xyxy=(-5, 10, 999, 20)).rgb, whole[:, 10:20])


def test_a_crop_beside_the_frame_is_an_error_of_the_data() -> None:
    with pytest.raises(DecodeError, match="keeps nothing of a 64x48 frame"):
        read_frames(clips.clip_bytes("B-frames"), [0], crop_xyxy=(64, 0, 80, 10))


def test_an_inverted_box_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="x0 < x1"):
        clip_box((10, 0, 10, 5), width=64, height=48)


@pytest.mark.parametrize("frame_idx", [-1, 30])
def test_a_frame_outside_of_the_clip_is_refused(frame_idx: int) -> None:
    with pytest.raises(FrameIndexError, match=f"frames 0 to 29; frame {frame_idx} was"):
        read_frames(clips.clip_bytes("B-frames"), [0, frame_idx])


def test_frames_come_as_coded_whatever_the_display_matrix() -> None:
    data = clips.clip_bytes("B-frames")
    assert np.array_equal(read_frames(clips.with_rotation(data), [7]).rgb, read_frames(data, [7]).rgb)


@pytest.mark.parametrize(
    ("vui", "red"),
    [
        ("", "bt601"),
        ("colormatrix=smpte170m", "bt601"),
        ("colormatrix=bt709", "bt709"),
        ("colormatrix=bt709:fullrange=on", "bt709 full"),
        ("fullrange=on", "bt601 full"),
    ],
)
def test_colour_follows_the_matrix_and_range_marked_in_the_stream(vui: str, red: str) -> None:
    spec = clips.ClipSpec(options={"g": "12", "bf": "0", "x264-params": f"qp=1:{vui}" if vui else "qp=1"})
    data = clips.encode(spec)
    with OpenClip(data) as clip:
        (planes,) = (frame.to_ndarray() for frame in [*clip.context.decode(clip.packets[0]), *clip.context.decode()])
    y, u, v = planes[30, 40], planes[48:60].reshape(24, 32)[15, 20], planes[60:].reshape(24, 32)[15, 20]
    kr, kb = (0.2126, 0.0722) if red.startswith("bt709") else (0.299, 0.114)
    luma, chroma = (y / 255, 255) if red.endswith("full") else ((y - 16.0) / 219, 224)
    r, b = luma + 2 * (1 - kr) * (v - 128.0) / chroma, luma + 2 * (1 - kb) * (u - 128.0) / chroma
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    expected = np.clip(np.array([r, g, b]) * 255, 0, 255)
    assert np.abs(read_frames(data, [0]).rgb[0, 30, 40] - expected).max() < 3


def test_a_matrix_that_nobody_converts_is_refused() -> None:
    data = clips.encode(clips.ClipSpec(options={"x264-params": "colormatrix=YCgCo"}))
    with pytest.raises(DecodeError, match="colour matrix 8 "):
        read_frames(data, [0])


def test_the_repr_shows_shapes_and_not_pixels() -> None:
    frames = read_frames(clips.clip_bytes("B-frames"), range(9))
    assert repr(frames) == "Frames(rgb=uint8[9, 48, 64, 3], indices=[0, 1, 2, 3, 4, 5, …])"


@pytest.mark.parametrize(
    "name", ["open GOP with reference B-frames", "one keyframe", "fragmented", "moov at the end", "HEVC"]
)
def test_no_cut_gives_a_wrong_frame(name: str) -> None:
    data = clips.clip_bytes(name)
    rgb, _ = clips.decode_all(data)
    delivered = refused = 0
    for end in range(0, len(data), 61):
        for frame_idx in (0, 7, 13, 22, 29):
            try:
                frames = read_frames(data[:end], [frame_idx])
            except (NotAVideoError, TruncatedVideoError):
                refused += 1
            except FrameIndexError:
                assert name == "fragmented", "only fragments carry no promise of how many follow"
                refused += 1
            else:
                delivered += 1
                assert np.array_equal(frames.rgb[0], rgb[frame_idx]), f"{name} cut at {end}, frame {frame_idx}"
    assert refused and (delivered or name == "moov at the end")


def test_a_damaged_packet_spoils_what_may_be_built_on_it_and_nothing_else() -> None:
    data = clips.clip_bytes("B-frames")
    rgb, _ = clips.decode_all(data)
    with OpenClip(data) as clip:
        victim = int(clip.table.position[14])
        start, size = clip.packets[victim].pos or 0, clip.packets[victim].size
        after = {i for i in range(10, 20) if clip.table.position[i] >= victim}
    damaged = data[: start + 4] + bytes(size - 4) + data[start + size :]
    for frame_idx in range(clips.NUM_FRAMES):
        if frame_idx in after:
            with pytest.raises(
                CorruptFrameError, match=rf"frame {frame_idx} \(at .* cannot be decoded exactly"
            ) as caught:
                read_frames(damaged, [frame_idx])
            assert caught.value.frame_idx == frame_idx
        else:
            assert np.array_equal(read_frames(damaged, [frame_idx]).rgb[0], rgb[frame_idx])


@pytest.mark.parametrize("name", ["open GOP with reference B-frames", "HEVC", "MPEG-4 part 2"])
def test_flipped_bytes_raise_errors_of_ours_only(name: str) -> None:
    data = clips.clip_bytes(name)
    dice = random.Random(5)
    for _ in range(60):
        flipped = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            flipped[dice.randrange(len(data))] = dice.randrange(256)
        try:
            read_frames(flipped, [3, 17, 25])
        except DecodeError:
            continue


@real_sample.needs_real_sample
def test_the_real_clip_starts_after_zero_and_decodes_exactly() -> None:
    data = real_sample.video_bytes()
    info = probe(data)
    assert (info.num_frames_from_packets, info.color_matrix, info.color_range) == (95, "bt709", "limited")
    assert round(info.start_seconds, 3) == 0.066
    rgb, seconds = clips.decode_all(data)
    indices = [94, 0, 51, 50, 0]
    frames = read_frames(data, indices)
    assert np.array_equal(frames.rgb, rgb[indices]) and frames.pts_seconds.tolist() == seconds[indices].tolist()
