"""The preview of a published catalog: which clips, that their bytes are real, and that `datasets` knows the media."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import datasets
import pyarrow.parquet as pq
import pytest

import opens2v_data
from hub.releases import make_catalog, write_many_clips
from opens2v_data.errors import ArchiveError, DecodeError
from opens2v_data.hub import preview as previews
from opens2v_data.hub.preview import SCHEMA, CutOutPicture, Pictures, choose_rows, write_preview

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_data.dataset import OpenS2V
    from opens2v_data.triples import Triple


def draw(triple: Triple, video: bytes) -> Pictures:
    """Stand for the loaders' pictures: bytes that say what was drawn."""
    cut_outs = tuple(
        CutOutPicture(class_name=subject.class_name, png=f"{subject.object_id} of {len(video)}".encode())
        for subject in triple.subjects
    )
    return Pictures(overlay_jpeg=f"overlay of {triple.clip.key}".encode(), cut_outs=cut_outs)


def rows_of(path: Path | None) -> list[dict[str, Any]]:
    assert path is not None
    return pq.read_table(path).to_pylist()


def num_bytes(file: dict[str, Any]) -> int:
    return len(file["bytes"])


def test_a_row_is_a_clip_with_its_bytes_and_pictures(sample: OpenS2V, tmp_path: Path) -> None:
    made = write_preview(sample, tmp_path / "p.parquet", num_rows=6, draw=draw)
    assert made.path == tmp_path / "p.parquet" and len(made.clip_ids) == 6
    rows = rows_of(made.path)
    assert tuple(row["clip_id"] for row in rows) == made.clip_ids
    for row in rows:
        (triple,) = sample.triples(f"clip_id = {row['clip_id']}")
        video = sample.read_bytes(triple.clip.video)
        assert row["video"] == {"bytes": video, "path": f"{triple.clip.key}.mp4"}
        assert row["mask_overlay"]["bytes"] == f"overlay of {triple.clip.key}".encode()
        assert row["classes"] == [subject.class_name for subject in triple.subjects]
        assert [cut["bytes"] for cut in row["cutouts"]] == [
            f"{subject.object_id} of {len(video)}".encode() for subject in triple.subjects
        ]
        assert (row["caption"], row["part"], row["aesthetic"]) == (
            triple.caption,
            triple.clip.part,
            triple.clip.aesthetic,
        )


def test_some_clips_have_views_and_some_a_partner_whose_picture_is_there_too(sample: OpenS2V, tmp_path: Path) -> None:
    made = write_preview(sample, tmp_path / "p.parquet", num_rows=8, draw=draw)
    rows = rows_of(made.path)
    with_views = [row for row in rows if row["views"]]
    with_partner = [row for row in rows if row["partner_clip_key"]]
    assert with_views and with_partner and len(with_views) + len(with_partner) < len(rows)
    for row in with_views:
        assert all(view["bytes"].startswith(b"\x89PNG") for view in row["views"])
    for row in with_partner:
        assert row["partner_overlay"]["bytes"] == f"overlay of {row['partner_clip_key']}".encode()
        assert row["image_similarity"] < 0.97


