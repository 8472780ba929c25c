"""What an impatient user gives: each is answered in a line, before any work, with what was expected and what was found."""

from __future__ import annotations

import errno
import os
import pty
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import processes
from opens2v_data.archive.cache import ClipCache
from opens2v_data.cli.choosing import parse_subject
from opens2v_data.cli.output import fault_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Run

FILES = {
    "slice": ("-o",),
    "sample": ("-o",),
    "contact-sheet": ("-o",),
    "sql": (".", "SELECT 1", "--parquet"),
    "verdicts": ("verdicts.sqlite", "--export"),
}
FOLDERS = {
    "ingest": ("release",),
    "index": ("release",),
    "copy": ("catalog",),
    "demo-release": (),
    "fetch": ("--to",),
    "stream": ("--save",),
    "export": ("--to", "csv", "-o"),
    "report": ("-o",),
}


@pytest.mark.parametrize("command", FILES)
def test_a_file_that_cannot_be_written_is_told_before_the_work(opens2v: Run, clean_place: Path, command: str) -> None:
    told = opens2v(command, *FILES[command], "nowhere/file.parquet")
    assert told.code == 2
    assert "expected a folder to write 'nowhere/file.parquet' in, found none at 'nowhere'" in told.err
    assert "found a folder at '.'" in opens2v(command, *FILES[command], ".").err
    assert list(clean_place.iterdir()) == []


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("below", ["", "/further/down"])
def test_a_file_where_a_folder_is_to_be_is_told_before_the_work(
    opens2v: Run, clean_place: Path, command: str, below: str
) -> None:
    (clean_place / "file.txt").write_text("mine")
    told = opens2v(command, *FOLDERS[command], f"file.txt{below}")
    assert told.code == 2
    assert f"expected a folder, found a file at '{'file.txt' if not below else clean_place / 'file.txt'}'" in told.err
    assert (clean_place / "file.txt").read_text() == "mine"


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "much"])
def test_a_cache_has_a_size(opens2v: Run, text: str) -> None:
    told = opens2v("stream", f"--cache-gb={text}")
    assert told.code == 2 and f"expected a number of GB, 0 or above, got {text}" in told.err


@pytest.mark.parametrize("what", ["info", "clear"])
def test_to_look_at_another_folder_does_not_make_it_a_cache(opens2v: Run, clean_place: Path, what: str) -> None:
    (clean_place / "mine").mkdir()
    for folder in ("mine", "absent"):
        told = opens2v("cache", what, "--folder", folder)
        assert (told.code, told.err.split("; ")[0]) == (
            2,
            f"opens2v cache: expected a cache of clips at {folder}, found none",
        )
    assert [path.name for path in clean_place.rglob("*")] == ["mine"]
    ClipCache(clean_place / "mine", limit_bytes=1000)
    assert opens2v("cache", what, "--folder", "mine").code == 0


@pytest.mark.parametrize("text", ["0", "-1", "2.5", "many"])
def test_a_number_of_rows_is_whole_and_above_0(opens2v: Run, text: str) -> None:
    told = opens2v("stream", f"--limit={text}")
    assert told.code == 2 and f"expected a whole number above 0, got {text}" in told.err


@pytest.mark.parametrize("text", ["tpu", "cuda:", "cuda:x", "cpu:0"])
def test_a_device_is_cpu_or_cuda(opens2v: Run, text: str) -> None:
    told = opens2v("bench-loader", "--device", text)
    assert told.code == 2 and f"expected cpu, cuda, or cuda:N for the N-th GPU, got {text}" in told.err


@pytest.mark.parametrize("text", ["", " ", ":gme>0.3"])
def test_a_subject_has_a_class(text: str) -> None:
    with pytest.raises(ValueError, match="expected the name of a class"):
        parse_subject(text)


def test_numbers_of_another_name_are_no_part_of_a_class() -> None:
    """They made a class that no clip has, and so none was found."""
    with pytest.raises(ValueError, match=r"\(gme, aes, area, count\), found 'score>1' in 'woman:score>1'"):
        parse_subject("woman:score>1")
    assert parse_subject("ratio 4:3") == ("ratio 4:3", {})


