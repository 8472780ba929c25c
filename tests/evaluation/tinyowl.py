"""An mPLUG-Owl2 of random weights, laid out as the published checkpoint is, small enough for a CPU; Llama's tokenizer with it."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import torch
from transformers import LlamaTokenizer

from opens2v_eval.models.owl2 import Owl2
from opens2v_eval.models.quality import QUESTION, WORDS

if TYPE_CHECKING:
    from pathlib import Path

IMAGE_SIZE, PATCH, HIDDEN, HEADS = 28, 7, 16, 2


def config(**language: Any) -> dict[str, Any]:
    """Return a `config.json` with all that the published one has, small."""
    return {
        "model_type": "mplug_owl2",
        "vocab_size": 400,
        "hidden_size": HIDDEN,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "rms_norm_eps": 1e-5,
        "visual_config": {
            "visual_model": {
                "hidden_size": 12,
                "intermediate_size": 20,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": IMAGE_SIZE,
                "patch_size": PATCH,
                "layer_norm_eps": 1e-6,
            },
            "visual_abstractor": {
                "num_learnable_queries": 3,
                "hidden_size": 12,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "intermediate_size": 10,
                "layer_norm_eps": 1e-6,
                "encoder_hidden_size": 12,
                "grid_size": IMAGE_SIZE // PATCH,
            },
        },
        **language,
    }


def random_weights(made_for: dict[str, Any], *, seed: int = 0, scale: float = 0.4) -> dict[str, torch.Tensor]:
    """Return weights under the checkpoint's names, norms around 1."""
    torch.manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in Owl2(made_for).state_dict().items()}
    is_norm = {name: (name.endswith("weight") and "norm" in name) or "ffn_ln.weight" in name for name in shapes}
    return {name: torch.randn(shape) * scale + is_norm[name] for name, shape in shapes.items()}


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer of Llama's kind that has the words of the question, and of the answers, as tokens."""
    words = [*WORDS, *" ".join(QUESTION).split()]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    tokens += sorted({character for word in words for character in word})
    merges: list[tuple[str, str]] = []
    for word in words:
        grown = "▁"
        for character in word:
            if grown + character not in tokens:
                merges.append((grown, character))
                tokens.append(grown + character)
            grown += character
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    assert len(vocabulary) <= config()["vocab_size"]
    LlamaTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)  # pyright: ignore[reportArgumentType]


def write_checkpoint(
    folder: Path, weights: dict[str, torch.Tensor], *, kind: str = "bin", made_for: dict[str, Any] | None = None
) -> Path:
    """Write config, tokenizer and weights in two files, as the Hub has them; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(made_for or config()))
    write_tokenizer(folder)
    names = sorted(weights)
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        half = {name: weights[name].contiguous() for name in part}
        if kind == "bin":
            torch.save(half, folder / f"pytorch_model-0000{number}-of-00002.bin")
        else:
            from safetensors.torch import save_file

            save_file(half, folder / f"model-0000{number}-of-00002.safetensors")
    return folder


def write_sentencepiece(folder: Path, pieces: list[str]) -> Path:
    """Write pieces as a `tokenizer.model`, with fields besides that a reader must pass over; return its path."""

    def number(value: int) -> bytes:
        made = bytearray()
        while value > 127:
            made.append(value & 127 | 128)
            value >>= 7
        return bytes([*made, value])

    def field(place: int, data: bytes) -> bytes:
        return number(place << 3 | 2) + number(len(data)) + data

    made = b""
    for rank, piece in enumerate(pieces):
        kind = 2 if rank == 0 else 3 if rank < 3 else 6 if piece.startswith("<0x") else 1
        score = number(2 << 3 | 5) + struct.pack("<f", -float(rank))
        made += field(1, field(1, piece.encode()) + score + number(3 << 3) + number(kind))
    trainer = field(1, b"text.txt") + number(4 << 3) + number(32000) + number(9 << 3 | 1) + struct.pack("<d", 0.5)
    path = folder / "tokenizer.model"
    path.write_bytes(made + field(2, trainer))
    return path
