"""The annotations: upstream's shape and order of keys, the facts in them, and every quirk."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from opens2v_data.sample import ClipFacts, SampleFacts
from opens2v_data.sample.records import dump_records
from sample.reading import JSONS

Load = Callable[[str], list[tuple[str, dict[str, Any]]]]

METADATA = [
    "cut",
    "crop",
    "tech",
    "motion",
    "fps",
    "num_frames",
    "resolution",
    "path",
    "aesthetic",
    "face_cut",
    "face_cap_qwen",
]
"""Order of keys in upstream's sample."""


@pytest.fixture
def record_with(written_sample: SampleFacts, record_pairs: Load) -> Callable[[str], tuple[ClipFacts, dict[str, Any]]]:
    def find(quirk: str) -> tuple[ClipFacts, dict[str, Any]]:
        clip = written_sample.clip_with(quirk)
        return clip, next(record for key, record in record_pairs(clip.part) if key == clip.key)

    return find


Find = Callable[[str], tuple[ClipFacts, dict[str, Any]]]


def test_one_file_is_indented_and_the_other_compact(written_sample: SampleFacts) -> None:
    first, second = ((written_sample.root / JSONS / f"{part}.json").read_text() for part in written_sample.parts)
    assert first.startswith('{\n    "') and '\n        "metadata": {\n            "cut": [\n                0,' in first
    assert "\n" not in second and second.startswith('{"') and '":{"metadata":{"cut":[0,61],"crop":[' in second


def test_an_indented_file_is_what_json_itself_would_write() -> None:
    records = {"a": {"b": [1, {"c": None}]}, "d": {}}
    assert dump_records(records.items(), indent=4) == json.dumps(records, indent=4)
    assert dump_records(records.items(), indent=None) == json.dumps(records, separators=(",", ":"))


def test_keys_come_in_upstreams_order(written_sample: SampleFacts, record_pairs: Load) -> None:
    clean = next(clip for clip in written_sample.clips if clip.quirk is None)
    record = dict(record_pairs(clean.part))[clean.key]
    assert list(record) == ["metadata", "word_tags", "annotation"]
    assert list(record["metadata"]) == METADATA
    assert list(record["word_tags"]) == ["background", "subject", "object", "pre_define"]
    annotation = record["annotation"]
    assert list(annotation) == ["ann_frame_data", "mask_map", "mask_annotation"]
    assert list(annotation["ann_frame_data"]) == [
        "ann_frame_idx", "annotations", "box_format", "img_width", "img_height", "foreground_ase_score",
        "background_ase_score",
    ]  # fmt: skip
    assert list(annotation["ann_frame_data"]["annotations"][0]) == ["class_name", "bbox", "gme_score", "aes_score"]
    masks = annotation["mask_annotation"][str(clean.ann_frame_idx)]
    assert list(masks) == [str(subject.object_id) for subject in clean.subjects]
    assert list(masks["1"]) == ["size", "counts", "score"]


def test_records_are_those_of_the_facts_plus_a_duplicate_and_an_unloadable_one(
    written_sample: SampleFacts, record_pairs: Load
) -> None:
    for part in written_sample.parts:
        keys = [key for key, _ in record_pairs(part)]
        expected = [clip.key for clip in written_sample.clips if clip.part == part]
        if part == written_sample.duplicate_part:
            assert keys.pop() == written_sample.duplicate_key
        if part == written_sample.unloadable_part:
            keys.remove(written_sample.unloadable_key)
        assert keys == expected


def test_every_record_says_what_the_facts_say(written_sample: SampleFacts, record_pairs: Load) -> None:
    for clip in written_sample.clips:
        record = next(record for key, record in record_pairs(clip.part) if key == clip.key)
        metadata, annotation = record["metadata"], record["annotation"]
        x0, y0, x1, y1 = clip.crop_xyxy
        assert metadata["crop"] == [x0, x1, y0, y1]
        assert tuple(metadata["cut"]) == clip.cut
        assert metadata["path"] == clip.record_path
        assert metadata["resolution"] == {"height": clip.height, "width": clip.width}
        assert int(metadata["num_frames"]) == clip.num_frames
        assert float(metadata["fps"]) == clip.fps
        frame = annotation["ann_frame_data"]
        assert frame["ann_frame_idx"] == clip.ann_frame_idx == (clip.face_cut or clip.cut)[0]
        assert (frame["img_width"], frame["img_height"]) == clip.cropped_size
        for index, box in enumerate(frame["annotations"]):
            assert (box["class_name"], tuple(box["bbox"])) == (
                clip.subjects[index].class_name,
                clip.subjects[index].bbox_xyxy,
            )


def test_boxes_are_tight_to_their_masks(written_sample: SampleFacts) -> None:
    for clip in written_sample.clips:
        if clip.quirk in ("mask_size", "box_out_of_frame"):
            continue
        for subject in clip.subjects:
            mask = subject.mask()
            if mask is None or not mask.any() or subject.bbox_xyxy is None:
                continue
            ys, xs = np.nonzero(mask)
            tight = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            assert np.abs(np.subtract(tight, subject.bbox_xyxy)).max() <= 1.51


def test_scores_fit_float32_and_tech_does_not(written_sample: SampleFacts) -> None:
    scores = [clip.aesthetic for clip in written_sample.clips] + [clip.motion for clip in written_sample.clips]
    scores += [clip.fps for clip in written_sample.clips]
    scores += [score for clip in written_sample.clips for s in clip.subjects for score in (s.gme_score, s.aes_score)]
    assert all(float(np.float32(score)) == score for score in scores if score is not None)
    assert any(float(np.float32(clip.tech)) != clip.tech for clip in written_sample.clips)


