"""Which packets can be left out: read from the bytes, and checked with a decoder that got only the rest."""

from __future__ import annotations

import numpy as np
import pytest

from loaders import clips
from opens2v_loaders.container import OpenClip
from opens2v_loaders.references import is_unreferenced, nal_length_size


@pytest.mark.parametrize("name", ["B-frames", "open GOP with reference B-frames", "one keyframe", "HEVC"])
def test_a_decoder_that_never_sees_them_gives_the_same_other_frames(name: str) -> None:
    data = clips.clip_bytes(name)
    rgb, _ = clips.decode_all(data)
    with OpenClip(data) as clip:
        left_out = {i for i in range(clips.NUM_FRAMES) if clip.is_unreferenced(int(clip.table.position[i]))}
        kept = [i for i in range(len(clip.packets)) if i not in {int(clip.table.position[n]) for n in left_out}]
        frames = [frame for i in kept for frame in clip.context.decode(clip.packets[i])] + clip.context.decode(None)
    others = [i for i in range(clips.NUM_FRAMES) if i not in left_out]
    assert left_out and len(frames) == len(others)
    assert all(np.array_equal(f.to_ndarray(format="rgb24"), rgb[i]) for f, i in zip(frames, others, strict=True))


def test_without_b_frames_nothing_is_left_out() -> None:
    with OpenClip(clips.clip_bytes("without B-frames")) as clip:
        assert not any(clip.is_unreferenced(position) for position in range(len(clip.packets)))


@pytest.mark.parametrize(
    "extradata", [None, b"", b"\x00\x00\x00\x01\x67", b"\x01\x64"], ids=["none", "empty", "Annex B", "short"]
)
def test_other_framing_is_not_guessed_at(extradata: bytes | None) -> None:
    assert nal_length_size("h264", extradata) is None
    assert not is_unreferenced(b"\x00\x00\x00\x02\x01\x00", "h264", None)


@pytest.mark.parametrize("packet", [b"", bytes(40), b"\xff" * 40, b"\x00\x00\x00\x02\x06\x05"])
def test_damaged_packets_count_as_referred_to(packet: bytes) -> None:
    assert not is_unreferenced(packet, "h264", 4)
