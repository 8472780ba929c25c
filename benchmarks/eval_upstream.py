"""Upstream's way to score a video, for `eval.py`: PIL pictures, transformers' processor, each window on its own.

The order of work is that of the scripts in upstream's `eval/`; models, thresholds and rules are those of `opens2v_eval`, so that
what differs is how frames are read, prepared, moved and batched.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

Read = Callable[[Path, list[int]], Any]


def pil_frames(read: Read, video: Path, indices: list[int]) -> list[Any]:
    """Read frames as PIL pictures."""
    from PIL import Image

    return [Image.fromarray(frame) for frame in read(video, indices)]


def motion_amplitude(options: dict[str, Any], device: str, read: Read, prompt: Any) -> Callable[[Path], float]:
    """Return the flow's mean, one step after the other; without the second number and the pictures that upstream makes."""
    import cv2
    import numpy as np
    from eval_videos import number_of_frames

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


def aesthetics(options: dict[str, Any], device: str, read: Read, prompt: Any) -> Callable[[Path], float]:
    """Return CLIP's and the head's mean of 32 frames."""
    import torch
    from eval_videos import number_of_frames
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


def motion_smoothness(options: dict[str, Any], device: str, read: Read, prompt: Any) -> Callable[[Path], float]:
    """Return one less the share of artefacts; three pictures are made, processed and seen for each frame of the video."""
    import torch
    from eval_videos import number_of_frames
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


def facesim(options: dict[str, Any], device: str, read: Read, prompt: Any) -> Callable[[Path], float]:
    """Return CurricularFace's mean, face by face; without insightface's models of age and more landmarks, which run there too."""
    import numpy as np
    from eval_videos import number_of_frames

    from opens2v_eval.frames import linspace_indices
    from opens2v_eval.metrics.facesim import load_recogniser, published_score, read_reference
    from opens2v_eval.models.faces import largest_face
    from opens2v_eval.models.faces_scrfd import Scrfd

    detector = Scrfd.load(options["detector"], device=device)
    arcface, curricular = (load_recogniser(options[name], device=device) for name in ("arcface", "recogniser"))

    def vectors(picture: np.ndarray) -> list[np.ndarray] | None:
        face = largest_face(detector, picture)
        if face is None:
            return None
        return [model.embed([model.align(picture, face.landmarks)])[0] for model in (curricular, arcface)]

    def score(video: Path) -> float:
        reference = vectors(read_reference(prompt))
        assert reference is not None
        found: list[float | None] = []
        for frame in read(video, linspace_indices(number_of_frames(video))):
            seen = vectors(frame)
            found.append(None if seen is None else max(float(seen[0] @ reference[0]), 0.0))
        return published_score(found, drops_zeros=True)

    return score


def gmescore(options: dict[str, Any], device: str, read: Read, prompt: Any) -> Callable[[Path], float]:
    """Return the mean cosine of 32 frames; the prompt is embedded once for each."""
    from eval_videos import number_of_frames

    from opens2v_eval.frames import linspace_indices
    from opens2v_eval.models.gme import RETRIEVAL_INSTRUCTION, Gme

    gme = Gme.load(options["gme"], device=device, batch_size=32)

    def score(video: Path) -> float:
        frames = pil_frames(read, video, linspace_indices(number_of_frames(video)))
        texts = gme.embed_texts([prompt.prompt] * len(frames), instruction=RETRIEVAL_INSTRUCTION)
        return (texts * gme.embed_images(frames)).sum(-1).mean().item()

    return score


def nexusscore(options: dict[str, Any], device: str, read: Read, prompt: Any) -> Callable[[Path], float]:
    """Return the likeness of boxes: each frame and reference on its own, reference and label embedded for each box."""
    from eval_videos import number_of_frames
    from eval_ways import keep_one_box

    from opens2v_eval.frames import linspace_indices
    from opens2v_eval.metrics.nexusscore import Found, open_reference, published_score
    from opens2v_eval.models.detector import Owlv2Detector
    from opens2v_eval.models.gme import RETRIEVAL_INSTRUCTION, Gme
    from opens2v_eval.scales import nexus_references

    gme, detector = (
        Gme.load(options["gme"], device=device, batch_size=32),
        Owlv2Detector.load(options["detector"], device=device),
    )
    keep_one_box(detector)

    def score(video: Path) -> float:
        frames = pil_frames(read, video, linspace_indices(number_of_frames(video)))
        places, crops, references, labels = [], [], [], []
        for number, frame in enumerate(frames):
            for reference, (index, label) in enumerate(nexus_references(prompt)):
                image = open_reference(prompt, index)
                [[boxes]] = detector.detect([frame], [image])
                for box, confidence in zip(boxes.xyxy.tolist(), boxes.scores.tolist(), strict=True):
                    places.append((number, reference, confidence))
                    crops.append(frame.crop(tuple(round(side) for side in box)))
                    references.append(image)
                    labels.append(label)
        seen, looks = gme.embed_images(crops), gme.embed_images(references)
        words = gme.embed_texts(labels, instruction=RETRIEVAL_INSTRUCTION)
        cosines = zip(places, (words * seen).sum(-1).tolist(), (looks * seen).sum(-1).tolist(), strict=True)
        found = [
            Found(frame=number, reference=reference, confidence=confidence, text_cosine=text, image_cosine=image)
            for (number, reference, confidence), text, image in cosines
        ]
        return published_score(found, frames_with_boxes=len({box.frame for box in found}))

    return score


def naturalscore(options: dict[str, Any], device: str, read: Read, prompt: Any) -> Callable[[Path], float]:
    """Return the last of three answers: three runs of the script, each of which reads the frames and makes a client."""
    import base64

    import cv2
    import openai
    from eval_videos import number_of_frames

    from opens2v_eval.metrics.naturalscore import QUESTION, long_side_size
    from opens2v_eval.models.judge import PUBLISHED_JUDGE

    def ask(video: Path) -> float:
        capture, urls = cv2.VideoCapture(str(video)), []
        step = max(number_of_frames(video) // 16, 1)
        for place in range(16):
            capture.set(cv2.CAP_PROP_POS_FRAMES, place * step)
            is_read, frame = capture.read()
            if is_read:
                size = long_side_size(frame.shape[1], frame.shape[0])
                _, data = cv2.imencode(".jpg", cv2.resize(frame, size, interpolation=cv2.INTER_AREA))
                urls.append(f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}")
        capture.release()
        content: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        content.append({"type": "text", "text": QUESTION})
        client = openai.OpenAI(api_key="none", base_url=options["base_url"])
        answer = client.chat.completions.create(
            model=PUBLISHED_JUDGE, stream=False, messages=[{"role": "user", "content": content}]
        )
        return float(json.loads(answer.choices[0].message.content or "")["score"])

    return lambda video: [ask(video) for _ in range(3)][-1]


SCORERS = {
    "motion_amplitude": motion_amplitude,
    "aesthetics": aesthetics,
    "motion_smoothness": motion_smoothness,
    "facesim": facesim,
    "gmescore": gmescore,
    "nexusscore": nexusscore,
    "naturalscore": naturalscore,
}
