"""Ingest of small generated releases: the same catalog however the work is cut, and an account of every record."""

from __future__ import annotations

import io
import json
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ijson
import pyarrow.parquet as pq
import pytest

from catalog.releases import (
    encode,
    key_of,
    make,
    object_of,
    pair,
    record,
    records,
    tree_of,
    video,
    write,
    write_full,
    write_json,
    write_tar,
)
from opens2v_data.catalog import assemble, ingest
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.ingest import IngestOptions
from opens2v_data.catalog.verify import verify
from opens2v_data.errors import CatalogNotFoundError, IngestError, ReleaseError

BASE_TABLES = {"clips", "captions", "keys"}


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("release")
    write_full(root)
    return root


@pytest.fixture(scope="module")
def expected(release: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("catalog")
    make(release, root)
    return tree_of(root)


def table(root: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(root / f"{name}.parquet").to_pylist()


def keys(root: Path) -> list[tuple[str, str]]:
    return [(row["part"], row["clip_key"]) for row in table(root, "clips")]


def quarantine(root: Path) -> list[dict[str, Any]]:
    return list(Catalog.open(root).quarantine())


def assert_sound(root: Path, release: Path | None = None, *, recount: bool = False) -> None:
    problems = [check for check in verify(Catalog.open(root), release=release, recount=recount) if not check.is_ok]
    assert problems == []


# -- partitions ------------------------------------------------------------------------------------------------------


def test_a_catalog_is_sound_and_holds_every_record(release: Path, tmp_path: Path) -> None:
    result = make(release, tmp_path)
    assert not result.was_complete
    assert result.manifest is not None
    assert result.manifest.report["records"] == result.manifest.report["rows"] == 90 - 20
    assert [source.part for source in result.manifest.source.json_files] == ["total_part2", "total_part10"]
    assert_sound(tmp_path, release, recount=True)


@pytest.mark.parametrize("unit_bytes", [2500, 33_333, 1 << 30])
def test_units_of_any_size_give_the_same_files(
    release: Path, expected: dict[str, bytes], tmp_path: Path, unit_bytes: int
) -> None:
    make(release, tmp_path, unit_bytes=unit_bytes)
    assert tree_of(tmp_path) == expected


@pytest.mark.parametrize("unit_bytes", [20_000, 1 << 30])
def test_two_workers_give_the_same_files(
    release: Path, expected: dict[str, bytes], tmp_path: Path, unit_bytes: int
) -> None:
    calls: list[tuple[str, int, int]] = []
    ingest.ingest(
        ingest.Release.open(str(release)),
        tmp_path,
        IngestOptions(workers=2, unit_bytes=unit_bytes),
        progress=lambda *call: calls.append(call),
    )
    assert tree_of(tmp_path) == expected
    assert {stage for stage, _, _ in calls} == {"json", "videos", "tables", "pairs"}
    for stage in ("json", "videos", "tables", "pairs"):
        done = [(count, total) for name, count, total in calls if name == stage]
        assert done == sorted(done)
        assert done[-1][0] == done[-1][1]


def test_units_of_a_few_bytes_give_the_same_files(tmp_path: Path) -> None:
    write_json(tmp_path / "release", "p", {f"k{n}": {"metadata": {"cap": "x" * n}} for n in range(8)}, indent=None)
    make(tmp_path / "release", tmp_path / "whole")
    for unit_bytes in (1, 7, 64):
        make(tmp_path / "release", tmp_path / str(unit_bytes), unit_bytes=unit_bytes)
        assert tree_of(tmp_path / str(unit_bytes)) == tree_of(tmp_path / "whole")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_shares_and_then_a_plain_run_give_the_same_files(
    release: Path, expected: dict[str, bytes], tmp_path: Path, order: tuple[int, ...]
) -> None:
    missing: list[int] = []
    for index in order[:2]:
        result = make(release, tmp_path, shard=(index, 3), unit_bytes=9000)
        assert result.manifest is None
        missing.append(result.num_units_missing)
        with pytest.raises(CatalogNotFoundError, match="is not finished; run the same"):
            Catalog.open(tmp_path)
    assert missing[0] > missing[1] > 0
    make(release, tmp_path, shard=(order[2], 3), unit_bytes=9000)
    result = make(release, tmp_path, unit_bytes=9000)
    assert result.manifest is not None
    assert tree_of(tmp_path) == expected


def test_a_plain_run_does_what_other_shares_left(release: Path, expected: dict[str, bytes], tmp_path: Path) -> None:
    first = make(release, tmp_path, shard=(1, 3), unit_bytes=9000)
    result = make(release, tmp_path, unit_bytes=9000)
    assert 0 < result.num_units_done_before == len(range(1, first.num_units, 3))
    assert tree_of(tmp_path) == expected


def test_indented_and_compact_files_differ_only_in_offsets(tmp_path: Path) -> None:
    for indent in (None, 4):
        write_json(tmp_path / f"release{indent}", "p", records(range(12)), indent=indent)
        make(tmp_path / f"release{indent}", tmp_path / f"catalog{indent}", unit_bytes=3000)
    first, second = (pq.read_table(tmp_path / f"catalog{indent}/clips.parquet") for indent in (None, 4))
    assert first.drop_columns(["json_offset"]).equals(second.drop_columns(["json_offset"]))
    for name in ("captions", "subjects", "class_index", "classes", "masks", "keys"):
        file = f"{name}.parquet"
        assert (tmp_path / "catalogNone" / file).read_bytes() == (tmp_path / "catalog4" / file).read_bytes()


def test_several_blob_files_read_back_right_and_are_the_same_for_any_units(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "CELL_BYTES", 16_000)
    monkeypatch.setattr(assemble, "CELL_BYTES", 16_000)
    trees: list[dict[str, bytes]] = []
    for number, options in enumerate(
        ({"unit_bytes": 1 << 30}, {"unit_bytes": 3000}, {"unit_bytes": 9000, "workers": 2})
    ):
        make(release, tmp_path / str(number), **options)
        trees.append(tree_of(tmp_path / str(number)))
    assert trees[0] == trees[1] == trees[2]
    assert sum(path.startswith("masks/") for path in trees[0]) > 5
    assert_sound(tmp_path / "1", release)
    check_masks(tmp_path / "0", release)


def check_masks(root: Path, release: Path) -> None:
    catalog = Catalog.open(root)
    found = catalog.read_masks(range(catalog.num_rows("clips")))
    for row in table(root, "clips"):
        path = next(release.glob(f"Jsons/*/{row['part']}.json"))
        frames = json.loads(path.read_bytes())[row["clip_key"]]["annotation"]["mask_annotation"]
        expected = [
            (int(frame), int(object_id), *mask["size"], mask["score"][0], mask["counts"])
            for frame, masks in frames.items()
            for object_id, mask in masks.items()
        ]
        masks = found.get(row["clip_id"], [])
        assert [(m.frame_idx, m.object_id, m.height, m.width, m.score, m.counts) for m in masks] == expected
        assert row["num_masks"] == len(expected)


def test_masks_come_back_as_upstream_wrote_them(release: Path, tmp_path: Path) -> None:
    make(release, tmp_path)
    check_masks(tmp_path, release)
    catalog = Catalog.open(tmp_path)
    assert catalog.read_masks([]) == {}
    assert set(catalog.read_masks([0, 4, 10**6])) == {4}


# -- every record accounted for --------------------------------------------------------------------------------------


def count_by_json(data: bytes) -> int:
    """Count the members of the outermost object, keys twice included; the hook sees it last."""
    sizes: list[int] = []
    json.loads(data, object_pairs_hook=lambda pairs: sizes.append(len(pairs)))
    return sizes[-1]


def count_by_ijson(data: bytes) -> int:
    return sum(event == "map_key" and not prefix for prefix, event, _ in ijson.parse(io.BytesIO(data)))


def good(number: int) -> bytes:
    return encode(record(number), indent=None)


def test_records_are_rows_and_quarantined_by_a_count_of_another_parser(tmp_path: Path) -> None:
    items = [(key_of(n), good(n)) for n in range(30)]
    items[4] = (items[4][0], b'{"metadata": {"fps": "fast"}}')
    items[9] = (items[9][0], b"null")
    items[14] = (items[14][0], b'{"metadata": {"num_frames": 99999999999}}')
    items[20] = (items[19][0], good(20))  # the key of its neighbour
    items[29] = (items[0][0], good(29))  # the key of the first
    data = object_of(items)
    write_json(tmp_path / "release", "p", data)
    assert count_by_json(data) == count_by_ijson(data) == 30
    trees: list[dict[str, bytes]] = []
    for number, unit_bytes in enumerate((1 << 30, 2000, 700)):
        manifest = make(tmp_path / "release", tmp_path / str(number), unit_bytes=unit_bytes).manifest
        assert manifest is not None
        (source,) = manifest.source.json_files
        assert (source.num_records, source.num_rows, source.num_quarantined) == (30, 25, 5)
        trees.append(tree_of(tmp_path / str(number)))
    assert trees[0] == trees[1] == trees[2]
    lines = quarantine(tmp_path / "0")
    assert [line["key"] for line in lines] == [items[n][0] for n in (4, 9, 14, 20, 29)]
    assert [line["offset"] for line in lines] == sorted(line["offset"] for line in lines)
    for line in lines:
        assert json.JSONDecoder().raw_decode(data[line["offset"] :].decode())[0] == line["key"]
    reasons = [line["reason"] for line in lines]
    assert "at `$.metadata.fps`" in reasons[0] and "got `null`" in reasons[1] and "99999999999" in reasons[2]
    first = data.index(json.dumps(items[0][0]).encode())
    assert reasons[4] == f"the clip key stands twice in the file; the record at byte {first} is kept"
    assert keys(tmp_path / "0") == [("p", key) for n, (key, _) in enumerate(items) if n not in (4, 9, 14, 20, 29)]
    assert_sound(tmp_path / "0", tmp_path / "release", recount=True)


def test_of_three_records_with_one_key_the_first_stays_with_its_subjects_and_masks(tmp_path: Path) -> None:
    data = object_of([("k", encode(record(n, num_subjects=n), indent=None)) for n in (3, 1, 4)])
    write_json(tmp_path / "release", "p", data)
    for unit_bytes in (1 << 30, 500):
        root = tmp_path / str(unit_bytes)
        make(tmp_path / "release", root, unit_bytes=unit_bytes)
        assert [row["num_subjects"] for row in table(root, "clips")] == [3]
        assert len(table(root, "subjects")) == len(table(root, "class_index")) == 3
        assert sum(row["num_subjects"] for row in table(root, "classes")) == 3
        assert [len(masks) for masks in Catalog.open(root).read_masks([0]).values()] == [3]
        assert_sound(root)
    assert tree_of(tmp_path / "500") == tree_of(tmp_path / str(1 << 30))


def test_one_key_in_two_parts_is_two_clips(tmp_path: Path) -> None:
    for part in ("p1", "p2"):
        write_json(tmp_path / "release", part, records(range(3)))
    make(tmp_path / "release", tmp_path / "catalog")
    assert keys(tmp_path / "catalog") == [(part, key_of(n)) for part in ("p1", "p2") for n in range(3)]
    assert quarantine(tmp_path / "catalog") == []


@pytest.mark.parametrize("damage", [b'"', b"}", b"{", b"]", b",,", b"\x00"])
@pytest.mark.parametrize("indent", [None, 4])
def test_a_damaged_record_costs_itself_only_in_any_units(tmp_path: Path, indent: int | None, damage: bytes) -> None:
    data = encode(records(range(20)), indent=indent)
    at = data.index(b"Clip 12") - 1
    write_json(tmp_path / "release", "p", data[:at] + damage + data[at:])
    trees: list[dict[str, bytes]] = []
    for number, unit_bytes in enumerate((1 << 30, 2500, 900)):
        manifest = make(tmp_path / "release", tmp_path / str(number), unit_bytes=unit_bytes).manifest
        assert manifest is not None
        (source,) = manifest.source.json_files
        assert source.num_records == 20
        assert [key for _, key in keys(tmp_path / str(number))] == [key_of(n) for n in range(20) if n != 12][
            : source.num_rows
        ]
        assert source.num_rows == 19
        trees.append(tree_of(tmp_path / str(number)))
    assert trees[0] == trees[1] == trees[2]
    assert [line["key"] for line in quarantine(tmp_path / "0")] == [key_of(12)]


def test_values_that_no_table_can_hold_never_stop_the_run(tmp_path: Path) -> None:
    trees = [record(n) for n in range(9)]
    trees[1]["metadata"]["aesthetic"] = 1e39
    trees[2]["annotation"]["ann_frame_data"]["annotations"][0]["gme_score"] = -1e300
    trees[3]["annotation"]["ann_frame_data"]["annotations"] = [{"class_name": "x"}] * 40_000
    trees[4]["annotation"]["mask_map"]["60000"] = {"class_name": "far"}
    trees[5]["metadata"]["num_frames"] = 10**30
    trees[6]["metadata"]["tech"] = float("nan")
    trees[7]["annotation"]["mask_annotation"] = {"9" * 5000: {"1": {"size": [1, 1], "counts": "1"}}}
    items = [(key_of(n), json.dumps(tree).encode()) for n, tree in enumerate(trees)]
    items[8] = (key_of(8), b'{"metadata": {}, "x": ' + b"[" * 50_000 + b"]" * 50_000 + b"}")
    write_json(tmp_path / "release", "p", object_of(items))
    manifest = make(tmp_path / "release", tmp_path / "catalog").manifest
    assert manifest is not None
    assert [line["key"] for line in quarantine(tmp_path / "catalog")] == [key_of(n) for n in (3, 5, 8)]
    assert manifest.report["quirks"] == {"mask-id": 1, "nan": 3}
    assert_sound(tmp_path / "catalog")


def test_keys_with_lone_surrogates_and_bytes_that_are_no_utf8_are_clips(tmp_path: Path) -> None:
    data = b'{"a": {"metadata": {}}, "b\\ud83d": {"metadata": {}}, "c\xe9": {"metadata": {}}, "d": {"metadata": {}}}'
    write_json(tmp_path / "release", "p", data)
    manifest = make(tmp_path / "release", tmp_path / "catalog").manifest
    assert manifest is not None and manifest.report["rows"] == 4
    assert_sound(tmp_path / "catalog")


# -- files that are empty or not whole -------------------------------------------------------------------------------


def test_empty_files_give_tables_without_rows(tmp_path: Path) -> None:
    for part, data in (("p1", b"{}"), ("p2", b"\xef\xbb\xbf { }\n")):
        write_json(tmp_path / "release", part, data)
    manifest = make(tmp_path / "release", tmp_path / "catalog").manifest
    assert manifest is not None
    assert {name: file.rows for name, file in manifest.tables.items()} == dict.fromkeys(manifest.tables, 0)
    assert_sound(tmp_path / "catalog", tmp_path / "release", recount=True)


def test_an_empty_file_between_others_costs_nothing(tmp_path: Path) -> None:
    write_json(tmp_path / "release", "p1", records(range(3)))
    write_json(tmp_path / "release", "p2", b"{}")
    write_json(tmp_path / "release", "p3", records(range(3, 5)))
    make(tmp_path / "release", tmp_path / "catalog")
    assert keys(tmp_path / "catalog") == [("p1", key_of(n)) for n in range(3)] + [("p3", key_of(n)) for n in (3, 4)]


def test_annotations_alone_are_enough(tmp_path: Path) -> None:
    write_json(tmp_path / "release", "p", records(range(6)))
    manifest = make(tmp_path / "release", tmp_path / "catalog").manifest
    assert manifest is not None
    full = {name for name, file in manifest.tables.items() if file.rows}
    assert full == BASE_TABLES | {"subjects", "classes", "class_index", "masks"}
    assert manifest.report["clips_without_video"] == 6
    assert_sound(tmp_path / "catalog", tmp_path / "release")


@pytest.mark.parametrize("data", [b"", b"[]", b"\x1f\x8b\x08gzip", b"null"])
def test_a_file_that_is_no_object_is_refused_before_anything_is_written(tmp_path: Path, data: bytes) -> None:
    write_json(tmp_path / "release", "p1", records(range(3)))
    write_json(tmp_path / "release", "p2", data)
    with pytest.raises(ReleaseError, match=r"expected one JSON object .* in Jsons/.*/p2.json, found"):
        make(tmp_path / "release", tmp_path / "catalog")
    assert not (tmp_path / "catalog").exists()


@pytest.mark.parametrize("unit_bytes", [1 << 30, 4000])
def test_a_truncated_file_keeps_what_is_before_and_is_read_again_when_it_is_mended(
    tmp_path: Path, unit_bytes: int
) -> None:
    whole = encode(records(range(30)))
    at = whole.index(json.dumps(key_of(17)).encode())
    for part in ("p1", "p3"):
        write_json(tmp_path / "release", part, records(range(100, 110)))
    torn = write_json(tmp_path / "release", "p2", whole[: at + 500])
    first = make(tmp_path / "release", tmp_path / "catalog", unit_bytes=unit_bytes)
    assert first.manifest is not None
    sources = {source.part: source for source in first.manifest.source.json_files}
    assert [sources[part].truncated_at for part in ("p1", "p2", "p3")] == [None, at, None]
    assert (sources["p2"].num_records, sources["p2"].num_rows) == (18, 17)
    assert [key for part, key in keys(tmp_path / "catalog") if part == "p2"] == [key_of(n) for n in range(17)]
    assert [(line["key"], line["is_truncated"]) for line in quarantine(tmp_path / "catalog")] == [(key_of(17), True)]
    again = make(tmp_path / "release", tmp_path / "catalog", unit_bytes=unit_bytes)
    assert (again.was_complete, again.num_units_done_before) == (False, again.num_units)
    torn.write_bytes(whole)
    mended = make(tmp_path / "release", tmp_path / "catalog", unit_bytes=unit_bytes)
    num_of_file = 1 if unit_bytes > len(whole) else len(ingest.split_bytes(len(whole), unit_bytes))
    assert mended.num_units - mended.num_units_done_before == num_of_file
    make(tmp_path / "release", tmp_path / "fresh", unit_bytes=1 << 30)
    assert tree_of(tmp_path / "catalog") == tree_of(tmp_path / "fresh")


@pytest.mark.parametrize("end", [b'{"cli', b"{", b'{"k": {"metadata"', b'{"k": {"metadata": {}}'])
def test_a_file_cut_off_in_its_first_record_is_a_truncated_file(tmp_path: Path, end: bytes) -> None:
    write_json(tmp_path / "release", "p1", end)
    write_json(tmp_path / "release", "p2", records(range(3)))
    manifest = make(tmp_path / "release", tmp_path / "catalog", unit_bytes=500).manifest
    assert manifest is not None
    assert manifest.source.json_files[0].truncated_at is not None
    assert [part for part, _ in keys(tmp_path / "catalog")][-3:] == ["p2"] * 3


# -- reruns ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Path:
    root = tmp_path / "release"
    write_json(root, "p1", records(range(8)))
    write_json(root, "p2", records(range(8, 12)))
    write_tar(root, "p1", [(f"p1/{record(n)['metadata']['path']}", video(str(n))) for n in range(8)])
    for number in range(8, 12):
        write(root / "Videos/p2" / record(number)["metadata"]["path"], video(str(number)))
    write(
        root / "Jsons/cross_video_pairs/cross_frames_pairs.json",
        encode({"c": [pair(f"p1/{key_of(0)}", f"p2/{key_of(9)}")]}),
    )
    write(root / f"GPT-Frames/{key_of(0)}/0_woman.png", b"png")
    write(root / f"Background/p1/{key_of(0)}.png", b"png")
    return root


def times_of(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_a_rerun_of_a_complete_catalog_touches_nothing(small: Path, tmp_path: Path) -> None:
    first = make(small, tmp_path / "catalog")
    before = times_of(tmp_path / "catalog")
    for options in ({}, {"unit_bytes": 1000, "workers": 2}, {"shard": (1, 3)}):
        again = make(small, tmp_path / "catalog", **options)
        assert again.was_complete
        assert again.manifest == first.manifest
        assert times_of(tmp_path / "catalog") == before


def test_force_makes_the_same_catalog_anew(small: Path, tmp_path: Path) -> None:
    make(small, tmp_path / "catalog")
    expected, before = tree_of(tmp_path / "catalog"), times_of(tmp_path / "catalog")
    forced = make(small, tmp_path / "catalog", force=True)
    assert (forced.was_complete, forced.num_units_done_before) == (False, 0)
    assert tree_of(tmp_path / "catalog") == expected
    assert times_of(tmp_path / "catalog")["clips.parquet"] > before["clips.parquet"]


def test_force_reads_again_what_an_interrupted_run_had_read(small: Path, tmp_path: Path) -> None:
    make(small, tmp_path / "catalog", shard=(0, 2))
    path = next(small.glob("Jsons/*/p1.json"))
    path.write_bytes(path.read_bytes().replace(b"Clip 3:", b"Clap 3:"))  # of the same size
    make(small, tmp_path / "catalog", force=True)
    make(small, tmp_path / "fresh")
    assert tree_of(tmp_path / "catalog") == tree_of(tmp_path / "fresh")


def test_a_forced_run_in_shares_goes_on_where_another_share_was(small: Path, tmp_path: Path) -> None:
    make(small, tmp_path / "catalog")
    expected = tree_of(tmp_path / "catalog")
    first = make(small, tmp_path / "catalog", force=True, shard=(0, 2), unit_bytes=1500)
    assert first.manifest is None
    second = make(small, tmp_path / "catalog", force=True, unit_bytes=1500)
    assert second.num_units_done_before == (first.num_units + 1) // 2
    assert tree_of(tmp_path / "catalog") == expected


CHANGES = {
    "an annotation file has grown": lambda root: write_json(root, "p1", records(range(9))),
    "an annotation file is new": lambda root: write_json(root, "p3", records(range(20, 22))),
    "an annotation file is gone": lambda root: next(root.glob("Jsons/*/p2.json")).unlink(),
    "a tar has grown": lambda root: write_tar(root, "p1", [("p1/folder0/clip0000.mp4", video("other") * 90)]),
    "an unpacked video is new": lambda root: write(root / "Videos/p2/new.mp4", b"x"),
    "an unpacked video has grown": lambda root: write(root / "Videos/p2/folder0/clip0008.mp4", video("8") + b"more"),
    "a file of pairs has grown": lambda root: write(
        root / "Jsons/cross_video_pairs/cross_frames_pairs.json", encode({"c": [pair(f"p1/{key_of(1)}", "x/y")] * 2})
    ),
    "a view is new": lambda root: write(root / f"GPT-Frames/{key_of(1)}/0_man.png", b"png"),
    "a plate is new": lambda root: write(root / f"Background/p1/{key_of(1)}.png", b"png"),
    "the plates are gone": lambda root: next((root / "Background/p1").iterdir()).unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_release_is_noticed(small: Path, tmp_path: Path, change: str) -> None:
    make(small, tmp_path / "catalog")
    CHANGES[change](small)
    assert not make(small, tmp_path / "catalog").was_complete
    make(small, tmp_path / "fresh")
    assert tree_of(tmp_path / "catalog") == tree_of(tmp_path / "fresh")
    assert make(small, tmp_path / "catalog").was_complete


def test_another_glob_is_another_catalog(small: Path, tmp_path: Path) -> None:
    make(small, tmp_path / "catalog")
    assert not make(small, tmp_path / "catalog", json_glob="Jsons/*/p2.json").was_complete
    assert {part for part, _ in keys(tmp_path / "catalog")} == {"p2"}


@pytest.mark.parametrize("shard", [None, (1, 3)])
def test_a_share_that_another_process_is_at_is_refused(
    small: Path, tmp_path: Path, shard: tuple[int, int] | None
) -> None:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    holder = context.Process(target=_hold, args=(tmp_path / "catalog/.ingest", shard, theirs))
    holder.start()
    try:
        assert mine.recv() == "held"
        with pytest.raises(
            IngestError, match=r"another process is ingesting into .*catalog.*; wait for it, or give this one another"
        ):
            make(small, tmp_path / "catalog", shard=shard)
        assert make(small, tmp_path / "catalog", shard=(0, 3)).manifest is None
    finally:
        mine.send("end")
        holder.join()
    make(small, tmp_path / "catalog", shard=shard)


def _hold(work: Path, shard: tuple[int, int] | None, connection: Any) -> None:
    work.mkdir(parents=True)
    with ingest.locked(work, shard):
        connection.send("held")
        connection.recv()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"unit_bytes": 0}, "unit_bytes must be at least 1, got 0"),
        ({"shard": (3, 3)}, "shard must be i/n with 0 <= i < n, got 3/3"),
        ({"shard": (-1, 3)}, "shard must be i/n with 0 <= i < n, got -1/3"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_their_numbers(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        IngestOptions(**options)


# -- interruptions ---------------------------------------------------------------------------------------------------


class Interrupted(Exception):
    """What stands for a kill in this process."""


def interruptions(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> Iterator[pytest.MonkeyPatch]:
    """Give a patch per call of a function: the first one is interrupted before it, then the second, and so on."""
    original = getattr(module, name)
    for number in range(100):
        count = 0

        def interrupted(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            count += 1
            if count > number:  # noqa: B023
                raise Interrupted
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupted)
            yield patch
        if count <= number:
            return


@pytest.mark.parametrize(
    "where",
    [
        "opens2v_data.catalog.workers.run_unit",
        "opens2v_data.catalog.workers.index_release_part",
        "opens2v_data.catalog.ingest.assemble_units",
        "opens2v_data.catalog.ingest.write_pairs",
        "opens2v_data.catalog.ingest.sync_folder",
        "opens2v_data.catalog.manifest.write_atomically",
        "opens2v_data.catalog.units.write_atomically",
        "pathlib.Path.replace",
        "shutil.rmtree",
    ],
)
@pytest.mark.parametrize("is_forced", [False, True])
def test_interrupted_before_any_step_a_rerun_gives_the_same_files(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, is_forced: bool
) -> None:
    make(small, tmp_path / "expected")
    expected = tree_of(tmp_path / "expected")
    owner, _, name = where.rpartition(".")
    module: Any = {"pathlib.Path": Path, "shutil": ingest.shutil}.get(owner) or __import__(owner, fromlist=[name])
    root = tmp_path / "catalog"
    if is_forced:
        make(small, root)
    num_interrupted = 0
    for _ in interruptions(monkeypatch, module, name):
        try:
            make(small, root, unit_bytes=6000, force=is_forced)
        except Interrupted:
            num_interrupted += 1
            if not (root / "manifest.json").exists():
                with pytest.raises(CatalogNotFoundError, match="is not finished; run the same"):
                    Catalog.open(root)
    assert num_interrupted > 0
    make(small, root, unit_bytes=6000)
    assert tree_of(root) == expected
    assert not (root / ".ingest").exists()
