"""Read, re-check and extend a leaderboard in upstream's CSV form.

    Model,Venue,Evaluated by,TotalScore↑,Aesthetics↑,MotionSmoothness↑,MotionAmplitude↑,FaceSim↑,GmeScore↑,…
    [VACE-14B](https://github.com/ali-vilab/VACE),Open-Source,OpenS2V Team,57.55%,47.21%,94.97%,…

Cells stay as they were read, so that a board is written back byte for byte. Without the column NexusScore it is the human
domain's; with one column Motion it is of version 1.0.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from opens2v_data.errors import BoardError
from opens2v_eval.details import replace_text
from opens2v_eval.jsonfiles import shortened
from opens2v_eval.prompts import domain_keys
from opens2v_eval.scales import SCALES, Domain, MetricName, Version, weights
from opens2v_eval.scorefiles import Scores
from opens2v_eval.totals import ScoreTable

MODEL, VENUE, EVALUATED_BY, TOTAL = "model", "venue", "evaluatedby", "totalscore"
_METRIC_OF_COLUMN: dict[str, MetricName] = {scale.column.lower(): scale.metric for scale in SCALES.values()}
# Version 1.0's one motion column.
_METRIC_OF_COLUMN["motion"] = _METRIC_OF_COLUMN["motionscore"] = "motion_amplitude"
_LINK = re.compile(r"\[(?P<name>.*)\]\((?P<link>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)", re.DOTALL)
_NUMBER = re.compile(r"(-?\d+(?:\.\d+)?)\s*%?")
NO_VALUE = "-"

HALF_DIGIT = 0.005
"""Percent points: half of the last digit that upstream prints (`57.7%` stands for 57.70)."""


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """A model's row.

    Attributes:
        cells: as they stand in the file.
        name: of the model.
        link: where its name leads; None where it leads nowhere.
        venue, evaluated_by: as written.
        total: percent; None where there is none.
        values: percent by metric; None where a cell has no number.
    """

    cells: tuple[str, ...] = field(repr=False)
    name: str
    link: str | None
    venue: str
    evaluated_by: str
    total: float | None
    values: dict[MetricName, float | None]


@dataclass(frozen=True, kw_only=True)
class Board:
    """A leaderboard.

    Attributes:
        source: its file.
        columns: their names, as they stand in the file.
        metrics: in the order of their columns.
        version: whose metrics it has.
        is_human: whether it is the human domain's, which has no NexusScore.
        rows: in the file's order.
        newline: how its lines end; `ends_with_newline` says whether the last one does, too.
    """

    source: str
    columns: tuple[str, ...]
    metrics: tuple[MetricName, ...]
    version: Version
    is_human: bool
    rows: tuple[BoardRow, ...] = field(repr=False)
    newline: str = "\n"
    ends_with_newline: bool = True

    def weights(self) -> dict[MetricName, float]:
        """Return the weights of its metrics; those of the open and the single domain are the same."""
        return weights("human" if self.is_human else "open", self.version)

    def ranked(self) -> tuple[BoardRow, ...]:
        """Return the rows by total, best first; those without one last."""
        return tuple(sorted(self.rows, key=lambda row: -math.inf if row.total is None else row.total, reverse=True))


@dataclass(frozen=True, kw_only=True)
class RowCheck:
    """What a row's columns give as total, beside what it says.

    Attributes:
        name: of the model.
        total: as written, percent; None where there is none.
        recomputed: from the columns, percent; None where a column that has a weight has no number.
        difference: of the two, percent points, without sign; None where either is not there.
        tolerance: what rounding of the printed digits can make.
    """

    name: str
    total: float | None
    recomputed: float | None
    difference: float | None
    tolerance: float

    @property
    def agrees(self) -> bool:
        """Whether the total is that of the columns."""
        return self.difference is not None and self.difference <= self.tolerance


@dataclass(frozen=True, kw_only=True)
class Line:
    """A model's values in percent by column, as plots draw them; None where it has none."""

    name: str
    values: Mapping[str, float | None]


def read_board(path: str | Path) -> Board:
    """Read a leaderboard.

    Raises:
        BoardError: it cannot be read, has not upstream's columns, or a row does not fit them; the message has the line.
    """
    place = Path(path).expanduser()
    try:
        text = place.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise BoardError(
            f"{place}: expected a leaderboard as CSV; it cannot be read: {error.strerror or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise BoardError(
            f"{place}: expected a leaderboard as CSV in UTF-8; byte {error.start} is none of it"
        ) from error
    return parse_board(text, source=str(place))


