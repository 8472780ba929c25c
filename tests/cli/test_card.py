"""`opens2v card`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opens2v_data.catalog.catalog import Catalog

if TYPE_CHECKING:
    from cli.conftest import Run
    from opens2v_data.sample import SampleFacts

pytest.importorskip("huggingface_hub", reason="the extra hub is not installed")


def test_the_card_of_the_sample_has_its_figures_and_is_found_to_be_it(
    opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts
) -> None:
    shown = opens2v("card", sample_catalog)
    counts = sample_facts.counts
    assert (shown.code, shown.err) == (0, "")
    for what, count in (
        ("clips", counts["clips"]),
        ("clips whose video is in the release", counts["clips_with_video"]),
        ("subjects", counts["subjects"]),
        ("cross-video pairs", counts["pairs"]),
        ("GPT-Image-1 views", counts["views"]),
        ("records left out, see below", counts["quarantined"] + counts["duplicates"]),
    ):
        assert re.search(rf"^\| {re.escape(what)} \| {count:,} \|$", shown.out, re.MULTILINE), what
    assert Catalog.open(sample_catalog).digest in shown.out
    assert "{{" not in shown.out and str(sample_facts.root) not in shown.out
    Path("README.md").write_text(shown.out, encoding="utf-8")
    again = opens2v("card", sample_catalog, "--check", "README.md")
    assert (again.code, again.out) == (0, "") and "README.md is the card of" in again.err
    quiet = opens2v("card", sample_catalog, "--check", "README.md", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_a_file_that_differs_is_told_line_by_line(opens2v: Run, sample_catalog: Path) -> None:
    text = opens2v("card", sample_catalog, "--repository", "me/cat", "--preview").out
    assert 'data_dir="hf://datasets/me/cat"' in text and "The config `preview`" in text
    (line,) = re.findall(r"^\| masks \| .*\|$", text, re.MULTILINE)
    Path("card.md").write_text(text.replace(line, "| masks | 7 |"), encoding="utf-8")
    shown = opens2v("card", sample_catalog, "--repository", "me/cat", "--preview", "--check", "card.md")
    assert shown.code == 1
    assert "-| masks | 7 |\n" in shown.out and f"+{line}\n" in shown.out and len(shown.out.splitlines()) == 7
    assert "write it anew with: opens2v card" in shown.err


def test_a_file_that_is_absent_or_no_text_is_refused(opens2v: Run, sample_catalog: Path) -> None:
    assert opens2v("card", sample_catalog, "--check", "none.md").code == 1
    Path("bytes.md").write_bytes(b"card \xff")
    shown = opens2v("card", sample_catalog, "--check", "bytes.md")
    assert shown.code == 2 and "found byte 5 that is none" in shown.err
