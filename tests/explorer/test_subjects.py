"""Regions, outlines and notes: the mask's own edge, flags with their numbers, HTML in which data stays text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from opens2v_data.triples import Clip, MaskRLE, Subject
from opens2v_explorer import stage
from opens2v_explorer.captions import Piece
from opens2v_explorer.outlining import outline_path
from opens2v_explorer.subjects import DASHES, frame_size, note_of, regions_of
from opens2v_loaders import encode_rle, mask_iou

if TYPE_CHECKING:
    import opens2v_data

HEIGHT, WIDTH = 24, 32

masks = st.tuples(st.integers(1, 14), st.integers(1, 14)).flatmap(lambda shape: arrays(bool, shape))


def painted(path: str, height: int, width: int) -> np.ndarray:
    """Fill a path of h, v and z commands by the even-odd rule: pixels right of each vertical side are turned over."""
    pixels = np.zeros((height, width), bool)
    x = y = start_x = start_y = 0
    for name, numbers in re.findall(r"([Mhvz])([-\d ]*)", path):
        if name == "M":
            start_x, start_y = x, y = tuple(map(int, numbers.split()))
            continue
        top = y
        if name == "h":
            x += int(numbers)
        else:
            y = start_y if name == "z" else y + int(numbers)
        pixels[min(top, y) : max(top, y), x:] ^= True
        assert name != "z" or x == start_x, "a closing side runs along a column"
    return pixels


@given(mask=masks)
@settings(max_examples=150, deadline=None)
def test_an_outline_filled_is_the_mask_and_no_pixel_more(mask: np.ndarray) -> None:
    assert np.array_equal(painted(outline_path(mask), *mask.shape), mask)


@given(mask=masks)
@settings(max_examples=50, deadline=None)
def test_an_outline_turns_at_every_corner_and_repeats_none(mask: np.ndarray) -> None:
    steps = re.findall(r"([hv])(-?\d+)", outline_path(mask))
    assert all(length != "0" for _, length in steps)
    for loop in outline_path(mask).split("z")[:-1]:
        names = "".join(re.findall(r"[hv]", loop))
        assert re.fullmatch(r"h(vh)+", names), "sides alternate, the last one is closed by z"


def test_an_empty_mask_has_no_outline() -> None:
    assert outline_path(np.zeros((3, 4), bool)) == ""


def mask_of(pixels: np.ndarray) -> MaskRLE:
    height, width = pixels.shape
    return MaskRLE(height=height, width=width, counts=encode_rle(pixels), score=0.9, frame_idx=0)


def box_pixels(x1: int, y1: int, x2: int, y2: int, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    pixels = np.zeros(shape, bool)
    pixels[y1:y2, x1:x2] = True
    return pixels


def subject(object_id: int = 1, name: str = "dog", **others: Any) -> Subject:
    values: dict[str, Any] = {
        "object_id": object_id, "class_name": name, "bbox_xyxy": (2.0, 2.0, 10.0, 10.0), "gme_score": 0.5,
        "aes_score": 4.0, "mask": mask_of(box_pixels(2, 2, 10, 10)),
    }  # fmt: skip
    return Subject(**(values | others))


def codes(one: Subject) -> list[str]:
    return [flag.code for flag in note_of(one, width=WIDTH, height=HEIGHT).flags]


def test_a_sound_subject_has_no_flag_and_the_share_of_its_mask() -> None:
    note = note_of(subject(), width=WIDTH, height=HEIGHT)
    assert note.flags == ()
    assert note.box_iou == 1
    assert note.area_ratio == pytest.approx(64 / (WIDTH * HEIGHT))


def test_what_is_wrong_with_mask_and_box_is_flagged() -> None:
    small = mask_of(box_pixels(0, 0, 4, 4, (8, 8)))
    unreadable = MaskRLE(height=HEIGHT, width=WIDTH, counts=b"~", score=None, frame_idx=0)
    assert codes(subject(mask=None)) == ["no-mask"]
    assert codes(subject(mask=small)) == ["mask-size"]
    assert codes(subject(mask=mask_of(np.zeros((HEIGHT, WIDTH), bool)))) == ["mask-empty"]
    assert codes(subject(mask=unreadable)) == ["mask-unreadable"]
    assert codes(subject(bbox_xyxy=(20.0, 12.0, 30.0, 20.0))) == ["box-far"]
    assert codes(subject(bbox_xyxy=None)) == ["no-box"]
    assert codes(subject(bbox_xyxy=(40.0, 0.0, 50.0, 5.0), mask=None)) == ["no-mask", "box-outside"]
    (flag,) = note_of(subject(mask=small), width=WIDTH, height=HEIGHT).flags
    assert flag.text == f"mask is 8 x 8 pixels, the frame {WIDTH} x {HEIGHT}"


def test_a_mask_of_another_size_is_not_drawn_but_its_box_is() -> None:
    (region,) = regions_of([subject(mask=mask_of(box_pixels(0, 0, 4, 4, (8, 8))))], width=WIDTH, height=HEIGHT)
    assert region.path is None
    assert region.box_xyxy == (2, 2, 10, 10)
    assert 'data-kind="box"' in stage.frame("/f", "alt", [region], size=(WIDTH, HEIGHT))


squares = st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(4, 7), st.integers(4, 7))


@given(boxes=st.lists(st.one_of(st.none(), squares), max_size=7))
@settings(max_examples=40, deadline=None)
def test_regions_are_those_linked_by_overlap_and_hold_each_subject_once(boxes: list) -> None:
    shapes = [None if box is None else mask_of(box_pixels(*box, shape=(8, 8))) for box in boxes]
    subjects = [subject(at + 1, f"name {at}", mask=mask, gme_score=at / 10) for at, mask in enumerate(shapes)]
    regions = regions_of(subjects, width=8, height=8)
    # The plain way: join what overlaps enough, until nothing changes.
    groups = [{at} for at in range(len(subjects))]
    is_changed = True
    while is_changed:
        is_changed = False
        for one in groups:
            for other in groups:
                if one is other or is_changed:
                    continue
                pairs = ((shapes[a], shapes[b]) for a in one for b in other)
                if any(a and b and mask_iou(a, b) >= 0.8 for a, b in pairs):
                    one |= other
                    groups.remove(other)
                    is_changed = True
    found = {frozenset(note.subject.object_id - 1 for note in region.notes) for region in regions}
    assert found == set(map(frozenset, groups))
    assert [region.number for region in regions] == list(range(1, len(regions) + 1))
    for region in regions:
        scores = [note.subject.gme_score or 0 for note in region.notes]
        assert scores == sorted(scores, reverse=True)
        assert region.best == region.notes[0].subject


def test_no_two_of_twenty_regions_have_one_colour_and_dash() -> None:
    subjects = [subject(at, f"s{at}", mask=None) for at in range(1, 21)]
    regions = regions_of(subjects, width=WIDTH, height=HEIGHT)
    assert len({(region.color, region.dash) for region in regions}) == 20
    assert {region.dash for region in regions} == set(DASHES)


def clip(**others: Any) -> Clip:
    values: dict[str, Any] = {
        "clip_id": 0, "key": "k", "part": "p", "cluster_id": "c", "caption": "", "fps": 25.0, "num_frames": 10, "width": 64,
        "height": 48, "cut": (0, 10), "face_cut": None, "crop_xyxy": None, "ann_frame_idx": 0, "aesthetic": None,
        "motion": None, "tech": None, "tags": {}, "video": None, "background_path": None,
    }  # fmt: skip
    return Clip(**(values | others))


def test_the_cropped_frame_is_what_boxes_are_measured_on() -> None:
    assert frame_size(clip()) == (64, 48)
    assert frame_size(clip(crop_xyxy=(4, 6, 60, 40))) == (56, 34)
    assert frame_size(clip(crop_xyxy=(4, 6, 99, 99))) == (60, 42)
    assert frame_size(clip(width=None)) is None
    assert frame_size(clip(), decoded=(32, 24)) == (32, 24)
    assert frame_size(clip(crop_xyxy=(70, 6, 90, 40))) is None


class Tags(HTMLParser):
    """Lists what a browser would make of HTML."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'&"


