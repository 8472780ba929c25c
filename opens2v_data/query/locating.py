"""Where do clips' bytes lie? From ids to ranges of the release's files, for millions of clips at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from opens2v_data.catalog.manifest import SourcePart
    from opens2v_data.query.conditions import Query

_SQL = """
SELECT clip_id, part, {name}"offset", size_bytes FROM locations
WHERE clip_id >= ? AND clip_id <= ? AND clip_id IN (SELECT clip_id FROM wanted_ids)
"""


def locate(query: Query, clip_ids: np.ndarray, *, names: bool = False) -> pa.Table:
    """Return which bytes of the release are clips' files, in the order of the ids; clips without bytes are absent.

    Args:
        query: of the catalog.
        clip_ids: which clips.
        names: give the members' names too; at 5 M clips they take as long to read as all the rest.

    Returns:
        `clip_id` int32; `part` string; with `names` the member's `name`; `offset` int64, of its first byte in the part's joined
        tar (0: unpacked); `size_bytes` int64; `piece` string, the file that holds that byte, below the release; `start` int64, of
        it in the piece; `num_pieces` int32, over how many pieces the bytes go on.
    """
    ids = np.asarray(clip_ids, np.int32)
    # The piece of an unpacked video is the member's own file.
    reads_names = names or any(not part.pieces for part in query.catalog.manifest.source.parts)
    made = _located(query, ids, _SQL.replace("{name}", "name, " if reads_names else ""))
    return made.drop_columns("name") if reads_names and not names else made


def _located(query: Query, ids: np.ndarray, sql: str) -> pa.Table:
    if not len(ids):
        return _with_pieces(query, query.ask(sql, (0, -1), tables={"wanted_ids": _ids_table(ids)}))
    values = (int(ids.min()), int(ids.max()))
    found = query.ask(sql, values, tables={"wanted_ids": _ids_table(ids)})
    known = found.column("clip_id").to_numpy()
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known[order], ids)
    at = np.minimum(at, len(known) - 1) if len(known) else at
    hit = known[order][at] == ids if len(known) else np.zeros(len(ids), bool)
    rows = order[at[hit]]
    if not (len(rows) == len(known) and (rows == np.arange(len(rows))).all()):
        found = found.take(pa.array(rows))
    return _with_pieces(query, found)


def _ids_table(ids: np.ndarray) -> pa.Table:
    return pa.table({"clip_id": pa.array(ids, pa.int32())})


def _with_pieces(query: Query, found: pa.Table) -> pa.Table:
    encoded = found.column("part").combine_chunks()
    encoded = encoded.dictionary_encode() if not pa.types.is_dictionary(encoded.type) else encoded
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    offsets, sizes = (found.column(name).to_numpy().astype(np.int64) for name in ("offset", "size_bytes"))
    starts = np.zeros(len(codes), np.int64)
    counts = np.ones(len(codes), np.int32)
    piece_codes = np.full(len(codes), -1, np.int64)
    paths: list[str] = []
    sources = {part.name: part for part in query.catalog.manifest.source.parts}
    for code, name in enumerate(encoded.dictionary.to_pylist()):
        rows = np.flatnonzero(codes == code)
        edges, names = _edges(sources[name])
        if not names:
            continue
        first = np.searchsorted(edges, offsets[rows], side="right") - 1
        # The last byte's piece: a file of no bytes lies where it starts.
        last = np.searchsorted(edges, offsets[rows] + np.maximum(sizes[rows], 1) - 1, side="right") - 1
        starts[rows] = offsets[rows] - edges[first]
        counts[rows] = last - first + 1
        piece_codes[rows] = first + len(paths)
        paths += names
    pieces = pa.DictionaryArray.from_arrays(
        pa.array(np.maximum(piece_codes, 0), pa.int32(), mask=piece_codes < 0), pa.array(paths, pa.string())
    )
    part = pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), encoded.dictionary)
    columns = {
        "clip_id": found.column("clip_id"),
        "part": part,
        **({"name": found.column("name")} if "name" in found.column_names else {}),
        "offset": pa.array(offsets),
        "size_bytes": pa.array(sizes),
        "piece": pieces,
        "start": pa.array(starts),
        "num_pieces": pa.array(counts),
    }
    if (piece_codes < 0).any():
        columns["piece"] = _unpacked(query, pieces.cast(pa.string()), found)
    return pa.table(columns)


def _edges(source: SourcePart) -> tuple[np.ndarray, list[str]]:
    """Return where a part's pieces start in the joined tar, and their paths; nothing for unpacked videos."""
    sizes = [piece.size_bytes for piece in source.pieces]
    return np.cumsum([0, *sizes[:-1]]).astype(np.int64), [piece.path for piece in source.pieces]


def _unpacked(query: Query, pieces: pa.Array, found: pa.Table) -> pa.Array:
    """Return the paths with those of unpacked videos filled in: the member's own file."""
    names = zip(pieces.to_pylist(), found.column("part").to_pylist(), found.column("name").to_pylist(), strict=True)
    return pa.array([path or f"Videos/{part}/{name}" for path, part, name in names], pa.string())
