"""Cut-outs along masks and boxes, and the frame they are cut from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from loaders import clips, real_sample
from loaders.values import HEIGHT, WIDTH, a_clip, a_frame, a_mask, a_subject
from opens2v_data.errors import DecodeError
from opens2v_loaders.cutouts import annotated_frame, cut_out, region_name, subject_regions
from opens2v_loaders.masks import encode_rle


def test_a_mask_is_cut_out_pixel_by_pixel() -> None:
    frame, subject = a_frame(), a_subject()
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[10:20, 8:24] = inside[20:30, 8:12] = True
    subject = replace(subject, mask=a_mask(inside))
    cut = cut_out(frame, subject)
    assert cut is not None and (cut.source, cut.note, cut.box_xyxy) == ("mask", None, (8, 10, 24, 30))
    pixels = np.asarray(cut.image)
    assert pixels.shape == (20, 16, 3)
    assert np.array_equal(pixels, np.where(inside[..., None], frame, 255)[10:30, 8:24])
    black = cut_out(frame, subject, background="black")
    assert black is not None
    assert np.array_equal(np.asarray(black.image), np.where(inside[..., None], frame, 0)[10:30, 8:24])


def test_a_transparent_cut_out_keeps_the_pixels_and_hides_them() -> None:
    frame, subject = a_frame(), a_subject()
    cut = cut_out(frame, subject, background="transparent", margin_px=2)
    assert cut is not None and cut.image.mode == "RGBA" and cut.box_xyxy == (6, 8, 26, 32)
    pixels = np.asarray(cut.image)
    assert np.array_equal(pixels[..., :3], frame[8:32, 6:26])
    assert np.array_equal(pixels[..., 3] > 0, np.pad(np.ones((20, 16), bool), 2))


@pytest.mark.parametrize(
    ("mask", "note"),
    [
        (None, "no mask"),
        (a_mask(np.zeros((HEIGHT, WIDTH), bool)), "empty mask"),
        (a_mask(np.ones((HEIGHT - 20, WIDTH), bool)), "mask is 28x64, frame is 48x64"),
        (replace(a_mask(np.ones((HEIGHT, WIDTH), bool)), counts=b"junk!"), "unreadable mask: a mask's characters"),
    ],
)
@pytest.mark.parametrize("background", ["white", "transparent"])
def test_without_a_usable_mask_the_box_is_cut_out_and_the_reason_given(mask, note, background) -> None:
    cut = cut_out(a_frame(), replace(a_subject(), mask=mask), background=background)
    assert cut is not None and cut.source == "bbox" and (cut.note or "").startswith(note)
    assert np.array_equal(np.asarray(cut.image)[..., :3], a_frame()[10:30, 8:24])


@pytest.mark.parametrize(
    ("bbox", "expected"),
    [
        ((-50.0, -3.5, 5.2, 7.0), (0, 0, 6, 7)),
        ((60.9, 40.0, 1e6, 1e6), (60, 40, 64, 48)),
        ((64.0, 0.0, 80.0, 10.0), None),
        ((20.0, 20.0, 10.0, 30.0), None),
        ((float("nan"), 0.0, 10.0, 10.0), None),
        (None, None),
    ],
)
def test_boxes_are_cut_to_the_frame_and_those_beside_it_give_none(bbox, expected) -> None:
    cut = cut_out(a_frame(), replace(a_subject(), mask=None, bbox_xyxy=bbox))
    assert (cut and cut.box_xyxy) == expected


def test_a_subject_with_a_mask_and_no_box_is_cut_out() -> None:
    cut = cut_out(a_frame(), replace(a_subject(), bbox_xyxy=None))
    assert cut is not None and cut.source == "mask"


def test_choices_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="margin_px must be 0 or more"):
        cut_out(a_frame(), a_subject(), margin_px=-1)
    with pytest.raises(ValueError, match="white, black or transparent, not 'green'"):
        cut_out(a_frame(), a_subject(), background="green")  # pyright: ignore[reportArgumentType]


def test_the_annotated_frame_is_the_cropped_one() -> None:
    data = clips.clip_bytes("open GOP")
    rgb, _ = clips.decode_all(data)
    clip = replace(a_clip(), ann_frame_idx=7, crop_xyxy=(4, 2, 60, 46))
    assert np.array_equal(annotated_frame(data, clip), rgb[7, 2:46, 4:60])
    assert np.array_equal(annotated_frame(data, replace(clip, crop_xyxy=None)), rgb[7])
    assert np.array_equal(annotated_frame(data, replace(clip, crop_xyxy=(4, 0, 1280, 720))), rgb[7, :, 4:])


def test_a_clip_without_an_annotated_frame_is_named() -> None:
    with pytest.raises(DecodeError, match="clip a_clip of part1 names no annotated frame"):
        annotated_frame(b"", replace(a_clip(), ann_frame_idx=None))


def test_regions_put_the_best_name_first_and_each_name_once() -> None:
    subjects = [
        replace(a_subject(), object_id=1, class_name="person", gme_score=None),
        replace(a_subject(), object_id=2, class_name="woman", gme_score=0.5),
        replace(a_subject(), object_id=3, class_name="person", gme_score=0.2),
        replace(a_subject(), object_id=4, class_name="hat", mask=None),
    ]
    regions = subject_regions(subjects)
    assert [[s.object_id for s in region] for region in regions] == [[2, 3, 1], [4]]
    assert [region_name(region) for region in regions] == ["woman · person", "hat"]


@real_sample.needs_real_sample
def test_every_real_subject_is_cut_out_along_its_mask() -> None:
    (triple,) = real_sample.triples()
    frame = annotated_frame(real_sample.video_bytes(), triple.clip)
    assert frame.shape == (720, 1280, 3)
    for subject in triple.subjects:
        cut = cut_out(frame, subject, background="transparent")
        assert cut is not None and cut.note is None
        assert encode_rle(np.asarray(cut.image)[..., 3] > 0) != b""
