"""The real piece of the upstream release: every value of the catalog against the JSON, masks against pycocotools."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco

import opens2v_data
from catalog.releases import make, tree_of
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.verify import verify
from opens2v_data.dataset import OpenS2V
from opens2v_data.triples import MaskRLE
from opens2v_loaders import decode_rle, rle_area

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "upstream_sample" / "release"
JSONS = FOLDER / "Jsons" / "mask_and_bbox"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real upstream sample is not at {FOLDER}")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> OpenS2V:
    root = tmp_path_factory.mktemp("catalog")
    make(FOLDER, root)
    return opens2v_data.open(root)


@pytest.fixture(scope="module")
def rows(catalog: OpenS2V) -> list[dict[str, Any]]:
    return list(catalog.rows())


def originals() -> list[tuple[str, str, dict[str, Any]]]:
    """Return part, key and record, in the catalog's order."""
    parts = [(path.stem, json.loads(path.read_bytes())) for path in sorted(JSONS.glob("*.json"))]
    return [(part, key, record) for part, records in parts for key, record in records.items()]


def joined_tar(part: str) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((FOLDER / "Videos" / part).glob("*.split.*")))


def test_the_sample_is_three_clips_44_subjects_with_masks_and_104_pairs(catalog: OpenS2V) -> None:
    manifest = catalog.catalog.manifest
    rows = {name: file.rows for name, file in manifest.tables.items()}
    assert (rows["clips"], rows["subjects"], rows["pairs"], rows["views"]) == (3, 44, 104, 3)
    assert manifest.report["quarantined"] == manifest.report["clips_without_video"] == 0
    assert manifest.report["pairs_with_unknown_clip"] == manifest.report["views_without_clip"] == 0
    assert manifest.report["quirks"] == {}
    subjects = pq.read_table(catalog.catalog.root / "subjects.parquet")
    assert subjects.column("has_mask").to_pylist() == [True] * 44


@pytest.mark.parametrize("options", [{"unit_bytes": 10_000}, {"unit_bytes": 40_000, "workers": 2}])
def test_the_sample_is_the_same_for_any_units(catalog: OpenS2V, tmp_path: Path, options: dict[str, int]) -> None:
    make(FOLDER, tmp_path, **options)
    assert tree_of(tmp_path) == tree_of(catalog.catalog.root)


def test_the_catalog_verifies_against_the_release(catalog: OpenS2V) -> None:
    checks = list(verify(Catalog.open(catalog.catalog.root), release=FOLDER, recount=True))
    assert [check for check in checks if not check.is_ok] == []


def test_every_value_of_a_row_is_the_jsons(rows: list[dict[str, Any]]) -> None:
    assert len(rows) == len(originals())
    for clip_id, (row, (part, key, record)) in enumerate(zip(rows, originals(), strict=True)):
        metadata, tags = record["metadata"], record["word_tags"]
        frame = record["annotation"]["ann_frame_data"]
        x0, x1, y0, y1 = metadata["crop"]
        exact = {
            "clip_id": clip_id, "clip_key": key, "part": part, "cluster_id": key.partition("_part")[0],
            "caption": metadata["face_cap_qwen"], "caption_source": "face_cap_qwen", "caption_alternatives": [],
            "num_frames": metadata["num_frames"], "width": metadata["resolution"]["width"],
            "height": metadata["resolution"]["height"], "cut_start": metadata["cut"][0], "cut_end": metadata["cut"][1],
            "face_cut_start": metadata["face_cut"][0], "face_cut_end": metadata["face_cut"][1],
            "crop_x0": x0, "crop_y0": y0, "crop_x1": x1, "crop_y1": y1, "tech": metadata["tech"],
            "ann_frame_idx": frame["ann_frame_idx"], "num_subjects": len(frame["annotations"]),
            "num_masks": len(record["annotation"]["mask_annotation"]["0"]), "quirks": [],
            "background_tags": tags["background"], "subject_tags": tags["subject"], "object_tags": tags["object"],
            "pre_define_tags": tags["pre_define"],
        }  # fmt: skip
        rounded = {
            "fps": metadata["fps"], "motion": metadata["motion"], "aesthetic": metadata["aesthetic"],
            "foreground_aesthetic": frame["foreground_ase_score"], "background_aesthetic": frame["background_ase_score"],
        }  # fmt: skip
        assert {name: row[name] for name in exact} == exact
        assert {name: row[name] for name in rounded} == {
            name: float(np.float32(value)) for name, value in rounded.items()
        }
        assert row.keys() == exact.keys() | rounded.keys() | {
            "video", "subjects", "video_path", "video_size_bytes", "background_path"
        }  # fmt: skip
        check_subjects(row["subjects"], record["annotation"])


