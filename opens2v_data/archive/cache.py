"""Clips kept on disk, so that they are fetched once: a folder that several processes share.

    ledger                            "<bytes> <limit>": what files and reservations come to; changed under a lock of the kernel
    <40 hex digits>-<size>.clip       a clip's bytes, then their CRC-32
    <random>-<size>.tmp               being written, and locked by its writer: a reservation of so many bytes

A writer adds a clip's size to the ledger before the first byte is written, and removes the clips unused for longest if that would
pass the limit. So the ledger is never below what lies on disk, and what lies there never above the limit, however many processes
write. Locks are `flock`s: a process that is killed gives them back, and the next that needs room finds its `.tmp` unlocked and
removes it. What it had reserved and not written stays in the ledger until then, which keeps less, never more.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import secrets
import threading
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from opens2v_data.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_VARIABLE = "OPENS2V_CACHE"

_LEDGER = "ledger"
_CLIP = re.compile(r"[0-9a-f]{40}-(\d+)\.clip")
_TMP = re.compile(r"[0-9a-f]{16}-(\d+)\.tmp")
_CRC_BYTES = 4
_ROOM_SHARE = 0.05  # removed at once, so that the folder is listed once per so much written and not once per clip
_LOCK_SECONDS = 10.0  # listing a million files takes some; who waits longer goes without the cache


def default_cache_folder() -> Path:
    """Return `$OPENS2V_CACHE`, else `opens2v/clips` in `$XDG_CACHE_HOME` or `~/.cache`."""
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "opens2v" / "clips"


def is_cache(root: str | os.PathLike[str]) -> bool:
    """Say whether a folder is a cache already; to open one makes it one."""
    return (Path(root) / _LEDGER).is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheKey:
    """What a clip is called in the cache.

    Attributes:
        source: where from, e.g. `hf://datasets/<owner>/<name>@<commit>`; bytes there must not change under the same name.
        part: e.g. `total_part1`.
        name: of the member.
        offset: first byte in the joined tar.
        size_bytes: of the member.
    """

    source: str
    part: str
    name: str
    offset: int
    size_bytes: int

    @property
    def file_name(self) -> str:
        """The file it is kept in: a hash, since names come from tars that others wrote."""
        text = "\0".join((self.source, self.part, self.name, str(self.offset), str(self.size_bytes)))
        return f"{hashlib.sha256(text.encode()).hexdigest()[:40]}-{self.size_bytes}.clip"


@dataclass(frozen=True, kw_only=True)
class CacheInfo:
    """What is in a cache.

    Attributes:
        root: its folder.
        num_files: clips.
        size_bytes: on disk, checksums included.
        limit_bytes: that it was last used with; None if never.
        oldest_used_at: when the clip unused for longest was last used, in seconds since 1970; None in an empty cache.
    """

    root: Path
    num_files: int
    size_bytes: int
    limit_bytes: int | None
    oldest_used_at: float | None


class ClipCache:
    """Clips in a folder, at most `limit_bytes` of them; those unused for longest go first.

    Threads and processes may share it, and it can be pickled. It never fails a fetch: what cannot be kept is not, and counted.

    Args:
        root: its folder, made when missing; by default `default_cache_folder()`.
        limit_bytes: None: as it was last used with, and nothing is kept if it never was.

    Attributes:
        num_not_kept: clips that this object could not keep: larger than the limit, a full disk, a lock that did not come free.
        why_not_kept: the reason for the last clip that was put; None where it is kept.

    Raises:
        ArchiveError: the folder cannot be made or written.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, *, limit_bytes: int | None = None) -> None:
        if limit_bytes is not None and limit_bytes < 0:
            raise ValueError(f"limit_bytes must not be negative, got {limit_bytes}")
        self.root = default_cache_folder() if root is None else Path(root)
        self.num_not_kept = 0
        self.why_not_kept: str | None = None
        self._lock = threading.Lock()
        self._count_lock = threading.Lock()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with self._ledger() as ledger:
                self.limit_bytes = ledger.limit_bytes or 0 if limit_bytes is None else limit_bytes
                if limit_bytes is not None:
                    ledger.limit_bytes = limit_bytes
                    if ledger.size_bytes > limit_bytes:  # made smaller
                        ledger.size_bytes = self._make_room(0)
        except OSError as error:
            raise ArchiveError(
                f"cache {self.root} cannot be used: {error}; check its permissions and the disk, or set {CACHE_VARIABLE}"
            ) from error

    def __repr__(self) -> str:
        return f"ClipCache({str(self.root)!r}, limit_bytes={self.limit_bytes})"

    def __reduce__(self) -> tuple[object, ...]:
        return _new_cache, (self.root, self.limit_bytes)

    def __contains__(self, key: CacheKey) -> bool:
        """Say whether there is a file for the clip; `get` still may find it damaged."""
        return os.path.exists(self.root / key.file_name)  # noqa: PTH110 - before Python 3.14 a Path's raises without permission

    def get(self, key: CacheKey) -> bytes | None:
        """Return a clip's bytes, or None where they are not kept; a damaged file is removed."""
        path = self.root / key.file_name
        try:
            with path.open("rb", buffering=0) as file:
                data = _read(file.fileno(), key.size_bytes)
                crc = os.read(file.fileno(), _CRC_BYTES + 1)
            if len(data) == key.size_bytes and crc == _crc(data):
                os.utime(path)
                return data
        except OSError:
            if key not in self:  # never kept, or removed for room meanwhile
                return None
        self.remove(key)
        return None

    def put(self, key: CacheKey, data: bytes | memoryview) -> bool:
        """Keep a clip; return whether it is kept."""
        if len(data) != key.size_bytes:
            raise ValueError(f"{key} has {key.size_bytes} bytes, got {len(data)}")
        if key in self:
            return True
        num_bytes = len(data) + _CRC_BYTES
        kept = False
        why = f"it takes {num_bytes} bytes, and the limit is {self.limit_bytes}"
        if num_bytes <= self.limit_bytes:
            try:
                kept = self._write(key, data, num_bytes)
                why = "what others are writing takes the rest of the limit"
            except OSError as error:
                why = str(error)
        with self._count_lock:
            self.num_not_kept += not kept
            self.why_not_kept = None if kept else why
        return kept

    def remove(self, key: CacheKey) -> None:
        """Forget a clip."""
        # The ledger keeps counting it until the folder is listed next: too much is safe.
        with contextlib.suppress(OSError):
            (self.root / key.file_name).unlink(missing_ok=True)

    def info(self) -> CacheInfo:
        """Return what is in it."""
        with self._ledger() as ledger:
            return self._info(ledger, _list(self.root).clips)

    def clear(self) -> CacheInfo:
        """Remove all clips, and return what was in it; files of other names stay."""
        with self._ledger() as ledger:
            listing = _list(self.root)
            for file in listing.clips:
                file.path.unlink(missing_ok=True)
            ledger.size_bytes = listing.num_reserved_bytes
            return self._info(ledger, listing.clips)

    def _info(self, ledger: _Ledger, files: list[_File]) -> CacheInfo:
        return CacheInfo(
            root=self.root,
            num_files=len(files),
            size_bytes=sum(file.num_bytes for file in files),
            limit_bytes=ledger.limit_bytes,
            oldest_used_at=min((file.used_at for file in files), default=None),
        )

    # -- room --------------------------------------------------------------------------------------------------------

    def _write(self, key: CacheKey, data: bytes | memoryview, num_bytes: int) -> bool:
        path = self.root / f"{secrets.token_hex(8)}-{num_bytes}.tmp"
        with self._ledger() as ledger:
            if ledger.size_bytes + num_bytes > self.limit_bytes:
                ledger.size_bytes = self._make_room(num_bytes)
                if ledger.size_bytes + num_bytes > self.limit_bytes:
                    return False  # other writers have reserved the rest
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody else knows the file, or may look before us
            ledger.size_bytes += num_bytes
        try:
            for chunk in (data, _crc(data)):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(descriptor, view) :]
            with self._ledger() as ledger:
                if key in self:  # by another process, meanwhile
                    path.unlink()
                    ledger.size_bytes -= num_bytes
                else:
                    path.rename(self.root / key.file_name)
        except BaseException:
            with self._ledger() as ledger:
                path.unlink(missing_ok=True)
                ledger.size_bytes -= num_bytes
            raise
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a fork has a copy
            os.close(descriptor)
        return True

    def _make_room(self, num_bytes: int) -> int:
        """Remove clips until so many bytes fit, and a little more; return what is left. The ledger must be locked."""
        listing = _list(self.root)
        size_bytes = listing.num_reserved_bytes + sum(file.num_bytes for file in listing.clips)
        if size_bytes + num_bytes <= self.limit_bytes:
            return size_bytes
        target = self.limit_bytes - num_bytes - int(_ROOM_SHARE * self.limit_bytes)
        for file in sorted(listing.clips, key=lambda file: file.used_at):
            if size_bytes <= target:
                break
            file.path.unlink(missing_ok=True)
            size_bytes -= file.num_bytes
        return size_bytes

    @contextlib.contextmanager
    def _ledger(self) -> Iterator[_Ledger]:
        """Hold the ledger's lock; what is set in it is written at the end.

        Raises:
            OSError: the lock did not come free, or the folder cannot be written.
        """
        give_up_at = time.monotonic() + _LOCK_SECONDS
        # Only one thread of a process asks the kernel again and again.
        if not self._lock.acquire(timeout=_LOCK_SECONDS):
            raise TimeoutError(f"the lock of {self.root / _LEDGER} did not come free in {_LOCK_SECONDS:g} s")
        try:
            yield from self._locked_ledger(give_up_at)
        finally:
            self._lock.release()

    def _locked_ledger(self, give_up_at: float) -> Iterator[_Ledger]:
        descriptor = os.open(self.root / _LEDGER, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= give_up_at:
                        raise
                time.sleep(0.002)
            try:
                text = os.pread(descriptor, 64, 0).decode("ascii", "replace").split()
                ledger = _Ledger(*(int(word) for word in text)) if _is_ledger(text) else self._counted()
                yield ledger
                written = b"%d %d" % (ledger.size_bytes, -1 if ledger.limit_bytes is None else ledger.limit_bytes)
                os.pwrite(descriptor, written.ljust(48) + b"\n", 0)  # always as long: there is nothing left to cut off
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _counted(self) -> _Ledger:
        listing = _list(self.root)
        return _Ledger(listing.num_reserved_bytes + sum(file.num_bytes for file in listing.clips), -1)


class _Ledger:
    def __init__(self, size_bytes: int, limit_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes if limit_bytes >= 0 else None


class _File(NamedTuple):
    path: Path
    num_bytes: int
    used_at: float


class _Listing(NamedTuple):
    clips: list[_File]
    num_reserved_bytes: int


def _list(root: Path) -> _Listing:
    """List a cache's clips and what is reserved; what killed writers left is removed.

    The ledger must be locked. Files get their first and their last name under that lock only, so a listing misses none.
    """
    clips: list[_File] = []
    num_reserved_bytes = 0
    with os.scandir(root) as entries:
        for entry in entries:
            if _CLIP.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    clips.append(_File(Path(entry.path), status.st_size, status.st_mtime))
            elif (match := _TMP.fullmatch(entry.name)) and not _is_left_over(entry.path):
                num_reserved_bytes += int(match[1])
    return _Listing(clips, num_reserved_bytes)


def _is_left_over(path: str) -> bool:
    """Remove a file whose writer is gone, and say so: a living one holds its lock, whichever container it is in."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        Path(path).unlink(missing_ok=True)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        return True
    finally:
        os.close(descriptor)


def _is_ledger(words: list[str]) -> bool:
    return len(words) == 2 and words[0].isdigit() and words[1].removeprefix("-").isdigit()


def _read(descriptor: int, num_bytes: int) -> bytes:
    data = os.read(descriptor, num_bytes)
    while len(data) < num_bytes and (more := os.read(descriptor, num_bytes - len(data))):
        data += more
    return data


def _crc(data: bytes | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(_CRC_BYTES, "big")


def _new_cache(root: Path, limit_bytes: int) -> ClipCache:
    return ClipCache(root, limit_bytes=limit_bytes)
