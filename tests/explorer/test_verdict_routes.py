"""Verdicts over HTTP: each event answered for, queues that leave out what was judged, files that slices and loaders take."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient

from explorer.pages import make_explorer
from opens2v_explorer import runtime
from opens2v_explorer.filters import Filters
from opens2v_explorer.serving import make_app
from opens2v_explorer.verdicts import Event, VerdictStore, clip_target
from opens2v_explorer.verdicts.events import MAX_NOTE, new_id
from opens2v_explorer.verdicts.exporting import By, judged_ids, save_slice
from opens2v_explorer.verdicts.queue import BATCH, Queue
from opens2v_explorer.verdicts.routes import MAX_BODY_BYTES
from opens2v_loaders import ClipLoader, ClipSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from explorer.conftest import BrokenCatalog
    from opens2v_data import OpenS2V
    from opens2v_explorer.runtime import Explorer

BASE = "http://127.0.0.1:8501"
URL = "/explorer/verdicts"


@pytest.fixture
def explorer(explorer_catalog: OpenS2V, tmp_path: Path) -> Iterator[Explorer]:
    """An explorer of the sample with an empty log."""
    made = make_explorer(explorer_catalog, tmp_path, reviewer="ada")
    yield made
    made.verdicts.close()
    runtime.use(None)


@pytest.fixture
def client(explorer: Explorer) -> TestClient:
    """Asks its routes, with Origin and token as the pages send them."""
    headers = {"Origin": BASE, "X-Explorer-Token": explorer.token}
    return TestClient(make_app(explorer, pages=False), base_url=BASE, headers=headers)


@pytest.fixture(scope="module")
def targets(explorer_catalog: OpenS2V) -> list[str]:
    """The sample's clips, in order of their ids."""
    rows = explorer_catalog.all.to_arrow(["part", "clip_key"]).to_pylist()
    return [clip_target(row["part"], row["clip_key"]) for row in rows]


def event(explorer: Explorer, target: str, verdict: str = "keep", **others: Any) -> dict[str, Any]:
    """Return an event as the browser sends it."""
    return {
        "event_id": new_id(),
        "at": "2026-11-25T19:16:24.051Z",
        "who": "ada",
        "kind": "clip",
        "target": target,
        "verdict": verdict,
        "catalog_digest": explorer.catalog.fingerprint,
        **others,
    }


def queued(client: TestClient, query: str = "") -> list[str]:
    """Return the targets of a queue's first page."""
    answer = client.get(f"{URL}/queue?{query}")
    assert answer.status_code == 200, answer.text
    return [item["target"] for item in answer.json()["items"]]


# -- sending


def test_each_event_is_answered_for_in_order(client: TestClient, explorer: Explorer, targets: list[str]) -> None:
    one, other = event(explorer, targets[0]), event(explorer, targets[1], "drop", reasons=["blurred"], note="a\nb")
    wrong, clash = event(explorer, targets[2], "same"), one | {"verdict": "drop"}
    answer = client.post(URL, json=[one, wrong, other, one, clash, "nothing"])
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    results = answer.json()["results"]
    assert [found["status"] for found in results] == ["new", "refused", "new", "already", "refused", "refused"]
    assert [found["event_id"] for found in results[:5]] == [
        made["event_id"] for made in (one, wrong, other, one, clash)
    ]
    assert "a verdict on a clip is one of keep" in results[1]["reason"]
    assert [item["status"] for item in client.post(URL, json=[one, other]).json()["results"]] == ["already", "already"]
    assert [found.to_json() for found in explorer.verdicts.events()] == [
        Event.from_json(made).to_json() for made in (one, other)
    ]


def test_a_verdict_of_a_page_of_before_a_new_ingest_is_taken(
    client: TestClient, explorer: Explorer, targets: list[str]
) -> None:
    assert (
        client.post(URL, json=[event(explorer, targets[0], catalog_digest="0" * 64)]).json()["results"][0]["status"]
        == "new"
    )
    assert explorer.verdicts.digests() == {"0" * 64: 1}


