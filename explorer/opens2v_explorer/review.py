"""Review: what a log of verdicts adds up to, and its pieces as HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from opens2v_explorer import markup
from opens2v_explorer.filters import Filters
from opens2v_explorer.state import link_to
from opens2v_explorer.verdicts.agreement import (
    Agreement,
    all_kappas,
    disagreements,
    in_words,
    krippendorffs_alpha,
    ratings_of,
)
from opens2v_explorer.verdicts.events import VERDICTS
from opens2v_explorer.verdicts.targets import Kind, clips_of

if TYPE_CHECKING:
    from opens2v_explorer.verdicts.store import Tally, VerdictStore

EXPORT = "/explorer/verdicts/export"

MAX_SHOWN = 200
"""Targets listed in dispute; all of them are counted."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the verdicts of one kind add up to.

    Attributes:
        kind: of targets.
        num_judged: targets.
        kappas: of each two reviewers who judged a target both.
        alpha: of all reviewers.
        disputed: targets on which two reviewers say different things, and who says what.
        all_agree: targets by the verdict that all who judged them give.
        any_says: targets by a verdict that one who judged them gives.
    """

    kind: Kind
    num_judged: int
    kappas: tuple[Agreement, ...]
    alpha: Agreement
    disputed: tuple[tuple[str, dict[str, str]], ...]
    all_agree: Counter[str]
    any_says: Counter[str]


def summary_of(store: VerdictStore, kind: Kind) -> Summary:
    """Return what the verdicts of one kind add up to; kept until the next verdict."""
    return _summary(store, kind, store.version())


@lru_cache(maxsize=8)
def _summary(store: VerdictStore, kind: Kind, version: int) -> Summary:
    ratings = ratings_of(store.current(kind))
    said = [set(by.values()) for by in ratings.values()]
    return Summary(
        kind=kind,
        num_judged=len(ratings),
        kappas=tuple(all_kappas(ratings)),
        alpha=krippendorffs_alpha(ratings),
        disputed=tuple((target, dict(sorted(ratings[target].items()))) for target in disagreements(ratings)),
        all_agree=Counter(next(iter(one)) for one in said if len(one) == 1),
        any_says=Counter(verdict for one in said for verdict in one),
    )


def progress_html(tallies: Sequence[Tally], kind: Kind) -> str:
    """Return how much each reviewer has judged, by pass."""
    counts: dict[tuple[str, int], Counter[str]] = {}
    for tally in tallies:
        if tally.kind == kind:
            counts.setdefault((tally.who, tally.round), Counter())[tally.verdict] = tally.count
    rows = [
        {"reviewer": who, "pass": "second, blind" if round == 2 else "first", "judged": found.total()}
        | {verdict: found[verdict] for verdict in VERDICTS[kind]}
        for (who, round), found in sorted(counts.items())
    ]
    columns = ("reviewer", "pass", "judged", *VERDICTS[kind])
    return markup.table(columns, rows, caption="Verdicts by reviewer", testid="progress")


def agreement_html(found: Summary) -> str:
    """Return kappa and alpha with what they were worked out from."""
    rows = [_row("Krippendorff's α", found.alpha), *(_row("Cohen's κ", one) for one in found.kappas)]
    columns = ("measure", "reviewers", "value", "in words", "targets", "observed", "by chance")
    note = (
        "<p class='o-status'>Of targets that two reviewers or more judged. 1 is agreement throughout, 0 what chance gives; not "
        "defined where all verdicts are the same. Words after Landis and Koch (1977).</p>"
    )
    return markup.table(columns, rows, caption="Agreement", testid="agreement") + note


def _row(measure: str, one: Agreement) -> dict[str, Any]:
    return {
        "measure": measure,
        "reviewers": ", ".join(one.reviewers) or "none",
        "value": None if one.value is None else f"{one.value:.3f}",
        "in words": in_words(one.value),
        "targets": one.num_targets,
        "observed": None if one.observed is None else f"{one.observed:.1%}",
        "by chance": None if one.expected is None else f"{one.expected:.1%}",
    }


def disputed_html(found: Summary) -> str:
    """Return the targets in dispute, each with links to its clips and what each reviewer says."""
    shown = found.disputed[:MAX_SHOWN]
    rows = [
        {
            "target": markup.Html(target_links(found.kind, target)),
            "verdicts": ", ".join(f"{who}: {verdict}" for who, verdict in said.items()),
        }
        for target, said in shown
    ]
    more = (
        f"<p class='o-status'>The first {MAX_SHOWN} of {len(found.disputed):,}.</p>"
        if len(found.disputed) > MAX_SHOWN
        else ""
    )
    return markup.table(("target", "verdicts"), rows, caption="Disagreements", testid="disagreements") + more


def target_links(kind: Kind, target: str) -> str:
    """Return a target as links to its clips, with what of them is meant."""
    keys = clips_of(kind, target)
    links = [
        markup.link(link_to("clip", Filters(), key=key), escape(key), data_testid="target-link")
        for key in dict.fromkeys(keys)
    ]
    rest = "" if kind == "clip" else f' <span class="o-status">{escape(_which(kind, target))}</span>'
    return " and ".join(links) + rest


def _which(kind: Kind, target: str) -> str:
    if kind == "view":
        return f"view {target.partition('@')[2]}"
    return "objects " + " and ".join(side.partition("#")[2] for side in target.split("|"))


def exports_html(found: Summary) -> str:
    """Return links to files of the targets with each verdict."""
    rows = []
    for verdict in VERDICTS[found.kind]:
        for by, label, counts in (("all", "all who judged it", found.all_agree), ("any", "anyone", found.any_says)):
            query = urlencode({"kind": found.kind, "verdict": verdict, "by": by})
            links = " · ".join(
                f'<a href="{EXPORT}/{name}?{escape(query)}" download data-testid="export-{name}-{verdict}-{by}">{text}</a>'
                for name, text in (("slice", "saved slice"), ("keys", "keys as text"))
            )
            count = counts[verdict]
            rows.append(
                {
                    "verdict": verdict,
                    "said by": label,
                    "targets": count,
                    "files": markup.Html(links if count else "none"),
                }
            )
    events = f'<p><a class="o-plain" href="{EXPORT}/events" download data-testid="export-events">All events as JSON lines</a></p>'
    return markup.table(("verdict", "said by", "targets", "files"), rows, caption="Files", testid="exports") + events


USE = """# What was dropped is left out of training, or only what was kept is taken.
catalog = opens2v_data.open("{root}")
dropped = catalog.slice("clip-drop-any.slice.parquet")
kept = catalog.slice("clip-keep-all.slice.parquet")
loader = ClipLoader(catalog, clip=clip, batch_size=8, exclude=dropped.ids())
loader = ClipLoader(kept, clip=clip, batch_size=8)
rest = catalog.where("aesthetic > 5") - dropped
"""
"""How the files are used."""
