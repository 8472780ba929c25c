"""mPLUG-Owl2: Llama 2 with a way of its own for tokens of pictures, as far as one forward pass needs it (arXiv:2311.04257).

    tokens      text … picture picture picture … text
    norms, keys and values    way 0 for text, way 1 for pictures; all the rest is shared, and attention is causal

The published class is code of the Hub's repository and of transformers 4.36 to 4.37: with 5 it does not load (Q-Align issues
31 and 42). It is written anew here, for the published weights; no code of the repository is run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, silu

from opens2v_data.errors import MetricError
from opens2v_eval.models.owl2_vision import OwlAbstractor, OwlVision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of configuration_mplug_owl2.py: what a checkpoint's config.json may leave out.
_LANGUAGE = {"rms_norm_eps": 1e-6, "rope_theta": 10000.0, "num_key_value_heads": None}
_VISION = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 448,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
}
_ABSTRACTOR = {
    "num_learnable_queries": 64,
    "hidden_size": 1024,
    "num_hidden_layers": 6,
    "num_attention_heads": 16,
    "intermediate_size": 2816,
    "layer_norm_eps": 1e-6,
    "encoder_hidden_size": 1024,
    "grid_size": 32,
}
# Made from the config where they are in a checkpoint at all.
_NOT_LEARNED = ("rotary_emb.inv_freq",)


class Owl2(nn.Module):
    """The whole model.

    Args:
        config: the checkpoint's `config.json`.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        language = {**_LANGUAGE, **config}
        visual = config.get("visual_config") or {}
        self.vision_config = {**_VISION, **visual.get("visual_model", {})}
        abstractor = {**_ABSTRACTOR, **visual.get("visual_abstractor", {})}
        abstractor["grid_size"] = abstractor["grid_size"] or _ABSTRACTOR["grid_size"]
        self.model = nn.Module()
        self.model.embed_tokens = nn.Embedding(language["vocab_size"], language["hidden_size"])
        self.model.layers = nn.ModuleList([_Layer(language) for _ in range(language["num_hidden_layers"])])
        self.model.norm = _RmsNorm(language["hidden_size"], language["rms_norm_eps"])
        self.model.vision_model = OwlVision(self.vision_config)
        self.model.visual_abstractor = OwlAbstractor(abstractor, language["hidden_size"])
        self.lm_head = nn.Linear(language["hidden_size"], language["vocab_size"], bias=False)
        self._theta = language["rope_theta"]
        self._head_size = language["hidden_size"] // language["num_attention_heads"]

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pictures as tokens: `(n, tokens, hidden)` of `(n, 3, size, size)`."""
        parts: Any = self.model
        return parts.visual_abstractor(parts.vision_model(pixels))

    def next_token_logits(
        self, before: torch.Tensor, pictures: torch.Tensor, after: torch.Tensor, *, wanted: torch.Tensor
    ) -> torch.Tensor:
        """Return how likely some tokens are to follow a text with pictures in it.

        Args:
            before: `(b,)` token ids, before the pictures.
            pictures: `(batch, tokens, hidden)`, of `encode`.
            after: `(a,)` token ids, after them.
            wanted: `(k,)` token ids.

        Returns:
            `(batch, k)` logits.
        """
        parts: Any = self.model
        text = [parts.embed_tokens(ids).expand(len(pictures), -1, -1) for ids in (before, after)]
        states = torch.cat([text[0], pictures, text[1]], dim=1)
        shown = slice(len(before), len(before) + pictures.shape[1])
        rotation = _rotation(states.shape[1], self._head_size, self._theta, states)
        for layer in parts.layers:
            states = layer(states, shown, rotation)
        return parts.norm(states[:, -1]) @ self.lm_head.weight[wanted].T

    @classmethod
    def load(cls, folder: Path, *, dtype: torch.dtype, device: str) -> Owl2:
        """Load a checkpoint.

        Args:
            folder: with `config.json`, and weights in files of safetensors, or `.bin` files.
            dtype: of the weights in memory; float16 as published.
            device: where to.

        Raises:
            MetricError: no such checkpoint, or weights that do not fill the model.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            with torch.device("meta"):
                model = cls(config)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MetricError(
                f"expected a checkpoint of mPLUG-Owl2 in {folder}, with a config.json such as q-future/one-align has, found "
                f"none that can be used ({type(error).__name__}: {error}); name another folder, or fetch it again"
            ) from error
        lacking, wrong = set(model.state_dict()), list[str]()
        for name, value in _weights(folder):
            if name in lacking:
                if value.shape != model.get_parameter_or_buffer(name).shape:
                    wrong.append(f"{name} {tuple(value.shape)}")
                    continue
                model.load_state_dict({name: value.to(device, dtype)}, strict=False, assign=True)
                lacking.remove(name)
            elif not name.endswith(_NOT_LEARNED):
                wrong.append(name)
        if lacking or wrong:
            raise MetricError(
                f"the weights in {folder} are not those of mPLUG-Owl2 of this config: {len(lacking)} tensors are missing "
                f"({', '.join(sorted(lacking)[:3])}), {len(wrong)} are strange ({', '.join(sorted(wrong)[:3])}); "
                "fetch the whole repository again"
            )
        return model.eval().requires_grad_(False)

    def get_parameter_or_buffer(self, name: str) -> torch.Tensor:
        """Return a tensor of the model by the name it has in a checkpoint."""
        module, _, last = name.rpartition(".")
        return getattr(self.get_submodule(module), last)


