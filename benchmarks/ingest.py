"""How fast is annotation JSON made a catalog, and what do other readers take?

Generates annotation files by varying real records (the upstream sample's, else the embedded sample's), indented as upstream
writes them and compact, and runs, each in a process of its own:

    opens2v ingest          the whole path to checksummed parquet and mask blobs, 1 and 2 workers
    floor                   read, parse and compress the masks alone, with the same libraries: what no design goes below
    json.load, ijson        parsing alone, on a slice (they write nothing)
    DuckDB read_json        on a slice; one object of many keys is not what it is for

    python benchmarks/ingest.py                  # 2 GB of each form
    python benchmarks/ingest.py --gb 10 --forms indented --only ours     # is memory flat?
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measure import ROOT, machine, run_isolated, table

UPSTREAM = ROOT.parent / "shared" / "upstream_sample" / "release" / "Jsons" / "mask_and_bbox"
CAPTIONS = ("face_cap_qwen", "face_cap_glm", "face_cap_Aria", "cap")
FLOOR = """
import gc, sys
import msgspec, pyarrow
from pathlib import Path
from opens2v_data.release.files import LocalFiles
from opens2v_data.release.hugejson import HugeObject
from opens2v_data.release.records import RawRecord, decode_record
gc.disable()
path = Path(sys.argv[1])
codec, encoder = pyarrow.Codec("zstd", compression_level=1), msgspec.msgpack.Encoder()
huge = HugeObject(LocalFiles(path.parent), path.name, record_type=RawRecord, decode_one=decode_record)
count = 0
for batch in huge.read():
    count += len(batch.records)
    for record in batch.records:
        codec.compress(encoder.encode(record.annotation.mask_annotation))
print(f"{count:,}")
"""
JSON_LOAD = "import json, sys; print(len(json.load(open(sys.argv[1], encoding='utf-8'))))"
IJSON = "import ijson, sys; print(sum(1 for _ in ijson.kvitems(open(sys.argv[1], 'rb'), '', use_float=True)))"
DUCKDB = (
    "import duckdb, sys; options = 'maximum_object_size=2147483647'; "
    "result = duckdb.execute(f\"SELECT * FROM read_json('{sys.argv[1]}', {options})\"); "
    "print(len(result.fetchall()), 'row of', len(result.description), 'columns, no')"
)


def templates(indent: int | None) -> list[tuple[bytes, list[bytes], list[str]]]:
    """Return records as JSON text with marks to fill in, the mask strings in them, and the caption's words."""
    if UPSTREAM.is_dir():
        trees = [json.loads(path.read_text()) for path in sorted(UPSTREAM.glob("*.json"))]
    else:
        from opens2v_data.sample import write_sample_release

        with tempfile.TemporaryDirectory() as folder:
            write_sample_release(Path(folder) / "release")
            paths = sorted((Path(folder) / "release" / "Jsons" / "mask_and_bbox_High-Quality").glob("*.json"))
            trees = [json.loads(path.read_text()) for path in paths]
    made = []
    for tree in trees:
        for record in tree.values():
            if not isinstance(record.get("annotation"), dict) or not any(
                isinstance(record["metadata"].get(name), str) for name in CAPTIONS
            ):
                continue
            if not isinstance(record["metadata"].get("aesthetic"), float):
                continue
            caption = next(
                record["metadata"].pop(name) for name in CAPTIONS if isinstance(record["metadata"].get(name), str)
            )
            record["metadata"]["aesthetic"], record["metadata"]["tech"] = "@AESTHETIC@", "@TECH@"
            record["metadata"]["face_cap_qwen"] = "@CAPTION@"
            text = json.dumps({"@KEY@": record}, indent=indent)[1:-1].rstrip()
            text = text.replace('"@AESTHETIC@"', "@AESTHETIC@").replace('"@TECH@"', "@TECH@")
            frames = (record["annotation"].get("mask_annotation") or {}).values()
            counts = {mask["counts"] for frame in frames for mask in frame.values()}
            made.append((text.encode(), [json.dumps(count).encode() for count in sorted(counts)], caption.split(" ")))
    return made


