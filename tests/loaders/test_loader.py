"""The loader gives the plan's rows, decoded; every row is accounted for; it resumes exactly; its threads end."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import opens2v_data
from loaders.clips import HEIGHT, WIDTH, clip_bytes, number_in
from loaders.latestream import LateDestination
from loaders.rowsource import MASK_BOX, FakeCatalog
from opens2v_data.errors import MissingPieceError, NotAVideoError, QueryError, TooManyBadClipsError
from opens2v_loaders import frame_range, read_frames, rng_of
from opens2v_loaders.batch import Batch
from opens2v_loaders.container import OpenClip
from opens2v_loaders.loader import ClipLoader
from opens2v_loaders.options import LoaderOptions
from opens2v_loaders.pipeline import Pipeline
from opens2v_loaders.plan import Accounts, Reserve
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
        told_by = [json.loads(process.communicate(timeout=60)[0].splitlines()[-1]) for process in processes]
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
    deadline = time.monotonic() + 20
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
    assert threads() == []
    with pytest.raises(MissingPieceError, match="row 1 is not there"):
        list(loader_of(FakeCatalog(num_rows=4, bad={1: "missing"}), on_bad="raise"))


def test_more_bad_clips_than_allowed_raise() -> None:
    catalog = FakeCatalog(num_rows=400, bad=bad_rows(400, 0.5))
    loader = loader_of(catalog, options=LoaderOptions(num_threads=2, max_bad_share=0.2, min_bad=10))
    with pytest.raises(TooManyBadClipsError, match="expected at most 20% of clips to be bad, found 1"):
        list(loader)
    assert threads() == []
    assert sum(catalog.reads.values()) < 200  # it stops at once, and does not look at all of them


def test_a_fault_of_a_thread_reaches_the_caller() -> None:
    class Faulty(FakeCatalog):
        def read_videos(self, videos: Any) -> Any:
            yield from list(super().read_videos(videos))[:5]
            raise ZeroDivisionError("a fault of the store")

    loader = loader_of(Faulty(num_rows=40))
    with pytest.raises(ZeroDivisionError, match="a fault of the store"):
        list(loader)
    assert threads() == []


@pytest.mark.parametrize("num_given", [0, 7])
@pytest.mark.parametrize("is_asked_for_all", [True, False])
def test_a_catalog_that_gives_fewer_videos_than_asked_for_is_no_end_of_an_epoch(
    num_given: int, is_asked_for_all: bool
) -> None:
    class Short(FakeCatalog):
        def read_videos(self, videos: Any) -> Any:
            if is_asked_for_all:
                yield from list(super().read_videos(videos))[:num_given]
            else:
                yield from super().read_videos(islice(videos, num_given))

    loader = loader_of(Short(num_rows=40))
    with pytest.raises(
        RuntimeError, match="read_videos of the catalog must give the bytes, or the error, of each video"
    ):
        list(loader)
    assert loader.epoch == 0


class Silent(FakeCatalog):
    """A catalog whose server answers some requests and then never again, until it is told to."""

    answers = threading.Event()

    def read_videos(self, videos: Any) -> Any:
        """Give nine clips, then wait."""
        for number, data in enumerate(super().read_videos(videos)):
            if number == 9:
                self.answers.wait()
            yield data


@pytest.mark.parametrize("way", ["close", "del", "second iterator"])
def test_a_request_that_is_never_answered_keeps_only_its_own_thread(way: str) -> None:
    Silent.answers.clear()
    loader = loader_of(Silent(num_rows=40))
    batches = iter(loader)
    taken = [next(batches).step, next(batches).step]
    assert taken == [0, 1]
    if way == "close":
        loader.close()
        assert list(batches) == []
    elif way == "del":
        del batches
    else:
        batches = iter(loader)
        assert next(batches).step == 2
        loader.close()
    give_up_at = time.monotonic() + 10
    while any(name.startswith("opens2v-decode") for name in threads()) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert set(threads()) == {"opens2v-feed"}
    Silent.answers.set()
    while threads() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert threads() == []


_WAITING = """
import os, signal, threading
from loaders.test_loader import Silent, loader_of
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
for batch in loader_of(Silent(num_rows=40)):
    print(batch.step, flush=True)
"""


def test_ctrl_c_ends_a_process_that_waits_for_a_request_that_is_never_answered() -> None:
    code, out, err = _run(_WAITING)
    assert (code, out) == (-signal.SIGINT, "0\n1\n")
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert err.count("Traceback") == 1


_FORKING = """
import os, sys
from loaders.rowsource import FakeCatalog
from loaders.test_loader import TIGHT, loader_of, threads, told
loader = loader_of(FakeCatalog(num_rows=40), options=TIGHT)
batches = iter(loader)
first = told([next(batches)])
child = os.fork()
if child == 0:
    try:
        next(batches)
    except RuntimeError as error:
        print(error, flush=True)
    print(threads(), loader.state_dict()["step"], told(list(loader))[0][0], loader.epoch, flush=True)
    sys.exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(list(batches)), flush=True)
