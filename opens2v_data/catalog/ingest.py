"""From a release to a catalog: plan units, run them in workers, put them together; killed anywhere, a rerun goes on.

<catalog>/.ingest/units/…      one folder per unit, complete once its unit.json is there
                 members/…     one index per video part, complete once its .json is there
                 tables/…      tables being put together; thrown away and made again when interrupted
<catalog>/*.parquet masks/     renamed from tables/
          manifest.json        written last: a catalog without it is not finished
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.assemble import Assembly, assemble_units
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.links import write_pairs, write_plates, write_views
from opens2v_data.catalog.locks import BusyError, locked, refuse_beside_shares
from opens2v_data.catalog.manifest import (
    QUARANTINE_FILE,
    WORK_FOLDER,
    CatalogFile,
    Manifest,
    Source,
    SourceFile,
    SourceJson,
    sync_folder,
)
from opens2v_data.catalog.masks import CELL_BYTES
from opens2v_data.catalog.members import IndexedPart, load_part
from opens2v_data.catalog.schemas import SCHEMA_VERSION
from opens2v_data.catalog.units import Quarantined, UnitPlan, UnitResult, load_result, remove_unfinished
from opens2v_data.catalog.workers import Meter, Progress, run_units
from opens2v_data.errors import CatalogError, CatalogNotFoundError, IngestError
from opens2v_data.release.files import ReleaseFiles, is_text, readable
from opens2v_data.release.hugejson import HugeObject, split_bytes
from opens2v_data.release.layout import Release, VideoPart, part_of
from opens2v_data.release.records import RawRecord, decode_record

UNIT_BYTES = CELL_BYTES
"""JSON bytes per unit of work: what a kill costs, and what one worker has in hand."""

_DONE = "done"
"""Marks a work folder whose catalog is finished once there is a manifest."""


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """How to ingest.

    Attributes:
        json_glob: which annotation files, below the release; None: the one set there is, or the High-Quality one.
        workers: processes; 1 works in this process.
        shard: (i, n): do only every n-th unit, starting with the i-th (0 ≤ i < n), and put nothing together.
        unit_bytes: JSON bytes per unit, at most `masks.CELL_BYTES`.
        force: make the catalog anew even when nothing changed.
    """

    json_glob: str | None = None
    workers: int = 1
    shard: tuple[int, int] | None = None
    unit_bytes: int = UNIT_BYTES
    force: bool = False

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        if self.unit_bytes < 1:
            raise ValueError(f"unit_bytes must be at least 1, got {self.unit_bytes}")
        if self.shard is not None and not 0 <= self.shard[0] < self.shard[1]:
            raise ValueError(f"shard must be i/n with 0 <= i < n, got {self.shard[0]}/{self.shard[1]}")


@dataclass(frozen=True, kw_only=True)
class IngestResult:
    """What an ingest did.

    Attributes:
        manifest: of the finished catalog; None when only a shard's units were done, and others are missing or another process
            is putting them together.
        num_units: units in all.
        num_units_done_before: units found finished from an earlier run.
        num_units_missing: units of other shards not done yet.
        was_complete: the catalog was there already, made of the same files.
    """

    manifest: Manifest | None
    num_units: int
    num_units_done_before: int
    num_units_missing: int = 0
    was_complete: bool = False


def ingest(
    release: Release, root: Path, options: IngestOptions | None = None, *, progress: Progress | None = None
) -> IngestResult:
    """Make the catalog of a release at `root`, or go on with one that was interrupted.

    Args:
        release: what to read.
        root: folder of the catalog; made if absent.
        options: how.
        progress: called often, from this thread.

    Raises:
        ReleaseError: the release is not laid out as expected; nothing was written.
        IngestError: another process ingests the same shard, or a worker died; what is done is kept.
    """
    options = options or IngestOptions()
    json_files = release.json_files(options.json_glob)
    parts = release.video_parts()
    others = _other_files(release, parts)
    work = root / WORK_FOLDER
    _refuse_other_places(root, release, options)
    if not options.force and (known := _complete(root, release, options, json_files, parts, others)) is not None:
        if (work / _DONE).exists():
            _clear(work)
        if known.source.uri != release.files.uri:
            # The same files at another place: say where they are now.
            known = msgspec.structs.replace(known, source=msgspec.structs.replace(known.source, uri=release.files.uri))
            manifests.save(known, root)
        return IngestResult(manifest=known, num_units=0, num_units_done_before=0, was_complete=True)
    plans = [plan for entry in json_files for plan in _plan(release.files, entry.path, options.unit_bytes)]
    work.mkdir(parents=True, exist_ok=True)
    with locked(work, options.shard):
        if options.shard is None:
            refuse_beside_shares(work)
        (work / _DONE).unlink(missing_ok=True)
        index, count = options.shard or (0, 1)
        mine = plans[index::count]
        if options.force:
            _forget(work)
        done_before = {plan for plan in plans if load_result(work, plan) is not None}
        my_parts = [part for part in list(parts)[index::count] if load_part(work, part) is None]
        todo = [plan for plan in mine if plan not in done_before]
        remove_unfinished(work, todo)
        run_units(
            release.files,
            work,
            todo,
            my_parts,
            workers=options.workers,
            meter=Meter(progress, mine, done_before),
        )
        results = {plan: load_result(work, plan) for plan in plans}
        indexed = {part.name: load_part(work, part) for part in parts}
        missing = sum(result is None for result in results.values()) + sum(part is None for part in indexed.values())
        outcome = IngestResult(manifest=None, num_units=len(plans), num_units_done_before=len(done_before))
        if missing:
            # Unless another share put all together meanwhile, and cleared the units away.
            was_cleared = not (work / "units").is_dir()
            known = _complete(root, release, options, json_files, parts, others) if was_cleared else None
            return replace(outcome, manifest=known, num_units_missing=0 if known is not None else missing)
        finished = [result for result in results.values() if result is not None]
        members = [part for part in indexed.values() if part is not None]
        try:
            # Shares that end at the same moment both find all units done: one of them puts the tables together.
            with nullcontext() if options.shard is None else locked(work, None):
                manifest, is_damaged = _put_together(release, root, work, options, finished, members, others, progress)
                # The units of a release with a truncated file are kept: when the file is mended, only it is read again.
                if not is_damaged:
                    (work / _DONE).touch()
                _finish(root, work, manifest)
                if is_damaged:
                    (work / "forced").unlink(missing_ok=True)
                else:
                    _clear(work)
        except BusyError:
            return replace(outcome, manifest=_complete(root, release, options, json_files, parts, others))
    return replace(outcome, manifest=manifest)


def _refuse_other_places(root: Path, release: Release, options: IngestOptions) -> None:
    """Keep what is not this catalog: a release, somebody's folder, the catalog of another release.

    Raises:
        IngestError: one of these is at `root`, or its path is not UTF-8.
    """
    if not is_text(full := root.absolute()):
        raise IngestError(
            f"expected a catalog below folders named in UTF-8, found {readable(full)}; name another place"
        )
    if (root / "Jsons").is_dir() or (root / "Videos").is_dir():
        raise IngestError(
            f"expected a folder for the catalog, found a release at {root}; name another, for example ./opens2v-5m"
        )
    if not root.is_dir() or (root / WORK_FOLDER).is_dir() or options.force:
        return
    try:
        source = manifests.load(root).source
    except CatalogNotFoundError as error:
        if any(root.iterdir()):
            raise IngestError(
                f"expected an absent or empty folder, or a catalog, at {root}, found other files"
            ) from error
        return
    except CatalogError:
        return
    names = {entry.path for entry in release.json_files(options.json_glob)}
    if source.uri != release.files.uri and names != {file.path for file in source.json_files}:
        raise IngestError(
            f"the catalog at {root} is of another release, {source.uri}; name another folder, or replace it with --force"
        )


def _forget(work: Path) -> None:
    """Throw earlier units away, once: a forced run that was interrupted, or another share of it, goes on like any other."""
    try:
        (work / "forced").touch(exist_ok=False)
    except FileExistsError:
        return
    shutil.rmtree(work / "units", ignore_errors=True)
    shutil.rmtree(work / "members", ignore_errors=True)


def _plan(files: ReleaseFiles, path: str, unit_bytes: int) -> Iterator[UnitPlan]:
    """Give a file's units; none crosses a cell's edge, so that each blob file is made of whole units."""
    size = HugeObject(files, path, record_type=RawRecord, decode_one=decode_record).size_bytes
    for start, end in split_bytes(size, CELL_BYTES):
        for lo, hi in split_bytes(end - start, unit_bytes):
            yield UnitPlan(path=path, file_size_bytes=size, lo=start + lo, hi=start + hi)


def _other_files(release: Release, parts: Sequence[VideoPart]) -> tuple[SourceFile, ...]:
    """Return the files besides annotations and tars: pairs, clusters, and by folder views, plates and unpacked videos."""
    files = [SourceFile(path=entry.path, size_bytes=entry.size_bytes) for entry in release.pair_files()]
    if (cluster := release.cluster_file()) is not None:
        files.append(SourceFile(path=cluster.path, size_bytes=cluster.size_bytes))
    for folder, pictures in (("GPT-Frames/", release.views()), ("Background/", release.plates())):
        total = sum(picture.size_bytes for picture in pictures)
        if total:
            files.append(SourceFile(path=folder, size_bytes=total))
    for part in parts:
        if part.layout == "files":
            total = sum(file.size_bytes for file in part.files)
            files.append(SourceFile(path=f"Videos/{part.name}/", size_bytes=total))
    return tuple(files)


def _complete(
    root: Path,
    release: Release,
    options: IngestOptions,
    json_files: Sequence[Any],
    parts: Sequence[VideoPart],
    others: tuple[SourceFile, ...],
) -> Manifest | None:
    """Return the manifest of a catalog that is finished and made of the same files."""
    try:
        manifest = Catalog.open(root).manifest
    except CatalogError:
        return None
    source = manifest.source
    pieces = {
        part.name: [(file.path, file.size_bytes) for file in part.files] for part in parts if part.layout != "files"
    }
    unpacked = {part.name: len(part.files) for part in parts if part.layout == "files"}
    same = (
        source.json_glob == options.json_glob
        and source.revision == release.revision
        and [(file.path, file.size_bytes) for file in source.json_files]
        == [(file.path, file.size_bytes) for file in json_files]
        and {part.name: [(file.path, file.size_bytes) for file in part.pieces] for part in source.parts if part.pieces}
        == pieces
        and {part.name: part.num_members for part in source.parts if part.layout == "files"} == unpacked
        and source.other_files == others
        and not any(file.truncated_at is not None for file in source.json_files)
    )
    return manifest if same else None


# -- putting together ------------------------------------------------------------------------------------------------


def _put_together(
    release: Release,
    root: Path,
    work: Path,
    options: IngestOptions,
    units: list[UnitResult],
    members: list[IndexedPart],
    others: tuple[SourceFile, ...],
    progress: Progress | None,
) -> tuple[Manifest, bool]:
    def report(stage: str) -> Callable[[int, int], None] | None:
        return partial(progress, stage) if progress is not None else None

    folder = work / "tables"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    assembly = assemble_units(work, folder, units, members, report("tables"), workers=options.workers)
    assert assembly.clip_keys is not None and assembly.classes is not None
    keys, classes = assembly.clip_keys, assembly.classes
    pairs, bad_pairs, pair_counts = write_pairs(release, work, folder, keys, classes, report("pairs"))
    views, view_counts = write_views(release, work, folder, keys, classes)
    plates, plate_counts = write_plates(release, work, folder, keys)
    for writer in (pairs, views, plates, classes.write(folder)):
        assert writer.file is not None
        assembly.tables[writer.table.name] = writer.file
    from_json = [line for unit in units for line in unit.quarantined] + assembly.duplicates
    order = {unit.plan.path: number for number, unit in reversed(list(enumerate(units)))}
    from_json.sort(key=lambda line: (order[line.file], line.offset))
    quarantined = [*from_json, *bad_pairs]
    data = b"".join(msgspec.json.encode(line) + b"\n" for line in quarantined)
    (folder / QUARANTINE_FILE).write_bytes(data)
    quarantine = CatalogFile(path=QUARANTINE_FILE, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    files = (*assembly.files, quarantine)
    source = Source(
        uri=release.files.uri,
        revision=release.revision,
        json_glob=options.json_glob,
        json_files=_json_sources(units, from_json),
        parts=tuple(part.source for part in members),
        other_files=others,
    )
    counts = assembly.report | pair_counts | view_counts | plate_counts
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        digest=manifests.digest_of(assembly.tables, files),
        source=source,
        tables=dict(sorted(assembly.tables.items())),
        files=files,
        report=_report(
            units,
            from_json,
            assembly,
            counts
            | {"pairs_unreadable": len(bad_pairs), "pair_files_cut": sum(line.is_truncated for line in bad_pairs)},
        ),
    )
    is_damaged = any(file.truncated_at is not None for file in source.json_files)
    return manifest, is_damaged


def _json_sources(units: list[UnitResult], quarantined: list[Quarantined]) -> tuple[SourceJson, ...]:
    sources: list[SourceJson] = []
    for path in dict.fromkeys(unit.plan.path for unit in units):
        mine = [unit for unit in units if unit.plan.path == path]
        lines = [line for line in quarantined if line.file == path]
        num_records = sum(unit.num_records for unit in mine)
        num_quarantined = sum(line.num_records for line in lines)
        source = SourceJson(
            path=path,
            part=part_of(path),
            size_bytes=mine[0].plan.file_size_bytes,
            num_records=num_records,
            num_rows=num_records - num_quarantined,
            num_quarantined=num_quarantined,
            truncated_at=next((line.offset for line in lines if line.is_truncated), None),
        )
        sources.append(source)
    return tuple(sources)


def _report(
    units: list[UnitResult], quarantined: list[Quarantined], assembly: Assembly, counts: dict[str, int]
) -> dict[str, Any]:
    quirks: Counter[str] = Counter()
    for unit in units:
        quirks.update(unit.quirks)
    num_records = sum(unit.num_records for unit in units)
    num_lost = sum(line.num_records for unit in units for line in unit.quarantined) + len(assembly.duplicates)
    num_rows = assembly.tables["clips"].rows
    if num_records != num_rows + num_lost:
        raise AssertionError(
            f"records do not add up: {num_records} in the JSON, {num_rows} rows, {num_lost} quarantined"
        )
    # Without what differs from record to record.
    reasons = Counter(re.split("[:;,(]", line.reason)[0].strip() for line in quarantined)
    return {
        "records": num_records,
        "rows": num_rows,
        "quarantined": num_lost,
        "quarantined_by_reason": dict(sorted(reasons.items())),
        "quirks": dict(sorted(quirks.items())),
        **counts,
    }


def _finish(root: Path, work: Path, manifest: Manifest) -> None:
    """Move the tables into place; until the manifest is written, readers are told that the catalog is not finished."""
    folder = work / "tables"
    for path in [*folder.rglob("*")]:
        if path.is_dir():
            sync_folder(path)
    (root / manifests.FILE_NAME).unlink(missing_ok=True)
    shutil.rmtree(root / "masks", ignore_errors=True)
    for path in sorted(folder.iterdir()):
        path.replace(root / path.name)
    sync_folder(root)
    manifests.save(manifest, root)
    sync_folder(root)
    folder.rmdir()


def _clear(work: Path) -> None:
    """Remove the work folder of a finished catalog, its mark last: what a kill leaves, the next run clears."""
    with suppress(FileNotFoundError):  # another run may clear it too
        for path in [*work.iterdir()]:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _DONE:
                path.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)
