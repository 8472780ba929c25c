"""What does a clip cost, from mp4 bytes to frames of the size a model takes, beside other decoders?

The job: 49 frames of a 720p clip, cropped, resized to 480x832, and one annotated frame at full size. Every method runs in a
process of its own, on one thread or in two, the order of the methods changing from run to run; CPU is the process's, after
one clip to warm up, so that more threads than were asked for show.

    ours, exact; ours, fast      decode(resize="exact" | "fast", out=…), a buffer kept per worker, as ClipLoader keeps its ring
    torchcodec                   the same through backend="torchcodec" (exact seek mode)
    upstream's way               decord, whole frames, then antialiased resize in float32, as upstream's demo loader does it
    decord, uint8                the same with the resize in uint8
    OpenCV                       sequential read, INTER_AREA
    floor                        PyAV decodes every frame of the file and converts none

    python benchmarks/decode.py                          # the release's sample clip where it lies beside the checkout
    python benchmarks/decode.py --clip some.mp4 --runs 5
    python benchmarks/decode.py --long                   # that clip forwards and backwards, encoded anew; every third frame
    pip install --no-deps --target rivals decord opencv-python-headless && python benchmarks/decode.py --rivals rivals

Without decord, "upstream's way" takes its frames from PyAV, sequentially, and says so. torchcodec is given the FFmpeg that
PyAV's wheel carries, under the names that it looks for. Below the table stand the targets of the decoder and what was found.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from measure import ROOT, machine, run_isolated, table
from shared_libraries import with_links

SIZE = (480, 832)
NUM_FRAMES = 49
_BUFFERS = threading.local()
Method = Callable[[bytes, list[int], tuple[int, int, int, int]], Any]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="an mp4 (default: the release's sample clip, else a generated one)")
    parser.add_argument("--long", action="store_true", help="the clip forwards and backwards, every third frame")
    parser.add_argument("--runs", type=int, default=3, help="runs of each method; medians are printed (default: 3)")
    parser.add_argument("--clips", type=int, default=4, help="clips per run and worker (default: 4)")
    parser.add_argument("--rivals", type=Path, help="folder with decord and cv2, see above")
    parser.add_argument("--only", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--child", nargs=2, metavar=("METHOD", "WORKERS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child[0], int(arguments.child[1]), arguments.clip, arguments.clips, arguments.long)
        return
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        clip = Path(folder, "clip.mp4")
        clip.write_bytes(long_clip(the_clip(arguments.clip)) if arguments.long else the_clip(arguments.clip))
        environment = {"PYTHONPATH": str(arguments.rivals.resolve())} if arguments.rivals else {}
        environment |= with_links(Path(folder, "libraries"))
        found: dict[tuple[str, int], list[dict[str, float]]] = {}
        notes: dict[str, str] = {}
        for run in range(arguments.runs):
            for name in arguments.only if run % 2 == 0 else arguments.only[::-1]:
                for workers in (1, 2):
                    command = [sys.executable, __file__, "--clip", str(clip), "--clips", str(arguments.clips)]
                    command += ["--child", name, str(workers)] + (["--long"] if arguments.long else [])
                    cost = run_isolated(command, timeout=600, env=environment)
                    if cost.code:
                        notes[name] = cost.error.strip().splitlines()[-1][:160]
                        continue
                    answer = json.loads(cost.output.splitlines()[-1])
                    found.setdefault((name, workers), []).append(answer)
                    if answer["note"]:
                        notes[name] = answer["note"]
        print(f"{machine()}; {describe(clip, is_long=arguments.long)}\n")
        report(found, notes)


def report(found: dict[tuple[str, int], list[dict[str, float]]], notes: dict[str, str]) -> None:
    """Print the table and what could not be run."""

    def median(name: str, workers: int, key: str) -> float:
        return statistics.median(run[key] for run in found[name, workers]) if (name, workers) in found else 0.0

    rows = []
    for name in METHODS:
        if (name, 1) not in found:
            continue
        cpu = median(name, 1, "cpu_ms")
        upstream, floor = median("upstream's way", 1, "cpu_ms"), median("floor", 1, "cpu_ms")
        rows.append(
            [
                name,
                f"{cpu:,.0f}",
                f"{median(name, 2, 'cpu_ms'):,.0f}",
                f"{median(name, 1, 'clips_per_second'):.2f}",
                f"{median(name, 2, 'clips_per_second'):.2f}",
                f"{upstream / cpu:.1f}x" if upstream else "",
                f"{cpu / floor:.2f}x" if floor else "",
                f"{psnr:.1f}" if (psnr := median(name, 1, "psnr")) else "",
            ]
        )
    header = ["method", "CPU-ms per clip, 1 worker", "2 workers", "clips/s, 1 worker", "2 workers"]
    print(table(rows, [*header, "faster than upstream", "CPU of the floor", "dB from float32"]))
    for name, note in notes.items():
        print(f"\n{name}: {note}")
    upstream, floor = median("upstream's way", 1, "cpu_ms"), median("floor", 1, "cpu_ms")
    exact, fast = median("ours, exact", 1, "cpu_ms"), median("ours, fast", 1, "cpu_ms")
    if upstream and floor and exact and fast:
        print()
        for what, value, bound, is_met in (
            ("exact against upstream's way", upstream / exact, "at least 4x", upstream / exact >= 4),
            ("fast against upstream's way", upstream / fast, "at least 6x", upstream / fast >= 6),
            ("fast beside the floor", fast / floor, "at most 1.05x", fast / floor <= 1.05),
        ):
            print(f"{'met   ' if is_met else 'MISSED'} {what}: {value:.2f}x, wanted {bound}")


def child(name: str, workers: int, clip: Path, num_clips: int, is_long: bool) -> None:
    """Run one method and print what it took."""
    import torch

    torch.set_num_threads(1)
    data = clip.read_bytes()
    indices, box = wanted(data, is_long=is_long)
    method = METHODS[name]
    result = method(data, indices, box)

    def once(_: int) -> None:
        method(data, indices, box)

    together = threading.Barrier(workers)

    def warm(_: int) -> None:
        together.wait()  # so that each thread makes its buffer now
        once(0)

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(warm, range(workers)))
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in pool.map(once, range(num_clips * workers)):
            pass
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done = num_clips * workers
    quality = psnr(result, data, indices, box) if workers == 1 and result is not None else 0.0
    answer = {
        "cpu_ms": cpu / done * 1000,
        "clips_per_second": done / wall,
        "psnr": quality,
        "note": NOTES.get(name, ""),
    }
    print(json.dumps(answer))


def wanted(data: bytes, *, is_long: bool) -> tuple[list[int], tuple[int, int, int, int]]:
    """Return 49 frame numbers, spread over the clip, or every third; and the crop."""
    import numpy as np

    from opens2v_loaders import probe

    info = probe(data)
    last = min(info.num_frames_from_packets - 1, 3 * (NUM_FRAMES - 1)) if is_long else info.num_frames_from_packets - 1
    return [int(i) for i in np.linspace(0, last, NUM_FRAMES)], (0, 0, info.width, info.height - info.height % 16)


def psnr(result: Any, data: bytes, indices: list[int], box: tuple[int, int, int, int]) -> float:
    """Return how near six of the frames are to a sequential decode resized in float32."""
    import torch

    from opens2v_loaders import read_frames

    rows = list(range(0, NUM_FRAMES, 9))
    whole = torch.from_numpy(read_frames(data, [indices[row] for row in rows], crop_xyxy=box).rgb).permute(0, 3, 1, 2)
    expected = float_resize(whole.float())
    error = (result[rows].double() - expected.double()).square().mean()
    return float(10 * torch.log10(255**2 / error)) if error else 99.0


def float_resize(pictures: Any) -> Any:
    """Resize as upstream's loader does."""
    from torch.nn.functional import interpolate

    return interpolate(pictures, size=SIZE, mode="bilinear", align_corners=False, antialias=True)


