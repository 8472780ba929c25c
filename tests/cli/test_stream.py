"""`opens2v stream` to the terminal; see `test_stream_save` for --save."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from cli import processes
from opens2v_data.query import CONFIGS, Config

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run
    from opens2v_data.sample import SampleFacts


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("limit", [None, 2])
def test_json_lines_are_the_rows_of_the_library(
    opens2v: Run, sample_catalog: Path, config: Config, limit: int | None
) -> None:
    options = () if limit is None else ("--limit", limit)
    shown = opens2v("stream", sample_catalog, "--json", "--config", config, *options)
    assert (shown.code, shown.err) == (0, "")
    rows = [json.loads(line) for line in shown.out.splitlines()]
    assert rows == list(opens2v_data.open(sample_catalog).rows(config=config, limit=limit))
    assert len(rows) == limit or limit is None


def test_where_chooses_as_plain_python_does(opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts) -> None:
    where = "aesthetic > 5 AND has_subject(clip_id, 'woman')"
    shown = opens2v("stream", sample_catalog, "--json", "--where", where)
    expected = [
        clip.key
        for clip in sample_facts.clips
        if (clip.aesthetic or 0) > 5 and any(subject.class_name == "woman" for subject in clip.subjects)
    ]
    assert [json.loads(line)["clip_key"] for line in shown.out.splitlines()] == expected != []


def test_text_of_clips_has_key_size_caption_and_subjects(
    opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts
) -> None:
    shown = opens2v("stream", sample_catalog)
    assert (shown.code, shown.err) == (0, "")
    blocks = [block for block in shown.out.replace("\ntotal_", "\n\ntotal_").split("\n\n") if block]
    assert len(blocks) == len(sample_facts.clips)
    for block, clip in zip(blocks, sample_facts.clips, strict=True):
        words = " ".join(block.split())
        assert block.startswith(f"{clip.part}/{clip.key}\n")
        assert " ".join(clip.caption.split()[:12]) in words
        size = "no bytes in the release" if clip.video is None else f"{clip.video.size_bytes:,} bytes"
        assert f"video {size}, {clip.width}x{clip.height}" in words
        assert f"frames {clip.cut[0]}-{clip.cut[1]}" in words
        for subject in clip.subjects:
            mark = "" if subject.mask_counts else " (no mask)"
            assert f"{subject.object_id} {subject.class_name}{mark}" in words
        assert max(map(len, block.splitlines()[1:])) <= 100


def test_text_of_views_names_their_files(opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts) -> None:
    shown = opens2v("stream", sample_catalog, "--config", "nexus-gpt")
    lines = {line for line in shown.out.splitlines() if line.startswith("  view ")}
    assert lines == {f"  view      {view.class_name}: {view.path}" for view in sample_facts.views}


def test_text_of_pairs_names_both_sides(opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts) -> None:
    shown = opens2v("stream", sample_catalog, "--config", "nexus-cross")
    blocks = shown.out.split("pair ")[1:]
    assert len(blocks) == len(sample_facts.pairs)
    older = sum("object not said" in block for block in blocks)
    assert older == sum(pair.cur_class_id is None for pair in sample_facts.pairs) > 0
    sides = {
        (pair.cur_id.split("/")[-1], pair.cur_class_name, pair.aft_id.split("/")[-1], pair.aft_class_name)
        for pair in sample_facts.pairs
    }
    for block in blocks:
        _, clip, partner = block.splitlines()
        assert any(a in clip and clip.endswith(b) and c in partner and partner.endswith(d) for a, b, c, d in sides)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_bad_condition_exits_with_1_and_shows_the_columns(opens2v: Run, sample_catalog: Path, config: Config) -> None:
    shown = opens2v("stream", sample_catalog, "--config", config, "--where", "beauty > 5")
    assert (shown.code, shown.out) == (1, "")
    assert f"error: where='beauty > 5' is no condition that config {config} can answer" in shown.err
    columns = [name for name, _ in opens2v_data.open(sample_catalog).query.columns(config)]
    assert f"columns: {', '.join(columns)}\n" in shown.err and "helpers: has_subject(" in shown.err


@pytest.mark.parametrize(
    "where", ["aesthetic >", "1); DROP TABLE clips; SELECT (1", "aesthetic > 'much'", "true; SELECT 1"]
)
def test_what_is_no_condition_is_an_error_and_no_traceback(opens2v: Run, sample_catalog: Path, where: str) -> None:
    shown = opens2v("stream", sample_catalog, "--where", where)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("error: ") and "Traceback" not in shown.err


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_row_that_fits_is_said_on_stderr(opens2v: Run, sample_catalog: Path, options: tuple[str, ...]) -> None:
    shown = opens2v("stream", sample_catalog, "--where", "aesthetic > 100", *options)
    assert (shown.code, shown.out, shown.err) == (0, "", "no row fits; `opens2v info` shows what there is\n")
    quiet = opens2v("stream", sample_catalog, "--where", "aesthetic > 100", "--quiet", *options)
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_rows_need_no_release(opens2v: Run, sample_catalog: Path, tmp_path: Path) -> None:
    shown = opens2v("stream", sample_catalog, "--limit", 1, "--release", tmp_path / "gone")
    assert (shown.code, shown.err) == (0, "")


@pytest.mark.parametrize(
    "command", [("stream",), ("stream", "--json"), ("info",), ("verify", "--json"), ("info", "--schema")], ids=" ".join
)
def test_a_reader_that_is_gone_ends_it_quietly(sample_catalog: Path, command: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*processes.MODULE, command[0], str(sample_catalog), *command[1:]],
            env=processes.environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=250,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_head_takes_what_it_wants(sample_catalog: Path, sample_facts: SampleFacts) -> None:
    line = f"set -o pipefail; {sys.executable} -m opens2v_data.cli stream {sample_catalog} --json | head -n 1"
    ended = subprocess.run(
        ["bash", "-c", line], env=processes.environment(), capture_output=True, text=True, check=False, timeout=250
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["clip_key"] == sample_facts.clips[0].key
