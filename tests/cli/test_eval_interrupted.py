"""Ctrl-C while a judge is asked: the command ends without its answers, and those that came are kept."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli import processes
from evaluation.openaiserver import OpenAiServer, Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.conftest import Run

# Whoever started the tests may have let Ctrl-C be ignored, which processes inherit.
COMMAND = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from opens2v_data.cli import main; raise SystemExit(main())"
)


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Wait for a state; the limit is for a test that fails."""
    until = time.monotonic() + 200
    while not is_so():
        assert time.monotonic() < until, f"not within 200 s: {what}"
        time.sleep(0.02)


def test_ctrl_c_waits_for_no_judge_and_a_rerun_asks_only_what_was_not_answered(opens2v: Run, tmp_path: Path) -> None:
    for package in ("av", "cv2", "openai", "torch"):
        pytest.importorskip(package, reason="the extra eval is not installed")
    from evaluation.videos import moving_pictures, write_video

    entry = {"prompt": "A cup.", "img_paths": ["a.png"], "class_label": ["Cup"]}
    prompts, videos, store = tmp_path / "mine.json", tmp_path / "videos", tmp_path / "answers.jsonl"
    prompts.write_text(json.dumps({f"singleobj_{n}": entry for n in (1, 2)}), encoding="utf-8")
    videos.mkdir()
    for n in (1, 2):
        write_video(videos / f"singleobj_{n}.mp4", moving_pictures(4, seed=n))

    def answers() -> int:
        return store.read_bytes().count(b"\n") if store.exists() else 0

    answered, silent = Reply(content='{"score": 4}'), Reply(hangs=True)
    with OpenAiServer(*[answered] * 4, silent, silent, answered) as server:
        options = {"base_url": server.base_url, "store": store, "max_in_flight": 6}
        command = [
            *("eval", "run", videos, "--prompts", prompts, "--unchecked", "--metrics", "naturalscore", "-o", "scores"),
            *(f"--option=naturalscore.{name}={value}" for name, value in options.items()),
            *("--device", "cpu"),
        ]
        with subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, command)],
            env=processes.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                wait_until(lambda: len(server.asked) == 6 and answers() == 4, "six requests, four answers kept")
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=200)
            finally:
                process.kill()
        # The server has still not answered: nobody waited for it. (It may yet be counting the answers that it gave.)
        wait_until(lambda: server.in_flight <= 2, "answers are counted")
        assert server.in_flight == 2
        assert (process.returncode, out) == (130, "")
        assert err.endswith("interrupted; what is done is kept, and the same command goes on where it can\n")
        assert "Traceback" not in err and answers() == 4
        assert opens2v(*command, "--quiet").code == 0
        assert len(server.asked) == 8 and answers() == 6
    found = json.loads(Path("scores/naturalscore_3.json").read_text(encoding="utf-8"))
    assert found == {"singleobj_1": "4", "singleobj_2": "4"}
