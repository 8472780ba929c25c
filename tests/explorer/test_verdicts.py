"""The log of verdicts: against a plain model, from several threads and processes, and on files that are none."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.errors import VerdictLogError
from opens2v_explorer.verdicts import (
    VERDICTS,
    Event,
    VerdictStore,
    clip_target,
    clips_of,
    pair_target,
    subject_target,
    view_target,
)
from opens2v_explorer.verdicts.events import MAX_NOTE, new_id

EXPLORER = Path(__file__).parents[2] / "explorer"


def event(**changes: Any) -> Event:
    """Return an event, with what is said of it."""
    values: dict[str, Any] = {
        "event_id": new_id(),
        "at": "2026-11-25T19:16:24.051Z",
        "who": "ada",
        "kind": "clip",
        "target": "total_part1/a_1",
        "verdict": "keep",
        "catalog_digest": "ab12",
    }
    return Event(**values | changes)


@pytest.fixture
def store(tmp_path: Path) -> VerdictStore:
    """An empty log."""
    return VerdictStore(tmp_path / "verdicts.sqlite")


# -- against a model

IDS = [str(uuid.UUID(int=number)) for number in range(12)]


@st.composite
def _events(draw: st.DrawFn) -> Event:
    verdict = draw(st.sampled_from(["keep", "drop", "flag", "undo"]))
    return event(
        event_id=draw(st.sampled_from(IDS)),
        at=f"2026-11-25T19:16:24.00{draw(st.integers(0, 3))}Z",
        who=draw(st.sampled_from(["ada", "bo"])),
        target=draw(st.sampled_from(["p/a", "p/b"])),
        verdict=verdict,
        undoes=draw(st.sampled_from(IDS)) if verdict == "undo" else None,
        round=draw(st.sampled_from([1, 2])),
        note=draw(st.sampled_from(["", "blurred"])),
        reasons=draw(st.sampled_from([(), ("watermark", "blur")])),
    )


def _current(logged: list[Event]) -> set[str]:
    """Return the ids of the events that stand, by the definition in words."""
    undone = {(one.who, one.undoes) for one in logged if one.verdict == "undo"}
    last: dict[tuple[Any, ...], tuple[str, int, Event]] = {}
    for seq, one in enumerate(logged):
        if one.verdict == "undo" or (one.who, one.event_id) in undone:
            continue
        place = (one.who, one.kind, one.target, one.round)
        if place not in last or (one.at, seq) > last[place][:2]:
            last[place] = (one.at, seq, one)
    return {found.event_id for _, _, found in last.values()}


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.tuples(st.booleans(), st.lists(_events(), max_size=6)), max_size=6))
def test_it_is_a_list_of_first_comers_whoever_writes(batches: list[tuple[bool, list[Event]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.sqlite"
        logged: list[Event] = []
        with VerdictStore(path) as one, VerdictStore(path) as other:
            for is_other, batch in batches:
                told = (other if is_other else one).add([item.to_json() for item in batch])
                new, already, refused, statuses = [], [], [], []
                for index, item in enumerate(batch):
                    known = next((found for found in logged if found.event_id == item.event_id), None)
                    if known is None:
                        logged.append(item)
                        new.append(item.event_id)
                        statuses.append("new")
                    elif known == item:
                        already.append(item.event_id)
                        statuses.append("already")
                    else:
                        refused.append((index, item.event_id))
                        statuses.append("refused")
                assert (list(told.new), list(told.already), list(told.statuses)) == (new, already, statuses)
                assert [(no.index, no.event_id) for no in told.refused] == refused
            for reader in (one, other):
                assert list(reader.events()) == logged
                standing = [item for item in logged if item.event_id in _current(logged)]
                assert reader.current() == standing
                assert reader.current(last=2) == standing[-2:]
                assert reader.count() == reader.version() == len(logged)
                assert {(item.target, item.who) for item in reader.current(round=2, who="bo")} == {
                    (item.target, item.who)
                    for item in logged
                    if item.event_id in _current(logged) and (item.who, item.round) == ("bo", 2)
                }
                assert sum(tally.count for tally in reader.tallies()) == len(_current(logged))
        with VerdictStore(path) as again:
            assert list(again.events()) == logged


def test_an_undo_reaches_its_reviewers_own_event_even_when_it_comes_first(store: VerdictStore) -> None:
    kept = event()
    store.add([event(verdict="undo", undoes=kept.event_id, at="2026-11-25T19:17:00Z")])
    store.add([kept])
    assert store.current() == []
    dropped = event(verdict="drop")
    store.add([dropped, event(verdict="undo", undoes=dropped.event_id, who="bo")])
    assert store.current() == [dropped]
    assert len(store.history(kept.target)) == store.count() == 4


def test_undoing_the_last_word_brings_back_the_one_before(store: VerdictStore) -> None:
    kept, dropped = event(), event(verdict="drop", at="2026-11-25T19:16:25Z")
    store.add([kept, dropped])
    assert store.current() == [dropped]
    store.add([event(verdict="undo", undoes=dropped.event_id)])
    assert store.current() == [kept]


def test_questions_choose_by_kind_reviewer_round_verdict_and_target(store: VerdictStore) -> None:
    pair = pair_target("p/b#2", "p/a#1")
    events = [
        event(target="p/a"),
        event(target="p/b", verdict="drop"),
        event(target="p/a", who="bo", round=2, verdict="flag"),
        event(kind="pair", target=pair, verdict="unsure"),
    ]
    store.add(events)
    assert store.current("clip", "ada") == events[:2]
    assert store.current(round=2) == [events[2]]
    assert store.current(verdict="drop") == [events[1]]
    assert store.current(targets=[pair, "p/b", "'"]) == [events[1], events[3]]
    assert store.judged("clip") == ["p/a", "p/b"]
    assert store.judged("clip", not_who="bo") == ["p/a", "p/b"]
    assert store.judged("clip", not_who="ada") == store.judged("clip", who="bo") == ["p/a"]
    assert store.reviewers() == ["ada", "bo"]
    assert store.digests() == {"ab12": 4}
    assert [(tally.who, tally.kind, tally.round, tally.verdict, tally.count) for tally in store.tallies()] == [
        ("ada", "clip", 1, "drop", 1),
        ("ada", "clip", 1, "keep", 1),
        ("ada", "pair", 1, "unsure", 1),
        ("bo", "clip", 2, "flag", 1),
    ]


# -- threads and processes

_WRITER = """
import sys
from opens2v_explorer.verdicts import VerdictStore
from opens2v_explorer.verdicts.events import Event
path, who = sys.argv[1:]
import uuid
for number in range(40):
    with VerdictStore(path) as store:
        shared = uuid.UUID(int=number)  # which the other process sends as well
        own = uuid.uuid5(shared, who)
        made = dict(at="2026-11-25T19:16:24Z", kind="clip", target=f"p/{number}", verdict="keep", catalog_digest="ab")
        print(len(store.add([dict(made, event_id=str(own), who=who), dict(made, event_id=str(shared), who="both")]).new))
