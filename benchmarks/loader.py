"""How fast do training clips come, and what do they cost, beside a torch DataLoader and a `datasets` stream?

Each way decodes the rows of one catalog to 49 frames of 480x832, without pictures of subjects, in a process of its own; the
order of the ways changes from run to run:

    ClipLoader           threads of one process
    upstream's demo      torch's DataLoader over what upstream's demo loader does, written anew from that: each worker process
                         reads an mp4 that was extracted beforehand, decodes whole frames with decord (without it, all of them
                         in sequence with PyAV), resizes them antialiased in float32 and crops; floats go to the main process
    DataLoader, ours     torch's DataLoader over `ClipLoader.as_torch_dataset()`: as many worker processes
    datasets stream      `decode_clips` over `load_dataset("opens2v-5m", streaming=True)`: as many threads
    sequential           one clip after the other, for what one of them costs; only with `--only sequential`

With `--device cuda` videos come on a GPU, decoded there or carried there as `decode(backend="auto")` can, and the bytes that
torch held of its memory are told. "DataLoader, ours" and upstream's demo decode in forked processes, which a GPU's context does
not survive: they stay on the CPU, and their batches are sent to the GPU as they come.

Every way gives exactly `--clips` clips and no more, and is measured from when it is asked for the first until it has ended,
with its worker processes: what is decoded ahead is among them. CPU is that of the process and of all its workers; memory is
the most that they held together at any half second, pages they share counted once (Pss). Packages are imported and rows
counted beforehand; "first batch" is the only column with that in it.

    python benchmarks/loader.py                     # 16 copies of the release's sample clip, or of a generated one
    python benchmarks/loader.py --clips 128 --workers 4 --runs 5
    python benchmarks/loader.py --clips 128 --batch 16 --workers 16 --device cuda
    python benchmarks/loader.py --catalog ./opens2v-5m --release ./release --where "num_frames > 0"   # without upstream's
    pip install --no-deps --target rivals decord && python benchmarks/loader.py --rivals rivals

How long the first batch of a full-size catalog takes is the question of `first_batch.py`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from measure import ROOT, machine, run_isolated, table
from shared_libraries import with_links

WAYS = ("ClipLoader", "upstream's demo", "DataLoader, ours", "datasets stream", "sequential")
Facts = dict[str, Any]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--catalog", type=Path, help="default: one of copies of a clip, made for the occasion")
    parser.add_argument("--release")
    parser.add_argument("--clip", type=Path, help="an mp4 to copy")
    parser.add_argument("--where", default="num_frames > 0", help="rows whose clips all decode")
    parser.add_argument("--clips", type=int, default=16, help="whole batches of them (default: 16)")
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--stride", type=int, default=3)
    parser.add_argument("--size", default="480x832")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rivals", type=Path, help="folder with decord, see above")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS[:-1]))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(json.loads(arguments.child))
        return
    arguments.clips = -(-arguments.clips // arguments.batch) * arguments.batch
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        names = ("clips", "frames", "stride", "batch", "workers", "where", "release", "device")
        facts: Facts = {name: getattr(arguments, name) for name in names}
        facts |= {"size": [int(side) for side in arguments.size.split("x")], "extracted": None}
        if arguments.catalog is None:
            from copied_release import make

            release, catalog = make(Path(folder), num_clips=arguments.clips, clip=arguments.clip)
            facts |= {"release": str(release), "catalog": str(catalog), "extracted": str(release / "extracted")}
        else:
            facts |= {"catalog": str(arguments.catalog.resolve())}
        ways = [way for way in arguments.only if way != "upstream's demo" or facts["extracted"]]
        found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        environment = {"PYTHONPATH": str(arguments.rivals.resolve())} if arguments.rivals else {}
        if arguments.device != "cpu":
            environment |= with_links(Path(folder, "libraries"))  # torchcodec's FFmpeg
        for run in range(arguments.runs):
            for way in random.Random(run).sample(ways, len(ways)):
                command = [sys.executable, __file__, "--child", json.dumps(facts | {"way": way})]
                cost = run_isolated(command, timeout=900, env=environment)
                if cost.code:
                    sys.exit(f"{way} failed: {cost.error[-2000:]}")
                answer = json.loads(cost.output.splitlines()[-1])
                found[way].append(answer)
                figures = f"{answer['clips_per_second']:.2f} clips/s, {answer['cpu_per_clip']:.3f} CPU-s per clip"
                print(f"run {run + 1} of {arguments.runs}: {way}: {figures}", file=sys.stderr, flush=True)
    print(
        f"{machine()}; {arguments.clips} clips of {arguments.frames} frames to {arguments.size}, {arguments.workers} workers, "
        f"batches of {arguments.batch}, on {arguments.device}, {arguments.runs} runs\n"
    )
    report(found)


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the medians."""

    def median(way: str, key: str) -> float:
        return statistics.median(run[key] for run in found[way])

    rows = []
    for way in found:
        demo = median("upstream's demo", "cpu_per_clip") if "upstream's demo" in found else 0.0
        cpu = median(way, "cpu_per_clip")
        rows.append(
            [
                way,
                f"{median(way, 'clips_per_second'):.2f}",
                f"{median(way, 'clips_per_second') / (os.cpu_count() or 1):.2f}",
                f"{cpu:.3f}",
                f"{demo / cpu:.1f}x" if demo else "",
                f"{median(way, 'first_seconds'):.1f}",
                f"{median(way, 'peak_bytes') / 1e9:.2f}",
                f"{gpu_bytes / 1e9:.2f}" if (gpu_bytes := median(way, "gpu_bytes")) else "",
            ]
        )
    header = ["way", "clips/s", "per core", "CPU-s per clip", "less CPU than upstream's", "first batch, s"]
    print(table(rows, [*header, "memory, GB", "of the GPU, GB"]))
    notes = {run["note"] for runs in found.values() for run in runs if run["note"]}
    print("".join(f"\n{note}" for note in sorted(notes)))


