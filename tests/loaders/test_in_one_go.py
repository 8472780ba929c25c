"""What a user does with the loaders, as issue and README write it: a clip, a loader, a stream and a state."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="loaders give tensors")

import torch

import opens2v_data
from loaders import clips
from opens2v_loaders import ClipLoader, ClipSpec, decode, decode_clips


def test_frames_cropped_and_resized_and_one_whole_come_in_one_call() -> None:
    mp4_bytes = clips.encode(clips.ClipSpec(pts=tuple(range(0, 20 * 96, 20))))
    clip = decode(mp4_bytes, indices=range(0, 96, 2), crop=(4, 0, 60, 40), size=(480, 832), full=(0,), device="cpu")
    assert (clip.frames.shape, clip.frames.dtype) == ((48, 3, 480, 832), torch.uint8)
    assert {number: picture.shape for number, picture in clip.full.items()} == {0: (3, 48, 64)}
    assert (clip.backend.name, clip.crop_xyxy) == ("pyav", (4, 0, 60, 40))
    same = decode(mp4_bytes, indices=range(0, 96, 2), crop_xyxy=(4, 0, 60, 40), size=(480, 832))
    assert torch.equal(same.frames, clip.frames)


def test_batches_of_three_sources_by_quota_and_bucket_resume_where_they_were(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)

    def make(batch_size: int) -> ClipLoader:
        return ClipLoader(
            catalog,
            where="aesthetic > 5.5",
            clip=ClipSpec(num_frames=49, stride=3, size=(120, 208)),
            batch_size=batch_size,
            seed=0,
            mix={"regular": 5, "nexus-cross": 2, "nexus-gpt": 1},
            buckets="aspect*duration",
            device="cpu",
            on_bad="replace",
        )

    assert len(make(256)) == 0, "the small release has no such batch"
    loader = make(8)
    (batch,) = loader
    assert batch.videos.shape == (8, 49, 3, 120, 208)
    assert Counter(batch.sources) == {"regular": 5, "nexus-cross": 2, "nexus-gpt": 1}
    assert len(batch.captions) == len(batch.keys) == len(batch.subjects.offsets) - 1 == 8
    assert batch.bucket == "16:9 49-144f"
    state = json.loads(json.dumps(loader.state_dict()))
    assert (state["epoch"], state["step"]) == (1, 0)
    other = make(8)
    other.load_state_dict(state)
    assert [after.rows.tolist() for after in other] == [after.rows.tolist() for after in loader]


def test_a_stream_of_datasets_gives_the_same_videos(sample_catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="streams are made by it")
    from datasets import load_dataset

    monkeypatch.setenv("OPENS2V_CATALOG", str(sample_catalog))
    spec = ClipSpec(num_frames=9, stride=3, size=(60, 104))
    ds = decode_clips(load_dataset("opens2v-5m", where="aesthetic > 5.5", streaming=True), spec, device="cpu")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    rows = {row["clip_id"]: row for row in ds}
    assert ds.num_taken == len(rows) + len(ds.bad_keys) == opens2v_data.open(sample_catalog).count("aesthetic > 5.5")
    loader = ClipLoader(opens2v_data.open(sample_catalog), where="aesthetic > 5.5", clip=spec, batch_size=1)
    seen = [(int(batch.rows[0]), batch) for batch in loader]
    assert {row for row, _ in seen} == rows.keys()
    assert all(torch.equal(batch.videos[0], rows[row]["video"]) for row, batch in seen)


def test_a_dict_of_several_splits_is_refused() -> None:
    with pytest.raises(ValueError, match="takes the rows of one split, found train, test: choose one"):
        decode_clips({"train": [], "test": []}, ClipSpec(size=(8, 8)))
