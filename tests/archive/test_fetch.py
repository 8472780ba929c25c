import hashlib
import pickle
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.faulty import FaultyStore, RefusesToOpen, Watched, clips_in_a_tar, wanted_of
from archive.fetched import keys_and_bytes, only
from archive.tars import MP4_START, cut, written_by_tarfile
from opens2v_data.archive import MemoryStore, Part, Piece
from opens2v_data.archive.cache import ClipCache
from opens2v_data.archive.fetch import Failed, Fetcher, FetchOptions, Wanted
from opens2v_data.errors import ArchiveError, MissingPieceError, RemoteError, ShortReadError

KIB, MIB = 1 << 10, 1 << 20


# -- whole, in order, once -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=12),
    cuts=st.lists(st.integers(0, 60_000), max_size=6),
    picks=st.lists(st.integers(0, 11), max_size=30),
    ordered=st.booleans(),
    max_bytes=st.sampled_from([3100, 10_000, MIB]),
    gap=st.sampled_from([0, 600, MIB]),
    max_merged=st.sampled_from([1, 4000, MIB]),
)
def test_every_clip_comes_once_with_its_bytes_whatever_the_pieces_and_the_order(
    sizes: list[int], cuts: list[int], picks: list[int], ordered: bool, max_bytes: int, gap: int, max_merged: int
):
    files = [
        (f"{number}.mp4", (MP4_START + random.Random(number).randbytes(size))[:size])
        for number, size in enumerate(sizes)
    ]
    store, part = cut(written_by_tarfile(files), cuts)
    members = wanted_of(MemoryStore(store.files), part)
    wanted = [replace(members[pick % len(members)], key=key) for key, pick in enumerate(picks)]
    options = FetchOptions(max_bytes_in_flight=max_bytes, merge_gap_bytes=gap, max_merged_bytes=max_merged)
    fetcher = Fetcher(store, options)

    clips = list(fetcher.fetch(iter(wanted), ordered=ordered))

    came = [clip.wanted.key for clip in clips]
    assert came == list(range(len(picks))) if ordered else sorted(came) == list(range(len(picks)))
    assert keys_and_bytes(clips) == {key: files[pick % len(files)][1] for key, pick in enumerate(picks)}
    stats = fetcher.stats
    assert (stats.num_planned, stats.num_delivered, stats.num_failed) == (len(picks), len(picks), 0)
    assert (stats.num_requests, stats.num_bytes) == (store.num_requests, store.num_bytes)
    assert stats.num_bytes - stats.num_wasted_bytes == sum(map(len, keys_and_bytes(clips).values()))
    assert stats.num_bytes <= 1.01 * sum(map(len, keys_and_bytes(clips).values()))
    assert stats.max_bytes_in_flight <= max_bytes


