"""How do pictures get from threads of the CPU to a device? Through a few host buffers, used again and again.

    a thread      acquire ─▶ write pictures ─▶ carry ─▶ acquire the next …
    the device                                   └▶ copy ─▶ its mark: the buffer is free again

Copies from pinned memory go on while the thread decodes, so a buffer that was sent is not free before the device says so.
What is pinned is bounded: no more buffers are made than `HostRing` was told, and a thread that finds none waits, first for
the oldest copy, else for another thread. A thread holds one at most, so that threads cannot wait for each other in a circle.

Nothing here is CUDA's but what a `DeviceStream` does. `InlineStream` does it at once, on the CPU; `destination.CudaStream` on
a side stream.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

# 16 pictures of 720p are 22.1 MB as yuv420p, and 19.2 MB as RGB of 480x832: fewer copies would gain nothing.
BUFFER_BYTES = 24 << 20
_PICTURES_AT_ONCE = 16
_ALIGNED_TO = 64


class RingClosedError(Exception):
    """The ring was closed; whoever wanted a buffer has nothing to do any more."""


class Mark(Protocol):
    """A point in what a device was asked to do."""

    def is_reached(self) -> bool:
        """Return whether all before it is done."""
        ...

    def wait(self) -> None:
        """Wait until all before it is done."""
        ...


class DeviceStream(Protocol):
    """Does what it is asked in order, and maybe later."""

    def host_buffer(self, num_bytes: int) -> torch.Tensor:
        """Return `(num_bytes,) uint8` on the CPU that the device can copy from."""
        ...

    def carry(self, hosts: Sequence[torch.Tensor], then: Callable[[list[torch.Tensor]], None]) -> Mark:
        """Copy tensors to the device and do something with the copies there; the mark is after the copying."""
        ...

    def mark(self) -> Mark:
        """Return the mark after all that the calling thread has asked for."""
        ...


class _Reached:
    def is_reached(self) -> bool:
        return True

    def wait(self) -> None:
        return


REACHED: Mark = _Reached()


class InlineStream:
    """The CPU in a device's place: everything is done before it returns, and nothing is copied."""

    def host_buffer(self, num_bytes: int) -> torch.Tensor:
        """Return plain memory."""
        return torch.empty(num_bytes, dtype=torch.uint8)

    def carry(self, hosts: Sequence[torch.Tensor], then: Callable[[list[torch.Tensor]], None]) -> Mark:
        """Do it."""
        then(list(hosts))
        return REACHED

    def mark(self) -> Mark:
        """Return a mark that is reached."""
        return REACHED


def copy_into(place: torch.Tensor, picture: torch.Tensor) -> None:
    """Copy a picture; on a CPU in the calling thread alone.

    torch shares even so small a copy with threads of its own and waits for them by spinning: where others want the CPUs,
    too, a clip of 49 frames of 720p took one thread 0.67 CPU-s, and 0.37 like this (2 cores, 20 other processes).
    """
    if place.device.type == picture.device.type == "cpu":
        np.copyto(place.numpy(), picture.numpy())
    else:
        place.copy_(picture)


