"""Barcodes: what is drawn is read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2v_data.sample import read_frame_number, read_video_number
from opens2v_data.sample.barcode import draw_barcode

NUMBERS = st.integers(0, 1023)


@given(frame=NUMBERS, video=NUMBERS, left=st.integers(0, 40), top=st.integers(0, 40))
def test_any_number_drawn_into_the_crop_is_read_from_the_cropped_frame(
    frame: int, video: int, left: int, top: int
) -> None:
    rgb = np.full((120, 200, 3), 128, np.uint8)
    draw_barcode(rgb, frame, video, crop_xyxy=(left, top, 200, 120))
    cropped = rgb[top:, left:]
    assert (read_frame_number(cropped), read_video_number(cropped)) == (frame, video)


@given(frame=NUMBERS)
def test_a_frame_of_half_the_size_can_be_read_when_the_full_size_is_told(frame: int) -> None:
    rgb = np.full((120, 200, 3), 128, np.uint8)
    draw_barcode(rgb, frame, 1, crop_xyxy=(0, 0, 200, 120))
    half = rgb.reshape(60, 2, 100, 2, 3).mean(axis=(1, 3))
    assert read_frame_number(half, cropped_size=(200, 120)) == frame


def test_a_frame_without_a_barcode_is_refused() -> None:
    with pytest.raises(ValueError, match="no barcode at the top left of this 200x120 frame"):
        read_frame_number(np.full((120, 200, 3), 128, np.uint8))


def test_a_frame_that_was_not_cropped_is_refused() -> None:
    rgb = np.full((120, 200, 3), 128, np.uint8)
    draw_barcode(rgb, 5, 1, crop_xyxy=(16, 12, 200, 120))
    with pytest.raises(ValueError, match="cropped to the record's `crop`"):
        read_frame_number(rgb)


def test_channels_first_frames_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected a \(H, W, 3\) frame, found the shape \(3, 120, 200\)"):
        read_frame_number(np.zeros((3, 120, 200), np.uint8))
