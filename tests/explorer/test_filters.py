"""Filters: the URL and back, what a URL may hold, and which clips they name."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from opens2v_data.errors import QueryError
from opens2v_explorer.conditions import Range, Wanted, choice_text
from opens2v_explorer.fields import CHOICES, FAULTS, NONE, NUMBERS, SORTS, SUBJECT_NUMBERS, VERDICTS
from opens2v_explorer.filters import MAX_CHARACTERS, MAX_IDS, MAX_VALUES, Filters

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40).filter(
    lambda text: text.strip()
)
numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def ranges(draw: st.DrawFn) -> Range:
    name = draw(st.sampled_from(list(NUMBERS)))
    lo, hi = sorted(draw(st.tuples(numbers, numbers).filter(lambda edges: edges[0] != edges[1])))
    side = draw(st.sampled_from(["both", "lo", "hi"]))
    return Range(name=name, lo=None if side == "hi" else lo + 0.0, hi=None if side == "lo" else hi + 0.0)


@st.composite
def wanted(draw: st.DrawFn) -> Wanted:
    asked = draw(st.lists(st.sampled_from(list(SUBJECT_NUMBERS)), unique=True))
    signs = st.sampled_from(["<", "<=", ">", ">=", "="])
    amount = st.floats(0, 100).map(lambda value: repr(value + 0.0).removesuffix(".0"))
    pairs = {key: draw(signs) + draw(amount) for key in asked}
    return Wanted(name=draw(texts), numbers=tuple((key, pairs[key]) for key in SUBJECT_NUMBERS if key in pairs))


choices = st.one_of(
    st.tuples(st.sampled_from(["category", "kind", "source", "part", "quirk"]), texts.map(str.strip)),
    st.tuples(st.sampled_from(["category", "source", "part", "fps", "size"]), st.just(NONE)),
    st.tuples(st.just("fps"), st.floats(0, 1000, width=32).map(choice_text)),
    st.tuples(
        st.just("size"), st.tuples(st.integers(1, 9999), st.integers(1, 9999)).map(lambda wh: f"{wh[0]}x{wh[1]}")
    ),
)
filters = st.builds(
    Filters,
    ranges=st.lists(ranges(), max_size=4).map(tuple),
    choices=st.lists(choices, max_size=6).map(tuple),
    has=st.lists(wanted(), max_size=3).map(tuple),
    lacks=st.lists(wanted(), max_size=3).map(tuple),
    search=st.sampled_from(["", "guitar", '"red car" -night', "a OR (b c)", "t-shirt"]),
    faults=st.dictionaries(st.sampled_from(FAULTS), st.sampled_from(["only", "drop"])).map(lambda d: tuple(d.items())),
    copies=st.sampled_from([None, "drop", "only"]),
    verdict=st.sampled_from(["", *VERDICTS]),
    ids=st.lists(st.integers(0, 2**31 - 1), max_size=20).map(tuple),
    among=st.sampled_from(["", "SELECT clip_id FROM clips WHERE aesthetic > 5 AND part <> 'a&b=c'"]),
    sort=st.sampled_from(["", *SORTS, *(f"-{name}" for name in SORTS)]),
)


@settings(max_examples=150, deadline=None)
@given(filters)
def test_filters_come_back_from_the_url_they_are_written_to(one: Filters) -> None:
    back, notices = Filters.from_params(parse_qs(one.query, keep_blank_values=True, strict_parsing=bool(one.query)))
    assert notices == []
    assert back == one
    assert back.query == one.query
    assert back.fingerprint == one.fingerprint


@settings(max_examples=150, deadline=None)
@given(filters)
def test_each_chip_removes_something_and_all_of_them_everything(one: Filters) -> None:
    chips = one.chips()
    assert all(chip.without != one and chip.label for chip in chips)
    assert one.is_empty == (not chips)
    left = one
    while left.chips():
        left = left.chips()[0].without
    assert left.is_empty


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from([*NUMBERS, *CHOICES, "has", "lacks", "q", "fault", "copies", "verdict", "ids",
                                        "among", "sort", "page", ""]), st.lists(st.text(max_size=400), max_size=4)))  # fmt: skip
def test_whatever_a_url_holds_it_gives_filters_or_notices_and_never_an_error(params: dict[str, list[str]]) -> None:
    found, notices = Filters.from_params(params)
    again, more = Filters.from_params(found.to_params())
    assert (again, more) == (found, [])
    assert all(notice.param in params and notice.text.startswith(notice.param) for notice in notices)


@pytest.mark.parametrize(
    ("param", "value", "said"),
    [
        ("aesthetic", "5", "expected LOW..HIGH"),
        ("aesthetic", "..", "at least one edge"),
        ("aesthetic", "7..5", "below the upper one, got 7 and 5"),
        ("aesthetic", "5..5", "below the upper one"),
        ("aesthetic", "nan..7", "expected a number, such as 5.5, got 'nan'"),
        ("aesthetic", "5..inf", "got 'inf'"),
        ("aesthetic", "5..1e999", "a finite number"),
        ("aesthetic", "5...7x", "expected a number"),
        ("motion", "1;DROP TABLE clips..2", "expected a number"),
        ("motion", "٣..٤", "expected a number"),
        ("fps", "fast", "frames per second"),
        ("fps", "1e300", "frames per second"),
        ("size", "1280", "width x height"),
        ("size", "0x0", "width x height"),
        ("category", "  ", "a category"),
        ("fault", "bad_luck", "near_copies"),
        ("copies", "keep", "drop, only"),
        ("verdict", "maybe", "unjudged"),
        ("sort", "clip_key", "aesthetic"),
        ("sort", "--aesthetic", "to sort by"),
        ("ids", "1,two", "clip ids such as"),
        ("ids", "-1", "clip ids such as"),
        ("ids", "2147483648", "clip ids such as"),
        ("ids", "\u0663", "clip ids such as"),
        ("q", "(guitar", "never closed"),
        ("has", "   ", "a class name"),
        ("has", "a\0b", "control characters"),
        ("has", "\ud800", "control characters"),
        ("has", "x" * (MAX_CHARACTERS + 1), f"at most {MAX_CHARACTERS} characters, got {MAX_CHARACTERS + 1}"),
    ],
)
def test_what_a_url_may_not_hold_is_left_out_and_told_with_what_was_expected(param: str, value: str, said: str) -> None:
    found, notices = Filters.from_params({param: [value], "part": ["total_part1"]})
    assert found == Filters(choices=(("part", "total_part1"),))
    (notice,) = notices
    assert notice.param == param
    assert said in notice.text


def test_too_many_values_are_cut_and_told() -> None:
    found, notices = Filters.from_params({"part": [f"part{at}" for at in range(MAX_VALUES + 5)]})
    assert len(found.values_of("part")) == MAX_VALUES
    assert f"at most {MAX_VALUES} values, got {MAX_VALUES + 5}" in notices[0].text
    many, _ = Filters.from_params({"ids": [",".join(map(str, range(at, at + 500))) for at in range(0, 3000, 500)]})
    assert len(many.ids) == MAX_IDS


def test_a_class_name_with_a_colon_is_not_taken_for_numbers() -> None:
    assert Wanted.parse("clock: 12:30").name == "clock: 12:30"
    odd = Wanted(name="sign:gme>0.3")
    assert Wanted.parse(odd.text) == odd
    assert Wanted.parse("woman:gme>0.30,count>=2").numbers == (("gme", ">0.3"), ("count", ">=2"))


def test_a_range_of_a_number_that_is_not_among_those_known_is_refused() -> None:
    with pytest.raises(ValueError, match="a number of a clip"):
        Range(name="clip_id", lo=1)
    with pytest.raises(ValueError, match="finite edges, got nan"):
        Range(name="motion", lo=float("nan"))


@pytest.fixture(scope="module")
def catalog(sample_catalog) -> opens2v_data.OpenS2V:
    return opens2v_data.open(sample_catalog)


def of(catalog: opens2v_data.OpenS2V, **params: str | list[str]) -> list[int]:
    given = {name: [value] if isinstance(value, str) else value for name, value in params.items()}
    found, notices = Filters.from_params(given)
    assert notices == []
    return found.slice(catalog).ids().tolist()


def test_ranges_name_the_clips_that_plain_python_finds(catalog: opens2v_data.OpenS2V) -> None:
    rows = catalog.all.to_arrow(["clip_id", *SORTS.values()]).to_pylist()
    for name, column in SORTS.items():
        known = sorted({row[column] for row in rows if row[column] is not None})
        lo, hi = known[len(known) // 3], known[-1]
        if lo == hi:
            continue
        expected = [row["clip_id"] for row in rows if row[column] is not None and lo <= row[column] < hi]
        assert of(catalog, **{name: Range(name=name, lo=lo, hi=hi).text}) == expected


def test_areas_and_similarities_are_of_the_largest_subject_and_the_nearest_pair(catalog: opens2v_data.OpenS2V) -> None:
    rows = catalog.sql("SELECT clip_id, subject_area, pair_similarity FROM clip_numbers ORDER BY clip_id").to_pylist()
    large = [row["clip_id"] for row in rows if row["subject_area"] is not None and 0.1 <= row["subject_area"] < 0.4]
    close = [row["clip_id"] for row in rows if row["pair_similarity"] is not None and row["pair_similarity"] >= 0.9]
    assert of(catalog, area="0.1..0.4") == large != []
    assert of(catalog, similarity="0.9..") == close != []


def test_choices_name_the_clips_that_their_facets_count(catalog: opens2v_data.OpenS2V) -> None:
    for name, about in CHOICES.items():
        if about.column is None:
            rows = catalog.all.to_arrow(["crop_width", "crop_height"]).to_pylist()
            counts: dict[str, int] = {}
            for row in rows:
                both = (row["crop_width"], row["crop_height"])
                value = NONE if None in both else f"{both[0]}x{both[1]}"
                counts[value] = counts.get(value, 0) + 1
        else:
            facets = catalog.all.facets(about.column).to_pylist()
            counts = {choice_text(row["value"]): row["num_clips"] for row in facets}
        assert counts or name == "quirk"
        for value, count in counts.items():
            assert len(of(catalog, **{name: value})) == count, (name, value)
        if not about.is_list:
            assert len(of(catalog, **{name: list(counts)})) == sum(counts.values())


def test_subjects_words_faults_ids_statements_and_order_meet_the_slice_of_the_query_layer(
    catalog: opens2v_data.OpenS2V,
) -> None:
    top = catalog.sql("SELECT name FROM classes ORDER BY class_id LIMIT 1").column("name")[0].as_py()
    assert of(catalog, has=top) == catalog.has_subject(top).ids().tolist()
    assert (
        of(catalog, has=f"{top}:gme>0.2,count>=1") == catalog.has_subject(top, gme=">0.2", count=">=1").ids().tolist()
    )
    assert of(catalog, lacks=top) == catalog.all.lacks_subject(top).ids().tolist()
    assert of(catalog, q="a") == catalog.search("a").ids().tolist()
    assert of(catalog, fault="near_copies") == catalog.all.faults("near_copies", "only").ids().tolist()
    assert of(catalog, fault="-near_copies") == catalog.all.faults("near_copies").ids().tolist()
    assert of(catalog, copies="drop") == catalog.all.near_duplicates().ids().tolist()
    assert of(catalog, ids="3,1,999999") == [1, 3]
    assert of(catalog, among="SELECT clip_id FROM clips WHERE clip_id < 4", ids="2,3,9") == [2, 3]
    assert of(catalog, sort="-aesthetic") == catalog.all.sort("-aesthetic").ids().tolist()
    start = catalog.all.with_ids([1, 2, 3])
    assert Filters(ids=(3, 4)).slice(catalog, start).ids().tolist() == [3]


def test_verdicts_ask_whoever_knows_them(catalog: opens2v_data.OpenS2V) -> None:
    judged = {"judged": [1, 2, 5], "keep": [1]}
    assert Filters(verdict="keep").slice(catalog, find_judged=judged.__getitem__).ids().tolist() == [1]
    left = Filters(verdict="unjudged").slice(catalog, find_judged=judged.__getitem__).ids().tolist()
    assert left == [one for one in range(len(catalog)) if one not in judged["judged"]]
    with pytest.raises(ValueError, match="verdict store"):
        Filters(verdict="keep").slice(catalog)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("SELECT part FROM clips", "a column clip_id"),
        ("SELECT part AS clip_id FROM clips", "as integers"),
        ("DROP TABLE clips", "SELECT"),
    ],
)
def test_a_statement_that_gives_no_ids_is_told(catalog: opens2v_data.OpenS2V, statement: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        Filters(among=statement).slice(catalog)


def test_names_with_quotes_and_marks_are_values_and_no_sql(catalog: opens2v_data.OpenS2V) -> None:
    for evil in ("' OR 1=1 --", '"; SELECT 1', "a?b", "$1", "%_", "'"):
        assert of(catalog, has=evil) == []
        assert of(catalog, part=evil, category=evil, kind=evil) == []
