"""One condition each: a range of a number, a subject, a property; as the URL has it and as a slice takes it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from opens2v_explorer.fields import CHOICES, NONE, NUMBERS, SUBJECT_NUMBERS

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice

_NUMBER = r"[-+]?(?:\d{1,20}\.?\d{0,40}|\.\d{1,40})(?:[eE][-+]?\d{1,3})?"
_COMPARED = re.compile(rf"({'|'.join(SUBJECT_NUMBERS)})(<=|>=|<|>|=)({_NUMBER})", re.ASCII)
_SIZE = re.compile(r"[1-9]\d{0,5}x[1-9]\d{0,5}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number from `lo` to below `hi`; None: no edge on that side."""

    name: str
    lo: float | None = None
    hi: float | None = None

    def __post_init__(self) -> None:
        """Check the name and the edges.

        Raises:
            ValueError: no such number, an edge that is no finite number, none at all, or lo not below hi.
        """
        one_of(self.name, NUMBERS, "a number of a clip")
        for edge in (self.lo, self.hi):
            if edge is not None and not math.isfinite(edge):
                raise ValueError(f"expected finite edges, got {self.lo} and {self.hi}")
        if self.lo is None and self.hi is None:
            raise ValueError("expected at least one edge, got none")
        if self.lo is not None and self.hi is not None and not self.lo < self.hi:
            raise ValueError(f"expected the lower edge below the upper one, got {self.lo:g} and {self.hi:g}")

    @classmethod
    def parse(cls, name: str, text: str) -> Self:
        """Read `LOW..HIGH`, either of which may be absent.

        Raises:
            ValueError: it is no such text.
        """
        low, dots, high = text.strip().partition("..")
        if not dots:
            raise ValueError(f"expected LOW..HIGH, such as 5.5..7, 5.5.. or ..7, got {shown(text)}")
        return cls(name=name, lo=_number(low) if low else None, hi=_number(high) if high else None)

    @property
    def text(self) -> str:
        """Return what `parse` reads."""
        return f"{_written(self.lo)}..{_written(self.hi)}"

    @property
    def label(self) -> str:
        """Return it in words."""
        about = NUMBERS[self.name]
        unit = f" {about.unit}" if about.unit else ""
        if self.lo is None:
            return f"{about.label} below {self.hi:g}{unit}"
        if self.hi is None:
            return f"{about.label} {self.lo:g}{unit} or more"
        return f"{about.label} {self.lo:g} to below {self.hi:g}{unit}"

    def apply(self, s: Slice) -> Slice:
        """Return the clips of a slice that are in the range."""
        column = NUMBERS[self.name].column
        edges = [(">=", self.lo), ("<", self.hi)]
        compared = " AND ".join(f"{column} {sign} ?" for sign, edge in edges if edge is not None)
        return s.where(compared, *(edge for _, edge in edges if edge is not None))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A subject that a clip has, or lacks.

    Attributes:
        name: its class, as upstream spells it.
        numbers: name of `fields.SUBJECT_NUMBERS` to a comparison such as ">0.3", in that order.
    """

    name: str
    numbers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Check the name's length.

        Raises:
            ValueError: it is empty.
        """
        if not self.name.strip():
            raise ValueError("expected a class name, got none")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME` or `NAME:gme>0.3,count>1`. What follows a colon and is no comparison belongs to the name.

        Raises:
            ValueError: there is no name.
        """
        name, colon, tail = text.rpartition(":")
        found = [_COMPARED.fullmatch(piece) for piece in tail.split(",")] if tail else []
        if not colon or not all(found):
            return cls(name=text)
        numbers = {match[1]: f"{match[2]}{_written(_number(match[3]))}" for match in found if match}
        return cls(name=name, numbers=tuple((key, numbers[key]) for key in SUBJECT_NUMBERS if key in numbers))

    @property
    def text(self) -> str:
        """Return what `parse` reads."""
        if not self.numbers and ":" not in self.name:
            return self.name
        return f"{self.name}:{','.join(key + number for key, number in self.numbers)}"

    @property
    def label(self) -> str:
        """Return it in words."""
        numbers = ", ".join(f"{key} {number}" for key, number in self.numbers)
        return f"{self.name} ({numbers})" if numbers else self.name


def parse_choice(name: str, text: str) -> str:
    """Return a value of a property, as the URL has it.

    Raises:
        ValueError: it can be none.
    """
    about = CHOICES[name]
    value = text.strip()
    if value == NONE and not about.is_list:
        return value
    is_wrong = not value
    if name == "fps":
        try:
            return _short32(_number(value))
        except (ValueError, OverflowError):
            is_wrong = True
    elif name == "size":
        is_wrong = not _SIZE.fullmatch(value)
    if is_wrong:
        raise ValueError(f"expected {about.expected}, got {shown(text)}")
    return value


def choose(s: Slice, name: str, values: Sequence[str]) -> Slice:
    """Return the clips of a slice that have one of some values of a property."""
    known = [value for value in values if value != NONE]
    with_none = len(known) < len(values)
    if name == "size":
        pieces = ["(crop_width = ? AND crop_height = ?)"] * len(known)
        bound: list[Any] = [int(side) for value in known for side in value.split("x")]
        pieces += ["(crop_width IS NULL OR crop_height IS NULL)"] * with_none
        return s.where(" OR ".join(pieces), *bound)
    column = CHOICES[name].column
    if CHOICES[name].is_list:
        return s.where(f"list_has_any({column}, ?)", known)
    if name == "fps":
        pieces, bound = [f"{column} = ?::FLOAT"] * len(known), [float(value) for value in known]
    else:
        pieces, bound = [f"{column} = ?"] * len(known), list(known)
    return s.where(" OR ".join([*pieces, *[f"{column} IS NULL"] * with_none]), *bound)


def shown_value(value: str) -> str:
    """Return a choice's value in words."""
    return "not recorded" if value == NONE else value


def choice_text(value: object) -> str:
    """Return a value of `Slice.facets` as the URL has it."""
    if value is None:
        return NONE
    # Of a 32-bit rate the shortest decimals that mean it: 23.976 and not 23.976024627685547.
    return _short32(value) if isinstance(value, float) else str(value)


def one_of(value: str, known: Iterable[str], what: str) -> str:
    """Return a value that is among those known.

    Raises:
        ValueError: it is not; the message has them.
    """
    if value not in known:
        raise ValueError(f"expected {what} ({', '.join(known)}), got {shown(value)}")
    return value


def shown(value: str, most: int = 80) -> str:
    """Return a text in quotes, shortened, for a message."""
    return repr(value if len(value) <= most else value[: most - 1] + "…")


# -- inside


def _number(text: str) -> float:
    if not re.fullmatch(_NUMBER, text.strip(), re.ASCII):
        raise ValueError(f"expected a number, such as 5.5, got {shown(text)}")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {shown(text)}")
    return value + 0.0  # no -0.0, whose text differs


def _written(value: float | None) -> str:
    return "" if value is None else repr(value).removesuffix(".0")


def _short32(value: float) -> str:
    import numpy as np

    with np.errstate(over="ignore"):
        number = np.float32(value)
    if not np.isfinite(number):
        raise OverflowError
    return str(number + np.float32(0)).removesuffix(".0")
