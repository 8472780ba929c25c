"""The packet table against what a sequential decode shows, and against every place a file can be cut."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest

from loaders import clips
from opens2v_data.errors import DecodeError, FrameIndexError, NotAVideoError, NoVideoStreamError, TruncatedVideoError
from opens2v_loaders.container import OpenClip, probe
from opens2v_loaders.packets import PacketTable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", clips.SPECS)
def test_the_table_has_the_frames_and_times_of_a_sequential_decode(name: str) -> None:
    data = clips.clip_bytes(name)
    _, seconds = clips.decode_all(data)
    info = probe(data)
    assert [info.pts_seconds(i) for i in range(info.num_frames_from_packets)] == seconds.tolist()
    assert info.start_seconds == seconds[0]
    spec = clips.SPECS[name]
    assert (info.width, info.height, info.pixel_format) == (spec.width, spec.height, spec.pixel_format)
    assert not info.is_truncated
    assert info.num_frames_intact == info.num_frames_from_packets == len(seconds)


def test_what_the_container_says_is_reported() -> None:
    info = probe(clips.clip_bytes("without B-frames"))
    assert (info.codec, info.average_rate, info.rotation_degrees) == ("h264", Fraction(30), 0)
    assert (info.color_matrix, info.color_range) == (None, None)
    assert info.is_keyframe[0] and info.is_keyframe.shape == info.pts.shape


def test_codecs_go_by_the_format_and_not_by_the_decoder() -> None:
    assert probe(clips.clip_bytes("AV1")).codec == "av1"


def test_an_edit_list_hides_packets_that_the_decoder_still_needs() -> None:
    data = clips.clip_bytes("edit list inside a GOP")
    info = probe(data)
    with OpenClip(data) as clip:
        assert len(clip.packets) == info.num_packets_from_header > info.num_frames_from_packets == 15
        assert clip.table.span(0)[0] == 0 and not info.is_keyframe[0]


def test_a_display_matrix_is_reported() -> None:
    turned = clips.with_rotation(clips.clip_bytes("without B-frames"))
    assert abs(probe(turned).rotation_degrees) == 90


def test_bytes_views_paths_and_open_files_are_all_read(tmp_path: Path) -> None:
    data = clips.clip_bytes("moov at the end")
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    expected = probe(data).pts.tolist()
    with path.open("rb") as file:
        file.seek(100)
        for source in (bytearray(data), memoryview(data), path, str(path), io.BytesIO(data), file):
            assert probe(source).pts.tolist() == expected
        assert not file.closed


def test_a_path_is_a_file_and_never_an_address() -> None:
    with pytest.raises(FileNotFoundError, match="http:"):
        probe("http://127.0.0.1:9/clip.mp4")


@pytest.mark.parametrize(
    "data",
    [b"", b"no video at all" * 100, bytes(50_000), b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1:9/a.ts\n"],
    ids=["empty", "text", "zeros", "playlist"],
)
def test_bytes_that_are_no_mp4_are_named_so(data: bytes) -> None:
    with pytest.raises(NotAVideoError, match=rf"expected an MP4/MOV file, found {len(data)} bytes"):
        probe(data)


def test_an_mp4_cut_before_its_index_is_no_video() -> None:
    data = clips.clip_bytes("moov at the end")
    with pytest.raises(NotAVideoError, match="end before its index"):
        probe(data[: len(data) // 2])


def test_an_mp4_with_only_sound_has_no_video_stream() -> None:
    sound = clips.encode(clips.ClipSpec(audio="only"))
    with pytest.raises(NoVideoStreamError, match="found only audio"):
        probe(sound)


@pytest.mark.parametrize("frame_idx", [-1, 30, 10_000])
def test_times_outside_of_the_clip_are_refused(frame_idx: int) -> None:
    with pytest.raises(FrameIndexError, match=f"frames 0 to 29; frame {frame_idx} was"):
        probe(clips.clip_bytes("B-frames")).pts_seconds(frame_idx)


@pytest.mark.parametrize("name", ["open GOP with reference B-frames", "variable frame rate", "HEVC", "audio first"])
def test_a_cut_file_says_so_and_keeps_only_frames_whose_number_is_certain(name: str) -> None:
    data = clips.clip_bytes(name)
    whole = probe(data)
    with OpenClip(data) as clip:
        ends = [(packet.pos or 0) + packet.size for packet in clip.packets]
    for end in sorted({*ends[:-1], *(end - 1 for end in ends), *(end + 9 for end in ends[:-1])}):
        cut = probe(data[:end])
        assert cut.is_truncated, f"cut at {end} of {len(data)}"
        assert cut.num_packets_from_header == clips.NUM_FRAMES
        assert cut.pts[: cut.num_frames_intact].tolist() == whole.pts[: cut.num_frames_intact].tolist()
        assert cut.num_frames_intact >= sum(e <= end for e in ends) - 5, "a reorder delay at most is given up"


def test_lost_frames_are_told_from_frames_that_never_were() -> None:
    data = clips.clip_bytes("B-frames")
    with OpenClip(data[: len(data) * 3 // 4]) as clip:
        intact = clip.table.num_intact
        clip.table.check(range(intact))
        with pytest.raises(TruncatedVideoError, match=rf"promises 30 frames, .* only the first {intact} are") as caught:
            clip.table.check([0, intact])
        assert caught.value.num_frames_decoded == intact
        with pytest.raises(FrameIndexError, match="frame 30 was asked for"):
            clip.table.check([30])


class _Packet:
    """The part of a PyAV packet that a table reads."""

    is_discard = is_corrupt = False
    is_keyframe = True

    def __init__(self, pts: int | None) -> None:
        self.pts = self.dts = pts


@pytest.mark.parametrize(("pts", "complaint"), [([0, None], "a packet has none"), ([0, 4, 4], "frames 1 and 2 share")])
def test_packets_that_cannot_be_numbered_are_refused(pts: list[int | None], complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        PacketTable.of([_Packet(t) for t in pts], num_promised=0, is_cut=False)  # pyright: ignore[reportArgumentType]


def test_a_span_starts_at_the_last_keyframe_that_shows_before_the_frame() -> None:
    with OpenClip(clips.clip_bytes("open GOP")) as clip:
        table = clip.table
        for frame_idx in range(clips.NUM_FRAMES):
            start, stop = table.span(frame_idx)
            assert stop == table.position[frame_idx] + 1
            assert table.is_keyframe[start] and table.pts[start] == table.pts[table.position[frame_idx // 10 * 10]]
        assert np.any(table.position[:-1] > table.position[1:]), "the clip has frames out of order"
