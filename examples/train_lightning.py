"""Train with Lightning, which keeps the loader's place in its own checkpoints.

    python examples/train_lightning.py --catalog ./opens2v-5m
    torchrun --nproc-per-node 2 examples/train_lightning.py --catalog ./opens2v-5m

`use_distributed_sampler=False`: the loader gives each process its part of a batch by itself.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from tiny_training import TinyModel, flow_loss, make_loader, note, options

if TYPE_CHECKING:
    import argparse

    from opens2v_loaders import Batch, TrainerLoader


class Training(lightning.LightningModule):
    """The model, its loss and its loader."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        super().__init__()
        self.arguments = arguments
        self.model = TinyModel()
        self.loader: TrainerLoader | None = None

    def train_dataloader(self) -> TrainerLoader:
        """Return the loader; Lightning asks for it when the ranks have met."""
        self.loader = make_loader(self.arguments)
        return self.loader

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Return the loss of this rank's clips."""
        loss = flow_loss(self.model, batch, share=self.arguments.batch_size // self.trainer.world_size)
        assert self.loader is not None
        note(self.arguments, self.loader, batch, loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.SGD(self.model.parameters(), lr=0.05, momentum=0.9)


def main() -> None:
    """Train."""
    arguments = options(__doc__).parse_args()
    lightning.seed_everything(0)
    num_ranks = int(os.environ.get("WORLD_SIZE", "1"))  # torchrun's
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        num_nodes=num_ranks // int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
        strategy="ddp" if num_ranks > 1 else "auto",
        use_distributed_sampler=False,
        max_epochs=arguments.epochs,
        max_steps=arguments.steps,
        callbacks=[ModelCheckpoint(arguments.checkpoints, save_last=True, every_n_train_steps=arguments.every)],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = arguments.checkpoints / "last.ckpt"
    trainer.fit(Training(arguments), ckpt_path=str(last) if last.exists() else None)


if __name__ == "__main__":
    main()
