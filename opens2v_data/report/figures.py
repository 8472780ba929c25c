"""The numbers of a report: what questions of `sql/questions` answer about the clips of a slice."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from opens2v_data.query.questions import question

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice

Progress = Callable[[str, int, int], None]

STAGE = "questions"
BINS = 40
PAIR_BINS = 50
MAX_SUBJECTS = 20
MAX_CLASSES = 25
MAX_FACETS = 20

CATEGORY = "category"
"""Where clips have this column it is what categories are counted by."""
TAGS = "pre_define_tags"
"""Upstream's own coarse labels: counted where clips have no category."""

_SHADOWS = {
    "clips": "clip_id IN (SELECT clip_id FROM chosen)",
    "locations": "clip_id IN (SELECT clip_id FROM chosen)",
    "class_index": "clip_id IN (SELECT clip_id FROM chosen)",
    "clip_views": "clip_id IN (SELECT clip_id FROM chosen)",
    "pair_links": "clip_id IN (SELECT clip_id FROM chosen) AND partner_clip_id IN (SELECT clip_id FROM chosen)",
}
_COMMENT = re.compile(r"--[^\n]*")


@dataclass(frozen=True, kw_only=True, eq=False)
class Distribution:
    """How many things have a number in each bin.

    Attributes:
        edges: `(bins + 1,) float64`, ascending.
        counts: `(bins,) int64`.
        num_known: things that have the number, in a bin or beyond them.
    """

    edges: np.ndarray
    counts: np.ndarray
    num_known: int


@dataclass(frozen=True, kw_only=True, eq=False)
class ReportFigures:
    """What a report shows.

    Attributes:
        uri, digest: of the catalog.
        where: which clips, as SQL; None: all.
        totals: row of `report-totals`; seconds may be None.
        values: of clips, by column; a column that no clip has is absent.
        subject_values: of subjects, by column.
        subject_counts: (subjects of a clip, clips), ascending; the last counts more too.
        parts, sizes, frame_rates, classes, quirks: (name, how many).
        categories: (name, clips); categories_by: the column that was counted.
        pairs: similarity of partners, by kind.
        num_records: records of the release; quarantine: those that gave no clip, by reason. None where `where` is not.
    """

    uri: str
    digest: str
    where: str | None
    totals: dict[str, Any]
    values: dict[str, Distribution]
    subject_values: dict[str, Distribution]
    subject_counts: tuple[tuple[int, int], ...]
    parts: tuple[tuple[str, int], ...]
    sizes: tuple[tuple[str, int], ...]
    frame_rates: tuple[tuple[str, int], ...]
    classes: tuple[tuple[str, int], ...]
    quirks: tuple[tuple[str, int], ...]
    categories: tuple[tuple[str, int], ...]
    categories_by: str
    pairs: dict[str, Distribution]
    num_records: int | None
    quarantine: tuple[tuple[str, int], ...]


def count_figures(clips: Slice, *, progress: Progress | None = None) -> ReportFigures:
    """Ask everything that a report shows of the clips of a slice.

    Args:
        clips: which.
        progress: called with the stage "questions", and how many of how many were answered.

    Raises:
        QueryError: the slice's condition cannot be answered.
    """
    asker = _Asker(clips, progress or (lambda stage, done, total: None))
    catalog, is_all = clips.query.catalog, asker.chosen is None
    report = catalog.manifest.report
    (totals,) = asker.ask("report-totals")
    by = CATEGORY if CATEGORY in dict(clips.query.columns("regular")) else TAGS
    return ReportFigures(
        uri=catalog.uri,
        digest=catalog.digest,
        where=None if is_all else clips.sql_where(),
        totals=totals,
        values=_distributions(asker.ask("report-values", bins=BINS), "num_clips"),
        subject_values=_distributions(asker.ask("report-subject-values", bins=BINS), "num_subjects"),
        subject_counts=tuple(
            (row["num_subjects"], row["num_clips"]) for row in asker.ask("report-subject-counts", most=MAX_SUBJECTS)
        ),
        parts=_counts(asker.ask("parts"), "part"),
        sizes=tuple(
            (f"{row['width']}x{row['height']}", row["num_clips"]) for row in asker.ask("report-sizes", most=10)
        ),
        frame_rates=tuple((f"{row['fps']:g}", row["num_clips"]) for row in asker.ask("report-frame-rates", most=10)),
        classes=tuple(
            (row["class_name"], row["num_subjects"]) for row in asker.ask("report-classes", most=MAX_CLASSES)
        ),
        quirks=_counts(asker.ask("quirks"), "quirk"),
        categories=asker.facets(by),
        categories_by=by,
        pairs=_pairs(asker.ask("report-pairs", bins=PAIR_BINS)),
        num_records=report["records"] if is_all else None,
        quarantine=tuple(sorted(report["quarantined_by_reason"].items(), key=lambda item: (-item[1], item[0])))
        if is_all
        else (),
    )