def ours(data: bytes, indices: list[int], box: tuple[int, int, int, int], **options: Any) -> Any:
    """Decode with the library."""
    import torch

    from opens2v_loaders import decode

    if not hasattr(_BUFFERS, "out"):  # channels last, as decoded
        _BUFFERS.out = torch.zeros((NUM_FRAMES, *SIZE, 3), dtype=torch.uint8).permute(0, 3, 1, 2)
    return decode(data, indices=indices, crop_xyxy=box, size=SIZE, full=(0,), out=_BUFFERS.out, **options).frames


def floor(data: bytes, indices: list[int], box: tuple[int, int, int, int]) -> None:
    """Decode every frame, convert none."""
    import av

    with av.open(io.BytesIO(data), "r", metadata_errors="ignore") as container:
        container.streams.video[0].codec_context.thread_count = 1
        for _ in container.decode(video=0):
            pass


def upstream(data: bytes, indices: list[int], box: tuple[int, int, int, int]) -> Any:
    """Decode whole frames, resize them all at once in float32."""
    import torch

    if importlib.util.find_spec("decord") is None:
        import av
        import numpy as np

        with av.open(io.BytesIO(data), "r", metadata_errors="ignore") as container:
            container.streams.video[0].codec_context.thread_count = 1
            arrays, chosen = [], set(indices)
            for number, frame in enumerate(container.decode(video=0)):
                if number in chosen:
                    arrays.append(frame.reformat(format="rgb24", threads=1).to_ndarray())
        places = {number: place for place, number in enumerate(sorted(chosen))}
        pictures = np.stack([arrays[places[index]] for index in indices])
    else:
        pictures = decord_frames(data, indices)
    x0, y0, x1, y1 = box
    return float_resize(torch.from_numpy(pictures).permute(0, 3, 1, 2)[..., y0:y1, x0:x1].float())


