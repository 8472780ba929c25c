"""`opens2v sql`: one SELECT over the catalog's tables, or one of the questions that come with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_data.cli.output import add_catalog_argument, note, positive
from opens2v_data.cli.tables import add_table_arguments, give_table

if TYPE_CHECKING:
    import pyarrow as pa

    from opens2v_data.dataset import OpenS2V

NAME = "sql"
HELP = "answer a SELECT over the catalog: clips, subjects, pairs, views and more"
DETAILS = (
    " --tables shows what can be named, --list the questions that come with opens2v, --question NAME answers one. With --safe the"
    " statement is a stranger's: it reads the catalog's views and nothing else, in a process that is killed when it takes too"
    " long. Values are bound with --value, in the order of the marks `?`."
)
EXAMPLE = 'opens2v sql ./opens2v-5m "SELECT part, count(*), avg(aesthetic) FROM clips GROUP BY 1 ORDER BY 2 DESC"'
SHOWN_ROWS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_catalog_argument(parser)
    parser.add_argument("statement", nargs="?", metavar="SQL", help="one SELECT; - reads it from standard input")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--file", metavar="FILE", help="read the statement from a file")
    source.add_argument("--question", metavar="NAME", help="one of --list, with --param NAME=VALUE")
    source.add_argument("--list", action="store_true", help="print the questions, their parameters and columns")
    source.add_argument("--tables", action="store_true", help="print tables with columns, and macros")
    parser.add_argument(
        "--param", metavar="NAME=VALUE", action="append", default=[], help="of --question; several times"
    )
    parser.add_argument(
        "--value", action="append", default=[], help="for a mark `?` of the statement, as text; several times"
    )
    parser.add_argument("--safe", action="store_true", help="run it as a stranger's, see above")
    parser.add_argument(
        "--seconds", type=float, default=10.0, metavar="S", help="with --safe: at most so long (default: 10)"
    )
    parser.add_argument(
        "--max-rows", type=positive, metavar="N", help=f"at most N rows (default: {SHOWN_ROWS} on a terminal, else all)"
    )
    add_table_arguments(parser)
    parser.add_argument("--quiet", action="store_true", help="no notes")


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    import opens2v_data

    root, statement = _arguments(arguments)
    if arguments.list:
        return _list(arguments)
    dataset = opens2v_data.open(root)
    if arguments.tables:
        give_table(_tables(dataset), arguments)
        return 0
    table, is_cut = _answer(dataset, statement, arguments)
    limit = arguments.max_rows
    if limit is None and not (arguments.csv or arguments.json or arguments.parquet):
        limit = SHOWN_ROWS
    if limit is not None and table.num_rows > limit:
        table, is_cut = table.slice(0, limit), True
    give_table(table, arguments)
    if is_cut and not arguments.quiet:
        note(f"only the first {table.num_rows:,} rows; --max-rows N, --csv, --json or --parquet FILE give more")
    return 0


def _arguments(arguments: argparse.Namespace) -> tuple[str | None, str | None]:
    """Return the catalog and the statement: alone, a text with spaces is the statement."""
    root, statement = arguments.catalog, arguments.statement
    if statement is None and root is not None and len(root.split()) > 1:
        root, statement = None, root
    if arguments.file is not None:
        statement = Path(arguments.file).read_text(encoding="utf-8")
    elif statement == "-":
        statement = sys.stdin.read()
    return root, statement


def _answer(dataset: OpenS2V, statement: str | None, arguments: argparse.Namespace) -> tuple[pa.Table, bool]:
    if arguments.question is not None:
        from opens2v_data.query.questions import question

        asked = question(arguments.question)
        return dataset.query.ask(asked.text, asked.bind(_params(arguments.param))), False
    if statement is None:
        raise ValueError("expected a SELECT, --file, --question, --list or --tables; for example " + EXAMPLE)
    if not arguments.safe:
        return dataset.sql(statement, *arguments.value), False
    if arguments.value:
        raise ValueError("--safe takes no --value: write the values into the statement")
    from opens2v_data.query.sandbox import ask_in_process

    max_rows = arguments.max_rows or 10_000
    answer = ask_in_process(dataset.catalog.root, statement, max_rows=max_rows, seconds=arguments.seconds)
    return answer.table, answer.is_cut


def _params(texts: list[str]) -> dict[str, str]:
    params = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"expected --param NAME=VALUE, got {text!r}")
        params[name] = value
    return params


def _list(arguments: argparse.Namespace) -> int:
    import pyarrow as pa

    from opens2v_data.query.questions import questions

    rows: list[dict[str, Any]] = [
        {
            "question": one.name,
            "what it answers": one.title,
            "parameters": ", ".join(parameter.name for parameter in one.parameters),
        }
        for one in questions()
    ]
    give_table(pa.Table.from_pylist(rows), arguments)
    return 0


def _tables(dataset: OpenS2V) -> pa.Table:
    import pyarrow as pa

    rows: list[dict[str, str]] = []
    for name in dataset.query.table_names():
        kind, columns = dataset.query.describe(name)
        rows += [{"name": name, "kind": kind, "column": column, "type": type_} for column, type_ in columns]
    return pa.Table.from_pylist(rows)