def test_the_same_catalog_gives_the_same_bytes(sample: OpenS2V, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_preview(sample, tmp_path / name / "p.parquet", num_rows=5, draw=draw)
    assert (tmp_path / "a/p.parquet").read_bytes() == (tmp_path / "b/p.parquet").read_bytes()


def test_the_metadata_is_that_which_datasets_would_write() -> None:
    features = datasets.Features.from_arrow_schema(SCHEMA)
    assert features["video"] == datasets.Video()
    assert features["cutouts"] == datasets.List(datasets.Image())
    written, ours = (schema.metadata[b"huggingface"] for schema in (features.arrow_schema, SCHEMA))
    assert json.loads(written) == json.loads(ours)
    assert features.arrow_schema.types == SCHEMA.types


def test_datasets_gives_the_bytes_back(sample: OpenS2V, tmp_path: Path) -> None:
    made = write_preview(sample, tmp_path / "p.parquet", num_rows=3, draw=draw)
    loaded = datasets.load_dataset("parquet", data_files=str(made.path), split="train")
    assert isinstance(loaded, datasets.Dataset)
    loaded = loaded.cast_column("video", datasets.Video(decode=False))
    loaded = loaded.cast_column("mask_overlay", datasets.Image(decode=False))
    (triple,) = sample.triples(f"clip_id = {made.clip_ids[0]}")
    row = loaded.select_columns(["video", "mask_overlay"])[0]
    assert row["video"]["bytes"] == sample.read_bytes(triple.clip.video)
    assert row["mask_overlay"]["path"] == f"{triple.clip.key}.jpg"


def test_clips_are_taken_from_all_over_each_once(many: OpenS2V) -> None:
    regular = [row_id for config, row_id in choose_rows(many) if config == "regular"]
    expected = [row["clip_id"] for row in many.rows("num_masks > 0")]
    assert sorted(regular) == expected
    quarters = [expected.index(clip_id) * 4 // len(expected) for clip_id in regular[:4]]
    assert sorted(quarters) == [0, 1, 2, 3]


def test_clips_that_cannot_be_drawn_are_counted_and_others_take_their_place(sample: OpenS2V, tmp_path: Path) -> None:
    tried: list[int] = []

    def draw_some(triple: Triple, video: bytes) -> Pictures:
        tried.append(triple.clip.clip_id)
        if triple.clip.clip_id % 2:
            raise DecodeError(f"clip {triple.clip.clip_id} does not decode")
        return draw(triple, video)

    made = write_preview(sample, tmp_path / "p.parquet", num_rows=5, draw=draw_some)
    assert len(made.clip_ids) == 5 and all(clip_id % 2 == 0 for clip_id in made.clip_ids)
    assert made.skipped and all(why.endswith("does not decode") for _, why in made.skipped)
    assert set(tried) >= set(made.clip_ids) | {clip_id for clip_id, _ in made.skipped if clip_id % 2}


def test_clips_that_are_too_large_are_left_out(
    sample: OpenS2V, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "MAX_CLIP_BYTES", 65_000)
    made = write_preview(sample, tmp_path / "p.parquet", num_rows=4, draw=draw)
    assert all(len(row["video"]["bytes"]) <= 65_000 for row in rows_of(made.path))
    assert any("a preview takes clips up to 65000" in why for _, why in made.skipped)


def test_row_groups_are_closed_when_they_have_enough_bytes(
    sample: OpenS2V, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "ROW_GROUP_BYTES", 150_000)
    made = write_preview(sample, tmp_path / "p.parquet", num_rows=9, draw=draw)
    assert made.path is not None
    with pq.ParquetFile(made.path) as file:
        groups = [file.read_row_group(index).to_pylist() for index in range(file.num_row_groups)]
    sizes = [[sum(map(num_bytes, (row["video"], *row["views"]))) for row in group] for group in groups]
    assert len(groups) > 2 and sum(map(len, sizes)) == 9
    # Views weigh here too, some more than the clip; what the drawn pictures add is a few bytes.
    assert all(sum(group[:-1]) < 150_000 for group in sizes)
    assert any(row["views"] for group in groups for row in group)


def test_a_release_that_is_not_here_is_told_with_what_to_do(sample: OpenS2V, tmp_path: Path) -> None:
    moved = opens2v_data.open(sample.catalog.root, release=tmp_path / "gone")
    with pytest.raises(ArchiveError, match=r"found none that can be shown of \d+ tried.*gone.*--no-preview"):
        write_preview(moved, tmp_path / "p.parquet", num_rows=2, draw=draw)
    assert not (tmp_path / "p.parquet").exists()


def test_a_catalog_without_masks_has_no_preview(tmp_path: Path) -> None:
    release = write_many_clips(tmp_path / "release", clips_per_part=1)
    dataset = opens2v_data.open(make_catalog(release, tmp_path / "catalog"))
    made = write_preview(dataset, tmp_path / "p.parquet", num_rows=2, draw=draw)
    assert (made.path, made.clip_ids, made.skipped) == (None, (), ())
    assert not (tmp_path / "p.parquet").exists()


def test_a_preview_of_no_rows_is_refused(sample: OpenS2V, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1 row, got 0"):
        write_preview(sample, tmp_path / "p.parquet", num_rows=0, draw=draw)


def test_progress_counts_the_clips_shown(sample: OpenS2V, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    write_preview(sample, tmp_path / "p.parquet", num_rows=3, draw=draw, progress=lambda *step: seen.append(step))
    assert seen == [("preview", 1, 3), ("preview", 2, 3), ("preview", 3, 3)]
