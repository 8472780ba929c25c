"""How far reviewers agree beyond chance: Cohen's kappa for two of them, Krippendorff's alpha for any number.

Both compare the agreement that is observed with what chance would give, as shares: `(observed - expected) / (1 - expected)`.
1 is agreement throughout, 0 what chance gives, below 0 less than that. They differ in what chance is. Where all verdicts are the
same, chance agrees as well, and neither says anything: the value is None.

Sources: J. Cohen, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20 (1960), 37-46.
K. Krippendorff, Computing Krippendorff's Alpha-Reliability, University of Pennsylvania (2011), section C, nominal data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from opens2v_explorer.verdicts.events import Event

Ratings = Mapping[str, Mapping[str, Hashable]]
"""Target, reviewer, verdict."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far some reviewers agree.

    Attributes:
        value: kappa or alpha; None where it is not defined: nothing was judged twice, or all verdicts are the same.
        observed: share of pairs of verdicts on one target that agree; None where there are none.
        expected: the same by chance.
        num_targets: judged by two reviewers at least; others do not count.
        num_verdicts: on these.
        reviewers: who gave them, by name.
    """

    value: float | None
    observed: float | None
    expected: float | None
    num_targets: int
    num_verdicts: int
    reviewers: tuple[str, ...]


def ratings_of(events: Iterable[Event]) -> dict[str, dict[str, str]]:
    """Return each reviewer's verdict by target, of the later round where a reviewer judged in both.

    Args:
        events: of one kind, as `VerdictStore.current` gives them.
    """
    found: dict[str, dict[str, str]] = {}
    for event in sorted(events, key=lambda one: one.round):
        found.setdefault(event.target, {})[event.who] = event.verdict
    return found


def cohens_kappa(ratings: Ratings, one: str, other: str) -> Agreement:
    """Return how far two reviewers agree on the targets that both judged.

    Chance is that each gives verdicts as often as on these targets, and blindly.
    """
    pairs = [(by[one], by[other]) for by in ratings.values() if one in by and other in by]
    if not pairs:
        return _none((one, other))
    count = len(pairs)
    mine, theirs = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    same = sum(first == second for first, second in pairs)
    by_chance = sum(mine[verdict] * theirs[verdict] for verdict in mine)
    # In integers until the end, so that agreement throughout is exactly 1.
    return Agreement(
        value=None if by_chance == count * count else (same * count - by_chance) / (count * count - by_chance),
        observed=same / count,
        expected=by_chance / (count * count),
        num_targets=count,
        num_verdicts=2 * count,
        reviewers=(one, other),
    )


def krippendorffs_alpha(ratings: Ratings) -> Agreement:
    """Return how far all reviewers agree, each of whom may have judged any of the targets.

    Chance is that the verdicts given are dealt out to the targets anew. Targets with one verdict do not count.
    """
    units = [list(by.values()) for by in ratings.values() if len(by) > 1]
    reviewers = tuple(sorted({who for by in ratings.values() if len(by) > 1 for who in by}))
    num_verdicts = sum(map(len, units))
    if not units:
        return _none(())
    totals = Counter(verdict for unit in units for verdict in unit)
    # Each verdict meets the others of its target; a target of m verdicts has m (m - 1) meetings and weighs m.
    observed = sum(_meetings(Counter(unit)) / (len(unit) - 1) for unit in units) / num_verdicts
    expected = _meetings(totals) / (num_verdicts * (num_verdicts - 1))
    return Agreement(
        value=None if len(totals) == 1 else (observed - expected) / (1 - expected),
        observed=observed,
        expected=expected,
        num_targets=len(units),
        num_verdicts=num_verdicts,
        reviewers=reviewers,
    )


def all_kappas(ratings: Ratings) -> list[Agreement]:
    """Return kappa for each two reviewers who judged a target both, in order of their names."""
    reviewers = sorted({who for by in ratings.values() for who in by})
    found = [cohens_kappa(ratings, one, other) for one, other in combinations(reviewers, 2)]
    return [one for one in found if one.num_targets]


def disagreements(ratings: Ratings) -> list[str]:
    """Return the targets on which two reviewers say different things, in order of their text."""
    return sorted(target for target, by in ratings.items() if len(set(by.values())) > 1)


def in_words(value: float | None) -> str:
    """Return what a kappa or alpha is called (Landis and Koch, Biometrics 33 (1977), 159-174): a convention, not a test."""
    if value is None:
        return "not defined"
    for least, word in (
        (0.81, "almost perfect"),
        (0.61, "substantial"),
        (0.41, "moderate"),
        (0.21, "fair"),
        (0.0, "slight"),
    ):
        if value >= least:
            return word
    return "poor"


def _meetings(counts: Counter[Hashable]) -> int:
    return sum(count * (count - 1) for count in counts.values())


def _none(reviewers: Sequence[str]) -> Agreement:
    return Agreement(
        value=None, observed=None, expected=None, num_targets=0, num_verdicts=0, reviewers=tuple(reviewers)
    )
