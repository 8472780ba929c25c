import fcntl
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opens2v_data.archive.cache import CacheKey, ClipCache, default_cache_folder
from opens2v_data.errors import ArchiveError

ROOT = Path(__file__).parents[2]
OVERHEAD = 4  # a CRC-32


def key_of(number: int, size_bytes: int = 100) -> CacheKey:
    return CacheKey(source="s@1", part="total_part1", name=f"{number}.mp4", offset=512, size_bytes=size_bytes)


def data_of(number: int, size_bytes: int = 100) -> bytes:
    return random.Random(number).randbytes(size_bytes)


def bytes_on_disk(root: Path) -> int:
    total = 0
    for entry in os.scandir(root):
        if entry.name != "ledger":
            try:
                total += entry.stat().st_size
            except FileNotFoundError:
                continue
    return total


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Run code in another process, with helpers of this file."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys\nfrom archive.test_cache import *\n{code}", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )


# -- keeping and finding -------------------------------------------------------------------------------------------------


def test_what_was_put_is_found_also_by_another_object_and_a_pickled_one(tmp_path: Path):
    cache = ClipCache(tmp_path / "a" / "b", limit_bytes=10_000)
    assert cache.get(key_of(1)) is None
    assert cache.put(key_of(1), data_of(1))
    for other in (cache, ClipCache(tmp_path / "a" / "b"), pickle.loads(pickle.dumps(cache))):
        assert other.get(key_of(1)) == data_of(1)
        assert other.limit_bytes == 10_000
        assert key_of(1) in other and key_of(2) not in other
    cache.remove(key_of(1))
    assert cache.get(key_of(1)) is None


def test_every_field_of_a_key_counts(tmp_path: Path):
    key = key_of(1)
    others = [
        CacheKey(**{**{name: getattr(key, name) for name in CacheKey.__slots__}, **change})
        for change in ({"source": "s@2"}, {"part": "p"}, {"name": "x"}, {"offset": 0}, {"size_bytes": 99}, {})
    ]
    assert len({other.file_name for other in others}) == 6
    assert others[-1].file_name == key.file_name


def test_a_name_from_a_tar_never_becomes_a_path(tmp_path: Path):
    cache = ClipCache(tmp_path / "cache", limit_bytes=10_000)
    for name in ("../../x", "/etc/x", "a\0b", "x" * 3000):
        key = CacheKey(source="s", part="../p", name=name, offset=0, size_bytes=100)
        assert cache.put(key, data_of(1))
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
    assert cache.info().num_files == 4


def test_an_empty_clip_is_kept(tmp_path: Path):
    cache = ClipCache(tmp_path, limit_bytes=100)
    assert cache.put(key_of(1, 0), b"")
    assert cache.get(key_of(1, 0)) == b""


def test_data_of_another_size_than_its_key_is_the_callers_mistake(tmp_path: Path):
    with pytest.raises(ValueError, match="has 100 bytes, got 3"):
        ClipCache(tmp_path, limit_bytes=1000).put(key_of(1), b"abc")
    with pytest.raises(ValueError, match="limit_bytes must not be negative, got -1"):
        ClipCache(tmp_path, limit_bytes=-1)


@pytest.mark.parametrize("damage", ["short", "long", "changed", "empty", "checksum"])
def test_a_damaged_file_is_noticed_removed_and_can_be_put_again(tmp_path: Path, damage: str):
    cache = ClipCache(tmp_path, limit_bytes=10_000)
    cache.put(key_of(1), data_of(1))
    path = tmp_path / key_of(1).file_name
    whole = path.read_bytes()
    path.write_bytes(
        {
            "short": whole[:-1],
            "long": whole + b"x",
            "changed": whole[:50] + bytes([whole[50] ^ 1]) + whole[51:],
            "empty": b"",
            "checksum": whole[:-1] + bytes([whole[-1] ^ 1]),
        }[damage]
    )
    assert cache.get(key_of(1)) is None
    assert not path.exists()
    assert cache.put(key_of(1), data_of(1))
    assert cache.get(key_of(1)) == data_of(1)


def test_the_default_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENS2V_CACHE", "/a/b")
    assert default_cache_folder() == Path("/a/b")
    monkeypatch.delenv("OPENS2V_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert default_cache_folder() == Path("/x/opens2v/clips")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache_folder() == Path.home() / ".cache/opens2v/clips"


# -- the limit ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(0, 3000),
    steps=st.lists(st.tuples(st.sampled_from(["put", "get", "damage", "reopen"]), st.integers(0, 9)), max_size=40),
)
def test_the_limit_holds_after_every_step_and_what_is_found_is_right(
    tmp_path_factory: pytest.TempPathFactory, limit: int, steps: list[tuple[str, int]]
):
    root = tmp_path_factory.mktemp("cache")
    cache = ClipCache(root, limit_bytes=limit)
    for step, number in steps:
        size = 37 * number * number
        key, data = key_of(number, size), data_of(number, size)
        if step == "put":
            assert cache.put(key, data) == (size + OVERHEAD <= limit)
        elif step == "get":
            assert cache.get(key) in (None, data)
        elif step == "damage" and key in cache:
            (root / key.file_name).write_bytes(b"")
        else:
            cache = ClipCache(root)
        assert bytes_on_disk(root) <= limit