@pytest.fixture
def planned_in_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was planned so far is not sent because a busy machine took its time."""
    monkeypatch.setattr("opens2v_data.archive.fetch._MAX_PLANNING_SECONDS", 60.0)


@pytest.mark.usefixtures("planned_in_one_go")
def test_in_index_order_neighbours_share_requests_and_under_a_shuffle_they_do_not():
    store, wanted, _ = clips_in_a_tar(120, min_bytes=150 * KIB, max_bytes=300 * KIB)
    payload = sum(clip.size_bytes for clip in wanted)
    assert len(list(Fetcher(store).fetch(wanted))) == 120
    assert store.num_requests <= payload / (7 * MIB) + 5  # full ones, and a short one per piece
    assert payload < store.num_bytes <= 1.01 * payload

    shuffled = wanted[::2] + wanted[1::2]
    shuffled = [clip for pair in zip(shuffled[:60], reversed(shuffled[60:]), strict=True) for clip in pair]
    store.num_requests = store.num_bytes = 0
    assert len(list(Fetcher(store).fetch(shuffled))) == 120
    assert 100 <= store.num_requests <= 123
    assert payload <= store.num_bytes <= 1.01 * payload


@pytest.mark.usefixtures("planned_in_one_go")
@pytest.mark.parametrize(("merge_gap_bytes", "num_requests"), [(MIB, 1), (2 * KIB, 2), (511, 299)])
def test_gaps_are_read_over_up_to_a_limit_in_bytes(merge_gap_bytes: int, num_requests: int):
    store, wanted, data = clips_in_a_tar(300, min_bytes=200 * KIB - 16, max_bytes=200 * KIB - 16, num_pieces=1)
    wanted.pop(290)  # a gap of 200 KiB, 0.3% of what comes before; the others are 512 bytes
    options = FetchOptions(max_merged_bytes=100 * MIB, merge_gap_bytes=merge_gap_bytes)
    del data[290]
    assert keys_and_bytes(list(Fetcher(store, options).fetch(wanted))) == data
    assert store.num_requests == num_requests


@pytest.mark.usefixtures("planned_in_one_go")
def test_gaps_are_not_read_over_where_they_cost_more_than_a_small_share():
    store, wanted, data = clips_in_a_tar(100, min_bytes=200 * KIB, max_bytes=200 * KIB, num_pieces=1)
    assert keys_and_bytes(list(Fetcher(store).fetch(wanted[::2]))).items() <= data.items()
    assert store.num_requests == 50
    assert store.num_bytes == sum(clip.size_bytes for clip in wanted[::2])


def test_a_clip_across_pieces_is_joined_and_the_requests_of_both_pieces_are_shared():
    files = [(f"{number}.mp4", MP4_START + bytes([number]) * 100_000) for number in range(6)]
    tar = written_by_tarfile(files)
    store, part = cut(tar, [250_000])
    wanted = wanted_of(MemoryStore(store.files), part)
    clips = list(Fetcher(store, FetchOptions(max_merged_bytes=MIB)).fetch(wanted))
    assert keys_and_bytes(clips) == {key: data for key, (_, data) in enumerate(files)}
    assert store.num_bytes <= 1.01 * 600_000 + 200


def test_unpacked_files_are_fetched_whole_and_their_sizes_compared():
    part = Part(name="p", layout="files", root="Videos/p")
    store = MemoryStore(
        {"Videos/p/a.mp4": MP4_START, "Videos/p/b.mp4": b"longer than the index says", "Videos/p/c": b""}
    )
    wanted = [
        Wanted(key=name, part=part, name=name, offset=0, size_bytes=size)
        for name, size in (("a.mp4", 16), ("b.mp4", 5), ("c", 0), ("d.mp4", 5))
    ]
    clips = list(Fetcher(store).fetch(wanted))
    assert keys_and_bytes(clips) == {"a.mp4": MP4_START, "c": b""}
    reasons = {clip.wanted.key: clip.reason for clip in clips if isinstance(clip, Failed)}
    assert "member b.mp4, part p: Videos/p/b.mp4 has 26 bytes, the index says 5; unpack it again" in reasons["b.mp4"]
    assert "member d.mp4, part p: Videos/p/d.mp4 is not in this store" in reasons["d.mp4"]


def test_a_fetcher_keeps_what_it_learned_and_may_be_pickled():
    store, wanted, data = clips_in_a_tar(4, min_bytes=100, max_bytes=200)
    fetcher = Fetcher(FaultyStoreThatPickles(store.files))
    list(fetcher.fetch(wanted))
    list(fetcher.fetch(wanted[:1]))
    assert fetcher.stats.num_delivered == 5
    twin = pickle.loads(pickle.dumps(fetcher))
    assert keys_and_bytes(list(twin.fetch(wanted))) == data
    assert twin.stats.num_delivered == 4


class FaultyStoreThatPickles(MemoryStore):
    def __reduce__(self) -> tuple[Any, ...]:
        return FaultyStoreThatPickles, (self.files,)


# -- faults ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
def test_with_a_server_that_fails_often_what_is_delivered_is_right_and_everything_ends(ordered: bool):
    store, wanted, data = clips_in_a_tar(300, min_bytes=2 * KIB, max_bytes=20 * KIB)
    # Hashes: without them nobody can tell that the second piece's bytes of a clip are wrong.
    wanted = [replace(clip, sha256=hashlib.sha256(data[clip.key]).hexdigest()) for clip in wanted]
    random.Random(1).shuffle(wanted)
    faults = {"503": 0.05, "429": 0.02, "cut": 0.02, "short": 0.01, "wrong": 0.01}
    faulty = FaultyStore(store, faults, seed=3)
    fetcher = Fetcher(faulty)
    clips = list(fetcher.fetch(wanted, ordered=ordered))
    stats = fetcher.stats
    assert stats.num_planned == 300 == len(clips) == stats.num_delivered + stats.num_failed
    assert stats.num_failed <= 4  # each read fails in 11 of 100
    assert set(faulty.injected) == {*faults, "none"}
    assert all(data[key] == came for key, came in keys_and_bytes(clips).items())
    assert stats.num_requests == faulty.num_requests
    assert stats.num_retries >= 300 * 0.05
    if ordered:
        assert [clip.wanted for clip in clips] == wanted


def test_a_server_that_never_gives_fails_every_clip_with_its_place_and_status():
    store, wanted, _ = clips_in_a_tar(3, min_bytes=100, max_bytes=200, num_pieces=1)
    faulty = FaultyStore(store, {"503": 1.0})
    clips = list(Fetcher(faulty, FetchOptions(attempts=2, merge_gap_bytes=0)).fetch(wanted))
    assert [clip.wanted for clip in clips] == wanted
    assert faulty.num_requests == 6
    for clip in clips:
        assert isinstance(clip, Failed)
        assert isinstance(clip.error, RemoteError)
        assert clip.error.status == 503
        assert f"member {clip.wanted.name}, part total_part1, byte {clip.wanted.offset} (piece " in clip.reason


def test_an_error_that_will_not_pass_is_not_tried_again():
    store, wanted, _ = clips_in_a_tar(1, min_bytes=100, max_bytes=100, num_pieces=1)

    def refuse(path: str, start: int, length: int) -> None:
        raise RemoteError(f"{path}: the server answered 451", status=451)

    watched = Watched(store.files, refuse)
    fetcher = Fetcher(watched)
    assert "451" in only(list(fetcher.fetch(wanted))).reason
    assert fetcher.stats.num_requests == 1


def test_a_piece_that_ends_early_fails_only_the_clips_behind_its_end():
    store, wanted, data = clips_in_a_tar(8, min_bytes=200 * KIB, max_bytes=200 * KIB, num_pieces=1)
    (path,) = store.files

    class CutShort(MemoryStore):
        def size(self, path: str) -> int:
            return wanted[0].part.size_bytes

    cut_store = CutShort({path: store.files[path][: wanted[5].offset + 10]})
    clips = list(Fetcher(cut_store).fetch(wanted))
    assert keys_and_bytes(clips) == {key: data[key] for key in range(5)}
    failed = [clip for clip in clips if isinstance(clip, Failed)]
    assert [clip.wanted.key for clip in failed] == [5, 6, 7]
    assert all(isinstance(clip.error, ShortReadError) for clip in failed)


def test_a_piece_of_another_size_is_asked_about_once_and_fails_its_clips_with_advice():
    store, wanted, data = clips_in_a_tar(40, min_bytes=2000, max_bytes=3000, num_pieces=2)
    first, second = wanted[0].part.pieces
    asked: list[str] = []

    class Changed(MemoryStore):
        def size(self, path: str) -> int:
            asked.append(path)
            return super().size(path) + (path == second.path)

    clips = list(Fetcher(Changed(store.files)).fetch(wanted, ordered=False))
    assert sorted(asked) == [first.path, second.path]
    failed = [clip for clip in clips if isinstance(clip, Failed)]
    assert keys_and_bytes(clips).items() <= data.items()
    assert failed and len(failed) + len(keys_and_bytes(clips)) == 40
    for clip in failed:
        assert isinstance(clip.error, MissingPieceError)
        assert "recorded were" in clip.reason and "index the part anew" in clip.reason


def test_a_refusal_to_open_a_piece_is_asked_for_once_and_fails_all_its_clips():
    store, wanted, _ = clips_in_a_tar(60, min_bytes=2000, max_bytes=3000, num_pieces=3)
    refusing = RefusesToOpen(store.files, 401)
    clips = list(Fetcher(refusing, FetchOptions(merge_gap_bytes=0)).fetch(wanted))
    assert sorted(refusing.asked) == sorted(store.files)
    assert [clip.wanted for clip in clips] == wanted
    for clip in clips:
        assert isinstance(clip, Failed) and isinstance(clip.error, RemoteError)
        assert clip.error.status == 401
        assert f"member {clip.wanted.name}, part total_part1, byte {clip.wanted.offset} (piece " in clip.reason


def test_an_exception_that_is_no_fault_of_the_store_is_raised_where_the_clips_are_taken():
    store, wanted, _ = clips_in_a_tar(3, min_bytes=100, max_bytes=200)

    def broken(path: str, start: int, length: int) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.raises(ZeroDivisionError, match="a bug"):
        list(Fetcher(Watched(store.files, broken)).fetch(wanted))


def test_an_exception_of_the_iterable_comes_after_the_clips_before_it():
    store, wanted, _ = clips_in_a_tar(5, min_bytes=100, max_bytes=200)

    def failing() -> Iterator[Wanted]:
        yield from wanted
        raise LookupError("the table ended")

    clips = Fetcher(store).fetch(failing())
    assert [next(clips).wanted for _ in wanted] == wanted
    with pytest.raises(LookupError, match="the table ended"):
        next(clips)


# -- checks ------------------------------------------------------------------------------------------------------------


def test_wrong_bytes_are_fetched_once_more_and_then_reported_with_what_was_expected_and_found():
    store, (wanted,), _ = clips_in_a_tar(1, min_bytes=100, max_bytes=100, num_pieces=1)
    faulty = FaultyStore(store, {"wrong": 1.0})
    failed = only(list(Fetcher(faulty).fetch([wanted])))
    assert faulty.num_requests == 2
    assert "expected an mp4 ('ftyp' at byte 4), found b'<html>an'" in failed.reason
    assert "member part_001/0/video.mp4, part total_part1, byte 512" in failed.reason

    faulty = FaultyStore(store, {"wrong": 0.5}, seed=2)
    clips = [clip for _ in range(20) for clip in Fetcher(faulty).fetch([wanted])]
    assert faulty.injected["wrong"] and len(keys_and_bytes(clips)) > 0
    assert all(data.startswith(MP4_START) for data in keys_and_bytes(clips).values())


def test_a_sha256_is_checked_where_it_is_known():
    store, (wanted,), data = clips_in_a_tar(1, min_bytes=100, max_bytes=100)
    right = hashlib.sha256(data[0]).hexdigest()
    assert keys_and_bytes(list(Fetcher(store).fetch([replace(wanted, sha256=right.upper())]))) == data
    failed = only(list(Fetcher(store).fetch([replace(wanted, sha256="0" * 64)])))
    assert f"expected SHA-256 {'0' * 64}, found {right}; the index is not of this upload" in failed.reason


def test_ftyp_is_asked_for_only_where_the_index_saw_it():
    store, part = cut(written_by_tarfile([("note.txt", b"hello there, no mp4")]))
    (wanted,) = wanted_of(store, part)
    assert wanted.has_ftyp is False
    for has_ftyp in (False, None):
        assert keys_and_bytes(list(Fetcher(store).fetch([replace(wanted, has_ftyp=has_ftyp)])))
    assert "ftyp" in only(list(Fetcher(store).fetch([replace(wanted, has_ftyp=True)]))).reason


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "../../x"}, r"member name '\.\./\.\./x' is refused: it climbs out"),
        ({"name": "/etc/x"}, r"member name '/etc/x' is refused: it is absolute"),
        ({"size_bytes": 10**13}, "reach past the [0-9]+ bytes of its 1 pieces"),
        ({"offset": 10**13}, "reach past the [0-9]+ bytes of its 1 pieces"),
        ({"size_bytes": -1}, "offset 512 with -1 bytes cannot be; index it anew"),
        ({"offset": -5}, "offset -5 with 116 bytes cannot be; index it anew"),
    ],
)
def test_what_cannot_be_is_refused_with_a_message_and_without_a_request(fields: dict[str, Any], message: str):
    store, (wanted,), _ = clips_in_a_tar(1, min_bytes=100, max_bytes=100, num_pieces=1)
    store.num_requests = 0
    failed = only(list(Fetcher(store).fetch([replace(wanted, **fields)])))
    with pytest.raises(ArchiveError, match=message):
        raise failed.error
    assert store.num_requests == 0


def test_ten_terabytes_in_a_part_that_is_so_large_are_refused_without_an_allocation():
    part = Part(name="p", layout="tar", pieces=(Piece(path="p.tar", size_bytes=10**14),))
    files = Part(name="p", layout="files", root="Videos/p")
    for where in (part, files):
        wanted = Wanted(key=0, part=where, name="a.mp4", offset=0, size_bytes=10**13)
        failed = only(list(Fetcher(MemoryStore({"p.tar": b""})).fetch([wanted])))
        assert "the index says 10000000000000 bytes, at most 134217728 may be in flight" in failed.reason


def test_unpacked_files_that_do_not_start_at_zero_are_refused():
    part = Part(name="p", layout="files", root="Videos/p")
    wanted = Wanted(key=0, part=part, name="a.mp4", offset=512, size_bytes=4)
    assert "offset 512 with 4 bytes cannot be" in only(list(Fetcher(MemoryStore({})).fetch([wanted]))).reason


# -- the cache ---------------------------------------------------------------------------------------------------------


def test_a_second_fetch_is_served_by_the_cache(tmp_path: Path):
    store, wanted, data = clips_in_a_tar(20, min_bytes=1000, max_bytes=2000)
    cache = ClipCache(tmp_path, limit_bytes=MIB)
    first = Fetcher(store, cache=cache, source="s@1")
    assert keys_and_bytes(list(first.fetch(wanted))) == data
    assert (first.stats.num_cached, first.stats.num_cache_hits) == (20, 0)
    store.num_requests = 0
    second = Fetcher(store, cache=cache, source="s@1")
    clips = list(second.fetch(wanted))
    assert keys_and_bytes(clips) == data
    assert [clip.wanted for clip in clips] == wanted
    assert (store.num_requests, second.stats.num_cache_hits, second.stats.num_requests) == (0, 20, 0)
    assert len(list(Fetcher(store, cache=cache, source="s@2").fetch(wanted))) == 20
    assert store.num_requests > 0


def test_a_damaged_or_wrong_cache_file_is_fetched_again(tmp_path: Path):
    store, wanted, data = clips_in_a_tar(6, min_bytes=1000, max_bytes=2000)
    cache = ClipCache(tmp_path, limit_bytes=MIB)
    list(Fetcher(store, cache=cache, source="s").fetch(wanted))
    kept = sorted(tmp_path.glob("*.clip"))
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    kept[1].write_bytes(b"x" + kept[1].read_bytes()[1:])
    fetcher = Fetcher(store, cache=cache, source="s")
    assert keys_and_bytes(list(fetcher.fetch(wanted))) == data
    assert (fetcher.stats.num_cache_hits, fetcher.stats.num_cached) == (4, 2)
    assert "SHA-256" in only(list(fetcher.fetch([replace(wanted[0], sha256="0" * 64)]))).reason


def test_what_failed_a_check_is_not_kept(tmp_path: Path):
    store, wanted, _ = clips_in_a_tar(3, min_bytes=1000, max_bytes=2000)
    cache = ClipCache(tmp_path, limit_bytes=MIB)
    list(Fetcher(FaultyStore(store, {"wrong": 1.0}), cache=cache, source="s").fetch(wanted))
    assert cache.info().num_files == 0


def test_a_cache_needs_to_know_where_clips_come_from(tmp_path: Path):
    with pytest.raises(ValueError, match=r"a cache needs a name .* has no uri: give source="):
        Fetcher(MemoryStore({}), cache=ClipCache(tmp_path, limit_bytes=1))


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"min_concurrency": 0}, "got 0 to 128"),
        ({"min_concurrency": 9, "max_concurrency": 8}, "got 9 to 8"),
        ({"attempts": 0}, "attempts must be at least 1, got 0"),
        ({"max_bytes_in_flight": 0}, "max_bytes_in_flight must be at least 1, got 0"),
        ({"deadline_seconds": 0}, "deadline_seconds must be above 0, got 0"),
        ({"merge_gap_bytes": -1}, "merge_gap_bytes must not be negative, got -1"),
        ({"hedge_after": 0.5}, r"at least 1, or None; got 0\.5"),
    ],
)
def test_options_that_cannot_be_are_refused_on_creation(fields: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        FetchOptions(**fields)


def test_values_show_no_bytes():
    store, wanted, _ = clips_in_a_tar(1, min_bytes=1000, max_bytes=1000)
    (clip,) = Fetcher(store).fetch(wanted)
    assert len(repr(clip)) < 200
