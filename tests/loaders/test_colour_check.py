"""Another decoder's colours are held against the CPU's once for each kind of clips."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="decoders give tensors")

import torch

from loaders import clips
from opens2v_data.errors import CorruptFrameError
from opens2v_loaders.colour_check import AUTO_LEVELS, NAMED_LEVELS, ColourCheck
from opens2v_loaders.container import OpenClip
from opens2v_loaders.frames import decoded
from opens2v_loaders.swscale import FULL, LIMITED, Converter


def _looked(
    check: ColourCheck, data: bytes, *, matrix: int, color_range: int, off_by: int = 0, max_levels: int = AUTO_LEVELS
) -> str | None:
    """Return what the check says of frame 3 as a decoder shows it that takes this matrix and range."""
    with OpenClip(data) as clip:
        ((_, frame),) = decoded(clip, [3])
        rgb = torch.from_numpy(Converter().rgb_as(frame, matrix, color_range).copy()).permute(2, 0, 1)
    with OpenClip(data) as clip:
        picture = (rgb.int() + off_by).clamp(0, 255).to(torch.uint8)
        return check.look("kind", clip, 3, picture, max_levels=max_levels)


@pytest.mark.parametrize(
    ("matrix", "color_range", "off_by", "is_right"),
    [(1, LIMITED, 0, True), (1, LIMITED, 1, True), (5, LIMITED, 0, False), (1, FULL, 0, False)],
    ids=["the clip's own", "rounded otherwise", "another matrix", "another range"],
)
@pytest.mark.parametrize("max_levels", [AUTO_LEVELS, NAMED_LEVELS])
def test_colours_that_are_not_the_cpus_are_told_and_remembered(
    matrix: int, color_range: int, off_by: int, is_right: bool, max_levels: int
) -> None:
    options = {"g": "12", "bf": "0", "x264-params": "colormatrix=bt709"}
    data = clips.encode(clips.ClipSpec(pts=tuple(range(0, 100, 20)), options=options))
    check = ColourCheck()
    assert check.why_not("kind") is None
    said = _looked(check, data, matrix=matrix, color_range=color_range, off_by=off_by, max_levels=max_levels)
    assert (said is None) == is_right
    assert check.why_not("kind") == said
    assert is_right or "levels from the CPU's" in (said or "")
    # Known now, so the next picture is not looked at.
    assert _looked(check, data, matrix=9, color_range=FULL, off_by=40) == said


def test_other_rounding_passes_for_who_named_the_decoder_and_not_for_auto() -> None:
    data = clips.encode(clips.ClipSpec(pts=tuple(range(0, 100, 20)), options={"x264-params": "colormatrix=bt709"}))
    for max_levels, is_right in ((AUTO_LEVELS, False), (NAMED_LEVELS, True)):
        said = _looked(ColourCheck(), data, matrix=1, color_range=LIMITED, off_by=3, max_levels=max_levels)
        assert (said is None) == is_right


def test_a_grey_picture_leaves_the_kind_unknown() -> None:
    data = clips.encode(clips.ClipSpec(pts=tuple(range(0, 100, 20)), pixel_format="gray", codec="libx264"))
    check = ColourCheck()
    assert _looked(check, data, matrix=5, color_range=LIMITED) is None
    assert _looked(check, data, matrix=5, color_range=FULL, off_by=40) is not None, "not taken on trust"


def test_a_damaged_picture_is_no_matter_of_colour() -> None:
    data = clips.clip_bytes("B-frames")
    with OpenClip(data) as clip:
        packet = clip.packets[int(clip.table.position[14])]
        start, size = packet.pos or 0, packet.size
    damaged = data[: start + 4] + bytes(size - 4) + data[start + size :]
    with OpenClip(damaged) as clip, pytest.raises(CorruptFrameError, match="frame 14"):
        ColourCheck().look("kind", clip, 14, torch.zeros((3, clips.HEIGHT, clips.WIDTH), dtype=torch.uint8))
