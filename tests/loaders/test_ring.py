"""A ring lends few buffers to many threads; no byte changes before the device has copied it, and nobody waits in vain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="a ring holds tensors")

import torch

from loaders import clips
from loaders.latestream import LateMark, LateStream
from opens2v_loaders.backends import BackendName
from opens2v_loaders.decoding import decode
from opens2v_loaders.ring import Carrier, HostRing, InlineStream, Mark, RingClosedError, copy_into


def _picture(number: int) -> list[torch.Tensor]:
    """Return two planes that show a number, one of two bytes a sample."""
    return [
        torch.full((3, 5), number % 251, dtype=torch.uint8),
        torch.full((2, 3), number, dtype=torch.int16),
    ]


@pytest.fixture
def late() -> Iterator[LateStream]:
    """Give a late stream, and end its threads."""
    stream = LateStream()
    yield stream
    stream.end()


def _collect(into: dict[int, list[torch.Tensor]]) -> Callable[[list[int], list[torch.Tensor]], None]:
    def then(numbers: list[int], planes: list[torch.Tensor]) -> None:
        for place, number in enumerate(numbers):
            into[number] = [plane[place].clone() for plane in planes]

    return then


@settings(max_examples=15, deadline=None)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    num_buffers=st.integers(1, 3),
    buffer_bytes=st.integers(1, 1200),
    seed=st.integers(0, 99),
)
def test_every_picture_arrives_as_it_was_however_late_the_device_is(
    counts: list[int], num_buffers: int, buffer_bytes: int, seed: int
) -> None:
    stream = LateStream(seed=seed, max_delay_seconds=0.0005)
    ring = HostRing(stream, num_buffers=num_buffers, buffer_bytes=buffer_bytes)
    found: dict[int, list[torch.Tensor]] = {}

    def work(worker: int) -> None:
        with Carrier(ring, _picture(0), _collect(found)) as carrier:
            for number in range(counts[worker]):
                carrier.add(100 * worker + number, _picture(100 * worker + number))
        stream.mark().wait()

    with ThreadPoolExecutor(len(counts)) as pool:
        list(pool.map(work, range(len(counts))))
    stream.end()
    assert sorted(found) == [100 * worker + number for worker, count in enumerate(counts) for number in range(count)]
    for number, planes in found.items():
        assert all(torch.equal(mine, plane) for mine, plane in zip(planes, _picture(number), strict=True))
    assert len(stream.buffers) == ring.num_made <= num_buffers


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16])
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1)])
def test_pictures_are_copied_whatever_their_strides(order: tuple[int, ...], dtype: torch.dtype) -> None:
    picture = torch.randint(0, 256, (6, 7, 9), dtype=dtype)[:, :5, 1:].permute(order)
    place = torch.full((2, *picture.shape), 3, dtype=dtype)
    copy_into(place[1], picture)
    assert torch.equal(place[1], picture) and (place[0] == 3).all()


def test_whoever_finds_no_buffer_waits_until_the_oldest_copy_has_ended(late: LateStream) -> None:
    ring = HostRing(late, num_buffers=2, buffer_bytes=64)
    late.gate.clear()
    for _ in range(2):
        buffer = ring.acquire(10)
        ring.release(buffer, after=late.mark())
    got: list[torch.Tensor] = []
    waiting = threading.Thread(target=lambda: got.append(ring.acquire(10)), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert got == []
    late.gate.set()
    waiting.join(250)
    assert len(got) == 1
    assert got[0] is late.buffers[0]
    assert ring.num_made == 2


def test_whoever_finds_all_buffers_lent_waits_for_another_thread() -> None:
    ring = HostRing(InlineStream(), num_buffers=1, buffer_bytes=64)
    lent = ring.acquire(1)
    got: list[torch.Tensor] = []
    waiting = threading.Thread(target=lambda: got.append(ring.acquire(64)), daemon=True)
    waiting.start()
    waiting.join(0.1)
    assert got == []
    ring.release(lent)
    waiting.join(250)
    assert got[0] is lent


def test_closing_sends_those_who_wait_away() -> None:
    ring = HostRing(InlineStream(), num_buffers=1)
    ring.acquire(1)
    said: list[str] = []

    def wait() -> None:
        try:
            ring.acquire(1)
        except RingClosedError:
            said.append("closed")

    waiting = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
    for thread in waiting:
        thread.start()
    ring.close()
    for thread in waiting:
        thread.join(250)
    assert said == ["closed"] * 3
    with pytest.raises(RingClosedError, match="the ring is closed"):
        ring.acquire(1)


def _add_and_raise(carrier: Carrier) -> None:
    carrier.add(1, _picture(1))
    raise KeyError("damage")


def test_after_an_exception_nothing_is_sent_and_the_buffer_is_free(late: LateStream) -> None:
    ring = HostRing(late, num_buffers=1)
    found: dict[int, list[torch.Tensor]] = {}
    with pytest.raises(KeyError, match="damage"), Carrier(ring, _picture(0), _collect(found)) as carrier:
        _add_and_raise(carrier)
    late.gate.clear()  # so that waiting for the device would be noticed
    assert ring.acquire(1) is late.buffers[0]
    late.gate.set()
    late.mark().wait()
    assert found == {}


def test_a_buffer_of_work_that_failed_is_free_after_all_that_was_asked_for() -> None:
    class Failing(InlineStream):
        def __init__(self) -> None:
            self.last = LateMark()

        def carry(self, hosts: Sequence[torch.Tensor], then: Callable[[list[torch.Tensor]], None]) -> Mark:
            raise ZeroDivisionError("a fault of the device")

        def mark(self) -> Mark:
            return self.last

    stream = Failing()
    ring = HostRing(stream, num_buffers=1)
    with pytest.raises(ZeroDivisionError, match="a fault of the device"), Carrier(ring, _picture(0), print) as carrier:
        carrier.add(1, _picture(1))
    assert "1 on their way" in repr(ring)
    stream.last.reach()
    ring.acquire(1)
    assert ring.num_made == 1


def test_a_buffer_that_is_lost_with_its_copy_is_made_anew() -> None:
    class Broken(LateMark):
        def wait(self) -> None:
            raise RuntimeError("the device is gone")

    ring = HostRing(InlineStream(), num_buffers=1)
    ring.release(ring.acquire(1), after=Broken())
    with pytest.raises(RuntimeError, match="the device is gone"):
        ring.acquire(1)
    assert len(ring.acquire(1)) >= 1
    assert ring.num_made == 1


def test_a_buffer_grows_for_pictures_larger_than_it() -> None:
    ring = HostRing(InlineStream(), num_buffers=1, buffer_bytes=100)
    small = ring.acquire(10)
    assert len(small) == 100
    ring.release(small)
    large = ring.acquire(1000)
    assert len(large) == 1000
    ring.release(large)
    assert ring.acquire(10) is large


@pytest.mark.parametrize("changes", [{"num_buffers": 0}, {"num_buffers": 1, "buffer_bytes": 0}])
def test_a_ring_of_nothing_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="1 buffer or more of 1 byte or more"):
        HostRing(InlineStream(), **changes)


@pytest.mark.parametrize("backend", ["pyav", "pyav-upload"])
@pytest.mark.parametrize("resize", ["exact", "fast"])
@pytest.mark.parametrize("buffer_bytes", [1, 20_000, 1 << 20])
def test_a_clip_that_is_carried_is_the_clip(backend: BackendName, resize: str, buffer_bytes: int) -> None:
    data = clips.clip_bytes("B-frames")
    job = {
        "indices": [7, 2, 2, 29, 11],
        "crop_xyxy": (2, 0, 60, 40),
        "size": (30, 50),
        "resize": resize,
        "full": [2, 5],
    }
    ring = HostRing(InlineStream(), num_buffers=1, buffer_bytes=buffer_bytes)
    carried = decode(data, **job, backend=backend, ring=ring)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    plain = decode(data, **job, backend=backend)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert torch.equal(carried.frames, plain.frames)
    assert carried.full.keys() == plain.full.keys() == {2, 5}
    assert all(torch.equal(carried.full[i], plain.full[i]) for i in plain.full)
    assert ring.num_made == 1


@pytest.mark.parametrize("backend", ["pyav", "pyav-upload"])
def test_clips_of_several_threads_arrive_whole_from_a_late_device(backend: BackendName) -> None:
    data = clips.clip_bytes("B-frames")
    wanted = [[0, 4, 8], [29, 3, 17, 11], list(range(30)), [12]]
    expected = [decode(data, indices=indices, backend=backend).frames for indices in wanted]
    stream = LateStream()
    ring = HostRing(stream, num_buffers=2, buffer_bytes=20_000)

    def one(indices: list[int]) -> torch.Tensor:
        frames = decode(data, indices=indices, backend=backend, ring=ring).frames
        stream.mark().wait()
        return frames

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, wanted))
    stream.end()
    assert all(map(torch.equal, found, expected))
    assert ring.num_made <= 2
