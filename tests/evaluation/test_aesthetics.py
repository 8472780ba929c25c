"""Aesthetics is CLIP and LAION's head as published: the same pixels, the same numbers, on models of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from evaluation.videos import moving_pictures, write_video

pytest.importorskip("torch", reason="models are torch's")
pytest.importorskip("transformers", reason="CLIP is transformers'")

import torch
import transformers

from opens2v_data.errors import MetricError
from opens2v_eval.frames import Video, linspace_indices
from opens2v_eval.metrics.aesthetics import Aesthetics
from opens2v_eval.models.clip_aesthetics import AestheticHead, ClipAesthetics, load_head
from opens2v_eval.models.pixels import (
    CLIP_MEAN,
    CLIP_STD,
    clip_pixels,
    pad_to_square,
    resize_bicubic,
    resize_in_float,
    shortest_edge_size,
)
from opens2v_eval.prompts import Prompt
from opens2v_loaders import read_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROMPT = Prompt(
    key="singleobj_1", prompt="A dog.", image_names=("a.png",), image_paths=(Path("a.png"),), class_labels=("Dog",)
)
SIZES = (12, 16, 8, 8, 4, 1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A whole CLIP, both halves, as the published repository has it."""
    torch.manual_seed(3)
    half: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = transformers.CLIPConfig(
        vision_config={**half, "image_size": 32, "patch_size": 8, "projection_dim": SIZES[0]},
        text_config={**half, "vocab_size": 60, "bos_token_id": 0, "eos_token_id": 1},
        projection_dim=SIZES[0],
    )
    folder = tmp_path_factory.mktemp("clip")
    model = transformers.CLIPModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(4)
    path = tmp_path_factory.mktemp("head") / "head.pth"
    torch.save(AestheticHead(SIZES).state_dict(), path)
    return str(path)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "singleobj_1.mp4", moving_pictures(11, height=90, width=130))


def pil_pixels(rgb: NDArray[np.uint8], size: int) -> NDArray[np.float64]:
    """The reference: PIL's bicubic, the middle square, CLIP's mean and deviation."""
    height, width, _ = rgb.shape
    scale = size / min(height, width)
    to = (size, int(size * height / width)) if width < height else (int(size * width / height), size)
    assert max(to) == int(max(height, width) * scale) or max(to) == size
    small = np.asarray(Image.fromarray(rgb).resize(to, Image.Resampling.BICUBIC))
    top, left = (small.shape[0] - size) // 2, (small.shape[1] - size) // 2
    middle = small[top : top + size, left : left + size] / 255
    return ((middle - np.array(CLIP_MEAN)) / np.array(CLIP_STD)).transpose(2, 0, 1)


def plain_scores(rgb: NDArray[np.uint8], clip: str, head: str) -> NDArray[np.float64]:
    """Embed with the whole CLIP, then multiply by hand."""
    model = transformers.CLIPModel.from_pretrained(clip)
    pixels = torch.from_numpy(np.stack([pil_pixels(picture, 32) for picture in rgb])).float()
    with torch.no_grad():
        found = model.vision_model(pixel_values=pixels).pooler_output.double().numpy()
    values = found @ model.visual_projection.weight.detach().double().numpy().T
    values = values / np.linalg.norm(values, axis=1, keepdims=True)
    weights = torch.load(head, weights_only=True)
    for place in (0, 2, 4, 6, 7):
        values = values @ weights[f"layers.{place}.weight"].double().numpy().T
        values = values + weights[f"layers.{place}.bias"].double().numpy()
    return values[:, 0]


def test_the_score_is_that_of_a_plain_reading(clip: str, head: str, path: Path) -> None:
    metric = Aesthetics(clip=clip, head=head)
    metric.setup("cpu")
    found = metric.score(Video(path, key="singleobj_1"), PROMPT)
    rgb = read_frames(path, linspace_indices(11, 32)).rgb
    expected = plain_scores(rgb, clip, head)
    np.testing.assert_allclose(found.details["frames"], expected, atol=1e-4)  # a level of 255 here and there
    assert found.values["aes_score"] == pytest.approx(expected.mean(), abs=1e-4)
    assert found.details["frame_indices"] == linspace_indices(11, 32)
    assert np.ptp(expected) > 1e-3  # frames differ, so that a mixed up order would show
    metric.close()
    with pytest.raises(MetricError, match="setup\\(device\\) comes before score"):
        metric.score(Video(path, key="singleobj_1"), PROMPT)


def test_on_the_same_pixels_it_is_the_same_to_rounding(clip: str, head: str) -> None:
    """Pictures of CLIP's own size are not resized: no level differs, and no more does the score than float32 rounds."""
    rgb = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    model = ClipAesthetics(clip=clip, head=head, device="cpu", at_once=2)
    found = model.scores(torch.from_numpy(rgb).permute(0, 3, 1, 2))
    np.testing.assert_allclose(found.numpy(), plain_scores(rgb, clip, head), atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(480, 832), (832, 480), (100, 100), (61, 223), (30, 17), (32, 32)])