"""


def test_a_forked_process_is_told_that_the_threads_stayed_behind_and_can_begin_anew() -> None:
    code, out, err = _run(_FORKING)
    assert (code, err) == (0, "")
    told_so, child, parent = out.splitlines()
    assert "forked from it without its threads: iterate the loader anew here" in told_so
    assert (child, parent) == ("[] 1 1 1", "0 9")


def test_a_handler_of_the_log_may_ask_the_loader() -> None:
    loader = loader_of(FakeCatalog(num_rows=24, bad=dict.fromkeys(range(0, 24, 5), "garbage")))
    asked: list[dict[str, Any]] = []

    class Asking(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            # As a handler does whose lock another thread holds while it asks.
            thread = threading.Thread(target=lambda: asked.append(loader.state_dict()), daemon=True)
            thread.start()
            thread.join(20)
            assert not thread.is_alive(), "the loader's lock is held while it logs"

    handler = Asking()
    logging.getLogger("opens2v_loaders").addHandler(handler)
    try:
        list(loader)
    finally:
        logging.getLogger("opens2v_loaders").removeHandler(handler)
    assert len(asked) == len(loader.bad_clips) > 0


def test_threads_that_could_be_started_end_when_others_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    start, started = threading.Thread.start, []

    def refuse_the_third(thread: threading.Thread) -> None:
        if thread.name.startswith("opens2v-") and len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_the_third)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        iter(loader_of(FakeCatalog(num_rows=40)))
    assert threads() == []


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


def test_threads_that_wait_for_a_buffer_end_with_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    destination = LateDestination(num_buffers=1, buffer_bytes=1)
    monkeypatch.setattr("opens2v_loaders.pipeline.destination_on", lambda device, num_threads: destination)
    loader = loader_of(FakeCatalog(num_rows=400), options=TIGHT)
    destination.ring.acquire(1)  # nobody gives it back
    batches = iter(loader)
    loader.close()
    assert list(batches) == []
    assert threads() == []
    destination.stream.end()


@pytest.mark.parametrize("way", ["break", "exception", "del", "close", "second iterator"])
def test_no_thread_outlives_a_loop_that_is_left(way: str) -> None:
    loader = loader_of(FakeCatalog(num_rows=400), options=TIGHT)
    if way == "break":
        for _ in loader:
            break
    elif way == "exception":
        with pytest.raises(KeyError, match="a bug"):
            _raise_in_loop(loader)
    else:
        batches = iter(loader)
        next(batches)
        assert len(threads()) == 4
        if way == "del":
            del batches
        elif way == "close":
            loader.close()
            assert list(batches) == []
        else:
            again = iter(loader)
            assert len(threads()) == 4  # those of the first are gone
            assert list(batches) == []
            assert next(again).step == 1
            del again
    gc.collect()
    give_up_at = time.monotonic() + 10
    while threads() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert threads() == []


def _raise_in_loop(loader: ClipLoader) -> None:
    for _ in loader:
        raise KeyError("a bug")


_TRAINING = """
import gc, logging, os, random, signal, sys, threading, time
from loaders.rowsource import FakeCatalog
from loaders.test_loader import TIGHT, loader_of, threads
logging.disable()
times, draw = int(sys.argv[1]), random.Random(int(sys.argv[2]))
catalog = FakeCatalog(num_rows=4000, bad=dict.fromkeys(range(0, 4000, 20), "garbage"))
taken = caught = 0
for _ in range(times):
    interrupt = threading.Timer(draw.uniform(0.0, 0.4), os.kill, (os.getpid(), signal.SIGINT))
    interrupt.daemon = True
    loader = loader_of(catalog, options=TIGHT)
    try:
        interrupt.start()
        while True:
            for batch in loader:
                taken += 1
                if taken % 7 == 0:
                    break
    except KeyboardInterrupt:
        caught += 1
    interrupt.join()
    give_up_at = time.monotonic() + 5
    while threads() and time.monotonic() < give_up_at:
        time.sleep(0.01)
    if threads():
        print("left:", threads())
print(caught, taken > 0 or times == 1, flush=True)
if len(sys.argv) > 3:
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    batches = iter(loader_of(catalog, options=TIGHT))
    for batch in batches:
        pass
"""


def _trained(*arguments: str) -> tuple[int, str, str]:
    return _run(_TRAINING, *arguments)


def _run(script: str, *arguments: str) -> tuple[int, str, str]:
    """Run it in a process of its own; one that hangs is killed."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": paths},
    )
    return done.returncode, done.stdout, done.stderr


def test_ctrl_c_at_ten_random_moments_leaves_no_thread() -> None:
    assert _trained("10", "1") == (0, "10 True\n", "")


@pytest.mark.slow
def test_ctrl_c_at_fifty_random_moments_leaves_no_thread() -> None:
    assert _trained("50", "2") == (0, "50 True\n", "")


def test_a_process_that_ctrl_c_ends_ends_at_once_and_says_no_more_than_that() -> None:
    code, out, err = _trained("1", "3", "end")
    assert (code, out) == (-signal.SIGINT, "1 True\n")
    assert err.splitlines()[-1] == "KeyboardInterrupt"
    assert err.count("Traceback") == 1


def test_no_more_batches_are_open_than_the_budget_has_room_for() -> None:
    catalog = FakeCatalog(num_rows=400)
    loader = loader_of(catalog, options=TIGHT)
    batches = iter(loader)
    next(batches)
    time.sleep(0.5)
    # Two batches of four, what waits for a thread (2 x 3), the one in the feeder's hand, and two in the fetcher's.
    assert 8 <= sum(catalog.reads.values()) - 4 <= 8 + 6 + 1 + 2 + 4
    del batches


def test_a_range_that_reaches_past_the_end_of_the_file_is_cut_to_it() -> None:
    (batch,) = loader_of(
        FakeCatalog(num_rows=4, lengths=dict.fromkeys(range(4), 1000)),
        clip=ClipSpec(num_frames=30, stride=3, size=(HEIGHT, WIDTH)),
    )
    assert batch.frame_indices.max() <= 29
    assert len(batch) == 4


def test_the_map_style_dataset_gives_what_the_loader_gives() -> None:
    loader = loader_of(FakeCatalog(num_rows=8), subjects=SubjectSpec(size=(32, 32)))
    dataset = loader.as_torch_dataset()
    assert len(dataset) == 8
    for batch in loader:
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
