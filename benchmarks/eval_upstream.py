"""Upstream's way to score a video, for `eval.py`: PIL pictures, transformers' processor, each window on its own; its models."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

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
Read = Callable[[Path, list[int]], Any]


def write_models(folder: Path, size: str) -> dict[str, str]:
    """Write models of random weights, once; return where they are."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from opens2v_eval.models.checkpoints import quiet_transformers
    from opens2v_eval.models.clip_aesthetics import AestheticHead

    places = {"clip": str(folder / "clip"), "head": str(folder / "head.pth"), "owl": str(folder / "owl")}
    if folder.is_dir():
        return places
    folder.mkdir(parents=True)
    shape: dict[str, Any] = LARGE_CLIP if size == "published" else SMALL_CLIP
    config = CLIPVisionConfig(**shape, image_size=224, patch_size=14, projection_dim=768)
    with quiet_transformers():
        CLIPVisionModelWithProjection(config).save_pretrained(places["clip"])
    torch.save(AestheticHead().state_dict(), places["head"])
    write_owl(Path(places["owl"]), LARGE_OWL if size == "published" else SMALL_OWL)
    return places


def write_owl(folder: Path, config: dict[str, Any]) -> None:
    """Write an mPLUG-Owl2 of random weights, float16, and a tokenizer of Llama's kind."""
    import torch
    from transformers import LlamaTokenizer

    from opens2v_eval.models.owl2 import Owl2
    from opens2v_eval.models.quality import WORDS

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        model = Owl2(config)
    weights = {name: torch.randn(value.shape, dtype=torch.float16) * 0.02 for name, value in model.state_dict().items()}
    torch.save(weights, folder / "pytorch_model.bin")
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


def scorer(metric: str, options: dict[str, Any], device: str, read: Read) -> Callable[[Path], float]:
    """Return what scores a video in upstream's way."""
    return {"motion_amplitude": motion_amplitude, "aesthetics": aesthetics, "motion_smoothness": motion_smoothness}[
        metric
    ](options, device, read)


def pil_frames(read: Read, video: Path, indices: list[int]) -> list[Any]:
    """Read frames as PIL pictures."""
    from PIL import Image

    return [Image.fromarray(frame) for frame in read(video, indices)]


def motion_amplitude(options: dict[str, Any], device: str, read: Read) -> Callable[[Path], float]:
    """Return the flow's mean, one step after the other; without the second number and the pictures that upstream makes."""
    import cv2
    import numpy as np
    from eval import number_of_frames

    def score(video: Path) -> float:
        frames = pil_frames(read, video, list(range(number_of_frames(video))))
        greys = [cv2.cvtColor(np.array(frame), cv2.COLOR_BGR2GRAY) for frame in frames]
        flows = []
        for before, after in pairwise(greys):
            flow: Any = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)  # pyright: ignore
            size = (16, int(flow.shape[0] * (16 / flow.shape[1])))
            flows.append(cv2.resize(flow, size, interpolation=cv2.INTER_AREA))
        return abs(float(np.mean(np.mean(np.array(flows), axis=0))))

    return score


def processor_of(size: int) -> Any:
    """Return CLIP's processor of transformers; without torchvision, PIL's."""
    import transformers

    kind = getattr(transformers, "CLIPImageProcessorPil", transformers.CLIPImageProcessor)
    return kind(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def aesthetics(options: dict[str, Any], device: str, read: Read) -> Callable[[Path], float]:
    """Return CLIP's and the head's mean of 32 frames."""
    import torch
    from eval import number_of_frames
    from transformers import CLIPVisionModelWithProjection

    from opens2v_eval.frames import linspace_indices
    from opens2v_eval.models.clip_aesthetics import load_head

    clip: Any = CLIPVisionModelWithProjection.from_pretrained(options["clip"])
    clip, head, processor = clip.to(device).eval(), load_head(options["head"]).to(device), processor_of(224)

    @torch.no_grad()
    def score(video: Path) -> float:
        frames = pil_frames(read, video, linspace_indices(number_of_frames(video)))
        pixels = torch.as_tensor(processor(images=frames, return_tensors="pt")["pixel_values"]).to(device)
        embeddings = clip(pixel_values=pixels).image_embeds
        embeddings = embeddings / torch.linalg.vector_norm(embeddings, dim=-1, keepdim=True)
        return head(embeddings).mean().item()

    return score


def motion_smoothness(options: dict[str, Any], device: str, read: Read) -> Callable[[Path], float]:
    """Return one less the share of artefacts; three pictures are made, processed and seen for each frame of the video."""
    import torch
    from eval import number_of_frames
    from PIL import Image

    from opens2v_eval.metrics.motion_smoothness import artefact_frames, sliding_windows
    from opens2v_eval.models.quality import PAD_COLOUR, WEIGHTS, QAlign

    quality: Any = QAlign.load(options["model"], device=device, precision=options["precision"])
    model = quality._model
    processor = processor_of(model.vision_config["image_size"])
    dtype = model.lm_head.weight.dtype

    def square(picture: Image.Image) -> Image.Image:
        side = max(picture.size)
        made = Image.new("RGB", (side, side), PAD_COLOUR)
        made.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
        return made

    @torch.inference_mode()
    def score(video: Path) -> float:
        windows = sliding_windows(number_of_frames(video))
        frames = pil_frames(read, video, list(range(len(windows))))
        groups = [[frames[number] for number in window] for window in windows]
        weights, scores = torch.tensor(WEIGHTS, dtype=dtype, device=device), []
        for start in range(0, len(groups), 16):
            pixels = [
                torch.as_tensor(processor(images=[square(p) for p in group], return_tensors="pt")["pixel_values"])
                for group in groups[start : start + 16]
            ]
            tokens = model.encode(torch.cat(pixels).to(device, dtype))
            pictures = tokens.unflatten(0, (len(pixels), 3)).flatten(1, 2)
            logits = model.next_token_logits(quality._before, pictures, quality._after, wanted=quality._words)
            scores.append(torch.softmax(logits, -1) @ weights)
        found = torch.cat(scores).tolist()
        return 1 - len(artefact_frames(found)) / len(found)

    return score
