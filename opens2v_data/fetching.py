"""Chosen clips as files in a folder: fetched side by side, checked, and accounted for one by one.

<folder>/<part>/<clip key>.mp4
         fetch.jsonl                 one line per clip and run: what came, what did not, and why
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

from opens2v_data.archive.fetch import Fetcher
from opens2v_data.archive.wanted import Delivered, FetchOptions, FetchStats, Wanted
from opens2v_data.release.layout import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V

REPORT_FILE = "fetch.jsonl"
_SAFE = re.compile(r"[A-Za-z0-9_@+=,-][A-Za-z0-9_.@+=,-]{0,199}")
_BATCH_ROWS = 1_024

Progress = Callable[[int, int, int], None]
"""Called with clips done, clips planned, and bytes that came."""


@dataclass(frozen=True, kw_only=True)
class FetchReport:
    """What became of a fetch: `num_planned` = `num_delivered` + `num_there_before` + `num_failed`.

    Attributes:
        num_planned: clips that the condition names.
        num_delivered: written now.
        num_there_before: written by an earlier run, with the size they should have.
        num_failed: not written; `fetch.jsonl` says why.
        num_bytes: of the clips written now.
        stats: what it took.
    """

    num_planned: int
    num_delivered: int
    num_there_before: int
    num_failed: int
    num_bytes: int
    stats: FetchStats


def fetch_clips(
    dataset: OpenS2V,
    folder: Path,
    where: str | None = None,
    *,
    limit: int | None = None,
    options: FetchOptions | None = None,
    progress: Progress | None = None,
) -> FetchReport:
    """Write the mp4s of the clips that a condition names to a folder; clips that are there already are left alone.

    Args:
        dataset: an opened catalog.
        folder: made if absent. Nothing outside it is written, whatever a key or a member is called.
        where: a SQL condition over clips; None: all.
        limit: at most so many clips.
        options: how hard to try.
        progress: called after each clip.

    Raises:
        QueryError: the condition is not one that clips can answer.
        MissingPieceError: the release is not there at all.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    num_expected = dataset.count(where)
    if limit is not None:
        num_expected = min(num_expected, limit)
    store = dataset.media.store
    source = dataset.media.source
    num_planned = num_before = num_delivered = num_failed = num_bytes = 0
    known = _delivered_before(folder)
    with (folder / REPORT_FILE).open("a+b") as report:
        _end_line(report)

        def tell(clip: _Clip, status: str, **facts: Any) -> None:
            place = {"clip_id": clip.clip_id, "part": clip.part, "clip_key": clip.clip_key, "status": status}
            report.write(json.dumps(place | facts, ensure_ascii=False).encode() + b"\n")
            report.flush()
            if progress is not None:
                done = num_before + num_delivered + num_failed
                progress(done, max(done, num_expected), num_bytes)

        def wanted() -> Iterator[Wanted]:
            nonlocal num_planned, num_before, num_failed
            for clip in _clips(dataset, where, limit):
                # Counted one by one: a condition with random() in it names others each time.
                num_planned += 1
                place = (source, clip.offset, clip.size_bytes)
                if clip.name is None:
                    num_failed += 1
                    tell(clip, "failed", reason="the release has no bytes for this clip")
                elif known.get(clip.file) == place and _has_size(folder / clip.file, clip.size_bytes):
                    num_before += 1
                    tell(clip, "there before", file=clip.file)
                else:
                    yield Wanted(
                        key=clip,
                        part=dataset.media.part(clip.part),
                        name=clip.name,
                        offset=clip.offset,
                        size_bytes=clip.size_bytes,
                        has_ftyp=clip.has_ftyp,
                    )

        buffers = replace(options or FetchOptions(), as_buffers=True)  # they are written and hashed
        fetcher = Fetcher(store, buffers, cache=dataset.media.cache, source=source)
        for result in fetcher.fetch(wanted()):
            clip: _Clip = result.wanted.key
            if isinstance(result, Delivered):
                _write(folder / clip.file, result.data)
                num_delivered += 1
                num_bytes += len(result.data)
                tell(
                    clip,
                    "delivered",
                    file=clip.file,
                    source=source,
                    offset=result.wanted.offset,
                    size_bytes=len(result.data),
                    sha256=hashlib.sha256(result.data).hexdigest(),
                )
            else:
                num_failed += 1
                tell(clip, "failed", reason=result.reason)
    return FetchReport(
        num_planned=num_planned,
        num_delivered=num_delivered,
        num_there_before=num_before,
        num_failed=num_failed,
        num_bytes=num_bytes,
        stats=fetcher.stats,
    )


@dataclass(frozen=True, slots=True)
class _Clip:
    clip_id: int
    part: str
    clip_key: str
    file: str
    name: str | None
    offset: int
    size_bytes: int
    has_ftyp: bool | None


def _clips(dataset: OpenS2V, where: str | None, limit: int | None) -> Iterator[_Clip]:
    for ids in dataset.query.row_ids("regular", where, limit=limit):
        for start in range(0, len(ids), _BATCH_ROWS):
            for row in dataset.query.fetch("fetch", ids[start : start + _BATCH_ROWS]).to_pylist():
                name = row["name"]
                yield _Clip(
                    clip_id=row["clip_id"],
                    part=row["part"],
                    clip_key=row["clip_key"],
                    file=_file_name(row["part"], row["clip_key"], row["clip_id"], name or ""),
                    name=name,
                    offset=row["offset"] or 0,
                    size_bytes=row["size_bytes"] or 0,
                    has_ftyp=row["has_ftyp"],
                )


def _file_name(part: str, clip_key: str, clip_id: int, member: str) -> str:
    # Keys come from scraped data: one that is no plain file name is replaced, never joined to a path.
    folder = part if _SAFE.fullmatch(part) else "part"
    stem = clip_key if _SAFE.fullmatch(clip_key) else f"clip-{clip_id}"
    suffix = PurePosixPath(member).suffix.lower()
    return f"{folder}/{stem}{suffix if suffix in VIDEO_SUFFIXES else '.mp4'}"


def _delivered_before(folder: Path) -> dict[str, tuple[str, int, int]]:
    """Return what earlier runs wrote: (source, offset, size) by file."""
    known: dict[str, tuple[str, int, int]] = {}
    try:
        lines = (folder / REPORT_FILE).read_bytes().splitlines()
    except FileNotFoundError:
        return known
    for line in lines:
        try:
            facts = json.loads(line)
            if facts["status"] == "delivered":
                known[facts["file"]] = facts["source"], facts["offset"], facts["size_bytes"]
        except (ValueError, KeyError, TypeError):
            continue  # a line cut by a kill
    return known


def _has_size(path: Path, size_bytes: int) -> bool:
    try:
        return path.stat().st_size == size_bytes
    except OSError:
        return False


def _end_line(report: BinaryIO) -> None:
    """End a line that a killed run left unfinished."""
    if report.seek(0, os.SEEK_END):
        report.seek(-1, os.SEEK_END)
        if report.read(1) != b"\n":
            report.write(b"\n")


def _write(path: Path, data: bytes | memoryview) -> None:
    """Write a file so that it appears whole or not at all."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name[:180]}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
