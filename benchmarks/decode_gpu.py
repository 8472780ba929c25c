"""How many clips per second come out on a GPU, by backend, threads and processes? Not run yet: it was written without a GPU.

The job of `decode.py` (49 frames of a 720p clip, cropped, resized to 480x832, one frame whole), the result on the GPU. Each
row runs in processes of its own, after two clips per thread to warm up, for `--seconds`; every backend's frames are compared
with the CPU's. Threads work as a loader's do: each on a CUDA stream of its own, what is decoded on the CPU through one ring
of pinned buffers (`opens2v_loaders.destination`). NVDEC's use is nvidia-smi's, sampled while a row runs; memory is the most
that torch held, summed over the processes (decoders' own surfaces come on top: see the column of nvidia-smi). torchcodec is
given the FFmpeg that PyAV's wheel carries, as in `decode.py`. Below the table stand the targets and what was found.

    python benchmarks/decode_gpu.py                              # all backends, 1 to 16 threads, 1 and 4 processes
    python benchmarks/decode_gpu.py --backends pyav-nvdec --threads 4 --processes 1 2 4 8
    python benchmarks/decode_gpu.py --clip some.mp4 --seconds 10

`cpu` is the same job left on the CPU, in as many processes as there are cores: what a GPU has to beat.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from decode import SIZE, describe, ffmpeg_of_pyav, the_clip, wanted
from measure import ROOT, machine, table

BACKENDS = ["auto", "torchcodec-nvdec", "pyav-nvdec", "pyav-upload", "pyav"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="an mp4 (default: the release's sample clip, else a generated one)")
    parser.add_argument("--backends", nargs="+", choices=[*BACKENDS, "cpu"], default=[*BACKENDS, "cpu"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--seconds", type=float, default=6.0, help="per row, after warming up (default: 6)")
    parser.add_argument("--child", nargs=2, metavar=("BACKEND", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.clip, arguments.child[0], int(arguments.child[1]), arguments.seconds)
        return
    import torch

    if not torch.cuda.is_available():
        raise SystemExit(f"torch {torch.__version__} finds no GPU here; benchmarks/decode.py measures on a CPU")
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        clip = Path(folder, "clip.mp4")
        clip.write_bytes(the_clip(arguments.clip))
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(
            [str(ffmpeg_of_pyav(Path(folder, "ffmpeg"))), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
        )
        print(f"{machine()}; {torch.cuda.get_device_name()}; {describe(clip, is_long=False)}\n")
        rows, notes = [], []
        for backend in arguments.backends:
            cores = os.cpu_count() or 1
            shapes = (
                [(cores, 1)] if backend == "cpu" else [(p, t) for p in arguments.processes for t in arguments.threads]
            )
            for processes, threads in shapes:
                row, note = measured(clip, backend, processes, threads, arguments.seconds)
                notes += [note] if note and note not in notes else []
                rows += [row] if row else []
    header = ["backend", "processes", "threads each", "clips/s", "CPU-s per clip", "levels from the CPU", "torch GB"]
    print(table(rows, [*header, "GPU GB", "NVDEC %", "GPU %"]))
    for note in notes:
        print(f"\n{note}")
    report_targets(rows)


def report_targets(rows: list[list[Any]]) -> None:
    """Print the decoder's targets beside the best of what was found."""
    on_gpu = [row for row in rows if row[0] != "cpu"]
    if not on_gpu:
        return
    best = max(on_gpu, key=lambda row: float(row[3]))
    on_cpu = max((float(row[3]) for row in rows if row[0] == "cpu"), default=0.0)
    print(f"\nbest: {best[0]}, {best[1]} processes of {best[2]} threads")
    facts = [
        ("clips/s", float(best[3]), "at least 100", float(best[3]) >= 100),
        ("clips/s beside the 120 of four PyAV-NVDEC processes", float(best[3]), "above 120", float(best[3]) > 120),
        (
            "most levels from the CPU, of all rows",
            max(row[5] for row in rows),
            "at most 2",
            max(row[5] for row in rows) <= 2,
        ),
    ]
    if on_cpu:
        ratio = float(best[3]) / on_cpu
        facts.append(("times the CPU's cores", ratio, "at least 2", ratio >= 2))
    for what, value, bound, is_met in facts:
        print(f"{'met   ' if is_met else 'MISSED'} {what}: {value:.1f}, wanted {bound}")


