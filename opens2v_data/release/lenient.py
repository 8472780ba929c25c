"""Parse JSON that strict parsers refuse, naming what was repaired."""

from __future__ import annotations

import json
import math
from typing import Any


def parse_leniently(value: bytes) -> tuple[Any, list[str]]:
    """Parse one JSON value with stdlib's parser, which takes NaN, lone surrogates and raw control characters.

    msgspec refuses all three, and calls lone surrogates "truncated".

    Returns:
        The value, with None for NaN and infinities and U+FFFD for lone surrogates and invalid UTF-8; and the quirks met,
        `nan` and `text-repaired`.

    Raises:
        ValueError: no JSON, or nested too deeply.
    """
    text = value.decode("utf-8", "replace")
    quirks = {"text-repaired"} if "\ufffd" in text and "\ufffd".encode() not in value else set()
    try:
        tree = _repair(json.loads(text, strict=False), quirks)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return tree, sorted(quirks)


def _repair(node: Any, quirks: set[str]) -> Any:
    if isinstance(node, dict):
        return {_repair(key, quirks): _repair(value, quirks) for key, value in node.items()}
    if isinstance(node, list):
        return [_repair(value, quirks) for value in node]
    if isinstance(node, float) and not math.isfinite(node):
        quirks.add("nan")
        return None
    if isinstance(node, str) and not node.isascii():
        repaired = node.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        if repaired != node:
            quirks.add("text-repaired")
        return repaired
    return node
