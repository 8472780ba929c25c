"""Streams in which decoding cannot begin at what is marked as a keyframe."""

from __future__ import annotations

import io
from functools import cache
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders import clips
from opens2v_data.errors import CorruptFrameError
from opens2v_loaders.container import OpenClip
from opens2v_loaders.frames import read_frames
from opens2v_loaders.references import refers_to_others

_REFRESHED = {"g": "10", "bf": "0", "x264-params": "intra-refresh=1:scenecut=0"}
_WRONG: dict[str, tuple[str, int | None]] = {
    "HEVC, all marked": ("HEVC", None),
    "HEVC, 1 late": ("HEVC", 1),
    "HEVC, 2 late": ("HEVC", 2),
    "HEVC, 3 late": ("HEVC", 3),
    "MPEG-4 part 2, all marked": ("MPEG-4 part 2", None),
    "MPEG-4 part 2, 2 late": ("MPEG-4 part 2", 2),
    "MPEG-4 part 2, 3 late": ("MPEG-4 part 2", 3),
}
# FFmpeg reads from these streams themselves where keyframes are, whatever the container says.
_READ_FROM_THE_STREAM: dict[str, tuple[str, int | None]] = {
    "open GOP, all marked": ("open GOP", None),
    "B-frames, 2 late": ("B-frames", 2),
    "VP9, all marked": ("VP9", None),
    "AV1, 1 late": ("AV1", 1),
}
_ALL = ["refreshed bit by bit", *_WRONG, *_READ_FROM_THE_STREAM]


@cache
def _data(name: str) -> bytes:
    if name == "refreshed bit by bit":
        return clips.encode(clips.ClipSpec(options=_REFRESHED))
    source, late = (_WRONG | _READ_FROM_THE_STREAM)[name]
    data = clips.clip_bytes(source)
    return clips.with_all_marked_as_keyframes(data) if late is None else clips.with_keyframes_moved(data, late)


@cache
def _all_frames(name: str) -> np.ndarray:
    return clips.decode_all(_data(name))[0]


@pytest.mark.parametrize("name", _ALL)
def test_every_frame_alone_is_that_of_a_sequential_decode_wherever_keyframes_are_said_to_be(name: str) -> None:
    for frame_idx, expected in enumerate(_all_frames(name)):
        assert np.array_equal(read_frames(_data(name), [frame_idx]).rgb[0], expected), frame_idx


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(_ALL), picks=st.lists(st.integers(0, 29), min_size=1, max_size=8))
def test_any_of_their_frames_come_in_the_order_asked_for(name: str, picks: list[int]) -> None:
    found = read_frames(_data(name), picks)
    assert np.array_equal(found.rgb, _all_frames(name)[picks])
    assert found.indices == tuple(picks)


@pytest.mark.parametrize("name", ["refreshed bit by bit", *_WRONG])
def test_torchcodec_which_would_begin_there_is_not_given_them(name: str) -> None:
    pytest.importorskip("torch", reason="backends give tensors")
    from opens2v_loaders.decoding import decode
    from opens2v_loaders.torchcodec_backend import why_no_torchcodec

    if (missing := why_no_torchcodec()) is not None:
        pytest.skip(missing)
    with pytest.raises(
        ValueError, match=r"it would begin at packet \d+, which is marked as a keyframe and refers to others"
    ):
        decode(_data(name), indices=[15], backend="torchcodec")


@pytest.mark.parametrize("name", ["refreshed bit by bit", "HEVC, 2 late"])
def test_damage_before_a_frame_that_is_decoded_from_the_first_packet_is_told(name: str) -> None:
    data = _data(name)
    with OpenClip(data) as clip:
        first = clip.packets[0]
        at, size = first.pos or 0, first.size
    damaged = data[: at + 4] + bytes(size - 4) + data[at + size :]
    with pytest.raises(CorruptFrameError, match=r"frame 12 \(at .* cannot be decoded exactly"):
        read_frames(damaged, [12])


@pytest.mark.parametrize("name", [*clips.SPECS, "refreshed bit by bit", *_WRONG])
def test_packets_that_refer_to_others_are_those_of_pictures_that_are_no_intra_pictures(name: str) -> None:
    data = clips.clip_bytes(name) if name in clips.SPECS else _data(name)
    intra: dict[int | None, bool] = {}
    with av.open(io.BytesIO(data), "r") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for frame in container.decode(video=0):
            intra[frame.pts] = int(frame.pict_type) == 1
    with OpenClip(data) as clip:
        shown = [packet for packet in clip.packets if packet.pts in intra]
        found = [refers_to_others(bytes(packet), clip.codec, clip._nal_length_size) for packet in shown]
        is_read = clip.codec in ("h264", "hevc", "mpeg4")
        assert found == [is_read and not intra[packet.pts] for packet in shown]
        is_marked = [bool(clip.table.is_keyframe[position]) for position in range(len(clip.packets))]
        wrong = clip.keyframe_that_is_none()
        assert (wrong is None) == (name in clips.SPECS)
        assert wrong is None or is_marked[wrong]


@given(
    data=st.binary(max_size=40),
    codec=st.sampled_from(["h264", "hevc", "mpeg4", "vp9"]),
    size=st.sampled_from([1, 2, 4]),
)
def test_bytes_of_any_kind_are_no_reason_to_fail(data: bytes, codec: str, size: int) -> None:
    assert refers_to_others(data, codec, size) in (True, False)
    assert refers_to_others(data, codec, None) is (refers_to_others(data, codec, None) if codec == "mpeg4" else False)


def test_frames_of_a_refreshed_stream_are_decoded_twice_at_most() -> None:
    class Counting:
        def __init__(self, packets: list[av.Packet]) -> None:
            self.packets, self.num_fed = packets, 0

        def __call__(self, position: int) -> av.Packet:
            self.num_fed += 1
            return self.packets[position]

    from opens2v_loaders.frames import decoded

    with OpenClip(_data("refreshed bit by bit")) as clip:
        feed = Counting(clip.packets)
        came = [frame_idx for frame_idx, _ in decoded(clip, range(0, 30, 3), packet_at=feed)]
        starts = clip.table.is_keyframe.nonzero()[0].tolist()
    assert set(came) == set(range(0, 30, 3)) and feed.num_fed <= 2 * len(clip.packets)
    assert all(second - first == 10 for first, second in pairwise(starts)), "keyframes, to FFmpeg, every ten packets"
