"""One unit of ingest: the records of a byte range of one JSON file, to three small files.

    units/<part>/<lo>-<hi>/clips.arrow       one row per clip: columns of clips and captions, hashes
                           subjects.arrow    one row per subject: `row` in clips.arrow, class as a unit-local number
                           masks.bin         the clips' blobs, back to back
                           unit.json         what came of it

The folder is `<lo>-<hi>.<random>.tmp` until all of it is written: a unit whose folder has its name is whole.

A unit knows nothing of the others: ids are given when the units are put together (`assemble.py`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from opens2v_data.catalog.hashing import key_hashes
from opens2v_data.catalog.manifest import sync_file, sync_folder, write_atomically
from opens2v_data.catalog.masks import pack_masks
from opens2v_data.catalog.schemas import CAPTIONS, CLIPS, SCHEMA_VERSION, SUBJECTS
from opens2v_data.catalog.writer import HashingFile
from opens2v_data.release.files import ReleaseFiles
from opens2v_data.release.hugejson import BadRegion, HugeObject
from opens2v_data.release.keys import cluster_of, key_stem
from opens2v_data.release.layout import part_of
from opens2v_data.release.records import ClipRecord, RawRecord, RecordError, decode_record, normalise

FLUSH_ROWS = 128
"""Clips made Arrow at once: few enough that its Python values stay in the cache (512 took 4% more), enough that one is cheap."""

WRITE_ROWS = 2048
"""Clips per batch in a unit's files: putting units together costs per batch (1.07 s of 4 GB with 512, 1.7 s with 128)."""

MASKS_FILE = "masks.bin"

_ASSIGNED = ("clip_id", "part")
CLIP_FIELDS = [field for field in CLIPS.arrow if field.name not in _ASSIGNED]
CAPTION_FIELDS = [field for field in CAPTIONS.arrow if field.name != "clip_id"]
UNIT_CLIPS = pa.schema(
    [
        *CLIP_FIELDS,
        *CAPTION_FIELDS,
        pa.field("key_hash", pa.uint64(), nullable=False),
        pa.field("stem_hash", pa.uint64(), nullable=False),
        pa.field("mask_bytes", pa.int32(), nullable=False),
    ]
)
UNIT_SUBJECTS = pa.schema(
    [
        pa.field("row", pa.int32(), nullable=False),
        *(field for field in SUBJECTS.arrow if field.name != "clip_id"),
    ]
)


