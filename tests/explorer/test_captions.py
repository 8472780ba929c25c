"""Words of captions that name regions, against a plain way of finding them."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_explorer.captions import Piece, link_caption, unnamed

WORDS = ("dog", "dogs", "red", "top", "Tops", "a", "box", "boxes", "grass")
MARKS = (" ", ", ", "-", ".\n\n", " ' ")

texts = st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(MARKS)), max_size=12).map(
    lambda parts: "".join(word + mark for word, mark in parts)
)
phrases = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)
regions = st.dictionaries(st.integers(1, 5), st.lists(phrases, min_size=1, max_size=2), max_size=4)


def plain(caption: str, names: dict[int, list[str]]) -> list[Piece]:
    """The same by trying every phrase at every place of the text, the longest first, as a pattern."""
    made: list[Piece] = []
    at = before = 0
    while at < len(caption):
        found: dict[tuple[int, bool, int], tuple[int, set[int]]] = {}
        for number, some in names.items():
            for name in some:
                words = re.findall(r"[a-z]+", name.lower())
                pattern = r"[^a-z]+".join(words)
                for is_plural, ending in ((False, ""), (True, "s"), (True, "es")):
                    hit = re.compile(rf"(?<![a-z]){pattern}{ending}(?![a-z])", re.IGNORECASE).match(caption, at)
                    if hit:
                        key = len(words), not is_plural, -len(ending)
                        found.setdefault(key, (hit.end(), set()))[1].add(number)
        if not found:
            at += 1
            continue
        end, numbers = found[max(found)]
        if before < at:
            made.append(Piece(text=caption[before:at]))
        made.append(Piece(text=caption[at:end], numbers=tuple(sorted(numbers))))
        at = before = end
    if before < len(caption):
        made.append(Piece(text=caption[before:]))
    return made


@given(caption=texts, names=regions)
@settings(max_examples=80, deadline=None)
def test_words_are_found_as_trying_every_phrase_everywhere_finds_them(
    caption: str, names: dict[int, list[str]]
) -> None:
    assert link_caption(caption, names) == plain(caption, names)


@given(
    caption=st.text(max_size=40), names=st.dictionaries(st.integers(1, 4), st.lists(st.text(max_size=6), max_size=3))
)
@settings(max_examples=100, deadline=None)
def test_pieces_joined_are_the_caption_whatever_the_letters(caption: str, names: dict[int, list[str]]) -> None:
    pieces = link_caption(caption, names)
    assert "".join(piece.text for piece in pieces) == caption
    assert all(piece.text for piece in pieces)
    assert all(set(piece.numbers) <= set(names) for piece in pieces)


def test_longer_names_win_and_plurals_count() -> None:
    names = {1: ["red top"], 2: ["top"], 3: ["woman", "person"], 4: ["glass"]}
    pieces = link_caption("Two persons in a Red  top, one top; glasses.", names)
    named = [(piece.text, piece.numbers) for piece in pieces if piece.numbers]
    assert named == [("persons", (3,)), ("Red  top", (1,)), ("top", (2,)), ("glasses", (4,))]


def test_one_word_may_name_several_regions_and_the_rest_are_told() -> None:
    pieces = link_caption("a person", {1: ["person"], 2: ["person"], 3: ["dog"]})
    assert pieces == [Piece(text="a "), Piece(text="person", numbers=(1, 2))]
    assert unnamed(pieces, [1, 2, 3]) == [3]


def test_parts_of_words_are_no_names() -> None:
    assert link_caption("a hotdog", {1: ["dog"]}) == [Piece(text="a hotdog")]
