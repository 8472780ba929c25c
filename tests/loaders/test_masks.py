"""Own run-length code against pycocotools, both ways, on random masks and on every mask of the real sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

from loaders import real_sample
from opens2v_data.errors import DecodeError
from opens2v_data.triples import MaskRLE
from opens2v_loaders.masks import (
    decode_counts,
    decode_rle,
    encode_counts,
    encode_rle,
    mask_bbox,
    mask_iou,
    region_clusters,
    rle_area,
)

_SIZES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40)
_MASKS = hnp.arrays(bool, _SIZES, elements=st.booleans(), fill=st.booleans())


def _rle(counts: bytes, height: int, width: int) -> MaskRLE:
    return MaskRLE(height=height, width=width, counts=counts, score=None, frame_idx=0)


def _of(mask: np.ndarray) -> MaskRLE:
    return _rle(encode_rle(mask), *mask.shape)


def _coco(mask: np.ndarray) -> dict[str, Any]:
    return coco.encode(np.asfortranarray(mask, np.uint8))  # pyright: ignore[reportReturnType]


def _box_of(oracle: dict[str, Any]) -> tuple[int, int, int, int] | None:
    x, y, w, h = (int(value) for value in coco.toBbox(oracle))  # pyright: ignore[reportArgumentType]
    return (x, y, x + w, y + h) if w and h else None


@given(_MASKS)
@settings(deadline=None)
def test_masks_are_written_as_pycocotools_writes_them(mask: np.ndarray) -> None:
    assert encode_rle(mask) == _coco(mask)["counts"]


@given(_MASKS)
@settings(deadline=None)
def test_masks_are_read_as_pycocotools_wrote_them(mask: np.ndarray) -> None:
    oracle = _coco(mask)
    rle = _rle(oracle["counts"], *mask.shape)
    decoded = decode_rle(rle)
    assert decoded.dtype == bool and decoded.flags.c_contiguous and np.array_equal(decoded, mask)
    assert rle_area(rle.counts) == mask.sum()
    assert mask_bbox(rle) == (_box_of(oracle) if mask.any() else None)


@given(st.lists(st.integers(0, 2**30), min_size=1, max_size=30))
@settings(deadline=None)
def test_any_run_lengths_survive_the_string(runs: list[int]) -> None:
    assert decode_counts(encode_counts(np.array(runs))).tolist() == runs


@given(_SIZES.flatmap(lambda size: st.tuples(hnp.arrays(bool, size), hnp.arrays(bool, size))))
@settings(deadline=None)
def test_overlaps_are_those_of_pycocotools(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    expected = (a & b).sum() / (a | b).sum() if (a | b).any() else 0.0
    assert mask_iou(_of(a), _of(b)) == pytest.approx(expected)
    if a.any() and b.any():
        oracle = coco.iou([_coco(a)], [_coco(b)], [0])  # pyright: ignore[reportArgumentType]
        assert mask_iou(_of(a), _of(b)) == pytest.approx(np.asarray(oracle)[0, 0])


@pytest.mark.parametrize(
    ("counts", "complaint"),
    [
        (b"PPYo0 1", "found byte 32 at 5 of 7"),
        (b"p0", "found byte 112 at 0"),
        (b"04P", "ends within a number, after 3 characters"),
        (b"PPPPPPP0", "at most 7 characters; found one of 8"),
        (b"o0", "has 12 pixels; its runs have 31"),
        (b"5", "its runs have 5"),
        (b"", "its runs have 0"),
        (b"4N", "run 1 is -2"),
    ],
)
def test_strings_that_are_no_such_mask_are_refused(counts: bytes, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        decode_rle(_rle(counts, 3, 4))


@given(_MASKS.filter(lambda mask: mask.size > 3), st.data())
@settings(deadline=None)
def test_a_string_cut_short_is_never_another_mask(mask: np.ndarray, data: st.DataObject) -> None:
    counts = encode_rle(mask)
    end = data.draw(st.integers(0, len(counts) - 1))
    short = _rle(counts[:end], *mask.shape)
    try:
        decoded = decode_rle(short)
    except DecodeError:
        return
    assert np.array_equal(decoded, mask), "only a trailing empty run may go missing unseen"


@given(st.binary(max_size=40))
@settings(deadline=None)
def test_random_bytes_are_read_or_refused(counts: bytes) -> None:
    try:
        runs = decode_counts(counts)
    except DecodeError:
        return
    assert (runs >= 0).all()


def test_a_mask_has_two_axes() -> None:
    with pytest.raises(ValueError, match=r"\(H, W\), not \(2, 3, 4\)"):
        encode_rle(np.zeros((2, 3, 4), bool))


def test_masks_of_two_sizes_do_not_compare() -> None:
    with pytest.raises(ValueError, match="masks of 2x3 and 3x2"):
        mask_iou(_of(np.ones((2, 3), bool)), _of(np.ones((3, 2), bool)))


def test_regions_join_what_overlaps_and_leave_the_rest_alone() -> None:
    whole = np.ones((10, 10), bool)
    most = whole.copy()
    most[0] = False  # IoU 0.9 with whole
    less = most.copy()
    less[1] = False  # 0.89 with most, 0.8 with whole
    corner = np.zeros((10, 10), bool)
    corner[0, 0] = True
    empty = np.zeros((10, 10), bool)
    other_size = np.ones((10, 11), bool)
    masks = [
        _of(less),
        None,
        _of(whole),
        _of(corner),
        _of(empty),
        _of(empty),
        _of(other_size),
        _of(most),
        _rle(b"x", 9, 9),
    ]
    assert region_clusters(masks, 0.85) == [[0, 2, 7], [1], [3], [4], [5], [6], [8]]
    assert region_clusters(masks, 0.95) == [[i] for i in range(len(masks))]


@pytest.mark.parametrize("iou", [0.0, 1.5])
def test_a_threshold_that_joins_everything_or_nothing_is_refused(iou: float) -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        region_clusters([], iou)


@given(st.lists(hnp.arrays(bool, (4, 4)), max_size=6), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_regions_do_not_depend_on_the_order(masks: list[np.ndarray], dice: Any) -> None:
    order = list(range(len(masks)))
    dice.shuffle(order)
    there = {frozenset(group) for group in region_clusters([_of(mask) for mask in masks], 0.5)}
    again = region_clusters([_of(masks[i]) for i in order], 0.5)
    assert there == {frozenset(order[i] for i in group) for group in again}


@real_sample.needs_real_sample
@pytest.mark.parametrize("part", ["dataset1", "dataset1_cluster"])
def test_every_real_mask_reads_and_writes_as_in_pycocotools(part: str) -> None:
    masks = [s.mask for triple in real_sample.triples(part) for s in triple.subjects if s.mask is not None]
    assert len(masks) in (16, 28)
    for mask in masks:
        oracle: Any = {"size": [mask.height, mask.width], "counts": mask.counts}
        decoded = decode_rle(mask)
        assert np.array_equal(decoded, coco.decode(oracle))
        assert encode_rle(decoded) == mask.counts
        assert rle_area(mask.counts) == coco.area(oracle)
        assert mask_bbox(mask) == _box_of(oracle)


@real_sample.needs_real_sample
def test_the_real_frame_has_sixteen_boxes_and_nine_regions() -> None:
    subjects = real_sample.triples()[0].subjects
    groups = region_clusters([subject.mask for subject in subjects])
    assert (len(subjects), len(groups)) == (16, 9)
    assert {frozenset(subjects[i].class_name for i in group) for group in groups} >= {
        frozenset({"person", "individual", "woman"}),
        frozenset({"green grass", "park"}),
        frozenset({"glasses"}),
    }
