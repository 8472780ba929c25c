"""The numbers of clips in memory: the same answers as from the files, and no file read for them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import opens2v_data
from opens2v_data.archive.cache import CACHE_VARIABLE
from opens2v_data.query import keytexts
from opens2v_data.query.warm import SCALARS, is_enough

QUESTIONS = [
    "SELECT count(*) AS n FROM clips WHERE aesthetic > 5 AND motion > 0.01",
    "SELECT part, count(*) AS n, avg(aesthetic) AS a FROM clips GROUP BY part ORDER BY part",
    "SELECT clip_id, duration_seconds, aspect_ratio FROM clips ORDER BY aesthetic DESC NULLS LAST, clip_id",
    "SELECT category, count(*) AS n FROM clips GROUP BY 1 ORDER BY 1",
    "SELECT category, kinds, subject_area, pair_similarity FROM clips ORDER BY clip_id",
    "SELECT clip_id, pair_similarity FROM clips WHERE subject_area > 0.1 ORDER BY pair_similarity DESC NULLS LAST, clip_id",
    "SELECT caption_source, count(*) AS n FROM clips WHERE aesthetic > 4 GROUP BY 1 ORDER BY 1",
    "SELECT clip_id, caption_source FROM clips ORDER BY caption_source DESC NULLS LAST, clip_id",
    "SELECT category, max(length(caption)) AS n FROM clips GROUP BY 1 ORDER BY 1",
    "SELECT clip_id, clip_key, aesthetic FROM clips ORDER BY clip_id",
    "SELECT clip_id, aesthetic * motion AS product FROM clips WHERE part = 'total_part2' ORDER BY clip_id",
    "SELECT * FROM clips ORDER BY clip_id",
    "FROM clips ORDER BY clip_id LIMIT 3",
    "SELECT clip.* FROM clips AS clip ORDER BY clip_id",
    "SELECT COLUMNS('aes.*') FROM clips ORDER BY clip_id",
    "SELECT count(*) AS n FROM clips WHERE has_subject(clip_id, 'woman', min_gme := 0.2)",
    "SELECT count(*) AS n FROM clips JOIN captions USING (clip_id) WHERE caption LIKE '%dog%'",
    "SELECT unnest(subject_tags) AS tag, count(*) AS n FROM clips GROUP BY 1 ORDER BY 1",
    "SELECT clip_id, quirks, len(quirks) AS n FROM clips WHERE list_has_any(quirks, ['nan', 'mask-size']) ORDER BY clip_id",
    "SELECT quirks, count(*) AS n FROM clips GROUP BY quirks ORDER BY n, quirks",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_warm_catalog_answers_like_a_cold_one(sample_catalog: Path, question: str) -> None:
    cold, warm = opens2v_data.open(sample_catalog), opens2v_data.open(sample_catalog)
    warm.warm()
    assert warm.sql(question).to_pylist() == cold.sql(question).to_pylist()
    assert warm.sql(question).schema == cold.sql(question).schema


@pytest.mark.parametrize("question", [one for one in QUESTIONS if "category" in one or "subject_area" in one])
def test_a_catalog_that_was_warmed_with_derived_columns_answers_alike(sample_catalog: Path, question: str) -> None:
    cold, warm = opens2v_data.open(sample_catalog), opens2v_data.open(sample_catalog)
    warm.query.build_categories()
    warm.warm()
    assert warm.query._in_memory is not None and warm.query._in_memory.has_derived
    assert warm.sql(question).to_pylist() == cold.sql(question).to_pylist()
    assert warm.sql(question).schema == cold.sql(question).schema


def test_a_definition_that_names_clips_twice_is_not_loaded(sample_catalog: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.sql"
    own.write_text(
        "SELECT class_id, 'thing' AS kind FROM classes;\n"
        "SELECT if(clip_id % 2 = 1, clip_id - 1, clip_id)::INTEGER AS clip_id, 'a' AS category, ['thing'] AS kinds "
        "FROM clips WHERE clip_id >= $lo AND clip_id < $hi;\n"
    )
    catalog = opens2v_data.open(sample_catalog, category=own)
    catalog.query.build_categories()
    catalog.warm()
    assert catalog.query._in_memory is not None and not catalog.query._in_memory.has_derived
    assert catalog.where("aesthetic > 5").count() == opens2v_data.open(sample_catalog).where("aesthetic > 5").count()


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("SELECT count(*) FROM clips WHERE aesthetic > 5", True),
        ("SELECT count ( * ) FROM clips", True),
        ("SELECT aesthetic*motion FROM clips", True),
        ("SELECT * FROM clips", False),
        ("SELECT clip_id, * EXCLUDE (clip_id) FROM clips", False),
        ("WITH x AS (FROM clips) SELECT 1 FROM x", False),
        ("SELECT clip.* FROM clips AS clip", False),
        ("SELECT clip_key FROM clips", False),
        ("SELECT name FROM classes", False),
    ],
)
def test_what_is_kept_is_enough_for_numbers_alone(question: str, expected: bool) -> None:
    assert is_enough(question) is expected


def test_a_warm_catalog_reads_no_file_of_clips(sample_catalog: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(sample_catalog, tmp_path / "catalog")
    catalog = opens2v_data.open(copy)
    catalog.warm()
    expected: dict[str, Any] = {
        "count": catalog.where("aesthetic > 5").count(),
        "hist": catalog.all.hist("aesthetic").counts.tolist(),
        "page": catalog.all.sort("-aesthetic").page(n=5, columns=["clip_id", "motion"]).rows.to_pylist(),
        "quirks": catalog.where("aesthetic > 4").facets("quirks").to_pylist(),
    }
    catalog.where("aesthetic > 5").ids()
    (copy / "clips.parquet").unlink()
    (copy / "clips.parquet").write_bytes(b"not parquet any more")
    assert catalog.where("aesthetic > 5").count() == expected["count"]
    assert catalog.all.hist("aesthetic").counts.tolist() == expected["hist"]
    assert catalog.all.sort("-aesthetic").page(n=5, columns=["clip_id", "motion"]).rows.to_pylist() == expected["page"]
    assert catalog.where("aesthetic > 4").facets("quirks").to_pylist() == expected["quirks"]


def test_a_closed_or_forked_catalog_is_cold_and_still_answers(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    catalog.warm()
    assert catalog.query.is_warm
    count = catalog.where("aesthetic > 5").count()
    child = os.fork()
    if child == 0:
        os._exit(0 if not catalog.query.is_warm and catalog.where("aesthetic > 5").count() == count else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    catalog.query.close()
    assert not catalog.query.is_warm
    assert catalog.where("aesthetic > 5").count() == count


def test_scalars_are_all_numbers_of_clips_the_part_and_the_quirks() -> None:
    assert {"clip_id", "part", "aesthetic", "num_masks", "json_offset", "quirks"} <= set(SCALARS)
    assert not {"clip_key", "subject_tags", "path"} & set(SCALARS)


def test_pages_of_a_warm_catalog_have_the_keys_of_their_clips(sample_catalog: Path) -> None:
    cold, warm = opens2v_data.open(sample_catalog), opens2v_data.open(sample_catalog)
    warm.warm()
    for order in (("-aesthetic",), ("clip_key",), ()):
        for after in (None, cold.all.sort(*order).page(n=2).after):
            expected = cold.all.sort(*order).page(n=3, after=after)
            found = warm.all.sort(*order).page(n=3, after=after)
            assert found.rows.equals(expected.rows)
            assert found.after == expected.after


def test_keys_are_mapped_from_a_file_of_many_batches(sample_catalog: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(keytexts, "CLIPS_AT_ONCE", 2)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    catalog = opens2v_data.open(sample_catalog)
    expected = catalog.all.to_arrow(["clip_key"]).column("clip_key").to_pylist()
    catalog.warm()
    (path,) = tmp_path.rglob("clip_keys-*.arrow")
    texts = keytexts.KeyTexts(path, len(catalog))
    ids = [*range(len(catalog)), *reversed(range(len(catalog)))]
    assert texts.take(ids).to_pylist() == [expected[clip_id] for clip_id in ids]
    with pytest.raises(pa.ArrowInvalid, match=f"expected {len(catalog) + 1} keys"):
        keytexts.KeyTexts(path, len(catalog) + 1)


def test_a_damaged_file_of_keys_is_made_again(sample_catalog: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    opens2v_data.open(sample_catalog).warm()
    (path,) = tmp_path.rglob("clip_keys-*.arrow")
    path.write_bytes(path.read_bytes()[:50])
    catalog = opens2v_data.open(sample_catalog)
    catalog.warm()
    expected = opens2v_data.open(sample_catalog).all.page(n=5).rows
    assert catalog.all.page(n=5).rows.equals(expected)
    assert keytexts.KeyTexts(path, len(catalog))


def test_without_a_cache_that_can_be_written_keys_come_from_the_catalog(
    sample_catalog: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    catalog = opens2v_data.open(sample_catalog)
    catalog.warm()
    assert catalog.all.page(n=5).rows.equals(opens2v_data.open(sample_catalog).all.page(n=5).rows)
