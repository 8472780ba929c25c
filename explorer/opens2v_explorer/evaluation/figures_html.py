"""Models' totals, the leaderboard and what is to be known of them, as HTML. All text of files is escaped here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from opens2v_explorer.evaluation.loading import BoardRow, Evaluation, Mode
from opens2v_explorer.states import state

_BREAK = re.compile(r"(?<=[a-z])(?=[A-Z])")
NONE = '<span aria-label="missing">–</span>'


def percent(share: float | None) -> str:
    """Return a share as percent without the sign, as leaderboards print it."""
    return NONE if share is None else f"{100 * share:.2f}"


def broken(name: str) -> str:
    """Return a column's name as HTML that may be broken between its words."""
    return _BREAK.sub("<wbr>", escape(name))


def columns_of(evaluation: Evaluation) -> dict[str, str]:
    """Return the names of the metrics' columns, by metric."""
    return {one["metric"]: one["column"] for one in evaluation.figures["published"]["metrics"]}


def totals_html(evaluation: Evaluation, mode: Mode) -> str:
    """Return a row per model, best first: its totals of both modes, and its metrics of the asked one with their coverage."""
    columns = columns_of(evaluation)
    shown = evaluation.figures[mode]["models"]
    by_mode = {
        one: {model["name"]: model for model in figures["models"]} for one, figures in evaluation.figures.items()
    }
    scored = [model for model in shown if model["name"] in evaluation.scored]
    best = {metric: _highest([model["shares"][metric] for model in scored]) for metric in columns}
    tops = {one: _highest([by_mode[one][model["name"]]["total"] for model in scored]) for one in by_mode}
    head = '<th scope="col">Model</th>' + "".join(
        f'<th scope="col" class="o-number">{broken(text)}</th>'
        for text in ("Total, published", "Total, corrected", *columns.values(), "Videos")
    )
    rows = []
    for model in shown:
        name = model["name"]
        videos = len(evaluation.videos[evaluation.names.index(name)])
        if name not in evaluation.scored:
            words = escape(state("no-scores").title)
            cells = f'<td colspan="{2 + len(columns)}" data-state="no-scores">{words}</td>'
        else:
            totals = "".join(_total(by_mode[one][name], columns, tops[one]) for one in evaluation.figures)
            cells = totals + "".join(_metric(model, metric, best[metric]) for metric in columns)
        rows.append(
            f'<tr data-model="{escape(name)}"><th scope="row" class="o-model">{escape(name)}</th>{cells}'
            f'<td class="o-number">{videos} of {len(evaluation)}</td></tr>'
        )
    return _table(
        head,
        rows,
        testid="eval-totals",
        caption=f"Totals of {len(shown)} models, metrics in {mode} mode; percent, the best of each column underlined, and for "
        "how many prompts there is a number",
    )


def board_html(evaluation: Evaluation) -> str:
    """Return the leaderboard, with the models of this page in their places where the two can be compared; "" without one."""
    board = evaluation.board
    if board is None:
        return ""
    columns = columns_of(evaluation)
    own: list[tuple[BoardRow, str]] = []
    if board.is_comparable:
        for model in evaluation.figures["published"]["models"]:
            if model["name"] not in evaluation.scored:
                continue
            values = {name: None if share is None else 100 * share for name, share in model["shares"].items()}
            row = BoardRow(name=model["name"], total=100 * model["total"], values=values, agrees=True)
            own.append((row, "; ".join(["of this page", *_partial(model, columns, len(evaluation))])))
    everyone = [*own, *((row, "") for row in board.rows)]
    everyone.sort(key=lambda one: (one[0].total is None, -(one[0].total or 0.0)))
    head = '<th scope="col" class="o-number">Rank</th><th scope="col">Model</th>' + "".join(
        f'<th scope="col" class="o-number">{broken(text)}</th>'
        for text in ("Total", *(columns.get(metric, metric) for metric in board.metrics))
    )
    rows = []
    for rank, (row, about_own) in enumerate(everyone, 1):
        said = about_own if row.agrees else "its total is not that of its columns"
        about = f' <span class="o-small">({escape(said)})</span>' if said else ""
        values = "".join(f'<td class="o-number">{_points(row.values.get(metric))}</td>' for metric in board.metrics)
        own_row = ' aria-current="true" class="o-own"' if about_own else ""
        rows.append(
            f'<tr{own_row} data-testid="board-row"><td class="o-number">{rank}</td>'
            f'<th scope="row">{escape(row.name)}{about}</th><td class="o-number">{_points(row.total)}</td>{values}</tr>'
        )
    note = "" if board.is_comparable else (
        '<p class="o-status">It is of another domain or version than the figures above, so the models above are not in it.</p>'
    )  # fmt: skip
    table = _table(head, rows, testid="eval-board", caption=f"Leaderboard {board.source}, published mode, percent")
    return _fold("eval-board-fold", f"Leaderboard: {board.source}, {len(board.rows)} models", note + table)


