"""The training examples as people start them: stopped or killed on two ranks, they go on on one, and end with the same model.

The second opinion is a plain loop over one `ClipLoader` in this process, never interrupted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from loaders.rowsource import FakeCatalog
from loaders.test_loader import bad_rows, loader_of
from opens2v_loaders.batch import Batch
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.trainers import TrainerLoader, gather_states

EXAMPLES = Path(__file__).parents[2] / "examples"
EPOCHS = 2
BATCH_SIZE = 4
ENVIRONMENT = {
    "GLOO_SOCKET_IFNAME": "lo",
    "OMP_NUM_THREADS": "1",
    # Else ranks that are restarted find in the store the addresses of those that are gone (gloo, torch 2.13).
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
}


def tiny_training() -> Any:
    """Return the module that the examples share."""
    spec = importlib.util.spec_from_file_location("tiny_training", EXAMPLES / "tiny_training.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Whole:
    """A run that nothing interrupts.

    Attributes:
        rows: by (epoch, step), the row of each slot that was not empty.
        model: at the end.
    """

    rows: dict[tuple[int, int], dict[int, int]]
    model: dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def whole(sample_catalog: Path, sample_release: Path) -> Whole:
    """Two epochs in this process."""
    shared = tiny_training()
    torch.manual_seed(0)
    model = shared.TinyModel()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    loader = shared.make_loader(
        Namespace(catalog=str(sample_catalog), release=str(sample_release), where=None, batch_size=BATCH_SIZE)
    ).loader
    rows = {}
    for _ in range(EPOCHS):
        for batch in loader:
            loss = shared.flow_loss(model, batch, share=BATCH_SIZE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rows[batch.epoch, batch.step] = dict(zip(batch.slots.tolist(), batch.rows.tolist(), strict=True))
    assert len(loader.bad_clips) > 0
    assert len(rows) == EPOCHS * len(loader) >= 8
    return Whole(rows=rows, model=model.state_dict())


@dataclass
class Example:
    """An example's runs, with a folder of their own."""

    name: str
    folder: Path
    catalog: Path
    release: Path

    def start(self, *, num_ranks: int, steps: int = -1, max_restarts: int = 0) -> subprocess.Popen[str]:
        """Start it, with torchrun where it has several ranks."""
        command = [str(EXAMPLES / f"train_{self.name}.py"), "--catalog", str(self.catalog)]
        command += ["--release", str(self.release), "--checkpoints", str(self.folder / "checkpoints")]
        command += ["--notes", str(self.folder / "notes"), "--epochs", str(EPOCHS), "--steps", str(steps)]
        command += ["--batch-size", str(BATCH_SIZE)]
        if num_ranks > 1 or self.name == "torchrun":
            place = [
                "--rdzv-backend",
                "c10d",
                "--rdzv-endpoint",
                "127.0.0.1:0",
                "--local-addr",
                "127.0.0.1",
            ]
            ranks = ["--nproc-per-node", str(num_ranks), "--max-restarts", str(max_restarts)]
            command = ["-m", "torch.distributed.run", *place, *ranks, "--monitor-interval", "0.1", *command]
        paths = os.pathsep.join(path for path in sys.path if path)
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | ENVIRONMENT | {"PYTHONPATH": paths, "HOME": str(self.folder)},
        )

    def run(self, *, num_ranks: int, steps: int = -1) -> None:
        """Run it to its end."""
        process = self.start(num_ranks=num_ranks, steps=steps)
        try:
            output, _ = process.communicate(timeout=250)
        finally:
            _kill(process)
        assert process.returncode == 0, output[-3000:]

    def rows(self) -> dict[tuple[int, int], dict[int, int]]:
        """Return what was trained on; a step that was trained on twice must have had the same rows."""
        found: dict[tuple[int, int], dict[int, int]] = {}
        for path in (self.folder / "notes").glob("rank*.jsonl"):
            for line in map(json.loads, path.read_text().splitlines()):
                step = found.setdefault((line["epoch"], line["step"]), {})
                for slot, row in zip(line["slots"], line["rows"], strict=True):
                    assert step.setdefault(slot, row) == row
        return found


@pytest.fixture
def example(request: pytest.FixtureRequest, tmp_path: Path, sample_catalog: Path, sample_release: Path) -> Example:
    """The example that a test names."""
    if request.param != "torchrun":
        pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return Example(name=request.param, folder=tmp_path, catalog=sample_catalog, release=sample_release)


@pytest.mark.slow
@pytest.mark.parametrize("example", ["accelerate", "lightning"], indirect=True)
@pytest.mark.parametrize("steps", [2])
def test_what_stopped_on_two_ranks_goes_on_on_one_to_the_same_model(example: Example, whole: Whole, steps: int) -> None:
    example.run(num_ranks=2, steps=steps)
    assert example.rows() == {step: whole.rows[step] for step in sorted(whole.rows)[:steps]}
    example.run(num_ranks=1)
    assert example.rows() == whole.rows
    _assert_same(_model(example), whole.model)


