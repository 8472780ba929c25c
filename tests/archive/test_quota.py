from __future__ import annotations

import threading

import pytest

from opens2v_data.archive.quota import ACCOUNT_CALLS, ANONYMOUS_CALLS, TokenBucket, bucket_of


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        with self._lock:
            self.now += seconds


def bucket(calls: int, window_seconds: float, clock: Clock) -> TokenBucket:
    return TokenBucket(calls, window_seconds, clock=clock, sleep=clock.sleep)


def test_a_window_may_be_spent_at_once_and_then_comes_back_evenly() -> None:
    clock = Clock()
    ours = bucket(10, 5.0, clock)
    assert [ours.take() for _ in range(10)] == [0.0] * 10
    assert ours.take() == pytest.approx(0.5)
    assert ours.take() == pytest.approx(0.5)
    clock.now += 1_000
    assert [ours.take() for _ in range(10)] == [0.0] * 10
    assert ours.take() > 0


def test_no_call_is_made_before_the_server_said() -> None:
    clock = Clock()
    ours = bucket(10, 5.0, clock)
    ours.close_for(7.0)
    ours.close_for(2.0)
    assert ours.take() == pytest.approx(7.0)
    assert ours.take() == 0.0


def test_the_server_is_believed_about_its_quota() -> None:
    clock = Clock()
    ours = bucket(10, 5.0, clock)
    ours.learn({"RateLimit": '"resolvers";r=1;t=40', "RateLimit-Policy": '"fixed window";"resolvers";q=100;w=50'})
    assert (ours.calls, ours.window_seconds) == (100, 50.0)
    assert ours.take() == 0.0
    assert ours.take() == pytest.approx(0.5)
    ours.learn({"ratelimit": '"resolvers";r=0;t=12'})
    assert ours.take() == pytest.approx(12.0)


def test_a_server_that_says_nothing_or_more_than_we_know_changes_nothing() -> None:
    clock = Clock()
    ours = bucket(2, 10.0, clock)
    ours.take()
    ours.take()
    ours.learn({"Content-Type": "text/html"})
    ours.learn({"RateLimit": '"resolvers";r=50;t=12'})
    assert ours.take() == pytest.approx(5.0)


def test_a_process_has_one_bucket_per_server_and_account() -> None:
    assert bucket_of("https://a.example", has_token=False) is bucket_of("https://a.example", has_token=False)
    assert bucket_of("https://a.example", has_token=False).calls == ANONYMOUS_CALLS
    assert bucket_of("https://a.example", has_token=True).calls == ACCOUNT_CALLS
    assert bucket_of("https://a.example", has_token=False) is not bucket_of("https://b.example", has_token=False)


@pytest.mark.parametrize(("calls", "window"), [(0, 1.0), (1, 0.0)])
def test_a_bucket_that_never_fills_is_a_mistake(calls: int, window: float) -> None:
    with pytest.raises(ValueError, match="expected at least 1 call in a window above 0 s"):
        TokenBucket(calls, window)
