"""How long does the first batch of a full-size catalog take, from a fresh process, and where does that time go?

The catalog is one of `big_catalog.py`; no release is behind it, so each clip's bytes are those of one real clip, and rows,
once read, are given its length in place of their ranges.

    python benchmarks/big_catalog.py --clips 5400000 /data/big
    python benchmarks/first_batch.py /data/big
    python benchmarks/first_batch.py /data/big --where "aesthetic > 5.5" --batch 8 --subjects

`ready` is from `open` to the batch; imports come on top. CPU is of all threads: beside the first batch's clips, that of the
clips and rows after it that are under way. What has been read once is in the page cache: before each run the
tables are read through unless `--as-is`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from decode import the_clip
from measure import ROOT, machine, run_isolated, table

PHASES = ("imports", "open", "plan", "first batch")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalog", type=Path)
    parser.add_argument("--clip", type=Path, help="an mp4 (default: the release's sample clip, else a generated one)")
    parser.add_argument("--where")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--subjects", action="store_true", help="cut-outs as well")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--as-is", action="store_true", help="do not read the tables through beforehand")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    found: list[dict[str, Any]] = []
    for _ in range(arguments.runs):
        if not arguments.as_is:
            for path in arguments.catalog.glob("*.parquet"):
                with path.open("rb") as file:
                    while file.read(1 << 24):
                        pass
        cost = run_isolated([sys.executable, __file__, *sys.argv[1:], "--child"], timeout=600)
        if cost.code:
            sys.exit(cost.error[-2000:])
        found.append(json.loads(cost.output.splitlines()[-1]))
    print(f"{machine()}; {found[0]['what']}\n")
    rows = []
    for phase in (*PHASES, "ready"):
        wall, cpu = [run["wall"][phase] for run in found], [run["cpu"][phase] for run in found]
        columns = [statistics.median(wall), max(wall), statistics.median(cpu), max(cpu)]
        rows.append([phase, *(f"{seconds:.2f}" for seconds in columns)])
    print(table(rows, ["seconds", "median", "most", "CPU, median", "CPU, most"]))
    print(f"\nlargest resident set {max(run['rss_bytes'] for run in found) / 1e9:.2f} GB")


def child(arguments: argparse.Namespace) -> None:
    """Make one batch and print where the time went."""
    data = the_clip(arguments.clip)
    marks = [(time.perf_counter(), time.process_time())]
    import opens2v_data
    from opens2v_loaders import ClipLoader, ClipSpec, LoaderOptions, SubjectSpec

    marks.append((time.perf_counter(), time.process_time()))
    catalog: Any = WithBytes(opens2v_data.open(arguments.catalog), data)
    marks.append((time.perf_counter(), time.process_time()))
    loader = ClipLoader(
        catalog,
        where=arguments.where,
        clip=ClipSpec(size=(480, 832)),
        batch_size=arguments.batch,
        buckets="aspect*duration",
        subjects=SubjectSpec() if arguments.subjects else None,
        options=LoaderOptions(max_bad_share=1.0),
    )
    marks.append((time.perf_counter(), time.process_time()))
    batch = next(iter(loader))
    marks.append((time.perf_counter(), time.process_time()))
    answer: dict[str, Any] = {}
    for kind, clock in enumerate(("wall", "cpu")):
        took = [later[kind] - earlier[kind] for earlier, later in itertools.pairwise(marks)]
        answer[clock] = dict(zip(PHASES, took, strict=True)) | {"ready": marks[-1][kind] - marks[1][kind]}
    answer |= {
        "rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "what": f"{len(catalog.catalog):,} clips, {loader.plan!r}, {len(batch)} clips of 49 frames",
    }
    print(json.dumps(answer), flush=True)


class WithBytes:
    """An opened catalog whose every clip is the same mp4."""

    def __init__(self, catalog: Any, data: bytes) -> None:
        from opens2v_loaders import probe

        names = ("cut_start", "cut_end", "face_cut_start", "face_cut_end", "crop_x0", "crop_y0", "crop_x1", "crop_y1")
        info = probe(data)
        self.catalog, self._data = catalog, data
        self._facts = dict.fromkeys(names) | {"num_frames": info.num_frames_from_packets}
        self._facts |= {"width": info.width, "height": info.height}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.catalog, name)

    def rows_of(self, ids: Any, **options: Any) -> list[dict[str, Any]]:
        """Return rows as they are but for what is the mp4's."""
        return [row | self._facts for row in self.catalog.rows_of(ids, **options)]

    def read_videos(self, videos: Iterable[Any]) -> Iterator[bytes]:
        """Give the mp4 for each."""
        return (self._data for _ in videos)

    def read_bytes(self, video: object) -> bytes:
        """Give the mp4."""
        return self._data


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "loaders"), str(ROOT / "tests")]
    main()
