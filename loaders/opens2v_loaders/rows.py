"""Which rows does a plan order? A slice's rows with source and bucket, in one order whatever order they came in.

Only arrays come in, so that a plan can be made from a catalog, a file, or a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from opens2v_loaders.buckets import CHUNK_ROWS, BucketEdges, Buckets, assign_buckets

if TYPE_CHECKING:
    from opens2v_loaders.buckets import By

Ids = Sequence[int] | Set[int] | np.ndarray
"""Ids of rows; or by source, `Mapping[str, Ids]`, where an id means another thing in each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlanRows:
    """The rows of a slice, sorted by (source, row).

    Attributes:
        rows: `(N,) int64`, ids; unique within a source.
        sources: `(N,) uint8`, index into `source_names`.
        source_names: the sources.
        buckets: the bucket of each row.
        num_left_out: rows that `include` and `exclude` took away.
        fingerprint: of all of this and of the catalog.
    """

    rows: np.ndarray
    sources: np.ndarray
    source_names: tuple[str, ...]
    buckets: Buckets
    num_left_out: int
    fingerprint: str

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        counts = np.bincount(self.sources, minlength=len(self.source_names))
        shown = ", ".join(f"{name}: {count:,}" for name, count in zip(self.source_names, counts, strict=True))
        return f"PlanRows({shown}; {len(self.buckets.names)} buckets)"


def plan_rows(
    catalog_fingerprint: str,
    rows: np.ndarray,
    *,
    sources: np.ndarray | None = None,
    source_names: Sequence[str] = ("regular",),
    buckets: By | None = None,
    edges: BucketEdges | None = None,
    width: np.ndarray | None = None,
    height: np.ndarray | None = None,
    num_frames: np.ndarray | None = None,
    include: Ids | Mapping[str, Ids] | None = None,
    exclude: Ids | Mapping[str, Ids] | None = None,
) -> PlanRows:
    """Make the rows of a plan.

    Args:
        catalog_fingerprint: names the catalog's content, so that another catalog's plan cannot be resumed.
        rows: `(N,)` integers, ids of the rows in their sources; not copied if sorted already.
        sources: `(N,)` integers, index into `source_names`; None: all of the first.
        buckets, edges, width, height, num_frames: see `buckets.assign_buckets`.
        include: keep only these; ids that are no rows do nothing.
        exclude: leave these out, after `include`.

    Raises:
        ValueError: columns of different lengths, no integers, an unknown source, a row that comes twice in its source.
    """
    rows = _integers("rows", rows)
    codes = np.zeros(len(rows), np.uint8) if sources is None else _integers("sources", sources)
    if len(codes) != len(rows):
        raise ValueError(
            f"columns must have one row each for every row, found {len(rows)} rows and {len(codes)} sources"
        )
    if len(source_names) > 256 or len(set(source_names)) != len(source_names):
        raise ValueError(f"source_names must be at most 256 different names, not {list(source_names)}")
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < len(source_names):
        raise ValueError(
            f"sources must lie in [0, {len(source_names)}), found [{int(codes.min())}, {int(codes.max())}]"
        )
    if len(rows) >= 1 << 32:
        raise ValueError(f"expected fewer than {1 << 32} rows, found {len(rows)}")
    found = assign_buckets(buckets, width=width, height=height, num_frames=num_frames, num_rows=len(rows), edges=edges)
    rows, codes = rows.astype(np.int64, copy=False), codes.astype(np.uint8, copy=False)
    place = _order(rows, codes)
    left_out = 0
    if include is not None or exclude is not None:
        kept = _kept(rows, codes, source_names, include, exclude)
        left_out = len(rows) - int(kept.sum())
        place = np.flatnonzero(kept) if place is None else place[kept[place]]
    if place is not None:
        rows, codes = rows[place], codes[place]
        found = Buckets(codes=found.codes[place], names=found.names)
    _refuse_twice(rows, codes, source_names)
    return PlanRows(
        rows=rows,
        sources=codes,
        source_names=tuple(source_names),
        buckets=found,
        num_left_out=left_out,
        fingerprint=_fingerprint(catalog_fingerprint, rows, codes, source_names, found),
    )


def _integers(name: str, column: np.ndarray) -> np.ndarray:
    column = np.asarray(column)
    if column.ndim != 1 or (column.dtype.kind not in "iu" and len(column)):
        raise ValueError(f"{name} must be a column of integers, found {column.dtype} of shape {column.shape}")
    return column


def _order(rows: np.ndarray, codes: np.ndarray) -> np.ndarray | None:
    """Return the places of the rows in order of (source, row); None where they are in order."""
    in_order = (codes[1:] > codes[:-1]) | ((codes[1:] == codes[:-1]) & (rows[1:] >= rows[:-1]))
    return None if in_order.all() else np.lexsort((rows, codes))


def _kept(
    rows: np.ndarray,
    codes: np.ndarray,
    source_names: Sequence[str],
    include: Ids | Mapping[str, Ids] | None,
    exclude: Ids | Mapping[str, Ids] | None,
) -> np.ndarray:
    kept = np.ones(len(rows), bool)
    for ids, wanted in ((include, True), (exclude, False)):
        if ids is None:
            continue
        if not isinstance(ids, Mapping):
            kept &= _is_in(rows, ids) == wanted
            continue
        if unknown := sorted(set(ids) - set(source_names)):
            raise ValueError(f"include and exclude name the sources {unknown}; the rows come from {list(source_names)}")
        for code, name in enumerate(source_names):
            if name in ids:
                kept &= (codes != code) | (_is_in(rows, ids[name]) == wanted)
    return kept


def _is_in(rows: np.ndarray, ids: Ids) -> np.ndarray:
    """Return which rows are among some ids, in little memory (numpy.isin joins and sorts both)."""
    found = np.zeros(len(rows), bool)
    column = np.asarray(sorted(ids) if isinstance(ids, Set) else ids)
    wanted = np.unique(_integers("include and exclude", column))
    for start in range(0, len(rows) if len(wanted) else 0, CHUNK_ROWS):
        part = rows[start : start + CHUNK_ROWS]
        at = np.minimum(np.searchsorted(wanted, part), len(wanted) - 1)
        found[start : start + len(part)] = wanted[at] == part
    return found


def _refuse_twice(rows: np.ndarray, codes: np.ndarray, source_names: Sequence[str]) -> None:
    twice = (rows[1:] == rows[:-1]) & (codes[1:] == codes[:-1])
    if twice.any():
        first = int(np.argmax(twice))
        raise ValueError(
            f"each row may come once in its source; row {rows[first]} of {source_names[codes[first]]} comes again "
            f"({int(twice.sum())} such rows)"
        )


def _fingerprint(
    catalog_fingerprint: str, rows: np.ndarray, codes: np.ndarray, source_names: Sequence[str], buckets: Buckets
) -> str:
    digest = blake2b(digest_size=16)
    digest.update(repr((1, catalog_fingerprint, tuple(source_names), buckets.names)).encode())
    for column, kind in ((rows, "<i8"), (codes, "u1"), (buckets.codes, "<u2")):
        digest.update(np.ascontiguousarray(column, kind).data)
    return digest.hexdigest()
