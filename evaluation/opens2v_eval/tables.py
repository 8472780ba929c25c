"""Figures as plain values, and as rows that a terminal or a CSV shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from opens2v_eval.bootstrap import Interval
from opens2v_eval.compare import Difference
from opens2v_eval.scales import SCALES, MetricName
from opens2v_eval.totals import CategoryRow, PromptRow, ScoreTable


class Percent(float):
    """A number that shows as percent, two digits, without the sign."""

    def __str__(self) -> str:
        return f"{float(self):.2f}"


def percent(share: float | None) -> Percent | str:
    """Return a share as percent to show; nothing for None."""
    return "" if share is None else Percent(share * 100)


def range_text(found: Interval | None) -> str:
    """Return an interval in percent to show."""
    return "" if found is None else f"{found.low * 100:.2f} to {found.high * 100:.2f}"


def score_rows(tables: Sequence[ScoreTable]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return a header and lines of one table, or of several modes of the same scores side by side; the total stands last."""
    header = ["metric", "weight"]
    rows: list[list[object]] = [[line.column, Percent(line.weight)] for line in tables[0].lines]
    rows.append(["TotalScore", Percent(sum(line.weight for line in tables[0].lines if line.share is not None))])
    for table in tables:
        header += [table.mode, "interval", "videos"]
        for row, line in zip(rows, table.lines, strict=False):
            counted = line.coverage.num_counted + len(line.coverage.unexpected)
            videos = "missing" if line.share is None else f"{counted} of {line.coverage.num_expected}"
            row += [percent(line.share), range_text(line.interval), videos]
        rows[-1] += [percent(table.total), range_text(table.interval), ""]
    return tuple(header), [tuple(row) for row in rows]


def score_notes(table: ScoreTable) -> list[str]:
    """Return what is to be said of a table beside its numbers; of the score files `ScoreTable.notes` says more."""
    told: list[str] = []
    if table.missing:
        names = ", ".join(SCALES[metric].column for metric in table.missing)
        told.append(f"TotalScore counts as 0 what is missing: {names}; it compares with no leaderboard")
    for line in table.lines:
        found = line.coverage
        parts: list[str] = []
        if line.share is not None and found.missing:
            parts.append(f"{len(found.missing)} of {found.num_expected} prompts have no score ({_some(found.missing)})")
        if found.zeros:
            parts.append(f"{len(found.zeros)} have 0 and are left out of the mean ({_some(found.zeros)})")
        if found.unexpected:
            parts.append(
                f"{len(found.unexpected)} have a score of a metric that is not for them ({_some(found.unexpected)})"
            )
        if parts:
            told.append(f"{line.column}: {'; '.join(parts)}")
    return told


def score_values(table: ScoreTable) -> dict[str, Any]:
    """Return a table as plain values."""
    return {
        "domain": table.domain,
        "version": table.version,
        "mode": table.mode,
        "total": table.total,
        "total_interval": _interval(table.interval),
        "missing": list(table.missing),
        "num_prompts": table.num_prompts,
        "metrics": [
            {
                "metric": line.metric,
                "column": line.column,
                "weight": line.weight,
                "mean": line.mean,
                "share": line.share,
                "interval": _interval(line.interval),
                "num_counted": line.coverage.num_counted,
                "num_expected": line.coverage.num_expected,
                "without_score": list(line.coverage.missing),
                "zeros_left_out": list(line.coverage.zeros),
                "unexpected": list(line.coverage.unexpected),
            }
            for line in table.lines
        ],
        "notes": [asdict(note) for note in table.notes],
    }


def share_rows(rows: Sequence[CategoryRow | PromptRow]) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Return a header and lines of shares by category or by prompt."""
    metrics: tuple[MetricName, ...] = tuple(rows[0].shares) if rows else ()
    columns = tuple(SCALES[metric].column for metric in metrics)
    if rows and isinstance(rows[0], PromptRow):
        return ("key", "category", *columns), [
            (row.key, row.category, *(percent(row.shares[metric]) for metric in metrics))
            for row in rows
            if isinstance(row, PromptRow)
        ]
    return ("category", "prompts", *columns), [
        (row.category, max(row.counts.values(), default=0), *(percent(row.shares[metric]) for metric in metrics))
        for row in rows
        if isinstance(row, CategoryRow)
    ]


COMPARE_HEADER = ("metric", "category", "prompts", "first", "second", "difference", "interval", "p", "p adjusted")


def compare_rows(found: Sequence[Difference]) -> list[tuple[object, ...]]:
    """Return differences as lines, in percent points."""
    return [
        (
            row.metric,
            row.category,
            row.num_prompts,
            percent(row.first),
            percent(row.second),
            percent(row.difference),
            range_text(row.interval),
            "" if row.p is None else f"{row.p:.4f}",
            "" if row.p_adjusted is None else f"{row.p_adjusted:.4f}",
        )
        for row in found
    ]


def _interval(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else asdict(found)


def _some(keys: Sequence[str]) -> str:
    return f"{', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}"
