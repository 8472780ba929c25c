"""What a clip key tells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2v_data.release.keys import cluster_of, key_stem

REAL = "gm1252760410-365677148_part2_step1-0-95_step2-0-95_step3_step4_step5"
OLDER = "gm1252760410-365677148_part2_step1-0-95_step2-0-95_step4_step5_step6"


def test_a_clips_names_at_two_stages_have_one_stem() -> None:
    assert key_stem(REAL) == key_stem(OLDER) == "gm1252760410-365677148_part2_step1-0-95_step2-0-95"


def test_another_cut_of_the_same_video_has_another_stem() -> None:
    assert key_stem(REAL.replace("_step1-0-95", "_step122-0-95")) != key_stem(REAL)
    assert key_stem(REAL.replace("_step2-0-95", "_step2-0-96")) != key_stem(REAL)


@pytest.mark.parametrize("key", ["", "clip", "a_step", "a_stepx", "step3_a", "a_step3_b", "a_step1-0-95"])
def test_a_key_without_stage_suffixes_at_its_end_is_its_own_stem(key: str) -> None:
    assert key_stem(key) == key


@given(stem=st.text(), stages=st.lists(st.integers(0, 99), max_size=4))
def test_any_stages_more_leave_the_stem_the_same(stem: str, stages: list[int]) -> None:
    assert key_stem(key_stem(stem) + "".join(f"_step{stage}" for stage in stages)) == key_stem(stem)


@pytest.mark.parametrize(
    ("key", "cluster"),
    [
        (REAL, "gm1252760410-365677148"),
        ("abc_segment12_part3_step1", "abc"),
        ("abc_part3_segment12", "abc_part3"),
        ("abc_part1_part2", "abc"),
        ("abc", "abc"),
        ("", ""),
    ],
)
def test_a_clips_cluster_is_its_key_up_to_segment_or_else_up_to_part(key: str, cluster: str) -> None:
    assert cluster_of(key) == cluster
