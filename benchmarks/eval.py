"""What does the evaluation of a video cost, per metric, and beside upstream's way of reading frames?

Two tables, on the same videos: the benchmark's sample where it lies beside the checkout, and generated ones. Each cell is a
process of its own; CPU is the process's, memory its largest resident set (a GPU's: the most that torch held).

    frames    the rules of the metrics: 32 spread over the video, and all; ours beside decord (upstream's, frame by frame),
              OpenCV (a seek to each frame; NaturalScore's way upstream) and imageio; and how many frames are wrong
    metrics   the whole of `score`, models loaded before: ours beside upstream's way (`eval_upstream.py`): frames by decord
              (OpenCV where it is not there, and for NaturalScore), PIL pictures, transformers' processors, one at a time

    python benchmarks/eval.py
    python benchmarks/eval.py --videos my_videos/*.mp4 --runs 5
    pip install --no-deps --target rivals decord imageio imageio-ffmpeg && python benchmarks/eval.py --rivals rivals
    python benchmarks/eval.py --device cuda --size published      # of the published sizes: Q-Align and GME have 17 GB each

Ours decodes a video on one thread, decord and imageio on several: where many videos are scored at once, CPU is what counts.
Models have random weights: they cost what real ones cost, and no score is printed. `--size small` stands for all parts but the
model, whose share it leaves out; it is the default on a CPU. FaceSim's find one face in each frame, NexusScore's one box. The
judge of NaturalScore is a server on this machine that answers at once, its CPU not counted. On a GPU: not run yet.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval_videos import FRAME_READERS, described, number_of_frames, sequential, some_videos
from measure import ROOT, machine, run_isolated, table

RULES = ["32 frames", "all frames"]
METRICS = [
    "motion_amplitude",
    "aesthetics",
    "facesim",
    "gmescore",
    "nexusscore",
    "motion_smoothness",
    "naturalscore",
]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", nargs="+", type=Path, help="mp4s (default: the sample and generated ones)")
    parser.add_argument("--runs", type=int, default=3, help="of each cell; medians are printed (default: 3)")
    parser.add_argument("--rivals", type=Path, help="folder with decord and imageio, see above")
    parser.add_argument("--metrics", nargs="*", choices=METRICS, default=METRICS)
    parser.add_argument("--device", help="cpu or cuda (default: a GPU where there is one)")
    parser.add_argument("--size", choices=["small", "published"], help="of the models (default: published on a GPU)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(**json.loads(arguments.child))))
        return
    import torch

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    size = arguments.size or ("published" if device == "cuda" else "small")
    environment = {"PYTHONPATH": str(arguments.rivals.resolve()) if arguments.rivals else "", "OPENCV_LOG_LEVEL": "OFF"}
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        videos = arguments.videos or some_videos(Path(folder))
        gpu = f"; {torch.cuda.get_device_name()}" if device == "cuda" else ""
        print(f"{machine()}{gpu}; load {os.getloadavg()[0]:.1f} at the start\n")
        for video in videos:
            print(f"## {video.name}: {described(video)}\n")
            cells = Cells(runs=arguments.runs, environment=environment, video=video, device=device)
            print(frames_table(cells) + "\n")
            if arguments.metrics:
                import eval_models

                models = eval_models.write_models(Path(folder) / "models", size, arguments.metrics)
                models |= eval_models.write_references(Path(folder))
                print(metrics_table(cells, arguments.metrics, size, models) + "\n")
            for note in cells.notes:
                print(f"{note}\n")


class Cells:
    """Runs cells in processes of their own, and keeps what went wrong."""

    def __init__(self, *, runs: int, environment: dict[str, str], video: Path, device: str) -> None:
        self.runs, self.environment, self.video, self.device = runs, environment, video, device
        self.notes: list[str] = []

    def measure(self, **job: Any) -> dict[str, float] | None:
        """Return medians of a cell's figures; None where it does not run."""
        job |= {"video": str(self.video), "device": self.device}
        answers: list[dict[str, float]] = []
        for _ in range(self.runs):
            command = [sys.executable, __file__, "--child", json.dumps(job)]
            cost = run_isolated(command, timeout=900, env=self.environment)
            if cost.code:
                reason = (cost.error.strip().splitlines() or ["no reason given"])[-1][:160]
                note = f"{job.get('reader') or job.get('way')}: {reason}"
                self.notes += [note] if note not in self.notes else []
                return None
            answers.append({**json.loads(cost.output.splitlines()[-1]), "rss": cost.max_rss_bytes})
        found = {name: statistics.median(answer[name] for answer in answers) for name in answers[0]}
        what = ", ".join(str(job[name]) for name in ("reader", "rule", "metric", "way") if name in job)
        print(f"{self.video.name}, {what}: {found['cpu']:.2f} CPU-s", file=sys.stderr, flush=True)
        return found


