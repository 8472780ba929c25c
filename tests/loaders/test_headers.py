"""Damage in what a container says of its video: errors of ours, which a loader counts as a bad clip, and no others."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from loaders import clips
from opens2v_data.errors import FrameIndexError, NotAVideoError, TruncatedVideoError
from opens2v_loaders.container import probe
from opens2v_loaders.frames import read_frames


def _with_packet_size(data: bytes, packet: int, size_bytes: int) -> bytes:
    """Say of one packet (decode order) that it has so many bytes."""
    at = data.index(b"stsz") + 16 + 4 * packet  # type, version and flags, one size for all, count
    return data[:at] + struct.pack(">I", size_bytes) + data[at + 4 :]


@pytest.mark.parametrize("name", ["B-frames", "HEVC", "VP9", "MPEG-4 part 2"])
@pytest.mark.parametrize("size_bytes", [1 << 29, 1 << 24], ids=["more than FFmpeg allocates", "more than there is"])
def test_a_packet_of_gigabytes_cuts_the_clip_off_there(name: str, size_bytes: int) -> None:
    whole, _ = clips.decode_all(clips.clip_bytes(name))
    data = _with_packet_size(clips.clip_bytes(name), 20, size_bytes)
    info = probe(data)
    assert info.is_truncated and info.num_packets_from_header == 30 and 14 < info.num_frames_intact < 21
    assert (read_frames(data, [0, 14]).rgb == whole[[0, 14]]).all()
    with pytest.raises(TruncatedVideoError, match="only the first"):
        read_frames(data, [25])


def test_pictures_without_pixels_are_no_video() -> None:
    data = bytearray(clips.clip_bytes("MPEG-4 part 2"))
    entry = data.index(b"mp4v", data.index(b"stsd"))
    data[entry + 28 : entry + 32] = bytes(4)  # width and height
    layer = data.index(b"\x00\x00\x01\x20", data.index(b"esds"))
    data[layer : layer + 4] = bytes(4)  # the decoder's own idea of them
    with pytest.raises(NotAVideoError, match="expected pictures of 1x1 pixels or more, found 0x0"):
        read_frames(bytes(data), [0], crop_xyxy=(0, 0, 8, 8))


def test_a_clip_whose_edit_list_hides_all_says_that_it_shows_nothing() -> None:
    data = clips.encode(replace(clips.SPECS["edit list inside a GOP"], skip_start=20 * 30))
    assert probe(data).num_frames_from_packets == 0
    with pytest.raises(FrameIndexError, match=r"shows none of its \d+ frames \(an edit list hides them\); frame 0"):
        read_frames(data, [0])
