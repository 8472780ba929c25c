"""Triage: what the page tells its component, which judges clips by keys without a run of the script."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from streamlit.components.v2 import component

from opens2v_explorer.stage import static_text
from opens2v_explorer.state import link_here, link_to
from opens2v_explorer.states import state
from opens2v_explorer.verdicts.buttons import outbox_data
from opens2v_explorer.verdicts.events import MAX_REASON, VERDICTS

if TYPE_CHECKING:
    from opens2v_explorer.runtime import Explorer
    from opens2v_explorer.verdicts.queue import Queue

REASONS = (
    "watermark or text",
    "blurred",
    "subject cut off",
    "wrong subject",
    "caption wrong",
    "little motion",
    "scene changes",
    "not safe",
    "other",
)
"""For the keys 1 to 9, unless the URL's `reasons` has others."""

KEYS = "kdf"
"""For keep, drop and flag, unless the URL's `keys` has others."""

TAKEN = "un"
"""Letters that mean undo and note."""

_LABELS = {"keep": "Keep", "drop": "Drop", "flag": "Flag"}


def parse_reasons(text: str) -> tuple[str, ...]:
    """Return reasons from lines, or pieces between bars: nine at most; `REASONS` where there are none."""
    found = (" ".join(piece.split())[:MAX_REASON] for piece in text.replace("|", "\n").splitlines())
    return tuple(dict.fromkeys(piece for piece in found if piece))[:9] or REASONS


def parse_keys(text: str) -> str:
    """Return the letters for keep, drop and flag.

    Raises:
        ValueError: not three letters from a to z, two alike, or one that means something else.
    """
    letters = text.strip().lower()
    if not letters:
        return KEYS
    if (
        len(letters) != 3
        or len(set(letters)) != 3
        or not (letters.isascii() and letters.isalpha())
        or set(letters) & set(TAKEN)
    ):
        raise ValueError(
            f"expected three different letters for keep, drop and flag, none of {TAKEN.upper()}, got {text[:20]!r}"
        )
    return letters


def triage_data(
    explorer: Explorer, queue: Queue, *, reasons: Sequence[str] = REASONS, keys: str = KEYS
) -> dict[str, Any]:
    """Return what the component is told: the first clips, where more are asked for, and what keys mean.

    Raises:
        QueryError: a filter that the catalog cannot answer.
    """
    items, after = queue.page(explorer)
    log = outbox_data(explorer)
    meaning = f"{queue.query}|{log['log']}|{explorer.version}|{'|'.join(reasons)}|{keys}"
    if queue.round == 2:
        end = state("queue-done", _NO_SECOND)
    elif items or len(queue.filtered(explorer).page(n=1, columns=["clip_id"])):
        end = state("queue-done")
    else:
        end = state("no-results")
    links = [{"label": "Review", "href": link_to("review")}]
    if queue.round == 1:
        links.append({"label": "Second pass", "href": link_here(queue.filters, round=2, which=None)})
    return {
        **log,
        "queue_id": hashlib.sha256(meaning.encode()).hexdigest()[:16],
        "queue_url": f"{log['url']}/queue?{queue.query}",
        "items": items,
        "after": after,
        "recent": queue.recent(explorer),
        "who": queue.who,
        "round": queue.round,
        "which": queue.which,
        "filter_hash": queue.filters.fingerprint,
        "catalog_digest": explorer.catalog.fingerprint,
        "verdicts": [
            {"verdict": verdict, "label": _LABELS[verdict], "key": key}
            for verdict, key in zip(VERDICTS["clip"], keys, strict=True)
        ],
        "reasons": list(reasons),
        "end": end.as_json(),
        "links": links,
    }


_NO_SECOND = "No clip of this filter is left that another reviewer judged and you did not."


def show_triage(data: dict[str, Any], *, key: str = "triage") -> None:
    """Put the component on the page.

    Args:
        data: see `triage_data`.
        key: of the element, unique on the page.
    """
    _component()(data=data, key=key)


@cache
def _component() -> Any:
    return component(
        "opens2v_triage",
        html=static_text("triage.html"),
        css=static_text("triage.css"),
        js="\n".join(
            static_text(name) for name in ("lasting.js", "outbox.js", "screen.js", "triage_parts.js", "triage.js")
        ),
    )