"""


def test_two_processes_lose_nothing_and_log_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "v.sqlite"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), who],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(EXPLORER)},
        )
        for who in ("ada", "bo")
    ]
    shown = [writer.communicate(timeout=250)[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    new = sum(int(line) for text in shown for line in text.split())
    with VerdictStore(path) as store:
        assert new == store.count() == 120
        assert {who: len(store.current(who=who)) for who in store.reviewers()} == {"ada": 40, "bo": 40, "both": 40}


def test_threads_share_one_store(store: VerdictStore) -> None:
    events = [[event(target=f"p/{thread}-{number}") for number in range(30)] for thread in range(6)]

    def write(mine: list[Event]) -> None:
        for one in mine:
            store.add([one, mine[0]])
            store.current(targets=[one.target])

    threads = [threading.Thread(target=write, args=(mine,)) for mine in events]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.judged("clip")) == sorted(one.target for mine in events for one in mine)
    assert store.count() == 180


def test_a_reader_sees_what_a_writer_adds_meanwhile(store: VerdictStore) -> None:
    with VerdictStore(store.path, read_only=True) as reader:
        assert (reader.log_id, reader.count(), reader.is_writable) == (store.log_id, 0, False)
        store.add([event()])
        assert reader.count() == 1
        with pytest.raises(VerdictLogError, match="it was opened for reading"):
            reader.add([event()])


# -- what is refused

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no uuid": ({"event_id": "7"}, "event_id must be a UUID, got '7'"),
    "no time": ({"at": "yesterday"}, "at must be a time like"),
    "no zone": ({"at": "2026-11-25T19:16:24"}, "at must be a time like"),
    "nobody": ({"who": "  "}, "who must be one line that is not empty"),
    "two lines": ({"who": "a\nb"}, "who must be one line"),
    "long name": ({"who": "a" * 65}, "who must have 64 characters at most, has 65"),
    "kind": ({"kind": "film"}, "kind must be one of clip, subject, pair, view, got 'film'"),
    "verdict": ({"verdict": "same"}, "a verdict on a clip is one of keep, drop, flag, undo, got 'same'"),
    "subject's verdict": ({"kind": "subject", "target": "p/a#1"}, "a verdict on a subject is one of ok, bad, undo"),
    "undo of nothing": ({"verdict": "undo"}, "undoes names an event where the verdict is undo"),
    "undo beside a verdict": ({"undoes": IDS[0]}, "undoes names an event where the verdict is undo"),
    "target": ({"target": "a"}, "expected a clip as PART/KEY, found 'a'"),
    "a pair the wrong way": (
        {"kind": "pair", "target": "p/b#1|p/a#1"},
        "expected a pair as SUBJECT|SUBJECT, the lesser",
    ),
    "view": ({"kind": "view", "target": "p/a@x/dog"}, "expected a view as PART/KEY@VIEW_IDX/CLASS"),
    "reasons": ({"reasons": "blur"}, "reasons must be a list of 16 texts at most, got 'blur'"),
    "a reason": ({"reasons": [1]}, "a reason must be a text, got 1"),
    "long note": ({"note": "n" * (MAX_NOTE + 1)}, "note must have 2,000 characters at most, has 2,001"),
    "half a letter": ({"note": "\ud800"}, "note must be Unicode text"),
    "round": ({"round": 3}, "round must be 1 or 2, got 3"),
    "true": ({"round": True}, "round must be 1 or 2, got True"),
    "digest": ({"catalog_digest": "xyz"}, "catalog_digest must be hexadecimal"),
    "no digest": ({"catalog_digest": ""}, "catalog_digest must be hexadecimal"),
    "a number": ({"target": 7}, "target must be a text, got 7"),
    "unknown field": ({"path": "/etc"}, "an event has no field 'path'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_event_is_refused_with_its_reason_and_keeps_no_other_back(store: VerdictStore, name: str) -> None:
    changes, reason = WRONG[name]
    good, wrong = event(), event().to_json() | changes
    told = store.add([wrong, good.to_json()])
    assert told.new == (good.event_id,)
    assert [(no.index, no.event_id) for no in told.refused] == [(0, wrong["event_id"])]
    assert reason in told.refused[0].reason
    assert store.count() == 1


@pytest.mark.parametrize("given_", [None, 1, "keep", [], {}, {"event_id": 5}])
def test_what_is_no_event_is_refused(store: VerdictStore, given_: Any) -> None:
    told = store.add([given_])
    assert (told.new, told.already, len(told.refused)) == ((), (), 1)


def test_one_id_with_two_contents_keeps_the_first(store: VerdictStore) -> None:
    first = event()
    told = store.add([first, first, replace(first, verdict="drop")])
    assert (told.new, told.already) == ((first.event_id,), (first.event_id,))
    assert "another event has the id" in told.refused[0].reason
    assert store.current() == [first]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2026-11-25T20:16:24.0519+01:00", "2026-11-25T19:16:24.051Z"),
        ("2026-11-25T19:16:24Z", "2026-11-25T19:16:24.000Z"),
        ("0999-01-01T00:00Z", "0999-01-01T00:00:00.000Z"),
    ],
)
def test_times_have_one_spelling_so_that_texts_sort_like_times(written: str, kept: str) -> None:
    assert event(at=written).at == kept


@given(st.builds(event, note=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)))
def test_an_event_survives_json(one: Event) -> None:
    assert Event.from_json(json.loads(json.dumps(one.to_json()))) == one


# -- targets

KEYS = st.text(st.sampled_from("ab_-.#|@%2357C "), min_size=1, max_size=8)


@given(key=KEYS, other=KEYS, name=st.text(st.sampled_from("dog/@#| "), min_size=1), number=st.integers(0, 99))
def test_targets_tell_their_clips(key: str, other: str, name: str, number: int) -> None:
    clip = clip_target("total_part1", key)
    assert clips_of("clip", clip) == (f"total_part1/{key}",)
    mine, theirs = subject_target("total_part1", key, number), subject_target("p2", other, 1)
    assert clips_of("subject", mine) == (f"total_part1/{key}",)
    pair = pair_target(mine, theirs)
    assert pair == pair_target(theirs, mine)
    assert sorted(clips_of("pair", pair)) == sorted((f"total_part1/{key}", f"p2/{other}"))
    assert clips_of("view", view_target("total_part1", key, number, name)) == (f"total_part1/{key}",)


def test_every_kind_has_verdicts_and_undo_is_none_of_them() -> None:
    assert all(values and "undo" not in values for values in VERDICTS.values())


# -- files that are no log


def test_a_file_that_is_no_log_is_left_as_it_is(tmp_path: Path) -> None:
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    text = tmp_path / "notes.txt"
    text.write_text("SELECT 1;" * 200)
    for path, message in ((other, "found another SQLite file"), (text, "found no SQLite file")):
        before = path.read_bytes()
        with pytest.raises(VerdictLogError, match=f"expected a log of verdicts at .*{message}"):
            VerdictStore(path)
        assert path.read_bytes() == before
        assert sorted(tmp_path.iterdir()) == [text, other]


def test_a_log_of_a_later_version_is_told(store: VerdictStore) -> None:
    store.close()
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(VerdictLogError, match="of version 2, this opens2v-data reads 1"):
        VerdictStore(store.path)


def test_a_log_that_must_be_there_is_not_begun(tmp_path: Path) -> None:
    for options in ({"must_exist": True}, {"read_only": True}):
        with pytest.raises(VerdictLogError, match="found no file"):
            VerdictStore(tmp_path / "gone.sqlite", **options)
    with pytest.raises(VerdictLogError, match=r"cannot open the log of verdicts .* its folder exists and is writable"):
        VerdictStore(tmp_path / "nowhere" / "v.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_read_and_says_why(store: VerdictStore) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.sqlite"
        with VerdictStore(path) as made:
            made.add([event()])
        Path(folder).chmod(0o555)
        path.chmod(0o444)
        # Root may write anything; then read it as nobody does.
        is_root = os.geteuid() == 0
        try:
            if is_root:
                os.seteuid(65534)
            with VerdictStore(path) as found:
                assert (found.count(), found.is_writable) == (1, False)
                with pytest.raises(
                    VerdictLogError, match="the file or its folder is not writable; change its permissions"
                ):
                    found.add([event()])
        finally:
            if is_root:
                os.seteuid(0)
            Path(folder).chmod(0o755)


def test_a_statement_cannot_change_what_was_said(store: VerdictStore) -> None:
    store.add([event()])
    with sqlite3.connect(store.path) as connection:
        for sql in ("DELETE FROM events", "UPDATE events SET verdict = 'drop'"):
            with pytest.raises(sqlite3.IntegrityError, match="verdicts are only ever added"):
                connection.execute(sql)
    connection.close()
