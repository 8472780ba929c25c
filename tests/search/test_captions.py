"""Captions by index, by scan and by plain Python: the same clips. And what a build leaves, however it ends."""

from __future__ import annotations

import fcntl
import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.archive.stores import MemoryStore
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.catalog.copy import copy_catalog
from opens2v_data.catalog.verify import verify
from opens2v_data.errors import CatalogDamagedError, CatalogError, MissingExtraError, QueryError
from opens2v_data.query import Query
from opens2v_data.search import CaptionSearch, build_index, index_state, scan_condition
from opens2v_data.search import captions as asking
from opens2v_data.search.place import INFO_FILE, index_folders, load_info, save_info
from opens2v_data.search.terms import AllOf, AnyOf, Phrase, Term, Without, parse_query
from search.captioned import holds, text_of, with_captions, words_in

pytest.importorskip("tantivy", reason="the extra search is not installed")

CAPTIONS = [
    "A red car on the street.",
    "The car is red; a RED CAR, they say",
    "Guitar solo at night",
    None,
    "guitars, and a T-shirt",
    "",
    "naïve café — 東京 Straße 50%_off 'quoted' \"text\" \\ {in} $1 ?",
    "red\ncar\tred",
]
PIECES = ["(", ")", '"', "-", " ", " OR ", "NOT ", "red", "é", "\0", "\\", "?", "'", "%", "$1"]
VOCABULARY = ["red", "Car", "GUITAR", "t", "shirt", "naïve", "Straße", "東京", "x1", "İz", "e\u0301t", "٣"]

words = st.sampled_from([word for text in VOCABULARY for word in words_in(text)])
phrases = st.lists(words, min_size=1, max_size=3).map(lambda found: Phrase(words=tuple(found)))
terms = st.recursive(
    phrases,
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: AllOf(parts=tuple(parts)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: AnyOf(parts=tuple(parts)))
        | inner.map(lambda part: Without(part=part))
    ),
    max_leaves=6,
)
captions = (
    st.none()
    | st.lists(
        st.sampled_from(VOCABULARY) | st.sampled_from(["-", ", ", " ", "\n", "_", "'", "\0", "😀", "™"]), max_size=12
    ).map(" ".join)
    | st.text(max_size=20)
)


@pytest.fixture(scope="module")
def catalog(sample_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A catalog with `CAPTIONS` and its index."""
    made = with_captions(sample_catalog, tmp_path_factory.mktemp("captions") / "catalog", CAPTIONS)
    build_index(made)
    return made


@pytest.fixture
def fresh(sample_catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog with `CAPTIONS` and no index, and a cache of its own."""
    monkeypatch.setenv("OPENS2V_CACHE", str(tmp_path / "cache"))
    return with_captions(sample_catalog, tmp_path / "catalog", CAPTIONS)


def by_scan(query: Query, text: str) -> list[int]:
    condition, values = scan_condition(text)
    return query.ask(f"SELECT clip_id FROM captions WHERE {condition} ORDER BY 1", values).column(0).to_pylist()


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("red car", [0, 1, 7]),
        ('"red car"', [0, 1, 7]),
        ('"car red"', [7]),
        ("guitar", [2]),
        ("guitar OR guitars", [2, 4]),
        ("t-shirt", [4]),
        ("red -street", [1, 7]),
        ("-red -guitar", [3, 4, 5, 6]),
        ("NOT (red OR guitar OR guitars)", [3, 5, 6]),
        ("NAÏVE 東京 straße", [6]),
        ("strasse", []),
        ("street OR NOT red", [0, 2, 3, 4, 5, 6]),
        ("50%_off", [6]),
        ("zebra", []),
    ],
)
def test_index_and_scan_find_whole_words_in_any_case(catalog: Catalog, query: str, ids: list[int]) -> None:
    found = CaptionSearch.open(catalog).ids(query)
    assert found.dtype == np.int32 and found.tolist() == ids
    assert by_scan(Query(catalog), query) == ids


@settings(max_examples=10, deadline=None)
@given(texts=st.lists(captions, min_size=1, max_size=12), asked=st.lists(terms, min_size=4, max_size=8))
def test_index_scan_and_plain_python_find_the_same_clips(
    sample_catalog: Path, tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], asked: list[Term]
) -> None:
    catalog = with_captions(sample_catalog, tmp_path_factory.mktemp("random") / "catalog", texts)
    build_index(catalog)
    search, query = CaptionSearch.open(catalog), Query(catalog)
    for spelled, term in enumerate(asked):
        expected = [clip_id for clip_id, text in enumerate(texts) if holds(term, words_in(text))]
        text = text_of(term, spelled=spelled)
        assert search.ids(text).tolist() == expected, text
        assert by_scan(query, text) == expected, text


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.sampled_from(["(", ")", '"', "-", " ", " OR ", "NOT ", "red", "é", "\0", "\\", "?", "'", "%", "$1"])
    ).map("".join)
)
def test_any_text_is_answered_alike_or_refused(catalog: Catalog, text: str) -> None:
    try:
        parse_query(text)
    except QueryError:
        with pytest.raises(QueryError, match="at character"):
            scan_condition(text)
        return
    assert CaptionSearch.open(catalog).ids(text).tolist() == by_scan(Query(catalog), text)


