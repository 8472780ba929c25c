"""The loader gives the plan's rows, decoded; every row is accounted for; it resumes exactly; its threads end."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import opens2v_data
from loaders.clips import HEIGHT, WIDTH, clip_bytes, number_in
from loaders.rowsource import MASK_BOX, FakeCatalog
from loaders.waiting import threads_left
from opens2v_data.errors import MissingPieceError, NotAVideoError, QueryError, TooManyBadClipsError
from opens2v_loaders import frame_range, read_frames, rng_of
from opens2v_loaders.batch import Batch
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.options import LoaderOptions
from opens2v_loaders.plan import Reserve
from opens2v_loaders.planned import Accounts
from opens2v_loaders.sampling import ClipSpec
from opens2v_loaders.subjects import SubjectSpec

SPEC = ClipSpec(num_frames=4, stride=2, size=(HEIGHT, WIDTH))
LENIENT = LoaderOptions(num_threads=2, max_bad_share=1.0)
# Room for two batches of four such clips.
TIGHT = LoaderOptions(num_threads=3, max_bad_share=1.0, max_bytes_ahead=2 * 4 * 4 * 3 * HEIGHT * WIDTH)
MIX = {"regular": 2, "nexus-cross": 1, "nexus-gpt": 1}


def bad_rows(num_rows: int, share: float, *, seed: int = 0) -> dict[int, str]:
    """Return which rows are bad, and how, a third each way."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(num_rows, round(num_rows * share), replace=False).tolist()
    return {row: ("garbage", "missing", "absent")[number % 3] for number, row in enumerate(chosen)}


def loader_of(catalog: FakeCatalog, **changes: Any) -> ClipLoader:
    """Return a loader of batches of four."""
    given: dict[str, Any] = {"clip": SPEC, "batch_size": 4, "seed": 5, "options": LENIENT}
    return ClipLoader(catalog, **(given | changes))


def told(batches: list[Batch]) -> list[tuple[int, list[int], list[str]]]:
    """Return what a sequence of batches is known by."""
    return [(batch.step, batch.rows.tolist(), list(batch.sources)) for batch in batches]


def joined(parts: list[list[list[int]]]) -> list[list[int]]:
    """Return global batches from those of all ranks."""
    return [[row for part in rows for row in part] for rows in zip(*parts, strict=True)]