NUM_QUESTIONS = 11


def among(question: str) -> str:
    """Return a question that is asked of the clips in a table `chosen` alone: its tables are narrowed under their own names."""
    body = _COMMENT.sub("", question).strip()
    shadows = ", ".join(
        f"{table} AS NOT MATERIALIZED (SELECT * FROM memory.main.{table} WHERE {condition})"
        for table, condition in _SHADOWS.items()
        if re.search(rf"\b{table}\b", body)
    )
    rest = f", {body[len('WITH') :]}" if body.startswith("WITH") else f"\n{body}"
    return f"WITH {shadows}{rest}" if shadows else body


class _Asker:
    def __init__(self, clips: Slice, report: Progress) -> None:
        self._clips = clips
        self._report = report
        self._done = 0
        is_all = not clips.spec.conditions and not clips.spec.is_cut
        self.chosen = None if is_all else pa.table({"clip_id": clips.ids()})
        report(STAGE, 0, NUM_QUESTIONS)

    def ask(self, name: str, **values: Any) -> list[dict[str, Any]]:
        asked = question(name)
        bound = asked.bind(values)
        if self.chosen is None:
            found = self._clips.query.ask(asked.text, bound)
        else:
            found = self._clips.query.ask(among(asked.text), bound, tables={"chosen": self.chosen})
        self._step()
        return found.to_pylist()

    def facets(self, column: str) -> tuple[tuple[str, int], ...]:
        found = self._clips.facets(column, limit=MAX_FACETS).to_pylist()
        self._step()
        return tuple(("none" if row["value"] is None else str(row["value"]), row["num_clips"]) for row in found)

    def _step(self) -> None:
        self._done += 1
        self._report(STAGE, self._done, NUM_QUESTIONS)


def _distributions(rows: list[dict[str, Any]], counted: str) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    for name in dict.fromkeys(row["what"] for row in rows):
        mine = [row for row in rows if row["what"] == name]
        low, high = mine[0]["low"], mine[0]["high"]
        counts = np.zeros(BINS, np.int64)
        counts[[row["bin"] for row in mine]] = [row[counted] for row in mine]
        edges = np.linspace(low, high if high > low else low + 1.0, BINS + 1)
        found[name] = Distribution(edges=edges, counts=counts, num_known=mine[0]["num_known"])
    return found


def _pairs(rows: list[dict[str, Any]]) -> dict[str, Distribution]:
    found: dict[str, Distribution] = {}
    for name in dict.fromkeys(row["what"] for row in rows):
        mine = [row for row in rows if row["what"] == name]
        counts = np.zeros(PAIR_BINS, np.int64)
        counts[[row["bin"] for row in mine]] = [row["num_pairs"] for row in mine]
        found[name] = Distribution(
            edges=np.linspace(0.0, 1.0, PAIR_BINS + 1), counts=counts, num_known=int(counts.sum())
        )
    return found


def _counts(rows: list[dict[str, Any]], name: str) -> tuple[tuple[str, int], ...]:
    return tuple(("none" if row[name] is None else row[name], row["num_clips"]) for row in rows)
