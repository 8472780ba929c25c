"""Arrow tables on a terminal, as CSV, as JSON, as a file; counts as bars."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.cli.output import output_file, print_table
from opens2v_data.errors import QueryError

if TYPE_CHECKING:
    import argparse

    import pyarrow as pa

BARS = " ▏▎▍▌▋▊▉█"
PLAIN_BARS = " -------#"
"""Where the terminal has no blocks."""
MAX_CELL = 60


def add_table_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how a table is given."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--csv", action="store_true", help="as CSV")
    group.add_argument("--json", action="store_true", help="as a JSON list of rows")
    group.add_argument("--parquet", type=output_file, metavar="FILE", help="to a parquet file, all rows")


def give_table(table: pa.Table, arguments: argparse.Namespace) -> None:
    """Print a table as the options say; nested values as JSON in CSV, a number that JSON has no word for as null.

    Raises:
        QueryError: a value that Python or parquet has no type for.
    """
    import pyarrow as pa

    try:
        _give(table.rename_columns(_unique(table.column_names)), arguments)
    except (OverflowError, pa.ArrowNotImplementedError) as error:
        raise QueryError(
            f"a column cannot be given as it is ({error}): write column::VARCHAR in the statement"
        ) from error


def _give(table: pa.Table, arguments: argparse.Namespace) -> None:
    if arguments.parquet is not None:
        write_parquet(table, Path(arguments.parquet))
    elif arguments.json:
        print(json.dumps(_finite(table.to_pylist()), indent=1, ensure_ascii=False, default=str))
    elif arguments.csv:
        write_csv(table, sys.stdout)
    elif table.num_rows:
        print_table([[_cell(value) for value in row.values()] for row in table.to_pylist()], header=table.column_names)
    else:
        print("  ".join(table.column_names))


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write a table; whole or not at all."""
    import pyarrow.parquet as pq

    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(table: pa.Table, file: Any) -> None:
    """Write a table as CSV with a header; lists and structs as JSON, null as nothing."""
    import csv

    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table.column_names)
    for batch in table.to_batches(max_chunksize=8192):
        columns = [batch.column(at).to_pylist() for at in range(batch.num_columns)]
        for row in zip(*columns, strict=True):
            writer.writerow([_csv_cell(value) for value in row])


def bar_lines(labels: Sequence[str], counts: Sequence[int], *, total: int, width: int | None = None) -> list[str]:
    """Return one line for each count: label, count, share of `total`, and a bar."""
    most = max(counts, default=0)
    name_width = min(40, max((len(_printable(label)) for label in labels), default=0))
    count_width = max((len(f"{count:,}") for count in counts), default=1)
    columns = width or shutil.get_terminal_size((100, 24)).columns
    room = max(10, columns - name_width - count_width - 12)
    lines = []
    for label, count in zip(map(_printable, labels), counts, strict=True):
        shown = label if len(label) <= name_width else label[: name_width - 1] + "…"
        share = f"{count / total:6.1%}" if total else ""
        lines.append(f"{shown:<{name_width}}  {count:>{count_width},}  {share}  {_bar(count, most, room)}".rstrip())
    return lines


def _bar(count: int, most: int, room: int) -> str:
    eighths = round(count / most * room * 8) if most else 0
    # What is there at all shows.
    eighths = max(eighths, 1) if count else 0
    bars = BARS
    try:
        bars.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        bars = PLAIN_BARS
    return bars[8] * (eighths // 8) + (bars[eighths % 8] if eighths % 8 else "")


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, bool | int):
        return value
    text = json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)
    text = _printable(" ".join(text.split()))
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def _finite(value: Any) -> Any:
    """Return a value with null for each NaN and infinity in it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def _printable(text: str) -> str:
    """Return a text as one line in which nothing steers a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _unique(names: Sequence[str]) -> list[str]:
    """Return names of columns of which none stands twice, as a statement may give them: a, a_1, …"""
    made: list[str] = []
    for name in names:
        number, unique = 0, name
        while unique in made or (number and unique in names):
            number += 1
            unique = f"{name}_{number}"
        made.append(unique)
    return made


def _csv_cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else value
