"""How many clips per second come out on a GPU, by backend, threads and processes? Not run yet: it was written without a GPU.

The job of `decode.py` (49 frames of a 720p clip, cropped, resized to 480x832, one frame whole), the result on the GPU. Each
row runs in processes of its own, after two clips per thread to warm up, for `--seconds`; every backend's frames are compared
with the CPU's. Threads work as a loader's do: each on a CUDA stream of its own, what is decoded on the CPU through one ring
of pinned buffers (`opens2v_loaders.destination`). NVDEC's use is nvidia-smi's, sampled while a row runs; memory is the most
that torch held, summed over the processes (decoders' own surfaces come on top: see the column of nvidia-smi). torchcodec is
given the FFmpeg that PyAV's wheel carries, as in `decode.py`. A row is told as soon as it is there; below the table stand the
targets, what was found, and what the best row had most use of.

    python benchmarks/decode_gpu.py                              # all backends, 1 to 16 threads, 1 and 4 processes
    python benchmarks/decode_gpu.py --backends pyav-nvdec --threads 4 --processes 1 2 4 8
    python benchmarks/decode_gpu.py --rows cpu:16:1 torchcodec-nvdec:1:16 pyav-nvdec:4:4 --seconds-in-all 120
    python benchmarks/decode_gpu.py --clip some.mp4 --seconds 10

`cpu` is the same job left on the CPU, in as many processes as there are cores: what a GPU has to beat. It alone also runs
where there is no GPU.
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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from decode import SIZE, describe, the_clip, wanted
from measure import ROOT, machine, table
from shared_libraries import with_links

BACKENDS = ["auto", "torchcodec-nvdec", "pyav-nvdec", "pyav-upload", "pyav"]
Row = list[Any]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="an mp4 (default: the release's sample clip, else a generated one)")
    parser.add_argument("--backends", nargs="+", choices=[*BACKENDS, "cpu"], default=[*BACKENDS, "cpu"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 4, 8, 16])
    parser.add_argument("--processes", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--rows", nargs="+", type=shape_of, metavar="BACKEND:PROCESSES:THREADS", help="these, in order")
    parser.add_argument("--seconds", type=float, default=6.0, help="per row, after warming up (default: 6)")
    parser.add_argument("--seconds-in-all", type=float, default=float("inf"), help="begin no row that may last longer")
    parser.add_argument(
        "--seconds-to-warm",
        type=float,
        default=120.0,
        help="for torch's import, CUDA's context and two clips per thread; who takes longer hangs (default: 120)",
    )
    parser.add_argument("--child", nargs=2, metavar=("BACKEND", "THREADS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.clip, arguments.child[0], int(arguments.child[1]), arguments.seconds)
        return
    import torch

    begun, cores = time.monotonic(), os.cpu_count() or 1
    shapes = arguments.rows or [
        shape
        for backend in arguments.backends
        for shape in (
            [(backend, cores, 1)]
            if backend == "cpu"
            else [(backend, p, t) for p in arguments.processes for t in arguments.threads]
        )
    ]
    if not torch.cuda.is_available() and any(backend != "cpu" for backend, _, _ in shapes):
        raise SystemExit(f"torch {torch.__version__} finds no GPU here; benchmarks/decode.py measures on a CPU")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        clip = Path(folder, "clip.mp4")
        clip.write_bytes(the_clip(arguments.clip))
        os.environ |= with_links(Path(folder, "libraries"))
        print(f"{machine()}; {gpu}; {describe(clip, is_long=False)}\n", flush=True)
        notes, longest = list[str](), arguments.seconds
        for backend, processes, threads in shapes:
            start = time.monotonic()
            if start - begun + longest > arguments.seconds_in_all:
                notes.append(f"{backend}, {processes}x{threads}: not run, {start - begun:.0f} s have gone")
                continue
            row, note = measured(clip, (backend, processes, threads), arguments, Path(folder))
            longest = max(longest, time.monotonic() - start)
            notes += [note] if note and note not in notes else []
            rows += [row] if row else []
            # As it comes: the last row of a machine that is lent may be cut off.
            print(json.dumps(row) if row else note, file=sys.stderr, flush=True)
    header = ["backend", "processes", "threads each", "clips/s", "CPU-s per clip", "levels from the CPU", "torch GB"]
    print(table(rows, [*header, "GPU GB", "NVDEC %", "GPU %"]))
    for note in notes:
        print(f"\n{note}")
    report_targets(rows, cores)


def shape_of(text: str) -> tuple[str, int, int]:
    """Read `BACKEND:PROCESSES:THREADS`."""
    backend, processes, threads = text.split(":")
    if backend not in (*BACKENDS, "cpu"):
        raise argparse.ArgumentTypeError(f"{backend} is none of {', '.join(BACKENDS)} and cpu")
    return backend, int(processes), int(threads)


def report_targets(rows: list[Row], cores: int) -> None:
    """Print the decoder's targets beside the best of what was found, and what that had most use of."""
    on_gpu = [row for row in rows if row[0] != "cpu"]
    if not on_gpu:
        return
    best = max(on_gpu, key=lambda row: float(row[3]))
    on_cpu = max((float(row[3]) for row in rows if row[0] == "cpu"), default=0.0)
    print(f"\nbest: {best[0]}, {best[1]} processes of {best[2]} threads")
    of_auto = max((float(row[3]) for row in on_gpu if row[0].startswith("auto")), default=0.0)
    levels = max(row[5] for row in on_gpu)
    facts = [
        ("clips/s", float(best[3]), "at least 100", float(best[3]) >= 100),
        ("clips/s of backend='auto'", of_auto, "at least 100", of_auto >= 100),
        ("clips/s beside the 120 of four PyAV-NVDEC processes", float(best[3]), "above 120", float(best[3]) > 120),
        ("most levels from the CPU, of all rows", levels, "at most 2", levels <= 2),
    ]
    if on_cpu:
        ratio = float(best[3]) / on_cpu
        facts.append((f"times {cores} cores of the CPU", ratio, "at least 2", ratio >= 2))
    for what, value, bound, is_met in facts:
        print(f"{'met   ' if is_met else 'MISSED'} {what}: {value:.1f}, wanted {bound}")
    busy = float(best[3]) * float(best[4])
    print(
        f"\nin use at the best: {busy:.1f} of {cores} cores, NVDEC {best[8] or '?'}%, the rest of the GPU {best[9] or '?'}%"
        " (nvidia-smi gives the mean over all decoders of a GPU)"
    )


