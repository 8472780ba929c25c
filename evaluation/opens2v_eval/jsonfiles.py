"""Read a JSON object whose faults have a place: line, column and byte offset."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opens2v_data.errors import EvaluationError


@dataclass(frozen=True, kw_only=True)
class JsonObject:
    """An object as it stands in a file.

    Attributes:
        members: its values by key, in the file's order; of a key that comes twice the last one.
        repeated: keys that come more than once, at any depth.
    """

    members: dict[str, Any]
    repeated: tuple[str, ...]


def read_object(path: Path, *, expected: str, error: type[EvaluationError]) -> JsonObject:
    """Read a file that holds one JSON object. `NaN` and `Infinity`, which JSON does not have, are read as floats.

    Args:
        path: the file.
        expected: what it should hold, for the message.
        error: the class to raise.
    """
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise error(f"{path}: expected {expected}; it cannot be read: {cause.strerror or cause}") from cause
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(
            f"{path}: expected {expected} in UTF-8; byte {cause.start} (0x{data[cause.start]:02x}) is none of it"
        ) from cause
    return parse_object(text, where=str(path), expected=expected, error=error)


def parse_object(text: str, *, where: str, expected: str, error: type[EvaluationError]) -> JsonObject:
    """Parse the text of one JSON object; see `read_object`."""
    repeated: list[str] = []

    def members_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            seen: set[str] = set()
            for key, _ in pairs:
                if key in seen and key not in repeated:
                    repeated.append(key)
                seen.add(key)
        return made

    try:
        value = json.loads(text, object_pairs_hook=members_of)
    except json.JSONDecodeError as cause:
        offset = len(text[: cause.pos].encode())
        raise error(
            f"{where}: expected {expected}; it is no JSON from line {cause.lineno}, column {cause.colno} "
            f"(byte {offset} of {len(text.encode())}) on: {cause.msg}"
        ) from cause
    except (RecursionError, ValueError) as cause:
        raise error(f"{where}: expected {expected}; it cannot be parsed: {cause}") from cause
    if not isinstance(value, dict):
        raise error(f"{where}: expected {expected}, an object by keys; found {kind_of(value)}")
    return JsonObject(members=value, repeated=tuple(repeated))


def kind_of(value: object) -> str:
    """Return what JSON calls a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        return f"the text {shortened(value)!r}"
    return "an array" if isinstance(value, list) else "an object"


def shortened(text: str, *, max_length: int = 60) -> str:
    """Return a text of one line that fits a message."""
    line = " ".join(text.split())
    return line if len(line) <= max_length else f"{line[: max_length - 1]}…"
