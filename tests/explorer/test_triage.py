"""Triage: what the page tells its component, and the page itself with clips, without, and where nothing can be written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from streamlit.testing.v1 import AppTest

from explorer.pages import html, make_explorer, run, url
from opens2v_explorer import runtime
from opens2v_explorer.filters import Filters
from opens2v_explorer.stage import static_text
from opens2v_explorer.triage import KEYS, REASONS, parse_keys, parse_reasons, triage_data
from opens2v_explorer.verdicts import Event, VerdictStore, clip_target, pair_target, subject_target
from opens2v_explorer.verdicts.events import MAX_REASON, MAX_REASONS, MAX_WHO, new_id
from opens2v_explorer.verdicts.queue import BATCH, Queue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opens2v_data import OpenS2V
    from opens2v_explorer.runtime import Explorer


@pytest.fixture
def explorer(explorer_catalog: OpenS2V, tmp_path: Path) -> Iterator[Explorer]:
    """An explorer of the sample with an empty log."""
    made = make_explorer(explorer_catalog, tmp_path, reviewer="ada")
    yield made
    made.verdicts.close()
    runtime.use(None)


def component(test: AppTest) -> dict[str, Any]:
    """Return what the page tells its component."""
    (found,) = (one.proto for one in test.get("bidi_component") if one.proto.component_name == "opens2v_triage")
    return json.loads(found.json)


def judge(explorer: Explorer, clip_id: int, verdict: str = "keep", **others: Any) -> Event:
    """Log a verdict."""
    (row,) = explorer.catalog.rows_of([clip_id], with_subjects=False)
    made: dict[str, Any] = {
        "event_id": new_id(),
        "at": "2026-11-25T19:16:24Z",
        "who": "ada",
        "kind": "clip",
        "target": clip_target(row["part"], row["clip_key"]),
        "verdict": verdict,
        "catalog_digest": explorer.catalog.fingerprint,
    }
    event = Event(**made | others)
    assert explorer.verdicts.add([event]).new
    return event


# -- keys and reasons


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("", REASONS),
        (" | \n", REASONS),
        ("blurred|text  on it|blurred", ("blurred", "text on it")),
        ("a\nb", ("a", "b")),
        ("|".join("abcdefghijkl"), tuple("abcdefghi")),
        ("x" * 200, ("x" * MAX_REASON,)),
    ],
)
def test_reasons_are_nine_lines_at_most(text: str, reasons: tuple[str, ...]) -> None:
    assert parse_reasons(text) == reasons
    assert len(reasons) <= 9 <= MAX_REASONS


def test_keys_are_three_letters_that_mean_nothing_else() -> None:
    assert [parse_keys(text) for text in ("", " JKL ", "kdf")] == [KEYS, "jkl", KEYS]
    for text in ("kd", "kdd", "kdu", "ndf", "k1f", "kdéf", "kdff"):
        with pytest.raises(ValueError, match="expected three different letters for keep, drop and flag, none of UN"):
            parse_keys(text)


# -- what the component is told


def test_the_component_is_told_all_it_needs_and_nothing_of_others(explorer: Explorer) -> None:
    judge(explorer, 0, note="mine")
    judge(explorer, 1, "drop", who="bo", note="theirs")
    data = json.loads(json.dumps(triage_data(explorer, Queue(filters=Filters(), who="ada"))))
    assert len(data["items"]) == min(BATCH, len(explorer.catalog) - 1)
    assert [item["clip_id"] for item in data["recent"]] == [0]
    assert data["recent"][0]["mine"]["note"] == "mine"
    assert "theirs" not in json.dumps(data) and "bo" not in [data["who"]]
    assert (data["log"], data["token"], data["writable"]) == (explorer.verdicts.log_id, explorer.token, True)
    assert [(one["verdict"], one["key"]) for one in data["verdicts"]] == [("keep", "k"), ("drop", "d"), ("flag", "f")]
    assert data["queue_url"] == "/explorer/verdicts/queue?who=ada&round=1&which=todo"
    assert (data["filter_hash"], data["catalog_digest"]) == (Filters().fingerprint, explorer.catalog.fingerprint)
    item = data["items"][0]
    assert item["poster"].startswith("/explorer/clip/1/poster.webp?v=")
    assert item["video"].startswith("/explorer/clip/1/video.mp4?v=")
    assert any(fact.startswith("aesthetic ") for fact in item["facts"])


def test_another_queue_has_another_id_and_the_same_has_not(explorer: Explorer) -> None:
    queues = [
        Queue(filters=Filters(), who="ada"),
        Queue(filters=Filters(), who="bo"),
        Queue(filters=Filters(sort="-aesthetic"), who="ada"),
        Queue(filters=Filters(), who="ada", which="all"),
        Queue(filters=Filters(), who="ada", round=2),
    ]
    ids = [triage_data(explorer, queue)["queue_id"] for queue in queues]
    assert len(set(ids)) == len(ids)
    judge(explorer, 0)
    assert triage_data(explorer, queues[0])["queue_id"] == ids[0]
    assert triage_data(explorer, queues[0], keys="jkl")["queue_id"] != ids[0]


def test_an_empty_queue_says_why(explorer: Explorer) -> None:
    clip = Filters(ids=(3,))
    nothing = Queue(filters=Filters(ids=(10**6,)), who="ada")
    assert triage_data(explorer, nothing)["end"]["state"] == "no-results"
    judge(explorer, 3)
    done = triage_data(explorer, Queue(filters=clip, who="ada"))
    assert (done["items"], done["end"]["state"]) == ([], "queue-done")
    assert [link["label"] for link in done["links"]] == ["Review", "Second pass"]
    second = triage_data(explorer, Queue(filters=clip, who="ada", round=2))
    assert "another reviewer judged and you did not" in second["end"]["detail"]


# -- the page


def test_the_page_queues_the_filters_clips_for_the_urls_reviewer(explorer: Explorer) -> None:
    test = run("triage", "who=bo&aesthetic=5..&which=all")
    assert not test.exception
    data = component(test)
    ids = [item["clip_id"] for item in data["items"]]
    assert ids == explorer.catalog.where("aesthetic >= 5").ids().tolist() != []
    assert (data["who"], data["round"], data["which"]) == ("bo", 1, "all")
    assert test.text_input(key="triage-who").value == "bo"
    text = html(test)
    assert text.count('aria-current="true"') == 2
    assert 'href="?aesthetic=5..&amp;who=bo&amp;which=all&amp;round=2"' in text


def test_the_page_without_clips_is_told_so(explorer: Explorer) -> None:
    test = run("triage", "ids=1000000")
    assert not test.exception
    assert component(test)["items"] == [] and component(test)["end"]["state"] == "no-results"


def test_who_judges_and_by_which_keys_goes_to_the_url(explorer: Explorer) -> None:
    test = run("triage", "part=total_part1")
    test.text_input(key="triage-who").set_value("cy").run()
    test.text_input(key="triage-keys").set_value("jkl").run()
    test.text_area(key="triage-reasons").set_value("shaky\nnight").run()
    assert url(test) == {"part": ["total_part1"], "who": ["cy"], "keys": ["jkl"], "reasons": ["shaky|night"]}
    data = component(test)
    assert (data["who"], [one["key"] for one in data["verdicts"]], data["reasons"]) == (
        "cy",
        list("jkl"),
        ["shaky", "night"],
    )
    test.text_area(key="triage-reasons").set_value("\n".join(REASONS)).run()
    test.text_input(key="triage-keys").set_value("kk").run()
    assert "reasons" not in url(test)
    assert "expected three different letters" in html(test)
    assert [one["key"] for one in component(test)["verdicts"]] == list(KEYS)


def test_the_second_pass_leaves_a_filter_by_verdict_out_and_says_so(explorer: Explorer) -> None:
    judge(explorer, 0, "drop", who="bo")
    judge(explorer, 1, "keep", who="bo")
    test = run("triage", "round=2&verdict=drop")
    assert [item["clip_id"] for item in component(test)["items"]] == [0, 1]
    assert "it would give away what others said" in html(test)


def test_a_log_that_cannot_be_written_is_told_on_the_page(explorer: Explorer) -> None:
    explorer.verdicts = VerdictStore(explorer.verdicts.path, read_only=True)
    test = run("triage")
    assert 'data-state="log-unwritable"' in html(test) and "it was opened for reading" in html(test)
    assert component(test)["writable"] is False


def test_texts_of_the_url_are_data_and_never_markup(explorer: Explorer) -> None:
    test = run("triage", "who=<img src=x onerror=alert(1)>&keys=<b>&reasons=<i>")
    assert not test.exception
    assert "<img" not in html(test) and "<b>" not in html(test)


def test_scripts_put_data_in_as_text_alone() -> None:
    for name in ("outbox.js", "screen.js", "triage_parts.js", "triage.js", "judge.js"):
        text = static_text(name)
        assert (
            "innerHTML" not in text and "insertAdjacentHTML" not in text and "http" not in text.replace("https", "")
        ), name


# -- buttons of other pages


def test_buttons_know_the_reviewers_own_verdict_and_no_other(explorer: Explorer) -> None:
    pair = pair_target(subject_target("p1", "a", 1), subject_target("p2", "b", 2))
    script = (
        f"from opens2v_explorer.verdicts.buttons import identity_buttons\nidentity_buttons('pair', {pair!r}, key='x')\n"
    )

    def told(query: str) -> dict[str, Any]:
        test = AppTest.from_string(script)
        test.query_params["who"] = query
        (found,) = test.run().get("bidi_component")
        assert not test.exception
        return json.loads(found.proto.json)

    assert told("ada")["mine"] is None
    event = judge(explorer, 0, "unsure", kind="pair", target=pair)
    judge(explorer, 0, "same", kind="pair", target=pair, who="bo")
    data = told(" ada ")
    assert data["mine"] == {"event_id": event.event_id, "verdict": "unsure", "at": event.at}
    assert (data["event"]["who"], data["event"]["kind"], data["target"]) == ("ada", "pair", pair)
    assert told("x" * 100)["event"]["who"] == "x" * MAX_WHO
