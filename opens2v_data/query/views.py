"""Which views and macros a statement needs, and which columns of `clips` it takes from other tables.

The texts are those of `sql/`: macros, views and quality. A view is made when a statement first names it. Beside the columns of
its table, `clips` has some that lie elsewhere (`JOINED`): a statement that names one gets a `clips` of its own that joins it, so
that others do not pay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from opens2v_data.sqlfiles import sql_names, sql_text

DERIVED = frozenset({"class_kinds", "clip_categories", "clip_numbers"})
"""Views of tables that `derived` works out."""

TABLE = re.compile(r"\{(\w+)\}")
"""The place of a table in a statement, by its name."""

_WORD = re.compile(r"\w+")
_SAID = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_BRACKETS = re.compile(r"\(\n|\n\)")


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Columns of `clips` that another table holds.

    Attributes:
        source: the view that holds them, one row per clip at most.
        columns: by name in `clips`: the column of `source`, and its SQL type.
    """

    source: str
    columns: Mapping[str, tuple[str, str]]


JOINED = (
    Joined(
        source="captions",
        columns={"caption": ("caption", "VARCHAR"), "caption_alternatives": ("alternatives", "VARCHAR[]")},
    ),
    Joined(source="locations", columns={"video_size_bytes": ("size_bytes", "BIGINT")}),
    Joined(source="clip_categories", columns={"category": ("category", "VARCHAR")}),
    Joined(source="clip_categories", columns={"kinds": ("kinds", "VARCHAR[]")}),
    Joined(
        source="clip_numbers",
        columns={"subject_area": ("subject_area", "DOUBLE"), "pair_similarity": ("pair_similarity", "FLOAT")},
    ),
)
"""Not joined where a statement names the source itself, which it then joins as it likes."""


@cache
def views() -> dict[str, tuple[str, frozenset[str]]]:
    """Return the statements of macros, views and quality in `sql/` by what they make, in order, each with those it needs."""
    text = without_comments("\n".join(map(sql_text, ("macros", "views", *sql_names("quality")))))
    statements = {
        statement.split(maxsplit=3)[2].partition("(")[0]: statement
        for statement in text.split(";")
        if statement.strip()
    }
    made: dict[str, tuple[str, frozenset[str]]] = {}
    for name, statement in statements.items():
        words = _WORD.findall(re.sub(r"'[^']*'", "", statement))
        made[name] = (statement, frozenset(words) & made.keys())
    return made


def without_comments(text: str) -> str:
    """Return one of our own SQL texts, which hold `--` nowhere else, without what it says in words."""
    return re.sub(r"--[^\n]*", "", text)


def views_for(sql: str) -> list[tuple[str, str]]:
    """Return the views and macros that some SQL may name, in the order to make them.

    A name is any word, also one in a text or of a column: what is made too much costs the reading of a footer.
    """
    known = views()
    needed = {*words_of(sql)}
    for name, (_, needs) in reversed(known.items()):
        if name in needed:
            needed |= needs
    return [(name, statement) for name, (statement, _) in known.items() if name in needed]


def joined_in(sql: str, *, is_of_pieces: bool = False) -> list[Joined]:
    """Return whose columns some SQL names; as with views, one too many costs a footer and a join, and changes no row.

    Args:
        sql: a statement, or a part of one.
        is_of_pieces: it is put together of conditions that each stand in brackets on lines of their own (see `bound`): where one
            of these names a source, the others still mean the column of clips.
    """
    pieces = _BRACKETS.split(sql) if is_of_pieces else [sql]
    # What a text in quotes says is no table, and neither is a comment.
    words = [({*words_of(piece)}, {*words_of(_SAID.sub(" ", piece))}) for piece in pieces]
    return [
        joined
        for joined in JOINED
        if any(named & joined.columns.keys() and joined.source not in sources for named, sources in words)
    ]


def names_categories(sql: str, *, is_of_pieces: bool = False) -> bool:
    """Return whether some SQL names, or needs for what it names, the categories of clips."""
    named = " ".join([sql, *(one.source for one in joined_in(sql, is_of_pieces=is_of_pieces))])
    return any(name in DERIVED for name, _ in views_for(named))


def wide_clips(joined: Sequence[Joined], base: str = "memory.main.clips") -> str:
    """Return the statement that makes a cursor's own `clips`, with columns of other tables."""
    columns = "".join(
        f", {one.source}.{column} AS {name}" for one in joined for name, (column, _) in one.columns.items()
    )
    sources = dict.fromkeys(one.source for one in joined)
    joins = "".join(f" LEFT JOIN memory.main.{name} AS {name} USING (clip_id)" for name in sources)
    return f"CREATE TEMP VIEW clips AS SELECT base.*{columns} FROM {base} AS base{joins}"


def words_of(sql: str) -> Iterator[str]:
    """Give the words of some SQL, in lower case."""
    return (word.lower() for word in _WORD.findall(sql))
