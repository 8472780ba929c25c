"""Work in threads: done once each, in order where that is asked for, and left behind by whoever stops asking."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.openaiserver import OpenAiServer, Reply
from opens2v_data.errors import MetricError
from opens2v_eval.models.judge import Judge, JudgeOptions
from opens2v_eval.models.judge_store import AnswerStore
from opens2v_eval.threads import all_in_threads, map_in_threads

if TYPE_CHECKING:
    from pathlib import Path


@settings(max_examples=30)
@given(st.lists(st.integers(), max_size=12), st.integers(1, 4))
def test_work_in_threads_is_done_once_each_and_in_order_with_one(items: list[int], threads: int) -> None:
    done = list(map_in_threads(lambda item: item * 2, items, threads=threads))
    wanted = [item * 2 for item in items]
    assert done == wanted if threads == 1 else sorted(done) == sorted(wanted)


def test_work_that_fails_is_told_and_nothing_is_begun_for_whoever_stops() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise OSError("one")
        return item

    with pytest.raises(OSError, match="one"):
        list(map_in_threads(work, range(100), threads=2))
    assert len(begun) < 10
    with pytest.raises(ValueError, match="one thread or more, not 0"):
        list(map_in_threads(work, [], threads=0))


@settings(max_examples=30)
@given(st.lists(st.integers(), max_size=12), st.integers(1, 4))
def test_all_results_come_in_order(items: list[int], threads: int) -> None:
    assert all_in_threads(lambda item: item * 2, items, threads=threads) == [item * 2 for item in items]


@pytest.mark.parametrize("threads", [1, 3])
def test_the_first_error_in_order_is_raised_when_all_are_done(threads: int) -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        if item:
            raise OSError(f"number {item}")

    with pytest.raises(OSError, match="number 1"):
        all_in_threads(work, range(6), threads=threads)
    assert sorted(begun) == list(range(6))


def test_whoever_stops_asking_says_so_and_waits_for_no_piece_that_is_stuck() -> None:
    is_told, may_end = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item:
            may_end.wait()
        return item

    made = map_in_threads(work, range(9), threads=3, stop=is_told.set)
    assert next(made) == 0 and not is_told.is_set()
    made.close()  # type: ignore[attr-defined]
    assert is_told.is_set() and not may_end.is_set()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "opens2v-eval")
    may_end.set()


def test_a_judge_that_is_closed_keeps_the_answer_under_way_and_asks_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("opens2v_eval.models.judge._GRACE_SECONDS", 600.0)  # so that a slow machine answers in time
    store = AnswerStore(tmp_path / "answers.jsonl")
    with OpenAiServer(Reply(content="4"), waits_for=2) as server:  # which never come, until the server is told
        judge = Judge(JudgeOptions(model="m", base_url=server.base_url), prompt="How?", store=store)
        asking = threading.Thread(target=judge.ask, args=([b"frame"],))
        asking.start()
        server.wait_for_requests(1)
        closing = threading.Thread(target=judge.close)
        closing.start()
        while not judge._is_closed:
            time.sleep(0.01)
        server.answer_now()
        closing.join()
        assert len(store) == 1
        asking.join()
        with pytest.raises(MetricError, match="closed: nothing more is asked"):
            judge.ask([b"another frame"])
        assert len(server.asked) == 1
