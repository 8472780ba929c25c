"""The README's blocks run, in order and in one folder, and print what it says they print."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
FENCE = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command or script.

    Attributes:
        line: where it stands in the README.
        command: what to run.
        expected: stdout and stderr as shown, `…` for anything; None where nothing is shown.
    """

    line: int
    command: list[str]
    expected: str | None


def readme_steps() -> list[Step]:
    """Read the `console` blocks, and the `python` blocks with the `text` block that follows as their output."""
    text = README.read_text(encoding="utf-8")
    blocks = [(text.count("\n", 0, match.start()) + 1, match["kind"], match["text"]) for match in FENCE.finditer(text)]
    steps = []
    for index, (line, kind, block) in enumerate(blocks):
        if kind == "python":
            follows = blocks[index + 1 : index + 2]
            is_output = bool(follows) and follows[0][1] == "text" and follows[0][0] == line + block.count("\n") + 3
            steps.append(
                Step(line=line, command=[sys.executable, "-c", block], expected=follows[0][2] if is_output else None)
            )
        elif kind == "console":
            for call in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, output = call.partition("\n")
                program, *arguments = shlex.split(command)
                assert program == "opens2v", f"README line {line}: a console block runs only opens2v, found {program}"
                opens2v = [sys.executable, "-m", "opens2v_data.cli", *arguments]
                steps.append(Step(line=line, command=opens2v, expected=output or None))
    return steps


def pattern(shown: str) -> str:
    """Return a regex of shown output; encoders differ between machines, so sizes of files do not count."""
    escaped = re.escape(re.sub(r"[\d,.]+ (bytes|[kM]B)\b", "SIZE", shown.rstrip())).replace("…", ".*")
    return escaped.replace("SIZE", r"[\d,.]+ (bytes|[kM]B)")


@pytest.mark.slow
def test_readme_blocks_run_and_print_what_they_show(tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="the README streams through `datasets`")
    pytest.importorskip("av", reason="the README writes and decodes videos")
    environment = os.environ | {
        "HF_HOME": str(tmp_path / ".huggingface"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONIOENCODING": "utf-8",
        "XDG_CACHE_HOME": str(tmp_path / ".cache"),
        "XDG_CONFIG_HOME": str(tmp_path / ".config"),
    }
    for name in ("OPENS2V_CATALOG", "OPENS2V_RELEASE"):
        environment.pop(name, None)
    steps = readme_steps()
    assert {step.command[1] for step in steps} == {"-c", "-m"}, "the README has no python or no console block"
    for step in steps:
        done = subprocess.run(
            step.command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        where = f"README line {step.line}: {shlex.join(step.command)}\n{done.stdout}"
        shows_an_error = step.expected is not None and step.expected.startswith("error: ")
        assert done.returncode == (1 if shows_an_error else 0), where
        if step.expected is not None:
            assert re.fullmatch(pattern(step.expected), done.stdout.rstrip(), re.DOTALL), (
                f"{where}\n-- shown --\n{step.expected}"
            )
    for picture in ("sheet.png", "triple.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")


def test_readme_links_to_files_that_exist() -> None:
    text = README.read_text(encoding="utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (README.parent / target).exists()] == []
