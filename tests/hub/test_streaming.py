"""Ranks, workers and resuming: every row once, whoever reads it and wherever they stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from datasets import IterableDataset
from datasets.distributed import split_dataset_by_node

from hub.loading import ids, stream

if TYPE_CHECKING:
    from opens2v_data.dataset import OpenS2V

COLUMNS = ["clip_id", "caption"]


@pytest.mark.parametrize("num_ranks", [2, 7])
def test_ranks_share_the_rows(many: OpenS2V, num_ranks: int) -> None:
    shares = [
        ids(split_dataset_by_node(stream(many, columns=COLUMNS), rank=rank, world_size=num_ranks))
        for rank in range(num_ranks)
    ]
    assert sorted(number for share in shares for number in share) == list(range(150))
    assert all(shares)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_loader_workers_share_the_rows(many: OpenS2V, context: str) -> None:
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
    rows = stream(many, columns=[*COLUMNS, "subjects", "video"])
    assert next(iter(rows))["clip_id"] == 0  # the parent has the catalog open when it forks
    loader = data.DataLoader(rows, batch_size=None, num_workers=2, multiprocessing_context=context)
    found = list(loader)
    assert sorted(ids(found)) == list(range(150))
    expected = {row["clip_id"]: row for row in many.rows(columns=[*COLUMNS, "subjects", "video"])}
    assert all(row == expected[row["clip_id"]] for row in found)


def test_ranks_with_workers_share_the_rows(many: OpenS2V) -> None:
    data = pytest.importorskip("torch.utils.data", reason="torch is not installed")
    found: list[int] = []
    for rank in range(2):
        share = split_dataset_by_node(stream(many, columns=COLUMNS), rank=rank, world_size=2)
        found += ids(data.DataLoader(share, batch_size=None, num_workers=2))
    assert sorted(found) == list(range(150))


def _plain(many: OpenS2V) -> IterableDataset:
    return stream(many)


def _where(many: OpenS2V) -> IterableDataset:
    return stream(many, where="num_subjects > 0 AND aesthetic < 5.5")


def _filtered(many: OpenS2V) -> IterableDataset:
    return stream(many, columns=COLUMNS).filter(lambda row: row["clip_id"] % 3 == 1)


def _mapped(many: OpenS2V) -> IterableDataset:
    return stream(many, columns=COLUMNS).map(lambda row: {"length": len(row["caption"])})


def _mapped_in_batches(many: OpenS2V) -> IterableDataset:
    return stream(many, columns=COLUMNS).map(
        lambda rows: {"doubled": [2 * n for n in rows["clip_id"]]}, batched=True, batch_size=7
    )


def _of_a_rank(many: OpenS2V) -> IterableDataset:
    return split_dataset_by_node(stream(many, columns=COLUMNS), rank=1, world_size=2)


def _of_a_rank_that_skips_rows(many: OpenS2V) -> IterableDataset:
    return split_dataset_by_node(stream(many, columns=COLUMNS), rank=1, world_size=4)


def _as_tensors(many: OpenS2V) -> IterableDataset:
    pytest.importorskip("torch", reason="torch is not installed")
    return stream(many, columns=COLUMNS).with_format("torch")


@pytest.mark.parametrize(
    "make",
    [_plain, _where, _filtered, _mapped, _mapped_in_batches, _of_a_rank, _of_a_rank_that_skips_rows, _as_tensors],
)
def test_a_stream_goes_on_exactly_where_it_stopped(many: OpenS2V, make: Callable[[OpenS2V], IterableDataset]) -> None:
    everything = list(make(many))
    for num_read in (1, 15, 31):
        stopped = make(many)
        rows = iter(stopped)
        head = [next(rows) for _ in range(num_read)]
        resumed = make(many)
        resumed.load_state_dict(stopped.state_dict())
        assert len(everything) > num_read
        assert head + list(resumed) == everything, f"after {num_read} rows"


def test_a_loader_with_workers_goes_on_exactly_where_it_stopped(many: OpenS2V) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")

    def make() -> Any:
        return stateful.StatefulDataLoader(stream(many, columns=COLUMNS), batch_size=None, num_workers=2)

    everything = ids(make())
    assert sorted(everything) == list(range(150))
    for num_read in (1, 25, 100):
        stopped = make()
        rows = iter(stopped)
        head = ids(next(rows) for _ in range(num_read))
        state = stopped.state_dict()
        resumed = make()
        resumed.load_state_dict(state)
        assert head + ids(resumed) == everything, f"after {num_read} rows"
