"""Models of random weights for `eval.py`: they cost what real ones cost, and find one thing in every frame.

`small` stands for all parts but the model: pictures enter it at the published sizes. `published` has the published shapes; where
those are not public as code (the layers of insightface's ONNX files) convolutions of about their cost. Builders are the tests'.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SMALL_CLIP = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
LARGE_CLIP = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
SMALL_OWL = {
    "vocab_size": 600,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "visual_config": {
        "visual_model": {**SMALL_CLIP, "image_size": 112, "patch_size": 14},
        "visual_abstractor": {
            **SMALL_CLIP,
            "num_learnable_queries": 64,
            "encoder_hidden_size": 64,
            "grid_size": 8,
        },
    },
}
LARGE_OWL = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
# config.json of Alibaba-NLP/gme-Qwen2-VL-7B-Instruct and google/owlv2-base-patch16-ensemble.
LARGE_GME_TEXT: dict[str, Any] = {
    "vocab_size": 151646,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1000000.0},
}
LARGE_GME_VISION = {"depth": 32, "embed_dim": 1280, "hidden_size": 3584, "num_heads": 16}
LARGE_OWLV2_TEXT = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
}
LARGE_OWLV2_VISION = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "image_size": 960,
    "patch_size": 16,
}
# 100 patches, so that the model is small and the picture that enters it is not.
SMALL_OWLV2_VISION = {"image_size": 960, "patch_size": 96}
# Convolutions of 3x3: about 10 GFLOP at 640x640, and 6 GFLOP at 112x112.
SCRFD_LEVELS: dict[int, tuple[list[int], tuple[int, ...]]] = {  # widths, and which of them halve the sides
    8: ([28, *[56] * 6, *[88] * 5], (0, 1, 7)),
    16: ([88] * 4, (0,)),
    32: ([224] * 6, (0,)),
}
IR50 = [(64, 1)] + [
    (width, 2 if place == 0 else 1)
    for width, count in ((64, 6), (128, 8), (256, 28), (512, 6))
    for place in range(count)
]


# Which of the models a metric needs.
NEEDS = {
    "aesthetics": ("clip", "head"),
    "motion_smoothness": ("owl",),
    "facesim": ("scrfd", "arcface", "curricular"),
    "gmescore": ("gme",),
    "nexusscore": ("gme", "owlv2"),
}


def write_models(folder: Path, size: str, *, for_metrics: Sequence[str]) -> dict[str, str]:
    """Write what metrics need; return where each model is."""
    is_large = size == "published"
    names = {
        "clip": "clip",
        "head": "head.pth",
        "owl": "owl",
        "gme": "gme",
        "owlv2": "owlv2",
        "scrfd": "scrfd.onnx",
        "arcface": "arcface.onnx",
        "curricular": "curricular.bin" if is_large else "curricular.onnx",
    }
    folder.mkdir(parents=True)
    places = {name: str(folder / file) for name, file in names.items()}
    needed = {name for metric in for_metrics for name in NEEDS.get(metric, ())}
    if "clip" in needed:
        write_clip(Path(places["clip"]), Path(places["head"]), LARGE_CLIP if is_large else SMALL_CLIP)
    if "owl" in needed:
        write_owl(Path(places["owl"]), LARGE_OWL if is_large else SMALL_OWL)
    if "gme" in needed:
        write_gme(Path(places["gme"]), is_large=is_large)
    if "owlv2" in needed:
        write_owlv2(Path(places["owlv2"]), is_large=is_large)
    if "scrfd" in needed:
        write_faces(places, is_large=is_large)
    return places


def write_clip(folder: Path, head: Path, shape: dict[str, Any]) -> None:
    """Write CLIP's vision half and LAION's head."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from opens2v_eval.models.checkpoints import quiet_transformers
    from opens2v_eval.models.clip_aesthetics import AestheticHead

    config = CLIPVisionConfig(**shape, image_size=224, patch_size=14, projection_dim=768)
    with quiet_transformers():
        CLIPVisionModelWithProjection(config).save_pretrained(folder)
    torch.save(AestheticHead().state_dict(), head)


def write_owl(folder: Path, config: dict[str, Any]) -> None:
    """Write an mPLUG-Owl2, float16, and a tokenizer of Llama's kind."""
    import torch
    from transformers import LlamaTokenizer

    from opens2v_eval.models.owl2 import Owl2
    from opens2v_eval.models.quality import WORDS

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        model = Owl2(config)
    torch.save(random_weights(model), folder / "pytorch_model.bin")
    letters = sorted({letter for word in WORDS for letter in word})
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        grown = "▁"
        for letter in word:
            if grown + letter not in tokens:
                merges.append((grown, letter))
                tokens.append(grown + letter)
            grown += letter
    vocabulary = {token: number for number, token in enumerate(tokens)}
    LlamaTokenizer(vocab=vocabulary, merges=merges).save_pretrained(folder)  # pyright: ignore[reportArgumentType]


def write_gme(folder: Path, *, is_large: bool) -> None:
    """Write a GME: Qwen2-VL with its tokenizer and image processor."""
    import torch
    from transformers import Qwen2VLForConditionalGeneration

    from evaluation.tinygme import gme_config, write_reader
    from opens2v_eval.models.checkpoints import quiet_transformers

    folder.mkdir()
    text, vision = (LARGE_GME_TEXT, LARGE_GME_VISION) if is_large else ({"num_hidden_layers": 1}, {"depth": 1})
    with quiet_transformers():
        config = gme_config(write_reader(folder), text=text, vision=vision)
        with torch.device("meta"):
            model = Qwen2VLForConditionalGeneration(config)
        model.save_pretrained(folder, state_dict=random_weights(model))


