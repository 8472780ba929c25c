"""Every check of `verify` fails on the damage it is for, and on that alone."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.masks import pack_masks
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.catalog.verify import Check, verify
from opens2v_data.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Callable

    from opens2v_data.sample import SampleFacts


@pytest.fixture
def root(sample_catalog: Path, tmp_path: Path) -> Path:
    """A copy of the sample's catalog to damage."""
    return shutil.copytree(sample_catalog, tmp_path / "opens2v-5m")


def bad_checks(root: Path, **options: Any) -> dict[str, tuple[str, ...]]:
    """Return the problems of the checks that fail, by name."""
    return {check.name: check.problems for check in verify(Catalog.open(root), **options) if not check.is_ok}


def edit_manifest(root: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest and make its digest right again."""
    tree = json.loads((root / "manifest.json").read_text())
    edit(tree)
    manifest = msgspec.convert(tree, manifests.Manifest)
    digest = manifests.digest_of(manifest.tables, manifest.files)
    manifests.save(msgspec.structs.replace(manifest, digest=digest), root)


def stamp(root: Path, path: str, *, rows: int | None = None) -> None:
    """Make the manifest agree with a file as it is now, so that checksums and sizes do not tell."""
    data = (root / path).read_bytes()

    def edit(tree: dict[str, Any]) -> None:
        (file,) = (file for file in [*tree["tables"].values(), *tree["files"]] if file["path"] == path)
        file |= {"size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        if rows is not None:
            file["rows"] = rows
            (group,) = file["row_groups"]
            group["rows"] = rows

    edit_manifest(root, edit)


def rewrite(root: Path, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a table anew, changed, with a manifest that agrees: only its meaning is wrong."""
    path = root / f"{table}.parquet"
    changed = change(pq.read_table(path)).cast(TABLES[table].arrow)
    pq.write_table(changed, path, compression="zstd", row_group_size=max(1, changed.num_rows))
    stamp(root, path.name, rows=changed.num_rows)


def setting(column: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    """Return a change of one value."""

    def change(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        values[row] = value
        at = table.column_names.index(column)
        return table.set_column(at, table.schema.field(column), pa.array(values, table.schema.field(column).type))

    return change


def without_last(table: pa.Table) -> pa.Table:
    """Return all rows but the last."""
    return table.slice(0, table.num_rows - 1)


def reversed_rows(table: pa.Table) -> pa.Table:
    """Return the rows from the last to the first."""
    return table.take(pa.array(np.arange(table.num_rows)[::-1]))


def test_nothing_is_wrong_with_a_good_catalog(sample_catalog: Path, sample_release: Path) -> None:
    assert bad_checks(sample_catalog, release=sample_release, recount=True) == {}


def test_a_rewritten_table_that_says_the_same_is_good(root: Path) -> None:
    for table in TABLES:
        rewrite(root, table, lambda rows: rows)
    assert bad_checks(root) == {}


LINKS = [
    ("clips", setting("clip_id", 3, 4), "clips.clip_id does not count 0, 1, 2, …"),
    ("clips", setting("num_subjects", 0, 99), "clips.num_subjects is not the number of rows in subjects"),
    ("captions", setting("clip_id", 3, 4), "captions.clip_id is not that of clips, row by row"),
    ("captions", without_last, "captions has 19 rows, clips has 20"),
    ("subjects", setting("clip_id", -1, 99), "subjects.clip_id points at no clip"),
    ("subjects", setting("clip_id", 0, -1), "subjects.clip_id points at no clip"),
    ("subjects", reversed_rows, "subjects is not in order of clip_id"),
    ("subjects", setting("class_id", 5, 999), "subjects.class_id points at no class"),
    ("subjects", setting("class_id", 5, -1), "subjects.class_id points at no class"),
    ("subjects", without_last, "clips.num_subjects is not the number of rows in subjects"),
    ("class_index", without_last, "class_index has another number of rows than subjects"),
    ("pairs", setting("clip_id", 0, 999), "pairs.clip_id points at nothing"),
    ("pairs", setting("partner_clip_id", 0, -1), "pairs.partner_clip_id points at nothing"),
    ("pairs", setting("class_id", 0, 999), "pairs.class_id points at nothing"),
    ("pairs", setting("partner_class_id", 0, 999), "pairs.partner_class_id points at nothing"),
    ("views", setting("clip_id", -1, 999), "views.clip_id points at nothing"),
    ("views", setting("class_id", 0, 999), "views.class_id points at nothing"),
    ("backgrounds", setting("clip_id", -1, 20), "backgrounds.clip_id points at no clip"),
    ("locations", setting("clip_id", -1, 20), "locations.clip_id points at no clip"),
    ("masks", setting("clip_id", -1, 20), "masks.clip_id points at no clip"),
    ("keys", setting("clip_id", 0, 20), "keys.clip_id points at no clip"),
    ("keys", without_last, "keys has another number of rows than clips"),
]


@pytest.mark.parametrize(("table", "change", "message"), LINKS, ids=[f"{table}: {text}" for table, _, text in LINKS])
def test_a_link_that_leads_nowhere_is_seen_where_checksums_are_right(
    root: Path, table: str, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    rewrite(root, table, change)
    bad = bad_checks(root)
    assert message in bad["links between tables"]
    assert not {"checksums", "row counts and columns", "no stray files"} & set(bad)


def test_a_missing_clip_is_told_as_links_and_records(root: Path) -> None:
    rewrite(root, "clips", without_last)
    bad = bad_checks(root)
    assert "captions has 20 rows, clips has 19" in bad["links between tables"]
    assert "the JSON files' rows do not add up to the rows of clips" in bad["records = rows + quarantined"]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("member_id", 999, "locations.member_id points at no member"),
        ("member_id", -1, "locations.member_id points at no member"),
        ("member_id", 1, "locations.name is not that of its member"),
        ("name", "other.mp4", "locations.name is not that of its member"),
        ("part", "total_part2", "locations.part is not that of its member"),
        ("offset", 512, "locations.offset is not that of its member"),
        ("size_bytes", 1, "locations.size_bytes is not that of its member"),
    ],
)
def test_a_clip_that_names_another_member_is_seen(root: Path, column: str, value: Any, message: str) -> None:
    rewrite(root, "locations", setting(column, 0, value))
    bad = bad_checks(root)
    assert list(bad) == ["clips to members"]
    assert message in bad["clips to members"]


@pytest.mark.parametrize(
    ("column", "value"), [("offset", 1 << 40), ("offset", -1), ("size_bytes", 1 << 30), ("file_idx", 7)]
)
def test_a_blob_outside_its_file_is_seen(root: Path, column: str, value: int) -> None:
    rewrite(root, "masks", setting(column, 4, value))
    bad = bad_checks(root)
    assert list(bad) == ["mask blobs"]
    assert "lies outside masks/masks-0000" in bad["mask blobs"][0]


def test_a_blob_that_does_not_unpack_is_seen_where_checksums_are_right(root: Path) -> None:
    path = root / "masks/masks-00000.bin"
    data = path.read_bytes()
    path.write_bytes(bytes(8) + data[8:])
    stamp(root, "masks/masks-00000.bin")
    bad = bad_checks(root)
    assert list(bad) == ["mask blobs"]
    assert bad["mask blobs"][0].startswith("expected a mask blob (zstd frame of MessagePack), found 00000000")


def test_a_blob_with_other_masks_than_its_clip_has_is_seen(root: Path) -> None:
    catalog = Catalog.open(root)
    masks = catalog.read_masks([0])[0]
    rows = pq.read_table(root / "masks.parquet").to_pylist()
    path = root / "masks/masks-00000.bin"
    blob = pack_masks(masks[:-1])
    assert rows[0]["clip_id"] == 0 and len(blob) <= rows[0]["size_bytes"]
    data = path.read_bytes()
    path.write_bytes(blob + data[len(blob) :])
    stamp(root, "masks/masks-00000.bin")
    rewrite(root, "masks", setting("size_bytes", 0, len(blob)))
    assert bad_checks(root) == {
        "mask blobs": (f"clip 0 has {len(masks) - 1} masks in its blob, clips.num_masks says {len(masks)}",)
    }


def test_a_clip_whose_masks_are_listed_nowhere_is_seen(root: Path) -> None:
    rewrite(root, "masks", without_last)
    bad = bad_checks(root)
    assert list(bad) == ["mask blobs"] and "has 0 masks in its blob" in bad["mask blobs"][0]


def test_another_number_of_rows_than_the_manifest_says_is_seen(root: Path) -> None:
    def edit(tree: dict[str, Any]) -> None:
        tree["tables"]["views"]["rows"] += 1

    edit_manifest(root, edit)
    bad = bad_checks(root)
    assert bad["row counts and columns"] == ("views.parquet: expected 12 rows in 1 row groups, found 11 in 1",)


def test_other_columns_than_this_version_has_are_seen(root: Path) -> None:
    path = root / "views.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["size_bytes"]), path)
    stamp(root, path.name)
    bad = bad_checks(root)
    assert bad["row counts and columns"] == ("views.parquet: other columns than views has in this version",)


def test_a_table_that_is_not_in_the_manifest_is_seen(root: Path) -> None:
    edit_manifest(root, lambda tree: tree["tables"].pop("keys"))
    bad = bad_checks(root)
    assert bad["row counts and columns"] == ("keys: no such table in the manifest",)
    assert bad["no stray files"] == ("keys.parquet is no file of this catalog; it can be deleted",)


def test_what_is_no_parquet_is_seen_where_checksums_are_right(root: Path) -> None:
    (root / "pairs.parquet").write_bytes(b"no table" * 100)
    stamp(root, "pairs.parquet")
    bad = bad_checks(root)
    (problem,) = bad["row counts and columns"]
    assert problem.startswith("pairs.parquet cannot be opened as parquet: ")


def test_links_of_damaged_files_are_not_followed_but_said_to_be_unchecked(root: Path, sample_release: Path) -> None:
    checks = list(verify(_flipped(root, "clips.parquet", 4), release=sample_release, recount=True))
    assert [(check.name, check.is_ok) for check in checks] == [
        ("checksums", False),
        ("row counts and columns", True),
        ("no stray files", True),
        ("links between tables", False),
        ("files of the release", True),
        ("records counted again", True),
    ]
    assert checks[3].problems == ("not checked, since the files themselves are damaged",)


def _flipped(root: Path, name: str, at: int) -> Catalog:
    data = bytearray((root / name).read_bytes())
    data[at] ^= 0xFF
    (root / name).write_bytes(data)
    return Catalog.open(root)


@pytest.mark.parametrize("name", ["clips.parquet", "masks.parquet", "masks/masks-00000.bin", "quarantine.jsonl"])
def test_a_byte_flipped_anywhere_is_told_and_never_raised(root: Path, sample_release: Path, name: str) -> None:
    whole = (root / name).read_bytes()
    for at in [*range(0, len(whole), max(1, len(whole) // 25)), *range(-12, 0)]:
        checks = list(verify(_flipped(root, name, at), release=sample_release))
        assert not checks[0].is_ok and name in checks[0].problems[0], f"byte {at}"
        (root / name).write_bytes(whole)


def test_many_problems_are_a_few_examples_and_a_count(root: Path) -> None:
    for number in range(8):
        (root / f"old{number}.parquet").touch()
    (problems,) = bad_checks(root).values()
    assert problems[0] == "old0.parquet is no file of this catalog; it can be deleted"
    assert (len(problems), problems[-1]) == (6, "and 3 more")


def test_notes_and_pictures_beside_the_tables_are_nobodys_business(root: Path) -> None:
    (root / "notes.txt").write_text("mine")
    assert bad_checks(root) == {}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda file: file.update(num_records=99), "total_part1.json: 99 records, but 10 rows and 1 quarantined"),
        (lambda file: file.update(truncated_at=17), "total_part1.json is cut off at byte 17; get it whole"),
        (lambda file: file.update(num_rows=9), "the JSON files' rows do not add up to the rows of clips"),
        (lambda file: file.update(num_quarantined=3), "quarantine.jsonl accounts for 2 records"),
    ],
)
def test_records_that_do_not_add_up_are_seen(root: Path, edit: Callable[[dict[str, Any]], None], message: str) -> None:
    edit_manifest(root, lambda tree: edit(tree["source"]["json_files"][0]))
    bad = bad_checks(root)
    assert list(bad) == ["records = rows + quarantined"]
    assert any(message in problem for problem in bad["records = rows + quarantined"])


def test_quarantined_records_that_are_not_listed_are_seen(root: Path) -> None:
    path = root / "quarantine.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    stamp(root, path.name)
    assert bad_checks(root) == {"records = rows + quarantined": ("quarantine.jsonl accounts for 1 records",)}


def test_a_record_that_the_catalog_does_not_know_is_seen_by_the_recount(root: Path, sample_release: Path) -> None:
    def edit(tree: dict[str, Any]) -> None:
        # One record fewer everywhere but in the release.
        file = tree["source"]["json_files"][1]
        file["num_records"] -= 1
        file["num_quarantined"] -= 1

    edit_manifest(root, edit)
    lines = (root / "quarantine.jsonl").read_bytes().splitlines(keepends=True)
    (root / "quarantine.jsonl").write_bytes(lines[0])
    stamp(root, "quarantine.jsonl")
    assert bad_checks(root, release=sample_release) == {}
    bad = bad_checks(root, release=sample_release, recount=True)
    name = "Jsons/mask_and_bbox_High-Quality/total_part2.json"
    assert bad == {"records counted again": (f"{name}: 11 records by a second count, 10 in the catalog",)}


def test_a_json_file_that_is_gone_is_told_by_both_checks_that_read_it(
    sample_catalog: Path, sample_release: Path, tmp_path: Path, sample_facts: SampleFacts
) -> None:
    release = shutil.copytree(sample_release, tmp_path / "release")
    name = f"Jsons/mask_and_bbox_High-Quality/{sample_facts.parts[0]}.json"
    (release / name).unlink()
    bad = bad_checks(sample_catalog, release=release, recount=True)
    assert set(bad) == {"files of the release", "records counted again"}
    for problems in bad.values():
        assert problems == (f"expected {name} in the release at {release}, found nothing",)


def test_a_member_that_is_no_mp4_is_seen(
    sample_catalog: Path, sample_release: Path, tmp_path: Path, sample_facts: SampleFacts
) -> None:
    release = shutil.copytree(sample_release, tmp_path / "release")
    clip = sample_facts.clips[0]
    assert clip.video is not None
    path = release / f"Videos/{clip.part}/{clip.part}.tar.split.000"
    data = bytearray(path.read_bytes())
    data[clip.video.offset : clip.video.offset + 12] = b"no mp4 here!"
    path.write_bytes(data)
    assert bad_checks(sample_catalog, release=release) == {
        "members present": (
            f"part {clip.part}, member {clip.video.member} (clip 0): expected an mp4 at byte {clip.video.offset}, "
            "found b'no mp4 here!'",
        )
    }


def test_a_part_that_the_manifest_does_not_list_is_seen(root: Path, sample_release: Path) -> None:
    edit_manifest(root, lambda tree: tree["source"]["parts"].pop())
    bad = bad_checks(root, release=sample_release)
    assert list(bad) == ["members present"]
    assert "part total_part2 is none of ['total_part1']" in bad["members present"][0]


def test_no_release_at_the_place_given_raises(sample_catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="expected the folder of a release, found nothing at"):
        list(verify(Catalog.open(sample_catalog), release=tmp_path / "gone"))


def test_progress_ends_where_there_is_no_more(sample_catalog: Path, sample_release: Path) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        seen.setdefault(stage, []).append((done, total))

    checks = list(verify(Catalog.open(sample_catalog), release=sample_release, recount=True, progress=progress))
    assert all(isinstance(check, Check) and check.is_ok for check in checks)
    assert list(seen) == ["checksums", "members", "recount"]
    for steps in seen.values():
        assert [done for done, _ in steps] == sorted(done for done, _ in steps)
        assert steps[-1][0] == steps[-1][1] > 0
