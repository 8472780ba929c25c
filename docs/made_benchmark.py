"""Two models on the benchmark, to take pictures of: clips of the generated release stand for videos, and scores are drawn.

What is wrong is there on purpose: a video that is missing, a metric that was not run, a judge that refuses.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import opens2v_data
from opens2v_eval import write_detail, write_scores
from opens2v_explorer.media.reader import MediaReader

KEYS = (
    "singleface_1", "singleface_2", "singlehuman_1", "singleobj_1", "singleobj_2", "multiobject_1", "multiobject_2", "humanobj_1"
)  # fmt: skip
MODELS = ("first-model", "second-model")
FIELDS: dict[Any, tuple[str, float, float]] = {
    "aesthetics": ("aes_score", 4.2, 6.2),
    "motion_smoothness": ("motion_smoothness", 0.8, 1.0),
    "motion_amplitude": ("motion_fb", 0.02, 0.6),
    "facesim": ("cur_score", 0.2, 0.7),
    "gmescore": ("gme_score", 0.5, 0.8),
    "nexusscore": ("nexus_score", 0.01, 0.04),
}
BOARD = """Model,Venue,Evaluated by,TotalScore,\
Aesthetics,MotionSmoothness,MotionAmplitude,FaceSim,GmeScore,NexusScore,NaturalScore
made-up-a,Open-Source,nobody,57.55%,47.21%,94.97%,15.02%,55.09%,67.27%,44.08%,67.04%
made-up-b,Closed-Source,nobody,51.88%,46.88%,87.06%,24.71%,30.38%,69.19%,45.4%,63.32%
"""


def is_for(metric: str, key: str) -> bool:
    """Say whether a metric has something to measure for a prompt of `KEYS`."""
    if metric == "facesim":
        return key.startswith(("singleface", "singlehuman", "humanobj"))
    return metric != "nexusscore" or not key.startswith("singleface")


def write_benchmark(folder: Path, root: Path) -> list[str]:
    """Write it to a folder, of clips of a catalog; return the options that show it."""
    catalog = opens2v_data.open(root)
    media = MediaReader(catalog)
    clips = [one for one in catalog.triples() if one.clip.video is not None and len(one.subjects) > 1 and one.caption]
    prompts = {}
    for at, key in enumerate(KEYS):
        shown = clips[at % len(clips)]
        count = 1 if key.startswith("single") else 3 if key.startswith("humanobj") else 2
        names = []
        for subject in shown.subjects[:count]:
            names.append(f"Images/{key}_{len(names)}.webp")
            path = folder / "prompts" / names[-1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(media.cutout(shown.clip.clip_id, subject.object_id, 320, along="box"))
        prompts[key] = {
            "img_paths": names,
            "prompt": shown.caption,
            "synthesis_flag": "wrong",
            "class_label": [subject.class_name.capitalize() for subject in shown.subjects[: len(names)]],
        }
        for number, model in enumerate(MODELS):
            videos = folder / f"videos-{model}"
            videos.mkdir(exist_ok=True)
            if (number, key) != (1, "singleobj_2"):
                video = clips[(at + number) % len(clips)].clip.video
                assert video is not None
                (videos / f"{key}.mp4").write_bytes(catalog.read_bytes(video))
    (folder / "prompts" / "Open-Domain_Eval.json").write_text(json.dumps(prompts), encoding="utf-8")
    options = ["--prompts", str(folder / "prompts"), "--unchecked", "--board", str(folder / "board.csv")]
    (folder / "board.csv").write_text(BOARD, encoding="utf-8")
    for number, model in enumerate(MODELS):
        drawn = random.Random(number)
        for metric, (field, low, high) in FIELDS.items():
            if (number, metric) != (1, "nexusscore"):
                rows = {key: {field: drawn.uniform(low, high)} for key in KEYS if is_for(metric, key)}
                write_scores(folder / f"scores-{model}", metric, rows)
        frames = {key: [drawn.choice((None, 0.4, 0.6)) for _ in range(8)] for key in KEYS if is_for("facesim", key)}
        write_detail(folder / f"scores-{model}", "facesim", [{"key": key, "cur": cur} for key, cur in frames.items()])
        for run in (1, 2, 3):
            answers = {key: str(drawn.randint(2, 5)) for key in KEYS}
            answers |= {"singleface_2": "I cannot rate this video."} if number == 0 else {}
            write_scores(folder / f"scores-{model}", "naturalscore", answers, run=run)
        options += ["--eval", f"{model}={folder / f'videos-{model}'},{folder / f'scores-{model}'}"]
    return options
