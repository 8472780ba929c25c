"""What the explorer keeps: pictures on disk and in memory, and work that several requests want, done once."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import opens2v_data
from opens2v_data.errors import MissingPieceError
from opens2v_explorer.media.cache import PictureCache, charge_of
from opens2v_explorer.media.reader import MediaReader
from opens2v_explorer.media.sharing import Batches, Kept, OnlyOnce
from opens2v_explorer.states import StateError
from opens2v_loaders import annotated_frame

if TYPE_CHECKING:
    from pathlib import Path

# -- what is kept ----------------------------------------------------------------------------------------------------

KEYS = st.sampled_from([f"k{n}" for n in range(8)])
SIZES = st.integers(0, 40_000)


@settings(max_examples=30, deadline=None)
@given(limit=st.integers(0, 12), steps=st.lists(st.tuples(st.booleans(), KEYS, SIZES), max_size=30))
def test_the_cache_keeps_what_was_used_last_and_never_more_than_its_limit(
    limit: int, steps: list[tuple[bool, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    limit_bytes = limit * 8192
    cache = PictureCache(tmp_path_factory.mktemp("lru"), limit_bytes=limit_bytes, touch_seconds=0)
    model: OrderedDict[str, bytes] = OrderedDict()
    for number, (is_read, key, size) in enumerate(steps):
        if is_read:
            assert cache.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
            continue
        data = bytes([number]) * size
        kept = cache.put(key, data)
        assert kept == (charge_of(size) <= limit_bytes)
        if kept:
            model.pop(key, None)
            while sum(charge_of(len(value)) for value in model.values()) + charge_of(size) > limit_bytes:
                model.popitem(last=False)
            model[key] = data
        assert cache.size_bytes() == sum(charge_of(len(value)) for value in model.values()) <= limit_bytes
    assert {key: cache.get(key) for key in model} == model
    cache.close()


def test_a_smaller_limit_takes_effect_at_once(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, limit_bytes=10 * charge_of(100))
    for n in range(10):
        assert cache.put(f"k{n}", bytes(100))
    cache.close()
    smaller = PictureCache(tmp_path, limit_bytes=3 * charge_of(100))
    assert [n for n in range(10) if smaller.get(f"k{n}") is not None] == [7, 8, 9]


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    cache = PictureCache(tmp_path, limit_bytes=1_000_000)
    cache.put("k", b"picture")
    cache.close()
    cache.path.write_bytes(b"no database" * 1000)
    for suffix in ("-wal", "-shm"):
        cache.path.with_name(cache.path.name + suffix).unlink(missing_ok=True)
    assert cache.get("k") is None
    assert cache.put("k", b"again") and cache.get("k") == b"again"


def test_a_cache_that_cannot_be_written_fails_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = PictureCache(tmp_path / "file" / "folder", limit_bytes=1_000_000)
    assert cache.get("k") is None and cache.put("k", b"x") is False and cache.num_not_kept == 1


WRITER = """
import sys
from opens2v_explorer.media.cache import PictureCache
cache = PictureCache(sys.argv[1], limit_bytes=40 * 16384)
print("ready", flush=True)
n = 0
while True:
    cache.put(f"{sys.argv[2]}-{n % 60}", (f"{sys.argv[2]}-{n % 60} " * 500).encode())
    n += 1