def notes_html(evaluation: Evaluation) -> str:
    """Return what is to be known beside the figures: of the files, and of the published mode."""
    cautions = evaluation.figures["published"]["cautions"]
    parts = [f"<h2>What the published mode rewards</h2><ul>{_items(cautions)}</ul>"]
    for name in evaluation.names:
        lacking = {
            mode: [columns_of(evaluation)[metric] for metric in _model(evaluation, mode, name)["missing"]]
            for mode in evaluation.figures
        }
        said = list(evaluation.notes[name])
        if name in evaluation.scored:
            said += [
                f"In {mode} mode without {', '.join(found)}, which a total counts as 0"
                for mode, found in lacking.items()
                if found
            ]
        if said:
            parts.append(f"<h2>{escape(name)}</h2><ul>{_items(said)}</ul>")
    return _fold("eval-notes", "What is to be known of these figures", f'<div class="o-notes">{"".join(parts)}</div>')


def _partial(model: Mapping[str, Any], columns: Mapping[str, str], num_prompts: int) -> list[str]:
    """Return why a model's total compares badly with those of a leaderboard, which are of all prompts and metrics."""
    said = []
    if model["missing"]:
        said.append(f"without {', '.join(columns[metric] for metric in model['missing'])}, counted as 0")
    # Of the others it is not known how many prompts upstream had a number of: FaceSim and NexusScore leave some out.
    counts = [counted for counted, expected in model["coverage"].values() if expected == num_prompts and counted]
    if counts and min(counts) < num_prompts:
        said.append(f"of {min(counts)} of {num_prompts} prompts")
    return said


def _total(model: Mapping[str, Any], columns: Mapping[str, str], best: float | None) -> str:
    if len(model["missing"]) == len(columns):
        return f'<td class="o-number">{NONE}</td>'
    interval = model["total_interval"]
    lines = [] if interval is None else [f"{100 * interval[0]:.2f} to {100 * interval[1]:.2f}"]
    if model["missing"]:
        lacking = ", ".join(columns[metric] for metric in model["missing"])
        lines.append(f'<span class="o-lacks">without {escape(lacking)}</span>')
    return _number(model["total"], best, lines)


def _metric(model: Mapping[str, Any], metric: str, best: float | None) -> str:
    counted, expected = model["coverage"][metric]
    return _number(model["shares"][metric], best, [f"{counted} of {expected}"])


def _number(share: float | None, best: float | None, lines: Sequence[str]) -> str:
    """Return a cell: a number, and below it lines of HTML."""
    mark = " o-best" if share is not None and share == best else ""
    more = "".join(f'<span class="o-under">{line}</span>' for line in lines)
    return f'<td class="o-number"><span class="o-share{mark}">{percent(share)}</span>{more}</td>'


def _highest(shares: Sequence[float | None]) -> float | None:
    """Return the highest of two or more; one alone is best of nothing."""
    known = [share for share in shares if share is not None]
    return max(known) if len(known) > 1 else None


def _model(evaluation: Evaluation, mode: Mode, name: str) -> Mapping[str, Any]:
    return next(model for model in evaluation.figures[mode]["models"] if model["name"] == name)


def _points(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def _items(texts: Sequence[str]) -> str:
    return "".join(f"<li>{escape(text)}</li>" for text in texts)


def _fold(testid: str, title: str, html: str) -> str:
    return f'<details class="o-facet" data-testid="{testid}"><summary>{escape(title)}</summary>{html}</details>'


def _table(head: str, rows: Sequence[str], *, testid: str, caption: str) -> str:
    return (
        f'<div class="o-scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table class="o-table" '
        f'data-testid="{testid}"><caption class="o-hidden">{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )
