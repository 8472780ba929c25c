"""Put finished units together: one pass that gives ids and writes the tables, in bounded memory, the same for any units.

units/…            clips, captions, subjects, masks of a byte range each, ids of their own
  │  1. hashes     read every clip's key hash: find keys that stand twice in a file, count classes
  │  2. tables     stream the units in order: clip_id counts up, class ids by frequency, blob files are taken over
  │  3. indices    class_index, keys, pairs, views, plates: sorted from what pass 2 scattered, or looked up by hash
  ▼
tables/…           renamed into the catalog at the end, the manifest last
"""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from opens2v_data.catalog.links import ClassNames, ClipKeys
from opens2v_data.catalog.manifest import CatalogFile
from opens2v_data.catalog.masks import CELL_BYTES, blob_file
from opens2v_data.catalog.members import IndexedPart, MemberNames, read_members
from opens2v_data.catalog.schemas import (
    CAPTIONS,
    CLASS_INDEX,
    CLIPS,
    KEYS,
    LOCATIONS,
    MASKS,
    MEMBERS,
    SUBJECTS,
    TABLES,
)
from opens2v_data.catalog.sorting import RangeSorter
from opens2v_data.catalog.units import MASKS_FILE, UNIT_CLIPS, UNIT_SUBJECTS, Quarantined, UnitPlan, UnitResult
from opens2v_data.catalog.writer import HashingFile, TableWriter
from opens2v_data.release.hugejson import split_bytes
from opens2v_data.release.layout import part_of

ROWS_PER_RANGE = 500_000
"""Rows that a range of an external sort may have: some 10 MB, and as much again while it is sorted."""


@dataclass
class Assembly:
    """What putting together produced: checksummed files, quarantine lines and counts."""

    tables: dict[str, CatalogFile] = field(default_factory=dict)
    files: list[CatalogFile] = field(default_factory=list)
    duplicates: list[Quarantined] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)
    clip_keys: ClipKeys | None = None
    classes: ClassNames | None = None


def assemble_units(
    work: Path,
    folder: Path,
    units: list[UnitResult],
    parts: list[IndexedPart],
    progress: Callable[[int, int], None] | None = None,
    *,
    workers: int = 1,
) -> Assembly:
    """Write all tables that come from units and members to `folder`.

    Args:
        work: the ingest's work folder, with the units and the members in it.
        folder: an empty folder for the tables.
        units: finished units in order: by file, then by offset.
        parts: indexed video parts in order.
        progress: called with clips done and clips in all.
        workers: how many threads to use; the tables are the same for any number.
    """
    assembly = Assembly()
    keep = _find_duplicates(work, units, assembly)
    num_clips = sum(int(mask.sum()) for mask in keep)
    classes = _count_classes(work, units, keep)
    assembly.classes = classes
    _done(assembly, write_members(work, folder, parts))
    # Left by Ctrl-C it waits for what runs: at most one row group per table, of clips 0.07 s, of captions 0.02 s. A thread that
    # nobody waits for would be in Arrow's code when Python ends, which aborts the process.
    with ThreadPoolExecutor(workers) if workers > 1 else nullcontext() as pool:
        _write_clips(work, folder, units, keep, classes, parts, num_clips, assembly, progress, pool)
    return assembly


def _find_duplicates(work: Path, units: list[UnitResult], assembly: Assembly) -> list[np.ndarray]:
    """Return which rows of each unit to keep: of two records with one key in a file the first stays."""
    keep: list[np.ndarray] = []
    position = 0
    while position < len(units):
        path = units[position].plan.path
        group = [unit for unit in units[position:] if unit.plan.path == path]
        hashes = np.concatenate([_hashes(work, unit) for unit in group])
        mask = np.ones(len(hashes), bool)
        order = np.argsort(hashes, kind="stable")
        twice = np.flatnonzero(hashes[order][1:] == hashes[order][:-1]) + 1
        if len(twice):
            # Two different keys may share a hash: compare the keys themselves before anything is dropped.
            first: dict[str, int] = {}
            suspects = np.unique(np.concatenate([order[twice], order[twice - 1]]))
            for row, key, offset in _keys_at(work, group, suspects):
                kept = first.setdefault(key, offset)
                if kept != offset:
                    mask[row] = False
                    reason = f"the clip key stands twice in the file; the record at byte {kept} is kept"
                    assembly.duplicates.append(Quarantined(file=path, offset=offset, length=0, key=key, reason=reason))
        keep += np.split(mask, np.cumsum([unit.num_rows for unit in group])[:-1])
        position += len(group)
    return keep


def _count_classes(work: Path, units: list[UnitResult], keep: list[np.ndarray]) -> ClassNames:
    """Count subjects per class name over all kept clips; ids follow the counts."""
    counts: Counter[str] = Counter()
    for unit, mask in zip(units, keep, strict=True):
        if not unit.num_subjects:
            continue
        number = np.zeros(len(unit.classes), np.int64)
        for batch in _batches(work, unit, "subjects.arrow", ["row", "class_id"]):
            class_idx = batch.column("class_id").to_numpy()
            if not mask.all():
                class_idx = class_idx[mask[batch.column("row").to_numpy()]]
            number += np.bincount(class_idx, minlength=len(unit.classes))
        for name, count in zip(unit.classes, number, strict=True):
            counts[name] += int(count)
    return ClassNames(counts)


def write_members(
    work: Path, folder: Path, parts: Sequence[IndexedPart], *, schema: pa.Schema | None = None
) -> TableWriter:
    """Write the members of indexed parts as one table; `schema` may add metadata."""
    with TableWriter(MEMBERS, folder, schema=schema) as writer:
        first = 0
        for part in parts:
            table = read_members(work, part.source.name)
            ids = pa.array(np.arange(first, first + table.num_rows, dtype=np.int32))
            columns = {name: table.column(name) for name in table.column_names}
            columns |= {"member_id": ids, "part": _constant(part.source.name, table.num_rows)}
            writer.write(pa.table([columns[field.name] for field in MEMBERS.arrow], schema=MEMBERS.arrow))
            first += table.num_rows
    return writer


