"""Where are a loader's batches made, and when are they there? In host memory, or on a GPU by streams of the loader's own.

    decode thread     its own CUDA stream ─▶ pictures into the batch ─▶ a mark for each clip
    caller            waits for the marks, then has the batch on its stream

On a GPU the threads do not use the stream that the training step uses: they would wait for its kernels, and it for theirs.
The batch's memory is told of every stream that uses it (`record_stream`), so that it is not given to others too early.

The CUDA half was **not run on a GPU**: the machine it was written on has none. The ring and the order of marks were, with a
stream that is late.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

import torch

from opens2v_loaders.ring import REACHED, HostRing, InlineStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from opens2v_loaders.ring import DeviceStream, Mark

# Beside one for each thread that writes: copies on their way. One takes 1 ms (24 MiB over PCIe 4), writing one 100.
_BUFFERS_ON_THEIR_WAY = 2


class Destination(Protocol):
    """Where batches are made."""

    @property
    def ring(self) -> HostRing | None:
        """What carries pictures there; None where threads write into the batch themselves."""
        ...

    def working(self) -> AbstractContextManager[object]:
        """Return the context that a thread of the loader works in."""
        ...

    def new_batch(self, shape: Sequence[int]) -> torch.Tensor:
        """Return memory for a batch, `uint8`."""
        ...

    def begin_clip(self, videos: torch.Tensor) -> None:
        """Say that the calling thread is about to write into a batch."""
        ...

    def mark(self) -> Mark:
        """Return the mark after all that the calling thread has asked for."""
        ...

    def hand_out(self, videos: torch.Tensor, marks: Iterable[Mark]) -> None:
        """Wait until a batch is there, for whoever takes it on the calling thread's stream."""
        ...

    def close(self) -> None:
        """Let no thread wait for a buffer any more."""
        ...


class HostDestination:
    """Host memory: what a thread has written is there."""

    ring = None

    def working(self) -> AbstractContextManager[object]:
        """Return nothing special."""
        return nullcontext()

    def new_batch(self, shape: Sequence[int]) -> torch.Tensor:
        """Return plain memory, channels last as pictures are decoded: to turn them takes 10% of a clip's time."""
        *outer, channels, height, width = shape
        batch = torch.empty((*outer, height, width, channels), dtype=torch.uint8)
        return batch.movedim(-1, -3)

    def begin_clip(self, videos: torch.Tensor) -> None:
        """Do nothing."""

    def mark(self) -> Mark:
        """Return a mark that is reached."""
        return REACHED

    def hand_out(self, videos: torch.Tensor, marks: Iterable[Mark]) -> None:
        """Wait for marks all the same: a ring may have been put in by hand."""
        for mark in marks:
            mark.wait()

    def close(self) -> None:
        """Do nothing."""


class CudaDestination:
    """A GPU's memory. Not run on a GPU yet.

    Args:
        device: with its index.
        num_threads: that decode.
    """

    def __init__(self, device: torch.device, *, num_threads: int) -> None:
        self._device, self._stream, self._streams = device, CudaStream(device), threading.local()
        self.ring: HostRing = HostRing(self._stream, num_buffers=num_threads + _BUFFERS_ON_THEIR_WAY)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Give the thread a stream of its own, the same each time: torch keeps freed memory for each stream."""
        stream: torch.cuda.Stream | None = getattr(self._streams, "own", None)
        if stream is None:
            stream = self._streams.own = torch.cuda.Stream(self._device)
        with torch.cuda.device(self._device), torch.cuda.stream(stream):
            yield

    def new_batch(self, shape: Sequence[int]) -> torch.Tensor:
        """Return memory of the GPU."""
        return torch.empty(tuple(shape), dtype=torch.uint8, device=self._device)

    def begin_clip(self, videos: torch.Tensor) -> None:
        """Keep the memory until this thread's stream has done what it was asked."""
        videos.record_stream(torch.cuda.current_stream(self._device))

    def mark(self) -> Mark:
        """Return an event of the thread's stream."""
        return self._stream.mark()

    def hand_out(self, videos: torch.Tensor, marks: Iterable[Mark]) -> None:
        """Wait for the events here, not on the caller's stream only: a batch may be used on any other."""
        for mark in marks:
            mark.wait()
        videos.record_stream(torch.cuda.current_stream(self._device))

    def close(self) -> None:
        """Close the ring."""
        self.ring.close()


class CudaStream:
    """The calling thread's current stream on a GPU. Not run on a GPU yet."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def host_buffer(self, num_bytes: int) -> torch.Tensor:
        """Return pinned memory; torch keeps it for the next ring once it is dropped."""
        return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=True)

    def carry(self, hosts: Sequence[torch.Tensor], then: Callable[[list[torch.Tensor]], None]) -> Mark:
        """Copy without waiting; what follows is on the same stream, and so comes after."""
        copies = [host.to(self._device, non_blocking=True) for host in hosts]
        mark = self.mark()  # of the copies: the buffer need not wait for what is done with them
        then(copies)
        return mark

    def mark(self) -> Mark:
        """Record an event; waiting for it sleeps, it does not spin."""
        event = torch.cuda.Event(blocking=True)
        event.record(torch.cuda.current_stream(self._device))
        return _CudaMark(event)


class _CudaMark:
    def __init__(self, event: torch.cuda.Event) -> None:
        self._event = event

    def is_reached(self) -> bool:
        return self._event.query()

    def wait(self) -> None:
        self._event.synchronize()


def on_device(device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a GPU is the thread's: events, pinned memory and FFmpeg take the current one."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def stream_to(device: torch.device) -> DeviceStream:
    """Return what carries pictures to a device from the calling thread."""
    return CudaStream(device) if device.type == "cuda" else InlineStream()


def destination_on(device: torch.device, *, num_threads: int) -> Destination:
    """Return where batches for a device are made."""
    if device.type != "cuda":
        return HostDestination()
    index = torch.cuda.current_device() if device.index is None else device.index
    return CudaDestination(torch.device("cuda", index), num_threads=num_threads)
