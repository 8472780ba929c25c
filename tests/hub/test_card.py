"""The card of a published catalog: its figures, its front matter, and that `datasets` loads what it names."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import datasets
import msgspec
import numpy as np
import pytest
import yaml

from opens2v_data.catalog.schemas import TABLES
from opens2v_data.hub import card as cards
from opens2v_data.hub.card import Figures, configs, count_figures, make_card, read_template, size_category

if TYPE_CHECKING:
    from pathlib import Path

    from opens2v_data.dataset import OpenS2V

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def figures(sample: OpenS2V) -> Figures:
    return count_figures(sample.catalog)


def card_of(dataset: OpenS2V, figures: Figures, *, has_preview: bool = True, **options: Any) -> str:
    source = options.pop("source", dataset.catalog.manifest.source)
    return make_card(figures, source=source, repo_id="me/cat", has_preview=has_preview, **options)


def front_of(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize(
    ("num_rows", "name"),
    [
        (0, "n<1K"),
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (99_999, "10K<n<100K"),
        (100_000, "100K<n<1M"),
        (5_400_000, "1M<n<10M"),
        (10**9, "1B<n<10B"),
        (10**12 - 1, "100B<n<1T"),
        (10**12, "n>1T"),
    ],
)
def test_a_number_of_rows_has_the_hubs_name(num_rows: int, name: str) -> None:
    assert size_category(num_rows) == name


def test_the_figures_are_those_of_the_rows_counted_one_by_one(catalog: OpenS2V) -> None:
    found = count_figures(catalog.catalog)
    rows = list(catalog.rows())
    assert found.num_rows["clips"] == len(rows)
    assert found.num_rows["subjects"] == sum(len(row["subjects"]) for row in rows)
    assert found.num_masks == sum(row["num_masks"] for row in rows)
    assert found.num_clips_with_video == sum(row["video_path"] is not None for row in rows)
    assert found.parts == tuple(sorted(Counter(row["part"] for row in rows).items()))
    lengths = [
        (row["cut_end"] - row["cut_start"]) / row["fps"] for row in rows if row["cut_end"] is not None and row["fps"]
    ]
    assert found.seconds == pytest.approx(sum(lengths))
    sizes = Counter((row["width"], row["height"]) for row in rows)
    assert {(width, height): count for width, height, count in found.frame_sizes} == dict(sizes.most_common(6))
    names = Counter(subject["class_name"] for row in rows for subject in row["subjects"])
    assert [(name, count) for name, count, _ in found.classes if count] == [
        (name, names[name]) for name, count, _ in found.classes if count
    ]
    assert found.classes[0][1] == max(names.values())
    assert found.quirks == dict(Counter(quirk for row in rows for quirk in row["quirks"]))
    for score, values in found.quantiles.items():
        known = [row[score] for row in rows if row[score] is not None]
        assert found.num_scored[score] == len(known)
        assert values == pytest.approx(np.quantile(known, cards.QUANTILES))


def test_scores_that_no_clip_has_are_left_out(sample: OpenS2V, figures: Figures) -> None:
    card = card_of(sample, dataclasses.replace(figures, quantiles={}))
    assert "No clip has a score." in card


def test_the_front_matter_is_yaml_with_one_default_config(sample: OpenS2V, figures: Figures) -> None:
    front = front_of(card_of(sample, figures))
    assert front["license"] == "cc-by-4.0"
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"] == ["text-to-video", "image-to-video"]
    assert [config["config_name"] for config in front["configs"]] == ["preview", *TABLES]
    assert [config["config_name"] for config in front["configs"] if config.get("default")] == ["preview"]
    assert front["configs"][0]["data_files"] == "preview/*.parquet"


def test_without_a_preview_the_clips_are_the_default(sample: OpenS2V, figures: Figures) -> None:
    card = card_of(sample, figures, has_preview=False)
    assert front_of(card)["configs"][0] == {"config_name": "clips", "data_files": "clips.parquet", "default": True}
    assert "published without a preview" in card


def test_a_table_without_rows_has_no_config() -> None:
    made = configs({"clips": 3, "captions": 3, "views": 0}, has_preview=False)
    assert [config["config_name"] for config in made] == ["clips", "captions"]


def test_datasets_loads_every_config_of_the_card(sample: OpenS2V, figures: Figures, tmp_path: Path) -> None:
    folder = shutil.copytree(sample.catalog.root, tmp_path / "published")
    card = card_of(sample, figures, has_preview=False)
    (folder / "README.md").write_text(card, encoding="utf-8")
    names = datasets.get_dataset_config_names(str(folder))
    assert names == [config["config_name"] for config in front_of(card)["configs"]]
    for name in names:
        loaded = cast("datasets.Dataset", datasets.load_dataset(str(folder), name, split="train"))
        assert (name, len(loaded)) == (name, sample.catalog.num_rows(name))
    default = cast("datasets.Dataset", datasets.load_dataset(str(folder), split="train"))
    assert "clip_key" in default.column_names


def test_every_place_of_the_template_is_filled_and_every_figure_stands_there(sample: OpenS2V, figures: Figures) -> None:
    card = card_of(sample, figures)
    assert "{{" not in card and "}}" not in card
    assert figures.digest in card
    assert f"| clips | {figures.num_rows['clips']} |" in card
    for reason, count in figures.quarantine.items():
        assert f"| {reason} | {count} |" in card
    assert 'data_dir="hf://datasets/me/cat"' in card


def test_every_table_of_the_catalog_is_described(sample: OpenS2V, figures: Figures) -> None:
    card = card_of(sample, figures)
    for name, rows in figures.num_rows.items():
        assert re.search(rf"^\| `{name}\.parquet` \| .+ \| {rows:,} \|", card, re.MULTILINE), name


def test_every_quirk_that_was_met_is_explained(sample: OpenS2V, figures: Figures) -> None:
    text = read_template()
    for quirk in figures.quirks:
        assert f"`{quirk}`" in text


def test_a_release_on_the_hub_is_linked_at_its_commit(sample: OpenS2V, figures: Figures) -> None:
    uri = f"hf://datasets/BestWishYsh/OpenS2V-5M@{COMMIT}"
    source = msgspec.structs.replace(sample.catalog.manifest.source, uri=uri, revision=COMMIT)
    card = card_of(sample, figures, source=source)
    assert f"(https://huggingface.co/datasets/BestWishYsh/OpenS2V-5M/tree/{COMMIT})" in card
    assert "names no release" not in card


def test_a_folder_of_this_machine_is_told_without_its_path(sample: OpenS2V, figures: Figures) -> None:
    card = card_of(sample, figures)
    assert "**The manifest names no release on the Hub**" in card
    assert sample.catalog.manifest.source.uri not in card


def test_text_of_the_release_cannot_break_a_table_or_the_page(sample: OpenS2V, figures: Figures) -> None:
    odd = (("a|b\nc <script>`x` {{digest}}", 7, 5), ("w" * 500, 1, 1))
    card = card_of(sample, dataclasses.replace(figures, classes=odd))
    assert "\n| a\\|b c &lt;script&gt;\\`x\\` \\{\\{digest\\}\\} | 7 | 5 |\n" in card
    assert f"\n| {'w' * 79}… | 1 | 1 |\n" in card


def test_a_template_that_names_what_there_is_no_text_for_is_refused(sample: OpenS2V, figures: Figures) -> None:
    with pytest.raises(ValueError, match=r"the template has \{\{weather\}\}; what can stand there: bytes, classes"):
        card_of(sample, figures, template="---\nlicense: mit\n---\n{{weather}}\n")


def test_a_catalog_without_quirks_or_quarantine_says_so(sample: OpenS2V, figures: Figures) -> None:
    card = card_of(sample, dataclasses.replace(figures, quirks={}, quarantine={}))
    assert "No record was left out." in card and "No clip of this catalog has one." in card
