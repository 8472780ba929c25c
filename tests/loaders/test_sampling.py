"""Frame indices against rules written out in plain Python, and random numbers that depend on nothing but their names."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loaders import real_sample
from loaders.values import a_clip
from opens2v_data.errors import DecodeError
from opens2v_loaders.sampling import ClipSpec, Fit, Sampling, Short, draw_int, frame_range, philox_of, rng_of

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLINGS: tuple[Sampling, ...] = ("upstream", "uniform", "head", "random_segment")
ranges = st.builds(lambda start, length: (start, start + length), st.integers(0, 500), st.integers(1, 400))
counts = st.integers(1, 90)
strides = st.integers(1, 5)
words = st.integers(0, 2**64 - 1)


def the_rule_in_words(start: int, length: int, num_frames: int, stride: int, first: int) -> list[int]:
    """Return upstream's frames as its loader's text describes them."""
    if length <= num_frames:
        return sorted(start + place % length for place in range(num_frames))
    span = min(length, (num_frames - 1) * stride + 1)
    return [int(place) for place in np.floor(np.linspace(first, first + span - 1, num_frames))]


@given(frames=ranges, num_frames=counts, stride=strides, word=words)
def test_upstreams_rule_given_its_first_frame(frames: tuple[int, int], num_frames: int, stride: int, word: int) -> None:
    spec = ClipSpec(num_frames=num_frames, stride=stride)
    start, end = frames
    low, high = spec.first_frames(frames)
    first = low + word % (high - low + 1)
    found = spec.frame_indices(frames, first_frame=first)
    assert found.dtype == np.int64
    assert found.tolist() == the_rule_in_words(start, end - start, num_frames, stride, first)


def test_upstreams_defaults_on_clips_of_known_lengths() -> None:
    spec = ClipSpec()
    # The real sample's 95 frames leave nothing to draw: 49 of all 95, 48 steps of 1.96 rounded down.
    assert spec.first_frames((0, 95)) == (0, 0)
    assert spec.frame_indices((0, 95), first_frame=0).tolist()[:6] == [0, 1, 3, 5, 7, 9]
    assert spec.frame_indices((0, 95), first_frame=0).tolist()[-3:] == [90, 92, 94]
    assert spec.first_frames((10, 160)) == (10, 15)
    assert spec.frame_indices((10, 160), first_frame=15).tolist() == list(range(15, 160, 3))
    # 20 frames make 49: nine of them three times, eleven twice.
    assert spec.frame_indices((5, 25), first_frame=5).tolist() == sorted([*range(5, 25)] * 2 + [*range(5, 14)])
    assert spec.frame_indices((5, 6), first_frame=5).tolist() == [5] * 49


@given(frames=ranges, num_frames=counts, stride=strides, short=st.sampled_from(["repeat", "hold"]), seed=words)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_frames_ascend_inside_the_range_whatever_the_rule(
    sampling: Sampling, frames: tuple[int, int], num_frames: int, stride: int, short: Short, seed: int
) -> None:
    spec = ClipSpec(num_frames=num_frames, stride=stride, sampling=sampling, short=short)
    found = spec.frame_indices(frames, rng=rng_of(seed, 0, 0, "frames"))
    assert found.shape == (num_frames,) and found.dtype == np.int64
    assert frames[0] <= found[0] and found[-1] < frames[1]
    assert (np.diff(found) >= 0).all()


@given(frames=ranges, num_frames=counts, stride=strides, seed=words)
@pytest.mark.parametrize("sampling", ["head", "random_segment"])
def test_the_stride_is_kept_where_the_range_is_long_enough(
    sampling: Sampling, frames: tuple[int, int], num_frames: int, stride: int, seed: int
) -> None:
    spec = ClipSpec(num_frames=num_frames, stride=stride, sampling=sampling, short="skip")
    length = frames[1] - frames[0]
    if length < (num_frames - 1) * stride + 1:
        with pytest.raises(DecodeError, match=f"needs {spec.span_frames} frames, found {length}"):
            spec.frame_indices(frames, rng=rng_of(seed, 0, 0, "frames"))
        return
    found = spec.frame_indices(frames, rng=rng_of(seed, 0, 0, "frames"))
    assert (np.diff(found) == stride).all()
    if sampling == "head":
        assert found[0] == frames[0]


def test_a_random_segment_begins_at_every_place_it_can() -> None:
    spec = ClipSpec(num_frames=3, stride=2, sampling="random_segment")
    firsts = [int(spec.frame_indices((4, 12), rng=rng_of(0, 0, row, "frames"))[0]) for row in range(400)]
    assert set(firsts) == {4, 5, 6, 7}
    assert min(firsts.count(first) for first in range(4, 8)) > 60  # of 100 expected


@given(frames=ranges, num_frames=counts)
def test_uniform_takes_the_middles_of_equal_stretches(frames: tuple[int, int], num_frames: int) -> None:
    found = ClipSpec(num_frames=num_frames, sampling="uniform").frame_indices(frames)
    length = frames[1] - frames[0]
    middles = [frames[0] + Fraction(length, num_frames) * (i + Fraction(1, 2)) for i in range(num_frames)]
    assert found.tolist() == [int(middle) for middle in middles]


def test_short_clips_repeat_hold_or_are_refused() -> None:
    def of(frames: tuple[int, int], **changes: Any) -> list[int]:
        return replace(ClipSpec(num_frames=5, stride=2, sampling="head"), **changes).frame_indices(frames).tolist()

    assert of((10, 16)) == [10, 11, 12, 13, 15]  # closer than the stride: over the whole range
    assert of((10, 13)) == [10, 10, 11, 11, 12]
    assert of((10, 16), short="hold") == [10, 12, 14, 15, 15]
    assert of((10, 13), short="hold", sampling="uniform") == [10, 11, 12, 12, 12]
    with pytest.raises(
        DecodeError, match=r"head sampling of 5 frames with stride 2 needs 9 frames, found 8 in \[2, 10\)"
    ):
        of((2, 10), short="skip")
    assert of((2, 11), short="skip") == [2, 4, 6, 8, 10]
    upstream = ClipSpec(num_frames=5, stride=2, short="skip")
    assert upstream.frame_indices((0, 5), first_frame=0).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(DecodeError, match=r"upstream sampling .* needs 5 frames, found 4"):
        upstream.frame_indices((0, 4), first_frame=0)
    held = ClipSpec(num_frames=5, stride=2, short="hold").frame_indices((0, 3), first_frame=0)
    assert held.tolist() == [0, 1, 2, 2, 2]


def test_a_first_frame_or_a_generator_is_needed_where_the_rule_is_random() -> None:
    with pytest.raises(ValueError, match="upstream sampling needs rng"):
        ClipSpec().frame_indices((0, 300))
    with pytest.raises(ValueError, match=r"first_frame must lie in \[0, 155\] for the range \[0, 300\], not 156"):
        ClipSpec().frame_indices((0, 300), first_frame=156)
    for empty in ((5, 5), (6, 5), (-1, 3)):
        with pytest.raises(ValueError, match=r"a frame range is \[start, end\) with 0 <= start < end"):
            ClipSpec().frame_indices(empty, first_frame=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": 0}, "num_frames must be an integer of 1 or more, not 0"),
        ({"num_frames": True}, "num_frames must be an integer of 1 or more, not True"),
        ({"stride": 0}, "stride must be an integer of 1 or more, not 0"),
        ({"stride": 1.5}, "stride must be an integer"),
        ({"size": (480,)}, r"size must be \(height, width\)"),
        ({"size": (480, 0)}, r"size must be \(height, width\)"),
        ({"sampling": "random"}, "sampling must be one of upstream, uniform, head, random_segment, not 'random'"),
        ({"short": "loop"}, "short must be one of repeat, hold, skip, not 'loop'"),
        ({"crop": "top"}, "crop must be one of center, random, none, not 'top'"),
    ],
)
def test_a_spec_refuses_what_makes_no_sample(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClipSpec(**changes)


def test_the_center_crop_is_upstreams() -> None:
    # By hand from its _short_resize_and_crop: 853 = int(480 * 1280/720), CenterCrop's left = round(21/2) = 10 (half to even).
    assert ClipSpec(size=(480, 832)).fit(720, 1280) == Fit(resize=(480, 853), box_xyxy=(10, 0, 842, 480))
    assert ClipSpec(size=(480, 832)).fit(1280, 720) == Fit(resize=(1479, 832), box_xyxy=(0, 500, 832, 980))
    assert ClipSpec(size=(480, 832)).fit(480, 832) == Fit(resize=(480, 832), box_xyxy=(0, 0, 832, 480))
    assert ClipSpec(size=(480, 832)).fit(1000, 1779).resize == (480, 853)  # 853.92 rounded down
    assert ClipSpec().fit(719, 1279) == Fit(resize=(719, 1279), box_xyxy=(0, 0, 1279, 719))
    assert ClipSpec(size=(64, 64), crop="none").fit(10, 300) == Fit(resize=(64, 64), box_xyxy=(0, 0, 64, 64))


@given(
    height=st.integers(1, 3000),
    width=st.integers(1, 3000),
    size=st.tuples(st.integers(1, 1500), st.integers(1, 1500)),
    crop=st.sampled_from(["center", "random"]),
    seed=words,
)
def test_a_fit_covers_the_size_with_the_pictures_own_aspect(
    height: int, width: int, size: tuple[int, int], crop: Any, seed: int
) -> None:
    fit = ClipSpec(size=size, crop=crop).fit(height, width, rng=rng_of(seed, 0, 0, "crop"))
    left, top, right, bottom = fit.box_xyxy
    assert (bottom - top, right - left) == size
    assert left >= 0 and top >= 0 and right <= fit.resize[1] and bottom <= fit.resize[0]
    scale = max(Fraction(size[0], height), Fraction(size[1], width))
    assert abs(fit.resize[0] - height * scale) <= 1 and abs(fit.resize[1] - width * scale) <= 1
    assert size[0] == fit.resize[0] or size[1] == fit.resize[1]


def test_a_random_crop_reaches_both_ends_and_needs_a_generator() -> None:
    spec = ClipSpec(size=(10, 10), crop="random")
    lefts = {spec.fit(10, 13, rng=rng_of(0, 0, row, "crop")).box_xyxy[0] for row in range(60)}
    assert lefts == {0, 1, 2, 3}
    with pytest.raises(ValueError, match='crop="random" needs rng'):
        spec.fit(10, 13)
    with pytest.raises(ValueError, match="a picture has 1x1 pixels or more, not 0x5"):
        spec.fit(0, 5)


def test_a_clip_is_sampled_where_a_person_is_in_view_else_in_its_cut_else_whole() -> None:
    clip = replace(a_clip(), num_frames=30, cut=(2, 28), face_cut=(5, 20))
    assert frame_range(clip) == (5, 20)
    assert frame_range(replace(clip, face_cut=None)) == (2, 28)
    assert frame_range(replace(clip, face_cut=None, cut=None)) == (0, 30)
    assert frame_range(clip, num_frames=12) == (5, 12)
    assert frame_range(clip, num_frames=25) == (5, 20)
    with pytest.raises(DecodeError, match=r"no frame in its range \[5, 20\) of a file of 5 frames"):
        frame_range(clip, num_frames=5)
    with pytest.raises(DecodeError, match="a_clip of part1 has no face_cut, no cut and no number of frames"):
        frame_range(replace(clip, face_cut=None, cut=None, num_frames=None))


GOLDEN_WORDS = [5256318815722369033, 16019528666410595186]
GOLDEN_DRAWS = [17, 18, 10, 12, 13, 12, 18, 11]


@real_sample.needs_real_sample
def test_the_real_clip_is_sampled_from_its_face_cut() -> None:
    (triple,) = real_sample.triples()
    frames = frame_range(triple.clip, num_frames=95)
    assert frames == tuple(real_sample.records()[triple.clip.key]["metadata"]["face_cut"])
    assert ClipSpec().frame_indices(frames, rng=rng_of(0, 0, 0, "frames"))[-1] == frames[1] - 1


def test_random_bits_are_these_for_ever() -> None:
    # Philox by its definition: a change here changes every training run's order and crops.
    assert rng_of(1, 2, 3, "frames").bit_generator.random_raw(2).tolist() == GOLDEN_WORDS
    assert [draw_int(rng_of(1, 2, row, "frames"), 10, 19) for row in range(8)] == GOLDEN_DRAWS


@given(first=st.tuples(words, words, words, st.text()), second=st.tuples(words, words, words, st.text()))
def test_generators_of_other_names_are_other_sequences(first: Any, second: Any) -> None:
    words_of: Callable[[Any], list[int]] = lambda name: philox_of(*name).random_raw(4).tolist()  # noqa: E731
    assert (words_of(first) == words_of(second)) == (first == second)
    assert words_of(first) == words_of(first)


def test_a_generator_refuses_numbers_it_cannot_hold() -> None:
    with pytest.raises(ValueError, match=r"seed must lie in \[0, 2\*\*64\), not -1"):
        rng_of(-1, 0, 0, "frames")
    with pytest.raises(ValueError, match=r"row must lie in \[0, 2\*\*64\)"):
        rng_of(0, 0, 2**64, "frames")
    with pytest.raises(ValueError, match="low must be at most high, found 2 and 1"):
        draw_int(rng_of(0, 0, 0, "frames"), 2, 1)
