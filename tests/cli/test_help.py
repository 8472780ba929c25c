"""Help: every command has a line, an example and all of its options; the reference in docs says the same."""

from __future__ import annotations

import runpy
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from cli import processes
from opens2v_data.cli import COMMANDS, build_parser

if TYPE_CHECKING:
    from cli.conftest import Run

DOCS = Path(__file__).parents[2] / "docs"
NAMES = [module.NAME for module in COMMANDS]


def test_the_commands_are_these() -> None:
    assert NAMES == [
        "demo-release",
        "ingest",
        "index",
        "info",
        "verify",
        "sql",
        "slice",
        "facets",
        "hist",
        "sample",
        "export",
        "search-index",
        "report",
        "stream",
        "fetch",
        "contact-sheet",
        "explore",
        "verdicts",
        "eval",
        "bench-loader",
        "card",
        "publish",
        "copy",
        "cache",
        "use",
    ]


def test_help_names_every_command_with_a_line_about_it(opens2v: Run) -> None:
    shown = opens2v("--help")
    assert shown.code == 0
    words = " ".join(shown.out.split())
    for module in COMMANDS:
        assert f"{module.NAME} {module.HELP}" in words
    assert "example:\n  opens2v demo-release ./release\n" in shown.out


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_command_mentions_each_option_and_ends_with_an_example(opens2v: Run, name: str) -> None:
    shown = opens2v(name, "--help")
    assert (shown.code, shown.err) == (0, "")
    page = runpy.run_path(str(DOCS / "make_cli_reference.py"))
    for action in page["command_parsers"](build_parser())[name]._actions:
        for spelling in action.option_strings or [action.dest]:
            assert spelling in shown.out
        assert action.help, f"{action.dest} of {name} has no help"
    example = shown.out.partition("\nexample:\n")[2]
    assert example.startswith(f"  opens2v {name} ")


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_command_is_one_that_it_accepts(name: str) -> None:
    _, *arguments = shlex.split(COMMANDS[NAMES.index(name)].EXAMPLE)
    assert build_parser().parse_args(arguments).command == name


def test_the_committed_reference_is_that_of_the_parsers() -> None:
    page = runpy.run_path(str(DOCS / "make_cli_reference.py"))
    made = page["reference"]()
    assert (DOCS / "cli-reference.md").read_text(encoding="utf-8") == made, "run: python docs/make_cli_reference.py"


def test_the_version_is_the_packages(opens2v: Run) -> None:
    shown = opens2v("--version")
    assert (shown.code, shown.out) == (0, f"opens2v {opens2v_data.__version__}\n")


@pytest.mark.parametrize("arguments", [(), ("explode",), ("stream", "--limit", "0"), ("stream", "--config", "other")])
def test_a_wrong_command_line_exits_with_2_and_shows_the_usage(opens2v: Run, arguments: tuple[str, ...]) -> None:
    shown = opens2v(*arguments)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("usage: opens2v")


def test_the_command_line_is_also_a_module() -> None:
    shown = processes.run("--version")
    assert (shown.returncode, shown.stdout) == (0, f"opens2v {opens2v_data.__version__}\n")
