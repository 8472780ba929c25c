"""`opens2v fetch`, `index` and `cache` from the command line; what they do is tested with the library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from localhub import LocalHub

if TYPE_CHECKING:
    from pathlib import Path

    from cli.conftest import Run

REPO = "someone/release"


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENS2V_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def catalog(opens2v: Run, hub: LocalHub, tmp_path: Path) -> Path:
    made = opens2v("ingest", f"hf://datasets/{REPO}", tmp_path / "opens2v-5m", "--quiet", "--workers", 1)
    assert (made.code, made.err) == (0, "")
    hub.reset_counts()
    return tmp_path / "opens2v-5m"


def test_a_slice_comes_to_a_folder_and_missing_ones_are_told(
    opens2v: Run, catalog: Path, hub: LocalHub, tmp_path: Path
) -> None:
    done = opens2v("fetch", catalog, "--where", "aesthetic > 5", "--to", tmp_path / "clips", "--json")
    facts = json.loads(done.out)
    assert facts["num_planned"] == facts["num_delivered"] + facts["num_there_before"] + facts["num_failed"]
    assert done.code == (3 if facts["num_failed"] else 0)
    assert len(list((tmp_path / "clips").rglob("*.mp4"))) == facts["num_delivered"] > 0
    assert facts["num_resolves"] == hub.counts().resolve.num_requests
    assert f"{facts['num_planned']} clips = {facts['num_delivered']} fetched + 0 there before" in done.err
    again = opens2v("fetch", catalog, "--where", "aesthetic > 5", "--to", tmp_path / "clips", "--json", "--quiet")
    assert json.loads(again.out)["num_there_before"] == facts["num_delivered"]
    assert again.err == ""


def test_the_cache_is_filled_shown_and_emptied(opens2v: Run, catalog: Path, hub: LocalHub, tmp_path: Path) -> None:
    assert "none set yet" in opens2v("cache", "info").out
    for number in range(2):
        opens2v("fetch", catalog, "--limit", 4, "--to", tmp_path / f"clips{number}", "--cache-gb", "0.1")
        if number == 0:
            hub.reset_counts()
    assert hub.counts().cdn.num_requests == 0
    saved = opens2v("stream", catalog, "--limit", 1, "--save", tmp_path / "saved", "--cache-gb", "0.1")
    assert "1 rows = 1 saved + 0 skipped" in saved.err
    assert hub.counts().cdn.num_requests == 0
    facts = json.loads(opens2v("cache", "info", "--json").out)
    assert (facts["clips"], facts["limit_bytes"]) == (4, 100_000_000)
    assert facts["folder"] == str(tmp_path / "cache")
    shown = opens2v("cache", "info")
    assert "clips    4" in shown.out
    assert "removed 4 clips" in opens2v("cache", "clear").err
    assert json.loads(opens2v("cache", "info", "--json").out)["clips"] == 0


def test_a_stream_saves_what_the_hub_has_as_from_a_folder(
    opens2v: Run, catalog: Path, sample_release: Path, tmp_path: Path
) -> None:
    for config in ("regular", "nexus-cross", "nexus-gpt"):
        ours, local = tmp_path / config / "hub", tmp_path / config / "local"
        assert opens2v("stream", catalog, "--config", config, "--limit", 3, "--save", ours, "--quiet").code == 0
        options = ("--release", sample_release, "--quiet")
        assert opens2v("stream", catalog, "--config", config, "--limit", 3, "--save", local, *options).code == 0
        files = {path.relative_to(local): path.read_bytes() for path in local.rglob("*") if path.is_file()}
        assert len(files) > 10
        for path, data in files.items():
            # row.json names where a view's picture lies: on the Hub, or here.
            assert path.name == "row.json" or (ours / path).read_bytes() == data


def test_an_index_alone_is_made_and_told(opens2v: Run, hub: LocalHub, sample_release: Path, tmp_path: Path) -> None:
    done = opens2v("index", f"hf://datasets/{REPO}", tmp_path / "index", "--chains", 4)
    assert done.code == 0
    assert "members of 2 parts in" in done.err
    first = opens2v("index", sample_release, tmp_path / "shares", "--shard", "0/2")
    assert "1 of 2 parts are not" in first.err
    assert json.loads(opens2v("index", sample_release, tmp_path / "shares", "--json").out)["missing_parts"] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fetch", "nowhere", "--to", "x"), 1, "expected a catalog"),
        (("fetch",), 2, "--to"),
        (("index", "nowhere", "x"), 1, "expected the folder of a release"),
        (("index", "hf://datasets/x", "y"), 2, "expected hf://datasets/OWNER/NAME"),
        (("index", "hf://datasets/nobody/nothing", "y"), 1, "expected a dataset nobody/nothing"),
        (("ingest", "https://example.org/x", "y"), 2, "a plain server lists no files"),
        (("cache",), 2, "info"),
    ],
)
def test_mistakes_are_told(opens2v: Run, hub: LocalHub, arguments: tuple[str, ...], code: int, message: str) -> None:
    done = opens2v(*arguments)
    assert done.code == code
    assert message in done.err
