"""How fast do training clips come, and what do they cost, beside a torch DataLoader and a `datasets` stream?

Each way decodes the same rows of one catalog to the same tensors, in a process of its own, the order of the ways changing from
run to run:

    ClipLoader           threads of one process
    DataLoader           of torch, over `ClipLoader.as_torch_dataset()`: as many worker processes
    datasets stream      `decode_clips` over `load_dataset("opens2v-5m", streaming=True)`: as many threads
    sequential           one clip after the other, for what one of them costs

    python benchmarks/loader.py ./opens2v-5m --clips 64 --runs 3
    python benchmarks/loader.py ./opens2v-5m --release ./release --size 480x832 --frames 49 --workers 2

Upstream's own demo loader is not among them: it needs decord; `decode.py` compares the decoding with it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from pathlib import Path

from measure import machine, run_isolated, table

WORK = """
import json, sys, time
facts = json.loads(sys.argv[1])
import opens2v_data
import torch
from opens2v_loaders import ClipLoader, ClipSpec, LoaderOptions, decode_clips
begun, cpu = time.perf_counter(), time.process_time()
spec = ClipSpec(num_frames=facts["frames"], stride=facts["stride"], size=tuple(facts["size"]))
workers, limit, way = facts["workers"], facts["clips"], facts["way"]

def loader():
    catalog = opens2v_data.open(facts["catalog"], release=facts["release"])
    options = LoaderOptions(num_threads=workers, max_bad_share=1.0)
    return ClipLoader(catalog, clip=spec, batch_size=facts["batch"], where=facts["where"], options=options)

def clips():
    if way == "ClipLoader":
        while True:
            for batch in loader_:
                yield len(batch)
    elif way == "datasets stream":
        import datasets
        while True:
            chosen = {"data_dir": facts["catalog"], "where": facts["where"]}
            rows = datasets.load_dataset("opens2v-5m", split="train", streaming=True, **chosen)
            for _ in decode_clips(rows, spec, num_threads=workers):
                yield 1
    else:
        dataset = loader_.as_torch_dataset()
        rows = list(range(len(dataset)))
        good = rows * (limit // len(rows) + 1)
        if way == "sequential":
            for i in good:
                dataset[i]
                yield 1
        from torch.utils.data import DataLoader, Subset
        keep = lambda samples: torch.stack([sample["video"] for sample in samples])
        for videos in DataLoader(Subset(dataset, good), batch_size=facts["batch"], num_workers=workers, collate_fn=keep):
            yield len(videos)

loader_ = loader() if way != "datasets stream" else None
count, first = 0, None
for number in clips():
    count += number
    first = first or time.perf_counter() - begun
    if count >= limit:
        break
print(json.dumps({"clips": count, "seconds": time.perf_counter() - begun, "first": first}), flush=True)
"""
WAYS = ("ClipLoader", "DataLoader", "datasets stream", "sequential")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--release")
    parser.add_argument("--where", default="num_frames > 0", help="rows whose clips all decode")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--frames", type=int, default=49)
    parser.add_argument("--stride", type=int, default=3)
    parser.add_argument("--size", default="480x832")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    facts = {name: value for name, value in vars(arguments).items() if name != "runs"}
    facts |= {"catalog": str(arguments.catalog.resolve()), "size": [int(side) for side in arguments.size.split("x")]}
    found: dict[str, list[tuple[float, float, float, int]]] = {way: [] for way in WAYS}
    for run in range(arguments.runs):
        for way in random.Random(run).sample(WAYS, len(WAYS)):
            cost = run_isolated([sys.executable, "-c", WORK, json.dumps(facts | {"way": way})], timeout=600)
            if cost.code:
                sys.exit(f"{way} failed: {cost.error[-2000:]}")
            got = json.loads(cost.output.splitlines()[-1])
            rate, cpu = got["clips"] / got["seconds"], cost.cpu_seconds / got["clips"]
            found[way].append((rate, cpu, got["first"], cost.max_rss_bytes))
    print(
        f"{machine()}; {arguments.clips} clips of {arguments.frames} frames to {arguments.size}, {arguments.workers} workers"
    )
    rows = []
    for way, runs in found.items():
        rate, cpu, first, rss = (statistics.median(column) for column in zip(*runs, strict=True))
        rows.append((way, f"{rate:.2f}", f"{cpu:.2f}", f"{first:.1f}", f"{rss / 1e9:.2f}"))
    print(table(rows, ("way", "clips/s", "CPU-s/clip, start included", "first batch, s", "largest process, GB")))


if __name__ == "__main__":
    main()
