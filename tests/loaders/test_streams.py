"""Rows of a stream come decoded, in order, as a loader decodes them; bad ones are left out and counted."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from loaders.clips import HEIGHT, WIDTH
from loaders.latestream import LateDestination
from loaders.rowsource import FakeCatalog
from opens2v_data.errors import NotAVideoError
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.streams import decode_clips

SPEC = ClipSpec(num_frames=4, stride=2, size=(HEIGHT, WIDTH))


def rows_of(catalog: FakeCatalog) -> list[dict[str, Any]]:
    """Return all rows."""
    return catalog.rows_of(range(catalog.num_rows))


def test_rows_come_in_order_with_the_frames_that_a_loader_gives() -> None:
    catalog = FakeCatalog(num_rows=12)
    decoded = list(decode_clips(rows_of(catalog), SPEC, seed=5, read=catalog.read_bytes, num_threads=3))
    assert [row["clip_id"] for row in decoded] == list(range(12))
    for batch in ClipLoader(catalog, clip=SPEC, batch_size=4, seed=5):
        for place, row in enumerate(batch.rows.tolist()):
            assert torch.equal(decoded[row]["video"], batch.videos[place])
            assert torch.equal(decoded[row]["frame_indices"], batch.frame_indices[place])
            assert torch.equal(decoded[row]["pts_seconds"], batch.pts_seconds[place])
            assert decoded[row]["caption"] == batch.captions[place]


def test_bad_clips_are_left_out_and_counted_or_raised() -> None:
    catalog = FakeCatalog(num_rows=10, bad={2: "garbage", 5: "missing", 9: "absent"})
    decoded = decode_clips(rows_of(catalog), SPEC, read=catalog.read_bytes, num_threads=2)
    assert [row["clip_id"] for row in decoded] == [0, 1, 3, 4, 6, 7, 8]
    assert [key for key, _ in decoded.bad_keys] == ["part/key2", "part/key5", "part/key9"]
    assert (decoded.num_taken, decoded.num_delivered) == (10, 7)
    with pytest.raises(NotAVideoError, match="expected an MP4/MOV file"):
        list(decode_clips(rows_of(catalog), SPEC, read=catalog.read_bytes, on_bad="raise"))


def test_a_stream_is_read_no_further_than_its_threads_need_and_they_end_with_the_loop() -> None:
    catalog = FakeCatalog(num_rows=100)
    decoded = decode_clips(iter(rows_of(catalog)), SPEC, read=catalog.read_bytes, num_threads=2)
    for _ in decoded:
        break
    assert decoded.num_taken == 4
    give_up_at = time.monotonic() + 200
    while any(t.name.startswith("opens2v-stream") for t in threading.enumerate()) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("opens2v-stream")]


def test_a_device_that_is_late_has_each_video_when_its_row_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = FakeCatalog(num_rows=10, bad={4: "garbage"})
    expected = list(decode_clips(rows_of(catalog), SPEC, read=catalog.read_bytes, num_threads=3))
    made: list[LateDestination] = []

    def late(device: torch.device, *, num_threads: int) -> LateDestination:
        made.append(LateDestination(num_buffers=num_threads + 1, buffer_bytes=2 * 3 * HEIGHT * WIDTH + 64))
        return made[-1]

    monkeypatch.setattr("opens2v_loaders.streams.destination_on", late)
    decoded = decode_clips(rows_of(catalog), SPEC, read=catalog.read_bytes, num_threads=3)
    found = [(row["clip_id"], row["video"].clone()) for row in decoded]  # as they are when they are given
    made[0].stream.end()
    assert [number for number, _ in found] == [row["clip_id"] for row in expected]
    assert all(torch.equal(video, row["video"]) for (_, video), row in zip(found, expected, strict=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"device 'cuda' was asked for, and torch .* finds no GPU here"):
        decode_clips([], SPEC, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_rows_on_a_gpu_are_those_of_the_cpu() -> None:
    catalog = FakeCatalog(num_rows=12)
    plain = decode_clips(rows_of(catalog), SPEC, read=catalog.read_bytes)
    for row, mine in zip(
        plain, decode_clips(rows_of(catalog), SPEC, read=catalog.read_bytes, device="cuda"), strict=True
    ):
        assert mine["video"].is_cuda
        assert (mine["video"].cpu().int() - row["video"]).abs().max() <= 2


def test_rows_of_pairs_and_specs_without_a_size_are_refused() -> None:
    catalog = FakeCatalog(num_rows=1)
    with pytest.raises(ValueError, match="found a row of nexus-cross"):
        list(decode_clips(catalog.rows_of([0], config="nexus-cross"), SPEC))
    with pytest.raises(ValueError, match=r"clip\.size must be given"):
        decode_clips([], ClipSpec())
    with pytest.raises(ValueError, match="on_bad must be skip or raise, not 'replace'"):
        decode_clips([], SPEC, on_bad="replace")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_stream_of_datasets_is_decoded_by_its_addresses(sample_catalog: Path) -> None:
    pytest.importorskip("datasets")
    import datasets

    stream = datasets.load_dataset(
        "opens2v-5m", data_dir=str(sample_catalog), where="num_frames > 60", split="train", streaming=True
    )
    decoded = decode_clips(stream, ClipSpec(num_frames=3, stride=1, size=(36, 64)), num_threads=2)
    found = list(decoded)
    assert decoded.num_taken == len(found) + len(decoded.bad_keys) > 3
    for row in found:
        assert row["video"].shape == (3, 3, 36, 64)
        assert row["num_frames"] > 60
        assert row["video"].float().std() > 1
