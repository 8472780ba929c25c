"""What became of clips in a loader, and where its time went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Stage = Literal["fetch", "decode"]


@dataclass(frozen=True, kw_only=True)
class BadClip:
    """A row that could not be handed out.

    Attributes:
        epoch, step, slot: where it was to be.
        source, row: which it was.
        key, part: of its clip.
        stage: "fetch" (its bytes) or "decode" (its frames or pictures).
        reason: in words.
        replaced_by: the spare's row of the same source and bucket; None: the slot stays empty.
    """

    epoch: int
    step: int
    slot: int
    source: str
    row: int
    key: str
    part: str
    stage: Stage
    reason: str
    replaced_by: int | None


@dataclass(kw_only=True)
class Timing:
    """Where time went, in seconds, summed over threads; bytes and clips besides.

    Attributes:
        rows_seconds, fetch_seconds: of the feeder: reading tables, waiting for bytes.
        decode_seconds: of all decode threads, spares' bytes included.
        wait_seconds: of the caller, for batches.
        num_bytes: of the mp4s that were read.
        num_decoded: clips that gave a sample.
    """

    rows_seconds: float = 0.0
    fetch_seconds: float = 0.0
    decode_seconds: float = 0.0
    wait_seconds: float = 0.0
    num_bytes: int = 0
    num_decoded: int = 0
