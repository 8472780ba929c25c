"""Agreement: against definitions taken literally, and examples that were published or can be worked out by hand."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_explorer.verdicts.agreement import (
    all_kappas,
    cohens_kappa,
    disagreements,
    in_words,
    krippendorffs_alpha,
    ratings_of,
)
from opens2v_explorer.verdicts.events import Event, new_id

RATINGS = st.dictionaries(
    st.sampled_from([f"p/{number}" for number in range(8)]),
    st.dictionaries(st.sampled_from(["ada", "bo", "cy"]), st.sampled_from(["keep", "drop", "flag"]), min_size=1),
)


def _rows(*rows: str) -> dict[str, dict[str, str]]:
    """Return ratings from one text a reviewer, a letter a target, `.` for none."""
    return {
        f"p/{number}": {f"r{row}": letter for row, letter in enumerate(column) if letter != "."}
        for number, column in enumerate(zip(*rows, strict=True))
    }


# -- worked examples


def test_kappa_of_a_table_worked_out_by_hand() -> None:
    # Of 50 proposals both say yes to 20 and no to 15, one alone to 5, the other alone to 10. Observed 35/50 = 0.7.
    # The first says yes to 25 of 50, the second to 30: chance 0.5 x 0.6 + 0.5 x 0.4 = 0.5. So (0.7 - 0.5) / 0.5 = 0.4.
    found = cohens_kappa(_rows("y" * 25 + "n" * 25, "y" * 20 + "n" * 5 + "y" * 10 + "n" * 15), "r0", "r1")
    assert found.value == pytest.approx(0.4)
    assert (found.observed, found.expected) == (pytest.approx(0.7), pytest.approx(0.5))
    assert (found.num_targets, found.num_verdicts, found.reviewers) == (50, 100, ("r0", "r1"))


def test_alpha_of_krippendorffs_example_of_two_observers() -> None:
    # Krippendorff 2011, section A: ten articles, two observers who differ on 4 of them; of the 20 values 14 are 0 and 6 are 1.
    # So 1 - (20 - 1) x 4 / (14 x 6) = 0.095.
    found = krippendorffs_alpha(_rows("0100000010", "1110010000"))
    assert found.value == pytest.approx(1 - 19 * 4 / (14 * 6))
    assert (found.num_targets, found.num_verdicts) == (10, 20)


def test_alpha_of_krippendorffs_example_of_four_observers() -> None:
    # Krippendorff 2011, section C: twelve units, four observers, missing values; 0.743 for nominal data.
    found = krippendorffs_alpha(_rows("123321412...", "1233224125.3", ".3332342251.", "12332441251."))
    assert found.value == pytest.approx(0.743, abs=5e-4)
    # The twelfth unit has one value and does not count.
    assert (found.num_targets, found.num_verdicts) == (11, 40)


def test_alpha_of_three_observers_with_missing_values() -> None:
    # Wikipedia, "Krippendorff's alpha": three coders, fifteen units; 0.691 for nominal data.
    found = krippendorffs_alpha(_rows(".....34121133.3", "1.213343.......", "..21344.21133.4"))
    assert found.value == pytest.approx(0.691, abs=5e-4)


# -- definitions taken literally


def _kappa(pairs: list[tuple[str, str]]) -> float | None:
    """Return kappa by counting every verdict of one against every verdict of the other."""
    observed = sum(one == other for one, other in pairs) / len(pairs)
    chance = sum(one == other for (one, _), (_, other) in product(pairs, pairs)) / len(pairs) ** 2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def _alpha(units: list[list[str]]) -> float | None:
    """Return alpha by laying every verdict beside every other: within targets, and within all that are paired."""
    units = [unit for unit in units if len(unit) > 1]
    values = [value for unit in units for value in unit]
    if len(set(values)) < 2:
        return None
    observed = sum(sum(one != other for one, other in permutations(unit, 2)) / (len(unit) - 1) for unit in units)
    expected = sum(one != other for one, other in permutations(values, 2)) / (len(values) - 1)
    return 1 - observed / expected


@settings(max_examples=80, deadline=None)
@given(RATINGS)
def test_both_are_what_their_definitions_say(ratings: dict[str, dict[str, str]]) -> None:
    alpha = krippendorffs_alpha(ratings)
    expected = _alpha([list(by.values()) for by in ratings.values()])
    assert (alpha.value is None) == (expected is None)
    assert expected is None or alpha.value == pytest.approx(expected)
    assert alpha.num_targets == sum(len(by) > 1 for by in ratings.values())
    for kappa in all_kappas(ratings):
        one, other = kappa.reviewers
        pairs = [(by[one], by[other]) for by in ratings.values() if one in by and other in by]
        wanted = _kappa(pairs)
        assert kappa.num_targets == len(pairs) > 0
        assert (kappa.value is None) == (wanted is None)
        assert wanted is None or kappa.value == pytest.approx(wanted)
        assert cohens_kappa(ratings, other, one).value == pytest.approx(kappa.value)


@settings(max_examples=40, deadline=None)
@given(RATINGS)
def test_who_agrees_with_himself_agrees_throughout(ratings: dict[str, dict[str, str]]) -> None:
    doubled = {
        target: {"one": next(iter(by.values())), "two": next(iter(by.values()))} for target, by in ratings.items()
    }
    for found in (cohens_kappa(doubled, "one", "two"), krippendorffs_alpha(doubled)):
        is_defined = len({next(iter(by.values())) for by in ratings.values()}) > 1
        assert found.value == (1 if is_defined else None)
    assert disagreements(doubled) == []


def test_nothing_judged_twice_gives_no_number() -> None:
    ratings = {"p/a": {"ada": "keep"}, "p/b": {"bo": "keep"}}
    for found in (cohens_kappa(ratings, "ada", "bo"), krippendorffs_alpha(ratings)):
        assert (found.value, found.observed, found.expected, found.num_targets) == (None, None, None, 0)
    assert all_kappas(ratings) == []


def test_a_constant_verdict_gives_no_number_though_it_is_agreed() -> None:
    ratings = {f"p/{number}": {"ada": "keep", "bo": "keep"} for number in range(5)}
    assert (cohens_kappa(ratings, "ada", "bo").value, cohens_kappa(ratings, "ada", "bo").observed) == (None, 1)
    assert krippendorffs_alpha(ratings).value is None


# -- from events


def _event(target: str, who: str, verdict: str, round: int = 1) -> Event:
    return Event(
        event_id=new_id(),
        at="2026-11-25T19:16:24Z",
        who=who,
        kind="clip",
        target=target,
        verdict=verdict,
        catalog_digest="ab",
        round=round,
    )


def test_the_second_pass_stands_for_a_reviewer_who_judged_in_both() -> None:
    events = [
        _event("p/a", "bo", "drop", round=2),
        _event("p/a", "bo", "keep"),
        _event("p/a", "ada", "keep"),
        _event("p/b", "ada", "flag"),
    ]
    ratings = ratings_of(events)
    assert ratings == {"p/a": {"bo": "drop", "ada": "keep"}, "p/b": {"ada": "flag"}}
    assert disagreements(ratings) == ["p/a"]


WORDS = {
    1.0: "almost perfect",
    0.7: "substantial",
    0.5: "moderate",
    0.3: "fair",
    0.0: "slight",
    -0.1: "poor",
    None: "not defined",
}


@pytest.mark.parametrize("value", WORDS)
def test_words_for_numbers_are_those_of_landis_and_koch(value: float | None) -> None:
    assert in_words(value) == WORDS[value]
