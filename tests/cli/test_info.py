"""`opens2v info`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from opens2v_data.catalog.schemas import TABLES

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run
    from opens2v_data.sample import SampleFacts


def test_json_has_the_counts_of_the_sample(opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts) -> None:
    shown = opens2v("info", sample_catalog, "--json")
    assert (shown.code, shown.err) == (0, "")
    facts, counts = json.loads(shown.out), sample_facts.counts
    assert set(facts["tables"]) == set(TABLES)
    for table in ("clips", "subjects", "pairs", "views", "members", "backgrounds"):
        assert facts["tables"][table] == counts[table]
    assert facts["records"] == counts["clips"] + counts["quarantined"] + counts["duplicates"]
    assert facts["quarantined"]["records"] == counts["quarantined"] + counts["duplicates"]
    assert facts["links"]["clips_with_video"] == counts["clips_with_video"]
    assert facts["links"]["clips_without_video"] == counts["clips"] - counts["clips_with_video"]
    assert facts["catalog"] == str(sample_catalog)


def test_json_says_which_files_of_the_release_were_read(
    opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts
) -> None:
    release = json.loads(opens2v("info", sample_catalog, "--json").out)["release"]
    assert (release["uri"], release["revision"]) == (str(sample_facts.root), None)
    assert [part["name"] for part in release["parts"]] == list(sample_facts.parts)
    for part, file in zip(release["parts"], release["json_files"], strict=True):
        pieces = sorted((sample_facts.root / "Videos" / part["name"]).iterdir())
        assert (part["layout"], part["pieces"]) == ("split-tar", len(pieces))
        assert part["size_bytes"] == sum(piece.stat().st_size for piece in pieces)
        assert part["members"] == sum(video.part == part["name"] for video in sample_facts.videos)
        assert file["clips"] == sum(clip.part == part["name"] for clip in sample_facts.clips)
        assert file["truncated_at"] is None


def test_text_shows_tables_and_what_was_skipped_and_why(
    opens2v: Run, sample_catalog: Path, sample_facts: SampleFacts
) -> None:
    shown = opens2v("info", sample_catalog)
    assert (shown.code, shown.err) == (0, "")
    counts = sample_facts.counts
    skipped = counts["quarantined"] + counts["duplicates"]
    total = counts["clips"] + skipped
    assert f"records   {total} = {counts['clips']} clips + {skipped} quarantined\n" in shown.out
    for table in TABLES:
        assert re.search(rf"^{table} +\d+  [\d.]+ k?B$", shown.out, re.MULTILINE)
    assert re.search(r"^mask blobs +[\d.]+ kB$", shown.out, re.MULTILINE)
    why = shown.out.partition("\nskipped, and why\n")[2].partition("\n\n")[0]
    assert re.search(r"^  the clip key stands twice in the file +1$", why, re.MULTILINE)
    assert re.search(r"^  unexpected shape +1$", why, re.MULTILINE)
    assert f"{sample_facts.root} @ local folder, no revision" in shown.out


def test_numbers_stand_under_each_other(opens2v: Run, sample_catalog: Path) -> None:
    table = opens2v("info", sample_catalog).out.partition("table ")[2].partition("\n\n")[0].splitlines()
    ends = {match.end() for line in table[1:-1] if (match := re.match(r"\w+ +\d+(?=  )", line))}
    assert len(ends) == 1


@pytest.mark.parametrize("arguments", [("--schema",), ("--schema", "--json")])
def test_the_schema_needs_no_catalog(opens2v: Run, arguments: tuple[str, ...]) -> None:
    shown = opens2v("info", *arguments)
    assert (shown.code, shown.err) == (0, "")
    for table in TABLES.values():
        assert table.name in shown.out and table.doc in shown.out
        for column in table.columns:
            assert column.name in shown.out and column.unit in shown.out


def test_the_schema_as_json_has_type_unit_and_meaning_of_every_column(opens2v: Run) -> None:
    schema = json.loads(opens2v("info", "--schema", "--json").out)
    assert list(schema) == list(TABLES)
    for name, table in TABLES.items():
        assert schema[name]["order"] == list(table.order)
        assert [column["name"] for column in schema[name]["columns"]] == [column.name for column in table.columns]
        assert all(column["type"] and column["doc"] is not None for column in schema[name]["columns"])


def test_a_catalog_of_another_schema_version_is_refused(opens2v: Run, catalog: Path) -> None:
    path = catalog / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"schema_version": 999}))
    shown = opens2v("info", catalog)
    assert shown.code == 1 and "found version 999; make it anew" in shown.err


def test_a_manifest_that_is_none_is_refused(opens2v: Run, catalog: Path) -> None:
    (catalog / "manifest.json").write_text("[1, 2")
    shown = opens2v("info", catalog)
    assert shown.code == 1 and "is no manifest of a catalog" in shown.err
