"""Generated prompts and scores in upstream's form, of all the benchmark's keys."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opens2v_eval.counting import expected_keys
from opens2v_eval.details import write_detail
from opens2v_eval.prompts import domain_keys, file_name, prefix
from opens2v_eval.scorefiles import write_scores

if TYPE_CHECKING:
    from opens2v_eval.scales import Domain, MetricName

UPSTREAM = Path(__file__).parents[3] / "shared" / "upstream_sample" / "eval"
"""A real piece of upstream's results, which lies beside the checkout and is not part of it."""
PNG = b"\x89PNG\r\n\x1a\nnot more than a name"
FIELDS: dict[MetricName, tuple[str, float, float]] = {
    "aesthetics": ("aes_score", 3.5, 7.5),
    "motion_smoothness": ("motion_smoothness", 0.6, 1.0),
    "motion_amplitude": ("motion_fb", -1.5, 1.5),
    "facesim": ("cur_score", -0.1, 1.0),
    "gmescore": ("gme_score", 0.3, 0.9),
    "nexusscore": ("nexus_score", 0.0, 0.08),
}


def labels_of(key: str) -> list[str]:
    """Return class labels as upstream gives them: people in prompts of faces and bodies, a place where there are three."""
    name, number = prefix(key), int(key.rpartition("_")[2])
    if name in ("singleface", "singlehuman"):
        return ["Man" if number % 2 else "Woman"]
    if name == "singleobj":
        return ["Cup"]
    if name == "multiface":
        return ["Woman", "Man", "Office"] if number in (1, 8, 10, 11, 13, 15) else ["Woman", "Man"]
    if name == "multihuman":
        return ["Man", "Woman"]
    if name == "multiobject":
        return ["Dog", "Chiken"]
    return ["Man", "Dog", "Park"]


def prompts_json(domain: Domain = "open") -> dict[str, Any]:
    """Return a file of prompts."""
    made = {}
    for key in domain_keys(domain):
        labels = labels_of(key)
        made[key] = {
            "img_paths": [f"Images/{prefix(key)}/{key}_{at}.png" for at in range(len(labels))],
            "prompt": f"The video shows {', '.join(labels)}: “{key}”.",
            "synthesis_flag": "wrong",
            "class_label": labels,
        }
    return made


def write_prompts(folder: Path, domain: Domain = "open", *, images: bool = False) -> Path:
    """Write a domain's prompts, and small files as their images; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    made = prompts_json(domain)
    (folder / file_name(domain)).write_text(json.dumps(made, indent=4), encoding="utf-8")
    for value in made.values() if images else ():
        for name in value["img_paths"]:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(PNG + name.encode())
    return folder


def write_model(folder: Path, *, seed: int = 0, shift: float = 0.0, domain: Domain = "open") -> Path:
    """Write a model's scores and details for all prompts of a domain; return the folder.

    Args:
        folder: where to.
        seed: of the numbers.
        shift: how much better it is than another, in shares of each metric's range; numbers may leave the range.
        domain: which prompts.
    """
    rng = random.Random(f"{seed}")
    for metric, (field, low, high) in FIELDS.items():
        rows = {}
        for key in expected_keys(metric, domain):
            rows[key] = {field: rng.uniform(low, high) + shift * (high - low)}
            if metric == "nexusscore" and rng.random() < 0.2:
                rows[key] = {field: 0.0}
        write_scores(folder, metric, rows)
    for run in (1, 2, 3):
        answers = {key: str(min(5, rng.randint(2, 5) + round(4 * shift))) for key in domain_keys(domain)}
        write_scores(folder, "naturalscore", answers, run=run)

    def frames() -> list[float | None]:
        return [None if rng.random() < 0.3 else round(rng.uniform(0.2, 0.9) + shift, 4) for _ in range(8)]

    write_detail(folder, "facesim", [{"key": key, "cur": frames()} for key in expected_keys("facesim", domain)])
    write_detail(
        folder,
        "nexusscore",
        [
            {"key": key, "references": [{"image": 0, "label": "Dog", "frames": frames()}]}
            for key in expected_keys("nexusscore", domain)
        ],
    )
    return folder
