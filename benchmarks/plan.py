"""What does the plan of a whole catalog take: seconds, memory, bytes a step?

    python benchmarks/plan.py                  # 5.4 M rows, 16 buckets, batch 256
    python benchmarks/plan.py --rows 1000000 --mix

Times and memory are of two runs, each in a process of its own: tracemalloc slows a run down. `cpu_s` is the CPU of `all_s`,
one thread's: on a busy machine it is the figure to look at. Memory is what the plan adds
to the arrays that come in: NumPy's allocations by tracemalloc at their peak, and the growth of the largest resident set.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
import tracemalloc

from measure import machine, run, table


def measure(num_rows: int, batch_size: int, mixed: bool, traced: bool) -> dict[str, float]:
    """Make a plan and its first epoch; read some steps."""
    import numpy as np

    from opens2v_loaders.plan import Plan
    from opens2v_loaders.rows import plan_rows

    rng = np.random.default_rng(0)
    sizes = np.array([(720, 1280), (1280, 720), (960, 720), (720, 720)], np.int16)
    shape = rng.integers(0, 4, num_rows, np.int8)
    rows = np.arange(num_rows, dtype=np.int64)
    # Upstream: 5.1 M regular, 0.35 M Nexus; how many of these are cross pairs is our guess.
    sources = np.searchsorted([0.935, 0.98], np.arange(num_rows) / num_rows, side="right").astype(np.uint8)
    width, height = sizes[shape, 0], sizes[shape, 1]
    num_frames = rng.integers(20, 400, num_rows, np.int16)
    mix = {"regular": 5, "nexus-cross": 2, "nexus-gpt": 1} if mixed else None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if traced:
        tracemalloc.start()
    marks, cpu = [time.perf_counter()], time.process_time()
    made = plan_rows(
        "a catalog",
        rows,
        sources=sources,
        source_names=("regular", "nexus-cross", "nexus-gpt"),
        buckets="aspect*duration",
        width=width,
        height=height,
        num_frames=num_frames,
    )
    marks.append(time.perf_counter())
    plan = Plan(made, batch_size=batch_size, mix=mix)
    marks.append(time.perf_counter())
    epoch = plan.epoch(0)
    marks.append(time.perf_counter())
    epoch.batch(0)
    marks.append(time.perf_counter())
    found = {"rows_s": marks[1] - marks[0], "plan_s": marks[2] - marks[1], "epoch_s": marks[3] - marks[2]}
    found |= {"first_batch_s": marks[4] - marks[3], "all_s": marks[4] - marks[0], "cpu_s": time.process_time() - cpu}
    if traced:
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        found |= {"kept_mb": kept / 1e6, "peak_mb": peak / 1e6}
    else:
        found["rss_mb"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e6
        start = time.perf_counter()
        for step in range(0, plan.num_steps, max(1, plan.num_steps // 2000)):
            epoch.batch(step)
        found["batch_us"] = (time.perf_counter() - start) / min(plan.num_steps, 2000) * 1e6
        start = time.perf_counter()
        for step in range(0, plan.num_steps, max(1, plan.num_steps // 2000)):
            epoch.replacement(step, step % batch_size, 0)
        found["replacement_us"] = (time.perf_counter() - start) / min(plan.num_steps, 2000) * 1e6
    return found | {"buckets": len(made.buckets.names), "steps": plan.num_steps}


def main() -> None:
    """Print the table; of `--runs` runs the median and the largest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_400_000)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--mix", action="store_true", help="5 regular, 2 cross pairs, 1 view")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--one", choices=("timed", "traced"), help="one run, printed as JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.rows, args.batch_size, args.mix, args.one == "traced")))
        return
    arguments = ["--rows", str(args.rows), "--batch-size", str(args.batch_size), *(["--mix"] if args.mix else [])]

    def once(kind: str) -> dict[str, float]:
        cost = run([sys.executable, __file__, *arguments, "--one", kind])
        if cost.code:
            raise SystemExit(cost.error)
        return json.loads(cost.output)

    timed, traced = [once("timed") for _ in range(args.runs)], once("traced")
    names = ("rows_s", "plan_s", "epoch_s", "first_batch_s", "all_s", "cpu_s", "batch_us", "replacement_us", "rss_mb")
    values = {name: [found[name] for found in timed] for name in names}
    print(
        f"{machine()}; {args.rows:,} rows, {timed[0]['buckets']} buckets, {timed[0]['steps']:,} steps of {args.batch_size}"
    )
    print(
        table(
            [[name, f"{statistics.median(v):.3f}", f"{max(v):.3f}"] for name, v in values.items()],
            ["", "median", "most"],
        )
    )
    print(f"tracemalloc: peak {traced['peak_mb']:.1f} MB, kept {traced['kept_mb']:.1f} MB")


if __name__ == "__main__":
    main()