def parse_board(text: str, *, source: str) -> Board:
    """Parse the text of a leaderboard; see `read_board`."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines: list[tuple[int, list[str]]] = []
    try:
        lines.extend((reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells))
    except csv.Error as error:
        raise BoardError(f"{source}, line {reader.line_num}: expected CSV: {error}") from error
    if not lines:
        raise BoardError(f"{source}: expected a leaderboard as CSV, found nothing")
    columns = tuple(lines[0][1])
    names = [_plain(column) for column in columns]
    wanted = (MODEL, VENUE, EVALUATED_BY, TOTAL)
    if lacking := [name for name in wanted if name not in names]:
        raise BoardError(
            f"{source}: expected the columns Model, Venue, Evaluated by, TotalScore and those of metrics; {', '.join(lacking)} "
            f"is not among {', '.join(columns)}"
        )
    unknown = [column for column, name in zip(columns, names, strict=True) if name not in (*wanted, *_METRIC_OF_COLUMN)]
    if unknown or len(set(names)) != len(names):
        known = ", ".join(scale.column for scale in SCALES.values())
        raise BoardError(f"{source}: expected each of the columns {known} once at most, found {', '.join(columns)}")
    metrics: tuple[MetricName, ...] = tuple(_METRIC_OF_COLUMN[name] for name in names if name in _METRIC_OF_COLUMN)
    board = Board(
        source=source,
        columns=columns,
        metrics=metrics,
        version="1.1" if "motion_smoothness" in metrics else "1.0",
        is_human="nexusscore" not in metrics,
        rows=(),
        newline="\r\n" if "\r\n" in text else "\n",
        ends_with_newline=text.endswith("\n"),
    )
    if lacking := [SCALES[metric].column for metric in board.weights() if metric not in metrics]:
        raise BoardError(f"{source}: expected the columns of version {board.version}; there is no {', '.join(lacking)}")
    return replace(board, rows=tuple(_row(board, names, cells, f"{source}, line {line}") for line, cells in lines[1:]))


def _row(board: Board, names: Sequence[str], cells: list[str], where: str) -> BoardRow:
    if len(cells) != len(board.columns):
        raise BoardError(f"{where}: expected {len(board.columns)} cells as in the first line, found {len(cells)}")
    cell = dict(zip(names, cells, strict=True))
    linked = _LINK.fullmatch(cell[MODEL].strip())
    name = linked["name"] if linked else cell[MODEL].strip()
    if not name:
        raise BoardError(f"{where}: expected the name of a model, found none")
    values: dict[MetricName, float | None] = {
        _METRIC_OF_COLUMN[column]: _percent(text, f"{where}, column {column}")
        for column, text in cell.items()
        if column in _METRIC_OF_COLUMN
    }
    return BoardRow(
        cells=tuple(cells),
        name=name,
        link=linked["link"] if linked else None,
        venue=cell[VENUE].strip(),
        evaluated_by=cell[EVALUATED_BY].strip(),
        total=_percent(cell[TOTAL], f"{where}, column TotalScore"),
        values=values,
    )


def check_board(board: Board) -> tuple[RowCheck, ...]:
    """Recompute the total of each row from its columns."""
    weighed = board.weights()
    # Each column may be off by half a digit, times its weight, and the weights sum to 1; so may the total.
    tolerance = HALF_DIGIT * sum(weighed.values()) + HALF_DIGIT + 1e-9
    checks: list[RowCheck] = []
    for row in board.rows:
        parts = [(weight, row.values[metric]) for metric, weight in weighed.items()]
        recomputed = None
        if all(value is not None for _, value in parts):
            recomputed = math.fsum(weight * value for weight, value in parts if value is not None)
        difference = None if recomputed is None or row.total is None else abs(recomputed - row.total)
        checks.append(
            RowCheck(
                name=row.name,
                total=row.total,
                recomputed=recomputed,
                difference=difference,
                tolerance=tolerance,
            )
        )
    return tuple(checks)


def add_model(
    board: Board,
    table: ScoreTable,
    *,
    name: str,
    link: str | None = None,
    venue: str = "Open-Source",
    evaluated_by: str = "",
    allow_partial: bool = False,
) -> Board:
    """Return the board with a model at its end.

    Args:
        board: to add to.
        table: the model's figures, in the published mode.
        name: of the model.
        link: a web address of it.
        venue: `Open-Source`, `Closed-Source` or where it was published.
        evaluated_by: who ran the metrics.
        allow_partial: add it even where a metric is missing, or prompts have no score of a metric that is for all of them.

    Raises:
        BoardError: the table is of another mode, version or domain than the board, is partial, or the name is taken.
        ValueError: the name or the link cannot stand in the board.
    """
    if table.mode != "published":
        raise BoardError(f"a leaderboard holds figures of the published mode; these are {table.mode}")
    if table.version != board.version or (table.domain == "human") != board.is_human:
        kind = "the human domain" if board.is_human else "the open or single domain"
        raise BoardError(
            f"{board.source} is of {kind}, version {board.version}; the scores are of the {table.domain} domain, version "
            f"{table.version}: choose others"
        )
    partial = [
        f"{line.column} has {line.coverage.num_counted} of {table.num_prompts}"
        for line in table.lines
        if line.share is None or (line.coverage.num_expected == table.num_prompts and line.coverage.missing)
    ]
    if partial and not allow_partial:
        raise BoardError(
            f"{name}: the other rows are of all {table.num_prompts} prompts, but {', '.join(partial)}: score the other videos, "
            "or allow it (--allow-missing)"
        )
    if not name.strip() or any(sign in name for sign in "[]\r\n"):
        raise ValueError(f"expected a name without brackets and line breaks, got {name!r}")
    if link is not None and not re.fullmatch(r"https?://[^\s()]+", link):
        raise ValueError(f"expected an http or https address without parentheses, got {link!r}")
    if any(row.name == name for row in board.rows):
        raise BoardError(f"{board.source}: {name!r} is in the board already; choose another name, or remove its row")
    shares = {line.metric: line.share for line in table.lines}
    texts = {
        MODEL: f"[{name}]({link})" if link else name,
        VENUE: venue,
        EVALUATED_BY: evaluated_by,
        TOTAL: percent_text(table.total),
    }
    names = [_plain(column) for column in board.columns]
    cells = [texts[column] if column in texts else percent_text(shares[_METRIC_OF_COLUMN[column]]) for column in names]
    return replace(board, rows=(*board.rows, _row(board, names, cells, f"{board.source}, new row")))


def board_text(board: Board) -> str:
    """Return a board as CSV, in the form it was read in."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=board.newline)
    writer.writerow(board.columns)
    writer.writerows(row.cells for row in board.rows)
    return text.getvalue() if board.ends_with_newline else text.getvalue().removesuffix(board.newline)