def measured(clip: Path, backend: str, processes: int, threads: int, seconds: float) -> tuple[list[object] | None, str]:
    """Run one row: return it and a note, or why there is none."""
    command = [
        sys.executable,
        __file__,
        "--clip",
        str(clip),
        "--seconds",
        str(seconds),
        "--child",
        backend,
        str(threads),
    ]
    with Watch() as watch:
        running = [
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
            )
            for _ in range(processes)
        ]
        try:
            # All start when all are warm: a line comes from each, then one goes to each.
            warm = [process.stdout.readline() if process.stdout else "" for process in running]
            if not all(line.startswith("warm") for line in warm):
                errors = [process.communicate(timeout=60)[1].strip().splitlines() for process in running]
                return None, f"{backend}, {processes}x{threads}: {next((e[-1] for e in errors if e), 'ended')[:300]}"
            watch.restart()
            outputs = [process.communicate("go\n", timeout=seconds * 5 + 60) for process in running]
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
    answers: list[dict[str, Any]] = []
    for output, error in outputs:
        if not output.strip():
            return None, f"{backend}, {processes}x{threads}: {error.strip().splitlines()[-1][:300]}"
        answers.append(json.loads(output.strip().splitlines()[-1]))
    done = sum(answer["clips"] for answer in answers)
    row = [
        backend if answers[0]["ran"] == backend else f"{backend} ({answers[0]['ran']})",
        processes,
        threads,
        f"{sum(answer['clips'] / answer['seconds'] for answer in answers):.1f}",
        f"{sum(answer['cpu'] for answer in answers) / done:.3f}",
        max(answer["levels"] for answer in answers),
        f"{sum(answer['torch_bytes'] for answer in answers) / 1e9:.1f}",
        *watch.figures(),
    ]
    return row, f"{backend}: {answers[0]['why']}"


def child(clip: Path, backend: str, num_threads: int, seconds: float) -> None:
    """Decode in threads for so long and print what came of it."""
    import torch

    from opens2v_loaders import decode
    from opens2v_loaders.destination import destination_on

    torch.set_num_threads(1)
    data = clip.read_bytes()
    indices, box = wanted(data, is_long=False)
    device = "cpu" if backend == "cpu" else "cuda"
    name: Any = "pyav" if backend == "cpu" else backend
    destination = destination_on(torch.device(device), num_threads=num_threads)
    job: dict[str, Any] = {"indices": indices, "crop_xyxy": box, "size": SIZE, "full": (0,), "device": device}

    def one(_: int = 0) -> Any:
        made = decode(data, **job, backend=name, ring=destination.ring)
        destination.mark().wait()
        return made

    expected = decode(data, indices=indices, crop_xyxy=box, size=SIZE, full=(0,))
    with destination.working():
        first = one()
    levels = max(
        int((first.frames.cpu().int() - expected.frames).abs().max()),
        int((first.full[0].cpu().int() - expected.full[0]).abs().max()),
    )
    contexts: list[Any] = []  # each thread enters its own, for as long as it lives

    def begin() -> None:
        contexts.append(destination.working())
        contexts[-1].__enter__()

    with ThreadPoolExecutor(num_threads, initializer=begin) as pool:
        list(pool.map(one, range(2 * num_threads)))
        print("warm", flush=True)
        sys.stdin.readline()
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        start, cpu, counts = time.perf_counter(), time.process_time(), [0] * num_threads

        def work(worker: int) -> None:
            while time.perf_counter() - start < seconds:
                one()
                counts[worker] += 1

        list(pool.map(work, range(num_threads)))
        answer = {
            "clips": sum(counts),
            "seconds": time.perf_counter() - start,
            "cpu": time.process_time() - cpu,
            "levels": levels,
            "ran": first.backend.name if backend != "cpu" else "cpu",
            "why": "; ".join([first.backend.reason, *(f"{other}: {why}" for other, why in first.backend.considered)]),
            "torch_bytes": torch.cuda.max_memory_allocated() if device == "cuda" else 0,
        }
    print(json.dumps(answer), flush=True)


class Watch:
    """Samples nvidia-smi twice a second; says nothing where there is none."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def restart(self) -> None:
        """Forget what was sampled so far."""
        self._samples.clear()

    def figures(self) -> list[str]:
        """Return most memory in GB, mean use of NVDEC and of the GPU in percent."""
        samples = self._samples[1:] or self._samples
        if not samples:
            return ["", "", ""]
        memory, decoder, gpu = zip(*samples, strict=True)
        return [f"{max(memory) / 1e3:.1f}", f"{sum(decoder) / len(samples):.0f}", f"{sum(gpu) / len(samples):.0f}"]

    def _sample(self) -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used,utilization.decoder,utilization.gpu"]
        while not self._stop.wait(0.5):
            try:
                said = subprocess.run(
                    [*query, "--format=csv,noheader,nounits", "--id=0"], capture_output=True, text=True, check=True
                ).stdout
                memory, decoder, gpu = (float(value) for value in said.split(","))
            except (OSError, ValueError, subprocess.CalledProcessError):
                return  # no nvidia-smi, or one that does not know NVDEC's use
            self._samples.append((memory, decoder, gpu))


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "loaders")]
    main()
