"""How much time each clip has had, and whether that is all it may take.

    opening     a piece's size is asked for: `open_seconds`, as the Hub may let that wait for its quota's next window
    reading     from the start of its first request on: `deadline_seconds`, and a second for each 64 KiB of that request

While a store says that it sleeps because the server told it to (`counters.waiting_until`), clocks stand still, each for
`open_seconds` at most.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opens2v_data.archive.plan import place_of
from opens2v_data.errors import DeadlineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opens2v_data.archive.plan import Clip, Request
    from opens2v_data.archive.stores import Store
    from opens2v_data.archive.wanted import FetchOptions
    from opens2v_data.errors import ArchiveError

_SLOWEST_BYTES_PER_SECOND = 1 << 16


class Clocks:
    """The clocks of a crew's clips. Not safe from threads by itself; all times are of the monotonic clock, in seconds.

    Args:
        store: whose sleeps count for nobody.
        options: how much time there is.
    """

    def __init__(self, store: Store, options: FetchOptions) -> None:
        self._store, self._options = store, options
        self._still_seconds = 0.0  # in which clocks stood still
        self._still_at = time.monotonic()

    def look(self, now: float) -> float:
        """Stop the clocks for as long as the store slept because the server said so; return until when it will.

        Time is counted from the last look on: when a sleep began is not known. A look comes with each tick and each read.
        """
        until = _waiting_until(self._store)
        if now > self._still_at:
            self._still_seconds += max(0.0, min(now, until) - self._still_at)
            self._still_at = now
        return until

    def ticked(self, now: float) -> float:
        """Return the time by the crew's clock, which has stood still without an end."""
        return now - self._still_seconds

    def start(self, clip: Clip, request: Request, now: float) -> bool:
        """Start the clock of a clip that is to be read, unless it runs or the clip has ended; return whether it did."""
        if clip.deadline is not None or clip.result is not None:
            return False
        time_allowed = self._options.deadline_seconds + request.length / _SLOWEST_BYTES_PER_SECOND
        clip.deadline = self._time_of(clip, now) + time_allowed
        return True

    def begin_opening(self, clips: Sequence[Clip], now: float) -> list[float]:
        """Give clips time of its own for their piece; return when it began, for `end_opening`."""
        began = [self._time_of(clip, now) for clip in clips]
        for clip, clip_began in zip(clips, began, strict=True):
            clip.num_opening += 1
            clip.opening_until = clip_began + self._options.open_seconds
        return began

    def end_opening(self, clips: Sequence[Clip], began: Sequence[float], now: float) -> None:
        """Let clips whose clocks ran before go on with the time they had then."""
        for clip, clip_began in zip(clips, began, strict=True):
            clip.num_opening -= 1
            if clip.deadline is not None:
                clip.deadline += self._time_of(clip, now) - clip_began

    def is_over(self, clip: Clip, now: float) -> bool:
        """Say whether a clip's time is over."""
        due = clip.opening_until if clip.num_opening else clip.deadline
        return due is not None and self._time_of(clip, now) >= due

    def is_over_after(self, clip: Clip, wait: float, now: float, *, sleeps_until: float) -> bool:
        """Say whether the time of a clip that is being read will be over when so many seconds have passed."""
        if clip.deadline is None:
            return False
        still_left = self._options.open_seconds - (self._still_seconds - (clip.still_before or 0.0))
        still = max(0.0, min(wait, sleeps_until - now, still_left))  # how much of the wait its clock will stand still
        return self._time_of(clip, now) + wait - still >= clip.deadline

    def too_late(self, clip: Clip, *, last: ArchiveError | None = None) -> DeadlineError:
        """Return what to say of a clip whose time is over; `last` is what went wrong before."""
        wanted = clip.wanted
        if clip.num_opening:
            what, time_allowed = "the size of its piece", f"{self._options.open_seconds:g} s"
        else:
            what = f"all of its {wanted.size_bytes} bytes"
            time_allowed = f"{self._options.deadline_seconds:g} s and 1 s per 64 KiB"
        return DeadlineError(
            f"deadline passed: {place_of(wanted)}: {what} did not come in {time_allowed}; check the connection and fetch it "
            "again, or allow more time" + (f". At last: {last}" if last is not None else "")
        )

    def _time_of(self, clip: Clip, now: float) -> float:
        """Return the time by a clip's own clock."""
        if clip.still_before is None:
            clip.still_before = self._still_seconds
        return now - min(self._still_seconds - clip.still_before, self._options.open_seconds)


def _waiting_until(store: Store) -> float:
    """Return until when a store that counts sleeps because the server said so; else 0.0."""
    return getattr(getattr(store, "counters", None), "waiting_until", 0.0)