def _write_clips(
    work: Path,
    folder: Path,
    units: list[UnitResult],
    keep: list[np.ndarray],
    classes: ClassNames,
    parts: list[IndexedPart],
    num_clips: int,
    assembly: Assembly,
    progress: Callable[[int, int], None] | None,
    pool: Executor | None,
) -> None:
    class_sorter = RangeSorter(
        CLASS_INDEX.arrow, by="class_id", folder=work / "sort-classes", edges=classes.edges(ROWS_PER_RANGE)
    )
    key_hashes = np.empty(num_clips, np.uint64)
    stem_hashes = np.empty(num_clips, np.uint64)
    part_idx = np.empty(num_clips, np.int16)
    part_names: list[str] = []
    names: MemberNames | None = None
    members: pa.Table | None = None
    first_member = {part.source.name: sum(p.source.num_members for p in parts[:i]) for i, part in enumerate(parts)}
    num_located = num_without_path = 0
    used = np.zeros(sum(part.source.num_members for part in parts), bool)
    blobs = _BlobFiles(work, folder, units)
    with (
        TableWriter(CLIPS, folder, pool) as clips_writer,
        TableWriter(CAPTIONS, folder, pool) as captions_writer,
        TableWriter(SUBJECTS, folder, pool) as subjects_writer,
        TableWriter(MASKS, folder, pool) as masks_writer,
        TableWriter(LOCATIONS, folder, pool) as locations_writer,
    ):
        first = 0
        for unit, mask in zip(units, keep, strict=True):
            part = part_of(unit.plan.path)
            if not part_names or part_names[-1] != part:
                part_names.append(part)
                names, members = None, None
                if part in first_member:
                    members = read_members(work, part)
                    names = MemberNames(members, part, first_member[part])
            file_idx, blob_start = blobs.place(unit)
            new_ids = np.cumsum(mask) - 1 + first
            start = 0
            for batch in _batches(work, unit, "clips.arrow"):
                kept = mask[start : start + batch.num_rows]
                ids = new_ids[start : start + batch.num_rows]
                start += batch.num_rows
                mask_bytes = batch.column("mask_bytes").to_numpy().astype(np.int64)
                blob_ends = blob_start + np.cumsum(mask_bytes)
                blob_start = int(blob_ends[-1])
                has_masks = kept & (mask_bytes > 0)
                masks_writer.write_columns(
                    clip_id=ids[has_masks].astype(np.int32),
                    file_idx=np.full(int(has_masks.sum()), file_idx, np.int32),
                    offset=(blob_ends - mask_bytes)[has_masks],
                    size_bytes=mask_bytes[has_masks].astype(np.int32),
                )
                if not kept.all():
                    batch, ids = batch.filter(pa.array(kept)), ids[kept]
                if not batch.num_rows:
                    continue
                span = slice(int(ids[0]), int(ids[-1]) + 1)
                key_hashes[span] = batch.column("key_hash").to_numpy()
                stem_hashes[span] = batch.column("stem_hash").to_numpy()
                part_idx[span] = len(part_names) - 1
                columns: dict[str, Any] = {name: batch.column(name) for name in batch.schema.names}
                columns |= {"clip_id": pa.array(ids, pa.int32()), "part": _constant(part, batch.num_rows)}
                clips_writer.write(_pick(columns, CLIPS.arrow))
                captions_writer.write(_pick(columns, CAPTIONS.arrow))
                paths = batch.column("path").to_pylist()
                num_without_path += paths.count(None)
                if names is not None and members is not None:
                    found = names.find(paths)
                    hit = found >= 0
                    num_located += int(hit.sum())
                    used[found[hit]] = True
                    rows = members.take(pa.array(found[hit] - first_member[part]))
                    locations_writer.write_columns(
                        clip_id=ids[hit].astype(np.int32),
                        member_id=found[hit].astype(np.int32),
                        part=_constant(part, int(hit.sum())),
                        name=rows.column("name").combine_chunks(),
                        offset=rows.column("offset").combine_chunks(),
                        size_bytes=rows.column("size_bytes").combine_chunks(),
                    )
                if progress is not None:
                    progress(int(ids[-1]) + 1, num_clips)
            class_of = np.array([classes.id_of(name) for name in unit.classes] or [0], np.int32)
            for batch in _batches(work, unit, "subjects.arrow"):
                row = batch.column("row").to_numpy()
                if not mask.all():
                    batch = batch.filter(pa.array(mask[row]))
                    row = batch.column("row").to_numpy()
                columns = {name: batch.column(name) for name in batch.schema.names}
                columns["clip_id"] = pa.array(new_ids[row], pa.int32())
                columns["class_id"] = pa.array(class_of[batch.column("class_id").to_numpy()])
                subjects_writer.write(_pick(columns, SUBJECTS.arrow))
                x1, y1, x2, y2 = (
                    batch.column(name).to_numpy(zero_copy_only=False) for name in ("x1", "y1", "x2", "y2")
                )
                columns["box_area"] = pa.array((x2 - x1) * (y2 - y1), pa.float32(), from_pandas=True)
                class_sorter.add(_pick(columns, CLASS_INDEX.arrow))
            first += int(mask.sum())
    for writer in (clips_writer, captions_writer, subjects_writer, masks_writer, locations_writer):
        _done(assembly, writer)
    assembly.files += blobs.files
    with TableWriter(CLASS_INDEX, folder, pool) as writer:
        for table in class_sorter.sorted():
            classes.count_clips(table)
            writer.write(table)
    class_sorter.close()
    _done(assembly, writer)
    clip_keys = ClipKeys(key_hashes, stem_hashes, part_idx, part_names)
    with TableWriter(KEYS, folder, pool) as writer:
        for lo in range(0, num_clips, 1 << 20):
            order = clip_keys.by_key[lo : lo + (1 << 20)]
            writer.write_columns(key_hash=key_hashes[order], clip_id=order.astype(np.int32))
    _done(assembly, writer)
    assembly.clip_keys = clip_keys
    assembly.report["clips_with_video"] = num_located
    assembly.report["clips_without_video"] = num_clips - num_located
    assembly.report["clips_without_path"] = num_without_path
    assembly.report["members_no_clip_names"] = int((~used).sum())


