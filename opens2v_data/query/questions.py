"""The questions of `sql/questions/`: what each answers, what may be given with it, which columns it gives.

A file is one SELECT below a header:

    -- Clips with a subject of a class, the best scores first.
    -- Parameters:
    --   class VARCHAR            the class as upstream spells it
    --   min_gme DOUBLE NULL      only subjects whose gme_score is at least this; null: all
    --   most BIGINT 50           clips at most
    -- Columns:
    --   clip_id INTEGER          the clip
    --   gme_score FLOAT          of its best subject; null: missing

A name, its SQL type and, for a parameter that need not be given, its default are one space apart; two spaces or more stand before
what it means. Further lines of a meaning are indented deeper. In the SELECT a parameter is `$name`: values are bound, never
pasted. Text that holds spaces stands in quotes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from opens2v_data.query.hints import nearest
from opens2v_data.sqlfiles import sql_names, sql_text

FOLDER = "questions"

ParameterType = Literal["VARCHAR", "INTEGER", "BIGINT", "DOUBLE", "BOOLEAN"]
PARAMETER_TYPES: tuple[ParameterType, ...] = get_args(ParameterType)

Value = str | int | float | bool | None

_BITS = {"INTEGER": 31, "BIGINT": 63}
_ENTRY = re.compile(r"--   (\w+) ([A-Z][A-Z\[\]]*)(?: ('[^']*'|[^\s']+))? {2,}(\S.*)")
_MORE = re.compile(r"--    +(\S.*)")
_SENTENCE = re.compile(r"(?<=[.?]) ")


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """What may be given with a question.

    Attributes:
        name: as it stands in the SELECT, without `$`.
        type: of DuckDB.
        default: what is bound where nothing is given; None is null.
        is_required: whether there is no default.
        meaning: in words, with the unit.
    """

    name: str
    type: ParameterType
    default: Value
    is_required: bool
    meaning: str

    def convert(self, value: object) -> Value:
        """Return a value as what is bound: a number that is given as text becomes a number.

        Raises:
            ValueError: it is not of the parameter's type.
        """
        if value is None:
            if self.is_required or self.default is not None:
                raise ValueError(f"{self._expected()}, got none")
            return None
        converted = _converted(self.type, value)
        if converted is None:
            raise ValueError(f"{self._expected()}, got {value!r}")
        return converted

    def _expected(self) -> str:
        return f"expected a value of type {self.type} for parameter {self.name} ({self.meaning})"


@dataclass(frozen=True, kw_only=True)
class AnswerColumn:
    """A column of the answer: its SQL type, and what it means, with unit and the meaning of null."""

    name: str
    type: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question.

    Attributes:
        name: of its file, without `.sql`.
        title: what it answers, in one sentence.
        about: the title and what is said after it.
        parameters, columns: in order.
        text: the SELECT, without the header.
    """

    name: str
    title: str
    about: str
    parameters: tuple[Parameter, ...]
    columns: tuple[AnswerColumn, ...]
    text: str

    def bind(self, values: Mapping[str, object] | None = None) -> dict[str, Value]:
        """Return a value for each parameter: what `Query.ask` takes beside `text`.

        Args:
            values: by name, typed or as texts; parameters with a default may be absent.

        Raises:
            ValueError: a name is none of the parameters, one without a default is absent, or a value has another type.
        """
        given = dict(values or {})
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            if name not in known:
                near = nearest(name, known) or list(known)
                hint = f"known: {', '.join(near)}" if near else "it has none"
                raise ValueError(f"expected a parameter of question {self.name}, got {name!r}; {hint}")
        bound: dict[str, Value] = {}
        for name, parameter in known.items():
            if name in given:
                bound[name] = parameter.convert(given[name])
            elif parameter.is_required:
                raise ValueError(
                    f"expected {name} ({parameter.meaning}) for question {self.name}, got none; give it as {name}=…"
                )
            else:
                bound[name] = parameter.default
        return bound


@cache
def questions() -> tuple[Question, ...]:
    """Return all questions in order of name."""
    return tuple(parse_question(name.partition("/")[2], sql_text(name)) for name in sql_names(FOLDER))


def question(name: str) -> Question:
    """Return one question.

    Raises:
        ValueError: there is none of that name; the message has the nearest.
    """
    found = {one.name: one for one in questions()}
    if name not in found:
        near = nearest(name, found)
        hint = f"nearest: {', '.join(near)}; all: opens2v sql --list" if near else "all: opens2v sql --list"
        raise ValueError(f"expected the name of a question, got {name!r}; {hint}")
    return found[name]


def parse_question(name: str, text: str) -> Question:
    """Return the question of a file's text.

    Raises:
        ValueError: its header is not as this module's docstring says; the message has the line.
    """
    lines = text.splitlines()
    size = next((at for at, line in enumerate(lines) if not line.startswith("--")), len(lines))
    about: list[str] = []
    found: dict[str, list[list[str | None]]] = {}
    section: list[list[str | None]] | None = None
    for number, line in enumerate(lines[:size], start=1):
        if line in ("-- Parameters:", "-- Columns:"):
            section = found.setdefault(line, [])
        elif section is None:
            about.append(line[2:].strip())
        elif (entry := _ENTRY.fullmatch(line)) is not None:
            section.append(list(entry.groups()))
        elif (more := _MORE.fullmatch(line)) is not None and section:
            section[-1][3] = f"{section[-1][3]} {more[1]}"
        elif line.startswith("--  "):
            raise ValueError(
                f"expected `--   name TYPE [default]   meaning` in line {number} of question {name}, found {line!r}"
            )
    if not about or len(found) != 2:
        raise ValueError(
            f"expected a title, `-- Parameters:` and `-- Columns:` at the head of question {name}, found "
            f"{', '.join([*about[:1], *found]) or 'none'}"
        )
    said = " ".join(line for line in about if line)
    return Question(
        name=name,
        title=_SENTENCE.split(said, maxsplit=1)[0],
        about=said,
        parameters=tuple(_parameter(name, *entry) for entry in found["-- Parameters:"]),
        columns=tuple(
            AnswerColumn(name=str(column), type=str(kind), meaning=str(meaning))
            for column, kind, _, meaning in found["-- Columns:"]
        ),
        text="\n".join(lines[size:]).strip().rstrip(";"),
    )


def _parameter(question_name: str, name: Any, kind: Any, default: str | None, meaning: Any) -> Parameter:
    if kind not in PARAMETER_TYPES:
        raise ValueError(
            f"expected one of {', '.join(PARAMETER_TYPES)} as type of parameter {name} of question {question_name}, found {kind}"
        )
    value: Value = None
    if default is not None and default != "NULL":
        value = _converted(kind, default.strip("'"))
        if value is None:
            raise ValueError(
                f"expected a default of type {kind} for parameter {name} of question {question_name}, found {default}"
            )
    return Parameter(name=name, type=kind, default=value, is_required=default is None, meaning=meaning)


def _converted(kind: ParameterType, value: object) -> Value:
    """Return a value of that type, or None."""
    if kind == "VARCHAR":
        return value if isinstance(value, str) else None
    if kind == "BOOLEAN":
        text = value.strip().lower() if isinstance(value, str) else None
        return value if isinstance(value, bool) else {"true": True, "false": False}.get(text or "")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = (float if kind == "DOUBLE" else int)(value)
    except (ValueError, OverflowError):
        return None
    if kind == "DOUBLE":
        return number if math.isfinite(number) else None
    is_whole = isinstance(value, str) or number == value
    return number if is_whole and -(1 << _BITS[kind]) <= number < 1 << _BITS[kind] else None