"""


def test_two_processes_share_a_cache_and_being_killed_leaves_it_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Two that do nothing but write may leave a third no turn for seconds, on a machine that is busy.
    monkeypatch.setattr("opens2v_explorer.media.cache._BUSY_SECONDS", 200.0)
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name], stdout=subprocess.PIPE) for name in "ab"
    ]
    cache = PictureCache(tmp_path, limit_bytes=40 * 16384)
    try:
        for writer in writers:
            assert writer.stdout is not None and writer.stdout.readline() == b"ready\n"
        found = 0
        while found < 100:
            for n in range(60):
                for name in "ab":
                    data = cache.get(f"{name}-{n}")
                    assert data is None or data == f"{name}-{n} ".encode() * 500
                    found += data is not None
            assert cache.size_bytes() <= 40 * 16384
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert cache.put("mine", b"x") and cache.get("mine") == b"x"
    cache.close()
    with sqlite3.connect(cache.path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        total, rows = connection.execute("SELECT charge, (SELECT sum(charge) FROM pictures) FROM total").fetchone()
        assert total == rows <= 40 * 16384


# -- what is shared --------------------------------------------------------------------------------------------------


def in_threads(number: int, work: Any) -> list[Any]:
    """Return what some threads that start together give; an error in place of a value."""
    barrier = threading.Barrier(number)
    results: list[Any] = [None] * number

    def run(n: int) -> None:
        barrier.wait()
        try:
            results[n] = work(n)
        except ValueError as error:
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_picture_that_several_want_is_decoded_once(
    explorer_catalog: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def counted(data: bytes, clip: opens2v_data.Clip) -> np.ndarray:
        decoded.append(clip.clip_id)
        return annotated_frame(data, clip)

    monkeypatch.setattr("opens2v_loaders.annotated_frame", counted)
    media = MediaReader(explorer_catalog)
    posters = in_threads(8, lambda n: media.poster(n % 2))
    assert len(set(posters)) == 2 and sorted(decoded) == [0, 1]


def test_rows_of_a_page_are_read_together(
    explorer_catalog: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[list[int]] = []
    plain = explorer_catalog.rows_of
    monkeypatch.setattr(
        explorer_catalog, "rows_of", lambda ids, **options: (reads.append(list(ids)), plain(ids, **options))[1]
    )
    media = MediaReader(explorer_catalog)
    media.prime([3, 1, 2, 10_000, -1])
    while not reads:
        pass
    assert [media.clip(clip_id).clip_id for clip_id in (1, 2, 3)] == [1, 2, 3]
    assert reads == [[3, 1, 2]]


def test_keys_asked_for_while_a_look_up_runs_make_the_next_one() -> None:
    reads: list[list[int]] = []
    is_reading, go = threading.Event(), threading.Event()

    def read(keys: list[int]) -> dict[int, int]:
        reads.append(sorted(keys))
        is_reading.set()
        go.wait(200)
        return {key: key * key for key in keys}

    batches: Batches[int, int] = Batches(read, keep=100)
    first = threading.Thread(target=batches.get, args=(100,))
    first.start()
    is_reading.wait(200)
    results: dict[int, int] = {}
    others = [threading.Thread(target=lambda n=n: results.update({n: batches.get(n)})) for n in range(6)]
    for thread in others:
        thread.start()
    while len(batches._waiting) < 6:
        pass
    go.set()
    for thread in (first, *others):
        thread.join()
    assert results == {n: n * n for n in range(6)}
    assert reads == [[100], [0, 1, 2, 3, 4, 5]]


def test_an_error_of_a_look_up_reaches_all_who_asked_and_is_not_kept() -> None:
    is_broken = True

    def read(keys: list[int]) -> dict[int, int]:
        if is_broken:
            raise ValueError("no table")
        return dict.fromkeys(keys, 1)

    batches: Batches[int, int] = Batches(read, keep=10)
    assert all(isinstance(result, ValueError) for result in in_threads(4, batches.get))
    is_broken = False
    assert batches.get_many([1, 2, 1]) == [1, 1, 1]
    once: OnlyOnce[str, int] = OnlyOnce()
    with pytest.raises(ZeroDivisionError, match="modulo by zero"):
        once.get("k", lambda: 1 % 0)
    assert once.get("k", lambda: 7) == 7


def test_a_failure_is_told_without_trying_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("opens2v_explorer.media.sharing.time.monotonic", lambda: now)
    once: OnlyOnce[str, int] = OnlyOnce(
        lambda error: (lambda: KeyError("again")) if isinstance(error, KeyError) else None, again_seconds=5
    )
    tried: list[str] = []

    def fail() -> int:
        tried.append("fail")
        return {}["k"]

    with pytest.raises(KeyError, match="k"):
        once.get("k", fail)
    now = 104.9
    with pytest.raises(KeyError, match="again"):
        once.get("k", fail)
    assert len(tried) == 1 and once.get("other", lambda: 1) == 1
    now = 105.0
    with pytest.raises(KeyError, match="k"):
        once.get("k", fail)
    assert len(tried) == 2
    now = 111.0
    assert once.get("k", lambda: 7) == 7


def test_a_picture_that_cannot_be_made_is_not_tried_at_each_request(
    explorer_catalog: opens2v_data.OpenS2V, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def gone(ref: object) -> bytes:
        asked.append(ref)
        raise MissingPieceError("piece 002 is not there")

    monkeypatch.setattr(explorer_catalog, "read_bytes", gone)
    monkeypatch.setattr("opens2v_explorer.media.reader.FAILED_SECONDS", 1e3)
    media = MediaReader(explorer_catalog)
    for _ in range(3):
        with pytest.raises(StateError, match="piece 002 is not there"):
            media.poster(0)
        with pytest.raises(StateError, match="piece 002 is not there"):
            media.facts(0)
    assert len(asked) == 1
    monkeypatch.undo()
    monkeypatch.setattr("opens2v_explorer.media.sharing.time.monotonic", lambda: time.time() * 1e6)
    assert media.poster(0)[:4] == b"RIFF"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 10)), max_size=40), st.integers(0, 20))
def test_what_is_kept_in_memory_is_what_was_used_last(steps: list[tuple[int, int]], limit: int) -> None:
    kept: Kept[int, bytes] = Kept(limit, size_of=len)
    model: OrderedDict[int, bytes] = OrderedDict()
    for key, size in steps:
        kept.put(key, bytes(size))
        model.pop(key, None)
        model[key] = bytes(size)
        while sum(map(len, model.values())) > limit:
            model.popitem(last=False)
        other = (key + 1) % 6
        assert kept.get(other) == model.get(other)
        if other in model:
            model.move_to_end(other)
