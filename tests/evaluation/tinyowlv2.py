"""An OWLv2 of random weights, processor included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import Owlv2Config, Owlv2ForObjectDetection
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def write_tiny_owlv2(folder: Path, *, seed: int = 0) -> Path:
    """Write a checkpoint as the published ones are laid out, for pictures of 64 pixels in patches of 16."""
    torch.manual_seed(seed)
    model = Owlv2ForObjectDetection(owlv2_config())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:  # so that boxes and scores of different patches differ
                parameter.normal_(std=0.5)
        model.box_head.dense2.weight.mul_(0.05)  # boxes near the cells they belong to
        model.class_head.logit_shift.bias.fill_(1.0)  # so that many boxes are good enough
    model.save_pretrained(folder)
    Owlv2ImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def owlv2_config(
    *, text: Mapping[str, Any] | None = None, vision: Mapping[str, Any] | None = None, projection_dim: int = 16
) -> Owlv2Config:
    """Return the shape of a model; `text` and `vision` are what another size has otherwise."""
    return Owlv2Config(
        text_config={
            "vocab_size": 20,
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "bos_token_id": 1,
            "eos_token_id": 2,
            **(text or {}),
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            **(vision or {}),
        },
        projection_dim=projection_dim,
    )
