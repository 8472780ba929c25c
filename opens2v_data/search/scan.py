"""Search captions without an index: the same answer as SQL, which reads every caption.

5 M captions of 60 words are 2 GB of text: a scan of them for one word takes 5 CPU-seconds, where the index takes 9 ms. By the
pattern alone it would be 15: first asking whether the text has the word at all, as bytes, spares most captions that.
"""

from __future__ import annotations

from opens2v_data.search.terms import AllOf, AnyOf, Phrase, Term, parse_query
from opens2v_data.search.words import BETWEEN


def scan_condition(query: str) -> tuple[str, list[str]]:
    """Return a condition over `clip_id` that a caption query stands for, and the values of its `?`, in order.

    The clips are those that `CaptionSearch.ids` gives: whole words in any case, phrases, AND, OR and NOT alike. A clip without a
    caption has no words, so `-night` finds it.

    Raises:
        QueryError: no caption query; the message shows where.
    """
    values: list[str] = []
    condition = _condition(parse_query(query), values)
    # The text is told once: every word of the query asks it again.
    captions = "SELECT clip_id, lower(coalesce(caption, '')) AS words FROM captions"
    return f"clip_id IN (SELECT clip_id FROM ({captions}) WHERE {condition})", values


def _condition(term: Term, values: list[str]) -> str:
    if isinstance(term, Phrase):
        # The longest word first, as plain bytes: most captions do not have it, and finding that out is cheaper than a pattern.
        values += [max(term.words, key=len), phrase_pattern(term.words)]
        return "(contains(words, ?) AND regexp_matches(words, ?))"
    if isinstance(term, AllOf | AnyOf):
        operator = " AND " if isinstance(term, AllOf) else " OR "
        return f"({operator.join(_condition(part, values) for part in term.parts)})"
    return f"(NOT {_condition(term.part, values)})"


def phrase_pattern(words: tuple[str, ...]) -> str:
    """Return RE2's pattern of whole words side by side, for text in lower case.

    Words are letters, digits and marks alone, none of which means anything in a pattern.
    """
    return f"(?:^|{BETWEEN}){f'{BETWEEN}+'.join(words)}(?:$|{BETWEEN})"
