"""What caption queries say, and what is told of those that say nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opens2v_data.errors import QueryError
from opens2v_data.search.terms import MAX_DEPTH, MAX_WORDS, AllOf, AnyOf, Phrase, Without, parse_query

PIECES = ["(", ")", '"', "-", "+", "*", " ", "AND", "OR", " NOT ", "a", "é", "\0", "\\", "?", "'", "%", "\ud800"]
RED, CAR, DOG = (Phrase(words=(word,)) for word in ("red", "car", "dog"))


@pytest.mark.parametrize(
    ("query", "term"),
    [
        ("red", RED),
        ("  RED\n", RED),
        ("red car", AllOf(parts=(RED, CAR))),
        ("red AND car", AllOf(parts=(RED, CAR))),
        ("+red +car", AllOf(parts=(RED, CAR))),
        ('"red car"', Phrase(words=("red", "car"))),
        ("red-car", Phrase(words=("red", "car"))),
        ("red, car", AllOf(parts=(RED, CAR))),
        ("red OR car dog", AnyOf(parts=(RED, AllOf(parts=(CAR, DOG))))),
        ("(red OR car) dog", AllOf(parts=(AnyOf(parts=(RED, CAR)), DOG))),
        ("-red", Without(part=RED)),
        ("NOT red car", AllOf(parts=(Without(part=RED), CAR))),
        ("car -(red OR dog)", AllOf(parts=(CAR, Without(part=AnyOf(parts=(RED, DOG)))))),
        ("NOT -red", RED),
        ("and", Phrase(words=("and",))),
        ('"AND"', Phrase(words=("and",))),
        ('car"dog"red', AllOf(parts=(CAR, DOG, RED))),
        ("don't", Phrase(words=("don", "t"))),
        ("50%_off", Phrase(words=("50", "off"))),
        ("'red'", RED),
    ],
)
def test_a_query_says(query: str, term: object) -> None:
    assert parse_query(query) == term


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", r"at character 1: expected at least one word, found none"),
        (" \t\n", r"at character 1: expected at least one word, found none"),
        ("red (car", r"at character 5: this '\(' is never closed\n  red \(car\n      \^\nan example: "),
        ("red) car", r"at character 4: found a '\)' that closes nothing"),
        ('red "car', r"at character 5: this quote is never closed"),
        ("()", r"at character 2: expected a word, found '\)'"),
        ("red OR", r"at character 7: expected a word, found the end of the query"),
        ("OR red", r"at character 1: expected a word, found the operator OR; in small letters it is a word"),
        ("red AND OR car", r"at character 9: expected a word, found the operator OR"),
        ("red -", r"at character 6: expected a word, found the end of the query"),
        ("cats & dogs", r"at character 6: expected a word, found '&', which has no letter or digit"),
        ('""', r"at character 1: expected a word, found '', which has no letter"),
        ("guit*", r"at character 1: a \* stands for nothing here"),
        ("red \ud800", r"at character 5: half of a surrogate pair is no text"),
        ("a" * 2_001, r"expected at most 2000 characters, found 2001"),
        ("a " * (MAX_WORDS + 1), rf"expected at most {MAX_WORDS} words"),
        ("(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1), rf"expected brackets at most {MAX_DEPTH} deep"),
    ],
)
def test_a_query_that_says_nothing_is_refused_with_its_place(query: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        parse_query(query)


def test_the_message_shows_the_place_of_a_long_query_on_one_line() -> None:
    with pytest.raises(QueryError, match="never closed") as caught:
        parse_query("word\n" * 40 + '"open ' + "word " * 40)
    _, shown, mark, _ = str(caught.value).split("\n")
    assert shown[mark.index("^")] == '"' and len(shown) < 130


@settings(max_examples=300, deadline=None)
@given(st.text() | st.lists(st.sampled_from(PIECES)).map("".join))
@example("\udfff")
@example("NOT " * 400)
@example("-" * 2_000)
@example("a OR " * 100)
def test_any_text_is_a_query_or_is_refused_with_an_example(query: str) -> None:
    try:
        parse_query(query)
    except QueryError as error:
        told = str(error)
    else:
        return
    assert "at character" in told and "an example: " in told
