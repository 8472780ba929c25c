"""A GME of random weights: the published classes, tokenizer and image processor included, small enough for a CPU."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import Qwen2Tokenizer, Qwen2VLConfig, Qwen2VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

SPECIAL = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
CORPUS = [
    "Find an image that matches the given text.",
    "You are a helpful assistant.",
    "a red dog runs over a green hill",
]
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def write_tiny_gme(folder: Path, *, seed: int = 0) -> Path:
    """Write a checkpoint as the published one is laid out: `Qwen2VLForConditionalGeneration`, its tokenizer and processor."""
    tokenizer = write_reader(folder)
    torch.manual_seed(seed)
    Qwen2VLForConditionalGeneration(gme_config(tokenizer)).save_pretrained(folder)
    return folder


def write_reader(folder: Path) -> Qwen2Tokenizer:
    """Write what makes numbers of texts and pictures, tokenizer and image processor; return the tokenizer."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    trained.save(str(folder / "trained.json"))
    bpe = json.loads((folder / "trained.json").read_text())["model"]
    (folder / "trained.json").unlink()
    tokenizer = Qwen2Tokenizer(
        vocab=bpe["vocab"],
        merges=cast("Any", [tuple(pair) for pair in bpe["merges"]]),
        additional_special_tokens=SPECIAL,
    )
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil().save_pretrained(folder)
    return tokenizer


def gme_config(
    tokenizer: Qwen2Tokenizer, *, text: Mapping[str, Any] | None = None, vision: Mapping[str, Any] | None = None
) -> Qwen2VLConfig:
    """Return the shape of a model; `text` and `vision` are what another size has otherwise."""
    ids = {token: cast("int", tokenizer.convert_tokens_to_ids(token)) for token in SPECIAL}
    return Qwen2VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1000000.0},
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "initializer_range": 0.3,  # so that attention is not flat, and positions tell
            **(text or {}),
        },
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "patch_size": 14,
            "initializer_range": 0.1,
            **(vision or {}),
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )


def plain_patches(image: Image.Image, *, least: int, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut a picture into patches, by loops: `(patches, 3*2*14*14)` and `(1, 3)` of its grid."""
    for low, high in ((4, 16384), (least, most)):
        height, width = smart_resize(image.height, image.width, 28, low * 784, high * 784)
        image = image.convert("RGB").resize((width, image.height), Image.Resampling.BICUBIC)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(image)).float() / 255
    pixels = ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(2, 0, 1)
    patches = []
    for row in range(0, height, 28):
        for column in range(0, width, 28):
            for top in (row, row + 14):
                for left in (column, column + 14):
                    patch = pixels[:, top : top + 14, left : left + 14]
                    patches.append(torch.stack([patch, patch], dim=1).reshape(-1))  # channel, time, row, column
    return torch.stack(patches), torch.tensor([[1, height // 14, width // 14]])


def plain_embedding(
    folder: Path,
    text: str,
    image: Image.Image | None,
    *,
    instruction: str = "You are a helpful assistant.",
    least: int = 256,
    most: int = 1280,
    positions: str = "plain",
) -> torch.Tensor:
    """Embed one item alone, as the published code did: no batch, no padding, positions counted.

    Args:
        folder: of `write_tiny_gme`.
        text: the user's words.
        image: a picture before them.
        instruction: the system's words.
        least: tokens of a picture, at least.
        most: tokens of a picture, at most.
        positions: `plain`, or `grid` for what `Qwen2VLModel.forward` makes of the picture's grid by itself.
    """
    model, tokenizer = _loaded(folder)
    patches, grid, holes = None, None, ""
    if image is not None:
        patches, grid = plain_patches(image, least=least, most=most)
        holes = "<|vision_start|>" + "<|image_pad|>" * (len(patches) // 4) + "<|vision_end|>"
    words = (
        f"<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n{holes}{text}<|im_end|>\n"
        "<|im_start|>assistant\n<|endoftext|>"
    )
    ids = torch.tensor([tokenizer(words)["input_ids"][:1800]])
    with torch.no_grad():
        if positions == "grid":
            kinds = (ids == model.config.image_token_id).int()
            hidden = model(
                input_ids=ids, pixel_values=patches, image_grid_thw=grid, mm_token_type_ids=kinds
            ).last_hidden_state
        else:
            embeds = model.language_model.embed_tokens(ids)
            if patches is not None:
                embeds[ids == model.config.image_token_id] = model.visual(patches, grid_thw=grid).pooler_output
            count = torch.arange(ids.shape[1])
            hidden = model.language_model(
                inputs_embeds=embeds, position_ids=torch.stack([count[None]] * 3)
            ).last_hidden_state
    return hidden[0, -1] / hidden[0, -1].norm()


@cache
def _loaded(folder: Path) -> tuple[Any, Any]:
    model = Qwen2VLForConditionalGeneration.from_pretrained(folder).eval()
    return model.model, Qwen2Tokenizer.from_pretrained(folder)


def picture(width: int, height: int, *, seed: int = 0) -> Image.Image:
    """Return a picture of smooth random colours."""
    generator = torch.Generator().manual_seed(seed)
    small = (torch.rand(5, 7, 3, generator=generator) * 255).byte().numpy()
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