def test_the_clips_unused_for_longest_go_first(tmp_path: Path):
    cache = ClipCache(tmp_path, limit_bytes=10 * (100 + OVERHEAD))
    for number in range(10):
        assert cache.put(key_of(number), data_of(number))
        os.utime(tmp_path / key_of(number).file_name, (1000 + number, 1000 + number))
    assert cache.info().oldest_used_at == 1000
    assert cache.get(key_of(0)) == data_of(0)  # used now
    assert cache.put(key_of(10), data_of(10))
    assert [number for number in range(11) if key_of(number) in cache] == [0, *range(3, 11)]


def test_a_clip_above_the_limit_is_not_kept_and_removes_nothing(tmp_path: Path):
    cache = ClipCache(tmp_path, limit_bytes=1000)
    cache.put(key_of(1), data_of(1))
    assert not cache.put(key_of(2, 1000), data_of(2, 1000))
    assert cache.num_not_kept == 1
    assert cache.get(key_of(1)) == data_of(1)


def test_without_a_limit_ever_given_nothing_is_kept(tmp_path: Path):
    cache = ClipCache(tmp_path)
    assert not cache.put(key_of(1), data_of(1))
    assert cache.info().limit_bytes is None


def test_a_smaller_limit_removes_clips_at_once(tmp_path: Path):
    cache = ClipCache(tmp_path, limit_bytes=10_000)
    for number in range(20):
        cache.put(key_of(number), data_of(number))
    cache = ClipCache(tmp_path, limit_bytes=500)
    assert 300 <= bytes_on_disk(tmp_path) <= 500
    assert (cache.info().size_bytes, cache.info().limit_bytes) == (bytes_on_disk(tmp_path), 500)


def test_the_folder_is_not_listed_for_every_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from opens2v_data.archive import cache as module

    num_listings = 0
    listed = module._list

    def counting(root: Path) -> object:
        nonlocal num_listings
        num_listings += 1
        return listed(root)

    monkeypatch.setattr(module, "_list", counting)
    cache = ClipCache(tmp_path, limit_bytes=100 * 104)
    for number in range(400):
        assert cache.put(key_of(number), data_of(number))
    assert num_listings <= 300 / 5 + 2


def test_info_and_clear_leave_files_of_others_alone(tmp_path: Path):
    (tmp_path / "mine.txt").write_text("keep")
    cache = ClipCache(tmp_path, limit_bytes=10_000)
    assert (cache.info().num_files, cache.info().oldest_used_at) == (0, None)
    for number in range(3):
        cache.put(key_of(number), data_of(number))
    was = cache.clear()
    assert (was.root, was.num_files, was.size_bytes, was.limit_bytes) == (tmp_path, 3, 3 * 104, 10_000)
    assert was.oldest_used_at is not None and abs(was.oldest_used_at - time.time()) < 600
    assert cache.info().num_files == 0
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert cache.put(key_of(1), data_of(1))


def test_a_ledger_that_is_lost_or_nonsense_is_counted_anew(tmp_path: Path):
    cache = ClipCache(tmp_path, limit_bytes=1000)
    for text in (b"", b"nonsense", b"1 2 3", b"\xff\xfe"):
        for number in range(9):
            cache.put(key_of(number), data_of(number))
        (tmp_path / "ledger").write_bytes(text)
        for number in range(10, 15):
            assert cache.put(key_of(number), data_of(number))
            assert bytes_on_disk(tmp_path) <= 1000
        cache.clear()


# -- threads and processes ---------------------------------------------------------------------------------------------


def test_threads_share_a_cache(tmp_path: Path):
    cache = ClipCache(tmp_path, limit_bytes=2000)

    def work(number: int) -> bool:
        number %= 30
        cache.put(key_of(number), data_of(number))
        return cache.get(key_of(number)) in (None, data_of(number))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(400)))
    assert bytes_on_disk(tmp_path) <= 2000
    assert cache.num_not_kept == 0


WORKER = """
cache, seed, limit = ClipCache(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
generator = random.Random(seed)
num_puts = 0
for _ in range(int(sys.argv[4])):
    number = generator.randrange(60)
    size = 500 + 100 * (number % 20)
    assert cache.get(key_of(number, size)) in (None, data_of(number, size))
    num_puts += cache.put(key_of(number, size), data_of(number, size))
    assert bytes_on_disk(cache.root) <= limit + 4 * 2500, bytes_on_disk(cache.root)
print(num_puts, cache.num_not_kept)
"""


