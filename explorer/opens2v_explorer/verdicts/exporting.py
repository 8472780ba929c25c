"""Verdicts for others to use: as a saved slice, as ids that loaders include or exclude, as keys, as the log itself.

judged_ids(catalog, store, verdict="drop")      for `ClipLoader(exclude=…)`, and `Slice.with_ids`
save_slice(catalog, keys, path)                 for `opens2v … --slice FILE` and `catalog.slice(path)`
key_lines(keys)                                 `part/clip_key`, a line each, as `opens2v slice --ids` prints them
event_lines(store)                              JSON lines, which `Event.from_json` reads
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from opens2v_data.query.lookup import known_clip_ids
from opens2v_explorer.verdicts.agreement import ratings_of
from opens2v_explorer.verdicts.targets import Kind, clips_of

if TYPE_CHECKING:
    from opens2v_data import OpenS2V
    from opens2v_explorer.verdicts.store import VerdictStore

By = Literal["all", "any"]


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written of some keys.

    Attributes:
        num_clips: in the slice.
        num_unknown: keys that no clip of the catalog has.
    """

    num_clips: int
    num_unknown: int


def chosen_targets(
    store: VerdictStore, kind: Kind, verdict: str | None = None, *, by: By = "all", who: str | None = None
) -> list[str]:
    """Return the targets on which a verdict was given, in order of their text.

    Args:
        store: the log.
        kind: of targets.
        verdict: this one; None: any.
        by: "all" who judged a target say so, or "any" of them does.
        who: of this reviewer alone.
    """
    ratings = ratings_of(store.current(kind, who))
    ask = all if by == "all" else any
    return sorted(
        target for target, said in ratings.items() if verdict is None or ask(one == verdict for one in said.values())
    )


def clip_keys(kind: Kind, targets: Iterable[str]) -> list[str]:
    """Return the clips of targets as `part/clip_key`, each once, in their order; both sides of a pair."""
    return list(dict.fromkeys(key for target in targets for key in clips_of(kind, target)))


def judged_ids(
    catalog: OpenS2V,
    store: VerdictStore,
    *,
    kind: Kind = "clip",
    verdict: str | None = None,
    by: By = "any",
    who: str | None = None,
) -> np.ndarray:
    """Return the ids of clips on which a verdict was given, `(N,) int32`, ascending; keys of no clip are passed over.

    Args:
        catalog: whose ids.
        store, kind, verdict, by, who: see `chosen_targets`.
    """
    targets = chosen_targets(store, kind, verdict, by=by, who=who)
    return known_clip_ids(catalog.query, clip_keys(kind, targets))


def save_slice(catalog: OpenS2V, keys: Sequence[str], path: str | os.PathLike[str]) -> Written:
    """Write clips as a saved slice; keys of no clip are passed over, and counted."""
    ids = known_clip_ids(catalog.query, keys)
    saved = catalog.all.with_ids(ids).save(path)
    return Written(num_clips=saved.num_clips, num_unknown=len(set(keys)) - saved.num_clips)


def slice_bytes(catalog: OpenS2V, keys: Sequence[str]) -> bytes:
    """Return clips as the bytes of a saved slice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "verdicts.slice.parquet"
        save_slice(catalog, keys, path)
        return path.read_bytes()


def key_lines(keys: Iterable[str]) -> str:
    """Return clips as text, `part/clip_key` a line."""
    return "".join(f"{key}\n" for key in keys)


def event_lines(store: VerdictStore, *, kind: Kind | None = None) -> Iterator[str]:
    """Give all events as lines of JSON, in the order of their arrival."""
    for event in store.events(kind=kind):
        yield json.dumps(event.to_json(), ensure_ascii=False) + "\n"