def child(facts: Facts) -> None:
    """Take clips one way and print what it took."""
    import torch

    begun = time.perf_counter()
    torch.set_num_threads(1)  # as in torch's own workers: it is `--workers` that says how many work
    peak = Peak()
    clips = clips_of(facts)
    start, cpu = time.perf_counter(), cpu_of_all()
    count, first = 0, 0.0
    for number in clips():
        count += number
        if not first and count >= facts["batch"]:
            first = time.perf_counter() - begun
    seconds, cpu = time.perf_counter() - start, cpu_of_all() - cpu
    if count != facts["clips"]:
        raise SystemExit(f"expected {facts['clips']} clips, found {count}: does the catalog have so many that decode?")
    answer = {
        "clips_per_second": count / seconds,
        "cpu_per_clip": cpu / count,
        "first_seconds": first,
        "peak_bytes": peak.stop(),
        "gpu_bytes": torch.cuda.max_memory_allocated() if facts["device"] != "cpu" else 0,
        "note": note_of(facts["way"]),
    }
    print(json.dumps(answer), flush=True)


def clips_of(facts: Facts) -> Callable[[], Iterator[int]]:
    """Make one way ready; what is returned takes all its clips, and yields how many came."""
    import torch.utils.data  # noqa: F401 (workers are forked with what is imported)

    from opens2v_loaders import ClipLoader, ClipSpec, decode, decode_clips  # noqa: F401

    way, workers, num_clips = facts["way"], facts["workers"], facts["clips"]
    spec = ClipSpec(num_frames=facts["frames"], stride=facts["stride"], size=tuple(facts["size"]))
    if way == "datasets stream":
        import datasets

        os.environ["OPENS2V_RELEASE"] = facts["release"] or ""
        chosen: dict[str, Any] = {"data_dir": facts["catalog"], "where": facts["where"]}
        rows = datasets.load_dataset("opens2v-5m", split="train", streaming=True, **chosen).take(num_clips)
        stream = decode_clips(rows, spec, num_threads=workers, device=facts["device"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        return lambda: (1 for _ in stream)
    if way == "upstream's demo":
        return batches_of(DemoClips(facts["extracted"], spec, num_clips), facts)
    loader = our_loader(facts, spec, on_cpu=way == "DataLoader, ours")
    if way == "ClipLoader":
        return lambda: (len(batch) for batch in loader)
    dataset = loader.as_torch_dataset()
    if way == "sequential":
        return lambda: one_by_one(dataset, num_clips)
    return batches_of(dataset, facts)


def one_by_one(dataset: Any, num_clips: int) -> Iterator[int]:
    """Take clips of a map-style dataset in this process."""
    for row in range(num_clips):
        dataset[row]
        yield 1


def our_loader(facts: Facts, spec: Any, *, on_cpu: bool) -> Any:
    """Return a loader of so many clips of the catalog."""
    import opens2v_data
    from opens2v_loaders import ClipLoader, LoaderOptions, Reserve

    catalog = opens2v_data.open(facts["catalog"], release=facts["release"])
    options = LoaderOptions(num_threads=facts["workers"], max_bad_share=1.0)
    chosen = catalog.row_sizes(facts["where"])["row_id"][: facts["clips"]]
    return ClipLoader(
        catalog,
        clip=spec,
        batch_size=facts["batch"],
        include=chosen,
        reserve=Reserve(spares=0),
        options=options,
        device="cpu" if on_cpu else facts["device"],
    )


def batches_of(dataset: Any, facts: Facts) -> Callable[[], Iterator[int]]:
    """Return what takes all of a map-style dataset through worker processes."""
    import torch
    from torch.utils.data import DataLoader

    def keep(samples: list[dict[str, Any]]) -> Any:
        return torch.stack([sample["video"] for sample in samples])

    loader = DataLoader(dataset, batch_size=facts["batch"], num_workers=facts["workers"], collate_fn=keep)
    return lambda: (len(videos.to(facts["device"])) for videos in loader)


class DemoClips:
    """What upstream's demo loader does with a clip, without its subjects."""

    def __init__(self, folder: str, spec: Any, num_clips: int) -> None:
        self._paths, self._spec = sorted(Path(folder).glob("*.mp4"))[:num_clips], spec
        if importlib.util.find_spec("decord") is not None:
            import decord  # noqa: F401  # pyright: ignore[reportMissingImports] (workers are forked with it)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return `video`, `(T, 3, H, W) float32` in [0, 255]."""
        import torch
        from torch.nn.functional import interpolate

        from opens2v_loaders import rng_of

        path = self._paths[row]
        if importlib.util.find_spec("decord") is not None:
            import decord  # pyright: ignore[reportMissingImports]

            reader = decord.VideoReader(str(path), num_threads=1)
            indices = self._spec.frame_indices((0, len(reader)), rng=rng_of(0, 0, row, "frames"))
            pictures = reader.get_batch(indices.tolist()).asnumpy()
        else:
            pictures = self._all_in_sequence(path, row)
        whole = torch.from_numpy(pictures).permute(0, 3, 1, 2).float()
        fit = self._spec.fit(whole.shape[-2], whole.shape[-1])
        resized = interpolate(whole, size=fit.resize, mode="bilinear", align_corners=False, antialias=True)
        left, top, right, bottom = fit.box_xyxy
        return {"video": resized[..., top:bottom, left:right]}

    def _all_in_sequence(self, path: Path, row: int) -> Any:
        import av
        import numpy as np

        from opens2v_loaders import probe, rng_of

        count = probe(path).num_frames_from_packets
        indices = self._spec.frame_indices((0, count), rng=rng_of(0, 0, row, "frames")).tolist()
        with av.open(str(path), "r", metadata_errors="ignore") as container:
            container.streams.video[0].codec_context.thread_count = 1
            found = {
                number: frame.reformat(format="rgb24", threads=1).to_ndarray()
                for number, frame in enumerate(container.decode(video=0))
                if number in set(indices)
            }
        return np.stack([found[index] for index in indices])


def note_of(way: str) -> str:
    """Return what is to be known of a way as it ran."""
    if way == "upstream's demo" and importlib.util.find_spec("decord") is None:
        return "upstream's demo: decord is not installed; its frames come from PyAV, decoded sequentially"
    return ""


def processes() -> list[int]:
    """Return this process and its children that run."""
    found = [os.getpid()]
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has ended meanwhile
            found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def cpu_of_all() -> float:
    """Return CPU seconds of this process and of its children, those that have ended and those that run."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for pid in processes()[1:]:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


class Peak:
    """Watches how much memory this process and its children hold together."""

    def __init__(self) -> None:
        self._most = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Return the most so far, bytes."""
        self._end.set()
        self._thread.join()
        return self._most

    def _watch(self) -> None:
        while not self._end.wait(0.5):
            total = 0
            for pid in processes():
                try:
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                except OSError:
                    continue  # it has ended meanwhile
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
            self._most = max(self._most, total)


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "loaders"), str(ROOT / "tests")]
    main()
