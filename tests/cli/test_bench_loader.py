"""`opens2v bench-loader` says how many clips came how fast, and which were bad."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("torch", reason="batches are tensors")

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run

SMALL = ("--frames", "3", "--size", "36x64", "--threads", "2")


def test_figures_add_up_and_name_the_clip_without_bytes(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("bench-loader", str(sample_catalog), *SMALL, "--batches", "100", "--subjects", "--json")
    assert (shown.code, shown.err) == (0, "")
    figures = json.loads(shown.out)
    assert figures["rows"] == 20
    assert figures["batches"] == 5
    assert figures["clips"] + len(figures["bad_clips"]) == 20
    assert [bad["stage"] for bad in figures["bad_clips"]] == ["fetch"] * len(figures["bad_clips"]) != []
    assert figures["decoded_clips"] == figures["clips"]
    seconds = figures["seconds"]
    assert 0 < seconds["first_batch"] <= seconds["all_batches"]
    assert figures["clips_per_second"] == pytest.approx(figures["clips"] / seconds["all_batches"])


def test_people_read_a_table(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("bench-loader", str(sample_catalog), *SMALL, "--batches", "1")
    assert shown.code == 0
    assert " in 1 batches: " in shown.out
    for words in ("to the first batch", "waiting for bytes", "decoding, all threads", "largest memory"):
        assert words in shown.out


def test_a_slice_smaller_than_a_batch_and_a_wrong_size_are_told(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("bench-loader", str(sample_catalog), *SMALL, "--batch-size", "64")
    assert (shown.code, shown.out) == (1, "")
    assert "20 rows fit, which make no batch of 64" in shown.err
    shown = opens2v("bench-loader", str(sample_catalog), "--size", "large")
    assert shown.code == 2
    assert "height x width in pixels" in shown.err
