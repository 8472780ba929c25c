"""What a verdict is about, as one text that means the same in every catalog of the release.

    clip       total_part1/KEY
    subject    total_part1/KEY#OBJECT_ID
    pair       total_part1/KEY#OBJECT_ID|total_part2/KEY#OBJECT_ID     the lesser text first: a pair has no direction
    view       total_part1/KEY@VIEW_IDX/CLASS NAME

Keys are upstream's and unique within a part only, so the part stands before them, as in `OpenS2V.get`. Should a key hold one of
`#`, `@`, `|` or `%`, these are percent-encoded.
"""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["clip", "subject", "pair", "view"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_MARKS = {"%": "%25", "#": "%23", "|": "%7C", "@": "%40"}


def clip_target(part: str, clip_key: str) -> str:
    """Return the text of a clip."""
    return _escaped(f"{part}/{clip_key}")


def subject_target(part: str, clip_key: str, object_id: int) -> str:
    """Return the text of a subject of a clip."""
    return f"{clip_target(part, clip_key)}#{object_id}"


def pair_target(one: str, other: str) -> str:
    """Return the text of a pair of subjects, the same in either order.

    Args:
        one, other: as `subject_target` gives them.
    """
    return "|".join(sorted((one, other)))


def view_target(part: str, clip_key: str, view_idx: int, class_name: str) -> str:
    """Return the text of a GPT-Image-1 view."""
    return f"{clip_target(part, clip_key)}@{view_idx}/{class_name}"


def clips_of(kind: Kind, target: str) -> tuple[str, ...]:
    """Return the clips that a target is of, as `part/clip_key`: one, or two of a pair.

    Raises:
        ValueError: no such target.
    """
    if kind == "clip":
        return (_clip(target),)
    if kind == "subject":
        return (_subject(target)[0],)
    if kind == "pair":
        return (subjects_of(target)[0][0], subjects_of(target)[1][0])
    if kind == "view":
        clip, at, rest = target.partition("@")
        view_idx, slash, class_name = rest.partition("/")
        if not (at and slash and class_name and view_idx.isdecimal()):
            raise ValueError(f"expected a view as PART/KEY@VIEW_IDX/CLASS, found {target!r}")
        return (_clip(clip),)
    raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")


def subjects_of(target: str) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return the two subjects of a pair, each as `part/clip_key` and object id.

    Raises:
        ValueError: no such target.
    """
    sides = target.split("|")
    if len(sides) != 2 or sides != sorted(sides):
        raise ValueError(f"expected a pair as SUBJECT|SUBJECT, the lesser first, found {target!r}")
    return _subject(sides[0]), _subject(sides[1])


def _clip(text: str) -> str:
    part, slash, key = text.rpartition("/")
    if not (slash and part and key) or any(mark in text for mark in "#|@"):
        raise ValueError(f"expected a clip as PART/KEY, found {text!r}")
    return _plain(text)


def _subject(text: str) -> tuple[str, int]:
    clip, mark, object_id = text.partition("#")
    if not (mark and object_id.isdecimal()):
        raise ValueError(f"expected a subject as PART/KEY#OBJECT_ID, found {text!r}")
    return _clip(clip), int(object_id)


def _escaped(text: str) -> str:
    return "".join(_MARKS.get(letter, letter) for letter in text)


def _plain(text: str) -> str:
    for mark, written in reversed(_MARKS.items()):
        text = text.replace(written, mark)
    return text
