"""What a forked process must make anew: locks that threads of the parent may have held, and connections that are the parent's."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class ForgetsAfterFork(Protocol):
    """Has something that a forked process cannot use."""

    def _after_fork(self) -> None: ...


_alive: WeakSet[ForgetsAfterFork] = WeakSet()


def forget_after_fork(one: ForgetsAfterFork) -> None:
    """Have its `_after_fork` called in each process that is forked while it lives."""
    _alive.add(one)


def _after_fork() -> None:
    for one in list(_alive):
        one._after_fork()


os.register_at_fork(after_in_child=_after_fork)
