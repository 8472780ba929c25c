"""One process at a time per share of an ingest; the kernel lets go when a process ends, however it ends."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opens2v_data.errors import IngestError


class BusyError(IngestError):
    """Another process holds the lock."""


@contextmanager
def locked(
    work: Path, shard: tuple[int, int] | None, *, name: str | None = None, what: str | None = None
) -> Iterator[None]:
    """Hold this shard, or the lock of another name; the kernel lets go when the process ends, however it ends.

    Raises:
        BusyError: another process holds it; `what` says what it does.
    """
    if name is None:
        name = "lock" if shard is None else f"lock-{shard[0]}-of-{shard[1]}"
    try:
        file = (work / name).open("w")
    except FileNotFoundError as error:
        raise BusyError(
            f"another process finished {work.parent} just now; run again to see whether it is complete"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            share = "" if shard is None else f" as shard {shard[0]}/{shard[1]}"
            raise BusyError(
                f"another process is {what or f'ingesting into {work.parent}'}{share}; "
                "wait for it, or give this one another --shard"
            ) from error
        yield


def refuse_beside_shares(work: Path) -> None:
    """A run of all units and one of a share would do, and clear away, each other's."""
    for path in work.glob("lock-*-of-*"):
        index, _, count = path.name.removeprefix("lock-").split("-")
        with locked(work, (int(index), int(count))):
            pass
