"""`opens2v ingest`, in one process; see `test_processes` for what happens to it from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opens2v_data.catalog.catalog import Catalog
from opens2v_data.release.hugejson import scan_members

if TYPE_CHECKING:
    from cli.conftest import Run
    from opens2v_data.sample import SampleFacts

JSONS = "Jsons/mask_and_bbox_High-Quality"


@pytest.fixture
def total(sample_facts: SampleFacts) -> str:
    """What ingest says of the whole sample."""
    counts = sample_facts.counts
    skipped = counts["quarantined"] + counts["duplicates"]
    return f"{counts['clips'] + skipped} records = {counts['clips']} clips + {skipped} quarantined"


def test_it_makes_the_catalog_that_the_library_makes(
    opens2v: Run, sample_release: Path, sample_catalog: Path, total: str
) -> None:
    shown = opens2v("ingest", sample_release, "catalog", "--workers", 1)
    assert (shown.code, shown.out, shown.err) == (0, "", f"{total}, in catalog\n")
    assert Catalog.open("catalog").digest == Catalog.open(sample_catalog).digest
    assert not Path("catalog/.ingest").exists()


def test_workers_and_units_do_not_change_the_catalog(opens2v: Run, sample_release: Path, sample_catalog: Path) -> None:
    assert opens2v("ingest", sample_release, "catalog", "--workers", 2, "--unit-mb", 1).code == 0
    assert Catalog.open("catalog").digest == Catalog.open(sample_catalog).digest


def test_a_rerun_says_that_there_is_nothing_to_do(opens2v: Run, sample_release: Path, catalog: Path) -> None:
    before = (catalog / "manifest.json").stat().st_mtime_ns
    shown = opens2v("ingest", sample_release, catalog)
    assert (shown.code, shown.out) == (0, "")
    assert shown.err.startswith(
        f"{catalog} is complete, and the files of the release have the names and sizes it was made of"
    )
    assert (catalog / "manifest.json").stat().st_mtime_ns == before


def test_force_makes_it_anew_and_the_same(opens2v: Run, sample_release: Path, catalog: Path, total: str) -> None:
    digest = Catalog.open(catalog).digest
    (catalog / "manifest.json").touch()
    before = (catalog / "manifest.json").stat().st_ino
    shown = opens2v("ingest", sample_release, catalog, "--force", "--workers", 1)
    assert (shown.code, shown.err) == (0, f"{total}, in {catalog}\n")
    assert (catalog / "manifest.json").stat().st_ino != before
    assert Catalog.open(catalog).digest == digest


def test_json_says_what_came_of_it(opens2v: Run, sample_release: Path, sample_facts: SampleFacts) -> None:
    shown = opens2v("ingest", sample_release, "catalog", "--json", "--quiet", "--workers", 1)
    assert (shown.code, shown.err) == (0, "")
    result, counts = json.loads(shown.out), sample_facts.counts
    assert result["finished"] is True
    assert result["digest"] == Catalog.open("catalog").digest
    assert result["tables"]["clips"] == counts["clips"] and result["tables"]["subjects"] == counts["subjects"]
    assert result["report"]["quarantined"] == counts["quarantined"] + counts["duplicates"]


def test_quiet_prints_nothing(opens2v: Run, sample_release: Path) -> None:
    shown = opens2v("ingest", sample_release, "catalog", "--quiet", "--workers", 1)
    assert (shown.code, shown.out, shown.err) == (0, "", "")


def test_quarantine_lists_file_offset_key_and_reason(
    opens2v: Run, sample_release: Path, sample_facts: SampleFacts
) -> None:
    opens2v("ingest", sample_release, "catalog", "--workers", 1)
    lines = [json.loads(line) for line in Path("catalog/quarantine.jsonl").read_text().splitlines()]
    by_key = {line["key"]: line for line in lines}
    assert set(by_key) == {sample_facts.unloadable_key, sample_facts.duplicate_key}
    for key, part in (
        (sample_facts.unloadable_key, sample_facts.unloadable_part),
        (sample_facts.duplicate_key, sample_facts.duplicate_part),
    ):
        line = by_key[key]
        assert line["file"] == f"{JSONS}/{part}.json"
        data = (sample_release / line["file"]).read_bytes()
        assert data[line["offset"] :].startswith(json.dumps(key).encode())
        assert line["num_records"] == 1 and line["reason"]
    assert "stands twice" in by_key[sample_facts.duplicate_key]["reason"]


def test_shares_one_after_the_other_make_the_whole(
    opens2v: Run, sample_release: Path, sample_catalog: Path, total: str
) -> None:
    first = opens2v("ingest", sample_release, "catalog", "--shard", "0/2", "--workers", 1)
    assert (first.code, first.out) == (0, "")
    assert "this share is done; 2 units or parts of other shares are not" in first.err
    unfinished = opens2v("info", "catalog")
    assert unfinished.code == 1
    assert "is not finished; run the same `opens2v ingest RELEASE" in unfinished.err
    last = opens2v("ingest", sample_release, "catalog", "--shard", "1/2", "--workers", 1)
    assert (last.code, last.err) == (0, f"{total}, in catalog\n")
    plain = opens2v("ingest", sample_release, "catalog")
    assert plain.code == 0 and "nothing to do" in plain.err
    assert Catalog.open("catalog").digest == Catalog.open(sample_catalog).digest


def test_a_run_without_a_share_does_what_the_other_shares_left(
    opens2v: Run, sample_release: Path, sample_catalog: Path
) -> None:
    share = opens2v("ingest", sample_release, "catalog", "--shard", "1/2", "--json", "--quiet", "--workers", 1)
    assert json.loads(share.out) == {"finished": False, "missing": 2} and share.err == ""
    assert opens2v("ingest", sample_release, "catalog", "--workers", 1).code == 0
    assert Catalog.open("catalog").digest == Catalog.open(sample_catalog).digest


@pytest.mark.parametrize("shard", ["2/2", "-1/2", "1", "a/b", "1/2/3", "/", "0/0", "²/3"])
def test_a_share_that_is_none_is_refused(opens2v: Run, sample_release: Path, shard: str) -> None:
    shown = opens2v("ingest", sample_release, "catalog", f"--shard={shard}")
    assert shown.code == 2 and "argument --shard: " in shown.err
    assert not Path("catalog").exists()


@pytest.mark.parametrize("option", ["--workers", "--unit-mb"])
@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_numbers_below_1_are_refused(opens2v: Run, sample_release: Path, option: str, value: str) -> None:
    shown = opens2v("ingest", sample_release, "catalog", f"{option}={value}")
    assert shown.code == 2 and f"argument {option}: " in shown.err


def test_a_glob_chooses_the_annotation_files(opens2v: Run, sample_release: Path, sample_facts: SampleFacts) -> None:
    part = sample_facts.parts[1]
    shown = opens2v("ingest", sample_release, "catalog", "--json-glob", f"Jsons/*/{part}.json", "--workers", 1)
    assert shown.code == 0
    clips = [clip for clip in sample_facts.clips if clip.part == part]
    assert Catalog.open("catalog").num_rows("clips") == len(clips)


def test_a_glob_that_matches_nothing_says_what_there_is(opens2v: Run, sample_release: Path) -> None:
    shown = opens2v("ingest", sample_release, "catalog", "--json-glob", "Jsons/other/*.json")
    assert (shown.code, shown.out) == (1, "")
    assert "expected JSON files that match 'Jsons/other/*.json'" in shown.err and f"there are ['{JSONS}']" in shown.err
    assert not Path("catalog").exists()


def test_a_folder_that_is_no_release_is_refused_and_the_message_says_what_to_give(opens2v: Run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "2024").mkdir(parents=True)
    shown = opens2v("ingest", tmp_path / "photos", "catalog")
    assert shown.code == 1
    assert "expected Jsons/ and Videos/" in shown.err and "found ['2024']" in shown.err
    assert "opens2v demo-release ./release" in shown.err
    assert not Path("catalog").exists()


@pytest.mark.parametrize("what", ["nothing", "a file"])
def test_no_folder_at_all_is_refused(opens2v: Run, tmp_path: Path, what: str) -> None:
    if what == "a file":
        (tmp_path / "release").write_text("")
    shown = opens2v("ingest", tmp_path / "release", "catalog")
    assert shown.code == 1 and f"expected the folder of a release, found {what} at" in shown.err


def test_a_catalog_that_cannot_be_written_is_an_error_and_no_traceback(opens2v: Run, sample_release: Path) -> None:
    Path("catalog").write_text("a file")
    shown = opens2v("ingest", sample_release, "catalog")
    assert shown.code == 2 and "expected a folder, found a file at 'catalog'" in shown.err


def test_a_truncated_json_exits_with_3_and_keeps_what_lies_before(
    opens2v: Run, release: Path, sample_facts: SampleFacts
) -> None:
    path = release / JSONS / f"{sample_facts.parts[1]}.json"
    whole = path.read_bytes()
    members, _ = scan_members(whole, whole.index(b'"'))
    torn = members[6]
    path.write_bytes(whole[: (torn.value_lo + torn.value_hi) // 2])
    shown = opens2v("ingest", release, "catalog", "--workers", 1)
    assert shown.code == 3
    name = path.relative_to(release).as_posix()
    assert f"error: {name} ends before its last brace: nothing after byte {torn.key_lo} could be read" in shown.err
    clips = json.loads(opens2v("stream", "catalog", "--json", "--limit", 1).out)
    assert clips["clip_key"] == sample_facts.clips[0].key
    keys = {json.loads(line)["clip_key"] for line in opens2v("stream", "catalog", "--json").out.splitlines()}
    earlier = {json.loads(whole[member.key_lo : member.key_hi]) for member in members[:6]}
    first_part = {clip.key for clip in sample_facts.clips if clip.part == sample_facts.parts[0]}
    assert keys == first_part | (earlier - {sample_facts.unloadable_key})
    facts = json.loads(opens2v("info", "catalog", "--json").out)
    assert [file["truncated_at"] for file in facts["release"]["json_files"]] == [None, torn.key_lo]
    # Told also where nothing else is, and by the check of the catalog.
    quiet = opens2v("ingest", release, "catalog", "--quiet", "--workers", 1)
    assert quiet.code == 3 and str(torn.key_lo) in quiet.err
    verified = opens2v("verify", "catalog")
    assert verified.code == 1
    (bad,) = (line for line in verified.out.splitlines() if line.startswith("BAD"))
    assert bad.startswith("BAD  records = rows + quarantined")
    assert f"       {name} is cut off at byte {torn.key_lo}; get it whole" in verified.out


def test_a_truncated_json_that_is_mended_gives_the_whole_catalog(
    opens2v: Run, release: Path, sample_facts: SampleFacts, sample_catalog: Path
) -> None:
    path = release / JSONS / f"{sample_facts.parts[0]}.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert opens2v("ingest", release, "catalog", "--workers", 1).code == 3
    path.write_bytes(whole)
    assert opens2v("ingest", release, "catalog", "--workers", 1).code == 0
    assert Catalog.open("catalog").digest == Catalog.open(sample_catalog).digest


def test_a_tar_without_its_last_piece_is_told_and_the_rest_ingested(
    opens2v: Run, release: Path, sample_facts: SampleFacts
) -> None:
    part = sample_facts.parts[0]
    *_, last = sorted((release / "Videos" / part).iterdir())
    last.unlink()
    shown = opens2v("ingest", release, "catalog", "--workers", 1)
    assert shown.code == 3
    assert f"error: the tar of part {part} ends" in shown.err and "have no bytes" in shown.err
    facts = json.loads(opens2v("info", "catalog", "--json").out)
    assert facts["tables"]["clips"] == sample_facts.counts["clips"]
    assert 0 < facts["links"]["clips_with_video"] < sample_facts.counts["clips_with_video"]


def test_a_tar_without_a_piece_in_the_middle_is_refused(opens2v: Run, release: Path, sample_facts: SampleFacts) -> None:
    part = sample_facts.parts[0]
    (release / f"Videos/{part}/{part}.tar.split.001").unlink()
    shown = opens2v("ingest", release, "catalog")
    assert shown.code == 1 and f"of part {part}, found no piece 001; download it" in shown.err
