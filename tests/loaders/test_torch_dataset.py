"""The rows as a map-style dataset, in torch's own loaders: the loader's samples, in worker processes, resumed by torchdata."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, RandomSampler

import opens2v_data
from loaders.rowsource import FakeCatalog
from loaders.test_loader import LENIENT, MIX, loader_of
from opens2v_data.errors import NotAVideoError
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.subjects import SubjectSpec

PICTURES = ("subjects", "partners", "views", "foregrounds", "backgrounds")


def kept(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collate by not collating: samples have pictures in any number."""
    return samples


def told(batches: list[list[dict[str, Any]]]) -> list[list[tuple[Any, ...]]]:
    """Return what the samples of batches are known by."""
    return [
        [(one["source"], one["row"], one["frame_indices"].tolist(), int(one["video"].sum())) for one in batch]
        for batch in batches
    ]


def test_every_picture_of_a_sample_is_the_loaders() -> None:
    loader = loader_of(FakeCatalog(num_rows=8), mix=MIX, subjects=SubjectSpec(size=(32, 32), scene=True))
    dataset = loader.as_torch_dataset()
    rows = loader.plan.rows
    names = [rows.source_names[code] for code in rows.sources.tolist()]
    place = {known: index for index, known in enumerate(zip(names, rows.rows.tolist(), strict=True))}
    for batch in loader:
        samples = [dataset[place[known]] for known in zip(batch.sources, batch.rows.tolist(), strict=True)]
        assert torch.equal(torch.stack([sample["video"] for sample in samples]), batch.videos)
        for name in PICTURES:
            pictures = getattr(batch, name)
            assert torch.equal(torch.cat([sample[name] for sample in samples]), pictures.images)
            assert [len(sample[name]) for sample in samples] == np.diff(pictures.offsets).tolist()


def test_an_epoch_draws_anew_as_the_loader_does() -> None:
    loader = loader_of(FakeCatalog(num_rows=8))
    dataset = loader.as_torch_dataset()
    frames = []
    for epoch in range(2):
        loader.set_epoch(epoch)
        dataset.set_epoch(epoch)
        (batch, *_) = loader
        frames.append(dataset[3]["frame_indices"].tolist())
        for row, indices in zip(batch.rows.tolist(), batch.frame_indices.tolist(), strict=True):
            assert dataset[row]["frame_indices"].tolist() == indices
    assert frames[0] != frames[1]


def test_a_bad_clip_raises_its_own_error_in_a_worker_too() -> None:
    dataset = loader_of(FakeCatalog(num_rows=6, bad={4: "garbage"})).as_torch_dataset()
    with pytest.raises(NotAVideoError, match="expected an MP4/MOV file"):
        dataset[4]
    batches = DataLoader(dataset, batch_size=2, collate_fn=kept, num_workers=1)
    with pytest.raises(Exception, match="expected an MP4/MOV file"):
        list(batches)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_torchdatas_loader_goes_on_exactly_where_it_stopped(num_workers: int) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")
    catalog = FakeCatalog(num_rows=26)

    def make() -> Any:
        dataset = loader_of(catalog).as_torch_dataset()
        sampler = RandomSampler(dataset, generator=torch.Generator().manual_seed(3))
        return stateful.StatefulDataLoader(
            dataset, batch_size=4, sampler=sampler, num_workers=num_workers, collate_fn=kept
        )

    everything = told(list(make()))
    assert sorted(row for batch in everything for _, row, _, _ in batch) == list(range(26))
    for num_read in (1, 4):
        stopped = make()
        batches = iter(stopped)
        head = told([next(batches) for _ in range(num_read)])
        state = stopped.state_dict()
        del batches
        resumed = make()
        resumed.load_state_dict(state)
        assert head + told(list(resumed)) == everything


def test_a_real_catalog_goes_to_workers_and_through_pickle(sample_catalog: Path, sample_release: Path) -> None:
    catalog = opens2v_data.open(sample_catalog, release=sample_release)
    loader = ClipLoader(catalog, clip=ClipSpec(num_frames=3, stride=2, size=(24, 40)), batch_size=2, options=LENIENT)
    good = [row for batch in loader for row in batch.rows.tolist()][:6]
    dataset = loader.as_torch_dataset()
    place = [dataset._plan_rows.rows.tolist().index(row) for row in good]
    alone = [dataset[index] for index in place]
    again = pickle.loads(pickle.dumps(dataset))
    assert again[place[0]]["key"] == alone[0]["key"]
    found = DataLoader(dataset, sampler=place, batch_size=None, num_workers=2)
    for here, there in zip(alone, found, strict=True):
        assert (here["key"], here["caption"]) == (there["key"], there["caption"])
        assert torch.equal(here["video"], there["video"])
