"""Resizing against torch's own, and what the fast way costs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="pictures are resized with torch")

import torch

from loaders import clips, real_sample
from opens2v_loaders.decoding import decode
from opens2v_loaders.resize import resize, resize_by_products

_SIZES = [(48, 64), (20, 30), (96, 128), (47, 64), (7, 200), (2, 3)]


def _pictures() -> torch.Tensor:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (2, 3, 48, 64), dtype=np.uint8)
    drawn = np.stack([clips.picture(3), clips.picture(200)]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.concatenate([noise, drawn]))


@pytest.mark.parametrize("size", _SIZES)
def test_exact_is_antialiased_bilinear_in_floating_point_to_one_level(size: tuple[int, int]) -> None:
    pictures = _pictures()
    expected = torch.nn.functional.interpolate(pictures.double(), size=size, mode="bilinear", antialias=True)
    for layout in (torch.contiguous_format, torch.channels_last):
        small = resize(pictures.contiguous(memory_format=layout), size)
        assert small.dtype == torch.uint8 and (small - expected).abs().max() < 1.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("size", _SIZES)
def test_two_products_are_one_level_from_it_at_most(size: tuple[int, int], dtype: torch.dtype) -> None:
    pictures = _pictures()
    products = resize_by_products(pictures, size, dtype=dtype)
    assert products.dtype == torch.uint8 and products.shape == (4, 3, *size)
    assert (products.int() - resize(pictures, size)).abs().max() <= 1


def test_products_over_a_whole_frame_stay_within_half_precision() -> None:
    pictures = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (1, 3, 720, 1280), dtype=np.uint8))
    for made in (pictures, torch.full_like(pictures, 255)):
        difference = resize_by_products(made, (480, 832), dtype=torch.float16).int() - resize(made, (480, 832))
        assert difference.abs().max() <= 1


def test_pictures_of_that_size_are_left_alone() -> None:
    pictures = _pictures()
    assert resize(pictures, (48, 64)) is pictures


def _psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(255**2 / (a.double() - b.double()).square().mean()))


@pytest.mark.parametrize("name", ["B-frames", "ten bits", "4:4:4", "odd size"])
@pytest.mark.parametrize("crop", [None, (4, 6, 44, 40), (5, 3, 44, 40)])
def test_fast_shows_the_same_picture(name: str, crop: tuple[int, int, int, int] | None) -> None:
    data = clips.clip_bytes(name)
    exact = decode(data, indices=[9, 2, 9], crop_xyxy=crop, size=(24, 32))
    fast = decode(data, indices=[9, 2, 9], crop_xyxy=crop, size=(24, 32), resize="fast")
    assert fast.frames.shape == exact.frames.shape
    # The drawings' chroma changes in every pixel, which halving it first blurs; luma must agree.
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert _psnr(*((clip.frames * weights).sum(dim=1) for clip in (fast, exact))) > 40
    assert _psnr(fast.frames, exact.frames) > 28


def test_fast_without_a_size_is_exact_and_full_frames_always_are() -> None:
    data = clips.clip_bytes("B-frames")
    whole = decode(data, indices=[7, 3])
    assert torch.equal(decode(data, indices=[7, 3], resize="fast").frames, whole.frames)
    fast = decode(data, indices=[3], full=(7, 3), size=(12, 16), resize="fast")
    assert torch.equal(fast.full[7], whole.frames[0]) and torch.equal(fast.full[3], whole.frames[1])


@real_sample.needs_real_sample
def test_on_the_real_clip_fast_is_near_and_exact_is_what_floating_point_gives() -> None:
    data = real_sample.video_bytes()
    whole = decode(data, indices=[0, 40]).frames
    floating = torch.nn.functional.interpolate(whole.float(), size=(480, 832), mode="bilinear", antialias=True)
    assert _psnr(decode(data, indices=[0, 40], size=(480, 832)).frames, floating) > 57
    assert _psnr(decode(data, indices=[0, 40], size=(480, 832), resize="fast").frames, floating) > 42