class Quarantined(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `quarantine.jsonl`: bytes of the release that gave no row, and why.

    Attributes:
        file: path below the release.
        offset, length: which bytes.
        key: the record's key where it could be read.
        reason: why, in words.
        num_records: records it counts as: 1, or 0 for bytes that are no record.
        is_truncated: the file ends inside.
    """

    file: str
    offset: int
    length: int
    key: str | None
    reason: str
    num_records: int = 1
    is_truncated: bool = False

    @classmethod
    def of(cls, file: str, bad: BadRegion) -> Quarantined:
        """Make one from what the JSON reader could not read."""
        return cls(
            file=file,
            offset=bad.offset,
            length=bad.length,
            key=bad.key,
            reason=bad.reason,
            num_records=bad.num_records,
            is_truncated=bad.is_truncated,
        )


class UnitPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which bytes a unit reads, and of what."""

    path: str
    file_size_bytes: int
    lo: int
    hi: int
    schema_version: int = SCHEMA_VERSION

    @property
    def folder(self) -> str:
        """Return the unit's folder below the work folder."""
        return f"units/{part_of(self.path)}/{self.lo:015d}-{self.hi:015d}"


class UnitResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a unit: `num_records` = `num_rows` + sum of `quarantined[].num_records`."""

    plan: UnitPlan
    num_records: int
    num_rows: int
    num_subjects: int
    masks_bytes: int
    masks_sha256: str
    classes: list[str]
    quirks: dict[str, int]
    quarantined: list[Quarantined]


def load_result(work: Path, plan: UnitPlan) -> UnitResult | None:
    """Return what a finished unit gave, or None when it is to be done (again)."""
    try:
        result = msgspec.json.decode((work / plan.folder / "unit.json").read_bytes(), type=UnitResult)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    return result if result.plan == plan else None


def run_unit(
    files: ReleaseFiles, work: Path, plan: UnitPlan, progress: Callable[[int], None] | None = None
) -> UnitResult:
    """Read one unit's records and write its files.

    Args:
        files: where the release lies.
        work: the ingest's work folder.
        plan: which bytes.
        progress: called with the number of bytes of JSON just read.

    Returns:
        What came of it, as also written to `unit.json`.
    """
    # In a folder of its own until it is whole: another process may be at the same unit.
    final = work / plan.folder
    final.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(mkdtemp(prefix=f"{final.name}.", suffix=".tmp", dir=final.parent))
    huge = HugeObject(files, plan.path, record_type=RawRecord, decode_one=decode_record)
    quarantined: list[Quarantined] = []
    num_records = 0
    done = plan.lo
    with _UnitWriter(folder) as writer:
        for batch in huge.read(plan.lo, plan.hi):
            num_bad = sum(bad.num_records for bad in batch.bad)
            num_records += len(batch.keys) + num_bad
            quarantined.extend(Quarantined.of(plan.path, bad) for bad in batch.bad)
            for key, offset, raw, quirks in zip(batch.keys, batch.offsets, batch.records, batch.quirks, strict=True):
                try:
                    writer.add(normalise(key, raw, quirks), offset)
                except (RecordError, OverflowError) as error:
                    bad = BadRegion(offset=offset, length=0, key=key, reason=str(error))
                    quarantined.append(Quarantined.of(plan.path, bad))
            if progress is not None:
                end = min(batch.end, plan.hi)
                progress(max(0, end - done))
                done = max(done, end)
    if progress is not None and done < plan.hi:
        progress(plan.hi - done)
    result = UnitResult(
        plan=plan,
        num_records=num_records,
        num_rows=writer.num_rows,
        num_subjects=writer.num_subjects,
        masks_bytes=writer.masks.size_bytes,
        masks_sha256=writer.masks.sha256,
        classes=list(writer.classes),
        quirks=dict(sorted(writer.quirks.items())),
        quarantined=quarantined,
    )
    write_atomically(folder / "unit.json", msgspec.json.encode(result))
    sync_folder(folder)
    _move(folder, final)
    return result


def _move(folder: Path, final: Path) -> None:
    """Give a finished unit its name; what another run left there is replaced."""
    if final.is_dir():
        shutil.rmtree(final)
    folder.rename(final)
    sync_folder(final.parent)


def remove_unfinished(work: Path, plans: list[UnitPlan]) -> None:
    """Remove what killed runs left of these units."""
    for plan in plans:
        final = work / plan.folder
        for folder in final.parent.glob(f"{final.name}.*.tmp"):
            shutil.rmtree(folder, ignore_errors=True)


class _UnitWriter:
    """Turn records into columns, and columns into the unit's files."""

    def __init__(self, folder: Path) -> None:
        self.num_rows = 0
        self.num_subjects = 0
        self.classes: dict[str, int] = {}
        self.quirks: dict[str, int] = {}
        self._folder = folder
        self.masks = HashingFile(folder / MASKS_FILE)
        self._files = {name: pa.OSFile(str(folder / name), "wb") for name in ("clips.arrow", "subjects.arrow")}
        self._clips = pa.ipc.new_file(self._files["clips.arrow"], UNIT_CLIPS)
        self._subjects = pa.ipc.new_file(self._files["subjects.arrow"], UNIT_SUBJECTS)
        self._clip_rows: list[tuple[Any, ...]] = []
        self._subject_columns = _SubjectColumns()
        self._clip_batches: list[pa.RecordBatch] = []
        self._subject_batches: list[pa.RecordBatch] = []

    def __enter__(self) -> _UnitWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._flush()
        self._write()
        self._clips.close()
        self._subjects.close()
        for name, file in self._files.items():
            file.close()
            sync_file(self._folder / name)
        self.masks.close()

    def add(self, clip: ClipRecord, offset: int) -> None:
        """Add one clip with its subjects and masks."""
        blob = pack_masks(clip.masks) if clip.masks else b""
        cut, face_cut, crop, tags = clip.cut or _NONE2, clip.face_cut or _NONE2, clip.crop_xyxy or _NONE4, clip.tags
        self._add_subjects(clip)
        self._clip_rows.append(
            (
                clip.key,
                cluster_of(clip.key),
                clip.path,
                clip.fps,
                clip.num_frames,
                clip.width,
                clip.height,
                *cut,
                *face_cut,
                *crop,
                clip.tech,
                clip.motion,
                clip.aesthetic,
                clip.foreground_aesthetic,
                clip.background_aesthetic,
                clip.caption_source,
                clip.ann_frame_idx,
                len(clip.subjects),
                len(clip.masks),
                tags.background or _EMPTY,
                tags.subject or _EMPTY,
                tags.object or _EMPTY,
                tags.pre_define or _EMPTY,
                clip.quirks,
                offset,
                clip.caption,
                clip.caption_alternatives,
                len(blob),
            )
        )
        self.masks.write(blob)
        for quirk in clip.quirks:
            self.quirks[quirk] = self.quirks.get(quirk, 0) + 1
        self.num_rows += 1
        if len(self._clip_rows) >= FLUSH_ROWS:
            self._flush()

    def _add_subjects(self, clip: ClipRecord) -> None:
        # Columns grow by appending, 16 subjects a clip: tuples and their transposition took twice the time.
        classes, columns, row = self.classes, self._subject_columns, self.num_rows
        for subject in clip.subjects:
            class_idx = classes.get(subject.class_name)
            if class_idx is None:
                class_idx = classes[subject.class_name] = len(classes)
            mask = subject.mask
            columns.row.append(row)
            columns.object_id.append(subject.object_id)
            columns.class_id.append(class_idx)
            columns.boxes.extend(subject.bbox_xyxy or _NO_BOX)
            columns.gme_score.append(subject.gme_score)
            columns.aes_score.append(subject.aes_score)
            columns.has_mask.append(mask is not None)
            columns.mask_is_empty.append(mask.is_empty if mask is not None else None)
            columns.mask_score.append(mask.score if mask is not None else None)
        self.num_subjects += len(clip.subjects)

    def _flush(self) -> None:
        if not self._clip_rows:
            return
        columns: list[Any] = list(zip(*self._clip_rows, strict=True))
        keys = columns[0]
        columns.insert(-1, key_hashes(keys))
        columns.insert(-1, key_hashes(map(key_stem, keys)))
        arrays = [pa.array(column, field.type) for column, field in zip(columns, UNIT_CLIPS, strict=True)]
        self._clip_batches.append(pa.RecordBatch.from_arrays(arrays, schema=UNIT_CLIPS))
        if self._subject_columns.row:
            self._subject_batches.append(self._subject_columns.to_batch())
        self._clip_rows.clear()
        self._subject_columns = _SubjectColumns()
        if sum(batch.num_rows for batch in self._clip_batches) >= WRITE_ROWS:
            self._write()

    def _write(self) -> None:
        for batches, writer in ((self._clip_batches, self._clips), (self._subject_batches, self._subjects)):
            if batches:
                writer.write_table(pa.Table.from_batches(batches).combine_chunks())
                batches.clear()


class _SubjectColumns:
    """Columns of subjects.arrow while they grow; a box is four numbers, NaN where there is none."""

    def __init__(self) -> None:
        self.row: list[int] = []
        self.object_id: list[int] = []
        self.class_id: list[int] = []
        self.boxes: list[float] = []
        self.gme_score: list[float | None] = []
        self.aes_score: list[float | None] = []
        self.has_mask: list[bool] = []
        self.mask_is_empty: list[bool | None] = []
        self.mask_score: list[float | None] = []

    def to_batch(self) -> pa.RecordBatch:
        corners = np.array(self.boxes, np.float32).reshape(-1, 4).T.copy()
        has_no_box = np.isnan(corners[0])
        columns: dict[str, Any] = dict(zip(("x1", "y1", "x2", "y2"), corners, strict=True))
        arrays = [
            pa.array(columns[field.name], mask=has_no_box)
            if field.name in columns
            else pa.array(getattr(self, field.name), field.type)
            for field in UNIT_SUBJECTS
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=UNIT_SUBJECTS)


_NONE2: tuple[None, ...] = (None, None)
_NONE4: tuple[None, ...] = (None, None, None, None)
_NO_BOX = (math.nan, math.nan, math.nan, math.nan)
_EMPTY: tuple[str, ...] = ()
