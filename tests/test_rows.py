"""Rows as users get them: nested, self-contained, in id order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import opens2v_data
from catalog.releases import HEIGHT, WIDTH, key_of, make, record, video, write_full, write_json
from opens2v_data.dataset import OpenS2V
from opens2v_data.errors import QueryError
from opens2v_data.query import CONFIGS
from opens2v_data.rows import check_columns, iter_rows, read_rows, row_schema
from opens2v_data.triples import VideoRef


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    write_full(folder / "release")
    make(folder / "release", folder / "catalog")
    return folder


@pytest.fixture(scope="module")
def catalog(root: Path) -> OpenS2V:
    return opens2v_data.open(root / "catalog")


def originals(root: Path) -> list[tuple[str, str, dict[str, Any]]]:
    parts = ("total_part2", "total_part10")
    trees = {part: json.loads(next(root.glob(f"release/Jsons/*/{part}.json")).read_bytes()) for part in parts}
    return [(part, key, tree) for part, some in trees.items() for key, tree in some.items()]


def f32(value: float) -> float:
    return float(np.float32(value))


def test_a_row_holds_what_the_json_holds(catalog: OpenS2V, root: Path) -> None:
    rows = list(catalog.rows())
    assert len(rows) == len(catalog) == len(originals(root))
    for clip_id, (row, (part, key, tree)) in enumerate(zip(rows, originals(root), strict=True)):
        metadata, frame = tree["metadata"], tree["annotation"]["ann_frame_data"]
        assert (row["clip_id"], row["part"], row["clip_key"]) == (clip_id, part, key)
        assert (row["caption"], row["caption_alternatives"]) == (metadata["face_cap_qwen"], [])
        assert (row["tech"], row["motion"], row["fps"]) == (
            metadata["tech"],
            f32(metadata["motion"]),
            f32(metadata["fps"]),
        )
        assert [row[f"crop_{side}"] for side in ("x0", "y0", "x1", "y1")] == [0, 0, WIDTH, HEIGHT]
        assert [row["face_cut_start"], row["face_cut_end"]] == metadata["face_cut"]
        assert row["object_tags"] == tree["word_tags"]["object"]
        masks = tree["annotation"]["mask_annotation"][str(frame["ann_frame_idx"])]
        expected = [
            {
                "object_id": number,
                "class_name": box["class_name"],
                "bbox": [f32(side) for side in box["bbox"]],
                "gme_score": f32(box["gme_score"]),
                "aes_score": f32(box["aes_score"]),
                "mask": {
                    "frame_idx": frame["ann_frame_idx"],
                    "height": HEIGHT,
                    "width": WIDTH,
                    "score": f32(masks[str(number)]["score"][0]),
                    "counts": masks[str(number)]["counts"],
                },
            }
            for number, box in enumerate(frame["annotations"], start=1)
        ]
        assert row["subjects"] == expected


def test_a_rows_video_names_the_bytes_of_its_file(catalog: OpenS2V, root: Path) -> None:
    for row, (part, _, tree) in zip(catalog.rows(), originals(root), strict=True):
        reference = VideoRef.from_address(row["video_path"])
        assert row["video"] == {"bytes": None, "path": row["video_path"]}
        assert (reference.part, reference.catalog_root) == (part, str(root / "catalog"))
        assert (reference.member, reference.size_bytes) == (
            f"{part}/{tree['metadata']['path']}",
            row["video_size_bytes"],
        )
        assert catalog.read_bytes(reference) == video(tree["metadata"]["path"])


@pytest.mark.parametrize("config", CONFIGS)
def test_rows_have_the_schema_that_is_promised(catalog: OpenS2V, config: Any) -> None:
    tables = list(iter_rows(catalog.query, catalog.media, config, batch_rows=7))
    assert all(table.schema == row_schema(config) for table in tables)
    assert all(table.num_rows == 7 for table in tables[:-1])
    for table in tables:
        table.validate(full=True)
    assert sum(table.num_rows for table in tables) == catalog.count(config=config)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("batch_rows", [1, 3, 512])
def test_rows_are_the_same_in_any_batches(catalog: OpenS2V, config: Any, batch_rows: int) -> None:
    tables = list(iter_rows(catalog.query, catalog.media, config, "clip_id < 30", batch_rows=batch_rows))
    expected = list(catalog.rows("clip_id < 30", config=config))
    assert pa.concat_tables(tables).to_pylist() == expected != []


@pytest.mark.parametrize("config", CONFIGS)
def test_some_columns_are_those_of_whole_rows(catalog: OpenS2V, config: Any) -> None:
    whole = list(catalog.rows(config=config, limit=5))
    for name in row_schema(config).names:
        assert list(catalog.rows(config=config, columns=[name], limit=5)) == [{name: row[name]} for row in whole]
    some = ["part", "clip_id"] if config != "nexus-cross" else ["partner", "pair_id"]
    rows = list(catalog.rows(config=config, columns=some, limit=2))
    assert [list(row) for row in rows] == [some, some]


@pytest.mark.parametrize("config", CONFIGS)
def test_an_unknown_column_is_refused_with_those_there_are(catalog: OpenS2V, config: Any) -> None:
    with pytest.raises(QueryError, match=rf"config {config} has no column 'nope'; it has .*part.*|.*pair_id"):
        list(catalog.rows(config=config, columns=["nope"], limit=1))
    assert check_columns(config, None) == row_schema(config).names


def test_a_clip_that_is_not_there_is_refused_with_its_id(catalog: OpenS2V) -> None:
    with pytest.raises(QueryError, match=r"no clip has id \[70, 99\]; ids run from 0 to 69"):
        read_rows(catalog.query, catalog.media, "regular", [3, 70, 99])


def test_a_pairs_sides_are_rows_of_regular(catalog: OpenS2V, root: Path) -> None:
    rows = list(catalog.rows(config="nexus-cross"))
    clips = {row["clip_id"]: row for row in catalog.rows()}
    assert len(rows) == 20
    for row in rows:
        assert row["clip"] == clips[row["clip_id"]]
        assert row["partner"] == clips[row["partner_clip_id"]]
        assert (row["class_name"], row["object_id"], row["image_similarity"]) == ("woman", 1, 0.875)
    assert [row["pair_id"] for row in rows] == sorted(row["pair_id"] for row in rows)


def test_views_hang_on_their_clip_and_its_twin(catalog: OpenS2V, root: Path) -> None:
    rows = list(catalog.rows(config="nexus-gpt"))
    assert [row["clip_key"] for row in rows] == [key_of(n) for n in range(6)]
    regular = {row["clip_id"]: row for row in catalog.rows()}
    for row in rows:
        views = row.pop("views")
        assert row == regular[row["clip_id"]]
        assert [(view["view_idx"], view["class_name"]) for view in views] == [(0, "woman"), (1, "blue top")]
        for view in views:
            assert view["image"] == {"bytes": None, "path": str(root / "release" / view["path"])}
            assert Path(view["image"]["path"]).is_file() and (root / "release" / view["source_path"]).is_file()
            largest = max(
                (subject for subject in row["subjects"] if subject["class_name"] == view["class_name"]),
                key=lambda subject: (
                    (subject["bbox"][2] - subject["bbox"][0]) * (subject["bbox"][3] - subject["bbox"][1])
                ),
                default=None,
            )
            assert view["object_id"] == (largest["object_id"] if largest is not None else None)


def test_backgrounds_hang_on_their_clips(catalog: OpenS2V) -> None:
    plates = {row["clip_key"]: row["background_path"] for row in catalog.rows("part = 'total_part2'")}
    assert {key: path for key, path in plates.items() if path is not None} == {
        key_of(n): f"Background/total_part2/{key_of(n)}.png" for n in range(6)
    }


def test_missing_values_are_null_and_lists_are_never_null(tmp_path: Path) -> None:
    bare = {"metadata": {}}
    boxless = record(3)
    boxless["annotation"]["ann_frame_data"]["annotations"] = [
        {"class_name": "a"},
        {"bbox": [1, 2, 3, 4]},
        {"bbox": [1, 2]},
    ]
    boxless["annotation"]["mask_map"] = {}
    boxless["annotation"]["mask_annotation"] = {
        "3": {"2": {"size": [1, 1], "counts": "1"}},
        "4": {"1": {"size": [1, 1], "counts": "01"}},
    }
    write_json(tmp_path / "release", "p", {"bare": bare, "boxless": boxless, "alone": record(1)})
    make(tmp_path / "release", tmp_path / "catalog")
    first, second, third = opens2v_data.open(tmp_path / "catalog").rows()
    nulls = {name for name, value in first.items() if value is None}
    assert nulls == {
        "caption", "video", "fps", "num_frames", "width", "height", "cut_start", "cut_end", "face_cut_start", "face_cut_end",
        "crop_x0", "crop_y0", "crop_x1", "crop_y1", "tech", "motion", "aesthetic", "foreground_aesthetic",
        "background_aesthetic", "caption_source", "ann_frame_idx", "video_path", "video_size_bytes", "background_path",
    }  # fmt: skip
    assert first["subjects"] == first["subject_tags"] == first["quirks"] == first["caption_alternatives"] == []
    mask = {"frame_idx": 3, "height": 1, "width": 1, "score": None, "counts": "1"}
    assert [(s["class_name"], s["bbox"], s["gme_score"], s["mask"]) for s in second["subjects"]] == [
        ("a", None, None, None),
        ("", [1.0, 2.0, 3.0, 4.0], None, mask),
        ("", None, None, None),
    ]
    assert (second["num_masks"], second["quirks"]) == (2, ["mask-size", "bad-box"])
    assert len(third["subjects"]) == 1


def test_a_catalog_without_rows_gives_none_in_every_config(tmp_path: Path) -> None:
    write_json(tmp_path / "release", "p", b"{}")
    make(tmp_path / "release", tmp_path / "catalog")
    catalog = opens2v_data.open(tmp_path / "catalog")
    for config in CONFIGS:
        assert (list(catalog.rows(config=config)), catalog.count(config=config)) == ([], 0)
    assert read_rows(catalog.query, catalog.media, "regular", []).num_rows == 0
    assert list(catalog.triples()) == list(catalog.pairs()) == []


def test_limit_and_where_go_together(catalog: OpenS2V) -> None:
    assert [row["clip_id"] for row in catalog.rows("clip_id % 2 = 1", limit=3, columns=["clip_id"])] == [1, 3, 5]
    assert list(catalog.rows(limit=0)) == []
    assert repr(catalog).startswith("OpenS2V(Catalog(")
