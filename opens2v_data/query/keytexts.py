"""The keys of all clips in one file that is mapped, not read: a page's fifty keys lie in fifty row groups of `clips`.

    <cache>/derived/<digest>/clip_keys-<FORMAT>.arrow         clip_key; row i is clip i

At 5 M clips a page's keys took 40 ms from parquet, where whole row groups are decoded, and take 0.3 ms from here. The file is
some 40 bytes a clip on the disk, and in memory what was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from opens2v_data.query.derived import derived_folder

if TYPE_CHECKING:
    from opens2v_data.catalog.catalog import Catalog

FORMAT = 1
CLIPS_AT_ONCE = 131_072
_SQL = "SELECT clip_id, clip_key FROM clips WHERE clip_id >= ? AND clip_id < ? ORDER BY clip_id"
_SCHEMA = pa.schema([pa.field("clip_key", pa.string(), nullable=False)])


class KeyTexts:
    """The keys of a catalog's clips by id.

    Args:
        path: the file.
        num_clips: how many it must have.

    Raises:
        OSError, pa.ArrowInvalid: it cannot be read, or has another number of rows.
    """

    def __init__(self, path: Path, num_clips: int) -> None:
        self._file = pa.memory_map(str(path))
        self._batches = pa.ipc.open_file(self._file)
        found = sum(self._batches.get_batch(at).num_rows for at in range(self._batches.num_record_batches))
        if found != num_clips:
            raise pa.ArrowInvalid(f"expected {num_clips} keys in {path}, found {found}")

    def take(self, clip_ids: Sequence[int]) -> pa.Array:
        """Return the keys of some clips, in the order of the ids."""
        batches: dict[int, pa.Array] = {}
        keys = []
        for clip_id in clip_ids:
            at, row = divmod(clip_id, CLIPS_AT_ONCE)
            if at not in batches:
                batches[at] = self._batches.get_batch(at).column(0)
            keys.append(batches[at][row].as_py())
        return pa.array(keys, pa.string())


def key_texts(catalog: Catalog, ask: Callable[..., pa.Table]) -> KeyTexts | None:
    """Return the keys of all clips, from a file that is made if it is not there: 3 s at 5 M clips.

    Args:
        catalog: whose.
        ask: answers a statement with values over the catalog, as `Query.ask` does.

    Returns:
        None where the cache cannot be written: keys are then read from the catalog.
    """
    path = derived_folder(catalog) / f"clip_keys-{FORMAT}.arrow"
    num_clips = catalog.num_rows("clips")
    try:
        return KeyTexts(path, num_clips)
    except (OSError, pa.ArrowInvalid):
        pass
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, num_clips, ask)
        return KeyTexts(path, num_clips)
    except OSError:
        return None


def _write(path: Path, num_clips: int, ask: Callable[..., pa.Table]) -> None:
    """Write the file whole or not at all; two processes at once write the same."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_file(file, _SCHEMA) as writer:
            for start in range(0, num_clips, CLIPS_AT_ONCE):
                rows = ask(_SQL, [start, start + CLIPS_AT_ONCE]).combine_chunks()
                # One batch for each range, so that a clip's batch is known without looking.
                keys = rows.column("clip_key").combine_chunks()
                writer.write_batch(pa.record_batch([keys.cast(pa.string())], schema=_SCHEMA))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
