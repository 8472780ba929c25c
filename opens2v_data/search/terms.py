"""What a caption query says: a parser of its own, so that an index and a scan answer the same question.

    query   := all (OR all)*
    all     := (part | AND part)+            words side by side must all be there
    part    := (NOT | - | +)* (word | "phrase" | ( query ))

AND, OR and NOT are operators in capitals only, and OR binds weakest. `-word` is NOT; `+word` is the word, since all words must be
there anyway. A word with a sign inside, as `t-shirt`, is a phrase. A word is a whole word; see `opens2v_data.search.words`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from opens2v_data.errors import QueryError
from opens2v_data.search.words import words_of

EXAMPLE = '"red car" AND (street OR road) -night'

MAX_CHARACTERS = 2_000
MAX_WORDS = 100
"""A query is what a person types; the limits keep a pasted document from becoming a thousand regular expressions."""
MAX_DEPTH = 32

_SHOWN = 60
_TOKEN = re.compile(r'\s*(?:(?P<quote>")|(?P<open>\()|(?P<close>\))|(?P<sign>[-+])|(?P<word>[^\s"()]+))')


@dataclass(frozen=True, kw_only=True)
class Phrase:
    """One word, or several that stand side by side in this order."""

    words: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class AllOf:
    """Every part must be there."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, kw_only=True)
class AnyOf:
    """At least one part must be there."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, kw_only=True)
class Without:
    """The part must not be there."""

    part: Term


Term: TypeAlias = "Phrase | AllOf | AnyOf | Without"


def parse_query(query: str) -> Term:
    """Return what a query says.

    Raises:
        QueryError: it says nothing, or a bracket, quote or operator stands alone; the message shows where.
    """
    return _Parser(query).parse()


class _Parser:
    def __init__(self, query: str) -> None:
        self._query = query
        self._at = 0
        self._num_words = 0
        if len(query) > MAX_CHARACTERS:
            self._refuse(f"expected at most {MAX_CHARACTERS} characters, found {len(query)}", MAX_CHARACTERS)
        for at, character in enumerate(query):
            if "\ud800" <= character <= "\udfff":
                self._refuse("half of a surrogate pair is no text", at)

    def parse(self) -> Term:
        if not self._query.strip():
            self._refuse("expected at least one word, found none", 0)
        term = self._any(0)
        if self._peek()[0] is not None:
            self._refuse("found a ')' that closes nothing", self._peek()[2])
        return term

    def _any(self, depth: int) -> Term:
        parts = [self._all(depth)]
        while self._take("OR"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else AnyOf(parts=tuple(parts))

    def _all(self, depth: int) -> Term:
        parts = [self._part(depth)]
        while True:
            kind, text, _ = self._peek()
            if kind in (None, "close") or (kind == "word" and text == "OR"):
                return parts[0] if len(parts) == 1 else AllOf(parts=tuple(parts))
            self._take("AND")
            parts.append(self._part(depth))

    def _part(self, depth: int) -> Term:
        is_without = False
        while True:
            kind, text, at = self._peek()
            if kind == "sign" or (kind == "word" and text == "NOT"):
                is_without ^= text in ("-", "NOT")
                self._next()
            else:
                break
        if kind is None:
            self._refuse("expected a word, found the end of the query", at)
        if kind == "close":
            self._refuse("expected a word, found ')'", at)
        if kind == "word" and text in ("AND", "OR"):
            self._refuse(f"expected a word, found the operator {text}; in small letters it is a word", at)
        self._next()
        if kind == "open":
            if depth >= MAX_DEPTH:
                self._refuse(f"expected brackets at most {MAX_DEPTH} deep", at)
            term = self._any(depth + 1)
            if self._peek()[0] != "close":
                self._refuse("this '(' is never closed", at)
            self._next()
        elif kind == "quote":
            end = self._query.find('"', self._at)
            if end < 0:
                self._refuse("this quote is never closed", at)
            term = self._phrase(self._query[self._at : end], at)
            self._at = end + 1
        else:
            term = self._phrase(text, at)
        return Without(part=term) if is_without else term

    def _phrase(self, text: str, at: int) -> Phrase:
        if "*" in text:
            self._refuse("a * stands for nothing here: words are found whole; name each word with OR", at)
        words = words_of(text)
        if not words:
            self._refuse(f"expected a word, found {text!r}, which has no letter or digit", at)
        self._num_words += len(words)
        if self._num_words > MAX_WORDS:
            self._refuse(f"expected at most {MAX_WORDS} words", at)
        return Phrase(words=words)

    def _peek(self) -> tuple[str | None, str, int]:
        """Return the next token's kind, text and place; kind None: the end."""
        match = _TOKEN.match(self._query, self._at)
        if match is None or match.lastgroup is None:
            return None, "", len(self._query)
        return match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)

    def _next(self) -> None:
        _, text, at = self._peek()
        self._at = at + len(text)

    def _take(self, operator: str) -> bool:
        kind, text, _ = self._peek()
        if kind == "word" and text == operator:
            self._next()
            return True
        return False

    def _refuse(self, fault: str, at: int) -> NoReturn:
        start = max(0, at - _SHOWN)
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in self._query[start : at + _SHOWN])
        raise QueryError(
            f"the caption query cannot be read at character {at + 1}: {fault}\n  {shown}\n  {' ' * (at - start)}^\n"
            f"an example: {EXAMPLE}"
        )
