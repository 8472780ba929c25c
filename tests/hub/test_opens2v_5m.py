from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, cast

import datasets
import pytest
from datasets import load_dataset_builder

import opens2v_data
from hub.loading import NAME, ids, load, stream
from hub.releases import make_catalog, write_many_clips
from opens2v_data.catalog.manifest import FILE_NAME
from opens2v_data.errors import QueryError
from opens2v_data.hub.opens2v_5m import MIN_SHARDS
from opens2v_data.query import CONFIGS, Config
from opens2v_data.rows import row_schema
from opens2v_data.triples import Pair, Triple

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_data.dataset import OpenS2V


@pytest.mark.parametrize("config", CONFIGS)
def test_streamed_rows_are_those_of_the_catalog(catalog: OpenS2V, config: Config) -> None:
    expected = list(catalog.rows(config=config))
    assert expected
    assert list(stream(catalog, config)) == expected


@pytest.mark.parametrize("config", CONFIGS)
def test_loaded_rows_are_those_of_the_catalog(catalog: OpenS2V, config: Config) -> None:
    assert list(load(catalog, config)) == list(catalog.rows(config=config))


def test_the_default_config_gives_clips_in_id_order(many: OpenS2V) -> None:
    assert ids(stream(many)) == list(range(150))


@pytest.mark.parametrize(
    ("config", "where"),
    [
        ("regular", "has_subject(clip_id, 'woman', min_gme := 0.15) AND part = 'total_part2'"),
        ("regular", "aesthetic > 5 -- a comment"),
        ("nexus-gpt", "motion IS NOT NULL AND clip_id > 50"),
        ("nexus-cross", "image_similarity < 0.6 AND partner_part = 'total_part2'"),
    ],
)
def test_a_condition_gives_the_rows_that_the_catalog_gives(many: OpenS2V, config: Config, where: str) -> None:
    expected = list(many.rows(where, config=config))
    assert 0 < len(expected) < many.count(config=config)
    assert list(stream(many, config, where=where)) == expected
    assert list(load(many, config, where=where)) == expected


def test_only_id_ranges_with_a_row_of_the_condition_become_shards(many: OpenS2V) -> None:
    assert 0.9 * MIN_SHARDS < stream(many).num_shards <= MIN_SHARDS
    assert stream(many, where="clip_id IN (3, 4, 149)").num_shards == 2


@pytest.mark.parametrize("columns", [["caption"], ["video", "clip_id"], ["subjects", "clip_key"]])
def test_only_the_columns_asked_for_come_and_in_that_order(many: OpenS2V, columns: list[str]) -> None:
    expected = list(many.rows(columns=columns))
    streamed, loaded = stream(many, columns=columns), load(many, columns=columns)
    assert streamed.column_names == loaded.column_names == columns
    assert list(streamed) == list(loaded) == expected


