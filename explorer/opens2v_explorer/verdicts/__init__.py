"""What reviewers decided: a log of events, and what stands."""

from opens2v_explorer.verdicts.events import UNDO, VERDICTS, Event
from opens2v_explorer.verdicts.store import AddResult, Refusal, Tally, VerdictStore
from opens2v_explorer.verdicts.targets import (
    KINDS,
    Kind,
    clip_target,
    clips_of,
    pair_target,
    subject_target,
    view_target,
)

__all__ = [
    "KINDS",
    "UNDO",
    "VERDICTS",
    "AddResult",
    "Event",
    "Kind",
    "Refusal",
    "Tally",
    "VerdictStore",
    "clip_target",
    "clips_of",
    "pair_target",
    "subject_target",
    "view_target",
]