def measured(
    clip: Path, shape: tuple[str, int, int], arguments: argparse.Namespace, folder: Path
) -> tuple[Row | None, str]:
    """Run one row: return it and a note, or why there is none."""
    backend, processes, threads = shape
    seconds, seconds_to_warm = arguments.seconds, arguments.seconds_to_warm
    command = [sys.executable, __file__, "--clip", str(clip), "--seconds", str(seconds)]
    command += ["--child", backend, str(threads)]
    what, errors = f"{backend}, {processes}x{threads}", [folder / f"error{number}" for number in range(processes)]
    with ExitStack() as stack:
        watch = stack.enter_context(Watch())
        running: list[subprocess.Popen[str]] = []
        stack.callback(_end, running)
        for path in errors:  # to files: what nobody reads would fill a pipe
            error = stack.enter_context(path.open("w"))
            running.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=error, text=True, bufsize=1
                )
            )
        late = threading.Timer(seconds_to_warm, _end, [running])
        late.start()
        stack.callback(late.cancel)
        # All start when all are warm: a line comes from each, then one goes to each.
        warm = [process.stdout.readline() if process.stdout else "" for process in running]
        late.cancel()
        if not all(line.startswith("warm") for line in warm):
            _end(running)
            return None, f"{what}: {_why(running, errors)}"
        watch.restart()
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        late = threading.Timer(2 * seconds + seconds_to_warm, _end, [running])
        late.start()
        stack.callback(late.cancel)
        outputs = [process.stdout.read() if process.stdout else "" for process in running]
        figures = watch.figures()
        late.cancel()
        if not all(output.strip() for output in outputs):
            _end(running)
            return None, f"{what}: {_why(running, errors)}"
    answers: list[dict[str, Any]] = [json.loads(output.strip().splitlines()[-1]) for output in outputs]
    done = sum(answer["clips"] for answer in answers)
    row = [
        backend if answers[0]["ran"] == backend else f"{backend} ({answers[0]['ran']})",
        processes,
        threads,
        f"{sum(answer['clips'] / answer['seconds'] for answer in answers):.1f}",
        f"{sum(answer['cpu'] for answer in answers) / done:.3f}",
        max(answer["levels"] for answer in answers),
        f"{sum(answer['torch_bytes'] for answer in answers) / 1e9:.1f}",
        *figures,
    ]
    return row, f"{backend}: {answers[0]['why']}"


def _end(running: list[subprocess.Popen[str]]) -> None:
    for process in running:
        process.kill()
        process.wait()


def _why(running: list[subprocess.Popen[str]], errors: list[Path]) -> str:
    """Return the last line that a process said before it failed, else how it ended."""
    said = [lines[-1][:300] for path in errors if (lines := path.read_text(errors="replace").strip().splitlines())]
    codes = sorted({process.wait() for process in running})
    return f"{said[0] if said else 'nothing was said'} (ended with {', '.join(map(str, codes))}; -9: it hung and was ended)"


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
    """Samples nvidia-smi twice a second; says nothing of what it does not tell."""

    def __init__(self) -> None:
        self._samples: list[tuple[float | None, ...]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)  # an nvidia-smi that hangs must not hold up the rest

    def restart(self) -> None:
        """Forget what was sampled so far."""
        self._samples.clear()

    def figures(self) -> list[str]:
        """Return most memory in GB, mean use of NVDEC and of the GPU in percent."""
        samples = list(self._samples)
        columns = [[value for value in column if value is not None] for column in zip(*samples, strict=True)]
        memory, decoder, gpu = columns or ([], [], [])
        return [
            f"{max(memory) / 1e3:.1f}" if memory else "",
            f"{sum(decoder) / len(decoder):.0f}" if decoder else "",
            f"{sum(gpu) / len(gpu):.0f}" if gpu else "",
        ]

    def _sample(self) -> None:
        query = ["nvidia-smi", "--query-gpu=memory.used,utilization.decoder,utilization.gpu"]
        command = [*query, "--format=csv,noheader,nounits", "--id=0"]
        while not self._stop.wait(0.5):
            try:
                said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
            except (OSError, subprocess.SubprocessError):
                return
            values = [value.strip() for value in said.strip().split(",")]
            if len(values) == 3:
                self._samples.append(tuple(float(v) if v.replace(".", "").isdigit() else None for v in values))


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "loaders")]
    main()
