"""What do training frameworks want of a loader that they do not ask for by name?

    a state for all ranks        one rank writes the checkpoint (accelerate, Lightning), and each rank knows of its own bad clips
    the next epoch in time       Lightning takes the batches it counted and asks for a new iterator, so it never sees the end

`ClipLoader.for_trainer()` gives a loader that has both; it is the same loader, at the same place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opens2v_data.errors import MissingExtraError

try:
    import torch
except ImportError as error:
    raise MissingExtraError(package="torch", extra="torch", needed_for="training on batches") from error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from opens2v_loaders.batch import Batch
    from opens2v_loaders.loader import ClipLoader


class TrainerLoader:
    """A `ClipLoader` whose state is that of all ranks, and whose place is that of the next batch.

    Attributes:
        loader: the `ClipLoader`.
    """

    def __init__(self, loader: ClipLoader) -> None:
        self.loader = loader

    def __repr__(self) -> str:
        return f"TrainerLoader({self.loader!r})"

    def __len__(self) -> int:
        """Return how many batches an epoch has, those handed out included."""
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        """Give the rest of the epoch; at its end, the next epoch."""
        if self.loader.step and self.loader.step == len(self.loader):
            self.loader.set_epoch(self.epoch)
        return iter(self.loader)

    @property
    def epoch(self) -> int:
        """The epoch of the next batch, from 0."""
        is_over = self.loader.step and self.loader.step == len(self.loader)
        return self.loader.epoch + bool(is_over)

    @property
    def step(self) -> int:
        """The step of the next batch in its epoch."""
        return self.loader.step if self.epoch == self.loader.epoch else 0

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless the next batch is in it.

        Raises:
            ValueError: a negative number.
        """
        if epoch != self.epoch:
            self.loader.set_epoch(self.epoch)  # leaves an epoch that is over: the loader itself is still in it
            self.loader.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all ranks, on each of them; every rank must call it, at the same step."""
        return {"ranks": gather_states(self.loader)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where a loader was, of any number of ranks that divides the batch.

        Raises:
            ValueError: a state of another kind of loader; see `ClipLoader.load_state_dict`.
        """
        if "ranks" not in state:
            raise ValueError(
                f"expected a state of a loader made by for_trainer, found one with {', '.join(sorted(state)) or 'nothing'}; "
                "that of a plain ClipLoader goes into its load_state_dict"
            )
        self.loader.load_state_dict(state["ranks"])


def gather_states(loader: ClipLoader) -> Sequence[Mapping[str, Any]]:
    """Return the states of all ranks of a loader, on each of them: what `ClipLoader.load_state_dict` takes.

    Every rank must call it, at the same step; they meet through torch.distributed.

    Raises:
        ValueError: the loader is one of several ranks, and torch.distributed has not that many.
    """
    state = loader.state_dict()
    if loader.world_size == 1:
        return [state]
    is_ready = torch.distributed.is_available() and torch.distributed.is_initialized()
    met = torch.distributed.get_world_size() if is_ready else 0
    if met != loader.world_size:
        raise ValueError(
            f"expected {loader.world_size} ranks to meet, those of the loader, found {met} in torch.distributed: gather the "
            "state_dict of each rank another way, and give load_state_dict all of them"
        )
    states: list[Any] = [None] * loader.world_size
    torch.distributed.all_gather_object(states, state)
    return states
