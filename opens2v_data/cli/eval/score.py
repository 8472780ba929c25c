"""`opens2v eval score`: a model's table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from opens2v_data.cli.eval.common import (
    add_bootstrap_arguments,
    add_figure_arguments,
    bootstrap_of,
    figures_of,
    print_csv,
    scores_of,
)
from opens2v_data.cli.output import add_output_arguments, note, print_json, print_table

if TYPE_CHECKING:
    from opens2v_eval.scales import Mode
    from opens2v_eval.totals import CategoryRow, PromptRow

NAME = "score"
HELP = "make a model's table from its score files: percent, intervals, and for how many prompts there is a score"
DETAILS = (
    " It reads the files that `opens2v eval run` writes, and those of upstream's scripts. A metric without scores is an error,"
    " because a total would count it as 0; --allow-missing allows it, and names it."
)
EXAMPLE = "opens2v eval score scores/ --domain open --version 1.1 --mode both"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("scores", help="folder with the score files")
    add_figure_arguments(parser, modes=("published", "corrected", "both"))
    parser.add_argument(
        "--by", choices=("category", "prompt"), help="show percent of each category, or of each video, instead"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="let a metric without scores count as 0, and name it"
    )
    add_bootstrap_arguments(parser)
    parser.add_argument("--csv", action="store_true", help="print as CSV")
    add_output_arguments(parser, with_json="print all of it as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the step."""
    from opens2v_eval.counting import CAUTIONS
    from opens2v_eval.provenance import provenance_notes
    from opens2v_eval.tables import score_notes, score_rows, score_values, share_rows
    from opens2v_eval.totals import by_category, by_prompt, score_table

    if arguments.csv and arguments.json:
        raise ValueError("expected one of --json and --csv, got both")
    figures = figures_of(arguments)
    scores = scores_of(arguments.scores, figures)
    bootstrap = bootstrap_of(arguments)
    modes: tuple[Mode, ...] = ("published", "corrected") if arguments.mode == "both" else (arguments.mode,)
    chosen = [{**figures, "mode": mode} for mode in modes]
    # All of them before anything is printed: one that cannot be made is an error.
    tables = [
        score_table(scores, allow_missing=arguments.allow_missing, bootstrap=bootstrap, **options) for options in chosen
    ]
    details: list[Sequence[CategoryRow | PromptRow]] = []
    if arguments.by is not None:
        details = [(by_category if arguments.by == "category" else by_prompt)(scores, **options) for options in chosen]
    if arguments.json:
        values = [score_values(table) for table in tables]
        for table, rows in zip(values, details, strict=False):
            table[f"by_{arguments.by}"] = [_plain(row) for row in rows]
        print_json(values if arguments.mode == "both" else values[0])
    elif details:
        made = [share_rows(rows) for rows in details]
        lines = [(mode, *line) for mode, (_, rows) in zip(modes, made, strict=True) for line in rows]
        _show(arguments, ("mode", *made[0][0]), lines)
    else:
        _show(arguments, *score_rows(tables))
    if not arguments.quiet:
        note(
            f"{arguments.domain} domain, version {arguments.version}, {' and '.join(modes)} mode, from {scores.folder}"
        )
        for table in tables:
            for text in score_notes(table):
                note(f"{table.mode}: {text}" if len(tables) > 1 else text)
        for text in (*provenance_notes(scores), *map(str, scores.notes)):
            note(text)
        if "published" in modes:
            note("what the published mode rewards:")
            for text in CAUTIONS:
                note(f"  {text}")
    return 0


def _show(arguments: argparse.Namespace, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if arguments.csv:
        print_csv(header, rows)
    else:
        print_table(rows, header=header)


def _plain(row: Any) -> dict[str, Any]:
    values = {"category": row.category, "shares": row.shares}
    return {"key": row.key, **values} if hasattr(row, "key") else {**values, "counts": row.counts}
