"""Masks of a batch as one tensor, against pycocotools one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco

pytest.importorskip("torch", reason="masks become tensors")

import torch

from loaders import real_sample
from opens2v_data.errors import DecodeError
from opens2v_data.triples import MaskRLE
from opens2v_loaders import decode_masks
from opens2v_loaders.masks import decode_rle, encode_rle

_STACKS = hnp.arrays(
    bool,
    hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12),
    elements=st.booleans(),
    fill=st.booleans(),
)


def _rle(mask: np.ndarray) -> MaskRLE:
    height, width = mask.shape
    return MaskRLE(height=height, width=width, counts=encode_rle(mask), score=None, frame_idx=0)


@given(stack=_STACKS, absent=st.sets(st.integers(0, 11), max_size=3))
@settings(deadline=None, max_examples=20)
def test_masks_of_a_batch_are_those_of_pycocotools_one_by_one(stack: np.ndarray, absent: set[int]) -> None:
    masks = [None if number in absent else _rle(mask) for number, mask in enumerate(stack)]
    found = decode_masks(masks, size=stack.shape[1:])
    assert (found.dtype, found.shape, found.is_contiguous()) == (torch.bool, stack.shape, True)
    for number, mask in enumerate(masks):
        expected = np.zeros(stack.shape[1:], bool)
        if mask is not None:
            expected = coco.decode({"size": [mask.height, mask.width], "counts": mask.counts}) == 1
        assert np.array_equal(found[number].numpy(), expected)


@real_sample.needs_real_sample
def test_the_real_clips_masks_come_in_one_tensor() -> None:
    for triple in real_sample.triples():
        masks = [subject.mask for subject in triple.subjects]
        found = decode_masks(masks)
        assert found.shape == (len(masks), 720, 1280)
        for mine, mask in zip(found, masks, strict=True):
            assert np.array_equal(mine.numpy(), np.zeros((720, 1280), bool) if mask is None else decode_rle(mask))


def test_no_masks_and_masks_that_are_absent_have_the_size_that_was_said() -> None:
    assert decode_masks([], size=(4, 6)).shape == (0, 4, 6)
    assert decode_masks([None, None], size=(4, 6)).tolist() == np.zeros((2, 4, 6), bool).tolist()
    for masks in ([], [None]):
        with pytest.raises(ValueError, match=r"expected a mask, or size=\(height, width\), found neither"):
            decode_masks(masks)


def test_masks_of_other_sizes_and_damaged_ones_are_named_by_their_number() -> None:
    sound = _rle(np.eye(6, 5, dtype=bool))
    with pytest.raises(ValueError, match=r"expected 6x5 \(height x width\), mask 1 is 5x6"):
        decode_masks([sound, _rle(np.ones((5, 6), bool))])
    with pytest.raises(ValueError, match=r"expected 6x6 .*, mask 0 is 6x5"):
        decode_masks([sound], size=(6, 6))
    with pytest.raises(DecodeError, match=r"mask 2 of 3: a mask's characters are"):
        decode_masks([sound, None, replace(sound, counts=b"junk!")])
    with pytest.raises(DecodeError, match=r"mask 0 of 1: a mask of 6x5 .* has 30 pixels; its runs have 36"):
        decode_masks([replace(sound, counts=encode_rle(np.ones((6, 6), bool)))])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_gpu_paints_the_same() -> None:
    masks = [_rle(np.random.default_rng(seed).random((72, 128)) > 0.4) for seed in range(5)]
    assert torch.equal(decode_masks(masks, device="cuda").cpu(), decode_masks(masks))