def records(indent: int | None, seed: int) -> Iterator[bytes]:
    """Give varied records for ever: other keys, captions (the words shuffled), scores and masks.

    Masks vary by exchanging a few of the 32 run-length symbols that end a number, the same ones throughout a record, so that
    equal masks of a record stay equal and the strings stay about as compressible as real ones.
    """
    rng = random.Random(seed)
    made = templates(indent)
    terminal = bytes(range(48, 80))
    number = 0
    while True:
        text, masks, words = made[number % len(made)]
        chosen = rng.sample(range(32), 4)
        swapped = bytearray(terminal)
        for here, there in zip(chosen, chosen[1:] + chosen[:1], strict=True):
            swapped[here] = terminal[there]
        exchange = bytes.maketrans(terminal, bytes(swapped))
        for mask in masks:
            text = text.replace(mask, mask.translate(exchange))
        key = b"v%07d_segment%d_step1-0-95_step2-0-95_step3_step4_step5" % (number // 3, number % 3)
        rng.shuffle(words)
        text = text.replace(b"@CAPTION@", json.dumps(" ".join(words))[1:-1].encode())
        text = text.replace(b"@KEY@", key).replace(b"@AESTHETIC@", b"%.6f" % rng.uniform(3, 7))
        yield text.replace(b"@TECH@", b"%.3f" % rng.uniform(0, 3))
        number += 1


def write_json(path: Path, size_bytes: int, indent: int | None, seed: int = 0) -> int:
    """Write an annotation file of about that size; return its number of records."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written = count = 0
    with path.open("wb") as file:
        file.write(b"{")
        for record in records(indent, seed):
            written += file.write(b"," * (count > 0) + record)
            count += 1
            if written >= size_bytes:
                break
        file.write(b"\n}" if indent else b"}")
    return count


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gb", type=float, default=2.0, help="size of each file (default: 2)")
    parser.add_argument("--forms", nargs="+", choices=("indented", "compact"), default=["indented", "compact"])
    parser.add_argument("--only", choices=("all", "ours"), default="all")
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--slice-mb", type=int, default=200, help="what the other readers get (default: 200)")
    parser.add_argument("--runs", type=int, default=3, help="runs of ours, medians are printed (default: 3)")
    parser.add_argument("--folder", type=Path, help="where to; by default a temporary folder")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="opens2v-bench-", dir=arguments.folder))
    print(
        f"{machine()}; JSON varied from {'the upstream sample' if UPSTREAM.is_dir() else 'the embedded sample'}\n",
        flush=True,
    )
    try:
        for form in arguments.forms:
            print(table(*measure(base, form, arguments)), end="\n\n", flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def measure(base: Path, form: str, arguments: argparse.Namespace) -> tuple[list[list[Any]], list[str]]:
    """Run ours and the others on one form."""
    indent = 4 if form == "indented" else None
    release, cut = base / form, base / f"{form}-slice"
    big = release / "Jsons/mask_and_bbox/total_part1.json"
    count = write_json(big, int(arguments.gb * 1e9), indent)
    rows: list[list[Any]] = []

    def add(name: str, size: int, costs: list[Any], result: str) -> None:
        cpu, wall = (
            statistics.median(getattr(cost, field) for cost in costs) for field in ("cpu_seconds", "wall_seconds")
        )
        rss = max(cost.max_rss_bytes for cost in costs)
        rows.append(
            [
                name,
                f"{size / 1e6:,.0f}",
                f"{size / 1e6 / cpu:,.0f}",
                f"{cpu:.1f}",
                f"{wall:.1f}",
                f"{rss / 1e6:,.0f}",
                result,
            ]
        )

    size = big.stat().st_size
    catalog = base / "catalog"
    costs_by_workers: dict[int, list[Any]] = {workers: [] for workers in arguments.workers}
    for _ in range(arguments.runs):
        # In turn: a machine that gets slower or faster does so for all.
        for workers in arguments.workers:
            shutil.rmtree(catalog, ignore_errors=True)
            command = [
                sys.executable,
                "-m",
                "opens2v_data.cli",
                "ingest",
                str(release),
                str(catalog),
                "--workers",
                str(workers),
                "--quiet",
                "--json",
            ]
            cost = run_isolated(command)
            if cost.code or json.loads(cost.output)["tables"]["clips"] != count:
                raise SystemExit(f"ingest failed or lost records: {cost.error}{cost.output}")
            costs_by_workers[workers].append(cost)
    sizes = {path.suffix: 0 for path in catalog.rglob("*") if path.is_file()}
    for path in catalog.rglob("*"):
        if path.is_file():
            sizes[path.suffix] += path.stat().st_size
    result = f"{count:,} rows; parquet {sizes['.parquet'] / 1e6:,.0f} MB, masks {sizes['.bin'] / 1e6:,.0f} MB"
    first, *others = arguments.workers
    for workers, costs in costs_by_workers.items():
        add(f"opens2v ingest, {workers} worker{'s' * (workers > 1)}", size, costs, result)
    for workers in others:
        pairs = zip(costs_by_workers[first], costs_by_workers[workers], strict=True)
        ratios = sorted(alone.wall_seconds / together.wall_seconds for alone, together in pairs)
        print(
            f"{form}: {workers} workers against {first}, run by run: {', '.join(f'{ratio:.2f}x' for ratio in ratios)}; "
            f"median {statistics.median(ratios):.2f}x",
            flush=True,
        )
    costs = [run_isolated([sys.executable, "-c", FLOOR, str(big)]) for _ in range(arguments.runs)]
    add("floor", size, costs, f"{costs[0].output.strip()} records read, parsed, masks compressed; nothing written")
    big.unlink()
    if arguments.only == "all":
        slice_path = cut / "slice.json"
        write_json(slice_path, arguments.slice_mb * 1_000_000, indent)
        for name, code in (("json.load", JSON_LOAD), ("ijson", IJSON), ("DuckDB read_json", DUCKDB)):
            cost = run_isolated([sys.executable, "-c", code, str(slice_path)], timeout=300)
            failed = (cost.error.strip().splitlines() or ["killed"])[-1][:90]
            result = f"{cost.output.strip()} records, parsed only" if cost.code == 0 else f"fails: {failed}"
            add(name, slice_path.stat().st_size, [cost], result)
        shutil.rmtree(cut)
    header = [form, "MB of JSON", "MB per CPU-s", "CPU-s", "wall s", "peak MB of a process", "result"]
    return rows, header


if __name__ == "__main__":
    main()
