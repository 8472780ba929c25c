"""Write docs/cli-reference.md from the parsers: python docs/make_cli_reference.py"""

from __future__ import annotations

import argparse
from pathlib import Path

from opens2v_data import cli

TARGET = Path(__file__).with_name("cli-reference.md")
HEAD = """# Command line reference

<!-- Made by `python docs/make_cli_reference.py` from the parsers in opens2v_data/cli; a test checks that it is up to date. -->
"""


class FixedHelp(argparse.RawDescriptionHelpFormatter):
    """Help as Python 3.13 words it, 100 columns wide, whatever Python and terminal it is made with."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=100)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if action.help is argparse.SUPPRESS:
            return
        # Before 3.13 the column of the commands is too narrow by their indent.
        for command in self._iter_indented_subactions(action):
            width = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, width)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        # Before 3.13 the value stands after each spelling: "-o PNG, --output PNG".
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, action.dest.upper())}"


def command_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command by name."""
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return dict(commands.choices)


def step_parsers(command: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return the parsers of a command's steps, where it has such."""
    return [
        step
        for action in command._actions
        if isinstance(action, argparse._SubParsersAction)
        for step in action.choices.values()
    ]


def reference() -> str:
    """Return the whole page."""
    parser = cli.build_parser()
    *_, exit_codes = (cli.__doc__ or "").strip().split("\n\n")
    sections = [HEAD, exit_codes + "\n"]
    commands = list(command_parsers(parser).values())
    for section in (parser, *(part for command in commands for part in (command, *step_parsers(command)))):
        section.formatter_class = FixedHelp
        section.color = False  # type: ignore[attr-defined]  # Python 3.14 would colour it
        sections.append(f"## {section.prog}\n\n```text\n{section.format_help()}```\n")
    return "\n".join(sections)


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
