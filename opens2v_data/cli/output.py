"""What every command prints alike: notes and progress to stderr, data to stdout."""

from __future__ import annotations

import argparse
import errno
import json
import math
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO


def note(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr, flush=True)


def take_any_text(stream: TextIO) -> None:
    """Let a stream take what its encoding has no bytes for: in UTF-8 in a file or a pipe, as `?` on a terminal."""
    try:
        "█–…ß".encode(stream.encoding)
    except UnicodeEncodeError:
        if stream.isatty():
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
        else:
            stream.reconfigure(encoding="utf-8")  # pyright: ignore[reportAttributeAccessIssue]


HOME = "HOME"

_KEPT = {
    HOME: "~",
    "XDG_CACHE_HOME": "~/.cache",
    "XDG_CONFIG_HOME": "~/.config",
    "XDG_DATA_HOME": "~/.local/share",
    "OPENS2V_CACHE": "~/.cache/opens2v",
    "HF_HOME": "~/.cache/huggingface",
}
"""Variables and where their things lie without them; the deeper come later."""


def fault_text(error: OSError) -> str:
    """Return what the system said of a file: expected, found, where, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{os.strerror(error.errno)}; make room, and run the same command again"
    if not isinstance(error.filename, str | bytes) or error.strerror is None:
        return str(error)
    name = error.filename.decode(errors="replace") if isinstance(error.filename, bytes) else error.filename
    if isinstance(error, FileNotFoundError):
        return f"expected {name}, found nothing there; check the path, and that its folder is there"
    if isinstance(error, FileExistsError | NotADirectoryError):
        return f"expected a folder on the way to {name}, found a file; name another"
    if isinstance(error, IsADirectoryError):
        return f"expected a file at {name}, found a folder; name another"
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        variable = _variable_for(Path(name))
        other = "name another place" if variable is None else f"set {variable} to a folder that may be written"
        return f"{name} may not be read or written by this user; change its permissions, or {other}"
    return f"{name}: {error.strerror}"


def _variable_for(path: Path) -> str | None:
    """Return the variable that moves what this user's programs keep at a path; None: the command line named the path."""
    places = {variable: Path(os.environ.get(variable) or default).expanduser() for variable, default in _KEPT.items()}
    # What a folder is made for is not said: the first that cannot be made is often one above the place itself.
    above = (variable for variable, place in places.items() if path == place or path in place.parents)
    below = (variable for variable, place in reversed(places.items()) if variable != HOME and place in path.parents)
    return next(above, None) or next(below, None)


def print_json(value: Any) -> None:
    """Print one JSON document, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: Any) -> None:
    """Print one line of JSON lines."""
    print(json.dumps(value, ensure_ascii=False), flush=True)


def print_table(rows: Sequence[Sequence[object]], *, header: Sequence[str] | None = None) -> None:
    """Print columns, numbers to the right."""
    cells = [[_cell(value) for value in row] for row in rows]
    columns = zip(*rows, strict=True) if rows else (("",) for _ in header or ())
    is_number = [all(isinstance(value, int | float) or value == "" for value in column) for column in columns]
    lines = ([list(header)] if header else []) + cells
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))] if lines else []
    for line in lines:
        parts = [
            cell.rjust(width) if is_number[index] else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(parts).rstrip())


def size_text(count: int) -> str:
    """Return a number of bytes as people say it."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


class ProgressBars(AbstractContextManager["ProgressBars"]):
    """One bar per stage, on stderr; nothing with --quiet or when stderr is no terminal.

    Call it with a stage's name, how much is done, and how much there is.
    """

    def __init__(self, stages: dict[str, tuple[str, str]], *, quiet: bool = False) -> None:
        self._stages = stages
        self._disable: bool | None = True if quiet else None
        self._bars: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        bar = self._bars.get(stage)
        if bar is None:
            label, unit = self._stages.get(stage, (stage, ""))
            bar = self._bars[stage] = tqdm(
                desc=label,
                total=total,
                unit=unit,
                unit_scale=True,
                disable=self._disable,
                file=sys.stderr,
                initial=done,
            )
        bar.total = total
        bar.update(done - bar.n)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for bar in self._bars.values():
            bar.close()


def add_output_arguments(parser: argparse.ArgumentParser, *, with_json: str | None = None) -> None:
    """Add --quiet, and --json with its help."""
    if with_json is not None:
        parser.add_argument("--json", action="store_true", help=with_json)
    parser.add_argument("--quiet", action="store_true", help="no progress, no notes")


def add_catalog_argument(parser: argparse.ArgumentParser) -> None:
    """Add the catalog, which may be left out."""
    parser.add_argument(
        "catalog",
        nargs="?",
        help="folder of the catalog, or hf://datasets/OWNER/NAME[@REVISION]; by default $OPENS2V_CATALOG, ./opens2v-5m, or the "
        "one set by `opens2v use`",
    )


def add_row_arguments(parser: argparse.ArgumentParser, *, limit: int | None) -> None:
    """Add what chooses rows."""
    parser.add_argument(
        "--where", metavar="SQL", help="a condition over the columns of clips; `opens2v info --schema` lists them"
    )
    add_slice_argument(parser)
    parser.add_argument(
        "--limit", type=positive, default=limit, metavar="N", help=f"at most N rows (default: {limit or 'all'})"
    )
    parser.add_argument(
        "--release",
        metavar="PATH",
        help="where the release lies now, a folder or hf://…, when not where it was at ingest",
    )


def add_slice_argument(parser: argparse.ArgumentParser) -> None:
    """Add --slice."""
    parser.add_argument(
        "--slice",
        metavar="FILE",
        dest="from_slice",
        help="among the clips of a slice that `opens2v slice -o FILE` saved",
    )


def positive(text: str) -> int:
    """Parse a whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return number


def gigabytes(text: str) -> float:
    """Parse a number of GB, 0 or above."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number of GB, 0 or above, got {text}")
    return number


def output_file(text: str) -> str:
    """Check that a file can be written at a path: before the work, and not after it."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"expected the name of a file, found a folder at {text!r}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(
            f"expected a folder to write {text!r} in, found none at {str(path.parent)!r}; make it"
        )
    _check_writable(path.parent)
    return text


def output_folder(text: str) -> str:
    """Check that there is a folder at a path, or can be."""
    nearest = next(path for path in (Path(text), *Path(text).absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, found a file at {str(nearest)!r}; name another")
    if nearest != Path(text):
        _check_writable(nearest)
    return text


def _check_writable(folder: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(
            f"expected a folder that this user may write, found {str(folder)!r}; change its permissions, or name another"
        )


def share(text: str) -> tuple[int, int]:
    """Parse `I/N`, the I-th of N shares."""
    index, slash, count = text.partition("/")
    if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"expected I/N with 0 <= I < N, got {text}")
    return int(index), int(count)


def add_cache_argument(parser: argparse._ActionsContainer) -> None:
    """Add --cache-gb."""
    parser.add_argument(
        "--cache-gb",
        type=gigabytes,
        metavar="GB",
        help="keep clips that were read on this machine, at most so many GB, and read them from there (default: keep none)",
    )


def open_cache(arguments: argparse.Namespace) -> Any:
    """Return the cache that --cache-gb asks for, or None."""
    if arguments.cache_gb is None:
        return None
    from opens2v_data.archive.cache import ClipCache

    return ClipCache(limit_bytes=int(arguments.cache_gb * 1e9))
