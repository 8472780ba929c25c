"""Commands from outside: a terminal that shows progress, and Ctrl-C."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import processes
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.cli import main

if TYPE_CHECKING:
    from cli.conftest import Run
    from opens2v_data.sample import SampleFacts

JSONS = "Jsons/mask_and_bbox_High-Quality"
COPIES = 25
"""Of every record, so that each part's JSON is some 2.5 MB and the smallest unit, 1 MB, is not all of it."""

INTERRUPTED = """
import os, signal, sys
from opens2v_data.cli import ingest, main

class Bars(ingest.ProgressBars):
    def __call__(self, stage, done, total):
        super().__call__(stage, done, total)
        if stage == os.environ["STAGE"] and done >= float(os.environ["SHARE"]) * total:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if os.environ["WHOM"] == "group":
                os.killpg(os.getpgid(0), signal.SIGINT)
            else:
                os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    ingest.ProgressBars = Bars
    raise SystemExit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def large_release(sample_facts: SampleFacts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample with every record many times, under keys of their own."""
    release = shutil.copytree(sample_facts.root, tmp_path_factory.mktemp("large") / "release")
    for part in sample_facts.parts:
        path = release / JSONS / f"{part}.json"
        records = json.loads(path.read_bytes())
        copies = {f"copy{number:02d}{key}": value for number in range(COPIES) for key, value in records.items()}
        path.write_text(json.dumps(copies, indent=4))
    return release


@pytest.fixture(scope="module")
def undisturbed(large_release: Path) -> str:
    """The digest of the large release's catalog, made in one go and one unit a part."""
    root = large_release.parent / "undisturbed"
    assert main(["ingest", str(large_release), str(root), "--workers", "1", "--quiet"]) == 0
    return Catalog.open(root).digest


@pytest.mark.parametrize(
    ("stage", "share", "whom", "workers"),
    [
        ("json", 0.0, "process", 1),
        ("json", 0.5, "process", 1),
        ("json", 0.5, "process", 2),
        ("json", 0.2, "group", 2),
        ("tables", 0.0, "process", 1),
        ("pairs", 0.0, "process", 1),
    ],
)
def test_ctrl_c_exits_with_130_and_the_same_command_finishes_the_same_catalog(
    opens2v: Run, large_release: Path, undisturbed: str, stage: str, share: float, whom: str, workers: int
) -> None:
    script = Path("interrupted.py")
    script.write_text(INTERRUPTED)
    options = ("ingest", str(large_release), "catalog", "--unit-mb", "1", "--workers", str(workers))
    ended = subprocess.run(
        [sys.executable, str(script), *options],
        env=processes.environment() | {"STAGE": stage, "SHARE": str(share), "WHOM": whom},
        capture_output=True,
        text=True,
        check=False,
        timeout=250,
        start_new_session=True,
    )
    assert (ended.returncode, ended.stdout) == (130, "")
    message = "interrupted; what is done is kept, and the same command goes on where it can\n"
    # A worker that is just starting may complain too when the terminal's Ctrl-C reaches it.
    assert ended.stderr.endswith(message) if whom == "group" else ended.stderr == message
    assert not Path("catalog/manifest.json").exists()
    if share or stage != "json":
        assert list(Path("catalog/.ingest/units").glob("*/*/unit.json"))
    unfinished = opens2v("stream", "catalog")
    assert unfinished.code == 1 and "is not finished; run the same `opens2v ingest RELEASE" in unfinished.err
    assert opens2v(*options, "--quiet").code == 0
    assert Catalog.open("catalog").digest == undisturbed
    assert not Path("catalog/.ingest").exists()


def _on_a_terminal(*arguments: object) -> tuple[int, str, str]:
    """Run a command whose stderr is a terminal; return its exit code, stdout, and what the terminal got."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = [*processes.MODULE, *(str(argument) for argument in arguments)]
    with subprocess.Popen(
        command, env=processes.environment(), stdout=subprocess.PIPE, stderr=theirs, text=True
    ) as process:
        os.close(theirs)
        shown = bytearray()
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                break
            if not data:
                break
            shown += data
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    return process.returncode, out, shown.decode()


def test_progress_is_shown_on_a_terminal_and_only_on_stderr(sample_release: Path, sample_facts: SampleFacts) -> None:
    code, out, shown = _on_a_terminal("ingest", sample_release, "catalog", "--json", "--workers", 1)
    assert code == 0
    assert json.loads(out)["tables"]["clips"] == sample_facts.counts["clips"]
    for label in ("JSON: 100%", "videos: 100%", "tables: 100%", "pairs: 100%"):
        assert label in shown
    code, out, shown = _on_a_terminal("verify", "catalog", "--release", sample_release, "--recount", "--json")
    assert code == 0 and json.loads(out)["ok"]
    for label in ("checksums: 100%", "members: 100%", "recount: 100%"):
        assert label in shown
    code, out, shown = _on_a_terminal("stream", "catalog", "--save", "out", "--limit", 2)
    assert (code, out) == (0, "") and "2/2" in shown and "2 rows = 2 saved + 0 skipped" in shown


def test_quiet_shows_nothing_on_a_terminal(sample_release: Path) -> None:
    for arguments in (
        ("ingest", sample_release, "catalog", "--workers", 1),
        ("verify", "catalog", "--release", sample_release, "--recount"),
        ("stream", "catalog", "--limit", 1, "--save", "out"),
        ("contact-sheet", "catalog", "--limit", 1),
    ):
        code, _, shown = _on_a_terminal(*arguments, "--quiet")
        assert (code, shown) == (0, "")


def test_without_a_terminal_there_are_notes_and_no_bars(sample_release: Path) -> None:
    ended = processes.run("ingest", sample_release, "catalog", "--workers", 1)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.count("\n") == 1 and ended.stderr.endswith(", in catalog\n")
