"""`opens2v eval leaderboard`: re-check, extend and draw a leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from opens2v_data.cli.eval.common import add_unchecked_argument
from opens2v_data.cli.output import add_output_arguments, note, print_json, print_table

if TYPE_CHECKING:
    from opens2v_eval.leaderboard import Board

NAME = "leaderboard"
HELP = "re-check each total of a leaderboard's CSV, add a model, and render table and plots"
DETAILS = (
    " Totals are computed anew from the columns; rows that disagree are named, and make it exit with 1. The table is printed by"
    " rank; -o writes the CSV back in its own form."
)
EXAMPLE = (
    "opens2v eval leaderboard board.csv --add scores/ --name my-model -o board.csv --html board.html --plot board.svg"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    parser.add_argument("board", help="leaderboard in upstream's CSV form")
    parser.add_argument("--add", metavar="SCORES", help="folder with the score files of a model to add")
    parser.add_argument("--name", help="of that model")
    parser.add_argument("--link", metavar="URL", help="where its name leads")
    parser.add_argument("--venue", default="Open-Source", help="such as Closed-Source (default: Open-Source)")
    parser.add_argument("--evaluated-by", default="", metavar="WHO", help="who ran the metrics")
    parser.add_argument(
        "--domain",
        choices=("open", "human", "single"),
        help="of the board (default: what its columns, its name or the scores say)",
    )
    parser.add_argument("--prompts", metavar="SOURCE", help="prompts, where they are not the published ones")
    add_unchecked_argument(parser)
    parser.add_argument(
        "--allow-missing", action="store_true", help="add a model that lacks videos, or a metric, which counts as 0"
    )
    parser.add_argument("-o", "--output", metavar="CSV", help="write the board there")
    parser.add_argument("--markdown", metavar="FILE", help="write the table as Markdown")
    parser.add_argument(
        "--html", metavar="FILE", help="write a page with table and plots, which asks no server for anything"
    )
    parser.add_argument("--plot", metavar="FILE", help="write a plot, .svg or .png")
    parser.add_argument(
        "--kind", choices=("parallel", "radar"), default="parallel", help="of the plot (default: parallel)"
    )
    add_output_arguments(parser, with_json="print rows and checks as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Run the step."""
    from opens2v_eval.board_page import board_lines, check_text, disagreements, html_page, markdown, score_columns
    from opens2v_eval.leaderboard import check_board, guess_domain, read_board, write_board
    from opens2v_eval.tables import Percent

    if (arguments.add is None) != (arguments.name is None):
        raise ValueError("--add and --name go together")
    board = read_board(arguments.board)
    if arguments.domain is not None and (arguments.domain == "human") != board.is_human:
        there = (
            "no NexusScore, so it is the human domain's"
            if board.is_human
            else "NexusScore, which the human domain lacks"
        )
        raise ValueError(f"--domain {arguments.domain}: {board.source} has {there}")
    if arguments.add is not None:
        board = _added(board, arguments)
    domain = arguments.domain or guess_domain(board)
    checks = check_board(board)
    columns = score_columns(board)
    lines = board_lines(board)
    title = f"OpenS2V-Eval {board.version}, {domain or Path(board.source).stem}"
    written: list[Path] = []
    # Plots first: without matplotlib, or with a name of another kind, nothing is written.
    if arguments.plot or arguments.html:
        from opens2v_eval.plots import draw, inline_svg, save

        if arguments.plot:
            written.append(save(draw(lines, columns[1:], kind=arguments.kind, title=title), arguments.plot))
        if arguments.html:
            kinds = ("parallel", "radar")
            plots = [
                inline_svg(draw(lines, columns[1:], kind=kind), name=kind, title=f"{title}, {kind}") for kind in kinds
            ]
            written.append(_write(arguments.html, html_page(board, checks, title=title, plots=plots)))
    if arguments.output:
        written.append(write_board(board, arguments.output))
    if arguments.markdown:
        written.append(_write(arguments.markdown, markdown(board, checks)))
    if arguments.json:
        print_json(
            {
                "version": board.version,
                "domain": domain,
                "rows": [
                    {
                        "name": row.name,
                        "link": row.link,
                        "venue": row.venue,
                        "evaluated_by": row.evaluated_by,
                        "total": row.total,
                        "recomputed": check.recomputed,
                        "difference": check.difference,
                        "agrees": check.agrees,
                        "values": row.values,
                    }
                    for row, check in zip(board.rows, checks, strict=True)
                ],
                "largest_difference": max(
                    (check.difference for check in checks if check.difference is not None), default=None
                ),
                "written": [str(path) for path in written],
            }
        )
    else:
        shown = [
            (rank, line.name, *("" if value is None else Percent(value) for value in line.values.values()))
            for rank, line in enumerate(lines, 1)
        ]
        print_table(shown, header=("rank", "model", *columns))
    if not arguments.quiet:
        note(check_text(checks))
        for path in written:
            note(f"wrote {path}")
    for text in disagreements(checks):
        note(text)
    return 1 if any(check.difference is not None and not check.agrees for check in checks) else 0


def _added(board: Board, arguments: argparse.Namespace) -> Board:
    from opens2v_data.cli.eval.common import prompts_of, scores_of
    from opens2v_eval.leaderboard import add_model, guess_domain
    from opens2v_eval.scorefiles import read_scores
    from opens2v_eval.totals import score_table

    arguments.domain = arguments.domain or guess_domain(board, read_scores(arguments.add))
    if arguments.domain is None:
        raise ValueError(
            "neither the board's columns and name nor the scores say whether it is the open or the single domain's: give --domain"
        )
    prompts = prompts_of(arguments)
    scores = scores_of(arguments.add, {"domain": arguments.domain, "prompts": prompts})
    table = score_table(
        scores,
        domain=arguments.domain,
        version=board.version,
        prompts=prompts,
        allow_missing=arguments.allow_missing,
        bootstrap=None,
    )
    if not arguments.quiet:
        from opens2v_eval.provenance import provenance_notes
        from opens2v_eval.tables import score_notes

        for text in (*score_notes(table), *provenance_notes(scores), *map(str, table.notes)):
            note(text)
    return add_model(
        board,
        table,
        name=arguments.name,
        link=arguments.link,
        venue=arguments.venue,
        evaluated_by=arguments.evaluated_by,
        allow_partial=arguments.allow_missing,
    )


def _write(name: str, text: str) -> Path:
    from opens2v_eval.details import replace_text

    path = Path(name).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, text)
    return path