def write_board(board: Board, path: str | Path) -> Path:
    """Write a board as CSV; return the file."""
    place = Path(path).expanduser()
    place.parent.mkdir(parents=True, exist_ok=True)
    replace_text(place, board_text(board))
    return place


def guess_domain(board: Board, scores: Scores | None = None) -> Domain | None:
    """Return the domain that a board's columns or its file's name say, or scores of prompts that only the open domain has.

    Args:
        board: the leaderboard.
        scores: of a model that is to be added, of all domains' prompts.

    Returns:
        None where nothing says it: scores of the single domain's prompts may be part of the open one's.
    """
    if board.is_human:
        return "human"
    name = Path(board.source).name.lower()
    found: list[Domain] = [domain for domain in ("open", "single") if f"{domain}-domain" in name]
    if len(found) == 1:
        return found[0]
    of_single = frozenset(domain_keys("single"))
    is_open = scores is not None and any(key not in of_single for keys in scores.values.values() for key in keys)
    return "open" if is_open else None


def percent_text(share: float | None) -> str:
    """Return a share as upstream prints it: two digits, zeros at the end left out (`57.7%`)."""
    return NO_VALUE if share is None else f"{round(share * 100, 2)}%"


def _plain(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())


def _percent(text: str, where: str) -> float | None:
    stripped = text.strip()
    if stripped in ("", NO_VALUE, "–", "—", "N/A", "n/a"):
        return None
    match = _NUMBER.fullmatch(stripped)
    if match is None:
        raise BoardError(f"{where}: expected percent, such as 57.7%, found {shortened(text)!r}")
    return float(match[1])
