"""The page of GPT-Image-1 views: which clips it lists, and that the source is no view."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest

import opens2v_data
from explorer.components import codes, data_of, stage_html
from explorer.pages import html, make_explorer, run
from opens2v_explorer.pages import gpt_views
from opens2v_explorer.runtime import Explorer
from opens2v_explorer.verdicts import Event, view_target

WHEN: dict[str, Any] = {"at": "2026-11-25T19:16:24.051Z", "catalog_digest": "0"}


@pytest.fixture(autouse=True)
def explorer(explorer_catalog: opens2v_data.OpenS2V, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explorer:
    monkeypatch.setattr(gpt_views, "CLIPS_SHOWN", 2)
    return make_explorer(explorer_catalog, tmp_path)


def listed(test: Any) -> list[int]:
    return [int(one) for one in re.findall(r'data-testid="views" data-clip="(\d+)"', stage_html(test))]


def test_clips_with_views_are_listed_in_the_order_of_the_filters(explorer_catalog: opens2v_data.OpenS2V) -> None:
    with_views = {triple.clip.clip_id for triple in explorer_catalog.triples(with_views=True)}
    expected = [one for one in explorer_catalog.all.sort("-aesthetic").ids().tolist() if one in with_views]
    test = run("gpt_views", "sort=-aesthetic")
    assert f"<b>{len(expected)}</b> clips with views" in html(test)
    found = listed(test)
    while (link := re.search(r'href="([^"]+)"[^>]*data-testid="views-next"', stage_html(test))) is not None:
        test = run("gpt_views", link[1].replace("&amp;", "&").partition("?")[2])
        found += listed(test)
    assert found == expected
    assert len(expected) > gpt_views.CLIPS_SHOWN


def test_each_view_stands_between_its_subject_and_its_source(explorer_catalog: opens2v_data.OpenS2V) -> None:
    triple = next(explorer_catalog.triples(with_views=True))
    clip = triple.clip
    test = run("gpt_views", f"key={clip.part}/{clip.key}")
    rows = stage_html(test).split('data-testid="view-row"')[1:]
    assert len(rows) == len(triple.views)
    for nth, (row, view) in enumerate(zip(rows, triple.views, strict=True)):
        order = [row.find(piece) for piece in ('data-testid="cutout"', 'data-testid="view"', 'data-testid="source"')]
        assert order == sorted(order)
        assert f"/view/{clip.clip_id}/{nth}/image.webp" in row
        assert f"/view/{clip.clip_id}/{nth}/source.webp" in row
        assert f"/subject/{clip.clip_id}/{view.object_id}/cutout.webp" in row
        assert "main_image" not in view.path
    targets = [one["target"] for one in data_of(test, "opens2v_judge")]
    assert targets == [view_target(clip.part, clip.key, view.view_idx, view.class_name) for view in triple.views]


def test_the_keys_judge_the_first_view_without_a_verdict(explorer: Explorer) -> None:
    judges = data_of(run("gpt_views"), "opens2v_judge")
    assert [one["hotkeys"] for one in judges] == [True] + [False] * (len(judges) - 1)
    event: dict[str, Any] = {
        "event_id": "6b1d4f6e-58d4-4c0e-9d5c-0d7a1c6f0003",
        "at": "2026-11-25T19:16:24.051Z",
        "catalog_digest": "0",
    }
    explorer.verdicts.add(
        [Event(who=explorer.reviewer, kind="view", target=judges[0]["target"], verdict="same", **event)]
    )
    again = data_of(run("gpt_views"), "opens2v_judge")
    assert [one["hotkeys"] for one in again[:2]] == [False, True]
    assert again[0]["mine"]["verdict"] == "same"


def test_a_view_whose_class_no_subject_has_says_so(explorer_catalog: opens2v_data.OpenS2V) -> None:
    triple = next(
        one for one in explorer_catalog.triples(with_views=True) if any(view.object_id is None for view in one.views)
    )
    test = run("gpt_views", f"key={triple.clip.part}/{triple.clip.key}")
    assert "no-such-subject" in codes(test)


def test_nothing_to_show_has_its_words(explorer_catalog: opens2v_data.OpenS2V) -> None:
    with_views = {triple.clip.clip_id for triple in explorer_catalog.triples(with_views=True)}
    bare = next(one for one in explorer_catalog.triples() if one.clip.clip_id not in with_views).clip
    for query in (f"key={bare.part}/{bare.key}", f"ids={bare.clip_id}", "ids=999999"):
        test = run("gpt_views", query)
        assert not test.exception
        assert codes(test) == {"no-views"}, query
    assert "cannot be listed" in html(run("gpt_views", "key=nothing"))
    assert "cannot be listed" in html(run("gpt_views", "after=nonsense"))


def test_clips_leave_the_list_with_their_last_view_and_others_come_with_the_first(explorer: Explorer) -> None:
    triples = list(explorer.catalog.triples(with_views=True))
    ids = [triple.clip.clip_id for triple in triples]

    def say(who: str, triple: Any, views: Any) -> None:
        clip = triple.clip
        explorer.verdicts.add(
            Event(
                event_id=str(uuid.uuid4()), who=who, kind="view", verdict="same", **WHEN,
                target=view_target(clip.part, clip.key, view.view_idx, view.class_name),
            )
            for view in views
        )  # fmt: skip

    first = triples[0]
    assert len(first.views) > 1
    say(explorer.reviewer, first, first.views[:-1])
    assert listed(run("gpt_views", "judged=todo")) == ids[:2]
    say(explorer.reviewer, first, first.views[-1:])
    left = run("gpt_views", "judged=todo")
    assert listed(left) == ids[1:3]
    assert f"<b>{len(ids) - 1}</b> clips with views that you have not judged" in html(left)
    assert "judged=todo&amp;after=" in stage_html(left)
    say("other", first, first.views)
    say("other", triples[1], triples[1].views[:1])
    assert listed(run("gpt_views", "judged=others")) == ids[1:2]
    say(explorer.reviewer, triples[1], triples[1].views[:1])
    done = run("gpt_views", "judged=others")
    assert listed(done) == [] and "queue-done" in codes(done)
