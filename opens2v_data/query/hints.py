"""What DuckDB said of a statement, as a message that shows the place and names what would work."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_UNKNOWN = re.compile(
    r'(?:Referenced column "(?P<column>[^"]*)" not found'
    r"|(?:Table|Scalar Function|Function|Macro|Table Function) with name (?P<name>\S+) does not exist"
    r'|column named "?(?P<named>[^"\s]+)"?)'
)
MAX_NAMES = 5


def explain(error: Exception, sql: str, *, names: Iterable[str] = (), example: str = "") -> str:
    """Return DuckDB's message with the line of `sql` it is about, a mark below the place, near names and an example.

    Args:
        error: of DuckDB; its text may end with `LINE n: …` and a line with `^`.
        sql: what the user wrote, which may be a part of what was run.
        names: that would have been known there.
        example: a statement that works.
    """
    text = str(error)
    said, _, shown = text.partition("\n\nLINE ")
    words = said.split("\n")[0].strip()
    parts = [words]
    place = _place(shown, sql)
    if place:
        parts.append(place)
    if (unknown := _UNKNOWN.search(said)) is not None:
        wanted = next(value for value in unknown.groupdict().values() if value is not None)
        near = nearest(wanted, names)
        if near:
            parts.append(f"nearest names: {', '.join(near)}")
    if example:
        parts.append(f"example: {example}")
    return "\n".join(parts)


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """Return the known names that a wanted one may be a slip of, the nearest first."""
    known = {name.lower(): name for name in names}
    wanted = wanted.strip('"').lower()
    found = difflib.get_close_matches(wanted, known, n=MAX_NAMES, cutoff=0.55)
    within = [name for name in known if name not in found and (wanted in name or name in wanted) and len(wanted) > 2]
    return [known[name] for name in (*found, *within)][:MAX_NAMES]


def _place(shown: str, sql: str) -> str:
    """Return the line and the mark below it, where the line is the user's own."""
    lines = shown.split("\n")
    if len(lines) < 2 or "^" not in lines[1]:
        return ""
    number, _, line = lines[0].partition(": ")
    mark = lines[1][len("LINE ") + len(number) + 2 :]
    core = line.strip(". ").strip()
    if core and core not in sql and sql.strip() not in line:
        return ""
    return f"  {line}\n  {mark}"
