"""Which words of a caption name which regions? A subject's phrase where it stands in the text, in any case and number.

A phrase is found where its words follow each other, whatever stands between them that is no letter or digit; its last word may be
a plural in -s or -es. Longer phrases win over shorter ones, earlier over later: "red top" is not also a "top". Synonyms that do
not stand in the text are found nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A stretch of a caption.

    Attributes:
        text: as it stands there.
        numbers: of the regions it names, ascending; none for what names nothing.
    """

    text: str
    numbers: tuple[int, ...] = ()


def link_caption(caption: str, names: Mapping[int, Sequence[str]]) -> list[Piece]:
    """Cut a caption where it names regions.

    Args:
        caption: the text.
        names: of each region by its number; several regions may have one name.

    Returns:
        Pieces in order, which joined give the caption.
    """
    phrases = _phrases(names)
    words = list(_WORD.finditer(caption))
    folded = [word[0].lower() for word in words]
    longest = max(map(len, phrases), default=0)
    pieces: list[Piece] = []
    written, at = 0, 0
    while at < len(words):
        numbers: tuple[int, ...] = ()
        for length in range(min(longest, len(words) - at), 0, -1):
            found = _found(phrases, folded[at : at + length])
            if found:
                start, end = words[at].start(), words[at + length - 1].end()
                if start > written:
                    pieces.append(Piece(text=caption[written:start]))
                pieces.append(Piece(text=caption[start:end], numbers=found))
                written, numbers, at = end, found, at + length
                break
        if not numbers:
            at += 1
    if written < len(caption):
        pieces.append(Piece(text=caption[written:]))
    return pieces


def unnamed(pieces: Sequence[Piece], numbers: Sequence[int]) -> list[int]:
    """Return the regions that no piece names, in the order given."""
    named = {number for piece in pieces for number in piece.numbers}
    return [number for number in numbers if number not in named]


def _phrases(names: Mapping[int, Sequence[str]]) -> dict[tuple[str, ...], set[int]]:
    phrases: dict[tuple[str, ...], set[int]] = {}
    for number, some in names.items():
        for name in some:
            if words := tuple(_WORD.findall(name.lower())):
                phrases.setdefault(words, set()).add(number)
    return phrases


def _found(phrases: Mapping[tuple[str, ...], set[int]], words: Sequence[str]) -> tuple[int, ...]:
    """Return the regions whose name these words are; as they stand, else as a plural."""
    *before, last = words
    endings = [last, *(last.removesuffix(end) for end in ("s", "es") if last.endswith(end) and len(last) > len(end))]
    for ending in endings:
        if numbers := phrases.get((*before, ending)):
            return tuple(sorted(numbers))
    return ()
