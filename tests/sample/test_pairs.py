"""Cross-video pairs: three spellings of the same pairs, between clips that are there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from opens2v_data.sample.pairs import upstream_pair

if TYPE_CHECKING:
    from opens2v_data.sample import SampleFacts

FOLDER = "Jsons/cross_video_pairs"
KEYS = [
    "cur_id", "aft_id", "cur_class_id", "aft_class_id", "cur_class_name", "aft_class_name", "text_similarity",
    "image_similarity", "cur_frame_idx", "aft_frame_idx",
]  # fmt: skip
OLD_KEYS = [key for key in KEYS if not key.endswith("class_id")]
OLD_CLUSTER = "gm998214402-269903117"


def test_the_file_of_all_pairs_and_those_of_each_cluster_agree_with_the_facts(written_sample: SampleFacts) -> None:
    folder = written_sample.root / FOLDER
    every = json.loads((folder / "cross_frames_pairs.json").read_text())
    files = {path.stem: json.loads(path.read_text()) for path in (folder / "final_output").iterdir()}
    assert files == every
    told = {name: [upstream_pair(pair) for pair in written_sample.pairs if pair.cluster == name] for name in every}
    assert told == every
    assert sum(map(len, every.values())) == len(written_sample.pairs)


def test_the_cluster_index_names_the_clips_of_every_cluster_of_more_than_one(written_sample: SampleFacts) -> None:
    index = json.loads((written_sample.root / FOLDER / "cluster_videos.json").read_text())
    for cluster, ids in index.items():
        clips = [clip for clip in written_sample.clips if clip.cluster == cluster]
        prefixed = [clip.key if cluster == OLD_CLUSTER else f"{clip.part}/{clip.key}" for clip in clips]
        assert sorted(ids) == sorted(prefixed) and len(ids) > 1


def test_keys_come_in_upstreams_order_also_in_the_older_form(written_sample: SampleFacts) -> None:
    every = json.loads((written_sample.root / FOLDER / "cross_frames_pairs.json").read_text())
    for cluster, pairs in every.items():
        assert pairs
        for pair in pairs:
            assert list(pair) == (OLD_KEYS if cluster == OLD_CLUSTER else KEYS)
            assert ("/" in pair["cur_id"]) is (cluster != OLD_CLUSTER)


def test_pairs_name_subjects_that_are_there(written_sample: SampleFacts) -> None:
    for pair in written_sample.pairs:
        for full, class_id, class_name, frame in (
            (pair.cur_id, pair.cur_class_id, pair.cur_class_name, pair.cur_frame_idx),
            (pair.aft_id, pair.aft_class_id, pair.aft_class_name, pair.aft_frame_idx),
        ):
            clip = written_sample.clip(full.rpartition("/")[2])
            assert frame == clip.ann_frame_idx
            if class_id is not None:
                assert clip.subjects[int(class_id) - 1].class_name == class_name
            else:
                assert class_name in {subject.class_name for subject in clip.subjects}


def test_similarities_spread_and_one_is_above_one(written_sample: SampleFacts) -> None:
    similarities = [pair.image_similarity for pair in written_sample.pairs]
    assert min(similarities) > 0.6
    assert [value for value in similarities if value > 1] == [1.0009765625]
    assert any(value < 0.8 for value in similarities) and any(0.98 < value < 1 for value in similarities)


def test_some_pairs_cross_parts_and_some_cross_class_names(written_sample: SampleFacts) -> None:
    new = [pair for pair in written_sample.pairs if pair.cluster != OLD_CLUSTER]
    assert any(pair.cur_id.partition("/")[0] != pair.aft_id.partition("/")[0] for pair in new)
    mismatches = {
        (pair.cur_class_name, pair.aft_class_name) for pair in new if pair.cur_class_name != pair.aft_class_name
    }
    assert ("woman", "individual") in mismatches and ("person", "girl") in mismatches