def decord_frames(data: bytes, indices: list[int]) -> Any:
    """Return `(T, H, W, 3) uint8` as decord gives them; the annotated frame too."""
    import decord  # pyright: ignore[reportMissingImports]

    reader = decord.VideoReader(io.BytesIO(data), num_threads=1)
    reader[0].asnumpy()
    return reader.get_batch(indices).asnumpy()


def decord_uint8(data: bytes, indices: list[int], box: tuple[int, int, int, int]) -> Any:
    """Decode with decord, resize in uint8."""
    import torch

    x0, y0, x1, y1 = box
    return float_resize(torch.from_numpy(decord_frames(data, indices)).permute(0, 3, 1, 2)[..., y0:y1, x0:x1])


def opencv(data: bytes, indices: list[int], box: tuple[int, int, int, int]) -> Any:
    """Decode with OpenCV, which reads files only."""
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"
    import cv2  # pyright: ignore[reportMissingImports]
    import numpy as np
    import torch

    cv2.setNumThreads(1)
    x0, y0, x1, y1 = box
    chosen: dict[int, Any] = dict.fromkeys(indices)
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(data)
        file.flush()
        capture = cv2.VideoCapture(file.name)
        for number in range(max(indices) + 1):
            capture.grab()
            if number in chosen:
                picture = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
                chosen[number] = cv2.resize(picture[y0:y1, x0:x1], SIZE[::-1], interpolation=cv2.INTER_AREA)
        capture.release()
    return torch.from_numpy(np.stack([chosen[index] for index in indices])).permute(0, 3, 1, 2)


METHODS: dict[str, Method] = {
    "ours, exact": ours,
    "ours, fast": lambda data, indices, box: ours(data, indices, box, resize="fast"),
    "torchcodec": lambda data, indices, box: ours(data, indices, box, backend="torchcodec"),
    "upstream's way": upstream,
    "decord, uint8": decord_uint8,
    "OpenCV": opencv,
    "floor": floor,
}
NOTES = {
    "upstream's way": ""
    if importlib.util.find_spec("decord")
    else "decord is not installed: its frames come from PyAV, decoded sequentially",
}


def the_clip(path: Path | None) -> bytes:
    """Return the clip to measure with."""
    if path is not None:
        return path.read_bytes()
    sys.path.insert(0, str(ROOT / "tests"))
    from loaders import real_sample

    if real_sample.FOLDER.is_dir():
        return real_sample.video_bytes()
    import numpy as np

    rng = np.random.default_rng(0)
    still = rng.integers(0, 256, (90, 240, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return encode([np.ascontiguousarray(still[:, 5 * i : 5 * i + 1280]) for i in range(95)])


def long_clip(data: bytes) -> bytes:
    """Return the clip forwards and backwards, encoded anew."""
    from opens2v_loaders import probe, read_frames

    frames = list(read_frames(data, range(probe(data).num_frames_from_packets)).rgb)
    return encode(frames + frames[::-1])


def encode(frames: list[Any]) -> bytes:
    """Encode pictures at 30 frames/s."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=30)
        video.height, video.width, video.pix_fmt = *frames[0].shape[:2], "yuv420p"
        video.options = {"preset": "veryfast", "crf": "20", "bf": "3", "g": "60"}
        for rgb in frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        container.mux(video.encode(None))
    return file.getvalue()


def describe(clip: Path, *, is_long: bool) -> str:
    """Return one line about the job."""
    from opens2v_loaders import probe

    info = probe(clip)
    step = "every third" if is_long else "spread over it"
    return (
        f"{NUM_FRAMES} frames ({step}) of a clip of {info.num_frames_from_packets} frames, {info.codec}, "
        f"{info.width}x{info.height}, {clip.stat().st_size / 1e6:.1f} MB, to {SIZE[1]}x{SIZE[0]}"
    )


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "loaders")]
    main()
