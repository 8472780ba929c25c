"""Outlines: one colour per region, names on chips, and every kind of missing mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from loaders.values import HEIGHT, WIDTH, a_frame, a_mask, a_subject
from opens2v_loaders.outlines import draw_outlines, region_color


def _changed(subjects: list, *, labels: bool = False) -> np.ndarray:
    frame = a_frame()
    before = frame.copy()
    drawn = np.asarray(draw_outlines(frame, subjects, labels=labels))
    assert drawn.shape == frame.shape and np.array_equal(frame, before), "the frame itself stays as it is"
    return (drawn != frame).any(axis=-1)


def test_a_mask_is_drawn_along_its_inner_edge() -> None:
    changed = _changed([a_subject()])
    assert changed[10, 8:24].all() and changed[10:30, 23].all()
    assert not changed[:10].any() and not changed[14:26, 12:20].any()
    drawn = np.asarray(draw_outlines(a_frame(), [a_subject()], labels=False))
    assert tuple(drawn[10, 12]) == region_color(0) and tuple(drawn[11, 12]) == (255, 255, 255)


def test_one_region_under_two_names_is_drawn_once_and_two_regions_in_two_colours() -> None:
    other = np.zeros((HEIGHT, WIDTH), bool)
    other[35:45, 40:60] = True
    subjects = [a_subject(), replace(a_subject(), class_name="animal"), replace(a_subject(), mask=a_mask(other))]
    drawn = np.asarray(draw_outlines(a_frame(), subjects, labels=False))
    assert tuple(drawn[10, 12]) == region_color(0) and tuple(drawn[35, 45]) == region_color(1)


def test_a_box_is_dashed_where_no_mask_can_be_used() -> None:
    for mask in (None, a_mask(np.ones((9, 9), bool)), a_mask(np.zeros((HEIGHT, WIDTH), bool))):
        changed = _changed([replace(a_subject(), mask=mask)])
        assert changed[10, 8:24].all() and not changed[12:28, 10:22].any()


def test_what_has_no_place_in_the_frame_is_left_out() -> None:
    nowhere = replace(a_subject(), mask=None, bbox_xyxy=(900.0, 0.0, 950.0, 10.0))
    assert not _changed([nowhere, replace(nowhere, bbox_xyxy=None)], labels=True).any()
    assert not _changed([], labels=True).any()


def test_chips_lie_in_the_frame_and_beside_each_other() -> None:
    frame = np.zeros((360, 640, 3), np.uint8)
    box = replace(a_subject(), mask=None, bbox_xyxy=(600.0, 340.0, 640.0, 360.0))
    subjects = [replace(box, class_name=f"a long name for number {n} \ud83d\n") for n in range(8)]
    drawn = np.asarray(draw_outlines(frame, subjects))
    for number in range(8):
        fill = (drawn == region_color(number)).all(axis=-1)
        assert fill.sum() > 500, f"chip {number} is covered or outside"