def test_pixels_are_those_of_pil_within_a_level(height: int, width: int) -> None:
    rgb = np.random.default_rng(height).integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    found = clip_pixels(torch.from_numpy(rgb).permute(0, 3, 1, 2), size=32).numpy()
    expected = np.stack([pil_pixels(picture, 32) for picture in rgb])
    levels = np.abs(found - expected) * np.array(CLIP_STD)[:, None, None] * 255
    assert levels.max() < 1.01 and levels.mean() < 0.1


def test_pixels_are_those_of_transformers_own_processor() -> None:
    try:
        from transformers import CLIPImageProcessorPil as Processor  # pyright: ignore[reportPrivateImportUsage]
    except ImportError:
        from transformers import CLIPImageProcessor as Processor
    rgb = moving_pictures(2, height=240, width=416)
    found = clip_pixels(torch.from_numpy(rgb).permute(0, 3, 1, 2)).numpy()
    expected = Processor()(images=[Image.fromarray(picture) for picture in rgb], return_tensors="np")["pixel_values"]
    levels = np.abs(found - expected) * np.array(CLIP_STD)[:, None, None] * 255
    assert levels.max() < 2.01 and (levels > 0.5).mean() < 0.01 and (levels > 1.5).mean() < 1e-5


@pytest.mark.parametrize("way", [resize_bicubic, resize_in_float])
@pytest.mark.parametrize("seed", range(4))
def test_resized_frames_are_pils_but_for_roundings(way: Any, seed: int) -> None:
    """The second way is a GPU's, which has no resize of uint8; run here on the CPU."""
    rng = np.random.default_rng(seed)
    height, edge = (int(number) for number in rng.integers(20, 150, 2))
    width = int(height * rng.uniform(0.6, 2.5))
    rgb = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    # Pillow 13 begins with the height, and older ones do not, where one side grows and the other shrinks, which does not
    # happen here, and where a picture is more than twice as high as wide.
    high, wide = size = shortest_edge_size(height, width, edge)
    found = way(torch.from_numpy(rgb).permute(0, 3, 1, 2), size).permute(0, 2, 3, 1).numpy().astype(int)
    pil = [Image.fromarray(picture).resize((wide, high), Image.Resampling.BICUBIC) for picture in rgb]
    levels = np.abs(found - np.stack([np.asarray(picture) for picture in pil]))
    assert levels.max() <= 2 and (levels > 0).mean() < 0.03


def test_a_square_has_the_picture_in_its_middle() -> None:
    rgb = torch.from_numpy(moving_pictures(1, height=33, width=50)).permute(0, 3, 1, 2)
    for frames in (rgb, rgb.transpose(-1, -2)):
        square = pad_to_square(frames, (1, 2, 3))[0].permute(1, 2, 0).numpy()
        picture = Image.fromarray(frames[0].permute(1, 2, 0).contiguous().numpy())
        expected = Image.new("RGB", (50, 50), (1, 2, 3))
        expected.paste(picture, ((50 - picture.width) // 2, (50 - picture.height) // 2))
        np.testing.assert_array_equal(square, np.asarray(expected))
    same = rgb[..., :33]
    assert pad_to_square(same, (1, 2, 3)) is same
    assert shortest_edge_size(480, 832, 224) == (224, 388)


def test_the_published_sizes_are_the_heads_own() -> None:
    shapes = [tuple(value.shape) for name, value in AestheticHead().state_dict().items() if name.endswith("weight")]
    assert shapes == [(1024, 768), (128, 1024), (64, 128), (16, 64), (1, 16)]


def test_the_head_loads_from_safetensors_too(head: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    weights = torch.load(head, weights_only=True)
    save_file(weights, tmp_path / "head.safetensors")
    loaded = load_head(str(tmp_path / "head.safetensors")).state_dict()
    assert all(torch.equal(loaded[name], weights[name]) for name in weights)


def test_weights_that_are_not_there_or_do_not_fit_are_refused(clip: str, head: str, tmp_path: Path) -> None:
    def refused(match: str, **models: Any) -> None:
        with pytest.raises(MetricError, match=match):
            Aesthetics(**{"clip": clip, "head": head, **models}).setup("cpu")

    refused(r"expected a file at 'head\.pth', found none; name a local file, or OWNER/NAME/FILE", head="head.pth")
    (tmp_path / "text.pth").write_text("no weights")
    refused("holds no weights that can be read safely", head=str(tmp_path / "text.pth"))
    torch.save({"linear.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    refused(
        r"expected the five linear layers of LAION's head .* found linear\.weight", head=str(tmp_path / "other.pth")
    )
    torch.save(AestheticHead((7, 4, 4, 4, 4, 1)).state_dict(), tmp_path / "seven.pth")
    refused("have 12 numbers, and the head .* takes 7", head=str(tmp_path / "seven.pth"))
    refused("expected weights of CLIPVisionModelWithProjection at", clip=str(tmp_path))
    half: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = transformers.CLIPTextModel(
        transformers.CLIPTextConfig(**half, vocab_size=60, bos_token_id=0, eos_token_id=1)
    )
    text.save_pretrained(tmp_path / "text-only")
    config = transformers.CLIPVisionConfig.from_pretrained(clip)
    config.save_pretrained(tmp_path / "text-only")
    refused("no fitting weights for .* of CLIPVisionModelWithProjection", clip=str(tmp_path / "text-only"))
