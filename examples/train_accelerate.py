"""Train with Hugging Face accelerate, which keeps the loader's place in its own checkpoints.

    python examples/train_accelerate.py --catalog ./opens2v-5m
    torchrun --standalone --nproc-per-node 2 examples/train_accelerate.py --catalog ./opens2v-5m

The loader is registered for checkpoints and not prepared: it gives each process its part of a batch by itself.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from tiny_training import TinyModel, flow_loss, make_loader, note, options

if TYPE_CHECKING:
    from pathlib import Path


def main() -> None:
    """Train."""
    arguments = options(__doc__).parse_args()
    accelerator = Accelerator(cpu=True)  # first: with it come the ranks that the loader asks for
    torch.manual_seed(0)
    loader = make_loader(arguments)
    plain = TinyModel()
    model, optimizer = accelerator.prepare(plain, torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9))
    accelerator.register_for_checkpointing(loader)
    if whole := sorted(arguments.checkpoints.glob("????-????????")):
        accelerator.load_state(str(whole[-1]))

    share = arguments.batch_size // accelerator.num_processes
    steps_left = arguments.steps
    while loader.epoch < arguments.epochs and steps_left:
        for batch in loader:
            loss = flow_loss(model, batch.to(accelerator.device), share=share)
            optimizer.zero_grad()
            accelerator.backward(loss)
            optimizer.step()
            note(arguments, loader, batch, loss.item())
            if (batch.step + 1) % arguments.every == 0 or batch.step + 1 == len(loader):
                save(accelerator, arguments.checkpoints / f"{batch.epoch:04}-{batch.step + 1:08}")
            steps_left -= 1
            if not steps_left:
                break
    accelerator.end_training()


def save(accelerator: Accelerator, folder: Path) -> None:
    """Write a checkpoint, whole or not at all: a folder whose name has no dot is whole."""
    temporary = folder.with_suffix(".tmp")
    accelerator.save_state(str(temporary))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    main()
