import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from opens2v_data.archive import LocalStore, MemoryStore, Store
from opens2v_data.errors import ArchiveError, MissingPieceError, ShortReadError

DATA = bytes(range(256)) * 4


@pytest.fixture(params=["local", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "memory":
        return MemoryStore({"Videos/a.bin": DATA, "empty": b""})
    (tmp_path / "Videos").mkdir()
    (tmp_path / "Videos/a.bin").write_bytes(DATA)
    (tmp_path / "empty").touch()
    return LocalStore(tmp_path)


def test_a_store_gives_sizes_ranges_and_several_ranges(store: Store):
    assert store.size("Videos/a.bin") == 1024
    assert store.size("empty") == 0
    assert store.read_range("Videos/a.bin", 1000, 24) == DATA[1000:]
    assert store.read_range("Videos/a.bin", 1024, 0) == b""
    assert store.read_ranges("Videos/a.bin", [(5, 2), (0, 1), (5, 2)]) == [b"\5\6", b"\0", b"\5\6"]


def test_a_range_past_the_end_is_a_short_read(store: Store):
    with pytest.raises(ShortReadError, match=r"a\.bin: expected 30 bytes from byte 1000 on, found 24; .* download"):
        store.read_range("Videos/a.bin", 1000, 30)
    with pytest.raises(ShortReadError, match="expected 1 bytes from byte 5000 on, found 0"):
        store.read_range("Videos/a.bin", 5000, 1)


def test_a_negative_range_is_the_callers_mistake(store: Store):
    with pytest.raises(ValueError, match="start -1 and length 3"):
        store.read_range("Videos/a.bin", -1, 3)
    with pytest.raises(ValueError, match="start 1 and length -3"):
        store.read_range("Videos/a.bin", 1, -3)


def test_a_missing_file_is_named_with_what_to_do(store: Store):
    for ask in (store.size, lambda path: store.read_range(path, 0, 1)):
        with pytest.raises(MissingPieceError, match=r"Videos/b\.bin is not .*(download|add) it"):
            ask("Videos/b.bin")


def test_a_memory_store_counts_requests_and_bytes():
    store = MemoryStore({"a": DATA})
    store.read_ranges("a", [(0, 10), (20, 5)])
    store.size("a")
    assert (store.num_requests, store.num_bytes) == (2, 15)


@pytest.mark.parametrize("path", ["/etc/hostname", "../secret", "Videos/../../secret", "Videos/../Videos/a", "", "a\0"])
def test_a_local_path_that_leaves_the_root_is_refused(tmp_path: Path, path: str):
    store = LocalStore(tmp_path)
    for ask in (store.size, lambda path: store.read_range(path, 0, 1)):
        with pytest.raises(ArchiveError, match=r"is refused: it .*; give a path below"):
            ask(path)


def test_a_local_symlink_is_followed_as_the_hub_cache_needs(tmp_path: Path):
    (tmp_path / "blob").write_bytes(DATA)
    root = tmp_path / "snapshot"
    root.mkdir()
    (root / "a.bin").symlink_to(tmp_path / "blob")
    assert LocalStore(root).read_range("a.bin", 1, 2) == b"\1\2"


@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_what_is_not_a_file_is_refused_without_waiting(tmp_path: Path, kind: str):
    path = tmp_path / "piece"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(MissingPieceError, match="piece is not a file"):
        LocalStore(tmp_path).read_range("piece", 0, 1)
    with pytest.raises(MissingPieceError, match=r"piece/below is not"):
        LocalStore(tmp_path).read_range("piece/below", 0, 1)


def test_few_descriptors_serve_many_files_and_threads(tmp_path: Path):
    for number in range(20):
        (tmp_path / f"{number}").write_bytes(bytes([number]) * 100)
    store = LocalStore(tmp_path, max_open_files=3)
    descriptors = Path("/proc/self/fd")

    def num_open() -> int:
        links = [Path(os.path.realpath(one)) for one in descriptors.iterdir()]
        return sum(tmp_path.resolve() in link.parents for link in links)

    def read(number: int) -> bool:
        return store.read_range(f"{number % 20}", number % 90, 10) == bytes([number % 20]) * 10

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(2000)))
    if descriptors.exists():
        assert 1 <= num_open() <= 3
        store.close()
        assert num_open() == 0
    assert read(7)


def test_a_local_store_travels_to_worker_processes(tmp_path: Path):
    (tmp_path / "a").write_bytes(DATA)
    store = LocalStore(tmp_path)
    store.size("a")
    twin = pickle.loads(pickle.dumps(store))
    assert twin.root == tmp_path
    assert twin.read_range("a", 3, 1) == b"\3"


def test_a_store_without_open_files_is_the_callers_mistake(tmp_path: Path):
    with pytest.raises(ValueError, match="max_open_files must be at least 1, got 0"):
        LocalStore(tmp_path, max_open_files=0)
