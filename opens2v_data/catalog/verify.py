"""Check a catalog: its files' checksums, its tables' rows and links, and that the release still has what it points at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from opens2v_data.archive import PartReader, Store, open_store, starts_like_mp4
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.manifest import WORK_FOLDER, CatalogFile, digest_of
from opens2v_data.catalog.masks import blob_file
from opens2v_data.catalog.members import restore_part
from opens2v_data.catalog.schemas import TABLES
from opens2v_data.errors import ArchiveError, CatalogDamagedError, CatalogNotFoundError, ReleaseError
from opens2v_data.release.files import ReleaseFiles
from opens2v_data.release.layout import Release
from opens2v_data.release.recount import count_records

MAX_EXAMPLES = 5
MAX_PROBLEMS = 10_000
"""Members that are not there, after which it is plain that the release is not."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: what.
        problems: what is wrong, empty when all is well; at most a few examples, then a count.
        note: how much was looked at.
    """

    name: str
    problems: tuple[str, ...]
    note: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    catalog: Catalog,
    *,
    release: Release | str | Path | None = None,
    recount: bool = False,
    progress: Progress | None = None,
) -> Iterator[Check]:
    """Check a catalog, and the release it was made from where one is given.

    Args:
        catalog: what to check.
        release: the release, or its folder: its files' sizes, and the first bytes of every video the catalog points at.
        recount: count the records of the release's JSON files again, by another method; reads every byte.
        progress: called with a stage, how much is done and how much there is.

    Yields:
        One check after another, good or bad.

    Raises:
        CatalogNotFoundError: it, or some of its files, lie on a server.
    """
    absent = [file.path for file in catalog.files if catalog.local_path(file.path) is None]
    if absent:
        here = (
            f"{len(absent)} of its files, {absent[0]} among them, lie on a server"
            if catalog.is_copy
            else "it lies on a server"
        )
        raise CatalogNotFoundError(
            f"{catalog.uri} cannot be verified, since every byte is read: {here}. Copying it whole checks all checksums: "
            f"opens2v copy {catalog.origin_uri} {catalog.uri if catalog.is_copy else './opens2v-5m'}"
        )
    report = progress or (lambda stage, done, total: None)
    is_sound = True
    for check in chain(_check_files(catalog, report), _check_rows(catalog)):
        yield check
        is_sound &= check.is_ok
    yield _check_strays(catalog)
    if is_sound:
        yield from _check_links(catalog)
        yield _check_accounts(catalog)
    else:
        # What damaged bytes link to says nothing.
        yield Check(name="links between tables", problems=("not checked, since the files themselves are damaged",))
    if release is not None:
        found = release if isinstance(release, Release) else Release.open(str(release))
        yield _check_sizes(catalog, found.files)
        if is_sound:
            yield _check_members(catalog, open_store(found.files.uri), report)
        if recount:
            yield _check_records(catalog, found.files, report)


def _check_files(catalog: Catalog, report: Progress) -> Iterator[Check]:
    files = [*catalog.manifest.tables.values(), *catalog.manifest.files]
    total = sum(file.size_bytes for file in files)
    done = 0
    problems: list[str] = []
    for file in files:
        digest = hashlib.sha256()
        with (catalog.root / file.path).open("rb") as source:
            while data := source.read(8 << 20):
                digest.update(data)
                done += len(data)
                report("checksums", done, total)
        if digest.hexdigest() != file.sha256:
            problems.append(f"{file.path}: expected SHA-256 {file.sha256}, found {digest.hexdigest()}; copy it again")
    if digest_of(catalog.manifest.tables, catalog.manifest.files) != catalog.digest:
        problems.append("manifest.json: its digest is not that of its files' checksums; copy it again")
    yield Check(name="checksums", problems=tuple(problems), note=f"{len(files)} files, {total} bytes")


def _check_strays(catalog: Catalog) -> Check:
    known = {file.path for file in (*catalog.manifest.tables.values(), *catalog.manifest.files)}
    present = {path.relative_to(catalog.root).as_posix() for path in catalog.root.rglob("*") if path.is_file()}
    # The work folder is kept on purpose while a JSON file of the release is cut off; a published catalog has a preview.
    strange = sorted(
        path
        for path in present - known
        if path.endswith((".tmp", ".parquet", ".bin")) and not path.startswith((f"{WORK_FOLDER}/", "preview/"))
    )
    return Check(name="no stray files", problems=_some(strange, "{} is no file of this catalog; it can be deleted"))


def _check_rows(catalog: Catalog) -> Iterator[Check]:
    problems: list[str] = []
    for name, schema in TABLES.items():
        file = catalog.manifest.tables.get(name)
        if file is None:
            problems.append(f"{name}: no such table in the manifest")
            continue
        try:
            with pq.ParquetFile(catalog.root / file.path) as table:
                groups = [table.metadata.row_group(index).num_rows for index in range(table.metadata.num_row_groups)]
                if not table.schema_arrow.equals(schema.arrow):
                    problems.append(f"{file.path}: other columns than {schema.name} has in this version")
        except (pa.ArrowException, OSError, ValueError) as error:
            problems.append(f"{file.path} cannot be opened as parquet: {error}")
            continue
        recorded = [group.rows for group in file.row_groups]
        if groups != recorded or sum(groups) != file.rows:
            problems.append(
                f"{file.path}: expected {file.rows} rows in {len(recorded)} row groups, found {sum(groups)} in {len(groups)}"
            )
    yield Check(name="row counts and columns", problems=tuple(problems), note=f"{len(TABLES)} tables")


def _check_links(catalog: Catalog) -> Iterator[Check]:
    num = {name: catalog.num_rows(name) for name in TABLES}
    problems: list[str] = []

    def expect(is_good: np.ndarray | bool, message: str) -> None:
        if not np.all(is_good) and message not in problems:
            problems.append(message)

    next_id = 0
    num_subjects = np.zeros(num["clips"], np.int64)
    num_masks = np.zeros(num["clips"], np.int64)
    for batch in _batches(catalog, "clips", ["clip_id", "num_subjects", "num_masks"]):
        ids = _ints(batch, "clip_id")
        expect(ids == np.arange(next_id, next_id + len(ids)), "clips.clip_id does not count 0, 1, 2, …")
        num_subjects[next_id : next_id + len(ids)] = _ints(batch, "num_subjects")
        num_masks[next_id : next_id + len(ids)] = _ints(batch, "num_masks")
        next_id += len(ids)
    next_id = 0
    for batch in _batches(catalog, "captions", ["clip_id"]):
        ids = _ints(batch, "clip_id")
        expect(ids == np.arange(next_id, next_id + len(ids)), "captions.clip_id is not that of clips, row by row")
        next_id += len(ids)
    expect(next_id == num["clips"], f"captions has {next_id} rows, clips has {num['clips']}")
    seen = np.zeros(num["clips"], np.int64)
    last = -1
    for batch in _batches(catalog, "subjects", ["clip_id", "class_id"]):
        ids = _ints(batch, "clip_id")
        is_clip = (ids >= 0) & (ids < num["clips"])
        expect(is_clip, "subjects.clip_id points at no clip")
        expect(np.diff(ids, prepend=last) >= 0, "subjects is not in order of clip_id")
        class_ids = _ints(batch, "class_id")
        expect((class_ids >= 0) & (class_ids < num["classes"]), "subjects.class_id points at no class")
        seen += np.bincount(ids[is_clip], minlength=num["clips"])
        last = int(ids[-1])
    expect(seen == num_subjects, "clips.num_subjects is not the number of rows in subjects")
    expect(num["class_index"] == num["subjects"], "class_index has another number of rows than subjects")
    for table in ("pairs", "views"):
        columns = ["clip_id", "class_id"] + ["partner_clip_id", "partner_class_id"] * (table == "pairs")
        for batch in _batches(catalog, table, columns):
            for column in columns:
                values = batch.column(column).drop_null().to_numpy()
                limit = num["classes"] if column.endswith("class_id") else num["clips"]
                expect((values >= 0) & (values < limit), f"{table}.{column} points at nothing")
    for table in ("backgrounds", "locations", "masks", "keys"):
        for batch in _batches(catalog, table, ["clip_id"]):
            ids = _ints(batch, "clip_id")
            expect((ids >= 0) & (ids < num["clips"]), f"{table}.clip_id points at no clip")
    expect(num["keys"] == num["clips"], "keys has another number of rows than clips")
    yield Check(
        name="links between tables", problems=tuple(problems), note=f"{num['clips']} clips, {num['subjects']} subjects"
    )
    yield _check_locations(catalog)
    yield _check_masks(catalog, num_masks)


def _check_locations(catalog: Catalog) -> Check:
    members = pq.read_table(
        catalog.root / catalog.manifest.tables["members"].path, columns=["part", "name", "offset", "size_bytes"]
    )
    problems: list[str] = []
    for batch in _batches(catalog, "locations", ["member_id", "part", "name", "offset", "size_bytes"]):
        ids = _ints(batch, "member_id")
        if ((ids < 0) | (ids >= members.num_rows)).any():
            problems.append("locations.member_id points at no member")
            continue
        expected = members.take(pa.array(ids))
        for column in expected.column_names:
            if not expected.column(column).combine_chunks().equals(batch.column(column)):
                problems.append(f"locations.{column} is not that of its member")
    return Check(
        name="clips to members", problems=tuple(dict.fromkeys(problems)), note=f"{catalog.num_rows('locations')} clips"
    )


def _check_masks(catalog: Catalog, num_masks: np.ndarray) -> Check:
    problems: list[str] = []
    sizes = {file.path: file.size_bytes for file in catalog.manifest.files}
    found = np.zeros_like(num_masks)
    for batch in _batches(catalog, "masks", ["clip_id", "file_idx", "offset", "size_bytes"]):
        for file_idx, offset, size in zip(
            *(batch.column(name).to_pylist() for name in ("file_idx", "offset", "size_bytes")), strict=True
        ):
            if min(offset, size) < 0 or offset + size > sizes.get(blob_file(file_idx), 0):
                problems.append(f"a blob at {offset} of {size} bytes lies outside {blob_file(file_idx)}")
        ids = _ints(batch, "clip_id")
        if problems or ((ids < 0) | (ids >= len(found))).any():
            break  # a clip that is not there is reported with the links
        for start in range(0, len(ids), 256):
            try:
                for clip_id, masks in catalog.read_masks(ids[start : start + 256]).items():
                    found[clip_id] = len(masks)
            except CatalogDamagedError as error:
                problems.append(str(error))
    if not problems and (found != num_masks).any():
        clip_id = int(np.flatnonzero(found != num_masks)[0])
        problems.append(
            f"clip {clip_id} has {found[clip_id]} masks in its blob, clips.num_masks says {num_masks[clip_id]}"
        )
    return Check(name="mask blobs", problems=_some(problems), note=f"{int(num_masks.sum())} masks")


def _check_accounts(catalog: Catalog) -> Check:
    source, problems = catalog.manifest.source, []
    for file in source.json_files:
        if file.num_records != file.num_rows + file.num_quarantined:
            problems.append(
                f"{file.path}: {file.num_records} records, but {file.num_rows} rows and {file.num_quarantined} quarantined"
            )
        if file.truncated_at is not None:
            problems.append(
                f"{file.path} is cut off at byte {file.truncated_at}; get it whole and run opens2v ingest again"
            )
    for part in source.parts:
        if part.truncated_at is not None:
            problems.append(
                f"the tar of part {part.name} ends at byte {part.truncated_at}: get its last pieces, run ingest again"
            )
        if part.fault is not None:
            problems.append(f"the tar of part {part.name} could not be read to its end: {part.fault}")
    if catalog.manifest.report.get("pair_files_cut"):
        problems.append("a file of pairs is cut off, see quarantine.jsonl; get it whole and run opens2v ingest again")
    if sum(file.num_rows for file in source.json_files) != catalog.num_rows("clips"):
        problems.append("the JSON files' rows do not add up to the rows of clips")
    lines = sum(
        line["num_records"]
        for line in catalog.quarantine()
        if any(line["file"] == file.path for file in source.json_files)
    )
    if lines != sum(file.num_quarantined for file in source.json_files):
        problems.append(f"quarantine.jsonl accounts for {lines} records")
    total = sum(file.num_records for file in source.json_files)
    return Check(name="records = rows + quarantined", problems=tuple(problems), note=f"{total} records")


def _check_sizes(catalog: Catalog, files: ReleaseFiles) -> Check:
    source = catalog.manifest.source
    problems: list[str] = []
    expected = [*source.json_files, *(piece for part in source.parts for piece in part.pieces)]
    for file in expected:
        try:
            if (size := files.size(file.path)) != file.size_bytes:
                problems.append(f"{file.path}: expected {file.size_bytes} bytes, found {size}")
        except ReleaseError as error:
            problems.append(str(error))
    return Check(name="files of the release", problems=_some(problems), note=f"{len(expected)} files")


def _check_records(catalog: Catalog, files: ReleaseFiles, report: Progress) -> Check:
    json_files = catalog.manifest.source.json_files
    problems: list[str] = []
    total = sum(file.size_bytes for file in json_files)
    done = 0

    def add(count: int) -> None:
        nonlocal done
        done += count
        report("recount", done, total)

    for file in json_files:
        try:
            count = count_records(files, file.path, add)
        except ReleaseError as error:
            problems.append(str(error))
            continue
        if count != file.num_records:
            problems.append(f"{file.path}: {count} records by a second count, {file.num_records} in the catalog")
    return Check(name="records counted again", problems=tuple(problems), note=f"{len(json_files)} files")


def _check_members(catalog: Catalog, store: Store, report: Progress) -> Check:
    """Read the first bytes of every member that is a clip's."""
    readers = {part.name: PartReader(store, restore_part(part)) for part in catalog.manifest.source.parts}
    problems: list[str] = []
    done, total = 0, catalog.num_rows("locations")
    last = -1
    for batch in _batches(catalog, "locations", ["clip_id", "member_id", "part", "name", "offset", "size_bytes"]):
        for row in batch.to_pylist():
            done += 1
            if row["member_id"] == last:
                continue
            last = row["member_id"]
            reader = readers.get(row["part"])
            if reader is None:
                problems.append(f"clip {row['clip_id']}: part {row['part']} is none of {sorted(readers)}")
                continue
            try:
                head = _head(reader, row["name"], row["offset"], row["size_bytes"])
            except ArchiveError as error:
                problems.append(str(error))
                continue
            if not starts_like_mp4(head):
                problems.append(
                    f"part {row['part']}, member {row['name']} (clip {row['clip_id']}): expected an mp4 at byte {row['offset']}, "
                    f"found {head[:12]!r}"
                )
        report("members", done, total)
        if len(problems) > MAX_PROBLEMS:
            problems.append(f"the other {total - done} clips were not looked at")
            break
    return Check(name="members present", problems=_some(problems), note=f"{total} clips with video")


