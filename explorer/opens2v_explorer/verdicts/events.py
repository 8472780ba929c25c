"""One decision of one reviewer, as it is logged: checked when made, never changed."""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from opens2v_explorer.verdicts.targets import KINDS, Kind, clips_of

VERDICTS: dict[Kind, tuple[str, ...]] = {
    "clip": ("keep", "drop", "flag"),
    "subject": ("ok", "bad"),
    "pair": ("same", "different", "unsure"),
    "view": ("same", "different", "unsure"),
}
"""What may be said of each kind."""

UNDO = "undo"
"""The verdict of an event that takes back the event it names in `undoes`."""

ROUNDS = (1, 2)
"""2 is the blind second pass."""

MAX_WHO, MAX_TARGET, MAX_NOTE, MAX_REASON, MAX_REASONS = 64, 1024, 2000, 64, 16
"""Characters, and how many reasons: of what people type, so that no page can fill the disk by a slip."""

_HASH = re.compile(r"[0-9a-f]{0,128}")


@dataclass(frozen=True, kw_only=True)
class Event:
    """What a reviewer decided, or took back.

    Attributes:
        event_id: a UUID that the browser chose, so that the same event sent twice is logged once.
        at: when, by the browser's clock: ISO 8601, UTC, milliseconds, `2026-11-25T19:16:24.051Z`.
        who: the reviewer.
        kind: what is judged.
        target: which, see `targets`.
        verdict: one of `VERDICTS[kind]`, or "undo".
        reasons: in the reviewer's order.
        note: free text, "" for none.
        undoes: the event that this one takes back; None but for "undo".
        filter_hash: of the filter that the queue was made by; "" for none.
        catalog_digest: of the catalog that was shown.
        round: 1, or 2 for the blind second pass.
    """

    event_id: str
    at: str
    who: str
    kind: Kind
    target: str
    verdict: str
    catalog_digest: str
    reasons: tuple[str, ...] = ()
    note: str = ""
    undoes: str | None = None
    filter_hash: str = ""
    round: int = 1

    def __post_init__(self) -> None:
        for name in ("event_id", "at", "who", "kind", "target", "verdict", "catalog_digest", "note", "filter_hash"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} must be a text, got {getattr(self, name)!r}")
        object.__setattr__(self, "event_id", _uuid("event_id", self.event_id))
        object.__setattr__(self, "at", _utc(self.at))
        object.__setattr__(self, "who", _line("who", self.who.strip(), at_most=MAX_WHO))
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        _line("target", self.target, at_most=MAX_TARGET)
        clips_of(self.kind, self.target)
        if self.verdict not in (*VERDICTS[self.kind], UNDO):
            known = ", ".join((*VERDICTS[self.kind], UNDO))
            raise ValueError(f"a verdict on a {self.kind} is one of {known}, got {self.verdict!r}")
        if (self.undoes is not None) != (self.verdict == UNDO):
            raise ValueError(
                f"undoes names an event where the verdict is undo, and only there, got {self.undoes!r} with {self.verdict!r}"
            )
        if self.undoes is not None:
            object.__setattr__(self, "undoes", _uuid("undoes", self.undoes))
        object.__setattr__(self, "reasons", _reasons(self.reasons))
        _text("note", self.note, at_most=MAX_NOTE)
        for name, is_needed in (("catalog_digest", True), ("filter_hash", False)):
            text = getattr(self, name)
            if not _HASH.fullmatch(text) or (is_needed and not text):
                raise ValueError(f"{name} must be hexadecimal, 128 digits at most, got {text[:140]!r}")
        if type(self.round) is not int or self.round not in ROUNDS:
            raise ValueError(f"round must be 1 or 2, got {self.round!r}")

    @classmethod
    def from_json(cls, value: object) -> Event:
        """Make one from what `to_json` gives, or a browser sends.

        Raises:
            ValueError: a field is missing, unknown or wrong; the message names it.
        """
        if not isinstance(value, Mapping):
            raise ValueError(f"an event is an object with names, got {type(value).__name__}")
        known = {field.name for field in fields(cls)}
        if unknown := sorted(str(name) for name in set(value) - known):
            raise ValueError(f"an event has no field {unknown[0][:80]!r}; it has {', '.join(sorted(known))}")
        needed = ("event_id", "at", "who", "kind", "target", "verdict", "catalog_digest")
        if missing := [name for name in needed if name not in value]:
            raise ValueError(f"an event needs {', '.join(needed)}; {missing[0]} is missing")
        return cls(**value)

    @classmethod
    def logged(cls, values: Mapping[str, Any]) -> Event:
        """Make one from a row of the log, all of whose rows were checked when they were added: a tenth of the time."""
        event = object.__new__(cls)
        event.__dict__.update(values)
        return event

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self) | {"reasons": list(self.reasons)}


def now() -> str:
    """Return the time as an event has it."""
    return _utc(datetime.now(UTC).isoformat())


def new_id() -> str:
    """Return an id for an event."""
    return str(uuid.uuid4())


def _uuid(name: str, text: object) -> str:
    try:
        return str(uuid.UUID(str(text)))
    except ValueError as error:
        raise ValueError(f"{name} must be a UUID, got {str(text)[:80]!r}") from error


def _utc(text: str) -> str:
    """Return a time with one spelling, so that the order of texts is that of times."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError("no time zone")
        found = found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"at must be a time like 2026-11-25T19:16:24.051Z, got {text[:80]!r}") from error
    return f"{found:%Y-%m-%dT%H:%M:%S}.{found.microsecond // 1000:03d}Z".rjust(24, "0")


def _reasons(reasons: object) -> tuple[str, ...]:
    if not isinstance(reasons, list | tuple) or len(reasons) > MAX_REASONS:
        raise ValueError(f"reasons must be a list of {MAX_REASONS} texts at most, got {repr(reasons)[:80]}")
    for reason in reasons:
        if not isinstance(reason, str):
            raise ValueError(f"a reason must be a text, got {reason!r}")
        _line("a reason", reason, at_most=MAX_REASON)
    return tuple(dict.fromkeys(reasons))


def _line(name: str, text: str, *, at_most: int) -> str:
    _text(name, text, at_most=at_most)
    if not text or any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text):
        raise ValueError(f"{name} must be one line that is not empty, got {text[:80]!r}")
    return text


def _text(name: str, text: str, *, at_most: int) -> None:
    if len(text) > at_most:
        raise ValueError(f"{name} must have {at_most:,} characters at most, has {len(text):,}")
    # SQLite takes no half of a surrogate pair, which JSON can hold, and ends a text at NUL when it prints it.
    if any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in text):
        raise ValueError(f"{name} must be Unicode text, got {text[:80]!r}")
