"""What did the judge say? A score, a refusal, or words without either; told apart, and never guessed.

A score is read from JSON that has a `score`, from a bare number, or from words that name it: `Score: 4`, `4/5`, `rate it a 4`.
Words that name two different scores have none. Digits that are something else (`16 frames`, `from 1 to 5`) are no score.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["score", "refusal", "unreadable"]
LOWEST, HIGHEST = 1, 5

# What the judge is asked to answer with, where the server knows of schemas.
ANSWER_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "naturalness",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"score": {"type": "integer", "enum": list(range(LOWEST, HIGHEST + 1))}},
            "required": ["score"],
            "additionalProperties": False,
        },
    },
}

_NUMBER = r"([1-5](?:\.\d+)?)"
_END = r"(?![\d%])(?!\.\d)(?!\s*(?:-|–|—|to|and)\s*\d)"
_BARE = re.compile(rf"{_NUMBER}(?:\s*/\s*5(?:\.0+)?)?")
_NAMED = (
    re.compile(
        rf"\b(?:score|rating|naturalness|answer)\b(?:\s+(?:is|of|would be|as))?\s*[:=]?\s*(?:a\s+)?{_NUMBER}{_END}",
        re.I,
    ),
    re.compile(
        rf"\b(?:rate|score|give)\s+(?:this|it|the)(?:\s+(?:video|clip))?\s+(?:as\s+)?(?:an?\s+)?{_NUMBER}{_END}", re.I
    ),
    re.compile(rf"(?<![\d.]){_NUMBER}\s*(?:/|out of)\s*5\b(?!\.\d*[1-9])", re.I),
    re.compile(rf"^{_NUMBER}\s*(?:[—–:)]|-\s|\.\s|\n)\s*(?!\d)"),
)
_REFUSAL = re.compile(
    r"\bsorry\b|\b(?:can(?:no|')?t|cannot|unable|not able|won't|will not|decline|refuse)\b.{0,60}?"
    r"\b(?:help|assist|comply|evaluate|rate|judge|score|analy[sz]e|identify|provide|process|do (?:that|this)|"
    r"(?:view|see|access) (?:the |these |any )?(?:images?|frames?|videos?))\b",
    re.I | re.S,
)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of the judge.

    Attributes:
        outcome: `score`, `refusal`, or `unreadable` for words that are neither.
        score: 1 to 5; None unless the outcome is `score`.
        text: as it came.
        model: who answered, by the server's word.
        form: whether the server was asked for JSON by a schema, or in words only.
        usage: tokens, as the server counts them.
        requests: how many it took, failed ones included.
        is_stored: whether it was there from an earlier run, and nothing was asked.
    """

    outcome: Outcome
    score: float | None
    text: str
    model: str = ""
    form: Literal["schema", "words"] = "schema"
    usage: Mapping[str, int] = field(default_factory=dict)
    requests: int = 1
    is_stored: bool = False

    def __post_init__(self) -> None:
        if (self.score is not None) != (self.outcome == "score"):
            raise ValueError(f"an answer has a score or another outcome, not {self.outcome} and {self.score}")

    @property
    def written(self) -> str:
        """What upstream's file has for it: `4`, or the words of a refusal."""
        return self.text if self.score is None else f"{self.score:g}"

    def as_json(self) -> dict[str, Any]:
        """Return its fields."""
        return {**asdict(self), "usage": dict(self.usage)}


def read_answer(text: str) -> tuple[Outcome, float | None]:
    """Return what an answer is, and its score."""
    plain = re.sub(r"[*_`#]", "", text).strip()
    score = _score_of_json(text)
    if score is None and (match := _BARE.fullmatch(plain.strip(" .\"'"))):
        score = _in_range(match[1])
    if score is None:
        named = {_in_range(match[1]) for pattern in _NAMED for match in pattern.finditer(plain)}
        score = named.pop() if len(named) == 1 else None
    if score is not None:
        return "score", score
    return ("refusal" if _REFUSAL.search(plain) else "unreadable"), None


def _score_of_json(text: str) -> float | None:
    """Return the score of the first JSON object in a text that has one; fences and words around it do not matter."""
    for match in re.finditer(r"\{", text):
        try:
            found, _ = json.JSONDecoder().raw_decode(text, match.start())
        except ValueError:
            continue
        if isinstance(found, dict) and "score" in found:
            value = found["score"]
            return None if isinstance(value, bool) else _in_range(value)
    return None


def _in_range(value: object) -> float | None:
    try:
        number = float(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        return None
    return number if LOWEST <= number <= HIGHEST else None
