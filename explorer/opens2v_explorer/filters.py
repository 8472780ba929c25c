"""Which clips a page shows, as one frozen value: read from a URL, written to one, turned into a slice.

    ?aesthetic=5.5..7&category=human_single&has=woman:gme>0.3&q=guitar&sort=-aesthetic

    aesthetic=5.5..  5.5..7  ..7          a range, half-open; see `fields.NUMBERS` for the names
    category=… &category=…                any of these; `fields.CHOICES`. `~none` is "not recorded"
    has=woman  has=woman:gme>0.3,count>1  a subject of that class; with numbers, one that meets all of them
    lacks=…                               no such subject
    q=guitar "red car" -night             words of the caption
    fault=near_copies  fault=-near_copies only clips of that quality view, or none of them
    copies=drop  copies=only              near duplicates
    verdict=unjudged                      what was judged of the clip
    ids=17,18                             these clips
    among=SELECT clip_id FROM …           the clips that a safe statement gives
    sort=-aesthetic                       descending with `-`

What cannot be understood is told as a `Notice` and left out; it is never an error. Values are bound, names come from allow-lists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, TypeVar, cast
from urllib.parse import urlencode

from opens2v_explorer.conditions import Range, Wanted, choose, one_of, parse_choice, shown, shown_value
from opens2v_explorer.fields import CHOICES, FAULTS, NUMBERS, SORTS, VERDICTS

if TYPE_CHECKING:
    from opens2v_data import OpenS2V
    from opens2v_data.query.slices import Slice

Params = dict[str, list[str]]
Mode = Literal["only", "drop"]
T = TypeVar("T")
FindJudged = Callable[[str], Sequence[int]]
"""Gives the ids of clips of a verdict: "keep", "drop", "flag", or "judged" for any."""

MAX_VALUES = 50
"""Values of one parameter."""

MAX_CHARACTERS = 300
"""Of one value, a statement aside."""

MAX_STATEMENT = 8_000
"""Characters of `among`."""

MAX_IDS = 1_000
"""A URL of them has 7 kB."""

MAX_AMONG = 100_000
"""Clips that `among` may give."""

MAX_ID = 2**31 - 1

_FIELDS = (*NUMBERS, *CHOICES)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What of a URL was not understood.

    Attributes:
        param: the parameter.
        text: what was expected, what was found.
    """

    param: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Chip:
    """One filter, and all others.

    Attributes:
        label: it in words.
        without: the filters that are left when it is removed.
    """

    label: str
    without: Filters