def threads() -> list[str]:
    """Return the names of the loaders' threads that run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("opens2v-")]


def test_an_epoch_gives_each_planned_row_once_in_the_order_of_the_plan() -> None:
    loader = loader_of(FakeCatalog(num_rows=41), options=TIGHT)
    batches = list(loader)
    order = loader.plan.epoch(0)
    assert told(batches) == [
        (step, order.batch(step).rows.tolist(), ["regular"] * 4) for step in range(loader.plan.num_steps)
    ]
    assert len(batches) == len(loader) == 10
    rows = [row for batch in batches for row in batch.rows.tolist()]
    assert len(set(rows)) == len(rows) == 40
    assert (loader.epoch, loader.step) == (1, 0)


def test_pictures_are_the_frames_that_the_rule_draws_for_the_row() -> None:
    for batch in loader_of(FakeCatalog(num_rows=8)):
        assert (batch.videos.shape, batch.videos.dtype) == ((4, 4, 3, HEIGHT, WIDTH), torch.uint8)
        assert batch.videos.movedim(-3, -1).is_contiguous()
        for row, indices, video in zip(batch.rows.tolist(), batch.frame_indices, batch.videos, strict=True):
            expected = SPEC.frame_indices((0, 30), rng=rng_of(5, 0, row, "frames"))
            assert indices.tolist() == expected.tolist()
            assert [number_in(frame.permute(1, 2, 0).numpy()) for frame in video] == expected.tolist()
            exact = read_frames(clip_bytes("B-frames"), expected).rgb
            assert np.array_equal(video.permute(0, 2, 3, 1).numpy(), exact)


def test_text_scores_and_places_stand_beside_the_pictures() -> None:
    (batch,) = loader_of(FakeCatalog(num_rows=4))
    rows = batch.rows.tolist()
    assert batch.captions == tuple(f"caption {row}" for row in rows)
    assert batch.keys == tuple(f"key{row}" for row in rows)
    assert batch.parts == ("part",) * 4
    assert batch.slots.tolist() == [0, 1, 2, 3]
    assert batch.scores["aesthetic"].tolist() == pytest.approx([row / 10 for row in rows])
    assert batch.scores["motion"].isnan().all()
    assert torch.allclose(batch.pts_seconds, batch.frame_indices.to(torch.float64) / 30)
    assert len(batch.subjects) == 0


def test_subjects_partners_and_views_come_with_the_rows_that_have_them() -> None:
    loader = loader_of(FakeCatalog(num_rows=8), mix=MIX, subjects=SubjectSpec(size=(32, 32)))
    sources: Counter[str] = Counter()
    for batch in loader:
        sources.update(batch.sources)
        assert Counter(batch.sources) == {"regular": 2, "nexus-cross": 1, "nexus-gpt": 1}
        assert batch.subjects.offsets.tolist() == [0, 1, 2, 3, 4]
        assert batch.subjects.boxes_xyxy.tolist() == [list(MASK_BOX)] * 4
        assert batch.subjects.images.shape == (4, 3, 32, 32)
        assert np.diff(batch.partners.offsets).tolist() == [int(source == "nexus-cross") for source in batch.sources]
        assert np.diff(batch.views.offsets).tolist() == [2 * (source == "nexus-gpt") for source in batch.sources]
        assert batch.views.object_ids.tolist() == [1, -1]
        assert batch.views.images[0, :, 16, 16].tolist() == [255, 0, 0]
        assert batch.views.images[0, :, 0, 0].tolist() == [255, 255, 255]  # above the picture, which is wide
        place = batch.sources.index("nexus-cross")  # both sides of the fake's pairs are one clip
        assert torch.equal(batch.partners.images[0], batch.subjects.images[place])
    assert sources["regular"] == 2 * sources["nexus-cross"] > 0


@pytest.mark.parametrize("on_bad", ["replace", "skip"])
@pytest.mark.parametrize("share", [0.05, 0.4])
def test_planned_is_delivered_and_skipped_and_tail_whatever_is_bad(on_bad: str, share: float) -> None:
    bad = bad_rows(120, share)
    loader = loader_of(FakeCatalog(num_rows=120, bad=bad), on_bad=on_bad, options=TIGHT, buckets="duration")
    batches = []
    accounts: Accounts | None = None
    for batch in loader:
        batches.append(batch)
        accounts = loader.accounts()
        delivered = sum(map(len, batches))
        skipped = loader.bad_clips
        assert accounts.planned == 120 == delivered + len(skipped) + accounts.remaining + accounts.tail
        assert (accounts.delivered, accounts.skipped) == (delivered, len(skipped))
    assert accounts is not None
    assert accounts.remaining == 0
    rows = [row for batch in batches for row in batch.rows.tolist()]
    assert len(set(rows)) == len(rows)
    assert not bad.keys() & set(rows)
    tried = {clip.row for clip in loader.bad_clips}
    assert tried <= bad.keys()
    if on_bad == "skip":
        planned = {row for step in range(len(loader)) for row in loader.plan.epoch(0).batch(step).rows.tolist()}
        assert tried == planned & bad.keys()
        assert all(clip.replaced_by is None for clip in loader.bad_clips)


def test_a_bad_clip_is_logged_with_its_key_stage_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    loader = loader_of(FakeCatalog(num_rows=24, bad=dict.fromkeys(range(0, 24, 9), "garbage") | {4: "missing"}))
    with caplog.at_level(logging.WARNING, logger="opens2v_loaders"):
        list(loader)
    assert loader.bad_clips
    for clip, record in zip(loader.bad_clips, caplog.records, strict=True):
        assert clip.key == f"key{clip.row}"
        assert clip.stage == ("fetch" if clip.row == 4 else "decode")
        assert clip.reason
        for word in (f"step {clip.step}", f"slot {clip.slot}", clip.key, clip.stage, clip.reason):
            assert word in record.getMessage()


def test_the_same_rows_replace_the_same_bad_ones_with_any_number_of_threads() -> None:
    catalog = FakeCatalog(num_rows=200, bad=bad_rows(200, 0.3))
    runs = [
        told(
            list(
                loader_of(
                    catalog,
                    options=LoaderOptions(num_threads=n, max_bad_share=1.0),
                    reserve=Reserve(spares=2, per_steps=4),
                )
            )
        )
        for n in (1, 2, 5)
    ]
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("world", [2, 4])
def test_ranks_share_the_batches_of_one_rank_bad_clips_and_all(world: int) -> None:
    catalog = FakeCatalog(num_rows=100, bad=bad_rows(100, 0.2))
    whole = [batch.rows.tolist() for batch in loader_of(catalog)]
    parts = [[b.rows.tolist() for b in loader_of(catalog, rank=rank, world_size=world)] for rank in range(world)]
    assert joined(parts) == whole


_RANK = """
import json, sys
import torch
from loaders.rowsource import FakeCatalog
from loaders.test_loader import bad_rows, loader_of
torch.distributed.init_process_group("gloo", init_method=f"file://{sys.argv[1]}", rank=int(sys.argv[2]), world_size=2)
loader = loader_of(FakeCatalog(num_rows=60, bad=bad_rows(60, 0.2)))
print(json.dumps([loader.rank, loader.world_size, [batch.rows.tolist() for batch in loader]]), flush=True)
torch.distributed.destroy_process_group()
"""


def test_ranks_of_torch_distributed_are_found_without_saying(tmp_path: Path) -> None:
    paths = os.pathsep.join(path for path in sys.path if path)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _RANK, str(tmp_path / "rendezvous"), str(rank)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": paths},
        )
        for rank in range(2)
    ]
    try:
        told_by = [json.loads(process.communicate(timeout=250)[0].splitlines()[-1]) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [found[:2] for found in told_by] == [[0, 2], [1, 2]]
    whole = loader_of(FakeCatalog(num_rows=60, bad=bad_rows(60, 0.2)))
    assert joined([found[2] for found in told_by]) == [batch.rows.tolist() for batch in whole]


@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 4), (4, 2), (2, 1)])
@pytest.mark.parametrize("stop", [1, 7, 17])
def test_a_run_resumed_on_another_number_of_ranks_goes_on_as_if_it_had_not_stopped(
    before: int, after: int, stop: int
) -> None:
    catalog = FakeCatalog(num_rows=110, bad=bad_rows(110, 0.2))
    reserve = Reserve(spares=2, per_steps=8)
    whole = loader_of(catalog, reserve=reserve)
    expected, at_end = [], whole.accounts()
    for batch in whole:
        expected.append(batch.rows.tolist())
        at_end = whole.accounts()
    states = []
    for rank in range(before):
        loader = loader_of(catalog, reserve=reserve, rank=rank, world_size=before)
        for batch in loader:
            if batch.step + 1 == stop:
                break
        states.append(loader.state_dict())
    resumed = [loader_of(catalog, reserve=reserve, rank=rank, world_size=after) for rank in range(after)]
    parts = []
    totals = []
    for loader in resumed:
        loader.load_state_dict(states)
        assert (loader.epoch, loader.step) == (0, stop)
        got = []
        for batch in loader:
            got.append(batch.rows.tolist())
            if batch.step + 1 == len(loader):
                totals.append(loader.totals())
        parts.append(got)
    assert joined(parts) == expected[stop:]
    if stop < len(expected):
        spares, unfilled = (sum(values) for values in zip(*totals, strict=True))
        order = whole.plan.epoch(0)
        assert order.accounts(len(whole), spares_used=spares, unfilled=unfilled) == at_end


@pytest.mark.parametrize("rank", [0, 1])
def test_iterating_again_after_a_break_goes_on_with_the_next_batch(rank: int) -> None:
    catalog = FakeCatalog(num_rows=80, bad=bad_rows(80, 0.2))
    whole = loader_of(catalog, rank=rank, world_size=2)
    expected, totals = [], (0, 0)
    for batch in whole:
        expected.append(batch.rows.tolist())
        totals = whole.totals()
    loader = loader_of(catalog, rank=rank, world_size=2)
    got = []
    last = (0, 0)
    while loader.epoch == 0:
        for batch in loader:
            got.append(batch.rows.tolist())
            last = loader.totals()
            if len(got) % 3 == 0:
                break
    assert got == expected
    assert last == totals != (0, 0)


def test_what_was_made_and_not_handed_out_is_in_no_state() -> None:
    loader = loader_of(FakeCatalog(num_rows=40, bad=bad_rows(40, 0.3)))
    batches = iter(loader)
    next(batches)
    deadline = time.monotonic() + 200
    while loader.timing.num_decoded < 20 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert loader.timing.num_decoded >= 20
    assert loader.state_dict()["step"] == loader.step == 1
    assert {clip.step for clip in loader.bad_clips} <= {0}
    del batches


def test_epochs_follow_each_other_in_other_orders_and_can_be_chosen() -> None:
    loader = loader_of(FakeCatalog(num_rows=24))
    first, second = told(list(loader)), told(list(loader))
    assert loader.epoch == 2
    assert first != second
    loader.set_epoch(1)
    assert told(list(loader)) == second
    loader.set_epoch(0)
    next(iter(loader))
    loader.set_epoch(0)  # as trainers call it after resuming, too
    assert told(list(loader)) == first[1:]


def test_on_bad_raise_raises_the_clips_own_error_with_its_place() -> None:
    loader = loader_of(FakeCatalog(num_rows=4, bad={2: "garbage"}), on_bad="raise")
    with pytest.raises(NotAVideoError, match="expected an MP4/MOV file, found 520 bytes") as caught:
        list(loader)
    assert "step 0 of epoch 0" in caught.value.__notes__[0]
    assert "key2 of part" in caught.value.__notes__[0]
    assert threads_left() == []
    with pytest.raises(MissingPieceError, match="row 1 is not there"):
        list(loader_of(FakeCatalog(num_rows=4, bad={1: "missing"}), on_bad="raise"))


def test_more_bad_clips_than_allowed_raise() -> None:
    catalog = FakeCatalog(num_rows=400, bad=bad_rows(400, 0.5))
    loader = loader_of(catalog, options=LoaderOptions(num_threads=2, max_bad_share=0.2, min_bad=10))
    with pytest.raises(TooManyBadClipsError, match="expected at most 20% of clips to be bad, found 1"):
        list(loader)
    assert threads_left() == []
    assert sum(catalog.reads.values()) < 200  # it stops at once, and does not look at all of them


def test_a_range_that_reaches_past_the_end_of_the_file_is_cut_to_it() -> None:
    (batch,) = loader_of(
        FakeCatalog(num_rows=4, lengths=dict.fromkeys(range(4), 1000)),
        clip=ClipSpec(num_frames=30, stride=3, size=(HEIGHT, WIDTH)),
    )
    assert batch.frame_indices.max() <= 29
    assert len(batch) == 4


def test_the_map_style_dataset_gives_what_the_loader_gives() -> None:
    subjects = SubjectSpec(size=(32, 32), background="transparent", policy="random")
    loader = loader_of(FakeCatalog(num_rows=8, num_subjects=3), subjects=subjects)
    dataset = loader.as_torch_dataset()
    assert len(dataset) == 8
    for batch in loader:
        assert (batch.subjects.images.shape, batch.views.images.shape) == ((4, 4, 32, 32), (0, 4, 32, 32))
        for place, row in enumerate(batch.rows.tolist()):
            sample = dataset[row]
            assert torch.equal(sample["video"], batch.videos[place])
            assert torch.equal(sample["subjects"], batch.subjects.images[place : place + 1])
            assert (sample["key"], sample["caption"], sample["row"]) == (f"key{row}", f"caption {row}", row)
    with pytest.raises(IndexError, match=r"index must lie in \[0, 8\), not 8"):
        dataset[8]


def test_states_of_another_order_are_refused() -> None:
    catalog = FakeCatalog(num_rows=40)
    state = loader_of(catalog).state_dict()
    for changes, word in (({"seed": 6}, "seed"), ({"batch_size": 8}, "batch_size"), ({"where": "< 30"}, "fingerprint")):
        with pytest.raises(ValueError, match=f"another order; {word}"):
            loader_of(catalog, **changes).load_state_dict(state)
    with pytest.raises(ValueError, match="on_bad='replace', this loader of 'skip'"):
        loader_of(catalog, on_bad="skip").load_state_dict(state)
    with pytest.raises(ValueError, match="found none"):
        loader_of(catalog).load_state_dict([])


def test_what_is_no_state_is_told_from_one_and_where_it_belongs() -> None:
    loader = loader_of(FakeCatalog(num_rows=8))
    state, of_trainer = loader.state_dict(), loader.for_trainer().state_dict()
    others: list[tuple[Any, str]] = [
        ({}, "found one with nothing"),
        ({"on_bad": "replace", "step": 0}, "found one with on_bad, step"),
        (of_trainer, r"found one with .*ranks.*; of a loader made by for_trainer take state\['ranks'\]"),
        ([state, 7], "found 7"),
        ("a path", "found 'a'"),
    ]
    for wrong, message in others:
        with pytest.raises(ValueError, match=message):
            loader.load_state_dict(wrong)
    with pytest.raises(ValueError, match=r"made by for_trainer, found one with batch_size, .*plain ClipLoader"):
        loader.for_trainer().load_state_dict(state)
    loader.load_state_dict(of_trainer["ranks"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": ClipSpec()}, "clip.size must be given"),
        ({"on_bad": "ignore"}, "on_bad must be one of replace, skip, raise"),
        ({"rank": 0}, "both or neither"),
        ({"rank": 2, "world_size": 2}, "found 2 of 2"),
        ({"rank": 0, "world_size": 3}, "divides batch_size 4"),
        ({"mix": {"others": 1}}, "mix names others"),
        ({"mix": {"regular": 0}}, "weight above 0"),
        ({"where": {"nexus-gpt": "true"}}, "where names nexus-gpt"),
        ({"device": "meta"}, "device must be cpu or cuda, not 'meta'"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        loader_of(FakeCatalog(num_rows=8), **changes)


def test_a_real_catalog_is_loaded_as_a_stream_of_it_says(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    triples = {triple.clip.clip_id: triple for triple in catalog.triples()}
    spec = ClipSpec(num_frames=3, stride=2, size=(90, 160))
    loader = ClipLoader(
        catalog,
        where="aesthetic > 0",
        clip=spec,
        batch_size=2,
        buckets="aspect",
        mix={"regular": 1, "nexus-gpt": 1},
        subjects=SubjectSpec(),
        options=LENIENT,
    )
    batches = list(loader)
    assert batches
    for batch in batches:
        for row, key, caption, indices in zip(
            batch.rows.tolist(), batch.keys, batch.captions, batch.frame_indices, strict=True
        ):
            clip = triples[row].clip
            assert (key, caption) == (clip.key, clip.caption)
            expected = spec.frame_indices(frame_range(clip), rng=rng_of(0, 0, row, "frames"))
            assert indices.tolist() == expected.tolist()
    assert any(len(batch.views) for batch in batches)


@pytest.mark.parametrize("config", ["regular", "nexus-cross", "nexus-gpt"])
@pytest.mark.parametrize("where", [None, "aesthetic > 5"])
def test_sizes_of_rows_are_those_that_the_rows_say(sample_catalog: Path, config: Any, where: str | None) -> None:
    catalog = opens2v_data.open(sample_catalog)
    sizes = catalog.row_sizes(where, config=config)
    found = dict(
        zip(
            sizes["row_id"].tolist(),
            zip(*(sizes[name].tolist() for name in ("width", "height", "num_frames")), strict=True),
            strict=True,
        )
    )
    rows = list(catalog.rows(where, config=config))
    assert len(found) == len(rows) == catalog.count(where, config=config) > 0
    for row in rows:
        clip = opens2v_data.Triple.from_row(row["clip"] if config == "nexus-cross" else row).clip
        x0, y0, x1, y1 = clip.crop_xyxy or (0, 0, clip.width or 0, clip.height or 0)
        start, end = clip.face_cut or clip.cut or (0, clip.num_frames or 0)
        assert found[row["pair_id" if config == "nexus-cross" else "clip_id"]] == (x1 - x0, y1 - y0, end - start)


def test_rows_of_ids_come_in_their_order_and_as_often(sample_catalog: Path) -> None:
    catalog = opens2v_data.open(sample_catalog)
    assert [row["clip_id"] for row in catalog.rows_of([5, 2, 9, 2])] == [5, 2, 9, 2]
    assert catalog.rows_of([]) == []
    for config in ("regular", "nexus-gpt"):
        ids = catalog.row_sizes(config=config)["row_id"][:3]
        whole = catalog.rows_of(ids, config=config)
        assert any(row["subjects"] for row in whole)
        assert catalog.rows_of(ids, config=config, with_subjects=False) == [row | {"subjects": []} for row in whole]
    with pytest.raises(QueryError, match="no clip has id"):
        catalog.rows_of([0, 10_000])
    with pytest.raises(QueryError, match="expected 1 rows of config nexus-cross, found 0"):
        catalog.rows_of([10_000], config="nexus-cross")


def test_a_real_clip_comes_whole_through_the_loader(real_catalog: Path) -> None:
    catalog = opens2v_data.open(real_catalog)
    (triple,) = [triple for triple in catalog.triples() if triple.clip.video is not None][:1]
    spec = ClipSpec(num_frames=5, stride=3, size=(96, 160))
    loader = ClipLoader(catalog, clip=spec, batch_size=1, subjects=SubjectSpec(), on_bad="skip", options=LENIENT)
    found = [batch for batch in loader if triple.clip.clip_id in batch.rows.tolist()]
    assert len(found) == 1
    (batch,) = found
    assert batch.captions == (triple.caption,)
    assert batch.videos.shape == (1, 5, 3, 96, 160)
    assert len(batch.subjects) >= 1
    assert set(batch.subjects.names) <= {subject.class_name for subject in triple.subjects}