@pytest.mark.parametrize("read", [stream, load])
@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"columns": ["captoin"]}, QueryError, "config regular has no column 'captoin'; it has clip_id, "),
        ({"columns": "caption"}, TypeError, "columns must be a list of names, got the text 'caption'"),
        ({"columns": []}, ValueError, "columns must name at least one column"),
        ({"columns": ["caption", "caption"]}, ValueError, "and none twice"),
        ({"where": "beauty > 5"}, QueryError, r"where='beauty > 5' is no condition that config regular can answer"),
        ({"where": "true; DROP TABLE x"}, QueryError, "where="),
        ({"where": 5}, TypeError, "where must be a SQL condition as text, got 5"),
        ({"wehre": "true"}, ValueError, "doesn't have a 'wehre' key"),
        ({"config": "reglar"}, ValueError, "'reglar' not found. Available: .'regular', 'nexus-cross', 'nexus-gpt'."),
    ],
)
def test_a_mistake_is_named_when_loading(
    many: OpenS2V, read: Any, options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        read(many, **options)


def test_a_condition_that_nothing_meets_gives_an_empty_split_with_all_features(many: OpenS2V) -> None:
    streamed, loaded = stream(many, where="clip_id < 0"), load(many, where="clip_id < 0")
    assert list(streamed) == list(loaded) == []
    assert streamed.num_shards == 1
    assert streamed.features == loaded.features == stream(many).features


@pytest.mark.parametrize("config", CONFIGS)
def test_features_store_what_rows_hold(many: OpenS2V, config: Config) -> None:
    features = stream(many, config).features
    assert features is not None
    stored = features.arrow_schema
    assert stored.names == row_schema(config).names
    for field in row_schema(config):
        assert str(stored.field(field.name).type).replace("element", "item") == str(field.type).replace(
            "element: string not null", "item: string"
        )


def test_rows_become_triples_and_pairs(many: OpenS2V) -> None:
    assert list(map(Triple.from_row, stream(many))) == list(many.triples())
    assert list(map(Triple.from_row, stream(many, "nexus-gpt"))) == list(many.triples(with_views=True))
    assert list(map(Pair.from_row, stream(many, "nexus-cross"))) == list(many.pairs())
    assert [Pair.from_row(cast("Any", row)) for row in load(many, "nexus-cross")] == list(many.pairs())


def test_two_processes_may_prepare_one_dataset(many: OpenS2V) -> None:
    assert ids(load(many, columns=["clip_id"], num_proc=2)) == list(range(150))


def cache_dir(root: Path, config: str | None = None, **options: Any) -> str:
    return load_dataset_builder(NAME, config, data_dir=str(root), **options).cache_dir


def test_what_is_kept_differs_by_catalog_condition_columns_and_release(
    many: OpenS2V, sample: OpenS2V, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = many.catalog.root
    plain = cache_dir(root)
    assert plain == cache_dir(root) == cache_dir(root, "regular", where=None, columns=None)
    others = {
        cache_dir(sample.catalog.root),
        cache_dir(root, "nexus-gpt"),
        cache_dir(root, where="aesthetic > 5"),
        cache_dir(root, where="aesthetic > 6"),
        cache_dir(root, columns=["caption"]),
    }
    monkeypatch.setenv("OPENS2V_RELEASE", str(tmp_path))
    others.add(cache_dir(root))
    assert len(others - {plain}) == 6


def test_a_catalog_made_anew_in_the_same_folder_is_not_mistaken_for_the_old_one(tmp_path: Path) -> None:
    first = opens2v_data.open(make_catalog(write_many_clips(tmp_path / "a", clips_per_part=3), tmp_path / "catalog"))
    assert len(load(first)) == 6
    assert ids(stream(first)) == list(range(6))
    for path in sorted(tmp_path.glob("catalog/**/*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    second = opens2v_data.open(make_catalog(write_many_clips(tmp_path / "b", clips_per_part=4), tmp_path / "catalog"))
    assert (tmp_path / "catalog" / FILE_NAME).is_file()
    assert len(load(second)) == 8
    assert ids(stream(second)) == list(range(8))


def test_a_builder_goes_to_another_process(many: OpenS2V) -> None:
    builder = load_dataset_builder(
        NAME, "nexus-cross", data_dir=str(many.catalog.root), where="pair_id < 3", decode=False
    )
    copied = pickle.loads(pickle.dumps(builder))
    rows = list(copied.as_streaming_dataset(split="train"))
    assert [row["pair_id"] for row in rows] == [0, 1, 2]


def test_shuffling_whole_shards_loses_nothing(many: OpenS2V) -> None:
    shuffled = ids(stream(many, columns=["clip_id"]).shuffle(seed=1, buffer_size=1))
    assert shuffled != sorted(shuffled) == list(range(150))


def test_the_information_names_source_and_licence(many: OpenS2V) -> None:
    info = load_dataset_builder(NAME, data_dir=str(many.catalog.root)).info
    assert (info.license, str(info.version)) == ("cc-by-4.0", "1.0.0")
    assert isinstance(info, datasets.DatasetInfo) and "BestWishYsh/OpenS2V-5M" in info.homepage