def _head(reader: PartReader, name: str, offset: int, size_bytes: int) -> bytes:
    if reader.part.layout != "files":
        # The last byte too: a member whose end is not there is not there.
        if size_bytes:
            reader.read(offset + size_bytes - 1, 1)
        return reader.read(offset, min(12, size_bytes))
    path = f"{reader.part.root}/{name}"
    if (found := reader.store.size(path)) != size_bytes:
        raise ArchiveError(f"{path}: expected {size_bytes} bytes, found {found}")
    return reader.store.read_range(path, 0, min(12, size_bytes))


def _batches(catalog: Catalog, table: str, columns: list[str]) -> Iterator[pa.RecordBatch]:
    file: CatalogFile = catalog.manifest.tables[table]
    with pq.ParquetFile(catalog.root / file.path) as source:
        yield from source.iter_batches(batch_size=16_384, columns=columns, use_threads=False)


def _ints(batch: pa.RecordBatch, column: str) -> np.ndarray:
    return batch.column(column).to_numpy(zero_copy_only=False).astype(np.int64)


def _some(problems: list[str], form: str = "{}") -> tuple[str, ...]:
    shown = [form.format(problem) for problem in problems[:MAX_EXAMPLES]]
    return (*shown, f"and {len(problems) - MAX_EXAMPLES} more") if len(problems) > MAX_EXAMPLES else tuple(shown)
