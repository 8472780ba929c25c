"""Which pairs and views are left to judge: those without a verdict of this reviewer, of all or of those that others judged."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from opens2v_data.query.lookup import known_clip_ids, known_clips
from opens2v_data.query.pairpages import pair_ids_between
from opens2v_explorer.verdicts.exporting import clip_keys
from opens2v_explorer.verdicts.targets import clips_of, subjects_of

if TYPE_CHECKING:
    from opens2v_explorer.runtime import Explorer

Judged = Literal["any", "todo", "others"]
"""Whoever judged them; not this reviewer; others and not this reviewer, whose verdicts are not shown: for agreement."""

LEFT: dict[Judged, str] = {
    "any": "",
    "todo": " that you have not judged",
    "others": " that others judged and you did not",
}
"""What is listed, in words that follow its noun."""

_VIEWS = "SELECT clip_id, count(*) AS num_views FROM clip_views WHERE clip_id IN (SELECT clip_id FROM judged) GROUP BY clip_id"

_known: dict[tuple[str, str], tuple[int, ...]] = {}
_lock = threading.Lock()


def as_param(judged: Judged) -> str | None:
    """Return it as the URL's `judged`; all are asked for without one."""
    return None if judged == "any" else judged


def pairs_left(
    explorer: Explorer, judged: Judged, who: str, mine: Collection[str]
) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """Return which pairs are asked for: `only` and `without` of a `PairFilter`.

    Args:
        explorer: whose catalog and verdicts.
        judged: what is asked for.
        who: the reviewer.
        mine: targets that the reviewer has judged.
    """
    if judged == "any":
        return None, ()
    if judged == "todo":
        return None, tuple(sorted(_pair_ids(explorer, mine)))
    theirs = _pair_ids(explorer, explorer.verdicts.judged("pair", not_who=who))
    return tuple(sorted(theirs - _pair_ids(explorer, mine))), ()


def clips_with_views_left(
    explorer: Explorer, judged: Judged, who: str, mine: Collection[str], clip_ids: np.ndarray
) -> np.ndarray:
    """Return those of some clips with views of which a view is asked for, ascending.

    Args:
        explorer: whose catalog and verdicts.
        judged: what is asked for.
        who: the reviewer.
        mine: targets that the reviewer has judged.
        clip_ids: of clips that have views.
    """
    if judged == "any":
        return np.unique(clip_ids)
    query, store = explorer.catalog.query, explorer.verdicts
    if judged == "others":
        theirs = set(store.judged("view", not_who=who)) - set(mine)
        return np.intersect1d(clip_ids, known_clip_ids(query, clip_keys("view", sorted(theirs))))
    keys = Counter(clips_of("view", target)[0] for target in mine)
    done = {clip_id: keys[key] for key, clip_id in known_clips(query, sorted(keys)).items()}
    table = pa.table({"clip_id": pa.array(list(done), pa.int32())})
    counted = query.ask(_VIEWS, tables={"judged": table}).to_pylist()
    finished = [row["clip_id"] for row in counted if done[row["clip_id"]] >= row["num_views"]]
    return np.setdiff1d(clip_ids, finished)


def _pair_ids(explorer: Explorer, targets: Iterable[str]) -> set[int]:
    """Return the pairs of targets; each is looked for once, as one at 10 M pairs costs as much as a thousand."""
    version, listed = explorer.version, list(targets)
    with _lock:
        missing = [target for target in listed if (version, target) not in _known]
    if missing:
        found = pair_ids_between(explorer.catalog.query, [subjects_of(target) for target in missing])
        with _lock:
            _known.update({(version, target): ids for target, ids in zip(missing, found, strict=True)})
    with _lock:
        return {pair_id for target in listed for pair_id in _known[version, target]}
