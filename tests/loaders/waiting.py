"""Threads of a loader that was left: it waits for them for some seconds, in which those of a busy machine may not have ended."""

from __future__ import annotations

import threading
import time


def threads_left(count: int = 0) -> list[str]:
    """Return the names of the loaders' threads, once there are no more than so many."""
    give_up_at = time.monotonic() + 200
    while True:
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("opens2v-")]
        if len(names) <= count or time.monotonic() > give_up_at:
            return names
        time.sleep(0.01)
