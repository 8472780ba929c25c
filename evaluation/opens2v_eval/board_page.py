"""A leaderboard as Markdown, and as one page that asks no server for anything. What stands in the CSV is escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from opens2v_eval.counting import CAUTIONS
from opens2v_eval.leaderboard import NO_VALUE, Board, BoardRow, Line, RowCheck, guess_domain
from opens2v_eval.pages import whole_page
from opens2v_eval.scales import SCALES

_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])")


def score_columns(board: Board) -> tuple[str, ...]:
    """Return the names of the columns with numbers, the total first."""
    motion = "Motion" if board.version == "1.0" else "MotionAmplitude"
    return (
        "TotalScore",
        *(motion if metric == "motion_amplitude" else SCALES[metric].column for metric in board.metrics),
    )


def board_lines(board: Board) -> list[Line]:
    """Return what plots draw of a board, best first."""
    columns = score_columns(board)
    return [Line(name=row.name, values=dict(zip(columns, _numbers(board, row), strict=True))) for row in board.ranked()]


def markdown(board: Board, checks: Sequence[RowCheck]) -> str:
    """Return a board as a Markdown table by rank, followed by what the check found."""
    columns = ("Rank", "Model", "Venue", "Evaluated by", *score_columns(board))
    lines = [
        _markdown_line(columns),
        "|" + "|".join(["---:", "---", "---", "---", *["---:"] * (len(columns) - 4)]) + "|",
    ]
    for rank, row in enumerate(board.ranked(), 1):
        name = _markdown_text(row.name)
        link = _safe_link(row.link)
        shown = f"[{name}](<{link}>)" if link else name
        texts = [_markdown_text(row.venue), _markdown_text(row.evaluated_by)]
        lines.append(_markdown_line([str(rank), shown, *texts, *(_text(value) for value in _numbers(board, row))]))
    lines += ["", check_text(checks)]
    lines += [f"- {_markdown_text(text)}" for text in disagreements(checks)]
    return "\n".join(lines) + "\n"


def html_page(board: Board, checks: Sequence[RowCheck], *, title: str, plots: Sequence[str] = ()) -> str:
    """Return a board as a page.

    Args:
        board: what to show.
        checks: of its rows.
        title: of the page.
        plots: SVG elements, see `plots.inline_svg`.
    """
    columns = score_columns(board)
    ranked = board.ranked()
    numbers = [_numbers(board, row) for row in ranked]
    best = [
        max((value for value in column if value is not None), default=None) for column in zip(*numbers, strict=True)
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("Rank", "Model", "Venue", "Evaluated by"))
    head += "".join(f'<th class="number">{_BREAK.sub("<wbr>", escape(name))}</th>' for name in columns)
    body: list[str] = []
    for rank, (row, values) in enumerate(zip(ranked, numbers, strict=True), 1):
        name, link = escape(row.name), _safe_link(row.link)
        shown = f'<a href="{escape(link)}" rel="noreferrer">{name}</a>' if link else name
        cells = [f"<td>{rank}</td><td>{shown}</td><td>{escape(row.venue)}</td><td>{escape(row.evaluated_by)}</td>"]
        for value, top in zip(values, best, strict=True):
            css = "number best" if value is not None and value == top else "number"
            cells.append(f'<td class="{css}">{_text(value)}</td>')
        body.append(f"<tr>{''.join(cells)}</tr>")
    wrong = disagreements(checks)
    return whole_page(
        "board_page",
        title=title,
        about=(
            f"OpenS2V-Eval, version {board.version}, {guess_domain(board) or 'open or single'} domain, "
            f"{len(board.rows)} models, published mode."
        ),
        table=f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>",
        checked=escape(check_text(checks)),
        disagreeing=f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in wrong)}</ul>" if wrong else "",
        plots="\n".join(f"<figure>{plot}</figure>" for plot in plots),
        cautions="\n".join(f"<li>{escape(text)}</li>" for text in CAUTIONS),
    )


def check_text(checks: Sequence[RowCheck]) -> str:
    """Return what the check of all rows found, in a sentence."""
    differences = [check.difference for check in checks if check.difference is not None]
    if not differences:
        return "No row has a total and all of its columns."
    agreeing = sum(check.agrees for check in checks)
    return (
        f"{agreeing} of {len(checks)} totals agree with their columns; the largest difference is {max(differences):.4f} points, "
        f"and rounding of the printed digits makes up to {checks[0].tolerance:.2f}."
    )


def disagreements(checks: Sequence[RowCheck]) -> list[str]:
    """Return a sentence for each row whose total is not that of its columns."""
    told: list[str] = []
    for check in checks:
        if check.difference is None:
            lacking = "no total" if check.total is None else "no number in a column that has a weight"
            told.append(f"{check.name}: cannot be checked, there is {lacking}.")
        elif not check.agrees:
            told.append(
                f"{check.name}: the total says {check.total:.2f}%, its columns give {check.recomputed:.2f}% "
                f"({check.difference:.2f} points apart)."
            )
    return told


def _numbers(board: Board, row: BoardRow) -> list[float | None]:
    return [row.total, *(row.values[metric] for metric in board.metrics)]


def _text(value: float | None) -> str:
    return NO_VALUE if value is None else f"{value:.2f}"


def _safe_link(link: str | None) -> str | None:
    """Return a link that leads to the web; others (`javascript:…`) are not followed."""
    if link is None or not link.startswith(("http://", "https://")) or any(sign in link for sign in '<> \r\n"'):
        return None
    return link.replace("|", "%7C")


def _markdown_text(text: str) -> str:
    line = " ".join(text.split())
    for sign in "\\`*_[]<>|":
        line = line.replace(sign, f"\\{sign}")
    return line


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
