"""The bins of a histogram in SQL: which one a number lies in."""

from __future__ import annotations

from dataclasses import dataclass

from opens2v_data.query.bound import Bound

NULL, BELOW, ABOVE = -1, -2, -3
"""In place of a bin: there is no number (NaN is none), or it lies outside of the edges."""


@dataclass(frozen=True, kw_only=True)
class Bins:
    """The bins of one column.

    Attributes:
        column: of clips, numbers.
        low, high: ends, in the column's unit; `low < high`.
        num_bins: equally wide, half-open but for the last.
    """

    column: str
    low: float
    high: float
    num_bins: int

    @property
    def type(self) -> str:
        """The smallest SQL type that holds `code`."""
        if self.num_bins <= 1 << 7:
            return "TINYINT"
        return "SMALLINT" if self.num_bins <= 1 << 15 else "INTEGER"

    def code(self, number: str) -> Bound:
        """Return the SQL of a number's bin, from 0, or of what it has in place of one.

        Args:
            number: SQL of the number.
        """
        value = f"({number})::DOUBLE"
        last = self.num_bins - 1
        # What most numbers are comes first: later branches are then asked of few. NaN is above all numbers here.
        sql = (
            f"(CASE WHEN {value} >= ? AND {value} <= ? THEN least(floor(({value} - ?) * {self.num_bins} / ?), {last}) "
            f"WHEN {value} IS NULL OR isnan({value}) THEN {NULL} WHEN {value} < ? THEN {BELOW} ELSE {ABOVE} END)"
        )
        return Bound(sql=f"{sql}::{self.type}", values=(self.low, self.high, self.low, self.high - self.low, self.low))
