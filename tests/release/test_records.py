"""Each variant that upstream's records come in, made one shape; and what becomes of values that are none."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.release.records import (
    FLOAT32_MAX,
    INT16_MAX,
    INT32_MAX,
    ClipRecord,
    MaskRecord,
    RecordError,
    decode_record,
    escapes,
    normalise,
)

MASK = {"size": [36, 64], "counts": "PPP", "score": [0.5]}


def box(name: str | None = "woman", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"bbox": [1.0, 2.0, 10.5, 20.25], "gme_score": 0.25, "aes_score": 4.5}
    return made | ({"class_name": name} if name is not None else {}) | changes


def annotation(*boxes: dict[str, Any], masks: Any = None, **frame: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ann_frame_data": {"ann_frame_idx": 3, "annotations": list(boxes), "box_format": "xyxy"} | frame
    }
    return made if masks is None else made | {"mask_annotation": masks}


def read_bytes(text: bytes) -> ClipRecord:
    raw, quirks = decode_record(text)
    return normalise("clip", raw, quirks)


def read(metadata: dict[str, Any] | None = None, **parts: Any) -> ClipRecord:
    known = {"resolution": {"height": 36, "width": 64}, "cut": [0, 50], "path": "a.mp4"}
    return read_bytes(json.dumps({"metadata": known | (metadata or {}), **parts}).encode())


# -- captions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["face_cap_qwen", "face_cap_glm", "face_cap_Aria", "cap"])
def test_a_caption_is_found_under_each_of_its_four_fields(name: str) -> None:
    clip = read({name: "a woman"})
    assert (clip.caption, clip.caption_source, clip.caption_alternatives) == ("a woman", name, [])


def test_of_several_captions_the_first_field_wins_and_the_others_are_alternatives() -> None:
    clip = read({"cap": "fourth", "face_cap_Aria": "third", "face_cap_glm": "second", "face_cap_qwen": "first"})
    assert (clip.caption, clip.caption_source) == ("first", "face_cap_qwen")
    assert clip.caption_alternatives == ["second", "third", "fourth"]


def test_a_caption_field_without_text_gives_way_to_the_next() -> None:
    clip = read({"face_cap_qwen": " \n", "face_cap_glm": None, "face_cap_Aria": [], "cap": "found"})
    assert (clip.caption, clip.caption_source, clip.caption_alternatives) == ("found", "cap", [])


def test_of_a_list_of_captions_the_first_with_text_is_the_caption() -> None:
    clip = read({"face_cap_qwen": ["", None, "one", "two", "one"], "cap": "two"})
    assert (clip.caption, clip.caption_source) == ("one", "face_cap_qwen")
    assert clip.caption_alternatives == ["two", "two"]


def test_a_record_without_any_caption_has_none() -> None:
    clip = read({"face_cap_qwen": [], "cap": None})
    assert (clip.caption, clip.caption_source, clip.caption_alternatives) == (None, None, [])


# -- numbers ---------------------------------------------------------------------------------------------------------


def test_missing_scores_are_null_and_no_quirk() -> None:
    clip = read(annotation=annotation({"class_name": "woman", "bbox": [1, 2, 3, 4]}))
    assert (clip.tech, clip.motion, clip.aesthetic, clip.foreground_aesthetic, clip.background_aesthetic) == (None,) * 5
    (subject,) = clip.subjects
    assert (subject.gme_score, subject.aes_score) == (None, None)
    assert clip.quirks == []


def test_null_scores_are_null_and_no_quirk() -> None:
    clip = read({"aesthetic": None, "fps": None}, annotation=annotation(box(gme_score=None), foreground_ase_score=None))
    assert (clip.aesthetic, clip.fps, clip.foreground_aesthetic, clip.subjects[0].gme_score) == (None,) * 4
    assert clip.quirks == []


@pytest.mark.parametrize(
    "bare", ["NaN", "Infinity", "-Infinity", "1e999", '"NaN"', '"-inf"', '"1e999"', "1e39", "1" + "0" * 400]
)
def test_a_number_that_is_none_becomes_null_with_a_quirk(bare: str) -> None:
    text = (
        '{"metadata": {"aesthetic": X, "fps": X, "tech": X}, "annotation": {"ann_frame_data": {"foreground_ase_score": X,'
        ' "annotations": [{"class_name": "a", "gme_score": X, "bbox": [X, 1, 2, 3]}]},'
        ' "mask_annotation": {"0": {"1": {"size": [1, 1], "counts": "1", "score": [X]}}}}}'
    )
    clip = read_bytes(text.replace("X", bare).encode())
    (subject,) = clip.subjects
    assert (clip.aesthetic, clip.fps, clip.tech, clip.foreground_aesthetic, subject.gme_score) == (None,) * 5
    assert subject.bbox_xyxy is None
    assert subject.mask is not None and subject.mask.score is None
    assert clip.quirks == ["nan", "bad-box"]


def test_the_largest_number_that_float32_holds_stays() -> None:
    assert read({"aesthetic": FLOAT32_MAX, "motion": -FLOAT32_MAX}).aesthetic == FLOAT32_MAX


def test_numbers_written_as_strings_are_numbers() -> None:
    clip = read(
        {"aesthetic": "5.25", "num_frames": "95", "cut": ["0", "95"], "resolution": {"height": "36", "width": "64"}},
        annotation=annotation(box(bbox=["1", "2.5", "3", "4"], gme_score="0.5"), ann_frame_idx="7"),
    )
    assert (clip.aesthetic, clip.num_frames, clip.cut, clip.width, clip.height) == (5.25, 95, [0, 95], 64, 36)
    assert (clip.ann_frame_idx, clip.subjects[0].bbox_xyxy, clip.subjects[0].gme_score) == (
        7,
        [1.0, 2.5, 3.0, 4.0],
        0.5,
    )
    assert clip.quirks == []


def test_a_frame_number_written_as_a_float_is_a_frame_number() -> None:
    assert read({"cut": [0.0, 95.0]}).cut == [0, 95]


def test_tech_keeps_all_its_digits() -> None:
    assert read({"tech": 2.0819999999999999}).tech == 2.082


# -- ranges ----------------------------------------------------------------------------------------------------------


def test_a_missing_face_cut_is_null() -> None:
    assert read().face_cut is None
    assert read({"face_cut": None}).face_cut is None
    assert read({"face_cut": []}).face_cut is None


@pytest.mark.parametrize("value", [[5], [0, 1, 2], [9, 3], [-1, 5], [0, INT32_MAX + 1]])
@pytest.mark.parametrize(("name", "quirk"), [("cut", "bad-cut"), ("face_cut", "bad-face-cut")])
def test_a_range_that_is_none_becomes_null_with_a_quirk(name: str, quirk: str, value: list[int]) -> None:
    clip = read({name: value})
    assert getattr(clip, name) is None
    assert clip.quirks == [quirk]


def test_a_face_cut_outside_the_cut_is_kept_with_a_quirk() -> None:
    clip = read({"cut": [10, 50], "face_cut": [5, 20]})
    assert (clip.face_cut, clip.quirks) == ([5, 20], ["face-cut-outside-cut"])


def test_the_crop_is_turned_from_x0_x1_y0_y1_to_x0_y0_x1_y1() -> None:
    assert read({"crop": [2, 60, 3, 30]}).crop_xyxy == [2, 3, 60, 30]
    assert read({"crop": None}).crop_xyxy is None


@pytest.mark.parametrize("value", [[0, 64], [9, 9, 0, 5], [5, 3, 0, 5], [-1, 5, 0, 5], [0, 5, 7, 7]])
def test_a_crop_without_area_or_with_other_than_four_numbers_is_null_with_a_quirk(value: list[int]) -> None:
    clip = read({"crop": value})
    assert (clip.crop_xyxy, clip.quirks) == (None, ["bad-crop"])


def test_a_crop_that_leaves_the_frame_is_kept_with_a_quirk() -> None:
    clip = read({"crop": [0, 65, 0, 36]})
    assert (clip.crop_xyxy, clip.quirks) == ([0, 0, 65, 36], ["crop-outside-frame"])


# -- boxes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bbox", [[-3, 2, 10, 20], [1, 2, 90, 20], [1, 2, 10, 99], [10, 2, 1, 20], [1, 20, 10, 2]])
def test_a_box_outside_the_frame_is_kept_with_a_quirk(bbox: list[float]) -> None:
    clip = read(annotation=annotation(box(bbox=bbox)))
    assert (clip.subjects[0].bbox_xyxy, clip.quirks) == (bbox, ["box-outside-frame"])


def test_half_a_pixel_over_the_edge_is_no_quirk() -> None:
    assert read(annotation=annotation(box(bbox=[-0.4, -0.4, 64.4, 36.4]))).quirks == []


def test_boxes_are_measured_in_the_cropped_frame() -> None:
    assert read({"crop": [0, 32, 0, 36]}, annotation=annotation(box(bbox=[1, 1, 40, 20]))).quirks == [
        "box-outside-frame"
    ]


def test_boxes_of_a_clip_without_size_are_not_measured() -> None:
    assert read({"resolution": None}, annotation=annotation(box(bbox=[1, 1, 4000, 2000]))).quirks == []


@pytest.mark.parametrize("bbox", [[], [1, 2, 3], [1, 2, 3, 4, 5], [1, None, 3, 4]])
def test_a_box_of_other_than_four_numbers_is_null_with_a_quirk(bbox: list[float | None]) -> None:
    clip = read(annotation=annotation(box(bbox=bbox), box()))
    assert [subject.bbox_xyxy is None for subject in clip.subjects] == [True, False]
    assert clip.quirks == ["bad-box"]


def test_a_box_of_corner_and_size_becomes_two_corners() -> None:
    clip = read(annotation=annotation(box(bbox=[1, 2, 10, 20]), box_format="xywh"))
    assert clip.subjects[0].bbox_xyxy == [1, 2, 11, 22]


def test_a_missing_box_is_null_and_no_quirk() -> None:
    clip = read(annotation=annotation({"class_name": "woman"}))
    assert (clip.subjects[0].bbox_xyxy, clip.quirks) == (None, [])


# -- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", [None, {}, {"3": None}, {"3": {}}])
def test_null_absent_and_empty_mask_annotations_are_no_masks(masks: Any) -> None:
    made = annotation(box()) | {"mask_annotation": masks}
    clip = read(annotation=made)
    assert (clip.masks, clip.subjects[0].mask, clip.quirks) == ([], None, [])


@pytest.mark.parametrize(
    "mask", [None, {"size": None, "counts": "PP"}, {"size": [36, 64]}, {"counts": "PP", "score": [1]}]
)
def test_a_mask_that_is_null_or_lacks_its_bytes_is_left_out_with_a_quirk(mask: Any) -> None:
    clip = read(annotation=annotation(box(), box(), masks={"3": {"1": mask, "2": MASK}}))
    assert [subject.mask is None for subject in clip.subjects] == [True, False]
    assert clip.quirks == ["mask-null"]


def test_an_object_id_belongs_to_the_annotation_of_that_number() -> None:
    clip = read(annotation=annotation(box("a"), box("b"), box("c"), masks={"3": {"3": MASK, "1": MASK}}))
    assert [(s.object_id, s.class_name, s.mask is not None) for s in clip.subjects] == [
        (1, "a", True),
        (2, "b", False),
        (3, "c", True),
    ]
    assert clip.quirks == []


def test_the_mask_of_another_frame_is_kept_but_is_no_subjects() -> None:
    clip = read(annotation=annotation(box(), masks={"3": {"1": MASK}, "9": {"1": MASK}}))
    assert [mask.frame_idx for mask in clip.masks] == [3, 9]
    assert clip.subjects[0].mask is clip.masks[0]


def test_without_an_annotated_frame_that_of_the_first_mask_is_taken() -> None:
    clip = read(annotation={"mask_annotation": {"5": {"1": MASK}}, "mask_map": {"1": {"class_name": "dog"}}})
    assert clip.ann_frame_idx == 5
    assert [(s.class_name, s.mask is not None) for s in clip.subjects] == [("dog", True)]


def test_a_mask_of_another_size_than_the_cropped_frame_is_kept_with_a_quirk() -> None:
    for size in ([36, 63], [35, 64], [64, 36]):
        clip = read(annotation=annotation(box(), masks={"3": {"1": MASK | {"size": size}}}))
        assert (clip.masks[0].height, clip.masks[0].width) == tuple(size)
        assert clip.quirks == ["mask-size"]
    cropped = read(
        {"crop": [0, 32, 0, 18]}, annotation=annotation(box(), masks={"3": {"1": MASK | {"size": [18, 32]}}})
    )
    assert "mask-size" not in cropped.quirks


def test_a_mask_without_a_box_is_a_subject_whose_class_comes_from_mask_map() -> None:
    made = annotation(box("a"), masks={"3": {"4": MASK, "1": MASK, "2": MASK}})
    clip = read(annotation=made | {"mask_map": {"1": {"class_name": "x"}, "2": {"class_name": "b"}}})
    assert [(s.object_id, s.class_name, s.bbox_xyxy is None) for s in clip.subjects] == [
        (1, "a", False),
        (2, "b", True),
        (4, "", True),
    ]
    assert clip.quirks == ["mask-without-box"]


def test_a_box_without_a_class_takes_it_from_mask_map() -> None:
    clip = read(annotation=annotation(box(None), box(None)) | {"mask_map": {"1": {"class_name": "dog"}, "2": {}}})
    assert [s.class_name for s in clip.subjects] == ["dog", ""]


def test_a_class_that_only_mask_map_names_is_a_subject_too() -> None:
    made = annotation(box("a"), masks={"3": {"5": MASK}})
    names = {"1": {"class_name": "a"}, "3": {"class_name": "c"}, "5": {"class_name": "e"}, "x": {"class_name": "?"}}
    clip = read(annotation=made | {"mask_map": names})
    assert [(s.object_id, s.class_name, s.mask is not None) for s in clip.subjects] == [
        (1, "a", False),
        (3, "c", False),
        (5, "e", True),
    ]
    assert clip.quirks == ["mask-without-box", "class-without-box"]


@pytest.mark.parametrize("object_id", ["x", "", "-1", "1.5", "²", str(INT16_MAX + 1), "9" * 5000])
def test_a_mask_whose_id_is_no_small_number_is_left_out_with_a_quirk(object_id: str) -> None:
    clip = read(annotation=annotation(box(), masks={"3": {object_id: MASK}}) | {"mask_map": {object_id: {}, "1": {}}})
    assert (clip.masks, clip.quirks) == ([], ["mask-id"])
    assert [s.object_id for s in clip.subjects] == [1]


@pytest.mark.parametrize("score", [0.5, [0.5], [0.5, 0.1]])
def test_a_mask_score_comes_as_a_number_or_a_list(score: Any) -> None:
    assert read(annotation=annotation(masks={"3": {"1": MASK | {"score": score}}})).masks[0].score == 0.5


@pytest.mark.parametrize("score", [None, [], [None]])
def test_a_mask_without_a_score_has_none(score: Any) -> None:
    assert read(annotation=annotation(masks={"3": {"1": MASK | {"score": score}}})).masks[0].score is None


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 400), width=st.integers(1, 400), pixel=st.none() | st.integers(0, 10**6))
def test_an_empty_mask_is_told_from_one_with_a_pixel(height: int, width: int, pixel: int | None) -> None:
    import numpy as np
    from pycocotools import mask as coco

    pixels = np.zeros((height, width), np.uint8, order="F")
    if pixel is not None:
        pixels[pixel % height, pixel // height % width] = 1
    encoded: Any = coco.encode(pixels)
    mask = MaskRecord(0, 1, height, width, None, encoded["counts"].decode())
    assert mask.is_empty == (pixel is None)


def test_a_mask_of_all_ones_is_not_empty() -> None:
    import numpy as np
    from pycocotools import mask as coco

    encoded: Any = coco.encode(np.ones((3, 5), np.uint8, order="F"))
    assert not MaskRecord(0, 1, 3, 5, None, encoded["counts"].decode()).is_empty
    assert MaskRecord(0, 1, 3, 5, None, "").is_empty


# -- text and paths --------------------------------------------------------------------------------------------------


def test_lone_surrogates_become_replacement_characters_with_a_quirk() -> None:
    clip = read_bytes(b'{"metadata": {"cap": "a \\ud83d b", "path": "x.mp4"}, "word_tags": {"subject": ["\\ude00"]}}')
    assert clip.caption == "a \ufffd b"
    assert clip.tags.subject == ["\ufffd"]
    assert clip.quirks == ["text-repaired"]


def test_a_whole_surrogate_pair_is_a_character_and_no_quirk() -> None:
    clip = read_bytes(b'{"metadata": {"cap": "\\ud83d\\ude00"}}')
    assert (clip.caption, clip.quirks) == ("\U0001f600", [])


def test_a_surrogate_pair_beside_a_lone_one_stays() -> None:
    assert read_bytes(b'{"metadata": {"cap": "\\ud83d \\ud83d\\ude00"}}').caption == "\ufffd \U0001f600"


def test_bytes_that_are_no_utf8_become_replacement_characters_with_a_quirk() -> None:
    clip = read_bytes(b'{"metadata": {"cap": "caf\xe9"}}')
    assert (clip.caption, clip.quirks) == ("caf\ufffd", ["text-repaired"])


def test_a_replacement_character_that_upstream_wrote_is_no_quirk() -> None:
    assert read({"cap": "\ufffd"}).quirks == []


def test_raw_control_characters_are_taken() -> None:
    assert read_bytes(b'{"metadata": {"cap": "a\nb\tc"}}').caption == "a\nb\tc"


@pytest.mark.parametrize("path", ["/etc/passwd", "../a.mp4", "a/../../b.mp4", "a\\..\\b.mp4", "a\0b.mp4", "a/.."])
def test_a_path_that_climbs_out_is_kept_as_text_with_a_quirk(path: str) -> None:
    clip = read({"path": path})
    assert (clip.path, clip.quirks) == (path, ["path-escapes"])


@pytest.mark.parametrize("path", ["a.mp4", "./a.mp4", "a..b/c...mp4", "..a/b.mp4", "a b/ü.mp4"])
def test_a_path_that_stays_below_is_no_quirk(path: str) -> None:
    assert not escapes(path)


def test_a_quirk_is_named_once_however_often_it_is_met() -> None:
    assert read(annotation=annotation(box(bbox=[-9, 0, 1, 1]), box(bbox=[-9, 0, 1, 1]))).quirks == ["box-outside-frame"]


def test_a_record_with_metadata_only_is_a_clip_without_subjects() -> None:
    clip = read_bytes(b'{"metadata": {}}')
    assert (clip.path, clip.cut, clip.subjects, clip.masks, clip.quirks) == (None, None, [], [], [])
    assert clip.tags.subject is None


# -- what cannot be read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "not JSON: .*char"),
        (b'{"metadata": {"cap": "x}}', "not JSON: Unterminated string"),
        (b"null", "unexpected shape: Expected `object`, got `null`"),
        (b"[1]", "unexpected shape: Expected `object`, got `array`"),
        (b"{}", "unexpected shape: Object missing required field `metadata`"),
        (b'{"metadata": null}', r"unexpected shape: Expected `object`, got `null` - at `\$.metadata`"),
        (
            b'{"metadata": {"fps": "fast"}}',
            r"unexpected shape: Expected `float \| null`, got `str` - at `\$.metadata.fps`",
        ),
        (b'{"metadata": {"cut": "0-95"}}', r"unexpected shape: .*at `\$.metadata.cut`"),
        (b'{"metadata": {"cap": 5}}', r"unexpected shape: .*at `\$.metadata.cap`"),
        (b'{"metadata": {"path": ["a"]}}', r"unexpected shape: .*at `\$.metadata.path`"),
        (b'{"metadata": {}, "word_tags": {"subject": "woman"}}', r"unexpected shape: .*at `\$.word_tags.subject`"),
        (
            b'{"metadata": {}, "annotation": {"mask_annotation": {"0": {"1": {"size": [1, 2, 3], "counts": "1"}}}}}',
            "unexpected shape: Expected `array` of length 2",
        ),
        (b'{"metadata": {}, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON: nested too deeply"),
    ],
)
def test_a_record_of_another_shape_is_refused_with_what_was_expected_and_found(text: bytes, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        decode_record(text)


@pytest.mark.parametrize("name", ["num_frames", "resolution"])
@pytest.mark.parametrize("value", [INT32_MAX + 1, -2, 10**30])
def test_a_count_out_of_range_is_refused_with_its_value(name: str, value: int) -> None:
    made = {"width": value, "height": 36} if name == "resolution" else value
    with pytest.raises(RecordError, match=f"count out of range in num_frames, width, .*{value}"):
        read({name: made})


def test_more_annotations_than_ids_can_number_are_refused() -> None:
    with pytest.raises(RecordError, match=f"40000 annotations, expected at most {INT16_MAX}"):
        read(annotation=annotation(*[{}] * 40_000))


def test_a_long_reason_is_cut_short() -> None:
    with pytest.raises(RecordError, match=r"unexpected shape: .{0,300}$"):
        decode_record(json.dumps({"metadata": {"resolution": {"height": "x" * 2000}}}).encode())


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
json_values = st.recursive(
    scalars | st.sampled_from(["NaN", "1e400", 10**400, "-1", [1, 2, 3, 4]]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["0", "1", "2", "size", "counts"]), inner)
    ),
    max_leaves=5,
)
METADATA = (
    "cut",
    "crop",
    "face_cut",
    "fps",
    "num_frames",
    "resolution",
    "path",
    "tech",
    "aesthetic",
    "face_cap_qwen",
    "cap",
)
FRAME = ("ann_frame_idx", "annotations", "box_format", "foreground_ase_score")


@settings(max_examples=200, deadline=None)
@given(
    metadata=st.dictionaries(st.sampled_from(METADATA), json_values),
    frame=st.dictionaries(st.sampled_from(FRAME), json_values),
    boxes=st.lists(st.dictionaries(st.sampled_from(["bbox", "gme_score", "class_name"]), json_values), max_size=2),
    rest=st.dictionaries(st.sampled_from(["mask_map", "mask_annotation"]), json_values),
)
def test_any_values_are_a_clip_that_the_tables_can_hold_or_a_reason(
    metadata: dict[str, Any], frame: dict[str, Any], boxes: list[Any], rest: dict[str, Any]
) -> None:
    tree = {"metadata": metadata, "annotation": {"ann_frame_data": {"annotations": boxes} | frame, **rest}}
    try:
        clip = read_bytes(json.dumps(tree).encode())
    except RecordError as error:
        reason = str(error)
        assert reason.startswith(("not JSON: ", "unexpected shape: "))
        return
    subjects = clip.subjects
    numbers = [
        clip.fps,
        clip.tech,
        clip.motion,
        clip.aesthetic,
        clip.foreground_aesthetic,
        *(s.gme_score for s in subjects),
    ]
    assert all(number is None or (math.isfinite(number) and abs(number) <= FLOAT32_MAX) for number in numbers)
    assert all(
        number is None or abs(number) <= INT32_MAX for number in (clip.num_frames, clip.width, clip.ann_frame_idx)
    )
    assert all(0 <= subject.object_id <= INT16_MAX for subject in subjects)
    assert [s.object_id for s in subjects] == sorted({s.object_id for s in subjects})
    assert all(subject.bbox_xyxy is None or len(subject.bbox_xyxy) == 4 for subject in subjects)