def test_a_class_that_no_subject_has_is_told_with_those_near_it(opens2v: Run, sample_catalog: Path) -> None:
    told = opens2v("slice", sample_catalog, "--has", "Womn")
    assert told.code == 0
    assert told.err == "warning: no class is called 'Womn'; near it: woman\n0 of 20 clips\n"
    assert "warning" not in opens2v("slice", sample_catalog, "--has", "woman", "--not-has", "man").err
    assert opens2v("slice", sample_catalog, "--not-has", "xyzzy").err.startswith(
        "warning: no class is called 'xyzzy'\n"
    )


def test_a_catalog_alone_is_no_column(opens2v: Run, sample_catalog: Path) -> None:
    for command in ("facets", "hist"):
        told = opens2v(command, sample_catalog)
        assert told.code == 2 and "expected a column" in told.err


def test_sort_takes_a_column_with_a_dash(opens2v: Run, sample_catalog: Path) -> None:
    apart = opens2v("slice", sample_catalog, "--sort", "-aesthetic", "--limit", "3", "--ids")
    assert apart.code == 0
    assert apart.out == opens2v("slice", sample_catalog, "--sort=-aesthetic", "--limit", "3", "--ids").out


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Path("a b").read_bytes(), "expected a b, found nothing there"),
        (lambda: Path().read_bytes(), "expected a file at ., found a folder"),
        (lambda: Path(__file__).mkdir(), "expected a folder on the way to .*, found a file"),
        (lambda: (Path(__file__) / "x").mkdir(), "expected a folder on the way to .*, found a file"),
    ],
)
def test_what_the_system_says_of_a_file_is_told_in_words(make: Callable[[], object], said: str) -> None:
    with pytest.raises(OSError, match="Errno") as caught:
        make()
    assert re.match(said, fault_text(caught.value))


@pytest.mark.parametrize("name", [None, "table.parquet"])
def test_a_full_disk_is_told_with_what_to_do(name: str | None) -> None:
    """Writing names no file: Python knows only its number there."""
    said = fault_text(OSError(errno.ENOSPC, "…", *([name] if name else [])))
    assert said == f"{name + ': ' if name else ''}No space left on device; make room, and run the same command again"


def test_a_ctrl_c_while_a_compiled_module_is_imported_is_one(opens2v: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python turns the KeyboardInterrupt into a SystemError there."""

    def run(_: object) -> int:
        raise SystemError("… returned a result with an exception set") from KeyboardInterrupt()

    monkeypatch.setattr("opens2v_data.cli.info.run", run)
    told = opens2v("info")
    assert (told.code, told.err.split(";")[0]) == (130, "interrupted")


def test_without_an_output_the_work_is_done(sample_catalog: Path) -> None:
    command = [*processes.MODULE, "facets", str(sample_catalog), "part"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", *command], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "shares of 20 clips\n")


def test_without_a_place_for_notes_none_stand_among_the_data(sample_catalog: Path) -> None:
    command = [*processes.MODULE, "facets", str(sample_catalog), "part"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&- <&-', "sh", *command], stdout=subprocess.PIPE, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and done.stdout.startswith("total_part1  10") and "shares of" not in done.stdout


def test_other_encodings_take_all_text(sample_catalog: Path, tmp_path: Path) -> None:
    """A pipe or a file gets UTF-8, so that nothing is lost; a terminal a `?` and bars it has."""
    command = [*processes.MODULE, "facets", str(sample_catalog), "part"]
    environment = processes.environment() | {"PYTHONIOENCODING": "latin-1"}
    piped = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=True)
    assert "█" in piped.stdout.decode()
    ours, theirs = pty.openpty()
    subprocess.run(command, env=environment, stdout=theirs, stderr=subprocess.DEVNULL, timeout=120, check=True)
    os.close(theirs)
    assert b"total_part1  10   50.0%  ####" in os.read(ours, 10_000)
    os.close(ours)
