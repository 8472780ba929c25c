"""Ready scorers for `eval.py`: a metric of ours, or upstream's way of it, with its models loaded, or its judge listening."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from measure import ROOT

KEY = "faceobj_1"
Score = Callable[[Path], float]
_SERVER = """
import sys
from evaluation.openaiserver import OpenAiServer, Reply

with OpenAiServer(Reply(content='{"score": 4}')) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def scorer_of(metric: str, way: str, models: dict[str, str], device: str, *, times: int) -> Iterator[Score]:
    """Yield what scores a video, up to `times` times each: by `ours`, or in upstream's way."""
    import eval_upstream
    from eval_videos import read_decord, read_opencv

    with ExitStack() as stack:
        options = options_of(metric, models, device)
        if metric == "naturalscore":
            options = {"base_url": stack.enter_context(judge()), "api_key_variable": "OPENS2V_BENCHMARK_KEY"}
        if way == "ours":
            yield stack.enter_context(ours(metric, options, models, device, times=times))
        else:
            read = read_decord if importlib.util.find_spec("decord") else read_opencv
            yield eval_upstream.SCORERS[metric](options, device, read, prompt_of(models))


def options_of(metric: str, models: dict[str, str], device: str) -> dict[str, Any]:
    """Return the options of a metric's class."""
    return {
        "aesthetics": {"clip": models["clip"], "head": models["head"]},
        "motion_smoothness": {"model": models["owl"], "precision": "float16" if device == "cuda" else "float32"},
        "facesim": {"detector": models["scrfd"], "recogniser": models["curricular"], "arcface": models["arcface"]},
        "gmescore": {"gme": models["gme"]},
        "nexusscore": {"gme": models["gme"], "detector": models["owlv2"]},
    }.get(metric, {})


def prompt_of(models: dict[str, str]) -> Any:
    """Return a prompt that each metric applies to."""
    from opens2v_eval.prompts import Prompt

    return Prompt(
        key=KEY,
        prompt="a man holds a cup on a hill",
        image_names=("Images/man/1.png", "Images/cup/1.png"),
        image_paths=(Path(models["man"]), Path(models["cup"])),
        class_labels=("Man", "Cup"),
    )


@contextmanager
def ours(metric: str, options: dict[str, Any], models: dict[str, str], device: str, *, times: int) -> Iterator[Score]:
    """Yield a metric's `score`."""
    from opens2v_eval.frames import Video
    from opens2v_eval.metrics import create_metric

    prompt = prompt_of(models)
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:

        def ready(number: int) -> Any:
            # Answers of the judge are kept: for each time a video is scored there is a metric whose store has none of it.
            more = {"store": f"{folder}/{number}.jsonl"} if metric == "naturalscore" else {}
            made: Any = create_metric(metric, **options, **more)  # pyright: ignore[reportArgumentType]
            made.setup(device)
            if metric == "nexusscore":
                keep_one_box(made._detector)
            return made

        waiting = [ready(number) for number in range(times if metric == "naturalscore" else 1)]
        done: Counter[Path] = Counter()

        def score(video: Path) -> float:
            made = waiting[done[video] % len(waiting)]
            done[video] += 1
            values = made.score(Video(video, key=KEY, device=device), prompt).values
            return float(next(iter(values.values())))

        yield score


def keep_one_box(detector: Any) -> None:
    """Let a detector find one box in each frame, and NexusScore keep it: cosines of random models lie near 0."""
    from opens2v_eval.metrics import nexusscore

    detector._limits["max_boxes"] = 1
    nexusscore.MIN_TEXT_COSINE = -2.0


@contextmanager
def judge() -> Iterator[str]:
    """Yield the address of a judge in a process of its own, which answers at once."""
    command = [sys.executable, "-c", f"import sys\nsys.path.insert(0, {str(ROOT / 'tests')!r})\n{_SERVER}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)
