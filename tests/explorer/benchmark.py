"""A small benchmark to show: prompts with real images, two models' videos and scores, and what can be wrong with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from evaluation.made import write_model
from evaluation.videos import moving_pictures, write_video

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "<img src=x onerror=window.taken=1>"
REFUSAL = f"I'm sorry, I can't rate this. {HOSTILE}"
MODELS = ("alpha", "beta <script>")
"""Names of the models; the second is a tag with a script, and better."""

PROMPTS: dict[str, tuple[str, ...]] = {
    "singleface_1": ("Man",),
    "singleface_2": ("Woman",),
    "singlehuman_1": ("Man",),
    "singleobj_1": ("Cup",),
    "multiobject_1": ("Dog", "Chiken"),
    "faceobj_1": ("Man", f"Dog {HOSTILE}", "Park"),
}
"""Class labels by key."""

VIDEOS = (("singleface_1", "singleface_2", "singleobj_1"), ("singleface_1", "singleobj_1", "singlehuman_1"))
"""Keys that each model has a video of: 1.0 s of the first, 1.6 s of the second. The last of the second is no video."""


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """Where its files lie.

    Attributes:
        prompts: the JSON file's folder.
        videos, scores: of each model.
        board: a leaderboard.
    """

    prompts: Path
    videos: tuple[Path, ...]
    scores: tuple[Path, ...]
    board: Path

    def options(self) -> list[str]:
        """Return what `opens2v explore` is given."""
        made: list[str] = []
        for name, videos, scores in zip(MODELS, self.videos, self.scores, strict=True):
            made += ["--eval", f"{name}={videos},{scores}"]
        return [*made, "--prompts", str(self.prompts), "--unchecked", "--board", str(self.board)]


def write_benchmark(folder: Path) -> Benchmark:
    """Write a small benchmark; return where it lies."""
    prompts = folder / "prompts"
    made: dict[str, Any] = {}
    for key, labels in PROMPTS.items():
        names = [f"Images/{key}_{nth}.png" for nth in range(len(labels))]
        text = f"The video shows {' and '.join(labels)}, {key}."
        made[key] = {"img_paths": names, "prompt": text, "synthesis_flag": "wrong", "class_label": list(labels)}
    for nth, name in enumerate(name for value in made.values() for name in value["img_paths"]):
        path = prompts / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (320, 240), (25 * nth, 120, 255 - 25 * nth)).save(path)
    (prompts / "Images" / "singlehuman_1_0.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing else")
    (prompts / "Images" / "multiobject_1_1.png").unlink()
    (prompts / "Open-Domain_Eval.json").write_text(json.dumps(made))
    videos = tuple(folder / f"videos-{at}" for at in range(2))
    for at, keys in enumerate(VIDEOS):
        videos[at].mkdir()
        for key in keys:
            write_video(videos[at] / f"{key}.mp4", moving_pictures(15 + 9 * at, width=160, height=96, seed=at))
    (videos[1] / "singlehuman_1.mp4").write_bytes(b"no video at all " * 64)
    (videos[0] / "holiday.mp4").write_bytes(b"of no prompt")
    scores = tuple(write_model(folder / f"scores-{at}", seed=at, shift=0.1 * at) for at in range(2))
    for run in (1, 2, 3):
        path = scores[0] / f"naturalscore_{run}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "singleface_1": REFUSAL}))
    (scores[0] / "gmescore.json").unlink()
    (scores[0] / "details" / "facesim.jsonl").unlink()
    board = folder / "board.csv"
    columns = "TotalScore,Aesthetics,MotionSmoothness,MotionAmplitude,FaceSim,GmeScore,NexusScore,NaturalScore"
    board.write_text(
        f"Model,Venue,Evaluated by,{columns}\n"
        "[VACE-14B](https://example.org),Open-Source,Team,57.55%,47.21%,94.97%,15.02%,55.09%,67.27%,44.08%,67.04%\n"
        f"{HOSTILE},Open-Source,Team,99%,47.21%,94.97%,15.02%,55.09%,67.27%,44.08%,67.04%\n"
    )
    return Benchmark(prompts=prompts, videos=videos, scores=scores, board=board)
