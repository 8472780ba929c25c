"""What the train_*.py examples share: a model small enough for a CPU, its loss, its loader and its options.

The model is shown a noisy clip and the cut-outs of its subjects, and learns what to take away (rectified flow). It learns little;
what the examples show is how a `ClipLoader` lives in each framework.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch

import opens2v_data
from opens2v_loaders import ClipLoader, ClipSpec, LoaderOptions, SubjectSpec, TrainerLoader, rng_of

if TYPE_CHECKING:
    from opens2v_loaders import Batch

MAX_SUBJECTS = 3
SUBJECT_SIZE = (16, 16)


def options(description: str | None) -> argparse.ArgumentParser:
    """Return the options of an example."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", default="./opens2v-5m", help="made by opens2v ingest")
    parser.add_argument(
        "--release", help="folder or address of the release; by default where the catalog was made from"
    )
    parser.add_argument("--where", help="SQL condition on the clips")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"), help="folder; what is there goes on")
    parser.add_argument("--every", type=int, default=1, help="steps from one checkpoint to the next")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--steps", type=int, default=-1, help="end after so many steps of this run")
    parser.add_argument("--batch-size", type=int, default=4, help="clips of a batch, over all ranks")
    parser.add_argument("--notes", type=Path, help="folder for notes of which rows each rank and step had")
    return parser


def make_loader(arguments: argparse.Namespace) -> TrainerLoader:
    """Return the loader; where torch.distributed is initialised, this rank's part of it."""
    catalog = opens2v_data.open(arguments.catalog, release=arguments.release)
    loader = ClipLoader(
        catalog,
        where=arguments.where,
        clip=ClipSpec(num_frames=5, stride=3, size=(24, 40)),
        batch_size=arguments.batch_size,
        subjects=SubjectSpec(max_subjects=MAX_SUBJECTS, size=SUBJECT_SIZE),
        options=LoaderOptions(num_threads=2),
    )
    return loader.for_trainer()


class TinyModel(torch.nn.Module):
    """Two convolutions over space and time, with the subjects and the noise level added between them."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        self.into = torch.nn.Conv3d(3, channels, 3, padding=1)
        self.subjects = torch.nn.Linear(3 * SUBJECT_SIZE[0] * SUBJECT_SIZE[1], channels)
        self.level = torch.nn.Linear(1, channels)
        self.out = torch.nn.Conv3d(channels, 3, 3, padding=1)

    def forward(
        self, noisy: torch.Tensor, level: torch.Tensor, subjects: torch.Tensor, is_present: torch.Tensor
    ) -> torch.Tensor:
        """Return the velocity from noise to clip.

        Args:
            noisy: `(B, 3, T, H, W)`.
            level: `(B,)` in [0, 1]: 0 is noise, 1 the clip.
            subjects: `(B, M, 3, h, w)` in [-1, 1].
            is_present: `(B, M) bool`.
        """
        seen = (self.subjects(subjects.flatten(2)) * is_present[..., None]).sum(dim=1)
        told = seen + self.level(level[:, None])
        return self.out(torch.nn.functional.silu(self.into(noisy) + told[..., None, None, None]))


def flow_loss(model: torch.nn.Module, batch: Batch, *, share: int) -> torch.Tensor:
    """Return the loss of a rank's clips, summed and divided by its share of a whole batch.

    A batch has fewer clips than its share, down to none, where bad ones found no replacement. So divided, the mean over ranks is
    the loss of the global batch all the same; and a rank without clips takes part in the step with a gradient of 0.

    The noise is drawn for each row and epoch, as the loader draws frames and crops: the same on any number of ranks.
    """
    clips = batch.videos.movedim(2, 1).float() / 127.5 - 1.0
    noise, level = torch.zeros_like(clips), torch.zeros(len(batch), device=clips.device)
    for place, row in enumerate(batch.rows.tolist()):
        rng = rng_of(0, batch.epoch, row, "noise")
        noise[place] = torch.from_numpy(rng.standard_normal(clips.shape[1:]))
        level[place] = rng.random()
    padded = batch.subjects.to_padded(MAX_SUBJECTS)
    mixed = torch.lerp(noise, clips, level[:, None, None, None, None])
    found = model(mixed, level, padded.images.float() / 127.5 - 1.0, padded.is_present)
    return (found - (clips - noise)).square().flatten(1).mean(dim=1).sum() / share


def note(arguments: argparse.Namespace, loader: TrainerLoader, batch: Batch, loss: float) -> None:
    """Print the step on rank 0, and where `--notes` asks for it write down the rank's rows."""
    rank = loader.loader.rank
    if rank == 0:
        print(f"epoch {batch.epoch} step {batch.step}: loss {loss:.4f} of {len(batch)} clips", flush=True)
    if arguments.notes is not None:
        arguments.notes.mkdir(parents=True, exist_ok=True)
        line = {"epoch": batch.epoch, "step": batch.step, "slots": batch.slots.tolist(), "rows": batch.rows.tolist()}
        with (arguments.notes / f"rank{rank}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