def check_subjects(subjects: list[dict[str, Any]], annotation: dict[str, Any]) -> None:
    boxes, masks = annotation["ann_frame_data"]["annotations"], annotation["mask_annotation"]["0"]
    assert [subject["object_id"] for subject in subjects] == list(range(1, len(boxes) + 1))
    for subject, box in zip(subjects, boxes, strict=True):
        mask = masks[str(subject["object_id"])]
        assert (
            subject["class_name"]
            == box["class_name"]
            == annotation["mask_map"][str(subject["object_id"])]["class_name"]
        )
        assert subject["bbox"] == [float(np.float32(value)) for value in box["bbox"]]
        assert subject["gme_score"] == float(np.float32(box["gme_score"]))
        assert subject["aes_score"] == float(np.float32(box["aes_score"]))
        assert [subject["mask"]["height"], subject["mask"]["width"]] == mask["size"]
        assert subject["mask"]["counts"] == mask["counts"]
        assert subject["mask"]["score"] == float(np.float32(mask["score"][0]))
        assert subject["mask"]["frame_idx"] == 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_every_masks_area_and_pixels_are_those_of_pycocotools(rows: list[dict[str, Any]]) -> None:
    num_masks = 0
    decode: Any = coco.decode
    for row, (_, _, record) in zip(rows, originals(), strict=True):
        masks = record["annotation"]["mask_annotation"]["0"]
        for subject in row["subjects"]:
            original: Any = masks[str(subject["object_id"])]
            mask = MaskRLE.from_row(subject["mask"])
            expected = np.asarray(decode([original]))[:, :, 0]
            assert rle_area(mask.counts) == coco.area(original) == int(expected.sum()) > 0
            assert np.array_equal(decode_rle(mask), expected.astype(bool))
            num_masks += 1
    assert num_masks == 44


def test_views_are_linked_though_their_stage_suffix_differs(catalog: OpenS2V) -> None:
    (folder,) = (FOLDER / "GPT-Frames").iterdir()
    assert folder.name not in {key for _, key, _ in originals()}
    rows = list(catalog.rows(config="nexus-gpt"))
    assert [row["clip_id"] for row in rows] == [0, 1]
    for row in rows:
        assert row["clip_key"].startswith(folder.name.partition("_step4")[0])
        found = [(view["view_idx"], view["class_name"], view["path"]) for view in row["views"]]
        assert found == [
            (n, name.replace("_", " "), f"GPT-Frames/{folder.name}/{n}_{name}.png")
            for n, name in enumerate(("woman", "blue_top", "grassy_area"))
        ]
        for view in row["views"]:
            assert catalog.media.read_file(view["path"]) == (FOLDER / view["path"]).read_bytes()
            assert view["source_path"] == f"GPT-Frames/{folder.name}/main_image.png"
            names = {subject["object_id"]: subject["class_name"] for subject in row["subjects"]}
            assert names.get(view["object_id"], view["class_name"]) == view["class_name"]


def test_the_mp4_through_the_split_tar_is_the_tars_member(catalog: OpenS2V) -> None:
    for triple in catalog.triples():
        clip = triple.clip
        with tarfile.open(fileobj=io.BytesIO(joined_tar(clip.part))) as tar:
            (member,) = [member for member in tar.getmembers() if member.name.endswith(".mp4")]
            extracted = tar.extractfile(member)
            assert extracted is not None
            expected = extracted.read()
        assert clip.video is not None
        data = catalog.read_bytes(clip.video)
        assert hashlib.sha256(data).hexdigest() == hashlib.sha256(expected).hexdigest()
        assert (clip.video.size_bytes, clip.video.offset, clip.video.member) == (
            len(expected),
            member.offset_data,
            member.name,
        )
        assert catalog.media.read_range(clip.video, 699_000, 2000) == expected[699_000:701_000]


def test_plates_belong_to_their_parts_clips(catalog: OpenS2V) -> None:
    for row in catalog.rows():
        assert row["background_path"] == f"Background/{row['part']}/{row['clip_key']}.png"
        assert catalog.media.read_file(row["background_path"]) == (FOLDER / row["background_path"]).read_bytes()


def test_pairs_are_those_of_the_json_each_once(catalog: OpenS2V) -> None:
    tree = json.loads((FOLDER / "Jsons/cross_video_pairs/cross_frames_pairs.json").read_bytes())
    expected = [
        (
            pair["cur_id"], pair["aft_id"], int(pair["cur_class_id"]), int(pair["aft_class_id"]), pair["cur_class_name"],
            pair["aft_class_name"], float(np.float32(pair["text_similarity"])), float(np.float32(pair["image_similarity"])),
        )
        for pairs in tree.values()
        for pair in pairs
    ]  # fmt: skip
    found = [
        (
            f"{pair.left.clip.part}/{pair.left.clip.key}", f"{pair.right.clip.part}/{pair.right.clip.key}", pair.left_object_id,
            pair.right_object_id, pair.left_class_name, pair.right_class_name, pair.text_similarity, pair.image_similarity,
        )
        for pair in catalog.pairs()
    ]  # fmt: skip
    assert sorted(map(repr, found)) == sorted(map(repr, expected))
    assert len(found) == 104


def test_the_object_ids_of_partners_are_upstreams_though_half_of_them_are_wrong(catalog: OpenS2V) -> None:
    """Upstream numbered `aft_class_id` by another record than the partner's: only a check of the class name tells."""
    partners: Counter[str] = Counter()
    for pair in catalog.pairs():
        assert pair.left_object_id is not None
        assert pair.left.subject(pair.left_object_id).class_name == pair.left_class_name
        names = {subject.object_id: subject.class_name for subject in pair.right.subjects}
        name = names.get(pair.right_object_id or 0)
        partners["absent" if name is None else "right" if name == pair.right_class_name else "wrong"] += 1
    assert partners == {"right": 53, "wrong": 39, "absent": 12}
