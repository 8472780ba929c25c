"""One process at a time per share of an ingest, or per folder; the kernel lets go when a process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from opens2v_data.errors import CatalogError, IngestError


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


@contextmanager
def locked_folder(folder: Path, *, busy: str) -> Iterator[None]:
    """Hold a folder itself, without a file in it; on a file system without locks, as Lustre may be mounted, hold nothing.

    Args:
        folder: may be on a read-only disk.
        busy: what to say where another process holds it.

    Raises:
        CatalogError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CatalogError(busy) from error
        except OSError:
            pass
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a fork has a copy
        os.close(descriptor)


def refuse_beside_shares(work: Path) -> None:
    """A run of all units and one of a share would do, and clear away, each other's."""
    for path in work.glob("lock-*-of-*"):
        index, _, count = path.name.removeprefix("lock-").split("-")
        with locked(work, (int(index), int(count))):
            pass
