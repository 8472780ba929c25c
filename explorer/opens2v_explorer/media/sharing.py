"""Work that several requests want at once, done once: rows read in batches, results made by the first and kept for a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

MAX_FAILURES = 1024
"""Remembered, of one kind of work."""


class Kept(Generic[Key, Value]):
    """The values used last, up to a limit. Threads may share it.

    Args:
        limit: of the sum of sizes.
        size_of: a value's; by default 1 each, so that the limit is a number of values.
    """

    def __init__(self, limit: int, *, size_of: Callable[[Value], int] = lambda _: 1) -> None:
        self._limit = limit
        self._size_of = size_of
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Return a value, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; one larger than the limit is not."""
        with self._lock:
            if key in self._values:
                self._size -= self._size_of(self._values.pop(key))
            self._values[key] = value
            self._size += self._size_of(value)
            while self._size > self._limit:
                self._size -= self._size_of(self._values.popitem(last=False)[1])


class OnlyOnce(Generic[Key, Value]):
    """Makes a value once when several threads want it at the same time: the others wait for the first, and share its error.

    Args:
        again: gives for an error what makes it anew, if whoever wants the value a little later gets it without trying. Errors
            themselves are not kept: with them would be all that was being worked on.
        again_seconds: how much later.
    """

    def __init__(
        self,
        again: Callable[[BaseException], Callable[[], Exception] | None] = lambda _: None,
        *,
        again_seconds: float = 0.0,
    ) -> None:
        self._running: dict[Key, Future[Value]] = {}
        self._lock = threading.Lock()
        self._again = again
        self._again_seconds = again_seconds
        self._failed: Kept[Key, tuple[float, Callable[[], Exception]]] = Kept(MAX_FAILURES)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return what `make` gives."""
        with self._lock:
            running = self._running.get(key)
            own = self._running.setdefault(key, Future())
        if running is not None:
            return running.result()
        failed = self._failed.get(key)
        is_failed = failed is not None and time.monotonic() < failed[0] + self._again_seconds
        try:
            if failed is not None and is_failed:
                raise failed[1]()
            value = make()
        except BaseException as error:
            again = None if is_failed else self._again(error)
            if again is not None:
                self._failed.put(key, (time.monotonic(), again))
            own.set_exception(error)
            raise
        else:
            own.set_result(value)
            return value
        finally:
            with self._lock:
                del self._running[key]


class Batches(Generic[Key, Value]):
    """Looks keys up together: those that come in while a look-up runs make the next one.

    A page of 60 pictures asks for 60 rows of a table that is read by groups of thousands; together they are one read.

    Args:
        read: gives the values of some keys, each once.
        keep: how many values to keep.
    """

    def __init__(self, read: Callable[[list[Key]], Mapping[Key, Value]], *, keep: int) -> None:
        self._read = read
        self._kept: Kept[Key, Value] = Kept(keep)
        self._asked: dict[Key, Future[Value]] = {}
        self._waiting: list[Key] = []
        self._lock = threading.Lock()
        self._reading = threading.Lock()

    def get(self, key: Key) -> Value:
        """Return a key's value; raises what `read` raises."""
        return self.get_many([key])[0]

    def get_many(self, keys: Iterable[Key]) -> list[Value]:
        """Return the values of some keys, in their order."""
        keys = list(keys)
        found: dict[Key, Value] = {}
        asked: dict[Key, Future[Value]] = {}
        is_new = False
        with self._lock:
            for key in dict.fromkeys(keys):
                value = self._kept.get(key)
                if value is not None:
                    found[key] = value
                    continue
                if key not in self._asked:
                    is_new = True
                    self._asked[key] = Future()
                    self._waiting.append(key)
                asked[key] = self._asked[key]
        if is_new:
            with self._reading:
                self._read_waiting()
        found |= {key: future.result() for key, future in asked.items()}
        return [found[key] for key in keys]

    def _read_waiting(self) -> None:
        """Answer all that wait; whoever comes while this runs is answered next."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        error: BaseException | None = None
        values: list[tuple[Key, Value]] = []
        try:
            read = self._read(waiting)
            values = [(key, read[key]) for key in waiting]
        except BaseException as raised:  # noqa: BLE001 (it is raised where the keys were asked for)
            error = raised
        with self._lock:
            for key, value in values:
                self._kept.put(key, value)
            futures = [self._asked.pop(key) for key in waiting]
        if error is not None:
            for future in futures:
                future.set_exception(error)
        else:
            for future, (_, value) in zip(futures, values, strict=True):
                future.set_result(value)
