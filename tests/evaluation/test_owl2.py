"""mPLUG-Owl2, written anew: its parts are those of transformers where it has them, and a plain reading elsewhere."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("torch", reason="models are torch's")
pytest.importorskip("transformers", reason="the reference is transformers'")

import torch
import transformers

from evaluation.tinyowl import HEADS, HIDDEN, IMAGE_SIZE, config, random_weights, write_checkpoint
from opens2v_data.errors import MetricError
from opens2v_eval.models.owl2 import Owl2

if TYPE_CHECKING:
    from pathlib import Path


def model_of(weights: dict[str, torch.Tensor], made_for: dict[str, Any] | None = None) -> Owl2:
    model = Owl2(made_for or config())
    model.load_state_dict(weights)
    return model.eval().requires_grad_(False)


def close(found: torch.Tensor, expected: torch.Tensor, *, atol: float = 2e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-4)


def test_the_vision_transformer_is_clips_with_all_tokens_normed() -> None:
    weights, sizes = random_weights(config()), config()["visual_config"]["visual_model"]
    clip = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**sizes, hidden_act="quick_gelu")).eval()
    mapped = {}
    for name, value in weights.items():
        if not name.startswith("model.vision_model."):
            continue
        short = name.removeprefix("model.vision_model.")
        if short.endswith(("query_key_value.weight", "query_key_value.bias")):
            parts = value.view(2, 3, 6, *value.shape[1:])  # heads, three, size of a head
            layer, last = short.split("self_attn")[0], short.rpartition(".")[2]
            for place, letter in enumerate("qkv"):
                mapped[f"{layer}self_attn.{letter}_proj.{last}"] = parts[:, place].reshape(12, *value.shape[1:])
            continue
        for old, new in {
            "embeddings.cls_token": "embeddings.class_embedding",
            "embeddings.patch_embed": "embeddings.patch_embedding",
            "embeddings.position_embedding": "embeddings.position_embedding.weight",
            "embeddings.pre_layernorm": "pre_layrnorm",
            "self_attn.dense": "self_attn.out_proj",
            "post_attention_layernorm": "layer_norm2",
            "input_layernorm": "layer_norm1",
        }.items():
            if old in short:
                short = short.replace(old, new)
                break
        mapped[short] = value[0, 0] if "class_embedding" in short else value
        mapped[short] = value[0] if "position_embedding" in short else mapped[short]
    inner = getattr(clip, "vision_model", clip)
    result = inner.load_state_dict(mapped, strict=False)
    assert not result.unexpected_keys and all("position_ids" in key for key in result.missing_keys)
    pixels = torch.randn(3, 3, IMAGE_SIZE, IMAGE_SIZE)
    with torch.no_grad():
        expected = inner.post_layernorm(inner(pixel_values=pixels).last_hidden_state)
    close(model_of(weights).model.vision_model(pixels), expected)  # pyright: ignore[reportCallIssue]


def plain_norm(states: torch.Tensor, weights: dict[str, torch.Tensor], name: str, eps: float) -> torch.Tensor:
    middle = states - states.mean(-1, keepdim=True)
    scaled = middle / torch.sqrt(middle.square().mean(-1, keepdim=True) + eps)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(states: torch.Tensor, weights: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    made = states @ weights[f"{name}.weight"].T
    return made + weights[f"{name}.bias"] if f"{name}.bias" in weights else made


def attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, *, causal: bool) -> torch.Tensor:
    """One head, one query at a time."""
    size = query.shape[-1] // heads
    rows = []
    for place in range(len(query)):
        until = place + 1 if causal else len(key)
        parts = []
        for head in range(heads):
            cut = slice(head * size, (head + 1) * size)
            likeness = key[:until, cut] @ query[place, cut] / math.sqrt(size)
            parts.append(torch.softmax(likeness, 0) @ value[:until, cut])
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def test_the_abstractor_is_a_plain_reading_of_the_published_one() -> None:
    weights = random_weights(config(), seed=1)
    seen = torch.randn(2, 17, 12)
    found = model_of(weights).model.visual_abstractor(seen)  # pyright: ignore[reportCallIssue]
    root = "model.visual_abstractor."
    for number in range(2):
        queries = weights[f"{root}query_embeds"][0]
        for layer in range(2):
            name = f"{root}encoder.layers.{layer}.crossattention."
            queries = plain_norm(queries, weights, f"{name}norm1", 1e-5)
            context = torch.cat([queries, plain_norm(seen[number], weights, f"{name}normk", 1e-5)])
            mine, theirs = weights[f"{name}attention.q_pos_embed"], weights[f"{name}attention.k_pos_embed"]
            query = linear(queries + mine, weights, f"{name}attention.query")
            key = linear(context + torch.cat([mine, theirs]), weights, f"{name}attention.key")
            value = linear(context, weights, f"{name}attention.value")
            states = queries + linear(attention(query, key, value, 2, causal=False), weights, f"{name}output.out_proj")
            inner = plain_norm(states, weights, f"{name}output.norm2", 1e-5)
            gate = linear(inner, weights, f"{name}output.mlp.w1")
            inner = gate * torch.sigmoid(gate) * linear(inner, weights, f"{name}output.mlp.w3")
            inner = plain_norm(inner, weights, f"{name}output.mlp.ffn_ln", 1e-6)
            queries = states + linear(inner, weights, f"{name}output.mlp.w2")
        expected = torch.cat([linear(queries, weights, f"{root}visual_fc"), weights[f"{root}vit_eos"][0]])
        close(found[number], expected)


@pytest.mark.parametrize("key_heads", [1, 2])
def test_with_both_ways_alike_it_is_llama(key_heads: int) -> None:
    made_for = config(num_key_value_heads=key_heads)
    weights = random_weights(made_for, seed=2)
    for name in weights:
        if ".multiway.1." in name:
            weights[name] = weights[name.replace(".multiway.1.", ".multiway.0.")]
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=400,
            hidden_size=HIDDEN,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=HEADS,
            num_key_value_heads=key_heads,
            rms_norm_eps=1e-5,
        )
    ).eval()
    own = {name.replace(".multiway.0.", "."): value for name, value in weights.items() if ".multiway.1." not in name}
    own = {name: value for name, value in own.items() if not name.startswith("model.vis")}
    llama.load_state_dict(own)
    before, after, wanted = torch.tensor([1, 7, 9]), torch.tensor([30, 31, 5, 6]), torch.tensor([11, 3, 300])
    pictures = torch.randn(2, 5, HIDDEN)
    found = model_of(weights, made_for).next_token_logits(before, pictures, after, wanted=wanted)
    embedded = llama.get_input_embeddings()
    text = [embedded(ids).expand(2, -1, -1) for ids in (before, after)]
    with torch.no_grad():
        logits = llama(inputs_embeds=torch.cat([text[0], pictures, text[1]], dim=1)).logits
    close(found, logits[:, -1, wanted])


def plain_logits(
    weights: dict[str, torch.Tensor], before: list[int], picture: torch.Tensor, after: list[int]
) -> torch.Tensor:
    """The language model, token by token, each by the way of its kind."""
    embedding = weights["model.embed_tokens.weight"]
    states = torch.cat([embedding[before], picture, embedding[after]])
    ways = [0] * len(before) + [1] * len(picture) + [0] * len(after)

    def norm(states: torch.Tensor, name: str) -> torch.Tensor:
        rows = []
        for way, row in zip(ways, states, strict=True):
            weight = weights.get(f"{name}.multiway.{way}.weight", weights.get(f"{name}.weight"))
            assert weight is not None
            rows.append(row / torch.sqrt(row.square().mean() + 1e-5) * weight)
        return torch.stack(rows)

    def by_way(states: torch.Tensor, name: str) -> torch.Tensor:
        return torch.stack(
            [weights[f"{name}.multiway.{way}.weight"] @ row for way, row in zip(ways, states, strict=True)]
        )

    def turned(states: torch.Tensor) -> torch.Tensor:
        size = HIDDEN // HEADS
        made = states.clone()
        for place in range(len(states)):
            for head in range(HEADS):
                for pair in range(size // 2):
                    a, b = head * size + pair, head * size + pair + size // 2
                    angle = place / 10000 ** (2 * pair / size)
                    made[place, a] = states[place, a] * math.cos(angle) - states[place, b] * math.sin(angle)
                    made[place, b] = states[place, b] * math.cos(angle) + states[place, a] * math.sin(angle)
        return made

    for layer in range(2):
        name = f"model.layers.{layer}."
        inner = norm(states, f"{name}input_layernorm")
        query = turned(linear(inner, weights, f"{name}self_attn.q_proj"))
        key = turned(by_way(inner, f"{name}self_attn.k_proj"))
        seen = attention(query, key, by_way(inner, f"{name}self_attn.v_proj"), HEADS, causal=True)
        states = states + linear(seen, weights, f"{name}self_attn.o_proj")
        inner = norm(states, f"{name}post_attention_layernorm")
        gate = linear(inner, weights, f"{name}mlp.gate_proj")
        inner = gate * torch.sigmoid(gate) * linear(inner, weights, f"{name}mlp.up_proj")
        states = states + linear(inner, weights, f"{name}mlp.down_proj")
    return weights["lm_head.weight"] @ norm(states, "model.norm")[-1]


def test_words_and_pictures_go_their_own_ways() -> None:
    weights = random_weights(config(), seed=3)
    before, after = [1, 40, 41], [50, 51]
    pictures = torch.randn(2, 4, HIDDEN)
    wanted = torch.arange(400)
    found = model_of(weights).next_token_logits(torch.tensor(before), pictures, torch.tensor(after), wanted=wanted)
    for number in range(2):
        close(found[number], plain_logits(weights, before, pictures[number], after))


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_a_checkpoint_in_parts_loads_whole(tmp_path: Path, kind: str) -> None:
    weights = random_weights(config(), seed=4)
    extra = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}  # old checkpoints have it
    folder = write_checkpoint(tmp_path / kind, {**weights, **extra}, kind=kind)
    model = Owl2.load(folder, dtype=torch.float32, device="cpu")
    assert {name: value.shape for name, value in model.state_dict().items()} == {
        name: value.shape for name, value in weights.items()
    }
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert Owl2.load(folder, dtype=torch.float16, device="cpu").lm_head.weight.dtype == torch.float16


def test_a_checkpoint_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    def refused(match: str, folder: Path) -> None:
        with pytest.raises(MetricError, match=match):
            Owl2.load(folder, dtype=torch.float32, device="cpu")

    refused("expected a checkpoint of mPLUG-Owl2 in .*FileNotFoundError", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    refused("KeyError: 'vocab_size'", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config()))
    refused(r"expected weights \(\*\.safetensors or pytorch_model\*\.bin\)", tmp_path)
    weights = random_weights(config())
    lacking = {name: value for name, value in weights.items() if "vit_eos" not in name}
    refused(
        r"1 tensors are missing \(model\.visual_abstractor\.vit_eos\), 0 are strange",
        write_checkpoint(tmp_path / "a", lacking),
    )
    strange = {**weights, "lm_head.weight": torch.zeros(5, 5), "adapter": torch.zeros(1)}
    refused(
        r"1 tensors are missing \(lm_head\.weight\), 2 are strange \(adapter, lm_head\.weight \(5, 5\)\)",
        write_checkpoint(tmp_path / "b", strange),
    )
    (tmp_path / "pytorch_model.bin").write_bytes(b"no weights")
    refused("holds no weights that can be read safely", tmp_path)