class _Multiway(nn.Module):
    """Two modules of the same shape: one for text, one for pictures."""

    def __init__(self, text: nn.Module, picture: nn.Module) -> None:
        super().__init__()
        self.multiway = nn.ModuleList([text, picture])

    def forward(self, states: torch.Tensor, shown: slice) -> torch.Tensor:
        text, picture = self.multiway
        before, after = states[:, : shown.start], states[:, shown.stop :]
        read = text(torch.cat([before, after], dim=1))
        seen = picture(states[:, shown])
        return torch.cat([read[:, : shown.start], seen, read[:, shown.start :]], dim=1)


class _RmsNorm(nn.Module):
    def __init__(self, hidden: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(hidden))
        self._eps = eps

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        wide = states.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self._eps)
        return self.weight * wide.to(states.dtype)


class _Attention(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, self._num_heads = config["hidden_size"], config["num_attention_heads"]
        self._head_size = hidden // self._num_heads
        inner = (config["num_key_value_heads"] or self._num_heads) * self._head_size
        self.q_proj = nn.Linear(hidden, hidden, bias=False)
        self.k_proj = _Multiway(nn.Linear(hidden, inner, bias=False), nn.Linear(hidden, inner, bias=False))
        self.v_proj = _Multiway(nn.Linear(hidden, inner, bias=False), nn.Linear(hidden, inner, bias=False))
        self.o_proj = nn.Linear(hidden, hidden, bias=False)

    def forward(self, states: torch.Tensor, shown: slice, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        query = _rotated(self._by_head(self.q_proj(states)), rotation)
        key = _rotated(self._by_head(self.k_proj(states, shown)), rotation)
        value = self._by_head(self.v_proj(states, shown))
        if (times := query.shape[1] // key.shape[1]) > 1:
            key, value = key.repeat_interleave(times, dim=1), value.repeat_interleave(times, dim=1)
        seen = scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.o_proj(seen.transpose(1, 2).flatten(2))

    def _by_head(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(2, (-1, self._head_size)).transpose(1, 2)


class _Mlp(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.down_proj(silu(self.gate_proj(states)) * self.up_proj(states))


class _Layer(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, eps = config["hidden_size"], config["rms_norm_eps"]
        self.self_attn = _Attention(config)
        self.mlp = _Mlp(config)
        self.input_layernorm = _Multiway(_RmsNorm(hidden, eps), _RmsNorm(hidden, eps))
        self.post_attention_layernorm = _Multiway(_RmsNorm(hidden, eps), _RmsNorm(hidden, eps))

    def forward(self, states: torch.Tensor, shown: slice, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        states = states + self.self_attn(self.input_layernorm(states, shown), shown, rotation)
        return states + self.mlp(self.post_attention_layernorm(states, shown))


def _rotation(length: int, size: int, theta: float, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines of places 0 to length - 1: `(length, size)`, made in float32."""
    places = torch.arange(length, dtype=torch.float32, device=like.device)
    steps = 1.0 / theta ** (torch.arange(0, size, 2, dtype=torch.float32, device=like.device) / size)
    angles = torch.outer(places, steps).repeat(1, 2)
    return angles.cos().to(like.dtype), angles.sin().to(like.dtype)


def _rotated(states: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    first, second = states.chunk(2, dim=-1)
    return states * rotation[0] + torch.cat([-second, first], dim=-1) * rotation[1]


def _weights(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a checkpoint's tensors, file by file, so that one file is in memory at a time.

    Raises:
        MetricError: no files of weights, or one that cannot be read safely.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise MetricError(f"expected weights (*.safetensors or pytorch_model*.bin) in {folder}, found none; fetch them")
    for file in files:
        try:
            if file.suffix == ".safetensors":
                from safetensors import safe_open

                with safe_open(file, framework="pt") as opened:
                    for name in opened.keys():  # noqa: SIM118 - it is no dict
                        yield name, opened.get_tensor(name)
            else:
                yield from torch.load(file, map_location="cpu", weights_only=True, mmap=True).items()
        except (OSError, RuntimeError, ValueError) as error:
            raise MetricError(f"{file} holds no weights that can be read safely: {error}; fetch it again") from error
