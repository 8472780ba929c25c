"""What `eval.py` measures in a process of its own: a reader of frames, or a metric's way, on each video."""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

RULES = ("32 frames", "all frames")


def cells(*, part: str, videos: list[str], **job: Any) -> Iterator[dict[str, Any]]:
    """Yield figures of each video."""
    places = [Path(video) for video in videos]
    yield from frames_cells(places, **job) if part == "frames" else metric_cells(places, **job)


def metric_cells(
    videos: list[Path],
    *,
    metric: str,
    way: str,
    models: dict[str, str],
    device: str,
    runs: int,
    longest: float,
    warm: str,
) -> Iterator[dict[str, Any]]:
    """Yield what scoring a video costs, models loaded before."""
    import torch
    from eval_ways import scorer_of

    is_gpu = device != "cpu"
    if is_gpu:
        torch.zeros(1, device=device)  # metrics that use no GPU begin none, and its memory could not be asked about
    with scorer_of(metric, way, models, device, times=runs + 3) as score:
        if not is_gpu:
            score(Path(warm))
        for video in videos:
            if is_gpu:
                score(video)
                torch.cuda.reset_peak_memory_stats(device)
            value, found = timed(lambda video=video: score(video), runs=runs, longest=longest)
            found |= {
                "video": video.name,
                "value": value,
                "gpu": float(torch.cuda.max_memory_allocated(device) if is_gpu else 0),
            }
            yield found | (copied(lambda video=video: score(video)) if is_gpu else {})


def frames_cells(
    videos: list[Path], *, reader: str, runs: int, longest: float, warm: str, **_: Any
) -> Iterator[dict[str, Any]]:
    """Yield what reading frames costs, and how many of them are not those of a sequential decode."""
    from eval_videos import FRAME_READERS, number_of_frames

    from opens2v_eval.frames import linspace_indices

    read = FRAME_READERS[reader]
    read(Path(warm), list(range(16)))
    for rule in RULES:
        for video in videos:
            count = number_of_frames(video)
            indices = linspace_indices(count, 32) if rule == "32 frames" else list(range(count))
            frames, found = timed(lambda video=video, indices=indices: read(video, indices), runs=runs, longest=longest)
            wrong = num_wrong(frames, video, indices)
            yield found | {"video": video.name, "rule": rule, "wrong": wrong, "frames": len(indices)}


def num_wrong(frames: Any, video: Path, indices: list[int]) -> int:
    """Return how many frames are not those of a sequential decode, or not there."""
    import numpy as np
    from eval_videos import sequential

    wrong = 0
    for place, expected in enumerate(sequential(video, indices)):
        # Decoders convert to RGB with roundings of their own: 2 levels on average; a neighbour is further off.
        is_there = place < len(frames) and frames[place].shape == expected.shape
        wrong += not is_there or float(np.abs(frames[place].astype(int) - expected).mean()) > 2
    return wrong


def timed(work: Callable[[], Any], *, runs: int, longest: float) -> tuple[Any, dict[str, Any]]:
    """Do the same work several times.

    Args:
        work: to be done.
        runs: how often.
        longest: no run is begun when so many seconds are over.

    Returns:
        What it gives, and figures: medians of wall and CPU seconds, the number of runs, peak resident bytes.
    """
    walls, cpus, result = [], [], None
    reset_peak()
    while len(walls) < runs and (not walls or sum(walls) < longest):
        result = None  # what the last run gave is no part of this one's memory
        wall, cpu = time.perf_counter(), cpu_seconds()
        result = work()
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu_seconds() - cpu)
    figures = {
        "wall": statistics.median(walls),
        "cpu": statistics.median(cpus),
        "runs": len(walls),
        "peak": peak_bytes(),
    }
    return result, figures


def cpu_seconds() -> float:
    """Return what this process and those it has waited for took."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def reset_peak() -> None:
    """Let Linux begin anew with the process's largest resident set; elsewhere it stays that since the start."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def peak_bytes() -> int:
    """Return the largest resident set."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    [peak] = [line for line in lines if line.startswith("VmHWM:")]
    return int(peak.split()[1]) * 1024


def copied(work: Callable[[], Any]) -> dict[str, int]:
    """Do work under torch's profiler; return bytes copied to the GPU and to the host; nothing where no copy was seen."""
    try:
        return bytes_of_copies(trace_of(work))
    except Exception as error:  # noqa: BLE001 - what was timed is told all the same
        print(f"copies were not counted: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return {}


def trace_of(work: Callable[[], Any]) -> Mapping[str, Any]:
    """Do work under torch's profiler; return its trace in Chrome's form."""
    from torch.profiler import ProfilerActivity, profile

    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        place = Path(folder) / "trace.json"
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            work()
        profiler.export_chrome_trace(str(place))
        return json.loads(place.read_text(encoding="utf-8", errors="replace"))


def bytes_of_copies(trace: Mapping[str, Any]) -> dict[str, int]:
    """Sum up the copies of a trace in Chrome's form, as torch's profiler writes it."""
    sums = {"to_gpu": 0, "to_host": 0}
    copies = [event for event in trace.get("traceEvents", ()) if event.get("cat") == "gpu_memcpy"]
    for event in copies:
        for name, kind in (("to_gpu", "HtoD"), ("to_host", "DtoH")):
            if kind in event.get("name", ""):
                sums[name] += int(event.get("args", {}).get("bytes", 0))
    return sums if copies else {}
