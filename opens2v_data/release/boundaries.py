r"""Where does a record of a huge JSON object begin, and where do its members end? Told from bytes; no value is parsed.

    …"score": [0.99]}}}},\n    "clip_b": {\n        "metadata": {"cut": …
                       12      3       4 5          6
    1 closing bracket   2 comma   3 quoted key   4 colon   5 opener   6 first inner key

A *boundary* is these six in a row; the opener and the first inner key are told by the head of the file (`"metadata"` for
annotations, `"cur_id"` for pairs, where records open with `[{`). Why it cannot be text inside a string: in `{"metadata"` the
quote cannot close a string (a letter follows), so it opens one; so the brace before it is structure, and so is all that is
matched backwards from there. Only the depth is assumed: `hugejson` looks further where that matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

SPACE = b" \t\r\n"
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]"]', re.DOTALL)
"""A string, a bracket, or the quote of a string that does not end in the range."""
_OPENING = re.compile(
    rb'"(?:[^"\\]|\\.)*"\s*:\s*(?P<opener>\[\s*\{|\{)\s*(?P<first>"(?:[^"\\]|\\.)*")\s*:',
    re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How the records of a file open.

    Attributes:
        opener: brackets between a record's colon and its first inner key, without white space: `{` or `[{`.
        first: the first inner key with its quotes, as bytes of the file.
    """

    opener: bytes
    first: bytes


@dataclass(frozen=True, slots=True)
class Member:
    """One `"key": value` of an object: half-open byte ranges of the key (with quotes) and the value."""

    key_lo: int
    key_hi: int
    value_lo: int
    value_hi: int


def shape_of(head: bytes, first: int) -> Shape | None:
    """Learn how records open from the first one; where that is empty or no object, from the first that is."""
    match = _OPENING.match(head, first)
    if match is None:
        members, rest = scan_members(head, first)
        starts = (*(member.key_lo for member in members), rest)
        match = next((found for start in starts if (found := _OPENING.match(head, start))), None)
    return Shape(opener=re.sub(rb"\s", b"", match["opener"]), first=match["first"]) if match is not None else None


def boundaries(
    data: bytes | bytearray, shape: Shape, end: int | None = None, *, first_at: int | None = None
) -> Iterator[int]:
    """Give the offsets of the opening quotes of record keys in `data[:end]`.

    Args:
        data: bytes of the file.
        shape: how its records open.
        end: look no further.
        first_at: an offset known to be a record's start, which nothing need precede.
    """
    stop = len(data) if end is None else end
    at = data.find(shape.first, 0, stop)
    while at >= 0:
        start = record_start(data, at, shape, first_at)
        if start is not None:
            yield start
        at = data.find(shape.first, at + len(shape.first), stop)


def record_start(data: bytes | bytearray, at: int, shape: Shape, first_at: int | None = None) -> int | None:
    """Match backwards from a first inner key: opener, colon, quoted key, comma, closing bracket."""
    position = at
    for bracket in reversed(shape.opener):
        position = before_space(data, position) - 1
        if position < 0 or data[position] != bracket:
            return None
    position = before_space(data, position) - 1
    if position < 0 or data[position] != 0x3A:  # ":"
        return None
    closing = before_space(data, position) - 1
    if closing < 1 or data[closing] != 0x22:  # '"'
        return None
    opening = closing
    while True:
        opening = data.rfind(b'"', 0, opening)
        if opening < 0:
            return None
        slashes = opening
        while slashes > 0 and data[slashes - 1] == 0x5C:  # "\"
            slashes -= 1
        if (opening - slashes) % 2 == 0:
            break
    if opening == first_at:
        return opening
    position = before_space(data, opening) - 1
    if position < 0 or data[position] != 0x2C:  # ","
        return None
    position = before_space(data, position) - 1
    if position < 0 or data[position] != (0x7D if shape.opener[0] == 0x7B else 0x5D):  # "}" or "]"
        return None
    # The colon after the first inner key makes it a key and not a string in a list.
    after = at + len(shape.first)
    while after < len(data) and data[after] in SPACE:
        after += 1
    return opening if after >= len(data) or data[after] == 0x3A else None


def scan_members(
    data: bytes, lo: int, hi: int | None = None, *, max_members: int | None = None
) -> tuple[list[Member], int]:
    """Split `"key": value, "key": value, …` by counting brackets outside strings; values are not parsed.

    Args:
        data: bytes that start at a key at `lo`.
        lo, hi: the half-open range to split.
        max_members: stop after so many.

    Returns:
        The whole members, and where the scan stopped: at `hi` when all was split, at the closing bracket that nothing in the
        range opens, or at the start of the first member that does not end inside the range.
    """
    end = len(data) if hi is None else hi
    members: list[Member] = []
    position = lo
    while True:
        position = _skip(data, position, end, b",")
        if position >= end or data[position] in b"}]":
            return members, min(position, end)
        key_lo = position
        key = _TOKEN.match(data, key_lo, end)
        if key is None or data[key_lo] != 0x22 or key.end() == key_lo + 1:
            return members, key_lo
        colon = _skip(data, key.end(), end)
        if colon >= end or data[colon] != 0x3A:
            return members, key_lo
        value_lo = _skip(data, colon + 1, end)
        if value_lo >= end:
            return members, key_lo
        value_hi = _value_end(data, value_lo, end)
        if value_hi is None:
            return members, key_lo
        members.append(Member(key_lo, key.end(), value_lo, value_hi))
        if max_members is not None and len(members) >= max_members:
            return members, value_hi
        position = _skip(data, value_hi, end)
        if position < end and data[position] not in b",}]":
            return members[:-1], key_lo


def _value_end(data: bytes, lo: int, end: int) -> int | None:
    """Return where the JSON value at `lo` ends, or None when the range ends first."""
    if data[lo] not in b'{["':
        at = lo
        while at < end and data[at] not in b",}] \t\r\n":
            at += 1
        return at if at < end and at > lo else None
    depth = 0
    for token in _TOKEN.finditer(data, lo, end):
        first = data[token.start()]
        if first == 0x22 and token.end() - token.start() == 1:
            return None
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
        if depth == 0:
            return token.end()
    return None


def text_of(quoted: bytes) -> str | None:
    """Return what a quoted string says, as far as it can be read; None where it is no string."""
    try:
        return msgspec.json.decode(quoted, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = quoted[1:-1].decode("utf-8", "replace")
        return text if quoted.startswith(b'"') else None


def key_at(data: bytes | bytearray, lo: int) -> str | None:
    """Return the key whose opening quote is at an offset; None where no string begins there."""
    token = _TOKEN.match(data, lo)
    return text_of(token.group()) if token is not None and token.group().startswith(b'"') else None


def _skip(data: bytes, position: int, end: int, also: bytes = b"") -> int:
    while position < end and (data[position] in SPACE or data[position] in also):
        position += 1
    return position


def before_space(data: bytes | bytearray, position: int) -> int:
    """Return where the white space that ends at an offset begins."""
    while position > 0 and data[position - 1] in SPACE:
        position -= 1
    return position
