"""Run lengths, against pycocotools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opens2v_data.sample.rle import encode_mask

if TYPE_CHECKING:
    from opens2v_data.sample import SampleFacts

coco = pytest.importorskip("pycocotools.mask")


@given(height=st.integers(1, 40), width=st.integers(1, 40), density=st.floats(0, 1), seed=st.integers(0, 10_000))
def test_any_mask_is_encoded_as_pycocotools_does(height: int, width: int, density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < density
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"]
    assert encode_mask(mask) == expected.decode()


@pytest.mark.parametrize("fill", [False, True])
def test_large_masks_of_one_run_are_encoded_as_pycocotools_does(fill: bool) -> None:
    mask = np.full((720, 1280), fill)
    assert encode_mask(mask) == coco.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()


def test_every_mask_of_the_sample_decodes_to_its_facts(written_sample: SampleFacts) -> None:
    checked = 0
    for clip in written_sample.clips:
        for subject in clip.subjects:
            if subject.mask_counts is None:
                assert subject.mask() is None
                continue
            rle = {"size": list(subject.mask_size or ()), "counts": subject.mask_counts.encode()}
            mask = subject.mask()
            assert mask is not None
            np.testing.assert_array_equal(coco.decode(rle).astype(bool), mask)
            assert int(coco.area(rle)) == subject.mask_area == mask.sum()
            checked += 1
    assert checked == written_sample.counts["masks"]