def test_names_from_the_data_stay_text_in_every_piece_of_html() -> None:
    regions = regions_of([subject(name=HOSTILE)], width=WIDTH, height=HEIGHT)
    pieces = [Piece(text=HOSTILE), Piece(text=HOSTILE, numbers=(1,))]
    html = (
        stage.frame("/f?a=1&b=2", HOSTILE, regions, size=(WIDTH, HEIGHT), testid=HOSTILE)
        + stage.card(regions[0], HOSTILE, title_along=HOSTILE)
        + stage.caption(pieces, regions)
        + stage.caption([], regions)
        + stage.notice(HOSTILE, HOSTILE, code=HOSTILE)
        + stage.picture(HOSTILE, HOSTILE, css=HOSTILE, testid=HOSTILE)
    )
    found = Tags(html)
    assert "script" not in {tag for tag, _ in found.tags}
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    assert all(attributes["src"] != "x" for tag, attributes in found.tags if tag == "img")
    assert HOSTILE in found.text


def test_every_region_of_the_frame_can_be_focused_and_tells_its_scores() -> None:
    subjects = [subject(), subject(2, "cat", mask=mask_of(box_pixels(20, 3, 30, 20)), gme_score=None)]
    regions = regions_of(subjects, width=WIDTH, height=HEIGHT)
    shown = [
        one
        for tag, one in Tags(stage.frame("/f", "a", regions, size=(WIDTH, HEIGHT))).tags
        if tag == "g" and one.get("role")
    ]
    assert {one["data-region"] for one in shown} == {"1", "2"}
    assert all(one["tabindex"] == "0" for one in shown)
    said = {one["data-region"]: str(one["aria-label"]) for one in shown}
    assert "GME 0.500 cosine, aesthetic 4.00 of about 10, mask confidence 0.90" in said["1"]
    assert "GME missing cosine" in said["2"]


def test_sixteen_masks_of_the_real_clip_are_nine_regions_and_one_box_is_far(real_catalog: opens2v_data.OpenS2V) -> None:
    import opens2v_data

    triple = next(iter(opens2v_data.open(str(real_catalog)).triples()))
    size = frame_size(triple.clip)
    assert size is not None
    regions = regions_of(triple.subjects, width=size[0], height=size[1])
    assert (len(triple.subjects), len(regions)) == (16, 9)
    flags = {
        (note.subject.class_name, flag.code): flag.text for one in regions for note in one.notes for flag in note.flags
    }
    assert list(flags) == [("grassy area", "box-far")]
    assert "0.15" in flags["grassy area", "box-far"]
