"""Embeddings by GME: the same as the published code's for each text and picture, whatever else is in the batch."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from evaluation.tinygme import picture, plain_embedding, write_tiny_gme
from opens2v_data.errors import MetricError
from opens2v_eval.models.gme import RETRIEVAL_INSTRUCTION, Gme, plain_position_ids
from opens2v_eval.models.gme_images import fetch_size, frame_patches, prepared
from opens2v_eval.models.pixels import CLIP_STD, resize_in_float

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [
    "a red dog runs over a green hill",
    "x",
    "A video of 3 cups; then a longer sentence about them, naïve — and so on.",
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_gme(tmp_path_factory.mktemp("gme"))


@pytest.fixture(scope="module")
def gme(checkpoint: Path) -> Gme:
    return Gme.load(str(checkpoint), min_image_tokens=16, max_image_tokens=64, batch_size=4)


def test_texts_are_embedded_as_by_the_plain_reference(gme: Gme, checkpoint: Path) -> None:
    for instruction in ("You are a helpful assistant.", RETRIEVAL_INSTRUCTION):
        wanted = torch.stack([plain_embedding(checkpoint, text, None, instruction=instruction) for text in TEXTS])
        torch.testing.assert_close(gme.embed_texts(TEXTS, instruction=instruction), wanted, atol=2e-6, rtol=0)


def test_pictures_of_any_size_in_one_batch_are_embedded_as_by_the_plain_reference(gme: Gme, checkpoint: Path) -> None:
    pictures = [
        picture(60, 200),
        picture(3, 5, seed=1),
        picture(333, 111, seed=2).convert("L"),
        picture(84, 84, seed=3),
    ]
    wanted = torch.stack([plain_embedding(checkpoint, "", one, least=16, most=64) for one in pictures])
    torch.testing.assert_close(gme.embed_images(pictures), wanted, atol=3e-6, rtol=0)


def test_the_published_sizes_of_pictures_are_the_default(checkpoint: Path) -> None:
    frame = picture(416, 240)
    got = Gme.load(str(checkpoint)).embed_images([frame])[0]
    torch.testing.assert_close(got, plain_embedding(checkpoint, "", frame), atol=3e-6, rtol=0)


def test_positions_are_counted_and_not_worked_out_from_the_grid(gme: Gme, checkpoint: Path) -> None:
    frame = picture(120, 90)
    ours = gme.embed_images([frame])[0]
    by_grid = plain_embedding(checkpoint, "", frame, least=16, most=64, positions="grid")
    torch.testing.assert_close(ours, plain_embedding(checkpoint, "", frame, least=16, most=64), atol=3e-6, rtol=0)
    assert (ours - by_grid).abs().max() > 1e-3


def test_a_text_alone_has_the_same_positions_either_way(checkpoint: Path) -> None:
    plain = plain_embedding(checkpoint, TEXTS[0], None)
    torch.testing.assert_close(plain, plain_embedding(checkpoint, TEXTS[0], None, positions="grid"), atol=1e-6, rtol=0)


def test_pairs_are_embedded_as_by_the_plain_reference(gme: Gme, checkpoint: Path) -> None:
    pictures = [picture(90, 60), picture(60, 90, seed=1)]
    wanted = torch.stack(
        [plain_embedding(checkpoint, t, p, least=16, most=64) for t, p in zip(TEXTS, pictures, strict=False)]
    )
    torch.testing.assert_close(gme.embed_pairs(TEXTS[:2], pictures), wanted, atol=3e-6, rtol=0)
    with pytest.raises(ValueError, match="shorter"):
        gme.embed_pairs(TEXTS, pictures)


def test_embeddings_do_not_depend_on_the_batch(gme: Gme) -> None:
    many = [*TEXTS, *TEXTS[::-1], TEXTS[0]]
    alone = torch.cat([gme.embed_texts([text]) for text in many])
    torch.testing.assert_close(gme.embed_texts(many), alone, atol=2e-6, rtol=0)
    torch.testing.assert_close(alone.norm(dim=-1), torch.ones(len(many)))
    assert gme.embed_images([]).shape == (0, 32)


def test_a_text_past_the_longest_is_cut_as_the_published_code_cuts_it(gme: Gme, checkpoint: Path) -> None:
    text = "zq" * 1500
    torch.testing.assert_close(gme.embed_texts([text])[0], plain_embedding(checkpoint, text, None), atol=5e-6, rtol=0)


def test_a_text_that_holds_the_token_of_a_picture_is_refused(gme: Gme) -> None:
    with pytest.raises(ValueError, match=r"must not hold <\|image_pad\|>"):
        gme.embed_texts(["a <|image_pad|> b"])


def test_arrays_and_pictures_are_alike(gme: Gme) -> None:
    frame = picture(90, 60)
    assert torch.equal(gme.embed_images([frame]), gme.embed_images([np.array(frame)]))
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8, not \(60, 90\) uint8"):
        gme.embed_images([np.array(frame.convert("L"))])


def test_a_checkpoint_that_lacks_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "lacking"
    shutil.copytree(checkpoint, folder)
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.layers.1.mlp.up_proj.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(MetricError, match=r"no fitting weights for 1 tensors of Qwen2VLModel, .*up_proj"):
        Gme.load(str(folder))


def test_a_place_without_a_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(MetricError, match=r"GME: expected weights of Qwen2VLModel at"):
        Gme.load(str(tmp_path))


def test_a_tokenizer_of_another_model_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(checkpoint, folder)
    config = json.loads((folder / "config.json").read_text())
    config["image_token_id"] -= 1
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(MetricError, match="they are not of one model"):
        Gme.load(str(folder))


@pytest.mark.parametrize(("width", "height"), [(100, 60), (84, 84), (37, 150), (300, 200)])
def test_frames_on_a_device_are_cut_as_by_the_models_own_processor(width: int, height: int) -> None:
    """The pixels by torch are some levels off in places; how they are cut and ordered is the same."""
    pictures = [picture(width, height, seed=seed) for seed in range(2)]
    frames = torch.stack([torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in pictures])
    size = {"shortest_edge": 16 * 784, "longest_edge": 64 * 784}
    ready = [prepared(one, min_pixels=16 * 784, max_pixels=64 * 784) for one in pictures]
    wanted = Qwen2VLImageProcessorPil(size=size)(images=ready, return_tensors="pt")
    pixels, grids = frame_patches(frames, min_pixels=16 * 784, max_pixels=64 * 784)
    assert torch.equal(grids, wanted["image_grid_thw"])
    off = (pixels - wanted["pixel_values"]).abs() * 255 * min(CLIP_STD)
    assert pixels.shape == wanted["pixel_values"].shape and off.max() < 4 and off.mean() < 0.1


def test_frames_are_embedded_as_pictures(gme: Gme) -> None:
    pictures = [picture(84, 56, seed=seed) for seed in range(5)]  # at 84x56 nothing is resized but to 16 tokens
    frames = [torch.from_numpy(np.array(one)).permute(2, 0, 1) for one in pictures]
    wanted = gme.embed_images(pictures)
    torch.testing.assert_close(gme.embed_images(frames), wanted, atol=5e-3, rtol=0)
    mixed = [pictures[0], frames[1], np.array(pictures[2])]
    torch.testing.assert_close(gme.embed_images(mixed), wanted[:3], atol=5e-3, rtol=0)
    assert gme.embed_images([]).shape == (0, 32)
    with pytest.raises(ValueError, match=r"\(T, 3, H, W\) uint8, not \(1, 56, 84, 3\)"):
        gme.embed_images([frames[0].permute(1, 2, 0)])


def test_positions_skip_padding() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    ids = plain_position_ids(mask)
    assert ids.shape == (3, 2, 5)
    assert ids[0].tolist() == ids[2].tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_sizes_are_those_of_the_models_own_rule_where_it_has_one(width: int, height: int) -> None:
    got = fetch_size(width, height)
    assert all(side % 28 == 0 and side > 0 for side in got)
    assert max(got) <= 200 * min(got)
    if max(width, height) / min(width, height) <= 200 and min(width, height) >= 28:
        assert got == smart_resize(height, width, 28, 4 * 784, 16384 * 784)[::-1]


def test_a_published_frame_has_510_tokens() -> None:
    assert fetch_size(832, 480) == (840, 476)
    assert prepared(Image.new("RGBA", (832, 480)), min_pixels=256 * 784, max_pixels=1280 * 784).size == (840, 476)
    with pytest.raises(ValueError, match="not one of 0x3"):
        fetch_size(0, 3)


@pytest.mark.parametrize(("width", "height"), [(832, 480), (300, 200), (200, 300)])
def test_pictures_are_resized_to_the_width_first_whatever_pillow_does(width: int, height: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ready = np.array(prepared(noise, min_pixels=4 * 784, max_pixels=1280 * 784)).astype(int)
    wanted_width, wanted_height = fetch_size(width, height)
    wanted = resize_in_float(torch.from_numpy(noise).permute(2, 0, 1)[None], (wanted_height, wanted_width))
    off = np.abs(ready - wanted[0].permute(1, 2, 0).numpy().astype(int))
    assert off.max() <= 2 and off.mean() < 0.01
