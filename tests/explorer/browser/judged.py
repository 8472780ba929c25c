"""What was judged in a browser: the queue it was judged in, and what of it is in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import opens2v_data
from opens2v_explorer.verdicts import VerdictStore, clip_target

if TYPE_CHECKING:
    from explorer.servers import Server
    from opens2v_explorer.verdicts.events import Event

VERDICT_OF = {"k": "keep", "d": "drop", "f": "flag"}


def targets_of(server: Server) -> list[str]:
    """Return the targets of all clips of `crowd`, in the order in which they are judged."""
    catalog = opens2v_data.open(server.verdicts_path.with_name("opens2v-5m"))
    rows = catalog.all.page(n=len(catalog), columns=["part", "clip_key"]).rows.to_pylist()
    return [clip_target(row["part"], row["clip_key"]) for row in rows]


def logged(server: Server, who: str) -> list[Event]:
    """Return a reviewer's events in the order of their times."""
    with VerdictStore(server.verdicts_path, read_only=True) as store:
        return sorted((one for one in store.events() if one.who == who), key=lambda one: one.at)


def verdicts(server: Server, who: str) -> list[tuple[str, str]]:
    return [(one.target, one.verdict) for one in logged(server, who)]


def given(queue: list[str], keys: str) -> list[tuple[str, str]]:
    """Return what keys say of the clips of a queue."""
    return [(target, VERDICT_OF[key]) for target, key in zip(queue, keys, strict=False)]