def test_about_half_of_the_clips_are_beautiful(written_sample: SampleFacts) -> None:
    scores = [clip.aesthetic for clip in written_sample.clips if clip.aesthetic is not None]
    assert 3.4 < min(scores) < 3.7 and 6.6 < max(scores) < 6.9
    assert sum(score > 5 for score in scores) == len(written_sample.clips) // 2


def test_cuts_and_face_cuts_lie_inside_one_another(written_sample: SampleFacts) -> None:
    for clip in written_sample.clips:
        assert 0 <= clip.cut[0] < clip.cut[1] <= clip.num_frames
        if clip.face_cut is not None:
            assert clip.cut[0] <= clip.face_cut[0] < clip.face_cut[1] <= clip.cut[1]
    assert any(clip.cut[0] > 0 and clip.face_cut and clip.face_cut[0] > clip.cut[0] for clip in written_sample.clips)


@pytest.mark.parametrize(
    ("quirk", "field"), [("caption_glm", "face_cap_glm"), ("caption_aria", "face_cap_Aria"), ("caption_list", "cap")]
)
def test_a_caption_can_stand_elsewhere(record_with: Find, quirk: str, field: str) -> None:
    clip, record = record_with(quirk)
    assert "face_cap_qwen" not in record["metadata"]
    text = record["metadata"][field]
    assert (text if isinstance(text, str) else text[0]) == clip.caption
    assert isinstance(text, list) is (quirk == "caption_list")


def test_a_lone_surrogate_stands_for_what_the_facts_call_a_replacement_character(record_with: Find) -> None:
    clip, record = record_with("lone_surrogate")
    assert record["metadata"]["face_cap_qwen"].count("\ud83d") == clip.caption.count("\ufffd") == 1


def test_numbers_can_be_missing(record_with: Find) -> None:
    clip, record = record_with("missing_gme_score")
    boxes = record["annotation"]["ann_frame_data"]["annotations"]
    assert ["gme_score" in box for box in boxes] == [True, False, True, True]
    assert clip.subjects[1].gme_score is None
    clip, record = record_with("missing_aesthetic")
    assert "aesthetic" not in record["metadata"] and clip.aesthetic is None
    clip, record = record_with("missing_face_cut")
    assert "face_cut" not in record["metadata"] and clip.face_cut is None


def test_numbers_can_be_nan_or_strings(written_sample: SampleFacts, record_with: Find) -> None:
    clip, record = record_with("nan_motion")
    assert math.isnan(record["metadata"]["motion"]) and clip.motion is None
    assert (written_sample.root / JSONS / f"{clip.part}.json").read_text().count('"motion": NaN,') == 1
    clip, record = record_with("numbers_as_strings")
    assert all(isinstance(record["metadata"][name], str) for name in ("motion", "fps", "num_frames", "aesthetic"))
    assert float(record["metadata"]["aesthetic"]) == clip.aesthetic


def test_masks_can_be_absent_or_empty_or_fewer_or_of_another_size(record_with: Find) -> None:
    clip, record = record_with("null_mask_annotation")
    assert record["annotation"]["mask_annotation"] is None
    assert all(subject.mask_counts is None and subject.bbox_xyxy for subject in clip.subjects)
    clip, record = record_with("empty_mask")
    assert [subject.class_name for subject in clip.subjects if subject.mask_area == 0] == ["gloves"]
    clip, record = record_with("more_annotations_than_masks")
    assert len(record["annotation"]["ann_frame_data"]["annotations"]) == 5
    assert (
        list(record["annotation"]["mask_map"]) == list(record["annotation"]["mask_annotation"]["4"]) == ["1", "2", "3"]
    )
    clip, record = record_with("mask_size")
    assert {subject.mask_size for subject in clip.subjects} == {(clip.height // 2, clip.width // 2)}


def test_a_mask_can_lack_its_box_and_a_box_can_leave_the_frame(record_with: Find) -> None:
    clip, record = record_with("mask_map_extra_class")
    assert len(record["annotation"]["ann_frame_data"]["annotations"]) == 3
    assert record["annotation"]["mask_map"]["4"] == {"class_name": "road"}
    assert clip.subjects[3].bbox_xyxy is None and clip.subjects[3].mask_area
    clip, _ = record_with("box_out_of_frame")
    box = clip.subjects[-1].bbox_xyxy
    assert box is not None and box[2] > clip.width + 10 and box[3] > clip.height + 10


def test_several_phrases_can_give_the_same_region(record_with: Find) -> None:
    clip, _ = record_with("near_duplicates")
    masks = [mask for subject in clip.subjects if (mask := subject.mask()) is not None]
    regions: list[np.ndarray] = []
    for mask in masks:
        if not any((mask & other).sum() / (mask | other).sum() > 0.8 for other in regions):
            regions.append(mask)
    assert (len(masks), len(regions)) == (12, 6)


def test_one_record_is_of_a_wrong_type_and_one_key_occurs_twice(
    written_sample: SampleFacts, record_pairs: Load
) -> None:
    assert dict(record_pairs(written_sample.unloadable_part))[written_sample.unloadable_key]["annotation"] == "oops"
    same = [r for key, r in record_pairs(written_sample.duplicate_part) if key == written_sample.duplicate_key]
    first, second = (record["metadata"]["face_cap_qwen"] for record in same)
    assert first == written_sample.clip(written_sample.duplicate_key).caption
    assert second == written_sample.duplicate_caption != first


def test_every_quirk_has_a_clip_of_its_own(written_sample: SampleFacts) -> None:
    assert len(set(written_sample.quirks.values())) == len(written_sample.quirks) == 19
    assert written_sample.clip_with("absent_video").video is None
    assert written_sample.counts["clips"] == 20