class _BlobFiles:
    """The catalog's blob files: those of the units of one cell, back to back (see `masks.CELL_BYTES`)."""

    def __init__(self, work: Path, folder: Path, units: list[UnitResult]) -> None:
        (folder / "masks").mkdir()
        self.files: list[CatalogFile] = []
        self._places: dict[UnitPlan, tuple[int, int]] = {}
        cells: dict[tuple[str, int], list[UnitResult]] = {}
        for unit in units:
            cells.setdefault((unit.plan.path, _cell(unit.plan)), []).append(unit)
        for cell in cells.values():
            start = 0
            for unit in cell:
                self._places[unit.plan] = len(self.files), start
                start += unit.masks_bytes
            if start:
                self.files.append(self._join(work, folder / blob_file(len(self.files)), cell))

    def place(self, unit: UnitResult) -> tuple[int, int]:
        """Return which file a unit's blobs are in, and where they start in it."""
        return self._places[unit.plan]

    @staticmethod
    def _join(work: Path, path: Path, cell: list[UnitResult]) -> CatalogFile:
        full = [unit for unit in cell if unit.masks_bytes]
        sources = [work / unit.plan.folder / MASKS_FILE for unit in full]
        name = f"masks/{path.name}"
        if len(full) == 1:
            try:
                path.hardlink_to(sources[0])
            except OSError:
                # A file system without hard links.
                shutil.copyfile(sources[0], path)
            return CatalogFile(path=name, size_bytes=full[0].masks_bytes, sha256=full[0].masks_sha256)
        sink = HashingFile(path)
        for source in sources:
            sink.write_file(source)
        sink.close()
        return CatalogFile(path=name, size_bytes=sink.size_bytes, sha256=sink.sha256)


def _cell(plan: UnitPlan) -> int:
    edges = [lo for lo, _ in split_bytes(plan.file_size_bytes, CELL_BYTES)]
    return bisect_right(edges, plan.lo) - 1


def _hashes(work: Path, unit: UnitResult) -> np.ndarray:
    # Copied out: a column of a batch keeps the whole batch in memory.
    columns = [batch.column(0).to_numpy().copy() for batch in _batches(work, unit, "clips.arrow", ["key_hash"])]
    return np.concatenate(columns) if columns else np.empty(0, np.uint64)


def _keys_at(work: Path, units: list[UnitResult], rows: np.ndarray) -> Iterator[tuple[int, str, int]]:
    """Give (row, clip key, offset of the record) of some rows, counted over all units, in order."""
    start = 0
    for unit in units:
        for batch in _batches(work, unit, "clips.arrow", ["clip_key", "json_offset"]):
            here = rows[(rows >= start) & (rows < start + batch.num_rows)]
            chosen = batch.take(pa.array(here - start))
            yield from zip(here.tolist(), chosen.column(0).to_pylist(), chosen.column(1).to_pylist(), strict=True)
            start += batch.num_rows


def _batches(work: Path, unit: UnitResult, name: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Give a unit's batches; read, not mapped: a mapped file's pages count as this process's memory while it is open."""
    schema = UNIT_CLIPS if name == "clips.arrow" else UNIT_SUBJECTS
    indices = None if columns is None else [schema.get_field_index(column) for column in columns]
    options = pa.ipc.IpcReadOptions(included_fields=indices, use_threads=False)
    with pa.OSFile(str(work / unit.plan.folder / name)) as source:
        reader = pa.ipc.open_file(source, options=options)
        for index in range(reader.num_record_batches):
            batch = reader.get_batch(index)
            yield batch if columns is None else batch.select(columns)


def _pick(columns: dict[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)


def _constant(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def _done(assembly: Assembly, writer: TableWriter) -> None:
    assert writer.file is not None and writer.table.name in TABLES
    assembly.tables[writer.table.name] = writer.file