def test_ids_are_cut_at_a_limit_and_come_in_order(catalog: Catalog) -> None:
    search = CaptionSearch.open(catalog)
    assert search.ids("red", limit=2).tolist() == [0, 1]
    assert search.ids("red", limit=0).tolist() == []
    assert search.ids("red OR NOT red").tolist() == list(range(len(CAPTIONS)))
    with pytest.raises(ValueError, match="limit must be 0 or more, got -1"):
        search.ids("red", limit=-1)


def test_the_best_come_first_with_their_scores(catalog: Catalog) -> None:
    search = CaptionSearch.open(catalog)
    ids, scores = search.top("red car", 10)
    assert sorted(ids.tolist()) == [0, 1, 7] and (np.diff(scores) <= 0).all() and scores.dtype == np.float32
    assert search.top("zebra", 10)[0].tolist() == []
    assert len(search.top("red", 1)[0]) == 1
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        search.top("red", 0)


def test_an_index_travels_to_other_processes(catalog: Catalog) -> None:
    search = pickle.loads(pickle.dumps(CaptionSearch.open(catalog)))
    assert search.ids("guitar").tolist() == [2] and search.num_captions == len(CAPTIONS)


def test_the_sample_is_found_by_its_own_words(sample_catalog: Path, tmp_path: Path) -> None:
    catalog = Catalog.open(sample_catalog)
    build_index(catalog, folder=tmp_path / "elsewhere")
    search, query = CaptionSearch.open(catalog, folder=tmp_path / "elsewhere"), Query(catalog)
    rows = query.ask("SELECT clip_id, caption FROM captions ORDER BY 1").to_pylist()
    assert not (sample_catalog / "search").exists()
    for word in sorted({word for row in rows for word in words_in(row["caption"])})[:40]:
        term = Phrase(words=(word,))
        expected = [row["clip_id"] for row in rows if holds(term, words_in(row["caption"]))]
        assert search.ids(f'"{word}"').tolist() == expected == by_scan(query, f'"{word}"')


def test_without_an_index_the_command_that_builds_it_is_told(fresh: Catalog) -> None:
    assert index_state(fresh).kind == "absent" and CaptionSearch.find(fresh) is None
    with pytest.raises(QueryError, match=rf"has no caption index; build it with: opens2v search-index {fresh.uri}"):
        CaptionSearch.open(fresh)


