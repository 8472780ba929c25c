"""The command line `opens2v`: parses and prints; all work is the library's.

Exit codes: 0 done; 1 the data, the catalog or the disk is at fault (the message says what to do); 2 the command line is;
3 ingest finished but a file of the release is cut off; 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from opens2v_data.cli import (
    bench_loader,
    cache,
    card,
    contact_sheet,
    copy,
    demo_release,
    eval,
    explore,
    export,
    facets,
    fetch,
    hist,
    index,
    info,
    ingest,
    publish,
    report,
    sample,
    search_index,
    slice,
    sql,
    stream,
    use,
    verdicts,
    verify,
)
from opens2v_data.cli.output import fault_text, note, take_any_text
from opens2v_data.errors import Opens2vError
from opens2v_data.release.files import is_text, readable

COMMANDS = (
    demo_release,
    ingest,
    index,
    info,
    verify,
    sql,
    slice,
    facets,
    hist,
    sample,
    export,
    search_index,
    report,
    stream,
    fetch,
    contact_sheet,
    explore,
    verdicts,
    eval,
    bench_loader,
    card,
    publish,
    copy,
    cache,
    use,
)

DESCRIPTION = "Ask and stream OpenS2V-5M: from the release as published to subject-text-video triples."
EXAMPLE = """example:
  opens2v demo-release ./release
  opens2v ingest ./release ./opens2v-5m
  opens2v stream ./opens2v-5m --where "aesthetic > 5" --limit 5
"""


INTERRUPTED = "interrupted; what is done is kept, and the same command goes on where it can"

_NO_VALUE = re.compile(r"--[\w-]+=--|-\w--")
"""What argparse makes an empty list of."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    from opens2v_data import __version__

    parser = argparse.ArgumentParser(
        prog="opens2v", description=DESCRIPTION, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"opens2v {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for module in COMMANDS:
        command = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=textwrap.fill(f"{module.HELP[0].upper()}{module.HELP[1:]}.{module.DETAILS}", 100),
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _take_rest(arguments: argparse.Namespace, rest: Sequence[str]) -> bool:
    """Take the second of two arguments that may be left out, where options stand between them: argparse does not."""
    name = next((name for name in ("statement", "column") if hasattr(arguments, name)), None)
    if name is None or getattr(arguments, name) is not None or len(rest) != 1 or rest[0].startswith("-"):
        return False
    setattr(arguments, name, rest[0])
    return True


def _with_descending(words: Sequence[str]) -> list[str]:
    """Return the words with `--sort -aesthetic` as `--sort=-aesthetic`: argparse takes what begins with a dash for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--sort" and re.match(r"-\w", word):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def _open_closed_streams() -> None:
    """Open what was closed as in `opens2v … 2>&-`: notes would be printed among the data, and files opened as descriptor 2."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 (for as long as the process lives)


def _is_somewhere() -> bool:
    """Say whether the working folder is still there: without one no path can be told from its name."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    _open_closed_streams()
    if argv is None:
        take_any_text(sys.stdout)
    parser = build_parser()
    words = sys.argv[1:] if argv is None else list(argv)
    if wrong := next((word for word in words if _NO_VALUE.fullmatch(word)), None):
        parser.error(f"expected a value in {wrong}, found two dashes")
    if wrong := next((word for word in words if not is_text(word)), None):
        parser.error(f"expected UTF-8, found {readable(wrong)}; give the file or folder another name")
    if not _is_somewhere():
        note("error: the folder this was started in is gone; cd to one that is there")
        return 1
    arguments, rest = parser.parse_known_args(_with_descending(words))
    if rest and not _take_rest(arguments, rest):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    code = 0
    try:
        code = arguments.run(arguments)
        # Here and not when Python ends, where a reader that is gone would be reported as an error.
        sys.stdout.flush()
        return code
    except Opens2vError as error:
        note(f"error: {error}")
        return 1
    except ValueError as error:
        note(f"opens2v {arguments.command}: {error}")
        return 2
    except KeyboardInterrupt:
        note(INTERRUPTED)
        return 130
    except BrokenPipeError:
        # `opens2v stream … | head`: the reader has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return code
    except OSError as error:
        note(f"error: {fault_text(error)}")
        return 1
    except RuntimeError as error:
        # What pathlib raises for a user that the system does not know, as in a container started with a number for one.
        if "home directory" not in str(error):
            raise
        note("error: this user has no home folder; set HOME to a folder that may be written")
        return 1
    except SystemError as error:
        # What becomes of a Ctrl-C that comes while a compiled module is imported.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        note(INTERRUPTED)
        return 130
