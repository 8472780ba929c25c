"""The release of a catalog of millions of clips, with the bytes of some: its pieces are sparse files that hold those clips only.

Where a clip lies, an mp4 is written that is followed by a `free` box up to the clip's size, so that readers and players take it
for a whole file:

    piece 003   …… holes ……│ mp4 │ free │…… holes ……
                           offset       offset + size_bytes of the member
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Sequence
from pathlib import Path

import opens2v_data

_BOX_HEADER_BYTES = 8


def lay_out(catalog: opens2v_data.OpenS2V, folder: Path) -> None:
    """Write all pieces of a catalog's release as holes: 10 TB that take no room."""
    for part in catalog.catalog.manifest.source.parts:
        for piece in part.pieces:
            path = folder / piece.path
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(piece.size_bytes)


def put(catalog: opens2v_data.OpenS2V, folder: Path, clip_ids: Sequence[int], mp4: bytes) -> list[int]:
    """Write an mp4 where some clips lie; return those that it fits into."""
    parts = {part.name: part for part in catalog.catalog.manifest.source.parts}
    done = []
    for place in catalog.all.with_ids(list(clip_ids)).locate(names=True).to_pylist():
        part, room = parts[place["part"]], place["size_bytes"] - len(mp4)
        if place["offset"] is None or (room and room < _BOX_HEADER_BYTES):
            continue
        data = mp4 + (struct.pack(">I4s", room, b"free") + bytes(room - _BOX_HEADER_BYTES) if room else b"")
        _write(folder, [(piece.path, piece.size_bytes) for piece in part.pieces], place["offset"], data)
        done.append(place["clip_id"])
    return done


def _write(folder: Path, pieces: Sequence[tuple[str, int]], offset: int, data: bytes) -> None:
    starts = [0]
    for _, size in pieces:
        starts.append(starts[-1] + size)
    while data:
        number = bisect.bisect_right(starts, offset) - 1
        path, size = pieces[number]
        at = offset - starts[number]
        with (folder / path).open("r+b") as file:
            file.seek(at)
            written = file.write(data[: size - at])
        data, offset = data[written:], offset + written