@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which clips. The docstring of this module has the parameters.

    Attributes:
        ranges: by name, at most one each.
        choices: (name, value), any value of a name will do.
        has, lacks: subjects.
        search: of the caption.
        faults: (quality view, "only" or "drop").
        copies: near duplicates.
        verdict: of `fields.VERDICTS`; "" any.
        ids: of clips; empty: all.
        among: a safe statement that gives clip ids; "" none.
        sort: of `fields.SORTS`, `-` before it for descending; "" the catalog's order, or that of the saved slice.
    """

    ranges: tuple[Range, ...] = ()
    choices: tuple[tuple[str, str], ...] = ()
    has: tuple[Wanted, ...] = ()
    lacks: tuple[Wanted, ...] = ()
    search: str = ""
    faults: tuple[tuple[str, Mode], ...] = ()
    copies: Mode | None = None
    verdict: str = ""
    ids: tuple[int, ...] = ()
    among: str = ""
    sort: str = ""

    def __post_init__(self) -> None:
        """Bring values into one order, so that equal filters have one URL."""
        by_name = {one.name: one for one in self.ranges}
        object.__setattr__(self, "ranges", tuple(by_name[name] for name in NUMBERS if name in by_name))
        chosen = sorted(set(self.choices), key=lambda one: (_FIELDS.index(one[0]), one[1]))
        object.__setattr__(self, "choices", tuple(chosen))
        object.__setattr__(self, "has", tuple(dict.fromkeys(self.has)))
        object.__setattr__(self, "lacks", tuple(dict.fromkeys(self.lacks)))
        object.__setattr__(self, "faults", tuple(sorted(dict(self.faults).items())))
        object.__setattr__(self, "ids", tuple(dict.fromkeys(self.ids)))

    # -- the URL

    @classmethod
    def from_params(cls, params: Mapping[str, Sequence[str]]) -> tuple[Filters, list[Notice]]:
        """Read a URL's parameters; those of pages are passed over.

        Returns:
            The filters, and what was left out of them.
        """
        reader = _Reader(params)
        ranges = [one for name in NUMBERS for one in reader.each(name, lambda text, name=name: Range.parse(name, text))]
        choices = [
            (name, one)
            for name in CHOICES
            for one in reader.each(name, lambda text, name=name: parse_choice(name, text))
        ]
        made = cls(
            ranges=tuple(ranges),
            choices=tuple(choices),
            has=tuple(reader.each("has", Wanted.parse)),
            lacks=tuple(reader.each("lacks", Wanted.parse)),
            search=reader.last("q", _query),
            faults=tuple(reader.each("fault", _fault)),
            copies=cast("Mode | None", reader.last("copies", _copies) or None),
            verdict=reader.last("verdict", lambda text: one_of(text, VERDICTS, "a verdict")),
            ids=tuple(one for some in reader.each("ids", _ids, most=MAX_IDS * 12) for one in some)[:MAX_IDS],
            among=reader.last("among", str.strip, most=MAX_STATEMENT),
            sort=reader.last("sort", _sort),
        )
        return made, reader.notices

    def to_params(self) -> Params:
        """Return what `from_params` reads; filters that are not set are absent."""
        params: Params = {one.name: [one.text] for one in self.ranges}
        for name, value in self.choices:
            params.setdefault(name, []).append(value)
        lists = {
            "has": [one.text for one in self.has],
            "lacks": [one.text for one in self.lacks],
            "q": [self.search],
            "fault": [name if mode == "only" else f"-{name}" for name, mode in self.faults],
            "copies": [self.copies or ""],
            "verdict": [self.verdict],
            "ids": [",".join(map(str, self.ids))],
            "among": [self.among],
            "sort": [self.sort],
        }
        return params | {name: values for name, values in lists.items() if any(values)}

    @property
    def query(self) -> str:
        """Return the parameters as a URL has them, without `?`."""
        return urlencode(self.to_params(), doseq=True)

    @property
    def fingerprint(self) -> str:
        """Return 16 hex digits that equal filters share; the order of clips counts."""
        return blake2b(self.query.encode(), digest_size=8).hexdigest()

    @property
    def is_empty(self) -> bool:
        """Whether every clip meets them; an order alone filters nothing."""
        return replace(self, sort="") == Filters()

    @property
    def is_costly(self) -> bool:
        """Whether more than numbers and properties of clips is asked, so that their ids are better kept than found again."""
        asked = (self.has, self.lacks, self.search, self.faults, self.copies, self.among, self.verdict)
        return any(asked) or bool(self.values_of("kind"))

    # -- changed ones

    def range_of(self, name: str) -> Range | None:
        """Return the range of a number, or None."""
        return next((one for one in self.ranges if one.name == name), None)

    def with_range(self, name: str, lo: float | None, hi: float | None) -> Filters:
        """Return them with another range of a number; two None remove it."""
        others = tuple(one for one in self.ranges if one.name != name)
        if lo is None and hi is None:
            return replace(self, ranges=others)
        return replace(self, ranges=(*others, Range(name=name, lo=lo, hi=hi)))

    def values_of(self, name: str) -> tuple[str, ...]:
        """Return the values chosen of a property."""
        return tuple(value for known, value in self.choices if known == name)

    def toggled(self, name: str, value: str) -> Filters:
        """Return them with one value more, or less where it is chosen."""
        one = (name, value)
        if one in self.choices:
            return replace(self, choices=tuple(known for known in self.choices if known != one))
        return replace(self, choices=(*self.choices, one))

    def with_choices(self, name: str, values: Sequence[str]) -> Filters:
        """Return them with these values of a property and no others."""
        others = tuple(known for known in self.choices if known[0] != name)
        return replace(self, choices=(*others, *((name, value) for value in values)))

    def chips(self) -> list[Chip]:
        """Return each filter in words, with what is left when it is removed."""
        made = [Chip(label=one.label, without=self.with_range(one.name, None, None)) for one in self.ranges]
        made += [
            Chip(label=f"{CHOICES[name].label}: {shown_value(value)}", without=self.toggled(name, value))
            for name, value in self.choices
        ]
        for at, one in enumerate(self.has):
            made.append(Chip(label=f"has {one.label}", without=replace(self, has=_without(self.has, at))))
        for at, one in enumerate(self.lacks):
            made.append(Chip(label=f"without {one.label}", without=replace(self, lacks=_without(self.lacks, at))))
        if self.search:
            made.append(Chip(label=f"caption: {self.search}", without=replace(self, search="")))
        for at, (name, mode) in enumerate(self.faults):
            label = f"{'only' if mode == 'only' else 'without'} {name.replace('_', ' ')}"
            made.append(Chip(label=label, without=replace(self, faults=_without(self.faults, at))))
        if self.copies:
            label = "near duplicates only" if self.copies == "only" else "one of near duplicates"
            made.append(Chip(label=label, without=replace(self, copies=None)))
        if self.verdict:
            made.append(Chip(label=f"verdict: {self.verdict}", without=replace(self, verdict="")))
        if self.ids:
            label = f"clip {self.ids[0]}" if len(self.ids) == 1 else f"{len(self.ids)} chosen clips"
            made.append(Chip(label=label, without=replace(self, ids=())))
        if self.among:
            made.append(Chip(label=f"clips of {shown(self.among, 60)}", without=replace(self, among="")))
        return made

    # -- the clips

    def slice(self, catalog: OpenS2V, start: Slice | None = None, *, find_judged: FindJudged | None = None) -> Slice:
        """Return the clips that meet them.

        Args:
            catalog: of the clips.
            start: only clips of this slice; None: all.
            find_judged: needed where `verdict` is set.

        Raises:
            QueryError: the statement or the caption query is none, the caption index is stale.
            ValueError: `verdict` without `find_judged`.
        """
        s = catalog.all if start is None else start
        if self.ids:
            s = s.with_ids(self.ids)
        if self.among:
            s = s.with_ids(_ids_of(catalog, self.among))
        if self.search:
            s = s.search(self.search)
        for one in self.ranges:
            s = one.apply(s)
        for name in CHOICES:
            if values := self.values_of(name):
                s = choose(s, name, values)
        for wanted in self.has:
            s = s.has_subject(wanted.name, **dict(wanted.numbers))
        for wanted in self.lacks:
            s = s.lacks_subject(wanted.name, **dict(wanted.numbers))
        for name, mode in self.faults:
            s = s.faults(name, mode)
        if self.verdict:
            if find_judged is None:
                raise ValueError(f"expected a verdict store to find clips of verdict {self.verdict}, got none")
            is_left = self.verdict == "unjudged"
            judged = catalog.all.with_ids(list(find_judged("judged" if is_left else self.verdict)))
            s = s - judged if is_left else s & judged
        if self.copies:
            s = s.near_duplicates(self.copies)
        if self.sort:
            s = s.sort(_column(self.sort))
        return s


class _Reader:
    """Takes parameters one by one and notes what cannot be read."""

    def __init__(self, params: Mapping[str, Sequence[str]]) -> None:
        self.params = params
        self.notices: list[Notice] = []

    def each(self, name: str, parse: Callable[[str], T], *, most: int = MAX_CHARACTERS) -> list[T]:
        values = [value for value in self.params.get(name, ()) if value != ""]
        if len(values) > MAX_VALUES:
            self._note(name, f"expected at most {MAX_VALUES} values, got {len(values)}; the first {MAX_VALUES} count")
        found: list[T] = []
        for value in values[:MAX_VALUES]:
            try:
                found.append(parse(_clean(value, most)))
            except ValueError as error:
                self._note(name, str(error))
        return found

    def last(self, name: str, parse: Callable[[str], str], *, most: int = MAX_CHARACTERS) -> str:
        found = self.each(name, parse, most=most)
        return found[-1] if found else ""

    def _note(self, name: str, text: str) -> None:
        self.notices.append(Notice(param=name, text=f"{name}: {text}"))


def _clean(value: str, most: int) -> str:
    if len(value) > most:
        raise ValueError(f"expected at most {most} characters, got {len(value)}")
    if any((character < " " and character not in "\t\r\n") or "\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"expected text without control characters, got {shown(value)}")
    return value


def _query(text: str) -> str:
    from opens2v_data.errors import QueryError
    from opens2v_data.search import parse_query

    value = " ".join(text.split())
    if value:
        try:
            parse_query(value)
        except QueryError as error:
            raise ValueError(str(error)) from error
    return value


def _copies(text: str) -> str:
    return one_of(text.strip(), ("drop", "only"), "one of")


def _fault(text: str) -> tuple[str, Mode]:
    name = text.strip()
    view = one_of(name.removeprefix("-"), FAULTS, "a quality view")
    return view, "drop" if name.startswith("-") else "only"


def _ids(text: str) -> list[int]:
    found = []
    for piece in text.split(","):
        if not re.fullmatch(r"\s*\d{1,10}\s*", piece, re.ASCII) or int(piece) > MAX_ID:
            raise ValueError(f"expected clip ids such as 17,18, got {shown(piece)}")
        found.append(int(piece))
    return found


def _sort(text: str) -> str:
    name = text.strip()
    one_of(name.removeprefix("-"), SORTS, "a number to sort by, with - before it for descending")
    return name


def _column(sort: str) -> str:
    name = sort.removeprefix("-")
    return f"{'-' if sort.startswith('-') else ''}{SORTS[name]}"


def _ids_of(catalog: OpenS2V, statement: str) -> list[int]:
    from opens2v_data.errors import QueryError

    table = catalog.sql(statement, safe=True, max_rows=MAX_AMONG + 1)
    if table.num_rows > MAX_AMONG:
        raise QueryError(f"expected at most {MAX_AMONG:,} clips from `among`, found more; give it a LIMIT")
    if "clip_id" not in table.column_names:
        raise QueryError(
            f"expected a column clip_id in the answer of `among`, found {', '.join(table.column_names)}; name it in the SELECT"
        )
    found = [one for one in table.column("clip_id").to_pylist() if one is not None]
    if any(not isinstance(one, int) for one in found):
        raise QueryError("expected clip ids as integers in column clip_id of the answer of `among`")
    return list(dict.fromkeys(found))


def _without(values: tuple[T, ...], at: int) -> tuple[T, ...]:
    return (*values[:at], *values[at + 1 :])
