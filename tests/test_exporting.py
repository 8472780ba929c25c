"""A slice's tables as files, against the tables themselves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import opens2v_data
from opens2v_data.exporting import export_tables


def test_parquet_holds_the_slices_rows_in_its_order(sample_catalog: Path, tmp_path: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    s = catalog.where("aesthetic > ?", 4.5).sort("-aesthetic")
    made = {table.path.name: table.num_rows for table in export_tables(s, tmp_path / "out")}
    ids = s.ids().tolist()
    clips = pq.read_table(tmp_path / "out" / "clips.parquet")
    assert clips.column("clip_id").to_pylist() == ids
    assert clips.column("caption").to_pylist() == [row["caption"] for row in catalog.rows_of(ids)]
    subjects = pq.read_table(tmp_path / "out" / "subjects.parquet")
    assert subjects.num_rows == made["subjects.parquet"] == sum(len(row["subjects"]) for row in catalog.rows_of(ids))
    pairs = pq.read_table(tmp_path / "out" / "pairs.parquet").to_pylist()
    assert pairs and all({pair["clip_id"], pair["partner_clip_id"]} <= set(ids) for pair in pairs)
    expected = list(catalog.rows(config="nexus-cross", columns=["clip_id", "partner_clip_id"]))
    assert len(pairs) == sum({pair["clip_id"], pair["partner_clip_id"]} <= set(ids) for pair in expected)


def test_csv_holds_the_same_values_lists_as_json(sample_catalog: Path, tmp_path: Path) -> None:
    s = opens2v_data.open(sample_catalog).all
    export_tables(s, tmp_path, "csv")
    with (tmp_path / "clips.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = s.to_arrow(["clip_key", "subject_tags", "caption", "aesthetic"]).to_pylist()
    assert [row["clip_key"] for row in rows] == [row["clip_key"] for row in table]
    assert [json.loads(row["subject_tags"]) for row in rows] == [row["subject_tags"] for row in table]
    assert [row["caption"] or None for row in rows] == [row["caption"] for row in table]
    assert [row["aesthetic"] == "" for row in rows] == [row["aesthetic"] is None for row in table]


def test_trimmed_subjects_are_left_out(sample_catalog: Path, tmp_path: Path) -> None:
    s = opens2v_data.open(sample_catalog).all.subjects("class_name = ?", "woman")
    export_tables(s, tmp_path)
    assert set(pq.read_table(tmp_path / "subjects.parquet").column("class_name").to_pylist()) == {"woman"}


def test_another_form_is_refused(sample_catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form must be one of parquet, csv, got 'xml'"):
        export_tables(opens2v_data.open(sample_catalog).all, tmp_path, "xml")  # pyright: ignore[reportArgumentType]
