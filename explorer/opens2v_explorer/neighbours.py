"""Which clips stand before and after one, in the order of the filters?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from opens2v_explorer.runtime import current
from opens2v_explorer.state import current_slice

if TYPE_CHECKING:
    from opens2v_data.query.slices import Slice
    from opens2v_explorer.filters import Filters

KEPT_ORDERS = 4
"""Orders kept for all sessions, 20 MB each at 5 M clips."""


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """Where a clip stands among the filters' clips.

    Attributes:
        place: from 1; None: the clip is none of them.
        total: how many they are.
        before, after: clip ids; None: there is none, or no place.
    """

    place: int | None
    total: int
    before: int | None
    after: int | None


def neighbours(filters: Filters, clip_id: int) -> Neighbours:
    """Return a clip's neighbours.

    Raises:
        QueryError: a filter that the catalog cannot answer.
    """
    explorer = current()
    if filters.is_empty and not filters.sort and explorer.start_slice is None:
        # All clips in order of their ids, which are 0, 1, …
        total = len(explorer.catalog)
        return _around(clip_id, total, lambda at: at)
    ids = ordered_ids(filters)
    found = np.flatnonzero(ids == clip_id)
    if not found.size:
        return Neighbours(place=None, total=len(ids), before=None, after=None)
    return _around(int(found[0]), len(ids), lambda at: int(ids[at]))


def ordered_ids(filters: Filters) -> np.ndarray:
    """Return the ids of the filters' clips in order, `(N,) int32`; kept, since stepping asks for them again and again."""
    explorer = current()
    # Verdicts change what a filter by verdict finds.
    log = explorer.verdicts.version() if filters.verdict else 0
    return _ids((explorer.version, id(explorer.start_slice), filters.fingerprint, log), current_slice(filters))


@st.cache_resource(max_entries=KEPT_ORDERS, show_spinner=False)
def _ids(key: tuple[object, ...], _slice: Slice) -> np.ndarray:
    return _slice.ids()


def _around(at: int, total: int, id_at: Callable[[int], int]) -> Neighbours:
    return Neighbours(
        place=at + 1,
        total=total,
        before=id_at(at - 1) if at > 0 else None,
        after=id_at(at + 1) if at + 1 < total else None,
    )