@pytest.mark.slow
@pytest.mark.parametrize("example", ["torchrun"], indirect=True)
def test_torchrun_restarts_ranks_of_which_one_was_killed_and_another_number_goes_on(
    example: Example, whole: Whole
) -> None:
    is_killed = False
    while not is_killed:  # else they were done before we came to it: once more
        for name in ("checkpoints", "notes"):
            shutil.rmtree(example.folder / name, ignore_errors=True)
        process = example.start(num_ranks=2, steps=3, max_restarts=1)
        try:
            _wait_for_steps(example, process, 2)
            is_killed = _kill_a_worker(process)
            output, _ = process.communicate(timeout=250)
        finally:
            _kill(process)
        assert process.returncode == 0, output[-3000:]
    begun = example.rows()
    assert 3 <= len(begun) < len(whole.rows)
    assert begun == {step: whole.rows[step] for step in sorted(whole.rows)[: len(begun)]}
    example.run(num_ranks=1)
    assert example.rows() == whole.rows
    _assert_same(_model(example), whole.model)


def _model(example: Example) -> dict[str, torch.Tensor]:
    """Return the model of the last checkpoint."""
    folder = example.folder / "checkpoints"
    if example.name == "torchrun":
        return torch.load(folder / "latest.pt", weights_only=True)["model"]
    if example.name == "lightning":
        found = torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]
        return {name.removeprefix("model."): value for name, value in found.items()}
    from safetensors.torch import load_file

    return load_file(max(folder.iterdir()) / "model.safetensors")


def _assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # Other numbers of ranks sum in another order.
        torch.testing.assert_close(found[name], value, rtol=1e-3, atol=1e-5)


def _wait_for_steps(example: Example, process: subprocess.Popen[str], count: int) -> None:
    give_up_at = time.monotonic() + 200
    while time.monotonic() < give_up_at and process.poll() is None:
        if (example.folder / "notes").is_dir() and len(example.rows()) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} steps were noted")


def _kill_a_worker(process: subprocess.Popen[str]) -> bool:
    """Kill the last of torchrun's workers that runs; return whether there was one."""
    psutil = pytest.importorskip("psutil", reason="torchrun's workers are found with psutil")
    try:
        children = psutil.Process(process.pid).children()
        workers = [child for child in children if any("train_torchrun" in word for word in child.cmdline())]
        if not workers:
            return False
        workers[-1].kill()
    except psutil.Error:
        return False
    return True


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


# -- the loader for trainers -------------------------------------------------------------------------------------------


def told(batches: list[Batch]) -> list[tuple[int, int, list[int]]]:
    """Return what batches are known by."""
    return [(batch.epoch, batch.step, batch.rows.tolist()) for batch in batches]


def trainer_loader(**changes: Any) -> TrainerLoader:
    """Return a loader for trainers, of 40 rows."""
    return loader_of(FakeCatalog(num_rows=40, bad=bad_rows(40, 0.1)), **changes).for_trainer()


def test_a_trainer_that_counts_batches_gets_the_next_epoch_from_the_next_iterator() -> None:
    plain = loader_of(FakeCatalog(num_rows=40, bad=bad_rows(40, 0.1)))
    expected = told([*plain, *plain])
    loader = trainer_loader()
    found = []
    for epoch in range(2):
        assert (loader.epoch, loader.step) == (epoch, 0)
        batches = iter(loader)
        found += [next(batches) for _ in range(len(loader))]  # never asks for one too many, as Lightning
        again = trainer_loader()
        again.load_state_dict(loader.state_dict())
        assert (again.epoch, again.step) == (epoch + 1, 0)
        assert next(iter(again)).epoch == epoch + 1
    assert told(found) == expected


def test_a_trainer_can_set_epochs_from_anywhere() -> None:
    loader = trainer_loader()
    first = told(list(loader))
    second = told([batch for _, batch in zip(range(len(loader)), loader, strict=False)])
    for step in (0, 3, len(loader)):
        loader.set_epoch(0)
        assert told([batch for _, batch in zip(range(step), loader, strict=False)]) == first[:step]
        assert (loader.epoch, loader.step) == ((0, step) if step < len(loader) else (1, 0))
        loader.set_epoch(1)
        assert told(list(loader)) == second
        loader.set_epoch(1)
        loader.set_epoch(0)
        assert (loader.epoch, loader.step) == (0, 0)


def test_a_state_for_trainers_is_plain_and_holds_that_of_each_rank() -> None:
    loader = trainer_loader()
    next(iter(loader))
    state = json.loads(json.dumps(loader.state_dict()))
    assert state == {"ranks": [loader.loader.state_dict()]}
    assert gather_states(loader.loader) == state["ranks"]
    other = trainer_loader(rank=1, world_size=2)
    other.load_state_dict(state)
    assert (other.epoch, other.step) == (0, 1)
    assert repr(other) == f"TrainerLoader({other.loader!r})"


def test_ranks_that_cannot_meet_say_so() -> None:
    loader: ClipLoader = trainer_loader(rank=1, world_size=2).loader
    with pytest.raises(
        ValueError, match=r"expected 2 ranks to meet, those of the loader, found 0 in torch.distributed"
    ):
        gather_states(loader)


def test_accelerate_leaves_the_loader_as_it_is() -> None:
    accelerate = pytest.importorskip("accelerate", reason="accelerate is not installed")
    loader = trainer_loader()
    assert accelerate.Accelerator(cpu=True).prepare(loader) is loader
