import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2v_data.archive import name_fault, tidy_name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        (".", "empty"),
        ("./", "empty"),
        ("/etc/passwd", "absolute"),
        ("//host/clip.mp4", "absolute"),
        ("../clip.mp4", "climbs out"),
        ("part/../../clip.mp4", "climbs out"),
        ("part/..", "climbs out"),
        ("clip\0.mp4", "NUL"),
        ("part/", "like a folder"),
        ("part/.", "like a folder"),
        ("clip\ud83d.mp4", "UTF-8"),
    ],
)
def test_a_name_that_must_not_be_used_is_told_with_the_reason(name: str, reason: str):
    assert reason in (name_fault(name) or "")


@pytest.mark.parametrize(
    "name", ["clip.mp4", "./part/clip.mp4", "a//b", "..a/b..", "…/видео 1.mp4", "a\\b", "-rf", "~"]
)
def test_an_odd_name_that_stays_below_its_folder_is_good(name: str):
    assert name_fault(name) is None


@given(st.text("ab./\0", max_size=12))
def test_a_good_name_stays_good_and_the_same_once_tidied(name: str):
    if name_fault(name) is None:
        tidied = tidy_name(name)
        assert name_fault(tidied) is None
        assert tidy_name(tidied) == tidied
        assert "//" not in tidied
