"""An opened catalog gives the sample's truth: captions, masks, boxes, frames and bytes, known from making it."""

from __future__ import annotations

import hashlib
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest

import opens2v_data
from opens2v_data import OpenS2V, sample
from opens2v_data.errors import CatalogNotFoundError, QueryError
from opens2v_data.query import CONFIGS
from opens2v_loaders import annotated_frame, decode_rle, probe, read_frames

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_data.sample import ClipFacts, SampleFacts, SubjectFacts
    from opens2v_data.triples import Clip, Subject, Triple


@pytest.fixture(scope="module")
def dataset(sample_catalog: Path) -> OpenS2V:
    """The sample, opened."""
    return opens2v_data.open(sample_catalog)


@pytest.fixture(scope="module")
def told(dataset: OpenS2V, sample_facts: SampleFacts) -> list[tuple[Triple, ClipFacts]]:
    """Every triple with the truth about it."""
    return list(zip(dataset.triples(), sample_facts.clips, strict=True))


def test_clips_are_those_of_the_sample_in_its_order(told: list[tuple[Triple, ClipFacts]]) -> None:
    for clip_id, (triple, facts) in enumerate(told):
        clip: Clip = triple.clip
        assert (clip.clip_id, clip.key, clip.part) == (clip_id, facts.key, facts.part)
        assert clip.cluster_id.endswith(facts.cluster)
        assert (clip.cut, clip.face_cut, clip.ann_frame_idx) == (facts.cut, facts.face_cut, facts.ann_frame_idx)
        assert (clip.width, clip.height, clip.num_frames) == (facts.width, facts.height, facts.num_frames)
        assert clip.crop_xyxy in (facts.crop_xyxy, None)
        assert clip.crop_xyxy or facts.crop_xyxy == (0, 0, facts.width, facts.height)
        for name in ("fps", "aesthetic", "motion", "tech"):
            expected = getattr(facts, name)
            assert getattr(clip, name) == (None if expected is None else pytest.approx(expected, rel=1e-6))
        assert clip.tags == facts.tags
        assert clip.background_path == facts.background_path


def test_captions_are_word_for_word_wherever_upstream_wrote_them(
    dataset: OpenS2V, told: list[tuple[Triple, ClipFacts]]
) -> None:
    assert [triple.caption for triple, _ in told] == [facts.caption for _, facts in told]
    alternatives = [tuple(row["caption_alternatives"]) for row in dataset.rows(columns=["caption_alternatives"])]
    assert alternatives == [facts.caption_alternatives for _, facts in told]


def _same_subject(subject: Subject, facts: SubjectFacts) -> None:
    assert (subject.object_id, subject.class_name) == (facts.object_id, facts.class_name)
    if facts.bbox_xyxy is None:
        assert subject.bbox_xyxy is None
    else:
        assert subject.bbox_xyxy == tuple(np.asarray(facts.bbox_xyxy, np.float32).tolist())
    for name in ("gme_score", "aes_score"):
        expected = getattr(facts, name)
        assert getattr(subject, name) == (None if expected is None else float(np.float32(expected)))


def test_subjects_have_the_samples_boxes_and_scores(told: list[tuple[Triple, ClipFacts]]) -> None:
    for triple, facts in told:
        assert len(triple.subjects) == len(facts.subjects)
        for subject, truth in zip(triple.subjects, facts.subjects, strict=True):
            _same_subject(subject, truth)
            assert triple.subject(truth.object_id) is subject


def test_masks_are_exact_to_the_pixel(told: list[tuple[Triple, ClipFacts]], sample_facts: SampleFacts) -> None:
    num_masks = 0
    for triple, facts in told:
        for subject, truth in zip(triple.subjects, facts.subjects, strict=True):
            expected = truth.mask()
            if expected is None:
                assert subject.mask is None
                continue
            assert subject.mask is not None
            assert np.array_equal(decode_rle(subject.mask), expected)
            assert subject.mask.frame_idx == facts.ann_frame_idx
            assert subject.mask.score == pytest.approx(truth.mask_score, rel=1e-6)
            num_masks += 1
    assert num_masks == sample_facts.counts["masks"]


def test_bytes_are_those_of_the_videos(dataset: OpenS2V, told: list[tuple[Triple, ClipFacts]]) -> None:
    for triple, facts in told:
        ref = triple.clip.video
        if facts.video is None:
            assert ref is None
            continue
        assert ref is not None
        assert (ref.part, ref.member, ref.offset) == (facts.part, facts.video.member, facts.video.offset)
        assert ref.catalog_root == str(dataset.catalog.root)
        data = dataset.read_bytes(ref)
        assert len(data) == ref.size_bytes == facts.video.size_bytes
        assert hashlib.sha256(data).hexdigest() == facts.video.sha256


def test_videos_have_the_samples_frames_times_and_key_frames(
    dataset: OpenS2V, told: list[tuple[Triple, ClipFacts]]
) -> None:
    for triple, facts in told:
        if triple.clip.video is None or facts.video is None:
            continue
        info = probe(dataset.read_bytes(triple.clip.video))
        assert info.num_frames_from_packets == facts.video.num_frames
        assert (info.width, info.height) == (facts.width, facts.height)
        times = [info.pts_seconds(frame_idx) for frame_idx in range(info.num_frames_from_packets)]
        assert times == pytest.approx(list(facts.video.pts_seconds), abs=1e-6)
        assert tuple(np.flatnonzero(info.is_keyframe)) == facts.video.key_frames


