"""Clips by key: from upstream's keys to ids, by the table of their hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from opens2v_data.catalog.hashing import key_hashes
from opens2v_data.errors import QueryError

if TYPE_CHECKING:
    from opens2v_data.query.conditions import Query

_SHOWN = 5
_SQL = """
SELECT clip.clip_id, clip.part, clip.clip_key FROM clips AS clip
WHERE clip.clip_id IN (SELECT clip_id FROM keys WHERE key_hash >= ? AND key_hash <= ? AND key_hash IN ({hashes}))
ORDER BY clip.clip_id
"""
_MOST_BOUND = 64
"""Hashes that are bound one by one; to register a table for them takes 4 ms, as long as the rest."""


def clip_ids_of(query: Query, keys: Sequence[str]) -> np.ndarray:
    """Return the clips of some keys, `(len(keys),) int32`, in their order.

    Args:
        keys: `part/clip_key`, or `clip_key` alone where only one part has it.

    Raises:
        QueryError: a key that no clip has, or that several have.
        TypeError: a text instead of a list of keys, or a key that is none.
    """
    if isinstance(keys, str):
        raise TypeError(f"keys must be a list of keys, got the text {keys!r}")
    if wrong := [key for key in keys if not isinstance(key, str)]:
        raise TypeError(f"keys must be texts, got {wrong[0]!r}")
    found, unknown, several = [], [], []
    for key, hits in zip(keys, _hits(query, keys), strict=True):
        if len(hits) == 1:
            found.append(hits[0])
        else:
            (several if hits else unknown).append(key)
    if unknown:
        raise QueryError(
            f"no clip of {query.catalog.uri} has {len(unknown)} of {len(keys)} keys: {_some(unknown)}; keys are upstream's own, "
            "with all stage suffixes: `part/clip_key`"
        )
    if several:
        raise QueryError(f"{len(several)} keys stand in several parts: {_some(several)}; write `part/clip_key`")
    return np.array(found, np.int32)


def known_clip_ids(query: Query, keys: Sequence[str]) -> np.ndarray:
    """Return the clips of some keys, `(N,) int32`, ascending: of a key without part all that have it, of an unknown one none.

    Args:
        keys: as `clip_ids_of` takes them.
    """
    return np.unique(np.array([clip_id for hits in _hits(query, keys) for clip_id in hits], np.int32))


def known_clips(query: Query, keys: Sequence[str]) -> dict[str, int]:
    """Return the clips of some keys by key; of those that one clip has.

    Args:
        keys: as `clip_ids_of` takes them.
    """
    return {key: hits[0] for key, hits in zip(keys, _hits(query, keys), strict=True) if len(hits) == 1}


def _hits(query: Query, keys: Sequence[str]) -> list[list[int]]:
    """Return the clips of each key."""
    if not keys:
        return []
    # A key holds no slash; what stands before one is the part.
    bare = [key.rpartition("/")[2] for key in keys]
    hashes = key_hashes(bare)
    wanted = np.unique(hashes)
    values = [str(hashes.min()), str(hashes.max())]
    if len(wanted) <= _MOST_BOUND:
        marks = ", ".join(["?::UBIGINT"] * len(wanted))
        rows = query.ask(_SQL.format(hashes=marks), [*values, *map(str, wanted)]).to_pylist()
    else:
        table = pa.table({"key_hash": pa.array(wanted, pa.uint64())})
        sql = _SQL.format(hashes="SELECT key_hash FROM wanted_keys")
        rows = query.ask(sql, values, tables={"wanted_keys": table}).to_pylist()
    by_key: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        by_key.setdefault(row["clip_key"], []).append((row["part"], row["clip_id"]))
    found = []
    for key, name in zip(keys, bare, strict=True):
        part = key[: -len(name) - 1] if len(key) > len(name) else None
        found.append([clip_id for known, clip_id in by_key.get(name, []) if part is None or known == part])
    return found


def _some(keys: Sequence[str]) -> str:
    return ", ".join(map(repr, keys[:_SHOWN])) + (", …" if len(keys) > _SHOWN else "")
