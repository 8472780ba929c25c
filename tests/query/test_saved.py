"""Slices in files: what they say, in which catalog they open, what damages them, and who takes them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from catalog.releases import encode, make, write
from opens2v_data.dataset import OpenS2V
from opens2v_data.errors import QueryError
from opens2v_data.query.saved import read_facts
from opens2v_data.query.spec import Sort
from query.worlds import World, make_world

META = b"opens2v_slice"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("saved"), 5, num_clips=30)


@pytest.fixture(scope="module")
def other(world: World, tmp_path_factory: pytest.TempPathFactory) -> OpenS2V:
    """The same release without some of its clips: another catalog, where ids mean other clips."""
    root = tmp_path_factory.mktemp("other")
    for path in (world.release / "Jsons/mask_and_bbox_High-Quality").glob("*.json"):
        tree = json.loads(path.read_text())
        kept = {key: value for number, (key, value) in enumerate(tree.items()) if number % 4}
        write(root / "release/Jsons/mask_and_bbox_High-Quality" / path.name, encode(kept))
    shutil.copytree(world.release / "Videos", root / "release/Videos")
    make(root / "release", root / "catalog")
    return opens2v_data.open(root / "catalog")


@settings(max_examples=10, deadline=None)
@given(
    least=st.integers(0, 4),
    sort=st.sampled_from([(), ("-aesthetic",), ("path", "-tech"), ("caption",), ("-subject_tags",)]),
    limit=st.none() | st.integers(0, 12),
    is_sampled=st.booleans(),
)
def test_a_saved_slice_opens_as_it_was(
    world: World,
    tmp_path_factory: pytest.TempPathFactory,
    least: int,
    sort: tuple[str, ...],
    limit: int | None,
    is_sampled: bool,
) -> None:
    s = world.opened.where("num_subjects >= ?", least).sort(*sort)
    s = s.sample(9, by="part") if is_sampled else s
    s = s if limit is None else s.limit(limit)
    path = tmp_path_factory.mktemp("files") / "some.slice.parquet"
    facts = s.save(path)
    assert facts == read_facts(path)
    assert (facts.path, facts.digest, facts.num_clips) == (path, world.opened.fingerprint, s.count())
    assert facts.order == tuple(
        Sort(column=name.removeprefix("-"), is_descending=name.startswith("-")) for name in sort
    )
    assert facts.made_with == opens2v_data.__version__
    assert world.opened.query.ask(facts.sql or "", is_of_pieces=True).column("clip_id").to_pylist() == s.ids().tolist()
    again = world.opened.slice(path)
    assert again.ids().tolist() == s.ids().tolist()
    assert world.opened.count(again.sql_where()) == s.count()
    assert again.where("clip_id % ? = 0", 2).limit(3).ids().tolist() == [i for i in s.ids().tolist() if i % 2 == 0][:3]
    rows = pq.ParquetFile(path).read().to_pylist()
    assert rows == s.to_arrow(["clip_id", "part", "clip_key"]).to_pylist()
    assert sorted(p.name for p in path.parent.iterdir()) == ["some.slice.parquet"]


def test_another_catalogs_slice_is_refused_and_remapped_by_key(world: World, other: OpenS2V, tmp_path: Path) -> None:
    path = tmp_path / "some.slice.parquet"
    s = world.opened.where("num_subjects > 0").sort("-num_frames")
    s.save(path)
    with pytest.raises(
        QueryError, match=r"a slice of the catalog with digest .{12}…, this one has .{12}….*remap=True \(--remap\)"
    ):
        other.slice(path)
    keys = {(row["part"], row["clip_key"]) for row in other.all.to_arrow(["part", "clip_key"]).to_pylist()}
    expected = [(row["part"], row["clip_key"]) for row in s.to_arrow(["part", "clip_key"]).to_pylist()]
    found = other.slice(path, remap=True)
    remapped = [(row["part"], row["clip_key"]) for row in found.to_arrow(["part", "clip_key"]).to_pylist()]
    assert remapped == [key for key in expected if key in keys]
    assert 0 < len(remapped) < len(expected)
    assert other.count(found.sql_where()) == len(remapped)
    with pytest.raises(ValueError, match="the slices are of two catalogs"):
        (s & found).count()
    assert world.opened.slice(path, remap=True).ids().tolist() == s.ids().tolist()


@pytest.mark.parametrize(
    "name", ["a[1]*.slice.parquet", "part=7/x.parquet", "clip_id=3/x.parquet", "it's ü {a,b}?.parquet"]
)
def test_a_file_is_itself_whatever_it_and_its_folders_are_called(world: World, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    for other_ in ("a1x.slice.parquet", "it's ü {a,b}!.parquet"):
        world.opened.all.limit(11).save(tmp_path / other_)
    world.opened.all.with_ids([4, 2]).save(path)
    found = world.opened.slice(path)
    assert found.ids().tolist() == [2, 4]
    assert world.opened.count(found.sql_where()) == 2
    assert world.opened.slice(path, remap=True).ids().tolist() == [2, 4]


@pytest.mark.parametrize("name", ["cat[1]", "a?b", "*", "part=zzz", "clip_id=7", "aesthetic=1"])
def test_a_catalog_is_itself_whatever_its_folder_is_called(world: World, tmp_path: Path, name: str) -> None:
    source = world.opened.catalog.root
    for folder in (name, "cat1", "axb"):
        shutil.copytree(source, tmp_path / folder / "c")
    opened = opens2v_data.open(tmp_path / name / "c")
    assert opened.all.to_arrow().to_pylist() == world.opened.all.to_arrow().to_pylist()
    assert opened.query.columns("regular") == world.opened.query.columns("regular")
    assert opened.all.subject_table().num_rows == world.opened.all.subject_table().num_rows
    assert (
        opened.sql("SELECT count(*) AS n FROM pairs").to_pylist()
        == world.opened.sql("SELECT count(*) AS n FROM pairs").to_pylist()
    )


def rewrite(path: Path, change: Any) -> None:
    table = pq.ParquetFile(path).read()
    facts = json.loads(table.schema.metadata[META])
    change(facts)
    pq.write_table(table.replace_schema_metadata({META: json.dumps(facts).encode()}), path)


DAMAGE = {
    "not parquet": (lambda path: path.write_bytes(b"PAR1 no PAR1"), "expected a saved slice at .*, found another file"),
    "empty": (lambda path: path.write_bytes(b""), "found another file"),
    "cut": (lambda path: path.write_bytes(path.read_bytes()[:-9]), "found another file"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "found another file"),
    "gone": (lambda path: path.unlink(), "found no file; opens2v slice"),
    "other parquet": (lambda path: pq.write_table(pa.table({"x": [1]}), path), "found another file"),
    "no ids": (
        lambda path: pq.write_table(
            pq.ParquetFile(path).read(["part"]).replace_schema_metadata({META: _facts(path)}), path
        ),
        "found another file",
    ),
    "no JSON": (
        lambda path: pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata({META: b"{"}), path),
        "found another file",
    ),
    "other version": (
        lambda path: rewrite(path, lambda facts: facts.update(version=99)),
        "a slice of version 99, .* reads 1",
    ),
    "no digest": (lambda path: rewrite(path, lambda facts: facts.pop("digest")), "found another file"),
    "odd digest": (lambda path: rewrite(path, lambda facts: facts.update(digest=5)), "found another file"),
    "odd order": (lambda path: rewrite(path, lambda facts: facts.update(order=[1])), "found another file"),
    "order by what is not there": (
        lambda path: rewrite(path, lambda facts: facts.update(order=[['part"; DROP', False]])),
        "clips has no column",
    ),
    "a list": (
        lambda path: pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata({META: b"[1]"}), path),
        "found another file",
    ),
}


def _facts(path: Path) -> bytes:
    return (pq.read_schema(path).metadata or {})[META]


@pytest.mark.parametrize("kind", DAMAGE)
@pytest.mark.parametrize("remap", [False, True])
def test_a_damaged_file_is_refused(world: World, tmp_path: Path, kind: str, remap: bool) -> None:
    path = tmp_path / "some.slice.parquet"
    world.opened.all.limit(5).save(path)
    damage, message = DAMAGE[kind]
    damage(path)
    with pytest.raises(QueryError, match=message):
        world.opened.slice(path, remap=remap)


def test_a_count_that_is_wrong_does_no_harm(world: World, other: OpenS2V, tmp_path: Path) -> None:
    path = tmp_path / "some.slice.parquet"
    world.opened.all.save(path)
    rewrite(path, lambda facts: facts.update(num_clips=3))
    assert other.slice(path, remap=True).count() == len(other)


def test_pages_that_are_damaged_are_told(world: World, other: OpenS2V, tmp_path: Path) -> None:
    path = tmp_path / "some.slice.parquet"
    world.opened.all.save(path)
    data = bytearray(path.read_bytes())
    data[4:300] = b"\xff" * 296
    path.write_bytes(data)
    for ask in (lambda: other.slice(path, remap=True), lambda: world.opened.slice(path)):
        with pytest.raises(QueryError, match=r"the saved slice at .* is damaged"):
            ask()


def test_a_slice_that_cannot_be_written_leaves_nothing(world: World, tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere" / "x.parquet", tmp_path):
        with pytest.raises(OSError, match=r"No such file|[Dd]irectory"):
            world.opened.all.save(path)
    assert list(tmp_path.iterdir()) == []


def test_too_many_ids_are_saved_without_sql(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opens2v_data.query.bound.MAX_LITERAL_IDS", 3)
    facts = world.opened.all.with_ids(range(9)).save(tmp_path / "x.parquet")
    assert facts.sql is None
    found = world.opened.slice(tmp_path / "x.parquet")
    assert found.ids().tolist() == list(range(9))
    assert world.opened.count(found.sql_where()) == 9


# -- who takes them


def test_a_slice_chooses_the_rows_of_load_dataset(world: World, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    s = world.opened.where("caption LIKE ? OR aesthetic > ?", "%'%", 5.5).has_subject("woman").sort("-tech").limit(6)
    s.save(tmp_path / "x[1].parquet")
    wheres = [
        s.sql_where(),
        world.opened.slice(tmp_path / "x[1].parquet").sql_where(),
        world.opened.all.with_ids(s.ids()).sql_where(),
    ]
    for where in wheres:
        rows = datasets.load_dataset(
            "opens2v-5m",
            data_dir=str(world.opened.catalog.root),
            split="train",
            streaming=True,
            decode=False,
            where=where,
        )
        assert [row["clip_id"] for row in rows] == sorted(s.ids().tolist()) != []


def test_a_loader_gives_the_clips_of_a_slice_alone(sample_catalog: Path) -> None:
    pytest.importorskip("torch")
    loaders = pytest.importorskip("opens2v_loaders")
    opened = opens2v_data.open(sample_catalog)
    s = opened.where("video_size_bytes IS NOT NULL").sample(5, seed=1)
    loader = loaders.ClipLoader(
        s,
        clip=loaders.ClipSpec(num_frames=1, size=(32, 32)),
        batch_size=1,
        on_bad="skip",
        options=loaders.LoaderOptions(max_bad_share=1.0),
    )
    given = {int(clip_id) for batch in loader for clip_id in batch.rows.tolist()}
    assert given and given <= set(s.ids().tolist())
    assert isinstance(s.fingerprint, str) and set(s.row_sizes()["row_id"].tolist()) == set(np.asarray(s.ids()).tolist())
