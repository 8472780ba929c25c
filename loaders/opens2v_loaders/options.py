"""How a loader makes batches ahead, and what it does about bad clips."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

OnBad = Literal["replace", "skip", "raise"]


@dataclass(frozen=True, kw_only=True)
class LoaderOptions:
    """How batches are made ahead.

    Attributes:
        num_threads: that decode; None: one for each CPU that this process may use. Each takes one CPU.
        max_bytes_ahead: of decoded batches, the one being waited for included; at least one is open all the same. Besides
            these there are at most 128 MiB of fetched clips, two for each thread, and a picture for each thread; for a GPU,
            whose memory the batches are in, pinned buffers of 24 MiB, two more than threads (see `ring`).
        max_bad_share: with more bad clips than this share of those tried, and `min_bad` of them, iterating raises.
        min_bad: see `max_bad_share`.
    """

    num_threads: int | None = None
    max_bytes_ahead: int = 2 << 30
    max_bad_share: float = 0.1
    min_bad: int = 20

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            ValueError: names the value and what it may be.
        """
        if self.num_threads is not None and self.num_threads < 1:
            raise ValueError(f"num_threads must be 1 or more, or None, not {self.num_threads}")
        if self.max_bytes_ahead < 1 or self.min_bad < 0:
            raise ValueError(
                f"max_bytes_ahead must be 1 or more and min_bad 0 or more, not {self.max_bytes_ahead} and {self.min_bad}"
            )
        if not 0.0 <= self.max_bad_share <= 1.0:
            raise ValueError(f"max_bad_share must lie in [0, 1], not {self.max_bad_share}")

    @property
    def threads(self) -> int:
        """How many threads decode."""
        if self.num_threads is not None:
            return self.num_threads
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
