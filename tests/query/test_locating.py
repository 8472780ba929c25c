"""Bytes of clips against the tests' own arithmetic over the pieces that lie on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from catalog.releases import make, records, tar_of, video, write, write_json
from opens2v_data.query.locating import locate
from query.worlds import World, make_world, open_world

COLUMNS = ["clip_id", "part", "offset", "size_bytes", "piece", "start", "num_pieces"]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory, sample_catalog: Path, sample_release: Path) -> dict[str, World]:
    return {
        "sample": open_world(sample_catalog, sample_release),
        "random": make_world(tmp_path_factory.mktemp("located"), 11, num_clips=40),
    }


def pieces_of(release: Path, part: str) -> list[Path]:
    return sorted((release / "Videos" / part).glob("*.tar*"))


def bytes_at(release: Path, row: dict[str, Any]) -> bytes:
    """Read a row's bytes by its piece, its start there, and nothing else."""
    files = pieces_of(release, row["part"])
    at = [path.relative_to(release).as_posix() for path in files].index(row["piece"])
    found = b"".join(path.read_bytes() for path in files[at : at + row["num_pieces"]])
    return found[row["start"] : row["start"] + row["size_bytes"]]


@pytest.mark.parametrize("name", ["sample", "random"])
def test_the_bytes_that_are_located_are_the_clips(worlds: dict[str, World], name: str) -> None:
    world = worlds[name]
    table = world.opened.all.locate()
    assert table.column_names == COLUMNS
    rows = table.to_pylist()
    assert (
        [row["clip_id"] for row in rows]
        == [c["clip_id"] for c in world.clips if c["video_size_bytes"] is not None]
        != []
    )
    spans = set()
    for row in rows:
        data = bytes_at(world.release, row)
        joined = b"".join(path.read_bytes() for path in pieces_of(world.release, row["part"]))
        assert len(data) == row["size_bytes"]
        assert data == joined[row["offset"] : row["offset"] + row["size_bytes"]]
        if name == "random":
            assert data == video(world.clips[row["clip_id"]]["path"])
        # No piece too many: the last byte is in the last of them.
        sizes = [path.stat().st_size for path in pieces_of(world.release, row["part"])]
        edges = np.cumsum([0, *sizes])
        first, last = (
            np.searchsorted(edges, at, side="right") - 1
            for at in (row["offset"], row["offset"] + row["size_bytes"] - 1)
        )
        assert (row["start"], row["num_pieces"]) == (row["offset"] - edges[first], last - first + 1)
        spans.add(row["num_pieces"])
    assert len(spans) > 1 or name == "sample"


@settings(max_examples=30, deadline=None)
@given(ids=st.lists(st.integers(0, 39), max_size=30))
def test_rows_are_in_the_order_of_the_ids_and_as_often(worlds: dict[str, World], ids: list[int]) -> None:
    world = worlds["random"]
    every = {row["clip_id"]: row for row in world.opened.all.locate().to_pylist()}
    found = locate(world.opened.query, np.array(ids, np.int64))
    assert found.schema.names == COLUMNS
    assert found.to_pylist() == [every[clip_id] for clip_id in ids if clip_id in every]


@pytest.mark.parametrize("name", ["sample", "random"])
def test_names_are_those_of_the_members_and_change_nothing_else(worlds: dict[str, World], name: str) -> None:
    s = worlds[name].opened.all
    named = s.locate(names=True)
    assert named.drop_columns("name").equals(s.locate())
    known = worlds[name].opened.sql("SELECT clip_id, name FROM locations ORDER BY clip_id")
    assert named.select(["clip_id", "name"]).to_pydict() == known.to_pydict() != {}


def test_a_slice_is_located_in_its_order(worlds: dict[str, World]) -> None:
    world = worlds["random"]
    s = world.opened.all.sort("-video_size_bytes", "path").limit(7)
    expected = [clip for clip in s.ids().tolist() if world.clips[clip]["video_size_bytes"] is not None]
    assert s.locate().column("clip_id").to_pylist() == expected
    sizes = s.locate().column("size_bytes").to_pylist()
    assert sizes == sorted(sizes, reverse=True)


def test_nothing_is_a_table_of_no_rows_and_the_same_columns(worlds: dict[str, World]) -> None:
    empty = locate(worlds["random"].opened.query, np.empty(0, np.int32))
    full = worlds["random"].opened.all.locate()
    assert empty.num_rows == 0
    assert [field.name for field in empty.schema] == COLUMNS
    assert empty.schema.field("start").type == full.schema.field("start").type == pa.int64()
    unknown = locate(worlds["random"].opened.query, np.array([10**6]))
    assert unknown.num_rows == 0


def test_unpacked_videos_are_files_of_their_own(tmp_path: Path) -> None:
    release = tmp_path / "release"
    packed, loose = records(range(3)), records(range(3, 6))
    write_json(release, "total_part1", packed)
    write_json(release, "total_part2", loose)
    data = tar_of((f"total_part1/{one['metadata']['path']}", video(one["metadata"]["path"])) for one in packed.values())
    write(release / "Videos/total_part1/total_part1.tar.split.000", data)
    for one in loose.values():
        write(release / "Videos/total_part2" / one["metadata"]["path"], video(one["metadata"]["path"]))
    make(release, tmp_path / "catalog")
    opened = opens2v_data.open(tmp_path / "catalog")
    rows = opened.all.locate().to_pylist()
    assert len(rows) == 6
    for row in rows:
        whole = (release / row["piece"]).read_bytes()
        path = opened.all.to_arrow(["path"]).column("path")[row["clip_id"]].as_py()
        assert whole[row["start"] : row["start"] + row["size_bytes"]] == video(path)
        assert row["num_pieces"] == 1
    assert sum(row["piece"].endswith(".mp4") for row in rows) == 3
