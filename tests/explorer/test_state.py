"""The URL as the one truth: what links carry, what writing it keeps and drops, and whose verdicts a filter asks."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

import opens2v_data
from explorer.pages import make_explorer, url
from opens2v_explorer import state
from opens2v_explorer.filters import Filters
from opens2v_explorer.verdicts.events import Event, new_id, now
from opens2v_explorer.verdicts.targets import clip_target

START = {
    "category": ["scene"],
    "has": ["dog", "woman:gme>0.3"],
    "who": ["ann"],
    "view": ["table"],
    "after": ["x"],
    "key": ["a/b"],
}


def script(body: str) -> AppTest:
    lines = [
        "import streamlit as st",
        "from opens2v_explorer import state",
        "from opens2v_explorer.filters import Filters",
    ]
    test = AppTest.from_string("\n".join([*lines, body]))
    for name, values in START.items():
        test.query_params[name] = values
    test.run()
    assert not test.exception
    return test


def said(body: str) -> str:
    return script(f"st.text({body})").text[0].value


def test_links_to_other_pages_carry_filters_and_reviewer_and_nothing_of_this_page() -> None:
    address = urlsplit(said("state.link_to('clip', key='p/k', n=3)"))
    assert address.path == "/clip"
    assert parse_qs(address.query) == {
        "category": ["scene"], "has": ["dog", "woman:gme>0.3"], "who": ["ann"], "key": ["p/k"], "n": ["3"]
    }  # fmt: skip
    assert said("state.link_to('overview', Filters(), who=None)") == "/"
    assert said("state.link_to('gpt_views', Filters(), who='bob')") == "/views?who=bob"


def test_links_to_this_page_keep_its_parameters_but_not_its_place() -> None:
    found = parse_qs(said("state.link_here(Filters(sort='-motion'), key=None)").removeprefix("?"))
    assert found == {"sort": ["-motion"], "who": ["ann"], "view": ["table"]}
    stack = parse_qs(said("state.link_here(state.current_filters(), after=['x', 'y'])").removeprefix("?"))
    assert stack["after"] == ["x", "y"]


def test_showing_filters_replaces_the_filters_of_the_url_and_its_place_alone() -> None:
    test = script("state.show(Filters(search='guitar'), view=None)")
    assert url(test) == {"q": ["guitar"], "who": ["ann"], "key": ["a/b"]}


def test_setting_parameters_leaves_all_others() -> None:
    test = script("state.set_params(view='gallery', key=None)")
    assert url(test) == {name: values for name, values in START.items() if name != "key"} | {"view": ["gallery"]}


def test_filters_of_the_url_are_read_and_what_is_wrong_is_noted() -> None:
    assert said("state.current_filters() == Filters.from_params(state.params())[0]") == "True"
    test = AppTest.from_string(
        "import streamlit as st\nfrom opens2v_explorer import state\nst.text(state.notices()[0].text)"
    )
    test.query_params["motion"] = "fast"
    assert "motion: expected LOW..HIGH" in test.run().text[0].value


def test_every_page_has_a_path_and_every_filter_a_parameter() -> None:
    assert len(set(state.PATHS.values())) == len(state.PATHS)
    everything, _ = Filters.from_params({
        "aesthetic": ["1..2"], "category": ["a"], "has": ["a"], "lacks": ["b"], "q": ["a"], "fault": ["near_copies"],
        "copies": ["drop"], "verdict": ["keep"], "ids": ["1"], "among": ["SELECT 1"], "sort": ["motion"],
    })  # fmt: skip
    assert set(everything.to_params()) <= state.FILTER_PARAMS
    assert len(everything.to_params()) == 11


def test_clips_by_verdict_are_those_of_the_store(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    explorer = make_explorer(explorer_catalog, tmp_path)
    rows = explorer_catalog.all.to_arrow(["clip_id", "part", "clip_key"]).to_pylist()

    def judge(row: dict[str, object], verdict: str, who: str = "ann") -> None:
        target = clip_target(str(row["part"]), str(row["clip_key"]))
        event = Event(
            event_id=new_id(), at=now(), who=who, kind="clip", target=target, verdict=verdict,
            catalog_digest=explorer_catalog.fingerprint,
        )  # fmt: skip
        assert explorer.verdicts.add([event]).new

    judge(rows[2], "keep")
    judge(rows[5], "drop")
    judge(rows[5], "keep", who="bob")
    kept = state.current_slice(Filters(verdict="keep")).ids().tolist()
    assert kept == [2, 5]
    assert state.current_slice(Filters(verdict="drop")).ids().tolist() == [5]
    assert state.current_slice(Filters(verdict="flag")).ids().tolist() == []
    left = state.current_slice(Filters(verdict="unjudged")).ids().tolist()
    assert left == [row["clip_id"] for row in rows if row["clip_id"] not in (2, 5)]


def test_an_explorer_of_a_slice_shows_its_clips_alone(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path) -> None:
    make_explorer(explorer_catalog, tmp_path, start_slice=explorer_catalog.all.with_ids([4, 7]), slice_name="two")
    assert state.current_slice(Filters()).ids().tolist() == [4, 7]
    assert state.current_slice(Filters(ids=(7, 8))).ids().tolist() == [7]


def test_without_an_explorer_the_message_says_how_to_start_one() -> None:
    from opens2v_explorer import runtime

    runtime.use(None)
    with pytest.raises(RuntimeError, match="opens2v explore"):
        state.current_slice(Filters())