def write_owlv2(folder: Path, *, is_large: bool) -> None:
    """Write an OWLv2 that takes 960x960 pixels, and to which every patch looks like whatever is looked for."""
    import torch
    from transformers import Owlv2ForObjectDetection
    from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil

    from evaluation.tinyowlv2 import owlv2_config
    from opens2v_eval.models.checkpoints import quiet_transformers

    config = owlv2_config(vision=SMALL_OWLV2_VISION)
    if is_large:
        config = owlv2_config(text=LARGE_OWLV2_TEXT, vision=LARGE_OWLV2_VISION, projection_dim=512)
    torch.manual_seed(0)
    model = Owlv2ForObjectDetection(config)
    with torch.no_grad():
        model.class_head.logit_shift.weight.zero_()
        model.class_head.logit_shift.bias.fill_(3.0)  # above any cosine
    with quiet_transformers():
        model.save_pretrained(folder)
        Owlv2ImageProcessorPil().save_pretrained(folder)


def write_faces(places: dict[str, str], *, is_large: bool) -> None:
    """Write a detector that finds one face in whatever it is shown, and two recognisers."""
    import torch

    from evaluation.onnxfile import node, write_onnx
    from evaluation.tinyfaces import STRIDES, detector_weights, write_scrfd, write_tiny_recogniser
    from opens2v_eval.models.faces_curricular import Ir101

    rng = np.random.default_rng(0)
    nodes: list[bytes] = []
    weights: dict[str, np.ndarray] = {}
    source, channels = "pixels", 3
    for stride in STRIDES:
        if is_large:
            widths, halving = SCRFD_LEVELS[stride]
            layers = [(width, 2 if place in halving else 1) for place, width in enumerate(widths)]
            nodes += convolutions(f"c{stride}", source, f"level_{stride}", channels, layers, weights, rng)
            source, channels = f"level_{stride}", widths[-1]
        else:
            side = [stride] * 2
            nodes.append(node("AveragePool", ["pixels"], f"level_{stride}", kernel_shape=side, strides=side))
    heads = detector_weights()
    if is_large:
        for stride in STRIDES:
            width = SCRFD_LEVELS[stride][0][-1]
            for kind, count in (("score", 2), ("box", 8), ("point", 20)):
                heads[f"{kind}_{stride}"] = rng.normal(0, 1e-3, (count, width)).astype(np.float32)
    maps = {}
    for stride in STRIDES:
        heads[f"score_{stride}"] = heads[f"score_{stride}"] * 0
        maps[stride] = np.zeros((1, 2, 320 // stride, 320 // stride), dtype=np.float32)
    maps[32][0, 0, 3, 4] = 24  # above the bias of -12; all else stays below
    write_scrfd(Path(places["scrfd"]), levels=nodes, weights=weights, heads=heads, score_maps=maps)
    if not is_large:
        write_tiny_recogniser(Path(places["arcface"]), seed=1)
        write_tiny_recogniser(Path(places["curricular"]), seed=2)
        return
    torch.save(Ir101().state_dict(), places["curricular"])
    weights = {"matrix": rng.normal(0, 1e-2, (512 * 7 * 7, 512)).astype(np.float32)}
    nodes = convolutions("c", "face", "last", 3, IR50, weights, rng)
    nodes += [node("Flatten", ["last"], "flat", axis=1), node("MatMul", ["flat", "matrix"], "vector")]
    write_onnx(
        Path(places["arcface"]),
        nodes=nodes,
        weights=weights,
        inputs={"face": ["n", 3, 112, 112]},
        outputs={"vector": ["n", 512]},
    )


def convolutions(
    name: str,
    source: str,
    target: str,
    channels: int,
    layers: Sequence[tuple[int, int]],
    weights: dict[str, np.ndarray],
    rng: np.random.Generator,
) -> list[bytes]:
    """Return nodes of 3x3 convolutions, given as width and stride, with ReLU; their weights are put into `weights`."""
    from evaluation.onnxfile import node

    nodes = []
    for place, (width, stride) in enumerate(layers):
        kernel, made = f"{name}_{place}", target if place == len(layers) - 1 else f"{name}_{place}_out"
        weights[kernel] = rng.normal(0, (2 / (9 * channels)) ** 0.5, (width, channels, 3, 3)).astype(np.float32)
        nodes.append(node("Conv", [source, kernel], f"{kernel}_sum", pads=[1] * 4, strides=[stride] * 2))
        nodes.append(node("Relu", [f"{kernel}_sum"], made))
        source, channels = made, width
    return nodes


def random_weights(model: Any) -> dict[str, Any]:
    """Return float16 weights for a model that has none: a million of random numbers again and again, 8 billion in seconds."""
    import torch

    some = (torch.randn(1 << 20) * 0.02).half()
    return {
        name: some.repeat(-(-value.numel() // len(some)))[: value.numel()].reshape(value.shape).clone()
        for name, value in model.state_dict().items()
    }


def write_references(folder: Path) -> dict[str, str]:
    """Write reference images, of a person and of a thing; return where they are."""
    import cv2

    rng = np.random.default_rng(1)
    places = {}
    for name in ("man", "cup"):
        small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        path = folder / "Images" / name / "1.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), cv2.resize(small, (768, 768), interpolation=cv2.INTER_CUBIC))
        places[name] = str(path)
    return places