def test_four_processes_share_a_cache_and_stay_below_its_limit(tmp_path: Path):
    limit = 30_000
    ClipCache(tmp_path, limit_bytes=limit)
    workers = [started(WORKER, tmp_path, seed, limit, 200) for seed in range(4)]
    while any(worker.poll() is None for worker in workers):
        assert bytes_on_disk(tmp_path) <= limit + 4 * 2500  # listing is no snapshot: clips come and go meanwhile
        time.sleep(0.02)
    for worker in workers:
        out, _ = worker.communicate()
        assert worker.returncode == 0
        num_puts, num_not_kept = map(int, out.split())
        assert num_puts > 20
        assert num_not_kept == 0
    assert bytes_on_disk(tmp_path) <= limit
    assert not list(tmp_path.glob("*.tmp"))
    assert int((tmp_path / "ledger").read_text().split()[0]) >= bytes_on_disk(tmp_path)


KILLED = """
cache = ClipCache(sys.argv[1])
write, lock = os.write, threading.Lock()
def slow(descriptor, data):
    written = write(descriptor, bytes(data)[:500])
    print("writing", flush=True)
    time.sleep(1_000)
    return written
os.write = slow
cache.put(key_of(99, 2000), data_of(99, 2000))
"""


def test_what_a_killed_writer_left_is_removed_and_its_room_given_back(tmp_path: Path):
    cache = ClipCache(tmp_path, limit_bytes=3000)
    writer = started(KILLED, tmp_path)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    (left,) = tmp_path.glob("*.tmp")

    # While it lives, its 2,004 bytes are taken, and nobody removes its file.
    assert cache.put(key_of(1, 800), data_of(1, 800))
    assert not cache.put(key_of(2, 1500), data_of(2, 1500))
    assert left.exists()

    writer.send_signal(signal.SIGKILL)
    writer.wait()
    assert cache.put(key_of(2, 1500), data_of(2, 1500))
    assert cache.put(key_of(3, 600), data_of(3, 600))
    assert not left.exists()
    assert bytes_on_disk(tmp_path) <= 3000
    assert cache.get(key_of(99, 2000)) is None


def test_processes_killed_at_any_moment_leave_a_cache_that_works(tmp_path: Path):
    limit = 20_000
    ClipCache(tmp_path, limit_bytes=limit)
    for seed in range(5):
        workers = [started(WORKER, tmp_path, 2 * seed + which, limit, 10**6) for which in range(2)]
        time.sleep(0.5 + 0.03 * seed)
        for worker in workers:
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
        assert bytes_on_disk(tmp_path) <= limit
    cache = ClipCache(tmp_path)
    for number in range(100, 120):
        assert cache.put(key_of(number, 3000), data_of(number, 3000))
        assert cache.get(key_of(number, 3000)) == data_of(number, 3000)
        assert bytes_on_disk(tmp_path) <= limit
    assert not list(tmp_path.glob("*.tmp"))


# -- a disk that does not play along -------------------------------------------------------------------------------------


def test_a_full_disk_keeps_nothing_and_fails_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = ClipCache(tmp_path, limit_bytes=1000)

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "write", full)
        assert not cache.put(key_of(1), data_of(1))
    assert cache.num_not_kept == 1
    assert cache.why_not_kept == "[Errno 28] No space left on device"
    assert not list(tmp_path.glob("*.tmp"))
    assert (tmp_path / "ledger").read_text().split()[0] == "0"
    assert cache.put(key_of(1), data_of(1))
    assert cache.why_not_kept is None


LOCKED_OUT = """
cache = ClipCache(sys.argv[1], limit_bytes=1000)
assert cache.put(key_of(1), data_of(1))
os.chmod(sys.argv[1], 0)
if os.getuid() == 0:
    os.setuid(65534)
assert cache.get(key_of(1)) is None and not cache.put(key_of(2), data_of(2))
print(cache.num_not_kept, cache.why_not_kept)
"""


def test_a_folder_that_becomes_forbidden_keeps_nothing_and_fails_nothing(tmp_path: Path):
    folder = tmp_path / "cache"
    told, _ = started(LOCKED_OUT, folder).communicate()
    folder.chmod(0o700)
    assert told.startswith("1 [Errno 13] Permission denied: ")


def test_a_lock_that_does_not_come_free_keeps_nothing_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = ClipCache(tmp_path, limit_bytes=1000)
    monkeypatch.setattr("opens2v_data.archive.cache._LOCK_SECONDS", 0.1)
    with (tmp_path / "ledger").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = threading.Event()
        began.set()
        assert not cache.put(key_of(1), data_of(1))
        assert cache.get(key_of(1)) is None
    assert cache.put(key_of(1), data_of(1))


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveError, match=r"cache .*file/cache cannot be used: .* or set OPENS2V_CACHE"):
        ClipCache(tmp_path / "file" / "cache", limit_bytes=1)
