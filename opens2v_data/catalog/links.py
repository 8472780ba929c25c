"""What is joined by name: pairs, GPT views and background plates to clips, classes to ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from opens2v_data.catalog.hashing import key_hashes
from opens2v_data.catalog.schemas import BACKGROUNDS, CLASSES, PAIRS, VIEWS
from opens2v_data.catalog.sorting import RangeSorter
from opens2v_data.catalog.units import Quarantined
from opens2v_data.catalog.writer import TableWriter
from opens2v_data.release.keys import key_stem
from opens2v_data.release.layout import Release, ViewFile
from opens2v_data.release.pairs import PairRecord, read_pairs

CLIPS_PER_RANGE = 1_000_000
"""Clips whose views or plates are sorted at a time."""

UNKNOWN_RANGES = 32
"""Ranges that rows of clips not in the catalog are spread over: with one part of thirteen, most pairs are such."""

PAIRS_PER_RANGE_BYTES = 1 << 30
"""Bytes of pairs JSON (some 500 B a pair) whose rows are sorted at a time: about 2 M rows."""


class ClassNames:
    """Class names with ids: by frequency, equal ones by name; names that only pairs or views use come behind."""

    def __init__(self, counts: Counter[str]) -> None:
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        self._ids = {name: class_id for class_id, (name, count) in enumerate(ordered) if count > 0}
        self._num_subjects = [count for _, count in ordered if count > 0]
        self._num_clips = np.zeros(len(self._ids), np.int64)
        self._last_counted: tuple[int, int] | None = None

    def id_of(self, name: str) -> int:
        """Return the id of a name, a new one for a name not seen before."""
        return self._ids.setdefault(name, len(self._ids))

    def edges(self, rows_per_range: int) -> np.ndarray:
        """Return class ids that split the subjects into ranges of at most `rows_per_range`, or of one class."""
        edges, in_range = [], 0
        for class_id, count in enumerate(self._num_subjects):
            if in_range and in_range + count > rows_per_range:
                edges.append(class_id)
                in_range = 0
            in_range += count
        # Class 0 from below, so that it can be a range of its own.
        return np.unique(np.array([0, *edges, len(self._num_subjects)], np.int64))

    def count_clips(self, index: pa.Table) -> None:
        """Count distinct clips per class in rows sorted by class and clip; call with one stretch after another."""
        class_id, clip_id = index.column("class_id").to_numpy(), index.column("clip_id").to_numpy()
        is_new = np.ones(len(class_id), bool)
        is_new[1:] = (class_id[1:] != class_id[:-1]) | (clip_id[1:] != clip_id[:-1])
        is_new[0] = (class_id[0], clip_id[0]) != self._last_counted
        self._last_counted = class_id[-1], clip_id[-1]
        self._num_clips += np.bincount(class_id[is_new], minlength=len(self._num_clips))

    def write(self, folder: Path) -> TableWriter:
        """Write table classes."""
        extra = len(self._ids) - len(self._num_subjects)
        with TableWriter(CLASSES, folder) as writer:
            writer.write_columns(
                class_id=np.arange(len(self._ids), dtype=np.int32),
                name=list(self._ids),
                num_subjects=[*self._num_subjects, *[0] * extra],
                num_clips=[*self._num_clips.tolist(), *[0] * extra],
            )
        return writer


class ClipKeys:
    """Clip ids by key, by (part, key) and by the key without stage suffixes: sorted 64-bit hashes, 5 M clips in ~150 MB.

    A reference that is not in the catalog is taken for a clip that is with a chance of 5 M / 2^64.

    Args:
        key_hashes, stem_hashes: per clip id, `(N,) uint64`.
        part_idx: per clip id, index into `part_names`.
    """

    def __init__(
        self, key_hashes: np.ndarray, stem_hashes: np.ndarray, part_idx: np.ndarray, part_names: list[str]
    ) -> None:
        self.by_key = np.argsort(key_hashes, kind="stable")
        self._keys = key_hashes[self.by_key]
        self._stem_hashes = stem_hashes
        self._stems: tuple[np.ndarray, np.ndarray] | None = None
        self._part_idx = part_idx
        self._parts = {name: index for index, name in enumerate(part_names)}

    @property
    def num_clips(self) -> int:
        """How many clips there are."""
        return len(self.by_key)

    def edges(self, clips_per_range: int) -> np.ndarray:
        """Return clip ids that split the clips into ranges of so many."""
        known = np.arange(clips_per_range, self.num_clips, clips_per_range)
        return np.concatenate([known, np.arange(self.num_clips, self.num_clips + UNKNOWN_RANGES)])

    def unknown_keys(self, hashes: np.ndarray) -> np.ndarray:
        """Return sort keys behind all clips for rows of unknown clips, spread so that no range holds them all."""
        return self.num_clips + (hashes % np.uint64(UNKNOWN_RANGES)).astype(np.int64)

    def find(self, parts: list[str | None], keys: list[str]) -> np.ndarray:
        """Return the clip id per reference, `(N,) int64`, -1 where there is none.

        Without a part, the first clip of that key.
        """
        hashes = key_hashes(keys)
        lo = np.searchsorted(self._keys, hashes, side="left")
        hi = np.searchsorted(self._keys, hashes, side="right")
        found = np.full(len(keys), -1, np.int64)
        for row in np.flatnonzero(hi > lo):
            candidates = self.by_key[lo[row] : hi[row]]
            part = parts[row]
            if part is not None:
                candidates = candidates[self._part_idx[candidates] == self._parts.get(part, -1)]
            if len(candidates):
                found[row] = candidates[0]
        return found

    def find_by_stem(self, key: str) -> list[int]:
        """Return the clips whose key agrees with `key` apart from stage suffixes; those of the very key first."""
        exact = self._all(self._keys, self.by_key, key)
        if self._stems is None:
            order = np.argsort(self._stem_hashes, kind="stable")
            self._stems = self._stem_hashes[order], order
        akin = self._all(*self._stems, key_stem(key))
        return [*exact, *(clip_id for clip_id in akin if clip_id not in exact)]

    @staticmethod
    def _all(keys: np.ndarray, ids: np.ndarray, key: str) -> list[int]:
        hashed = key_hashes([key])
        lo, hi = np.searchsorted(keys, hashed, side="left")[0], np.searchsorted(keys, hashed, side="right")[0]
        return sorted(ids[lo:hi].tolist())


_SORTED_PAIRS = pa.schema(
    [pa.field("sort_key", pa.int64(), nullable=False), *PAIRS.arrow, pa.field("identity", pa.uint64(), nullable=False)]
)


def write_pairs(
    release: Release,
    work: Path,
    folder: Path,
    keys: ClipKeys,
    classes: ClassNames,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[TableWriter, list[Quarantined], dict[str, int]]:
    """Write table pairs from all pair files; a pair that stands in several files becomes one row.

    Returns:
        The writer, what could not be read, and counts for the report.
    """
    entries = release.pair_files()
    total_bytes = sum(entry.size_bytes for entry in entries)
    edges = keys.edges(max(1, keys.num_clips // (1 + total_bytes // PAIRS_PER_RANGE_BYTES)))
    sorter = RangeSorter(_SORTED_PAIRS, by="sort_key", folder=work / "sort-pairs", edges=edges)
    quarantined: list[Quarantined] = []
    counts = {"pairs_read": 0, "pairs_in_several_files": 0, "pairs_with_unknown_clip": 0, "pairs_older_form": 0}
    done = 0
    for entry in entries:
        for batch in read_pairs(release.files, entry.path):
            quarantined += (Quarantined.of(entry.path, bad) for bad in batch.bad)
            counts["pairs_read"] += len(batch.pairs)
            for rows in _pair_rows(batch.pairs, keys, classes):
                sorter.add(rows)
            if progress is not None:
                progress(done + batch.end, total_bytes)
        done += entry.size_bytes
    with TableWriter(PAIRS, folder) as writer:
        for table in sorter.sorted():
            # Equal pairs have one clip, so they are in one range, and a stable sort keeps the first file's first.
            identity = table.column("identity").to_numpy()
            _, first = np.unique(identity, return_index=True)
            kept = table.take(pa.array(np.sort(first))).select(PAIRS.arrow.names)
            counts["pairs_in_several_files"] += table.num_rows - kept.num_rows
            unknown = np.zeros(kept.num_rows, bool)
            for name in ("clip_id", "partner_clip_id"):
                unknown |= kept.column(name).is_null().to_numpy()
            counts["pairs_with_unknown_clip"] += int(unknown.sum())
            counts["pairs_older_form"] += kept.column("form").to_pylist().count("older")
            writer.write(kept)
    sorter.close()
    return writer, quarantined, counts


def _pair_rows(pairs: list[PairRecord], keys: ClipKeys, classes: ClassNames) -> Iterator[pa.RecordBatch]:
    for lo in range(0, len(pairs), 8192):
        some = pairs[lo : lo + 8192]
        clip = keys.find([pair.part for pair in some], [pair.key for pair in some])
        partner = keys.find([pair.partner_part for pair in some], [pair.partner_key for pair in some])
        identity = key_hashes(map(repr, some))
        columns: dict[str, Any] = {
            "sort_key": np.where(clip >= 0, clip, keys.unknown_keys(identity)),
            "clip_id": pa.array(clip, pa.int32(), mask=clip < 0),
            "partner_clip_id": pa.array(partner, pa.int32(), mask=partner < 0),
            "object_id": [pair.object_id for pair in some],
            "partner_object_id": [pair.partner_object_id for pair in some],
            "class_id": [classes.id_of(pair.class_name) for pair in some],
            "partner_class_id": [classes.id_of(pair.partner_class_name) for pair in some],
            "text_similarity": [pair.text_similarity for pair in some],
            "image_similarity": [pair.image_similarity for pair in some],
            "frame_idx": [pair.frame_idx for pair in some],
            "partner_frame_idx": [pair.partner_frame_idx for pair in some],
            "clip_ref": [pair.ref if found < 0 else None for pair, found in zip(some, clip, strict=True)],
            "partner_ref": [pair.partner_ref if found < 0 else None for pair, found in zip(some, partner, strict=True)],
            "form": ["current" if pair.object_id is not None or pair.part is not None else "older" for pair in some],
            "identity": identity,
        }
        arrays = [
            column if isinstance(column := columns[field.name], pa.Array) else pa.array(column, field.type)
            for field in _SORTED_PAIRS
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=_SORTED_PAIRS)


_SORTED_VIEWS = pa.schema([pa.field("sort_key", pa.int64(), nullable=False), *VIEWS.arrow])
_SORTED_PLATES = pa.schema([pa.field("sort_key", pa.int64(), nullable=False), *BACKGROUNDS.arrow])


def write_views(
    release: Release, work: Path, folder: Path, keys: ClipKeys, classes: ClassNames
) -> tuple[TableWriter, dict[str, int]]:
    """Write table views; a folder's key may carry other stage suffixes than the clip's."""
    sorter = RangeSorter(_SORTED_VIEWS, by="sort_key", folder=work / "sort-views", edges=keys.edges(CLIPS_PER_RANGE))
    num_unlinked = 0
    for folder_key, pictures in _by_folder(release.views()):
        clip_ids = keys.find_by_stem(folder_key)
        source = next((picture.path for picture in pictures if picture.view_idx is None), None)
        views = [(picture.view_idx, picture) for picture in pictures if picture.view_idx is not None]
        if not clip_ids:
            num_unlinked += len(views)
        sort_key = clip_ids[0] if clip_ids else int(keys.unknown_keys(key_hashes([folder_key]))[0])
        rows = [
            {
                "sort_key": sort_key,
                "clip_id": clip_ids[0] if clip_ids else None,
                "twin_clip_ids": clip_ids[1:],
                "view_idx": view_idx,
                "class_id": classes.id_of(picture.class_name or ""),
                "path": picture.path,
                "size_bytes": picture.size_bytes,
                "source_path": source,
                "folder_key": folder_key,
            }
            for view_idx, picture in sorted(views, key=lambda view: view[0])
        ]
        sorter.add(pa.RecordBatch.from_pylist(rows, schema=_SORTED_VIEWS))
    with TableWriter(VIEWS, folder) as writer:
        for table in sorter.sorted():
            writer.write(table.select(VIEWS.arrow.names))
    sorter.close()
    return writer, {"views_without_clip": num_unlinked}


def _by_folder(views: Iterable[ViewFile]) -> Iterator[tuple[str, list[ViewFile]]]:
    pending: list[ViewFile] = []
    for view in views:
        if pending and view.path.rpartition("/")[0] != pending[-1].path.rpartition("/")[0]:
            yield pending[0].clip_key, pending
            pending = []
        pending.append(view)
    if pending:
        yield pending[0].clip_key, pending


def write_plates(release: Release, work: Path, folder: Path, keys: ClipKeys) -> tuple[TableWriter, dict[str, int]]:
    """Write table backgrounds; of a plate without a part, the first clip of that key is meant."""
    sorter = RangeSorter(_SORTED_PLATES, by="sort_key", folder=work / "sort-plates", edges=keys.edges(CLIPS_PER_RANGE))
    num_unlinked = 0
    plates = release.plates()
    while batch := list(islice(plates, 8192)):
        found = keys.find([plate.part for plate in batch], [plate.clip_key for plate in batch])
        rows = [
            {"sort_key": clip_id, "clip_id": clip_id, "path": plate.path, "size_bytes": plate.size_bytes}
            for clip_id, plate in zip(found.tolist(), batch, strict=True)
            if clip_id >= 0
        ]
        num_unlinked += len(batch) - len(rows)
        sorter.add(pa.RecordBatch.from_pylist(rows, schema=_SORTED_PLATES))
    with TableWriter(BACKGROUNDS, folder) as writer:
        for table in sorter.sorted():
            writer.write(table.select(BACKGROUNDS.arrow.names))
    sorter.close()
    return writer, {"backgrounds_without_clip": num_unlinked}
