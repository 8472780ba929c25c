import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2v_data.archive.pacing import CpuShare, Latencies, Pace


def run(pace: Pace, *, latency_seconds: float, bytes_per_second: float, num_rounds: int, now: float = 0.0) -> float:
    """Let full rounds of 1 MB requests end at a server with a latency and a line; return the time."""
    for _ in range(num_rounds):
        limit = pace.limit
        round_seconds = max(latency_seconds, limit * 1e6 / bytes_per_second)
        for _ in range(limit):
            now += round_seconds / limit
            pace.completed(1_000_000, now, is_full=True)
    return now


def test_the_limit_doubles_to_its_height_while_latency_is_what_costs_time():
    pace = Pace(lowest=16, highest=128)
    run(pace, latency_seconds=0.03, bytes_per_second=1e12, num_rounds=8)
    assert pace.limit == 128


def test_the_limit_stays_where_the_line_is_full():
    pace = Pace(lowest=16, highest=128)
    run(pace, latency_seconds=0.03, bytes_per_second=400e6, num_rounds=40)
    assert 16 <= pace.limit <= 20  # 400 MB/s with 30 ms are 12 requests of 1 MB; a probe may be on its way


def test_the_limit_settles_above_what_fills_the_line_and_below_twice_that():
    pace = Pace(lowest=16, highest=128)
    run(pace, latency_seconds=0.1, bytes_per_second=400e6, num_rounds=40)
    assert 32 <= pace.limit <= 80


def test_the_limit_goes_down_again_to_what_brings_as_much():
    pace = Pace(lowest=16, highest=128)
    now = run(pace, latency_seconds=0.1, bytes_per_second=1e12, num_rounds=8)
    assert pace.limit == 128
    run(pace, latency_seconds=0.1, bytes_per_second=400e6, num_rounds=150, now=now)  # 40 at once fill the line
    assert 32 <= pace.limit <= 52


def test_noise_does_not_drive_the_limit_up():
    # Each round's time is drawn from 0.7 to 1.3 of what the line allows: what 16 at once fill already.
    generator = random.Random(1)
    limits = []
    for _ in range(40):
        pace, now = Pace(lowest=16, highest=128), 0.0
        for _ in range(60):
            bytes_per_second = 400e6 * generator.uniform(0.7, 1.3)
            now = run(pace, latency_seconds=0.03, bytes_per_second=bytes_per_second, num_rounds=1, now=now)
        limits.append(pace.limit)
    assert sorted(limits)[20] <= 24
    assert sorted(limits)[36] <= 64


def test_a_429_halves_the_limit_and_another_error_takes_a_quarter_at_most_once_a_second():
    pace = Pace(lowest=16, highest=128)
    now = run(pace, latency_seconds=0.1, bytes_per_second=1e12, num_rounds=8)
    pace.pushed_back(now, status=429)
    assert pace.limit == 64
    pace.pushed_back(now + 0.9, status=429)
    assert pace.limit == 64
    pace.pushed_back(now + 1.1, status=503)
    assert pace.limit == 48
    for second in range(2, 9):
        pace.pushed_back(now + 1.2 * second, status=None)
    assert pace.limit == 16


def test_after_a_429_the_limit_comes_back_in_small_steps():
    pace = Pace(lowest=16, highest=128)
    now = run(pace, latency_seconds=0.1, bytes_per_second=1e12, num_rounds=8)
    pace.pushed_back(now, status=429)
    now = run(pace, latency_seconds=0.1, bytes_per_second=1e12, num_rounds=8, now=now)
    assert pace.limit == 80
    run(pace, latency_seconds=0.1, bytes_per_second=1e12, num_rounds=30, now=now)
    assert pace.limit >= 125


def test_rounds_that_were_not_full_say_nothing():
    pace = Pace(lowest=16, highest=128)
    for number in range(500):
        pace.completed(1_000_000, number * 0.01, is_full=False)
    assert pace.limit == 16


@given(
    st.lists(
        st.tuples(st.integers(0, 10_000_000), st.floats(0, 2), st.booleans(), st.sampled_from([None, 429, 503, 0]))
    ),
    st.integers(1, 8),
    st.integers(0, 100),
)
def test_the_limit_never_leaves_its_bounds(events: list[tuple[int, float, bool, int | None]], lowest: int, more: int):
    pace = Pace(lowest=lowest, highest=lowest + more)
    now = 0.0
    for num_bytes, seconds, is_full, status in events:
        now += seconds
        if status == 0:
            pace.pushed_back(now, status=429)
        pace.completed(num_bytes, now, is_full=is_full)
        assert lowest <= pace.limit <= lowest + more


def test_what_is_usual_is_known_from_eight_similar_requests_on():
    latencies = Latencies()
    for number in range(7):
        latencies.add(1000, number)
    assert latencies.usual_seconds(1000) is None
    latencies.add(1000, 7)
    assert latencies.usual_seconds(1000) == 6
    assert latencies.usual_seconds(2000) == 6
    assert latencies.usual_seconds(2001) is None


def test_what_is_usual_follows_the_recent_ones():
    latencies = Latencies(keep=100)
    for _ in range(100):
        latencies.add(1000, 0.1)
    assert latencies.usual_seconds(1000) == pytest.approx(0.1)
    for _ in range(6):
        latencies.add(1000, 9.0)
    assert latencies.usual_seconds(1000) == pytest.approx(9.0)


@pytest.mark.parametrize(("share", "limit"), [(0.9, 16), (0.1, 128)])
def test_a_process_that_is_busy_tries_no_more_requests(share: float, limit: int) -> None:
    pace, now = Pace(lowest=16, highest=128, cpu_share=lambda: share), 0.0
    for _ in range(2000):
        # Latency alone costs time: more at once bring more.
        now += 1.0 / pace.limit
        pace.completed(1_000_000, now, is_full=True)
    assert pace.limit == limit


def test_the_cpu_share_is_of_all_cpus_since_the_last_call() -> None:
    share = CpuShare()
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert 0.0 < share() <= 1.01
