"""What does the evaluation of a video cost, per metric, and beside upstream's way of reading frames?

Two tables, of the benchmark's sample where it lies beside the checkout, and of a generated video of 720p, which the second one
leaves out unless `--videos` names it or others. Rows come as they are measured; progress goes to stderr.

    frames    the rules of the metrics: 32 spread over the video, and all; ours beside decord (upstream's, frame by frame),
              OpenCV (a seek to each frame; NaturalScore's way upstream) and imageio; and how many frames are wrong
    metrics   the whole of `score`, models loaded before: ours beside upstream's way (`eval_upstream.py`): frames by decord
              (OpenCV where it is not there, and for NaturalScore), PIL pictures, transformers' processors, one at a time

    python benchmarks/eval.py
    python benchmarks/eval.py --metrics aesthetics facesim --videos my_videos/*.mp4 --runs 9 --longest 120
    pip install --no-deps --target rivals decord imageio imageio-ffmpeg && python benchmarks/eval.py --rivals rivals
    python benchmarks/eval.py --device cuda --size published --metrics aesthetics facesim nexusscore
    python benchmarks/eval.py --device cuda --size published      # all; Q-Align and GME are 17 GB each, written and read first

Each way of a metric, and each reader, has a process of its own, which goes through the videos: it warms up on a short clip (on a
GPU on the video itself), then does the same `--runs` times, but no longer than `--longest` seconds for a video; `runs` says how
often it was, and medians are printed. CPU is the process's, all threads; peak MB its largest resident set while it scores
the video, models included. On a GPU `GPU MB` is the most that torch held, and two columns have the bytes that were copied between
host and GPU memory for one video, in a run of their own under torch's profiler: all copies of the process, ONNX Runtime's
too, but not the compressed video that the GPU's decoder reads.

Ours decodes a video on one thread, decord and imageio on several: where many videos are scored at once, CPU is what counts.
Models have random weights: they cost what real ones cost, and no score is printed. `--size small` stands for all parts but the
model, whose share it leaves out; it is the default on a CPU. FaceSim's find one face in each frame, NexusScore's one box. The
judge of NaturalScore is a server on this machine that answers at once, its CPU not counted. On a GPU: not run yet.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval_videos import FRAME_READERS, PACKAGE_OF_READER, described, generated, some_videos
from measure import ROOT, machine

METRICS = [
    "motion_amplitude",
    "aesthetics",
    "facesim",
    "gmescore",
    "nexusscore",
    "naturalscore",
    "motion_smoothness",
]
MIB = 2**20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", nargs="+", type=Path, help="mp4s, for both tables (default: see above)")
    parser.add_argument("--runs", type=int, default=3, help="of each way and video (default: 3)")
    parser.add_argument("--longest", type=float, default=3.0, metavar="SECONDS", help="for these runs (default: 3)")
    parser.add_argument("--rivals", type=Path, help="folder with decord and imageio, see above")
    parser.add_argument(
        "--metrics", nargs="*", choices=METRICS, default=METRICS, help="some; none at all for frames only"
    )
    parser.add_argument("--no-frames", action="store_true", help="leave the table of readers out")
    parser.add_argument("--device", help="cpu or cuda (default: a GPU where there is one)")
    parser.add_argument("--size", choices=["small", "published"], help="of the models (default: published on a GPU)")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        import eval_cells

        for found in eval_cells.cells(**json.loads(arguments.child)):
            print(json.dumps(found), flush=True)
        return
    if arguments.rivals:
        sys.path.append(str(arguments.rivals.resolve()))  # so that it is known what is there
    import torch

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    size = arguments.size or ("published" if device != "cpu" else "small")
    if device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {device}: torch sees no GPU here")
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        videos = arguments.videos or some_videos(Path(folder))
        gpu = f"; {torch.cuda.get_device_name(device)}" if device != "cpu" else ""
        tell(f"{machine()}{gpu}; load {os.getloadavg()[0]:.1f} at the start\n")
        if device != "cpu" and importlib.util.find_spec("onnxruntime"):
            import onnxruntime

            tell(f"FaceSim's models run with the first of {', '.join(onnxruntime.get_available_providers())}\n")
        for video in videos:
            tell(f"- {video.name}: {described(video)}")
        job = {
            "videos": [str(video) for video in videos],
            "device": device,
            "runs": arguments.runs,
            "longest": arguments.longest,
            "warm": str(generated(Path(folder) / "warm.mp4", 832, 480, 20, "")),
        }
        cells = Cells(job, rivals=arguments.rivals)
        if not arguments.no_frames:
            frames_table(cells)
        if arguments.metrics:
            import eval_models

            models = eval_models.write_models(Path(folder) / "models", size, for_metrics=arguments.metrics)
            models |= eval_models.write_references(Path(folder))
            if not arguments.videos:
                cells.job["videos"] = cells.job["videos"][:1]
            metrics_table(cells, arguments.metrics, size, models)


class Cells:
    """Runs cells in processes of their own, and yields figures as they come.

    Args:
        job: what all cells are told.
        rivals: a folder of packages, or None.
    """

    def __init__(self, job: dict[str, Any], *, rivals: Path | None) -> None:
        self.job = job
        self._environment = os.environ | {"OPENCV_LOG_LEVEL": "OFF"}
        if rivals:
            self._environment["PYTHONPATH"] = str(rivals.resolve())

    def measure(self, **more: Any) -> Iterator[dict[str, Any]]:
        """Yield what a process says about each video; a process that fails is told, and what it said before counts."""
        what = ", ".join(str(more[name]) for name in ("reader", "metric", "way") if name in more)
        command = [sys.executable, __file__, "--child", json.dumps(self.job | more)]
        with (
            tempfile.TemporaryFile("w+") as errors,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=self._environment
            ) as process,
        ):
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if not line.startswith("{"):
                        continue
                    found = json.loads(line)
                    rule = f", {found['rule']}" if "rule" in found else ""
                    told = f"{found['cpu']:.2f} CPU-s, {found['wall']:.2f} s, {found['runs']} runs"
                    print(f"{what}, {found['video']}{rule}: {told}", file=sys.stderr, flush=True)
                    yield found
            finally:
                process.kill() if sys.exc_info()[0] else process.wait()
            if process.returncode:
                errors.seek(0)
                reason = (errors.read().strip().splitlines() or ["no reason given"])[-1][:200]
                print(f"{what}: failed ({process.returncode}): {reason}", file=sys.stderr, flush=True)


def frames_table(cells: Cells) -> None:
    """Print the table of readers."""
    header = ["frames", "video", "reader", "runs", "videos/s", "CPU-s a video", "peak MB"]
    begin_table([*header, "time beside ours", "CPU beside ours", "wrong frames"])
    ours: dict[tuple[str, str], dict[str, Any]] = {}
    for reader in FRAME_READERS:
        if importlib.util.find_spec(PACKAGE_OF_READER[reader]) is None:
            print(f"{reader}: not installed, left out", file=sys.stderr, flush=True)
            continue
        for found in cells.measure(part="frames", reader=reader):
            own = ours.setdefault((found["video"], found["rule"]), found)
            wrong = f"{found['wrong']} of {found['frames']}"
            row([found["rule"], found["video"], reader, *cost(found), *beside(found, own), wrong])


def metrics_table(cells: Cells, metrics: Sequence[str], size: str, models: dict[str, str]) -> None:
    """Print the table of metrics."""
    is_gpu = cells.job["device"] != "cpu"
    header = ["metric", "video", "way", "runs", "videos/s", "CPU-s a video", "peak MB"]
    header += ["GPU MB", "MB to the GPU", "MB to the host"] if is_gpu else []
    begin_table([*header, "time beside ours", "CPU beside ours", "off ours"])
    for metric in metrics:
        ours: dict[str, dict[str, Any]] = {}
        name = metric if metric in ("motion_amplitude", "naturalscore") else f"{metric}, {size} model"
        for way in ("ours", "upstream's"):
            for found in cells.measure(part="metric", metric=metric, way=way, models=models):
                own = ours.setdefault(found["video"], found)
                gpu = [f"{found['gpu'] / MIB:,.0f}", megabytes(found, "to_gpu"), megabytes(found, "to_host")]
                off = f"{abs(found['value'] - own['value']):.1g}"
                row([name, found["video"], way, *cost(found), *(gpu if is_gpu else []), *beside(found, own), off])


def cost(found: dict[str, Any]) -> list[str]:
    """Return cells: runs, videos a second, CPU-seconds a video, peak MB."""
    return [str(found["runs"]), f"{1 / found['wall']:.3g}", f"{found['cpu']:.3f}", f"{found['peak'] / MIB:,.0f}"]


def beside(found: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """Return cells: time and CPU as multiples of ours."""
    return [f"{found['wall'] / ours['wall']:.2f}x", f"{found['cpu'] / ours['cpu']:.2f}x"]


def megabytes(found: dict[str, Any], name: str) -> str:
    """Return MB with three digits; nothing where it could not be counted."""
    return "" if found.get(name) is None else f"{found[name] / MIB:.3g}"


def begin_table(header: Sequence[str]) -> None:
    """Print the head of a markdown table."""
    tell("\n| " + " | ".join(header) + " |\n|" + "|".join(["---"] * len(header)) + "|")


def row(cells: Sequence[str]) -> None:
    """Print a row of it."""
    tell("| " + " | ".join(cells) + " |")


def tell(text: str) -> None:
    """Print at once, for whoever reads while it runs, or has only what was there when it was stopped."""
    print(text, flush=True)


if __name__ == "__main__":
    # `evaluation` is a folder of the tests, too, whose builders of models are used here.
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT), str(ROOT / "loaders"), str(ROOT / "evaluation")]
    main()