def test_without_tantivy_the_extra_is_told(fresh: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tantivy", None)
    monkeypatch.delitem(sys.modules, "opens2v_data.search.engine", raising=False)
    monkeypatch.setattr(asking, "find_spec", lambda name: None)
    assert index_state(fresh).kind == "no-extra" and CaptionSearch.find(fresh) is None
    for call in (build_index, CaptionSearch.open):
        with pytest.raises(MissingExtraError, match=re.escape('pip install "opens2v-data[search]"')):
            call(fresh)


def test_an_index_of_another_catalog_is_refused_and_replaced(fresh: Catalog, sample_catalog: Path) -> None:
    build_index(fresh)
    changed = with_captions(sample_catalog, fresh.root, ["only this"])
    assert index_state(changed).kind == "stale"
    for opens in (CaptionSearch.open, CaptionSearch.find):
        with pytest.raises(QueryError, match=rf"found that of {fresh.digest}; build it anew: opens2v search-index"):
            opens(changed)
    assert not build_index(changed).was_complete
    found = CaptionSearch.find(changed)
    assert found is not None and found.ids("this").tolist() == [0]
    assert len(list((changed.root / "search").iterdir())) == 2


def test_an_index_of_another_format_is_refused(fresh: Catalog) -> None:
    folder = build_index(fresh).folder
    info = load_info(folder)
    assert info is not None
    save_info(folder, msgspec.structs.replace(info, format=info.format + 1))
    with pytest.raises(QueryError, match=rf"in format {info.format + 1}; build it anew"):
        CaptionSearch.open(fresh)


@pytest.mark.parametrize("text", ["", "{}", '{"format":1,"digest":"","num_captions":1,"folder":"../index-1"}', "[1"])
def test_an_account_that_is_none_is_refused(fresh: Catalog, text: str) -> None:
    (fresh.root / "search").mkdir()
    (fresh.root / "search" / INFO_FILE).write_text(text)
    with pytest.raises(CatalogError, match=r"run opens2v search-index"):
        CaptionSearch.open(fresh)


def test_damaged_files_are_refused(fresh: Catalog) -> None:
    folder = build_index(fresh).folder
    info = load_info(folder)
    assert info is not None
    (folder / info.folder / "meta.json").write_text("nothing")
    with pytest.raises(CatalogError, match=r"expected a caption index in .*; run opens2v search-index --force"):
        CaptionSearch.open(fresh)


def test_a_second_build_leaves_the_index_alone_unless_forced(fresh: Catalog) -> None:
    reports: list[tuple[str, int, int]] = []
    first = build_index(fresh, progress=lambda *report: reports.append(report))
    assert (first.num_captions, first.was_complete) == (len(CAPTIONS), False)
    assert reports == [("captions", done, 8) for done in (0, 4, 8)]
    second = build_index(fresh)
    assert second.was_complete and second.size_bytes == first.size_bytes
    before = load_info(first.folder)
    assert not build_index(fresh, force=True).was_complete
    assert load_info(first.folder) != before


def test_one_process_builds_at_a_time(fresh: Catalog) -> None:
    place = fresh.root / "search"
    place.mkdir()
    holder = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(CatalogError, match="another process builds the caption index"):
            build_index(fresh)
    finally:
        os.close(holder)


@pytest.mark.parametrize("is_built", [False, True])
def test_a_build_that_is_killed_leaves_the_former_index_and_the_next_clears_up(fresh: Catalog, is_built: bool) -> None:
    if is_built:
        build_index(fresh)
    code = (
        "import os, signal, sys\n"
        "from opens2v_data.catalog.catalog import Catalog\n"
        "from opens2v_data.search import build_index\n"
        "def report(stage, done, total):\n"
        "    if done >= 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "build_index(Catalog.open(sys.argv[1]), progress=report, force=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(fresh.root)], capture_output=True, timeout=250, check=False)
    assert ended.returncode == -signal.SIGKILL
    place = fresh.root / "search"
    assert len([path for path in place.iterdir() if path.is_dir()]) == 1 + is_built
    assert index_state(fresh).kind == ("ready" if is_built else "absent")
    if is_built:
        assert CaptionSearch.open(fresh).ids("guitar").tolist() == [2]
    (place / f"{INFO_FILE}.123.tmp").write_text("{")  # killed while writing the account
    build_index(fresh)
    assert len(list(place.iterdir())) == 2
    assert CaptionSearch.open(fresh).ids("guitar").tolist() == [2]


def test_who_reads_an_index_goes_on_when_it_is_replaced(fresh: Catalog) -> None:
    build_index(fresh)
    search = CaptionSearch.open(fresh)
    build_index(fresh, force=True)
    assert search.ids("red car").tolist() == [0, 1, 7]


def test_a_catalog_with_an_index_is_sound_and_copies_without_it(sample_catalog: Path, tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    copy_catalog(Catalog.open(sample_catalog), folder)
    build_index(Catalog.open(folder))
    assert all(check.is_ok for check in verify(Catalog.open(folder)))
    copy_catalog(Catalog.open(folder), tmp_path / "copy")
    assert not (tmp_path / "copy" / "search").exists()


def test_a_catalog_on_a_server_has_its_index_in_the_cache(fresh: Catalog, tmp_path: Path) -> None:
    data = {file.path: (fresh.root / file.path).read_bytes() for file in fresh.files}
    remote = Catalog(fresh.manifest, uri="memory://there", store=MemoryStore(data))
    result = build_index(remote)
    assert result.folder == tmp_path / "cache" / "search" / fresh.digest[:16]
    assert CaptionSearch.open(remote).ids("guitar").tolist() == [2]
    # The same captions, so the same index.
    assert CaptionSearch.open(fresh).folder == result.folder


def test_where_one_may_not_write_the_index_goes_to_the_cache(fresh: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert build_index(fresh).folder == index_folders(fresh)[-1] != fresh.root / "search"
    assert CaptionSearch.open(fresh).ids("guitar").tolist() == [2]


def test_without_a_variable_the_cache_is_the_users(
    fresh: Catalog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("OPENS2V_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert index_folders(fresh)[-1] == tmp_path / "xdg" / "opens2v" / "search" / fresh.digest[:16]


def test_captions_that_cannot_be_read_are_named(fresh: Catalog) -> None:
    path = fresh.root / "captions.parquet"
    path.write_bytes(b"PAR1" + b"\0" * (path.stat().st_size - 4))
    with pytest.raises(CatalogDamagedError, match=r"captions\.parquet cannot be read: .*; run opens2v verify"):
        build_index(fresh)
    assert index_state(fresh).kind == "absent"
