"""Which video file a record's path means, in tars, in pieces and unpacked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import opens2v_data
from catalog.releases import key_of, make, record, tar_of, video, write, write_json, write_tar
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.manifest import Manifest
from opens2v_data.catalog.members import MemberNames
from opens2v_data.catalog.schemas import MEMBERS
from opens2v_data.catalog.verify import verify
from opens2v_data.errors import ArchiveError


def found(names: list[str], path: str | None, *, part: str = "total_part1") -> str | None:
    """Return the name of the member that a path means; a name that stands twice gets its position behind a `#`."""
    table = pa.table({"name": pa.array(names, pa.string())})
    (member_id,) = MemberNames(table, part, 100).find([path]).tolist()
    if member_id < 0:
        return None
    index = member_id - 100
    return names[index] if names.count(names[index]) == 1 else f"{names[index]}#{index}"


@pytest.mark.parametrize(
    ("names", "path", "expected"),
    [
        (["a.mp4", "b.mp4"], "b.mp4", "b.mp4"),
        (["a.mp4"], "./a.mp4", "a.mp4"),
        (["x/a.mp4", "total_part1/x/a.mp4"], "x/a.mp4", "x/a.mp4"),
        (["total_part1/x/a.mp4", "other/x/a.mp4"], "x/a.mp4", "total_part1/x/a.mp4"),
        (["part_07/x/a.mp4", "part_08/y/a.mp4"], "x/a.mp4", "part_07/x/a.mp4"),
        (["p/q/r/a.mp4", "p/q/r/b.mp4"], "a.mp4", "p/q/r/a.mp4"),
        (["a.mp4"], "some/where/a.mp4", "a.mp4"),
        (["p/q/ü é.mp4"], "ü é.mp4", "p/q/ü é.mp4"),
    ],
)
def test_a_path_is_found_with_and_without_folders_in_front(names: list[str], path: str, expected: str) -> None:
    assert found(names, path) == expected


@pytest.mark.parametrize(
    ("names", "path", "expected"),
    [
        (["a.mp4", "b.mp4", "a.mp4"], "a.mp4", "a.mp4#2"),
        (["total_part1/a.mp4"] * 2, "a.mp4", "total_part1/a.mp4#1"),
        (["part_07/x/a.mp4"] * 3, "x/a.mp4", "part_07/x/a.mp4#2"),
        (["p/q/a.mp4", "p/q/a.mp4", "p/q/b.mp4"], "a.mp4", "p/q/a.mp4#1"),
    ],
)
def test_a_name_that_stands_twice_in_the_tar_means_the_last(names: list[str], path: str, expected: str) -> None:
    assert found(names, path) == expected


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (["p/a/x.mp4", "q/a/x.mp4"], "a/x.mp4"),
        (["p/x.mp4", "q/x.mp4"], "x.mp4"),
        (["p/a/x.mp4", "p/b/x.mp4"], "x.mp4"),
    ],
)
def test_a_path_that_could_mean_two_files_means_none(names: list[str], path: str) -> None:
    assert found(names, path) is None


@pytest.mark.parametrize("path", [None, "", "../a.mp4", "/a.mp4", "x/../a.mp4", "..\\a.mp4", "a\0.mp4", "./"])
def test_a_path_that_is_none_or_climbs_out_is_never_looked_up(path: str | None) -> None:
    assert found(["a.mp4", "../a.mp4", "/a.mp4", ""], path) is None


def test_a_part_without_members_has_nothing_to_find() -> None:
    assert found([], "a.mp4") is None


# -- in a catalog ----------------------------------------------------------------------------------------------------


def record_of(path: str | None, number: int = 1) -> dict[str, Any]:
    tree = record(number)
    tree["metadata"]["path"] = path
    return tree


def made(root: Path, *, problem: str | None = None, **options: Any) -> Manifest:
    """Make a catalog that verifies, but for one problem where one is named."""
    manifest = make(root / "release", root / "catalog", **options).manifest
    assert manifest is not None
    bad = [check for check in verify(Catalog.open(root / "catalog"), release=root / "release") if not check.is_ok]
    found = [problem is not None and problem in text for check in bad for text in check.problems]
    assert found == ([] if problem is None else [True])
    return manifest


def table(root: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(root / f"catalog/{name}.parquet").to_pylist()


@pytest.mark.parametrize("layout", ["split-tar", "tar", "files"])
def test_clips_are_read_back_whatever_the_layout(tmp_path: Path, layout: str) -> None:
    names = [f"p/folder{n % 2}/clip {n} ü#.mp4" for n in range(6)]
    release = tmp_path / "release"
    write_json(release, "p", {key_of(n): record_of(name.removeprefix("p/"), n) for n, name in enumerate(names)})
    if layout == "split-tar":
        write_tar(release, "p", [(name, video(name)) for name in names], piece_bytes=701)
    elif layout == "tar":
        write(release / "Videos/p/p.tar", tar_of([(name, video(name)) for name in names]))
    else:
        for name in names:
            write(release / "Videos" / name, video(name))
    manifest = made(tmp_path)
    assert [part.layout for part in manifest.source.parts] == [layout]
    assert (manifest.report["clips_with_video"], manifest.report["clips_without_video"]) == (6, 0)
    with_videos = opens2v_data.open(tmp_path / "catalog")
    for number, triple in enumerate(with_videos.triples()):
        assert triple.clip.video is not None
        assert with_videos.read_bytes(triple.clip.video) == video(names[number])
        head = with_videos.media.read_range(triple.clip.video, 4, 4)
        assert head == b"ftyp"


def test_members_that_no_clip_names_and_clips_without_a_member_are_counted(tmp_path: Path) -> None:
    release = tmp_path / "release"
    paths = ["a.mp4", "a.mp4", "absent.mp4", None, "../b.mp4"]
    write_json(release, "p", {key_of(n): record_of(path, n) for n, path in enumerate(paths)})
    write_tar(
        release, "p", [("p/a.mp4", video("a")), ("p/b.mp4", video("b")), ("p/c.txt", b"text"), ("p/a.mp4", video("a2"))]
    )
    report = made(tmp_path).report
    assert (report["clips_with_video"], report["clips_without_video"], report["clips_without_path"]) == (2, 3, 1)
    assert report["members_no_clip_names"] == 3
    assert report["quirks"] == {"path-escapes": 1}
    locations, members = table(tmp_path, "locations"), table(tmp_path, "members")
    assert [(row["clip_id"], row["member_id"]) for row in locations] == [(0, 3), (1, 3)]
    assert [(row["name"], row["has_ftyp"]) for row in members] == [
        ("p/a.mp4", True),
        ("p/b.mp4", True),
        ("p/c.txt", False),
        ("p/a.mp4", True),
    ]


def test_offsets_are_those_of_the_joined_tar(tmp_path: Path) -> None:
    names = [f"p/{'x' * n}.mp4" for n in (1, 90, 140)]
    write_json(tmp_path / "release", "p", {"k": record_of("x.mp4")})
    joined = write_tar(tmp_path / "release", "p", [(name, video(name)) for name in names], piece_bytes=513)
    made(tmp_path)
    for row in table(tmp_path, "members"):
        assert joined[row["offset"] : row["offset"] + row["size_bytes"]] == video(row["name"])
        assert joined[row["header_offset"] :].startswith((row["name"][:90].encode(), b"././@LongLink"))


def test_parts_with_json_only_and_with_videos_only_go_together(tmp_path: Path) -> None:
    release = tmp_path / "release"
    write_json(release, "p1", {"a": record_of("a.mp4")})
    write_json(release, "p3", {"a": record_of("a.mp4"), "c": record_of("c.mp4")})
    write_tar(release, "p2", [("p2/a.mp4", video("not this one"))])
    write_tar(release, "p3", [("p3/c.mp4", video("c")), ("p3/a.mp4", video("a"))])
    report = made(tmp_path).report
    assert (report["clips_with_video"], report["clips_without_video"], report["members_no_clip_names"]) == (2, 1, 1)
    found = [(row["clip_id"], row["member_id"], row["part"], row["name"]) for row in table(tmp_path, "locations")]
    assert found == [(1, 2, "p3", "p3/a.mp4"), (2, 1, "p3", "p3/c.mp4")]


def test_names_that_climb_out_of_a_tar_are_refused_and_named(tmp_path: Path) -> None:
    write_json(tmp_path / "release", "p", {"a": record_of("a.mp4"), "b": record_of("b.mp4")})
    write_tar(tmp_path / "release", "p", [("../a.mp4", video("a")), ("b.mp4", video("b"))])
    manifest = made(tmp_path)
    assert [row["name"] for row in table(tmp_path, "members")] == ["b.mp4"]
    assert manifest.report["clips_with_video"] == 1
    assert "../a.mp4: it climbs out of its folder" in repr(manifest.source.parts[0])


def test_a_tar_that_ends_inside_a_member_keeps_the_members_before(tmp_path: Path) -> None:
    release = tmp_path / "release"
    write_json(release, "p", {"a": record_of("a.mp4"), "b": record_of("b.mp4")})
    joined = tar_of([("p/a.mp4", video("a")), ("p/b.mp4", video("b"))])
    write(release / "Videos/p/p.tar", joined[: joined.index(video("b")) + 50])
    manifest = made(tmp_path, problem="get its last pieces")
    assert [row["name"] for row in table(tmp_path, "members")] == ["p/a.mp4"]
    assert manifest.source.parts[0].truncated_at is not None
    assert manifest.report["clips_without_video"] == 1


def test_a_file_that_is_no_tar_is_named_and_costs_no_clip(tmp_path: Path) -> None:
    write_json(tmp_path / "release", "p", {"a": record_of("a.mp4")})
    write(tmp_path / "release/Videos/p/p.tar", b"no tar " * 1000)
    manifest = made(tmp_path, problem="could not be read to its end")
    assert table(tmp_path, "members") == []
    assert "part p, byte 0" in repr(manifest.source.parts[0])


def test_a_piece_cut_short_in_the_middle_keeps_the_members_before_and_is_told(tmp_path: Path) -> None:
    release = tmp_path / "release"
    write_json(release, "p", {name: record_of(f"{name}.mp4") for name in "abc"})
    joined = tar_of([(f"p/{name}.mp4", video(name)) for name in "abc"])
    at = joined.index(video("b"))
    for number, data in enumerate((joined[:at], joined[at + 300 :])):
        write(release / f"Videos/p/p.tar.split.{number:03d}", data)
    manifest = make(release, tmp_path / "catalog").manifest
    assert manifest is not None
    checks = verify(Catalog.open(tmp_path / "catalog"), release=release)
    assert any("could not be read to its end" in problem for check in checks for problem in check.problems)
    assert "p/a.mp4" in [row["name"] for row in table(tmp_path, "members")]
    assert manifest.source.parts[0].fault is not None


def test_members_are_written_in_batches_of_any_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_json(tmp_path / "release", "p", {"a": record_of("4.mp4")})
    write_tar(tmp_path / "release", "p", [(f"{n}.mp4", video(str(n))) for n in range(7)])
    make(tmp_path / "release", tmp_path / "whole")
    monkeypatch.setattr("opens2v_data.catalog.members._BATCH_ROWS", 3)
    made(tmp_path)
    files = [root / "members.parquet" for root in (tmp_path / "whole", tmp_path / "catalog")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert pq.read_schema(files[0]).names == MEMBERS.arrow.names


def test_a_piece_that_changed_after_the_ingest_is_refused_when_it_is_read(tmp_path: Path) -> None:
    write_json(tmp_path / "release", "p", {"a": record_of("a.mp4")})
    write_tar(tmp_path / "release", "p", [("a.mp4", video("a"))], piece_bytes=900)
    made(tmp_path)
    with (tmp_path / "release/Videos/p/p.tar.split.000").open("ab") as piece:
        piece.write(b"more")
    catalog = opens2v_data.open(tmp_path / "catalog")
    (triple,) = catalog.triples()
    assert triple.clip.video is not None
    with pytest.raises(ArchiveError, match=r"p.tar.split.000 has 904 bytes, recorded were 900"):
        catalog.read_bytes(triple.clip.video)
