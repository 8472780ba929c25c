"""`opens2v verify`: 0 and every check good, or 1 and a message on what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Run
    from opens2v_data.sample import SampleFacts

GOOD = [
    "checksums",
    "row counts and columns",
    "no stray files",
    "links between tables",
    "clips to members",
    "mask blobs",
    "records = rows + quarantined",
]


def flip(path: Path, at: int = -1) -> None:
    """Change one byte; the size stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at < 0 else at] ^= 0xFF
    path.write_bytes(data)


def test_a_good_catalog_exits_with_0(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("verify", sample_catalog)
    assert (shown.code, shown.err) == (0, "")
    assert [line.split(" (")[0] for line in shown.out.splitlines()] == [f"ok   {name}" for name in GOOD]


def test_with_a_release_its_files_members_and_records_are_checked_too(
    opens2v: Run, sample_catalog: Path, sample_release: Path, sample_facts: SampleFacts
) -> None:
    shown = opens2v("verify", sample_catalog, "--release", sample_release, "--recount", "--json", "--quiet")
    assert (shown.code, shown.err) == (0, "")
    result = json.loads(shown.out)
    assert result["ok"] is True
    assert [check["name"] for check in result["checks"]] == [
        *GOOD,
        "files of the release",
        "members present",
        "records counted again",
    ]
    notes = {check["name"]: check["note"] for check in result["checks"]}
    assert notes["members present"] == f"{sample_facts.counts['clips_with_video']} clips with video"
    assert notes["mask blobs"] == f"{sample_facts.counts['masks']} masks"


def test_recount_without_a_release_is_a_wrong_command_line(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("verify", sample_catalog, "--recount")
    assert (shown.code, shown.out) == (2, "")
    assert shown.err == "opens2v verify: --recount reads the release's JSON: name it with --release\n"


def test_a_release_that_is_not_there_is_an_error(opens2v: Run, sample_catalog: Path) -> None:
    shown = opens2v("verify", sample_catalog, "--release", "nowhere")
    assert shown.code == 1 and "expected the folder of a release, found nothing at" in shown.err


def _flip_table(catalog: Path) -> str:
    flip(catalog / "subjects.parquet", 10)
    return "subjects.parquet: expected SHA-256"


def _flip_footer(catalog: Path) -> str:
    flip(catalog / "clips.parquet", (catalog / "clips.parquet").stat().st_size - 20)
    return "clips.parquet: expected SHA-256"


def _change_blob(catalog: Path) -> str:
    flip(catalog / "masks/masks-00000.bin")
    return "masks/masks-00000.bin: expected SHA-256"


def _change_quarantine(catalog: Path) -> str:
    flip(catalog / "quarantine.jsonl")
    return "quarantine.jsonl: expected SHA-256"


def _change_digest(catalog: Path) -> str:
    path = catalog / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"digest": "0" * 64}))
    return "manifest.json: its digest is not that of its files"


def _stray_temporary(catalog: Path) -> str:
    (catalog / "manifest.json.4711.tmp").write_text("{")
    return "manifest.json.4711.tmp is no file of this catalog; it can be deleted"


def _stray_table(catalog: Path) -> str:
    (catalog / "old.parquet").write_text("")
    return "old.parquet is no file of this catalog; it can be deleted"


def _delete_table(catalog: Path) -> str:
    (catalog / "pairs.parquet").unlink()
    return "pairs.parquet, found no file; copy the catalog again, or run opens2v ingest again"


def _truncate_table(catalog: Path) -> str:
    data = (catalog / "views.parquet").read_bytes()
    (catalog / "views.parquet").write_bytes(data[:-1])
    return f"expected {len(data)} bytes in {catalog / 'views.parquet'}, found {len(data) - 1}"


DAMAGES = [
    _flip_table,
    _flip_footer,
    _change_blob,
    _change_quarantine,
    _change_digest,
    _stray_temporary,
    _stray_table,
    _delete_table,
    _truncate_table,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_damage_to_the_catalog_exits_with_1_and_says_what(
    opens2v: Run, catalog: Path, damage: Callable[[Path], str]
) -> None:
    message = damage(catalog)
    shown = opens2v("verify", catalog)
    assert shown.code == 1
    assert message in shown.out + shown.err


def _truncate_piece(release: Path, part: str) -> tuple[str, str]:
    path = release / f"Videos/{part}/{part}.tar.split.001"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:-100])
    return "files of the release", f"{part}.tar.split.001: expected {size} bytes, found {size - 100}"


def _delete_piece(release: Path, part: str) -> tuple[str, str]:
    (release / f"Videos/{part}/{part}.tar.split.002").unlink()
    return "files of the release", f"expected Videos/{part}/{part}.tar.split.002 in the release"


def _swap_pieces(release: Path, part: str) -> tuple[str, str]:
    first, second = (release / f"Videos/{part}/{part}.tar.split.{number:03d}" for number in (0, 1))
    assert first.stat().st_size == second.stat().st_size
    shutil.move(first, release / "aside")
    shutil.move(second, first)
    shutil.move(release / "aside", second)
    return "members present", "expected an mp4 at byte"


def _lengthen_json(release: Path, part: str) -> tuple[str, str]:
    path = release / f"Jsons/mask_and_bbox_High-Quality/{part}.json"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes() + b"\n\n")
    return "files of the release", f"{part}.json: expected {size} bytes, found {size + 2}"


def _record_gone(release: Path, part: str) -> tuple[str, str]:
    path = release / f"Jsons/mask_and_bbox_High-Quality/{part}.json"
    data = path.read_bytes()
    records = list(json.loads(data).items())[1:]
    path.write_bytes(json.dumps(dict(records)).encode().ljust(len(data)))
    return "records counted again", "records by a second count, 11 in the catalog"


RELEASE_DAMAGES = [_truncate_piece, _delete_piece, _swap_pieces, _lengthen_json, _record_gone]


@pytest.mark.parametrize("damage", RELEASE_DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_damage_to_the_release_exits_with_1_and_says_what(
    opens2v: Run,
    sample_catalog: Path,
    release: Path,
    sample_facts: SampleFacts,
    damage: Callable[[Path, str], tuple[str, str]],
) -> None:
    name, message = damage(release, sample_facts.parts[0])
    shown = opens2v("verify", sample_catalog, "--release", release, "--recount", "--json")
    assert shown.code == 1
    result = json.loads(shown.out)
    assert result["ok"] is False
    (check,) = (check for check in result["checks"] if check["name"] == name)
    assert not check["ok"]
    assert any(message in problem for problem in check["problems"])
