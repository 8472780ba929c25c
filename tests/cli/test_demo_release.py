"""`opens2v demo-release`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from opens2v_data import sample

if TYPE_CHECKING:
    from cli.conftest import Run


def test_it_writes_a_release_and_says_what_to_run_next(
    opens2v: Run, sample_release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(root: Path, *, seed: int, progress: Any) -> None:
        # What the real one would write, seconds later; the README's blocks run that one.
        assert seed == 0
        progress("encode", 1, 1)
        shutil.copytree(sample_release, root, dirs_exist_ok=True)

    monkeypatch.setattr(sample, "write_sample_release", write)
    shown = opens2v("demo-release", "release")
    assert (shown.code, shown.out) == (0, "")
    files = [path.stat().st_size for path in Path("release").rglob("*") if path.is_file()]
    assert shown.err == (
        f"wrote {len(files)} files, {sum(files) / 1e6:.1f} MB, to release\nnext: opens2v ingest release ./opens2v-5m\n"
    )
    assert opens2v("ingest", "release", "opens2v-5m", "--workers", 1).code == 0


def test_a_folder_that_holds_something_is_refused_and_left_as_it_was(opens2v: Run) -> None:
    Path("release").mkdir()
    Path("release/mine.txt").write_text("mine")
    shown = opens2v("demo-release", "release")
    assert (shown.code, shown.out) == (1, "")
    assert (
        shown.err == "error: expected an absent or empty folder to write the release to, found release; name another\n"
    )
    assert [path.name for path in Path("release").iterdir()] == ["mine.txt"]


def test_a_file_is_refused(opens2v: Run) -> None:
    Path("release").write_text("mine")
    shown = opens2v("demo-release", "release")
    assert shown.code == 2 and "expected a folder, found a file" in shown.err
    assert Path("release").read_text() == "mine"


def test_quiet_prints_nothing_and_the_seed_is_passed_on(opens2v: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def write(root: Path, *, seed: int, progress: Any) -> None:
        # The real one takes seconds, and what it writes is not asked here.
        root.mkdir()
        progress("encode", 1, 2)
        seeds.append(seed)

    monkeypatch.setattr(sample, "write_sample_release", write)
    shown = opens2v("demo-release", "release", "--quiet", "--seed", "7")
    assert (shown.code, shown.out, shown.err, seeds) == (0, "", "", [7])