def frames_table(cells: Cells) -> str:
    """Return the table of readers."""
    rows = []
    for rule in RULES:
        ours: dict[str, float] | None = None
        for reader in FRAME_READERS:
            found = cells.measure(part="frames", reader=reader, rule=rule)
            if found is None:
                continue
            ours = ours or found
            rows.append(
                [
                    rule,
                    reader,
                    f"{found['wall'] * 1000:,.0f}",
                    f"{found['cpu']:.3f}",
                    f"{found['rss'] / 2**20:,.0f}",
                    f"{found['wall'] / ours['wall']:.2f}x",
                    f"{found['cpu'] / ours['cpu']:.2f}x",
                    f"{found['wrong']:.0f} of {found['frames']:.0f}",
                ]
            )
    header = [
        "frames",
        "reader",
        "ms a video",
        "CPU-s",
        "peak MB",
        "time beside ours",
        "CPU beside ours",
        "wrong frames",
    ]
    return table(rows, header)


def metrics_table(cells: Cells, metrics: list[str], size: str, models: dict[str, str]) -> str:
    """Return the table of metrics."""
    rows = []
    for metric in metrics:
        ours: dict[str, float] | None = None
        for way in ("ours", "upstream's"):
            found = cells.measure(part="metric", metric=metric, way=way, models=models)
            if found is None:
                continue
            ours = ours or found
            has_model = metric not in ("motion_amplitude", "naturalscore")
            rows.append(
                [
                    f"{metric}, {size} model" if has_model else metric,
                    way,
                    f"{60 / found['wall']:,.1f}",
                    f"{found['cpu']:.2f}",
                    f"{found['rss'] / 2**20:,.0f}",
                    f"{found['gpu'] / 2**20:,.0f}" if cells.device == "cuda" else "",
                    f"{found['wall'] / ours['wall']:.2f}x",
                    f"{found['cpu'] / ours['cpu']:.2f}x",
                    f"{abs(found['value'] - ours['value']):.1g}",
                ]
            )
    header = ["metric", "way", "videos a minute", "CPU-s a video", "peak MB", "GPU MB"]
    return table(rows, [*header, "time beside ours", "CPU beside ours", "off ours"])


def child(*, part: str, video: str, device: str, **job: Any) -> dict[str, float]:
    """Measure one cell: once to warm up, once for the figures."""
    if part == "frames":
        return child_frames(Path(video), job["reader"], job["rule"])
    import torch
    from eval_ways import scorer_of

    with scorer_of(job["metric"], job["way"], job["models"], device) as score:
        score(Path(video))
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        value, wall, cpu = timed(lambda: score(Path(video)), times=1)
    answer = {"wall": wall, "cpu": cpu, "value": value}
    return {**answer, "gpu": float(torch.cuda.max_memory_allocated()) if device == "cuda" else 0.0}


def child_frames(video: Path, reader: str, rule: str) -> dict[str, float]:
    """Read frames by one reader, and compare them with a sequential decode."""
    import numpy as np

    from opens2v_eval.frames import linspace_indices

    read = FRAME_READERS[reader]
    count = number_of_frames(video)
    indices = linspace_indices(count, 32) if rule == "32 frames" else list(range(count))
    read(video, indices)
    frames, wall, cpu = timed(lambda: read(video, indices), times=3)
    wrong = 0
    for place, expected in enumerate(sequential(video, indices)):
        # Decoders convert to RGB with roundings of their own: 2 levels on average; a neighbour is further off.
        is_there = place < len(frames) and frames[place].shape == expected.shape
        wrong += not is_there or float(np.abs(frames[place].astype(int) - expected).mean()) > 2
    return {"wall": wall, "cpu": cpu, "wrong": float(wrong), "frames": float(len(indices))}


def timed(work: Callable[[], Any], *, times: int) -> tuple[Any, float, float]:
    """Return what work gives, and the medians of its wall and CPU seconds, those of processes it started included."""
    walls, cpus, result = [], [], None
    for _ in range(times):
        wall, cpu = time.perf_counter(), cpu_seconds()
        result = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu_seconds() - cpu)
    return result, statistics.median(walls), statistics.median(cpus)


def cpu_seconds() -> float:
    """Return what this process and those it has waited for took."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


if __name__ == "__main__":
    # `evaluation` is a folder of the tests, too, whose builders of models are used here.
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT), str(ROOT / "loaders"), str(ROOT / "evaluation")]
    main()