class HostRing:
    """Lends host buffers to threads, and takes them back once the device has copied them.

    Args:
        stream: what carries them.
        num_buffers: there are never more; each is made when it is first needed, and kept.
        buffer_bytes: of each; one that is asked for more grows.
    """

    def __init__(self, stream: DeviceStream, *, num_buffers: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        if num_buffers < 1 or buffer_bytes < 1:
            raise ValueError(f"a ring has 1 buffer or more of 1 byte or more, not {num_buffers} of {buffer_bytes}")
        self.stream, self.num_buffers, self.buffer_bytes = stream, num_buffers, buffer_bytes
        self._changed = threading.Condition()
        self._free: list[torch.Tensor] = []
        self._sent: deque[tuple[torch.Tensor, Mark]] = deque()
        self._num_made = 0
        self._is_closed = False

    def __repr__(self) -> str:
        return f"HostRing({self._num_made} of {self.num_buffers} buffers, {len(self._sent)} on their way)"

    @property
    def num_made(self) -> int:
        """How many buffers there are."""
        return self._num_made

    def acquire(self, num_bytes: int) -> torch.Tensor:
        """Wait for a buffer of `num_bytes` or more, flat `uint8`; give it back with `release`.

        Raises:
            RingClosedError: the ring was closed.
        """
        with self._changed:
            while True:
                if self._is_closed:
                    raise RingClosedError("the ring is closed: whoever had it made wants no more pictures")
                if self._free or self._sent or self._num_made < self.num_buffers:
                    break
                self._changed.wait()
            buffer, mark = self._next()
        try:
            if mark is not None:
                mark.wait()
            if buffer is None or len(buffer) < num_bytes:
                buffer = None  # the smaller one goes before the larger one comes
                buffer = self.stream.host_buffer(max(num_bytes, self.buffer_bytes))
        except BaseException:
            with self._changed:  # it is lost; another may be made in its place
                self._num_made -= 1
                self._changed.notify()
            raise
        return buffer

    def release(self, buffer: torch.Tensor, *, after: Mark | None = None) -> None:
        """Give a buffer back.

        Args:
            after: the mark from which on nobody reads it; None: nobody does now.
        """
        with self._changed:
            if after is None or after.is_reached():
                self._free.append(buffer)
            else:
                self._sent.append((buffer, after))
            self._changed.notify()

    def close(self) -> None:
        """Let nobody have a buffer any more, and forget those that were given back; copies under way are not cut short."""
        with self._changed:
            self._is_closed = True
            self._free.clear()
            self._changed.notify_all()

    def _next(self) -> tuple[torch.Tensor | None, Mark | None]:
        """Return the buffer to lend, None for one that is still to be made; and what to wait for."""
        if self._free:
            return self._free.pop(), None
        if self._sent and (self._sent[0][1].is_reached() or self._num_made >= self.num_buffers):
            return self._sent.popleft()
        self._num_made += 1
        return None, None


class Carrier:
    """Gathers pictures in a buffer of a ring, and sends as many together as it holds, 16 at most.

    Use it as a context: what is left is sent at its end; after an exception it is not, and the buffer goes back.

    Args:
        like: the planes of a picture, for their shapes and types.
        then: what to do on the device with the numbers of some pictures and their planes, `(n, …)` each.
    """

    def __init__(
        self,
        ring: HostRing,
        like: Sequence[torch.Tensor],
        then: Callable[[list[int], list[torch.Tensor]], None],
    ) -> None:
        self._ring, self._then = ring, then
        self._planes = [(tuple(plane.shape), plane.dtype, plane.numel() * plane.element_size()) for plane in like]
        picture_bytes = sum(num_bytes for _, _, num_bytes in self._planes)
        room = ring.buffer_bytes - _ALIGNED_TO * len(self._planes)
        self._capacity = max(1, min(_PICTURES_AT_ONCE, room // picture_bytes))
        self._buffer: torch.Tensor | None = None
        self._views: list[torch.Tensor] = []
        self._numbers: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.send()
        elif self._buffer is not None:
            self._ring.release(self._buffer)
            self._buffer = None

    def add(self, number: int, planes: Sequence[torch.Tensor]) -> None:
        """Copy a picture in; send all when there is no room for another.

        Raises:
            RingClosedError: see `HostRing.acquire`.
        """
        if self._buffer is None:
            self._open()
        for view, plane in zip(self._views, planes, strict=True):
            copy_into(view[len(self._numbers)], plane)
        self._numbers.append(number)
        if len(self._numbers) == self._capacity:
            self.send()

    def send(self) -> None:
        """Send what there is."""
        buffer, numbers = self._buffer, self._numbers
        if buffer is None:
            return
        self._buffer, self._numbers = None, []
        stream, mark = self._ring.stream, None
        try:
            hosts = [view[: len(numbers)] for view in self._views]
            mark = stream.carry(hosts, lambda copies: self._then(numbers, copies))
        finally:
            self._views = []
            # What failed may have been copied half: the buffer is free after all that was asked for.
            self._ring.release(buffer, after=mark if mark is not None else stream.mark())

    def _open(self) -> None:
        needed = [-(-num_bytes * self._capacity // _ALIGNED_TO) * _ALIGNED_TO for _, _, num_bytes in self._planes]
        self._buffer = self._ring.acquire(sum(needed))
        self._views, start = [], 0
        for (shape, dtype, num_bytes), length in zip(self._planes, needed, strict=True):
            flat = self._buffer[start : start + num_bytes * self._capacity]
            self._views.append(flat.view(dtype).view(self._capacity, *shape))
            start += length
