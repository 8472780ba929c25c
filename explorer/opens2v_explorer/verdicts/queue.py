"""Which clips are judged next: the clips of the shared filter that this reviewer has not judged yet, some at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from opens2v_data.query.lookup import known_clip_ids
from opens2v_explorer.judged import judged_clips
from opens2v_explorer.media import urls
from opens2v_explorer.state import PATHS
from opens2v_explorer.verdicts.exporting import clip_keys
from opens2v_explorer.verdicts.targets import clip_target

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from opens2v_data.query.slices import Slice
    from opens2v_explorer.filters import Filters
    from opens2v_explorer.runtime import Explorer
    from opens2v_explorer.verdicts.events import Event

BATCH = 50
"""Clips sent to the browser at a time."""

POSTER_WIDTH = 960
RECENT = 10
"""Verdicts that can be taken back after the page was loaded anew."""

COLUMNS = (
    *("clip_id", "part", "clip_key", "caption"),
    *("aesthetic", "motion", "duration_seconds", "crop_width", "crop_height", "num_subjects"),
)

Which = Literal["todo", "all"]


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A question for clips to judge.

    Attributes:
        filters: which clips.
        who: the reviewer.
        round: 2 is the blind second pass: clips that others judged in round 1 and this reviewer never, whatever they said.
        which: "todo" leaves out what this reviewer has judged in this round; "all" does not.
    """

    filters: Filters
    who: str
    round: int = 1
    which: Which = "todo"

    def slice(self, explorer: Explorer) -> Slice:
        """Return the clips.

        Raises:
            QueryError: a filter that the catalog cannot answer.
        """
        catalog, store = explorer.catalog, explorer.verdicts
        s = self.filtered(explorer)
        if self.round == 2:
            theirs = store.judged("clip", not_who=self.who, round=1)
            s = s & catalog.all.with_ids(known_clip_ids(catalog.query, clip_keys("clip", theirs)))
            s = s - self._judged(explorer, None if self.which == "todo" else 1)
        # Who filters by a verdict wants to see what was judged.
        elif self.which == "todo" and self.filters.verdict in ("", "unjudged"):
            s = s - self._judged(explorer, 1)
        return s

    def filtered(self, explorer: Explorer) -> Slice:
        """Return the clips of the filter, whoever judged them.

        Raises:
            QueryError: a filter that the catalog cannot answer.
        """
        # A filter by verdict would give away what others said.
        filters = self.filters if self.round == 1 else replace(self.filters, verdict="")
        return filters.slice(
            explorer.catalog, explorer.start_slice, find_judged=lambda verdict: judged_clips(explorer, verdict)
        )

    @property
    def query(self) -> str:
        """Return it as the parameters of a URL, without `?`: what the route of queues reads."""
        own = {"who": self.who, "round": str(self.round), "which": self.which}
        return urlencode({**self.filters.to_params(), **own}, doseq=True)

    def page(
        self, explorer: Explorer, *, after: str | None = None, n: int = BATCH
    ) -> tuple[list[dict[str, Any]], str | None]:
        """Return the next clips as the browser takes them, and what to give as `after` for those behind them.

        Raises:
            QueryError: a filter that the catalog cannot answer, or `after` of another order.
        """
        page = self.slice(explorer).page(after=after, n=n, columns=COLUMNS)
        return self._items(explorer, page.rows), page.after

    def recent(self, explorer: Explorer) -> list[dict[str, Any]]:
        """Return the clips that this reviewer judged last in this round, the last one last."""
        events = explorer.verdicts.current("clip", self.who, self.round, last=RECENT)
        ids = known_clip_ids(explorer.catalog.query, clip_keys("clip", [event.target for event in events]))
        rows = explorer.catalog.all.with_ids(ids).page(n=len(ids) + 1, columns=COLUMNS).rows
        items = {item["target"]: item for item in self._items(explorer, rows)}
        return [items[event.target] for event in events if event.target in items]

    def _judged(self, explorer: Explorer, round: int | None) -> Slice:
        targets = explorer.verdicts.judged("clip", who=self.who, round=round)
        ids = known_clip_ids(explorer.catalog.query, clip_keys("clip", targets))
        return explorer.catalog.all.with_ids(ids)

    def _items(self, explorer: Explorer, rows: pa.Table) -> list[dict[str, Any]]:
        found = rows.to_pylist()
        targets = [clip_target(row["part"], row["clip_key"]) for row in found]
        explorer.media.prime(row["clip_id"] for row in found)
        # Only this reviewer's own verdicts, and of this round, ever go to the browser.
        mine = {
            event.target: event for event in explorer.verdicts.current("clip", self.who, self.round, targets=targets)
        }
        carried = {**self.filters.to_params(), "who": self.who}
        return [_item(row, target, mine.get(target), carried) for row, target in zip(found, targets, strict=True)]


def _item(row: dict[str, Any], target: str, mine: Event | None, carried: dict[str, Any]) -> dict[str, Any]:
    key = f"{row['part']}/{row['clip_key']}"
    return {
        "clip_id": row["clip_id"],
        "target": target,
        "key": key,
        "href": f"{PATHS['clip']}?{urlencode({**carried, 'key': key}, doseq=True)}",
        "caption": row["caption"] or "",
        "facts": _facts(row),
        "poster": urls.poster(row["clip_id"], POSTER_WIDTH),
        "video": urls.video(row["clip_id"]),
        "times": f"{urls.PREFIX}/verdicts/times/{row['clip_id']}",
        "mine": None
        if mine is None
        else {name: getattr(mine, name) for name in ("event_id", "verdict", "note", "at")}
        | {"reasons": list(mine.reasons)},
    }


def _facts(row: dict[str, Any]) -> Sequence[str]:
    """Return the clip's numbers in words; those that upstream does not give are left out."""
    found = []
    for name, label, digits in (("aesthetic", "aesthetic", 2), ("motion", "motion", 3)):
        if row[name] is not None:
            found.append(f"{label} {row[name]:.{digits}f}")
    if row["duration_seconds"] is not None:
        found.append(f"{row['duration_seconds']:.1f} s")
    if row["crop_width"] is not None and row["crop_height"] is not None:
        found.append(f"{row['crop_width']}×{row['crop_height']}")
    if row["num_subjects"] is not None:
        found.append(f"{row['num_subjects']} subject{'' if row['num_subjects'] == 1 else 's'}")
    return found
