"""`opens2v verdicts`: counts, agreement and files are those of the log; files go to other commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import opens2v_data
from opens2v_explorer.verdicts import Event, VerdictStore, clip_target, pair_target, subject_target
from opens2v_explorer.verdicts.events import new_id

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run

SAID = {"ada": "kkkddf", "bo": "kkddd."}
"""By reviewer, a letter a clip: keep, drop, flag, none."""

WORDS = {"k": "keep", "d": "drop", "f": "flag"}


@pytest.fixture(scope="module")
def keys(sample_catalog: Path) -> list[str]:
    """The first clips of the sample, as `part/clip_key`."""
    rows = opens2v_data.open(sample_catalog).all.limit(6).to_arrow(["part", "clip_key"]).to_pylist()
    return [f"{row['part']}/{row['clip_key']}" for row in rows]


@pytest.fixture
def log(keys: list[str], tmp_path: Path) -> Path:
    """A log of two reviewers, with a clip that the catalog lacks, a pair, and a verdict that was taken back."""
    path = tmp_path / "verdicts.sqlite"

    def event(who: str, verdict: str, **others: str | int) -> Event:
        values = {"event_id": new_id(), "at": "2026-11-25T19:16:24Z", "kind": "clip", "catalog_digest": "ab"}
        return Event(**values | {"who": who, "verdict": verdict} | others)  # type: ignore[arg-type]

    with VerdictStore(path) as store:
        for who, letters in SAID.items():
            said = [(key, letter) for key, letter in zip(keys, letters, strict=True) if letter != "."]
            store.add([event(who, WORDS[letter], target=clip_target(*key.split("/"))) for key, letter in said])
        wrong = event("ada", "keep", target=clip_target(*keys[5].split("/")), at="2026-11-25T20:00:00Z")
        undo = event("ada", "undo", target=wrong.target, undoes=wrong.event_id)
        one, other = (subject_target(*key.split("/"), object_id=1) for key in keys[:2])
        pair = event("bo", "same", kind="pair", target=pair_target(one, other))
        store.add([wrong, undo, event("bo", "drop", target="lost/clip"), pair])
    return path


def test_counts_are_those_of_verdicts_that_stand(opens2v: Run, log: Path) -> None:
    shown = opens2v("verdicts", log)
    assert (shown.code, shown.err) == (0, f"15 events in {log}\n")
    assert [line.split() for line in shown.out.splitlines()] == [
        ["who", "kind", "round", "verdict", "targets"],
        ["ada", "clip", "1", "drop", "2"],
        ["ada", "clip", "1", "flag", "1"],
        ["ada", "clip", "1", "keep", "3"],
        ["bo", "clip", "1", "drop", "4"],
        ["bo", "clip", "1", "keep", "2"],
        ["bo", "pair", "1", "same", "1"],
    ]
    pairs = json.loads(opens2v("verdicts", log, "--kind", "pair", "--json").out)
    assert pairs == {
        "num_events": 1,
        "verdicts": [{"who": "bo", "kind": "pair", "round": 1, "verdict": "same", "count": 1}],
    }


def test_agreement_is_that_of_the_verdicts(opens2v: Run, log: Path) -> None:
    # On five clips both judged they agree on four; ada keeps 3 of 5, bo 2 of 5: chance 0.6 x 0.4 + 0.4 x 0.6 = 0.48.
    shown = opens2v("verdicts", log, "--agreement", "--quiet")
    assert (shown.code, shown.err) == (0, "")
    alpha, kappa, pairs = [line.split() for line in shown.out.splitlines()[1:]]
    assert kappa == ["clip", "kappa", "ada,", "bo", f"{(0.8 - 0.48) / 0.52:.3f}", "0.800", "0.480", "5"]
    # Ten verdicts, five each: 1 - 9 x 1 / (5 x 5).
    assert alpha == ["clip", "alpha", "ada,", "bo", f"{1 - 9 / 25:.3f}", "0.800", "0.444", "5"]
    assert pairs == ["pair", "alpha", "-", "-", "-", "-", "0"]
    told = json.loads(opens2v("verdicts", log, "--agreement", "--json", "--kind", "clip").out)
    assert [one["measure"] for one in told["agreement"]] == ["alpha", "kappa"]
    assert told["agreement"][1]["value"] == pytest.approx(0.32 / 0.52)


@pytest.mark.parametrize(
    ("options", "places", "unknown"),
    [
        (("--verdict", "keep"), [0, 1], 0),
        (("--verdict", "keep", "--by", "any"), [0, 1, 2], 0),
        (("--verdict", "drop"), [3, 4], 1),
        (("--verdict", "drop", "--who", "ada"), [3, 4], 0),
        (("--verdict", "drop", "--by", "any"), [2, 3, 4], 1),
        (("--verdict", "flag"), [5], 0),
        (("--kind", "pair", "--verdict", "same"), [0, 1], 0),
        (("--kind", "view", "--verdict", "same"), [], 0),
    ],
)
def test_exports_are_slices_and_keys_of_the_same_clips(
    opens2v: Run,
    log: Path,
    keys: list[str],
    sample_catalog: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    places: list[int],
    unknown: int,
) -> None:
    wanted = [keys[place] for place in places]
    file = tmp_path / "x.slice.parquet"
    shown = opens2v("verdicts", log, *options, "--export", file, "--of", sample_catalog)
    lost = f"; {unknown} more are not in {sample_catalog}" if unknown else ""
    assert (shown.code, shown.out, shown.err) == (0, "", f"{len(wanted)} clips in {file}{lost}\n")
    listed = opens2v("slice", sample_catalog, "--slice", file, "--ids", "--quiet")
    assert sorted(listed.out.splitlines()) == sorted(wanted)
    text = tmp_path / "x.txt"
    told = opens2v("verdicts", log, *options, "--export", text, "--json")
    assert json.loads(told.out)["export"]["num_clips"] == len(wanted) + unknown
    assert sorted(set(text.read_text().splitlines()) - {"lost/clip"}) == sorted(wanted)
    assert sorted(one.name for one in tmp_path.iterdir() if "x." in one.name) == ["x.slice.parquet", "x.txt"]


def test_all_events_go_to_json_lines_and_back(opens2v: Run, log: Path, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    shown = opens2v("verdicts", log, "--export", file)
    assert (shown.code, shown.err) == (0, f"15 events in {file}\n")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    with VerdictStore(log) as store, VerdictStore(tmp_path / "copy.sqlite") as copy:
        assert len(copy.add(lines).new) == 15
        assert list(copy.events()) == list(store.events())


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--verdict", "keep"), 2, "--verdict chooses what --export writes; give --export FILE"),
        (("--export", "x.csv"), 2, "expected --export FILE with .slice.parquet, .txt or .jsonl at its end, got x.csv"),
        (("--export", "x.txt"), 2, "expected --verdict, one of keep, drop, flag, got None"),
        (("--export", "x.txt", "--kind", "pair", "--verdict", "keep"), 2, "one of same, different, unsure, got keep"),
        (("--export", "x.parquet", "--verdict", "keep"), 2, "a saved slice is of a catalog: give --of CATALOG"),
        (("--export", "x.jsonl", "--who", "ada"), 2, "a .jsonl holds all events"),
        (("--export", "nowhere/x.txt", "--verdict", "keep"), 2, "expected a folder to write"),
        (("--kind", "film"), 2, "invalid choice"),
    ],
)
def test_a_mistake_is_told_in_words(opens2v: Run, log: Path, options: tuple[str, ...], code: int, message: str) -> None:
    shown = opens2v("verdicts", log, *options)
    assert (shown.code, shown.out) == (code, "")
    assert message in shown.err and "Traceback" not in shown.err


def test_what_is_no_log_is_told_and_left(opens2v: Run, tmp_path: Path) -> None:
    gone = opens2v("verdicts", tmp_path / "gone.sqlite")
    assert gone.code == 1 and "found no file" in gone.err
    text = tmp_path / "notes.txt"
    text.write_text("nothing " * 200)
    other = opens2v("verdicts", text)
    assert other.code == 1 and "found no SQLite file; it is left as it is" in other.err


def test_a_log_without_verdicts_has_none(opens2v: Run, tmp_path: Path) -> None:
    """As the explorer leaves it when nobody judged."""
    VerdictStore(tmp_path / "v.sqlite").close()
    shown = opens2v("verdicts", tmp_path / "v.sqlite")
    assert (shown.code, shown.out.split()) == (0, ["who", "kind", "round", "verdict", "targets"])
    assert shown.err.startswith("0 events in ")
    assert opens2v("verdicts", tmp_path / "v.sqlite", "--agreement").code == 0
