"""Train on any number of processes with torchrun, be killed at any moment, and go on on any other number.

    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1      # see docs/training.md
    torchrun --standalone --nproc-per-node 2 --max-restarts 3 examples/train_torchrun.py --catalog ./opens2v-5m
    torchrun --standalone --nproc-per-node 4 examples/train_torchrun.py --catalog ./opens2v-5m      # goes on where that stopped

torchrun restarts all ranks when one dies, and they go on from the last checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from tiny_training import TinyModel, flow_loss, make_loader, note, options
from torch.nn.parallel import DistributedDataParallel

if TYPE_CHECKING:
    from pathlib import Path


def main() -> None:
    """Train."""
    arguments = options(__doc__).parse_args()
    torch.distributed.init_process_group("gloo")  # "nccl" where models are on GPUs
    torch.manual_seed(0)
    loader = make_loader(arguments)
    model = DistributedDataParallel(TinyModel())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

    path = arguments.checkpoints / "latest.pt"
    if path.exists():
        found = torch.load(path, weights_only=True)
        model.module.load_state_dict(found["model"])
        optimizer.load_state_dict(found["optimizer"])
        loader.load_state_dict(found["loader"])

    share = arguments.batch_size // torch.distributed.get_world_size()
    steps_left = arguments.steps
    while loader.epoch < arguments.epochs and steps_left:
        for batch in loader:
            loss = flow_loss(model, batch, share=share)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            note(arguments, loader, batch, loss.item())
            if (batch.step + 1) % arguments.every == 0 or batch.step + 1 == len(loader):
                save(
                    path, model=model.module.state_dict(), optimizer=optimizer.state_dict(), loader=loader.state_dict()
                )
            steps_left -= 1
            if not steps_left:
                break
    torch.distributed.destroy_process_group()


def save(path: Path, **parts: Any) -> None:
    """Write a checkpoint on rank 0, whole or not at all."""
    if torch.distributed.get_rank() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(parts, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)


if __name__ == "__main__":
    main()