def test_the_annotated_frame_is_the_one_upstream_annotated(
    dataset: OpenS2V, told: list[tuple[Triple, ClipFacts]]
) -> None:
    for triple, facts in told:
        if triple.clip.video is None or facts.video is None:
            continue
        rgb = annotated_frame(dataset.read_bytes(triple.clip.video), triple.clip)
        assert rgb.shape[1::-1] == facts.cropped_size
        assert sample.read_frame_number(rgb) == triple.clip.ann_frame_idx == facts.ann_frame_idx
        assert sample.read_video_number(rgb) == facts.video.number


def test_frames_of_the_cut_are_those_asked_for(dataset: OpenS2V, sample_facts: SampleFacts) -> None:
    facts = next(clip for clip in sample_facts.clips if clip.video is not None and clip.video.varying)
    (triple,) = dataset.triples(f"clip_key = '{facts.key}'")
    assert triple.clip.video is not None and triple.clip.cut is not None
    wanted = [triple.clip.cut[1] - 1, triple.clip.cut[0], triple.clip.cut[0] + 7]
    frames = read_frames(dataset.read_bytes(triple.clip.video), wanted, crop_xyxy=triple.clip.crop_xyxy)
    assert [sample.read_frame_number(rgb) for rgb in frames.rgb] == wanted


def test_pairs_join_the_clips_and_subjects_that_upstream_paired(dataset: OpenS2V, sample_facts: SampleFacts) -> None:
    given = {
        (
            pair.left.clip.key,
            pair.left_object_id,
            pair.left_class_name,
            pair.right.clip.key,
            pair.right_object_id,
            pair.right_class_name,
            pair.text_similarity,
            pair.image_similarity,
        )
        for pair in dataset.pairs()
    }
    expected = {
        (
            pair.cur_id.rpartition("/")[2],
            None if pair.cur_class_id is None else int(pair.cur_class_id),
            pair.cur_class_name,
            pair.aft_id.rpartition("/")[2],
            None if pair.aft_class_id is None else int(pair.aft_class_id),
            pair.aft_class_name,
            float(np.float32(pair.text_similarity)),
            float(np.float32(pair.image_similarity)),
        )
        for pair in sample_facts.pairs
    }
    assert given == expected
    assert dataset.count(config="nexus-cross") == len(sample_facts.pairs)


def test_sides_of_a_pair_are_whole_triples(dataset: OpenS2V, told: list[tuple[Triple, ClipFacts]]) -> None:
    triples = {triple.clip.clip_id: triple for triple, _ in told}
    for pair in dataset.pairs():
        assert pair.left == triples[pair.left.clip.clip_id]
        assert pair.right == triples[pair.right.clip.clip_id]
        if pair.left_object_id is not None:
            assert pair.left.subject(pair.left_object_id).class_name == pair.left_class_name


def test_views_are_the_samples(dataset: OpenS2V, sample_facts: SampleFacts) -> None:
    given = [
        (triple.clip.key, view.view_idx, view.class_name, view.object_id, view.path, view.source_path)
        for triple in dataset.triples(with_views=True)
        for view in triple.views
    ]
    expected = [
        (view.clip_key, view.view_idx, view.class_name, view.object_id, view.path, view.source_path)
        for view in sample_facts.views
    ]
    assert sorted(given) == sorted(expected)
    assert all(triple.views == () for triple in dataset.triples())


def test_conditions_limits_and_counts_agree_with_plain_python(dataset: OpenS2V, sample_facts: SampleFacts) -> None:
    good = [clip.key for clip in sample_facts.clips if clip.aesthetic is not None and clip.aesthetic > 5]
    assert [triple.clip.key for triple in dataset.triples("aesthetic > 5")] == good
    assert [triple.clip.key for triple in dataset.triples("aesthetic > 5", limit=2)] == good[:2]
    assert dataset.count("aesthetic > 5") == len(good)
    assert len(dataset) == dataset.count() == len(sample_facts.clips)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_condition_that_cannot_be_answered_raises(dataset: OpenS2V, config: opens2v_data.query.Config) -> None:
    with pytest.raises(QueryError, match=f"where='beauty > 1' is no condition that config {config} can answer"):
        list(dataset.rows("beauty > 1", config=config))


def test_a_column_that_is_none_raises_before_the_first_row(dataset: OpenS2V) -> None:
    with pytest.raises(QueryError, match="config regular has no column 'beauty'; it has clip_id, "):
        next(dataset.rows(columns=["clip_id", "beauty"]))


def test_rows_have_the_columns_asked_for_in_that_order(dataset: OpenS2V) -> None:
    (row,) = dataset.rows(columns=["caption", "clip_id"], limit=1)
    assert list(row) == ["caption", "clip_id"]


def test_a_dataset_says_what_it_holds(dataset: OpenS2V, sample_catalog: Path) -> None:
    shown = f"OpenS2V(Catalog({str(sample_catalog)!r}, clips=20, subjects=91, pairs=38, views=11))"
    assert repr(dataset) == shown


def test_a_query_can_be_sent_to_a_worker(dataset: OpenS2V) -> None:
    copy = pickle.loads(pickle.dumps(dataset.query))
    assert copy.count("regular", "aesthetic > 5") == dataset.count("aesthetic > 5")


def test_opening_what_is_no_catalog_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(CatalogNotFoundError, match="make one with: opens2v ingest RELEASE"):
        opens2v_data.open(tmp_path)
