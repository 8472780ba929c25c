"""Batches that a late device is given are those made at once; nobody sees one before it is there."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch", reason="a loader gives tensors")

import torch

from loaders.clips import HEIGHT, WIDTH, clip_bytes
from loaders.latestream import LateDestination
from loaders.rowsource import FakeCatalog
from loaders.test_loader import TIGHT, loader_of, told
from loaders.waiting import threads_left
from opens2v_loaders.container import OpenClip
from opens2v_loaders.options import LoaderOptions
from opens2v_loaders.pipeline import Pipeline
from opens2v_loaders.plan import Reserve
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.subjects import SubjectSpec


class Damaged(FakeCatalog):
    """A catalog of whose "torn" rows a picture in the middle is damaged: those before it are sound."""

    @staticmethod
    def torn() -> bytes:
        """Return such a clip."""
        data = clip_bytes("B-frames")
        with OpenClip(data) as clip:
            packet = clip.packets[int(clip.table.position[14])]
            start, size = packet.pos or 0, packet.size
        return data[: start + 4] + bytes(size - 4) + data[start + size :]

    def _read(self, video: Any) -> Any:
        found = super()._read(video)
        return self.torn() if self.bad.get(video.offset) == "torn" else found


@pytest.mark.parametrize("num_threads", [1, 3])
def test_batches_carried_to_a_device_that_is_late_are_those_made_at_once(
    num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Damaged(num_rows=24, bad=dict.fromkeys(range(0, 24, 3), "torn"))
    options = LoaderOptions(num_threads=num_threads, max_bad_share=1.0)
    reserve = Reserve(spares=8, per_steps=8)
    clip = ClipSpec(num_frames=16, stride=1, size=(HEIGHT, WIDTH))
    expected = list(loader_of(catalog, options=options, reserve=reserve, clip=clip))
    made: list[LateDestination] = []

    def late(device: torch.device, *, num_threads: int) -> LateDestination:
        # Room for three pictures of the sixteen: a torn clip's first ones are on their way when the damage is found.
        room = 3 * 3 * HEIGHT * WIDTH + 64
        made.append(LateDestination(num_buffers=num_threads + 1, buffer_bytes=room, max_delay_seconds=0.03))
        return made[-1]

    monkeypatch.setattr("opens2v_loaders.pipeline.destination_on", late)
    loader = loader_of(catalog, options=options, reserve=reserve, clip=clip)
    found = [(told([batch]), batch.videos.clone()) for batch in loader]  # as they are when they are handed out
    made[0].stream.end()
    for (mine, videos), batch in zip(found, expected, strict=True):
        assert mine == told([batch])
        assert torch.equal(videos, batch.videos)
    assert any(bad.replaced_by is not None for bad in loader.bad_clips)
    assert len(made[0].stream.buffers) <= num_threads + 1


def test_no_picture_of_a_bad_clip_is_on_its_way_when_a_spare_takes_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Damaged(num_rows=16, bad=dict.fromkeys(range(0, 16, 5), "torn"))
    destination = LateDestination(num_buffers=4, buffer_bytes=3 * 3 * HEIGHT * WIDTH + 64, max_delay_seconds=0.02)
    monkeypatch.setattr("opens2v_loaders.pipeline.destination_on", lambda device, num_threads: destination)
    on_their_way, note_bad = [], Pipeline._note_bad

    def looking(self: Pipeline, *arguments: Any) -> None:
        on_their_way.append(destination.stream.num_on_their_way)
        note_bad(self, *arguments)

    monkeypatch.setattr(Pipeline, "_note_bad", looking)
    options = LoaderOptions(num_threads=1, max_bad_share=1.0)
    loader = loader_of(catalog, options=options, clip=ClipSpec(num_frames=16, stride=1, size=(HEIGHT, WIDTH)))
    assert sum(map(len, loader)) > 0
    destination.stream.end()
    assert on_their_way == [0] * len(loader.bad_clips) != []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_batches_on_a_gpu_are_those_of_the_cpu() -> None:
    catalog = Damaged(num_rows=40, bad=dict.fromkeys(range(0, 40, 7), "torn"))
    expected = list(loader_of(catalog, clip=ClipSpec(num_frames=8, size=(30, 52)), subjects=SubjectSpec(size=(32, 32))))
    for _ in range(3):  # memory of batches that were dropped is used again
        loader = loader_of(
            catalog, clip=ClipSpec(num_frames=8, size=(30, 52)), subjects=SubjectSpec(size=(32, 32)), device="cuda"
        )
        for batch, plain in zip(loader, expected, strict=True):
            assert told([batch]) == told([plain])
            assert batch.videos.is_cuda
            assert (batch.videos.cpu().int() - plain.videos).abs().max() <= 2
            assert torch.equal(batch.subjects.offsets, plain.subjects.offsets)


def test_threads_that_wait_for_a_buffer_end_with_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    destination = LateDestination(num_buffers=1, buffer_bytes=1)
    monkeypatch.setattr("opens2v_loaders.pipeline.destination_on", lambda device, num_threads: destination)
    loader = loader_of(FakeCatalog(num_rows=400), options=TIGHT)
    destination.ring.acquire(1)  # nobody gives it back
    batches = iter(loader)
    loader.close()
    assert list(batches) == []
    assert threads_left() == []
    destination.stream.end()
