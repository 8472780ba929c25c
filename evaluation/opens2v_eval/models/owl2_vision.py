"""mPLUG-Owl2's eyes: a vision transformer, and an abstractor that asks it questions of its own (arXiv:2311.04257).

    pixels (n, 3, 448, 448) ──ViT-L/14──▶ (n, 1025, 1024) ──64 learned queries, 6 layers──▶ (n, 65, 4096)

Modules are named as in the checkpoints of `q-future/one-align` and `MAGAer13/mplug-owl2-llama2-7b`, so that those load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention, silu

if TYPE_CHECKING:
    from collections.abc import Mapping


class OwlVision(nn.Module):
    """The vision transformer.

    Args:
        config: `visual_config.visual_model` of the checkpoint.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.embeddings = _Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList([_VisionLayer(config) for _ in range(config["num_hidden_layers"])])
        self.post_layernorm = nn.LayerNorm(config["hidden_size"], eps=config["layer_norm_eps"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return `(n, 1 + patches, hidden)` of `(n, 3, size, size)`."""
        states = self.embeddings(pixels)
        for layer in self.encoder.layers:  # pyright: ignore[reportGeneralTypeIssues]
            states = layer(states)
        return self.post_layernorm(states)


class _Embeddings(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, patch = config["hidden_size"], config["patch_size"]
        num_patches = (config["image_size"] // patch) ** 2
        self.cls_token = nn.Parameter(torch.empty(1, 1, hidden))
        self.patch_embed = nn.Conv2d(3, hidden, kernel_size=patch, stride=patch, bias=False)
        self.position_embedding = nn.Parameter(torch.empty(1, num_patches + 1, hidden))
        self.pre_layernorm = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.patch_embed(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return self.pre_layernorm(tokens + self.position_embedding)


class _VisionAttention(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.num_heads = config["num_attention_heads"]
        self.query_key_value = nn.Linear(hidden, 3 * hidden)
        self.dense = nn.Linear(hidden, hidden)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        batch, length, hidden = states.shape
        # The three lie side by side for each head, not one whole after the other.
        mixed = self.query_key_value(states).view(batch, length, self.num_heads, 3, hidden // self.num_heads)
        query, key, value = mixed.permute(3, 0, 2, 1, 4)
        seen = scaled_dot_product_attention(query, key, value)
        return self.dense(seen.transpose(1, 2).reshape(batch, length, hidden))


class _VisionMlp(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config["hidden_size"], config["intermediate_size"])
        self.fc2 = nn.Linear(config["intermediate_size"], config["hidden_size"])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = self.fc1(states)
        return self.fc2(states * torch.sigmoid(1.702 * states))


class _VisionLayer(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, eps = config["hidden_size"], config["layer_norm_eps"]
        self.self_attn = _VisionAttention(config)
        self.input_layernorm = nn.LayerNorm(hidden, eps=eps)
        self.mlp = _VisionMlp(config)
        self.post_attention_layernorm = nn.LayerNorm(hidden, eps=eps)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self.self_attn(self.input_layernorm(states))
        return states + self.mlp(self.post_attention_layernorm(states))


class OwlAbstractor(nn.Module):
    """Learned queries that gather a picture into a few tokens of the language model, and one token that ends it.

    Args:
        config: `visual_config.visual_abstractor` of the checkpoint.
        language_hidden: size of the language model's tokens.
    """

    def __init__(self, config: Mapping[str, Any], language_hidden: int) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList([_AbstractorLayer(config) for _ in range(config["num_hidden_layers"])])
        self.visual_fc = nn.Linear(hidden, language_hidden)
        self.query_embeds = nn.Parameter(torch.empty(1, config["num_learnable_queries"], hidden))
        self.vit_eos = nn.Parameter(torch.empty(1, 1, language_hidden))

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        """Return `(n, queries + 1, language hidden)` of what `OwlVision` gives."""
        queries = self.query_embeds.expand(len(seen), -1, -1)
        for layer in self.encoder.layers:  # pyright: ignore[reportGeneralTypeIssues]
            queries = layer(queries, seen)
        return torch.cat([self.visual_fc(queries), self.vit_eos.expand(len(seen), -1, -1)], dim=1)


class _AbstractorLayer(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.crossattention = nn.Module()
        self.crossattention.attention = _CrossAttention(config)
        self.crossattention.output = _CrossOutput(config)
        self.crossattention.norm1 = nn.LayerNorm(config["hidden_size"])
        self.crossattention.normk = nn.LayerNorm(config["hidden_size"])

    def forward(self, queries: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        parts: Any = self.crossattention
        queries = parts.norm1(queries)  # what follows adds to the normed queries, not to those before
        context = torch.cat([queries, parts.normk(seen)], dim=1)
        return parts.output(parts.attention(queries, context), queries)


class _CrossAttention(nn.Module):
    """Queries ask the picture, and each other; places are added before the keys and queries are made, not to the values."""

    q_pos_embed: torch.Tensor
    k_pos_embed: torch.Tensor

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.num_heads = config["num_attention_heads"]
        self.query = nn.Linear(hidden, hidden)
        self.key = nn.Linear(config["encoder_hidden_size"], hidden)
        self.value = nn.Linear(config["encoder_hidden_size"], hidden)
        self.register_buffer("q_pos_embed", torch.empty(config["num_learnable_queries"], hidden))
        self.register_buffer("k_pos_embed", torch.empty(1 + config["grid_size"] ** 2, hidden))

    def forward(self, queries: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        places = torch.cat([self.q_pos_embed, self.k_pos_embed]).to(context.dtype)
        query = self._by_head(self.query(queries + self.q_pos_embed.to(queries.dtype)))
        key, value = self._by_head(self.key(context + places)), self._by_head(self.value(context))
        return scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)

    def _by_head(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(2, (self.num_heads, -1)).transpose(1, 2)


class _CrossOutput(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden = config["hidden_size"]
        self.out_proj = nn.Linear(hidden, hidden)
        self.norm2 = nn.LayerNorm(hidden)
        self.mlp = _AbstractorMlp(config)

    def forward(self, found: torch.Tensor, queries: torch.Tensor) -> torch.Tensor:
        states = queries + self.out_proj(found)
        return states + self.mlp(self.norm2(states))


class _AbstractorMlp(nn.Module):
    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        hidden, inner = config["hidden_size"], config["intermediate_size"]
        self.w1, self.w2, self.w3 = nn.Linear(hidden, inner), nn.Linear(inner, hidden), nn.Linear(hidden, inner)
        self.ffn_ln = nn.LayerNorm(inner, eps=config["layer_norm_eps"])

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.w2(self.ffn_ln(silu(self.w1(states)) * self.w3(states)))