@pytest.mark.parametrize("body", [b"", b"{", b"{}", b"7", b'"keep"', b"[" * 100_000, b"\xff[]"])
def test_a_body_that_is_no_list_is_refused(client: TestClient, explorer: Explorer, body: bytes) -> None:
    answer = client.post(URL, content=body)
    assert answer.status_code == 400 and "expected a JSON list of events" in answer.json()["error"]
    assert explorer.verdicts.count() == 0


def test_a_body_that_is_too_large_is_refused_and_a_full_batch_is_not(
    client: TestClient, explorer: Explorer, targets: list[str]
) -> None:
    large = [event(explorer, targets[0], note="n" * MAX_NOTE) for _ in range(100)]
    assert {found["status"] for found in client.post(URL, json=large).json()["results"]} == {"new"}
    answer = client.post(URL, content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413 and "send fewer at a time" in answer.json()["error"]


@pytest.mark.parametrize("headers", [{"X-Explorer-Token": "other"}, {"Origin": "http://example.org"}])
def test_other_sites_and_old_pages_log_nothing(
    client: TestClient, explorer: Explorer, targets: list[str], headers: dict[str, str]
) -> None:
    answer = client.post(URL, json=[event(explorer, targets[0])], headers=headers)
    assert (answer.status_code, answer.json()["state"]) == (403, "refused")
    assert explorer.verdicts.count() == 0


def test_a_log_that_cannot_be_written_is_told_so_that_verdicts_wait(
    explorer: Explorer, targets: list[str], tmp_path: Path
) -> None:
    reader = replace(explorer, verdicts=VerdictStore(explorer.verdicts.path, read_only=True))
    headers = {"Origin": BASE, "X-Explorer-Token": explorer.token}
    client = TestClient(make_app(reader, pages=False), base_url=BASE, headers=headers)
    answer = client.post(URL, json=[event(explorer, targets[0])])
    assert (answer.status_code, answer.headers["x-state"]) == (503, "log-unwritable")
    assert "it was opened for reading" in answer.json()["detail"]


# -- asking


def test_current_gives_one_reviewers_verdicts(client: TestClient, explorer: Explorer, targets: list[str]) -> None:
    mine, theirs = event(explorer, targets[0]), event(explorer, targets[0], "drop", who="bo", round=2)
    client.post(URL, json=[mine, theirs])
    found = client.get(f"{URL}/current", params={"who": "ada", "kind": "clip", "target": [targets[0], targets[1]]})
    assert found.json() == {"current": [Event.from_json(mine).to_json()]}
    assert client.get(f"{URL}/current?who=bo&round=1").json() == {"current": []}
    assert len(client.get(f"{URL}/current?who=bo&round=2").json()["current"]) == 1
    for query in ("", "who=ada&kind=film", "who=ada&round=3"):
        assert client.get(f"{URL}/current?{query}").status_code == 400


def test_a_queue_leaves_out_what_this_reviewer_judged(
    client: TestClient, explorer: Explorer, targets: list[str]
) -> None:
    assert queued(client) == queued(client, "who=bo") == targets
    client.post(URL, json=[event(explorer, targets[0]), event(explorer, targets[3], "drop")])
    left = [target for target in targets if target not in (targets[0], targets[3])]
    assert queued(client, "who=ada") == left
    assert queued(client, "who=bo") == targets
    assert queued(client, "who=ada&which=all") == targets
    assert client.get(f"{URL}/queue?who=ada&count=1").json() == {"count": len(left)}
    # What was judged so is asked for by the filter.
    assert queued(client, "who=ada&verdict=drop") == [targets[3]]
    assert queued(client, "who=ada&verdict=unjudged") == left
    (item,) = client.get(f"{URL}/queue?who=ada&verdict=keep").json()["items"]
    assert item["mine"]["verdict"] == "keep" and item["clip_id"] == 0
    assert item["href"].startswith("/clip?verdict=keep&who=ada&key=total_part1%2F")


def test_a_queue_follows_the_filter_and_its_order(client: TestClient, explorer: Explorer, targets: list[str]) -> None:
    s = explorer.catalog.where("aesthetic >= 5").sort("-aesthetic")
    expected = [clip_target(row["part"], row["clip_key"]) for row in s.to_arrow(["part", "clip_key"]).to_pylist()]
    assert queued(client, "aesthetic=5..&sort=-aesthetic") == expected != []
    notices = client.get(f"{URL}/queue?aesthetic=high").json()["notices"]
    assert "aesthetic" in notices[0]
    assert client.get(f"{URL}/queue?among=SELECT 1").status_code == 400
    assert client.get(f"{URL}/queue?after=nowhere").status_code == 400


def test_pages_of_a_queue_meet_each_clip_once_while_it_is_judged(explorer: Explorer, targets: list[str]) -> None:
    queue, seen, after = Queue(filters=Filters(), who="ada"), [], None
    while True:
        items, after = queue.page(explorer, after=after, n=3)
        seen += [item["target"] for item in items]
        explorer.verdicts.add([event(explorer, item["target"]) for item in items[:2]])
        if after is None:
            break
    assert seen == targets and BATCH == 50


def test_the_second_pass_is_blind(client: TestClient, explorer: Explorer, targets: list[str]) -> None:
    client.post(
        URL,
        json=[
            event(explorer, targets[0], "keep", note="theirs"),
            event(explorer, targets[1], "drop", reasons=["blurred"]),
            event(explorer, targets[2], "drop", who="bo"),
            event(explorer, targets[1], "flag", who="bo"),
        ],
    )
    # Of what ada judged, bo has judged the second already.
    assert queued(client, "who=bo&round=2") == [targets[0]]
    assert queued(client, "who=ada&round=2") == [targets[2]]
    assert queued(client, "who=cy&round=2") == targets[:3]
    text = client.get(f"{URL}/queue?who=cy&round=2").text
    assert "theirs" not in text and "blurred" not in text and json.loads(text)["items"][0]["mine"] is None
    # Nor does a filter tell what they said.
    assert queued(client, "who=cy&round=2&verdict=drop") == targets[:3]
    client.post(URL, json=[event(explorer, targets[0], "flag", who="cy", round=2)])
    assert queued(client, "who=cy&round=2") == targets[1:3]
    (mine, *_) = client.get(f"{URL}/queue?who=cy&round=2&which=all").json()["items"]
    assert mine["mine"]["verdict"] == "flag"


def test_the_last_verdicts_can_be_taken_back_after_a_reload(explorer: Explorer, targets: list[str]) -> None:
    queue = Queue(filters=Filters(), who="ada")
    assert queue.recent(explorer) == []
    events = [event(explorer, targets[place]) for place in (4, 1, 2)]
    explorer.verdicts.add([*events, event(explorer, targets[0], who="bo"), event(explorer, "lost/clip")])
    assert [item["mine"]["event_id"] for item in queue.recent(explorer)] == [one["event_id"] for one in events]


def test_times_are_those_of_the_cut_in_the_file(client: TestClient, explorer: Explorer) -> None:
    for triple in explorer.catalog.triples("cut_start > 0 AND fps IS NOT NULL", limit=1):
        facts = explorer.media.facts(triple.clip.clip_id)
        assert triple.clip.cut is not None
        found = client.get(f"{URL}/times/{triple.clip.clip_id}").json()
        start, end = triple.clip.cut
        assert found["start"] == pytest.approx(facts.pts0_seconds + start / facts.fps)
        assert found["end"] == pytest.approx(facts.pts0_seconds + end / facts.fps)
        assert found["frame"] == pytest.approx(1 / facts.fps)


def test_a_clip_without_bytes_tells_its_state(broken_catalog: BrokenCatalog, tmp_path: Path) -> None:
    import opens2v_data

    explorer = make_explorer(opens2v_data.open(broken_catalog.root), tmp_path)
    client = TestClient(make_app(explorer, pages=False), base_url=BASE)
    for clip_id, status, code in (
        (broken_catalog.missing, 404, "not-in-release"),
        (broken_catalog.corrupt, 422, "corrupt"),
        (10**6, 404, "no-such-clip"),
    ):
        answer = client.get(f"{URL}/times/{clip_id}")
        assert (answer.status_code, answer.json()["state"], answer.headers["x-state"]) == (status, code, code)


# -- files


@pytest.fixture
def judged(client: TestClient, explorer: Explorer, targets: list[str]) -> dict[str, list[int]]:
    """What two reviewers say: ids by what all, or any, who judged a clip say."""
    said = {"ada": "kkdfk", "bo": "kdd.."}
    words = {"k": "keep", "d": "drop", "f": "flag"}
    for who, letters in said.items():
        events = [
            event(explorer, target, words[letter], who=who)
            for target, letter in zip(targets, letters, strict=False)
            if letter != "."
        ]
        client.post(URL, json=events)
    return {
        "keep-all": [0, 4],
        "keep-any": [0, 1, 4],
        "drop-all": [2],
        "drop-any": [1, 2],
        "flag-all": [3],
        "flag-any": [3],
    }


def test_exports_are_what_slices_and_loaders_take(
    client: TestClient, explorer: Explorer, judged: dict[str, list[int]], tmp_path: Path
) -> None:
    catalog = explorer.catalog
    for name, ids in judged.items():
        verdict = name.partition("-")[0]
        by: By = "any" if name.endswith("any") else "all"
        answer = client.get(f"{URL}/export/slice?kind=clip&verdict={verdict}&by={by}")
        assert answer.headers["content-disposition"] == f'attachment; filename="clip-{name}.slice.parquet"'
        (tmp_path / f"{name}.slice.parquet").write_bytes(answer.content)
        assert catalog.slice(tmp_path / f"{name}.slice.parquet").ids().tolist() == ids
        keys = client.get(f"{URL}/export/keys?verdict={verdict}&by={by}").text.split()
        assert sorted(triple.clip.clip_id for triple in catalog.get(keys, masks=False)) == ids
        assert judged_ids(catalog, explorer.verdicts, verdict=verdict, by=by).tolist() == ids
    kept, dropped = (catalog.slice(tmp_path / f"{name}.slice.parquet") for name in ("keep-all", "drop-any"))
    assert set((catalog.all - dropped).ids().tolist()) == set(range(len(catalog))) - {1, 2}
    assert (kept & catalog.where("clip_id > 0")).ids().tolist() == [4]
    everything = set(range(len(catalog)))

    def rows(source: Any, **options: Any) -> set[int]:
        loader = ClipLoader(source, clip=ClipSpec(size=(16, 16), num_frames=1), batch_size=1, **options)
        return set(loader.plan.rows.rows.tolist())

    assert rows(catalog, include=kept.ids()) == {0, 4}
    assert rows(catalog, exclude=dropped.ids()) == everything - {1, 2}
    assert rows(kept) == {0, 4}
    assert rows(catalog.all - dropped, include={"regular": [2, 3]}) == {3}


def test_a_key_that_the_catalog_lacks_is_counted_and_left_out(
    explorer: Explorer, targets: list[str], tmp_path: Path
) -> None:
    written = save_slice(explorer.catalog, [targets[3], "lost/clip", targets[1]], tmp_path / "x.slice.parquet")
    assert (written.num_clips, written.num_unknown) == (2, 1)
    assert explorer.catalog.slice(tmp_path / "x.slice.parquet").ids().tolist() == [1, 3]


@pytest.mark.usefixtures("judged")
def test_all_events_are_a_file_that_another_log_takes(client: TestClient, explorer: Explorer, tmp_path: Path) -> None:
    answer = client.get(f"{URL}/export/events")
    assert answer.headers["content-disposition"] == 'attachment; filename="verdicts.jsonl"'
    with VerdictStore(tmp_path / "copy.sqlite") as copy:
        copy.add([json.loads(line) for line in answer.text.splitlines()])
        assert list(copy.events()) == list(explorer.verdicts.events())


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("slice?verdict=same", 400),
        ("slice?kind=film", 400),
        ("slice?by=most", 400),
        ("parquet", 404),
        ("..%2f..%2fetc", 404),
    ],
)
def test_other_files_are_refused(client: TestClient, path: str, status: int) -> None:
    assert client.get(f"{URL}/export/{path}").status_code == status
