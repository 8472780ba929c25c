"""What several test processes need and only read is made by the first that asks."""

from __future__ import annotations

import fcntl
import pickle
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")


def made_once(place: Path, make: Callable[[Path], T]) -> T:
    """Return what `make(place)` returned to the first process that asked; the others wait for it.

    Args:
        place: what `make` writes; beside it lie a lock and what was returned, pickled.
        make: writes `place`; called once, or again if it failed.

    Returns:
        What `make` returned, or an equal object.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    kept = place.with_name(f"{place.name}.pickle")
    with place.with_name(f"{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if kept.exists():
            return pickle.loads(kept.read_bytes())
        value = make(place)
        kept.write_bytes(pickle.dumps(value))
        return value
