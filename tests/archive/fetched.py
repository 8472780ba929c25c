"""What tests of fetching ask of clips and of the threads that fetch them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from opens2v_data.archive.fetch import Delivered, Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from opens2v_data.archive.fetch import Wanted


def keys_and_bytes(clips: list[Delivered | Failed]) -> dict[Any, bytes]:
    return {clip.wanted.key: bytes(clip.data) for clip in clips if isinstance(clip, Delivered)}


def only(clips: list[Delivered | Failed]) -> Failed:
    assert len(clips) == 1
    assert isinstance(clips[0], Failed)
    return clips[0]


def delivered(clips: Iterable[Delivered | Failed]) -> Iterator[Delivered]:
    return (clip for clip in clips if isinstance(clip, Delivered))


def repeated(wanted: Wanted, num_clips: int) -> Iterator[Wanted]:
    return (replace(wanted, key=key) for key in range(num_clips))


def wait_until(is_so: Callable[[], bool], seconds: float = 100.0) -> bool:
    """Wait for what comes at once on a machine that is not busy; return whether it came."""
    end = time.monotonic() + seconds
    while not is_so() and time.monotonic() < end:
        time.sleep(0.005)
    return is_so()
