"""A device that is late: it copies in threads of its own, one queue for each thread that asks, after a moment."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from opens2v_loaders.destination import HostDestination
from opens2v_loaders.ring import HostRing, Mark


class LateMark:
    """Reached once the queue has come so far."""

    def __init__(self) -> None:
        self._reached = threading.Event()

    def is_reached(self) -> bool:
        """Return whether it is."""
        return self._reached.is_set()

    def wait(self) -> None:
        """Wait; a stream that never gets there is a failure and no hang."""
        assert self._reached.wait(200), "the stream never came to the mark"

    def reach(self) -> None:
        """Reach it."""
        self._reached.set()


Task = tuple[list[torch.Tensor], Callable[[list[torch.Tensor]], None] | None, LateMark]


class LateStream:
    """Copies when it gets round to it: until then the host's buffers must not change.

    Attributes:
        gate: nothing is done while it is not set.
        buffers: made so far.
        num_on_their_way: copies that were asked for and have not been made.
    """

    def __init__(self, *, seed: int = 0, max_delay_seconds: float = 0.002) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.buffers: list[torch.Tensor] = []
        self.num_on_their_way = 0
        self._lock = threading.Lock()
        self._draw, self._max_delay = random.Random(seed), max_delay_seconds
        self._queues = threading.local()
        self._all: list[queue.SimpleQueue[Task | None]] = []

    def host_buffer(self, num_bytes: int) -> torch.Tensor:
        """Return memory full of 255."""
        buffer = torch.full((num_bytes,), 255, dtype=torch.uint8)
        self.buffers.append(buffer)
        return buffer

    def carry(self, hosts: Sequence[torch.Tensor], then: Callable[[list[torch.Tensor]], None]) -> Mark:
        """Queue it."""
        with self._lock:
            self.num_on_their_way += 1
        return self._put(list(hosts), then)

    def mark(self) -> Mark:
        """Queue a mark."""
        return self._put([], None)

    def end(self) -> None:
        """End the threads."""
        self.gate.set()
        for tasks in self._all:
            tasks.put(None)

    def _put(self, hosts: list[torch.Tensor], then: Callable[[list[torch.Tensor]], None] | None) -> LateMark:
        tasks: queue.SimpleQueue[Task | None] | None = getattr(self._queues, "tasks", None)
        if tasks is None:
            tasks = self._queues.tasks = queue.SimpleQueue()
            self._all.append(tasks)
            threading.Thread(target=self._work, args=(tasks,), name="late-stream", daemon=True).start()
        mark = LateMark()
        tasks.put((hosts, then, mark))
        return mark

    def _work(self, tasks: queue.SimpleQueue[Task | None]) -> None:
        while (task := tasks.get()) is not None:
            hosts, then, mark = task
            self.gate.wait()
            time.sleep(self._draw.uniform(0, self._max_delay))
            if then is not None:
                then([host.clone() for host in hosts])
                with self._lock:
                    self.num_on_their_way -= 1
            mark.reach()


class LateDestination(HostDestination):
    """Batches in host memory, brought there by a `LateStream`."""

    def __init__(self, *, num_buffers: int, buffer_bytes: int, max_delay_seconds: float = 0.002) -> None:
        self.stream = LateStream(max_delay_seconds=max_delay_seconds)
        self.ring: HostRing = HostRing(self.stream, num_buffers=num_buffers, buffer_bytes=buffer_bytes)  # pyright: ignore[reportIncompatibleVariableOverride]

    def working(self) -> AbstractContextManager[object]:
        """Return nothing special."""
        return nullcontext()

    def new_batch(self, shape: Sequence[int]) -> torch.Tensor:
        """Return memory whose content tells that nothing came."""
        return torch.full(tuple(shape), 255, dtype=torch.uint8)

    def mark(self) -> Mark:
        """Return the stream's."""
        return self.stream.mark()

    def close(self) -> None:
        """Close the ring."""
        self.ring.close()
