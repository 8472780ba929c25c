"""A slice as WebDataset shards: tars that training code reads as they are, each clip with caption, row and cut-outs.

<folder>/shard-000000.tar …    <key>.mp4  <key>.txt (caption)  <key>.json (the row)  <key>.<object id>.png (transparent cut-outs)
         export.jsonl          a line per clip: exported with its shard, or failed with the reason
         export.json           which clips and options; written first: another slice is refused in this folder

A shard is a fixed stretch of the slice and is named when it is whole: killed anywhere, the same call goes on with the next one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from opens2v_data.errors import ArchiveError, DecodeError, ReleaseError
from opens2v_data.triples import Triple
from opens2v_loaders.cutouts import annotated_frame, cut_out
from opens2v_loaders.saving import safe_name

SHARD_CLIPS = 500
"""Some 1 GB of 720p clips."""

REPORT_FILE = "export.jsonl"
FACTS_FILE = "export.json"
_ROWS_AT_ONCE = 64


class ClipSource(Protocol):
    """What rows and bytes come from; `opens2v_data.open(root)` is one."""

    def rows_of(self, ids: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
        """Return the rows of some ids."""
        ...

    def read_videos(self, videos: Any) -> Iterator[bytes | ArchiveError]:
        """Give mp4s in the order asked for; an error in place of one that cannot be read."""
        ...


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What became of the clips: `num_planned == num_exported + num_there_before + num_failed`.

    Attributes:
        num_planned: clips of the slice.
        num_exported: written now.
        num_there_before: in shards of an earlier run.
        num_failed: without bytes, or whose video does not decode, now or in an earlier run.
        num_shards: files in the folder.
    """

    num_planned: int
    num_exported: int
    num_there_before: int
    num_failed: int
    num_shards: int


def export_webdataset(
    source: ClipSource,
    ids: np.ndarray,
    folder: Path,
    *,
    shard_clips: int = SHARD_CLIPS,
    cut_outs: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Write clips to WebDataset shards.

    Args:
        source: an opened catalog.
        ids: clip ids in the order wanted, `(N,)`.
        folder: made if absent.
        shard_clips: clips of a shard; the last has what is left.
        cut_outs: whether to decode each clip's annotated frame and add its subjects.
        progress: called with clips done and clips in all.

    Raises:
        ValueError: shard_clips below 1.
        ReleaseError: the folder holds shards of other clips or options; the message says what to do.
        OSError: the folder cannot be written.
    """
    if shard_clips < 1:
        raise ValueError(f"shard_clips must be 1 or more, got {shard_clips}")
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder, ids, shard_clips=shard_clips, cut_outs=cut_outs)
    exported = before = failed = done = 0
    failed_before = _failed_before(folder)
    for number, start in enumerate(range(0, len(ids), shard_clips)):
        some = ids[start : start + shard_clips]
        path = folder / f"shard-{number:06d}.tar"
        if path.is_file():
            num_bad = len(failed_before.intersection(some.tolist()))
            before, failed, done = before + len(some) - num_bad, failed + num_bad, done + len(some)
            if progress is not None:
                progress(done, len(ids))
            continue
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        lines: list[dict[str, Any]] = []
        try:
            with tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as shard:
                for row, data in _with_bytes(source, some):
                    reason = _add(shard, row, data, cut_outs=cut_outs)
                    lines.append({"clip_id": row["clip_id"], "part": row["part"], "clip_key": row["clip_key"]})
                    lines[-1] |= {"shard": path.name} if reason is None else {"failed": reason}
                    exported += reason is None
                    failed += reason is not None
                    done += 1
                    if progress is not None:
                        progress(done, len(ids))
            # The account first: a shard that is there is accounted for.
            with (folder / REPORT_FILE).open("a", encoding="utf-8") as report:
                report.write("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    num_shards = -(-len(ids) // shard_clips)
    return ExportReport(
        num_planned=len(ids),
        num_exported=exported,
        num_there_before=before,
        num_failed=failed,
        num_shards=num_shards,
    )


def _claim(folder: Path, ids: np.ndarray, **options: Any) -> None:
    """Refuse a folder with other shards, and say what these are."""
    facts = {"ids": hashlib.sha256(np.asarray(ids, "<i8").tobytes()).hexdigest(), "num_clips": len(ids), **options}
    path = folder / FACTS_FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(facts), encoding="utf-8")
        temporary.replace(path)
        return
    except ValueError as error:
        raise ReleaseError(
            f"expected {path} to say which clips are in {folder}, found {error}; name another folder"
        ) from error
    if known != facts:
        differ = ", ".join(name for name in facts if known.get(name) != facts[name])
        raise ReleaseError(
            f"{folder} holds an export of other clips or options ({differ} differ): name another folder, or remove this one"
        )


def _failed_before(folder: Path) -> set[int]:
    """Return the clips that the account says failed; of a clip that stands twice, after a kill, the last line counts."""
    outcome: dict[int, bool] = {}
    try:
        with (folder / REPORT_FILE).open(encoding="utf-8") as report:
            for text in report:
                try:
                    line = json.loads(text)
                    outcome[line["clip_id"]] = "failed" in line
                except (ValueError, KeyError, TypeError):
                    continue  # cut off by a kill; its shard is not there
    except FileNotFoundError:
        return set()
    return {clip_id for clip_id, is_bad in outcome.items() if is_bad}


def _with_bytes(source: ClipSource, ids: np.ndarray) -> Iterator[tuple[dict[str, Any], bytes | ArchiveError | None]]:
    for start in range(0, len(ids), _ROWS_AT_ONCE):
        rows = source.rows_of(ids[start : start + _ROWS_AT_ONCE])
        refs = [Triple.from_row(row).clip.video for row in rows]
        videos = source.read_videos([ref for ref in refs if ref is not None])
        for row, ref in zip(rows, refs, strict=True):
            yield row, None if ref is None else next(videos)


def _add(
    shard: tarfile.TarFile, row: Mapping[str, Any], data: bytes | ArchiveError | None, *, cut_outs: bool
) -> str | None:
    """Add a clip's files to a shard; return why it could not, and then nothing is added."""
    if data is None:
        return "the release has no bytes for this clip"
    if isinstance(data, ArchiveError):
        return f"no video: {data}"
    triple = Triple.from_row(row)
    pictures: dict[str, bytes] = {}
    if cut_outs and triple.clip.ann_frame_idx is not None:
        try:
            frame = annotated_frame(data, triple.clip)
        except DecodeError as error:
            return f"the video does not decode: {error}"
        for subject in triple.subjects:
            if (cut := cut_out(frame, subject, background="transparent")) is not None:
                buffer = io.BytesIO()
                cut.image.save(buffer, "PNG")
                pictures[f"{subject.object_id}.png"] = buffer.getvalue()
    # A WebDataset key ends at the first dot.
    key = safe_name(f"{row['part']}--{row['clip_key']}".replace(".", "_"))
    text = json.dumps(_plain(row), ensure_ascii=False)
    files = {"mp4": data, "txt": triple.caption.encode(), "json": text.encode(), **pictures}
    for ending, content in files.items():
        member = tarfile.TarInfo(f"{key}.{ending}")
        member.size = len(content)
        shard.addfile(member, io.BytesIO(content))
    return None


def _plain(value: Any) -> Any:
    """Leave out what only means something here: addresses of bytes that stand beside the row."""
    return {name: inner for name, inner in value.items() if name not in ("video", "video_path", "path")}
