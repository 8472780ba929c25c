"""Pairs, views, plates and class names, linked to clips by key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catalog.releases import encode, key_of, make, pair, record, records, tree_of, write, write_json
from opens2v_data.catalog import links
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.hashing import key_hash, key_hashes
from opens2v_data.catalog.manifest import Manifest
from opens2v_data.catalog.verify import verify

PAIRS = "Jsons/cross_video_pairs"


def made(root: Path, *, problem: str | None = None) -> Manifest:
    """Make a catalog that verifies, but for one problem where one is named."""
    manifest = make(root / "release", root / "catalog").manifest
    assert manifest is not None
    bad = [check for check in verify(Catalog.open(root / "catalog"), release=root / "release") if not check.is_ok]
    assert [problem is not None and problem in text for check in bad for text in check.problems] == (
        [] if problem is None else [True]
    )
    return manifest


def table(root: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(root / f"catalog/{name}.parquet").to_pylist()


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """Two parts, clips 0 to 5 and 3 to 8: clips 3 to 5 stand in both."""
    write_json(tmp_path / "release", "p1", records(range(6)))
    write_json(tmp_path / "release", "p2", records(range(3, 9)))
    return tmp_path / "release"


# -- pairs -----------------------------------------------------------------------------------------------------------


def test_a_pair_in_several_files_is_one_row(release: Path, tmp_path: Path) -> None:
    first, second = pair(f"p1/{key_of(4)}", f"p2/{key_of(4)}"), pair(f"p2/{key_of(8)}", f"p1/{key_of(0)}", cur_object=2)
    third = pair(f"p1/{key_of(1)}", f"p2/{key_of(7)}")
    write(release / PAIRS / "cross_frames_pairs.json", encode({"a": [first, second]}))
    write(release / PAIRS / "final_output/a.json", encode([second, first], indent=None))
    write(
        release / PAIRS / "final_output/b.json",
        encode([third, third | {"cur_class_id": 1}, third | {"text_similarity": 1}]),
    )
    report = made(tmp_path).report
    assert [(row["clip_id"], row["partner_clip_id"], row["object_id"]) for row in table(tmp_path, "pairs")] == [
        (1, 10, 1),
        (4, 7, 1),
        (11, 0, 2),
    ]
    assert (report["pairs_read"], report["pairs_in_several_files"], report["pairs_with_unknown_clip"]) == (7, 4, 0)


def test_pairs_that_differ_in_anything_stay_apart(release: Path, tmp_path: Path) -> None:
    base = pair(f"p1/{key_of(0)}", f"p1/{key_of(1)}")
    others = [
        {name: value} for name, value in (("cur_frame_idx", 3), ("image_similarity", 0.5), ("aft_class_name", "man"))
    ]
    write(release / PAIRS / "cross_frames_pairs.json", encode({"a": [base, *(base | other for other in others)]}))
    assert made(tmp_path).tables["pairs"].rows == 4


def test_pairs_of_unknown_clips_keep_upstreams_names(release: Path, tmp_path: Path) -> None:
    known, elsewhere, unknown = f"p1/{key_of(0)}", f"p2/{key_of(0)}", "p9/nobody"
    some = [
        pair(known, unknown),
        pair(unknown, known),
        pair(elsewhere, unknown),
        pair(unknown, elsewhere),
        pair(known, known),
    ]
    write(release / PAIRS / "cross_frames_pairs.json", encode({"a": some}))
    report = made(tmp_path).report
    columns = ("clip_id", "partner_clip_id", "clip_ref", "partner_ref")
    rows = [tuple(row[name] for name in columns) for row in table(tmp_path, "pairs")]
    # Pairs of unknown clips come last, in the order of their hashes.
    expected = [
        (0, None, None, unknown),
        (0, 0, None, None),
        (None, 0, unknown, None),
        (None, None, elsewhere, unknown),
        (None, None, unknown, elsewhere),
    ]
    assert rows[:2] == expected[:2] and set(rows[2:]) == set(expected[2:])
    assert report["pairs_with_unknown_clip"] == 4


def test_the_older_form_links_to_the_first_clip_of_the_key(release: Path, tmp_path: Path) -> None:
    older = pair(key_of(4), key_of(8), cur_object=None)
    write(release / PAIRS / "cross_frames_pairs.json", encode({"a": [older, pair(f"p2/{key_of(4)}", key_of(8))]}))
    report = made(tmp_path).report
    rows = table(tmp_path, "pairs")
    assert [(row["clip_id"], row["partner_clip_id"], row["form"]) for row in rows] == [
        (4, 11, "older"),
        (7, 11, "current"),
    ]
    assert (rows[0]["object_id"], rows[0]["partner_object_id"], report["pairs_older_form"]) == (None, None, 1)


def test_pair_files_that_cannot_be_read_are_reported_and_the_others_stay(release: Path, tmp_path: Path) -> None:
    one = pair(f"p1/{key_of(0)}", f"p1/{key_of(1)}")
    whole = encode({"a": [one], "b": [one | {"cur_frame_idx": 1}]})
    write(release / PAIRS / "cross_frames_pairs.json", whole[:-120])
    for name, data in (
        ("empty", b""),
        ("html", b"<html>"),
        ("cut", encode([one])[:-9]),
        ("number", encode([{"cur_id": 1}])),
    ):
        write(release / PAIRS / f"final_output/{name}.json", data)
    write(
        release / PAIRS / "final_output/z.json",
        encode([one, one | {"aft_class_id": "x"}, one | {"cur_frame_idx": 2**40}]),
    )
    manifest = made(tmp_path, problem="a file of pairs is cut off")
    assert manifest.tables["pairs"].rows == 1
    lines = list(Catalog.open(tmp_path / "catalog").quarantine())
    assert [Path(line["file"]).stem for line in lines] == [
        "cross_frames_pairs",
        "cut",
        "empty",
        "html",
        "number",
        "z",
        "z",
    ]
    assert manifest.report["quarantined"] == 0
    assert manifest.report["records"] == manifest.report["rows"] == 12


def test_many_ranges_of_pairs_are_sorted_like_one(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [pair(f"p1/{key_of(n * 5 % 7)}", f"p2/{key_of(n % 9)}", image_similarity=n / 64) for n in range(64)]
    write(release / PAIRS / "cross_frames_pairs.json", encode({"a": some}))
    for number in range(6):
        write(release / f"GPT-Frames/{key_of(number)}/0_x.png", b"x")
        write(release / f"Background/p1/{key_of(number)}.png", b"x")
    make(release, tmp_path / "whole")
    monkeypatch.setattr(links, "PAIRS_PER_RANGE_BYTES", 1000)
    monkeypatch.setattr(links, "CLIPS_PER_RANGE", 2)
    made(tmp_path)
    assert tree_of(tmp_path / "catalog") == tree_of(tmp_path / "whole")


# -- views -----------------------------------------------------------------------------------------------------------


def older(key: str) -> str:
    return key.replace("_step3_step4_step5", "_step4_step5_step6")


def test_views_are_linked_though_their_key_has_other_stage_suffixes(release: Path, tmp_path: Path) -> None:
    for name in ("main_image.png", "1_blue_top.png", "0_woman.png"):
        write(release / f"GPT-Frames/{older(key_of(1))}/{name}", name.encode())
    report = made(tmp_path).report
    rows = table(tmp_path, "views")
    folder = f"GPT-Frames/{older(key_of(1))}"
    assert [(row["clip_id"], row["view_idx"], row["path"], row["source_path"]) for row in rows] == [
        (1, 0, f"{folder}/0_woman.png", f"{folder}/main_image.png"),
        (1, 1, f"{folder}/1_blue_top.png", f"{folder}/main_image.png"),
    ]
    assert [(row["twin_clip_ids"], row["folder_key"], row["size_bytes"]) for row in rows] == [
        ([], older(key_of(1)), 11),
        ([], older(key_of(1)), 14),
    ]
    names = {row["class_id"]: row["name"] for row in table(tmp_path, "classes")}
    assert [names[row["class_id"]] for row in rows] == ["woman", "blue top"]
    assert report["views_without_clip"] == 0


def test_a_clip_in_two_parts_is_a_twin_and_the_very_key_comes_first(tmp_path: Path) -> None:
    release = tmp_path / "release"
    write_json(release, "p1", {older(key_of(0)): record(0), key_of(1): record(1)})
    write_json(release, "p2", {key_of(0): record(0)})
    write_json(release, "p3", {key_of(0): record(0), older(key_of(1)): record(1)})
    for key in (key_of(0), older(key_of(1))):
        write(release / f"GPT-Frames/{key}/0_woman.png", b"x")
    made(tmp_path)
    rows = table(tmp_path, "views")
    assert [(row["clip_id"], row["twin_clip_ids"], row["folder_key"]) for row in rows] == [
        (2, [3, 0], key_of(0)),
        (4, [1], older(key_of(1))),
    ]


def test_views_of_no_clip_come_last_and_are_counted(release: Path, tmp_path: Path) -> None:
    for key in ("aaa", key_of(5), key_of(2)):
        write(release / f"GPT-Frames/{key}/0_woman.png", b"x")
    report = made(tmp_path).report
    assert [row["clip_id"] for row in table(tmp_path, "views")] == [2, 5, None]
    assert report["views_without_clip"] == 1


def test_two_pictures_of_one_number_are_two_views(release: Path, tmp_path: Path) -> None:
    for name in ("0_woman.png", "0_man.png", "0_woman.jpg", "0_woman.webp"):
        write(release / f"GPT-Frames/{key_of(0)}/{name}", b"x")
    made(tmp_path)
    paths = [Path(row["path"]).name for row in table(tmp_path, "views")]
    assert paths == ["0_man.png", "0_woman.jpg", "0_woman.png", "0_woman.webp"]
    assert [row["source_path"] for row in table(tmp_path, "views")] == [None] * 4


# -- plates ----------------------------------------------------------------------------------------------------------


def test_plates_with_a_part_mean_its_clip_and_those_without_the_first(release: Path, tmp_path: Path) -> None:
    for path in (f"p2/{key_of(4)}", f"p1/{key_of(8)}", f"p9/{key_of(0)}", key_of(5), "nobody"):
        write(release / f"Background/{path}.png", path.encode())
    report = made(tmp_path).report
    rows = table(tmp_path, "backgrounds")
    assert [(row["clip_id"], row["path"]) for row in rows] == [
        (5, f"Background/{key_of(5)}.png"),
        (7, f"Background/p2/{key_of(4)}.png"),
    ]
    assert [row["size_bytes"] for row in rows] == [len(key_of(5)), len(f"p2/{key_of(4)}")]
    assert report["backgrounds_without_clip"] == 3


# -- classes and keys ------------------------------------------------------------------------------------------------


def test_classes_are_numbered_by_frequency_and_those_of_pairs_and_views_come_behind(
    release: Path, tmp_path: Path
) -> None:
    write(release / PAIRS / "cross_frames_pairs.json", encode({"a": [pair("x", "y", cur_class_name="zebra")]}))
    write(release / f"GPT-Frames/{key_of(0)}/0_ape.png", b"x")
    made(tmp_path)
    clips = [record(n) for n in [*range(6), *range(3, 9)]]
    names = [[box["class_name"] for box in clip["annotation"]["ann_frame_data"]["annotations"]] for clip in clips]
    counts = Counter(name for some in names for name in some)
    rows = table(tmp_path, "classes")
    assert [row["class_id"] for row in rows] == list(range(len(rows)))
    expected = sorted(counts, key=lambda name: (-counts[name], name))
    behind = [name for name in ("zebra", "woman", "ape") if name not in counts]
    assert [row["name"] for row in rows] == expected + behind
    assert [row["num_subjects"] for row in rows] == [counts[row["name"]] for row in rows]
    assert [row["num_clips"] for row in rows] == [sum(row["name"] in some for some in names) for row in rows]


def test_the_class_index_holds_every_subject_by_class_and_clip(release: Path, tmp_path: Path) -> None:
    made(tmp_path)
    rows = table(tmp_path, "class_index")
    order = [(row["class_id"], row["clip_id"], row["object_id"]) for row in rows]
    assert order == sorted(order)
    subjects = table(tmp_path, "subjects")
    assert sorted((row["clip_id"], row["object_id"], row["class_id"], row["gme_score"]) for row in rows) == [
        (row["clip_id"], row["object_id"], row["class_id"], row["gme_score"]) for row in subjects
    ]
    areas = {(row["clip_id"], row["object_id"]): (row["x2"] - row["x1"]) * (row["y2"] - row["y1"]) for row in subjects}
    assert all(row["box_area"] == pytest.approx(areas[row["clip_id"], row["object_id"]], rel=1e-5) for row in rows)


def test_keys_are_sorted_by_the_documented_hash(release: Path, tmp_path: Path) -> None:
    import hashlib

    made(tmp_path)
    rows = [(row["key_hash"], row["clip_id"]) for row in table(tmp_path, "keys")]
    assert rows == sorted(rows)
    clips = {row["clip_id"]: row["clip_key"] for row in table(tmp_path, "clips")}
    for hashed, clip_id in rows:
        digest = hashlib.blake2b(clips[clip_id].encode(), digest_size=8).digest()
        assert hashed == int.from_bytes(digest, "little") == key_hash(clips[clip_id])
    assert key_hashes([]).tolist() == []


def test_clusters_are_the_source_videos(release: Path, tmp_path: Path) -> None:
    made(tmp_path)
    assert {row["cluster_id"] for row in table(tmp_path, "clips")} == {"src000", "src001", "src002"}
