"""The page of pairs: its parameters, what it lists and shows, and what it says of sides that are not what the pair claims."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from explorer.components import codes, data_of, stage_html
from explorer.pages import html, make_explorer, run, url
from opens2v_data.query.pairpages import PAIR_ORDERS, PairFilter, count_pairs, pair_page, pair_points
from opens2v_explorer import pair_html, scatter
from opens2v_explorer.pages import pairs as page
from opens2v_explorer.pair_params import PairParams, parse_bounds, presets, write_bounds
from opens2v_explorer.runtime import Explorer
from opens2v_explorer.verdicts import Event, buttons

WHEN: dict[str, Any] = {"at": "2026-11-25T19:16:24.051Z", "catalog_digest": "0"}


@pytest.fixture(autouse=True)
def explorer(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> Explorer:
    return make_explorer(explorer_catalog, tmp_path)


numbers = st.one_of(st.none(), st.floats(-2, 2).map(lambda one: float(f"{one:.6g}")))


@given(
    image=st.tuples(numbers, numbers), text=st.tuples(numbers, numbers), classes=st.sampled_from(["any", "same", "differ"]),
    order=st.sampled_from(PAIR_ORDERS), of=st.text(max_size=5),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_is_asked_stands_in_the_url_and_is_read_back(
    image: Any, text: Any, classes: Any, order: Any, of: str
) -> None:
    params = PairParams(image=image, text=text, classes=classes, order=order, of=of)
    written = params.to_params()
    assert PairParams.read(lambda name: written.get(name) or "") == params


@pytest.mark.parametrize("text", ["x", "0.5", "a..b", "..nan", "inf..", "0..1..2", "." * 99])
def test_what_is_no_range_is_left_out(text: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        parse_bounds(text)
    params = PairParams.read(lambda name: {"img": text, "classes": "other", "order": "-image"}.get(name, ""))
    assert params == PairParams()
    assert [note.partition(":")[0] for note in params.notices] == ["img", "classes"]


def test_what_is_left_out_is_told() -> None:
    assert codes(run("pairs", "img=x")) >= {"param"}


def test_a_range_is_written_short() -> None:
    assert write_bounds((None, None)) == ""
    assert write_bounds((0.99, None)) == "0.99.."
    assert write_bounds((None, 0.5)) == "..0.5"


def listed(test: Any) -> list[int]:
    return [int(one) for one in re.findall(r'data-testid="pair-row" data-pair="(\d+)"', stage_html(test))]


def test_pairs_are_listed_in_order_with_pages_that_join(explorer_catalog: opens2v_data.OpenS2V) -> None:
    expected = pair_page(explorer_catalog.all, n=1000).rows.column("pair_id").to_pylist()
    assert len(expected) > page.PAIRS_SHOWN
    test = run("pairs")
    found = listed(test)
    while (link := re.search(r'href="([^"]+)"[^>]*data-testid="pairs-next"', stage_html(test))) is not None:
        test = run("pairs", link[1].replace("&amp;", "&").partition("?")[2])
        found += listed(test)
    assert found == expected
    assert f"<b>{len(expected)}</b> pairs" in html(test)


@pytest.mark.parametrize("at", range(4))
def test_presets_are_links_that_list_what_they_say(explorer_catalog: opens2v_data.OpenS2V, at: int) -> None:
    name, params = presets(PairParams())[at]
    query = "&".join(f"{key}={value}" for key, value in params.to_params().items() if value)
    test = run("pairs", query)
    rows = pair_page(explorer_catalog.all, params.filter(), order=params.order, n=page.PAIRS_SHOWN).rows
    assert listed(test) == rows.column("pair_id").to_pylist() != []
    assert f"<b>{count_pairs(explorer_catalog.all, params.filter())}</b>" in html(test)
    current = re.findall(r'data-testid="preset" aria-current="true">([^<]+)', stage_html(test))
    assert current == [name.replace("'", "&#x27;")]


def test_filters_of_clips_count_for_both_sides(explorer_catalog: opens2v_data.OpenS2V) -> None:
    test = run("pairs", "part=total_part1")
    s = explorer_catalog.where("part = 'total_part1'")
    assert f"<b>{count_pairs(s)}</b> pairs" in html(test)
    assert 0 < count_pairs(s) < count_pairs(explorer_catalog.all)


def test_the_pair_of_the_url_is_shown_large_with_both_sides_outlined(explorer_catalog: opens2v_data.OpenS2V) -> None:
    row = pair_page(explorer_catalog.all, PairFilter(classes="differ"), n=1).rows.to_pylist()[0]
    text = stage_html(run("pairs", f"pair={row['pair_id']}"))
    shown = text.split('data-testid="pair" ')[1].split("</section>")[0]
    assert f'data-pair="{row["pair_id"]}"' in shown
    assert f'data-testid="image-similarity">{row["image_similarity"]:.3f}<' in shown
    assert f'data-testid="text-similarity">{row["text_similarity"]:.3f}<' in shown
    assert 'data-code="classes-differ"' in shown
    for side, clip_id in (("left", row["clip_id"]), ("right", row["partner_clip_id"])):
        part = shown.split(f'data-testid="side-{side}"')[1]
        assert f"/clip/{clip_id}/frame.webp" in part
        assert f"/subject/{clip_id}/" in part
    assert shown.count('class="region"') == 2


def test_an_unknown_pair_shows_the_first_of_the_list(explorer_catalog: opens2v_data.OpenS2V) -> None:
    first = pair_page(explorer_catalog.all, n=1).rows.column("pair_id")[0].as_py()
    for text in ("999999", "9" * 30):
        assert f'data-testid="pair" data-pair="{first}"' in stage_html(run("pairs", f"pair={text}"))


def test_pairs_of_one_clip_are_listed_whatever_the_filters(explorer_catalog: opens2v_data.OpenS2V) -> None:
    (row,) = explorer_catalog.rows_of([0], with_subjects=False)
    key = f"{row['part']}/{row['clip_key']}"
    test = run("pairs", f"of={key}&ids=1")
    expected = pair_page(explorer_catalog.all, PairFilter(clip_id=0), n=100).rows.column("pair_id").to_pylist()
    assert listed(test) == expected != []
    assert "of clip" in html(test)
    assert "cannot be listed" in html(run("pairs", "of=nothing"))
    assert "cannot be listed" in html(run("pairs", "after=nonsense"))


def test_no_pair_at_all_has_its_words() -> None:
    test = run("pairs", "img=5..")
    assert not test.exception
    assert codes(test) == {"no-pairs"}
    assert listed(test) == []
    assert "<b>0</b> pairs" in html(test)
    assert codes(run("pairs", "ids=999999")) == {"no-pairs"}


def test_the_scatter_draws_all_pairs_and_marks_range_and_pair(explorer_catalog: opens2v_data.OpenS2V) -> None:
    (data,) = data_of(run("pairs", "img=0.7..0.9&classes=same"), "opens2v_scatter")
    points = pair_points(explorer_catalog.all, PairFilter(classes="same"))
    assert {point[3] for point in data["points"]} == {*points.column("pair_id").to_pylist()}
    assert data["image"] == [0.7, 0.9]
    assert data["text"] == [None, None]
    assert data["selected"] is not None
    for name, at in (("text", 0), ("image", 1)):
        low, high = data["domain"][name]
        assert all(low <= point[at] <= high for point in data["points"])


@given(values=st.lists(st.floats(-1, 1), max_size=5))
@settings(max_examples=60, deadline=None)
def test_an_axis_holds_its_values_and_has_a_length(values: list[float]) -> None:
    low, high = scatter.domain(values)
    assert high - low > 0.04
    assert all(low - 1e-6 <= value <= high + 1e-6 for value in values)


def test_another_order_goes_to_the_url_and_starts_anew() -> None:
    test = run("pairs", "order=text&pair=3&classes=same")
    test.selectbox[0].set_value("-text").run()
    found = url(test)
    assert found["order"] == ["-text"]
    assert found["classes"] == ["same"]
    assert "pair" not in found


def test_a_verdict_shows_in_the_list_and_its_target_names_both_subjects(
    explorer: Explorer, explorer_catalog: opens2v_data.OpenS2V
) -> None:
    test = run("pairs")
    (judge,) = data_of(test, "opens2v_judge")
    event: dict[str, Any] = {
        "event_id": "6b1d4f6e-58d4-4c0e-9d5c-0d7a1c6f0002",
        "at": "2026-11-25T19:16:24.051Z",
        "catalog_digest": "0",
    }
    explorer.verdicts.add(
        [Event(who=explorer.reviewer, kind="pair", target=judge["target"], verdict="unsure", **event)]
    )
    text = stage_html(run("pairs"))
    assert text.count('data-verdict="unsure"') == 1
    row = pair_page(explorer_catalog.all, n=1).rows.to_pylist()[0]
    assert f"#{row['object_id']}" in judge["target"]
    assert f"#{row['partner_object_id']}" in judge["target"]


def odd_row(**others: Any) -> dict[str, Any]:
    row = {
        "pair_id": 0, "clip_id": 0, "partner_clip_id": 1, "object_id": 1, "partner_object_id": 1, "class_name": "woman",
        "partner_class_name": "woman", "image_similarity": None, "text_similarity": 0.5, "clip_ref": None, "partner_ref": None,
    }  # fmt: skip
    return row | others


def test_sides_that_are_not_what_the_pair_claims_are_told() -> None:
    def problems(**others: Any) -> list[str]:
        sides = pair_html.sides_of(odd_row(**others))
        assert "<script>" not in pair_html.pair_html(odd_row(**others), sides)
        return [code for side in sides for code, _ in side.problems()]

    assert problems() == []
    assert problems(partner_clip_id=None, partner_ref="<script>") == ["not-in-catalog"]
    assert problems(object_id=None) == ["older-form"]
    assert problems(object_id=99) == ["no-such-subject"]
    assert problems(partner_class_name="<script>") == ["class-differs"]
    assert pair_html.verdict_target(pair_html.sides_of(odd_row(object_id=None))) is None
    names = {(0, 1): "woman"}
    card = pair_html.row_html(odd_row(), href="?", is_current=False, verdict=None, names=names)
    assert "right: no object 1" in card
    assert "image missing" in card


def test_pairs_of_the_real_sample_point_to_other_classes(real_catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    make_explorer(opens2v_data.open(real_catalog), tmp_path / "real")
    test = run("pairs", "img=0.99..")
    assert "<b>88</b> pairs" in html(test)
    assert 'data-code="class-differs"' in stage_html(test)


def say(explorer: Explorer, who: str, *targets: str) -> None:
    """Judge pairs."""
    events = [
        Event(event_id=str(uuid.uuid4()), who=who, kind="pair", target=target, verdict="different", **WHEN)
        for target in targets
    ]
    assert len(explorer.verdicts.add(events).new) == len(targets)


def test_pairs_that_i_have_not_judged_and_those_that_others_have_are_listed_alone(explorer: Explorer) -> None:
    rows = pair_page(explorer.catalog.all, n=100).rows.to_pylist()
    every = [row["pair_id"] for row in rows if None not in (row["object_id"], row["partner_object_id"])]
    assert len(every) < len(rows)  # the others name no subject that a verdict could be of
    targets: dict[str, set[int]] = {}
    for row in rows:
        target = pair_html.verdict_target(pair_html.sides_of(row))
        if target is not None:
            targets.setdefault(target, set()).add(row["pair_id"])
    (mine, mine_ids), (theirs, their_ids), (both, both_ids) = list(targets.items())[:3]
    say(explorer, explorer.reviewer, mine, both)
    say(explorer, "other", theirs, both)
    left = run("pairs", "judged=todo")
    assert listed(left) == [one for one in every if one not in mine_ids | both_ids][: page.PAIRS_SHOWN]
    assert f"<b>{len(every) - len(mine_ids | both_ids)}</b> pairs that you have not judged, whose clips" in html(left)
    blind = run("pairs", "judged=others")
    assert set(listed(blind)) == their_ids
    assert 'data-verdict="different"' not in stage_html(blind)
    for test in (left, blind):
        assert re.search(r'href="[^"]*judged=[a-z]+[^"]*"[^>]*data-testid="preset"', stage_html(test))
    say(explorer, explorer.reviewer, theirs)
    done = run("pairs", "judged=others")
    assert listed(done) == [] and "queue-done" in codes(done)


def test_the_last_pair_of_a_list_is_followed_by_the_next_list(
    monkeypatch: pytest.MonkeyPatch, explorer: Explorer
) -> None:
    monkeypatch.setattr(page, "PAIRS_SHOWN", 4)
    named = PairFilter(names_subjects=True)
    every = [row["pair_id"] for row in pair_page(explorer.catalog.all, named, n=100).rows.to_pylist()]

    def after(query: str) -> str:
        found = re.search(r'href="([^"]+)"[^>]*data-testid="pair-after"', stage_html(run("pairs", query)))
        return found[1].replace("&amp;", "&").partition("?")[2] if found else ""

    following = after(f"judged=todo&pair={every[3]}")
    test = run("pairs", following)
    assert "judged=todo" in following and listed(test) == every[4:8]
    assert f'data-testid="pair" data-pair="{every[4]}"' in stage_html(test)
    last = pair_page(explorer.catalog.all, named, n=len(every) - 2).after
    assert after(f"judged=todo&after={quote(last or '')}&pair={every[-1]}") == ""


def test_a_verdict_counts_before_the_log_has_it_and_the_log_counts_after_that(
    explorer: Explorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = "p/a#1|p/b#1", "p/a#2|p/b#2"
    given: dict[Any, bool] = {("pair", "ann", one): True, ("pair", "bo", other): True, ("view", "ann", other): True}
    monkeypatch.setattr(buttons, "st", SimpleNamespace(session_state={"verdicts-given": given}))
    assert buttons.judged_by("pair", "ann") == {one}
    say(explorer, "ann", one)
    assert buttons.judged_by("pair", "ann") == {one}
    assert ("pair", "ann", one) not in given and len(given) == 2
    given["pair", "ann", one] = False  # taken back, which the log has not heard yet
    assert buttons.judged_by("pair", "ann") == set()
    assert buttons.judged_by("pair", "bo") == {other}
