"""How fast is the index of a split tar made, on a disk and over HTTP, and what does it ask of the server?

Writes a part whose members have the sizes of clips (about 2 MB each) as sparse files: headers lie at the real distances, payloads
take no disk. Then runs, each in a process of its own:

    local   MemberScan (one walk), tarfile, and ratarmountcore, which reads one joined file
    HTTP    ChainScan over the test suite's local Hub, which waits before each answer and counts; one walk beside it, on fewer
            members, shows what latency costs

The Hub is a Python process on the same machine: at hundreds of connections it takes its share of the cores, and members per
second are a lower bound of what a server elsewhere gives. Requests and bytes per member are what they would be anywhere.

    python benchmarks/index.py                          # 20,000 members local, 20,000 over HTTP at 20 ms
    python benchmarks/index.py --members 100000 --chains 64 256
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
from itertools import accumulate
from pathlib import Path
from typing import Any

from measure import ROOT, Cost, machine, run_isolated, table

NUM_CLIPS = 5_400_000  # of the release
NUM_PARTS = 13
NUM_PIECES = 4
MEAN_BYTES = 2_000_000  # 11 TB in 5.4 million clips
FORMATS = ("gnu", "pax")

OURS = """
import json, sys
from pathlib import Path
from opens2v_data.archive import LocalStore, MemberScan, Part, Piece
root = Path(sys.argv[1])
store = LocalStore(root)
pieces = tuple(Piece(path=p.name, size_bytes=p.stat().st_size) for p in sorted(root.glob("*.tar.split.*")))
print(json.dumps({"members": sum(1 for _ in MemberScan(store, Part(name="p", layout="split-tar", pieces=pieces)))}))
"""
TARFILE = """
import json, sys, tarfile
with tarfile.open(sys.argv[1] + "/joined.tar") as opened:
    print(json.dumps({"members": sum(1 for info in opened if info.isreg())}))
"""
RATARMOUNT = """
import contextlib, io, json, sys
from ratarmountcore.mountsource.formats.tar import SQLiteIndexedTar
with contextlib.redirect_stdout(io.StringIO()):
    opened = SQLiteIndexedTar(sys.argv[1] + "/joined.tar", writeIndex=False, indexFilePath=":memory:")
rows = opened.index.get_connection().execute('SELECT COUNT(*) FROM "files" WHERE ("mode" & 61440) = 32768')
print(json.dumps({"members": next(iter(rows))[0]}))
"""
START_UP = {
    OURS: "from opens2v_data.archive import MemberScan",
    TARFILE: "import tarfile, json",
    RATARMOUNT: "from ratarmountcore.mountsource.formats.tar import SQLiteIndexedTar",
}
"""What each does before its work, and is taken off its time."""

OVER_HTTP = """
import json, sys
from opens2v_data.archive import MemberScan, Part, Piece
from opens2v_data.archive.chains import ChainOptions, ChainScan
from opens2v_data.archive.remote import HubStore
endpoint, commit, chains = sys.argv[1:4]
store = HubStore("bench/index", endpoint=endpoint, revision=commit, token=False)
pieces = tuple(Piece(path=file.path, size_bytes=file.size_bytes) for file in store.walk() if ".tar.split." in file.path)
part = Part(name="p", layout="split-tar", pieces=pieces)
scan = ChainScan(store, part, options=ChainOptions(max_chains=int(chains))) if int(chains) else MemberScan(store, part)
import time, resource
start, cpu = time.perf_counter(), time.process_time()
members = sum(1 for _ in scan)
found = {"members": members, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
if int(chains):
    found |= {"chains": scan.stats.num_chains}
print(json.dumps(found))
"""


def write_tar(root: Path, count: int, format: str) -> None:
    """Write a sparse tar of members of clips' sizes, whole and in pieces.

    Args:
        root: folder, which gets `joined.tar` and its pieces.
        count: members.
        format: "gnu" with short names only, one header per member; "pax" with a PAX header before each, as Python's
            `tarfile` writes them for modification times with fractions.
    """
    rng = random.Random(0)
    sizes = [int(MEAN_BYTES * min(10.0, max(0.1, rng.lognormvariate(-0.18, 0.6)))) for _ in range(count)]
    before = (
        _header(b"././@PaxHeader", 22, b"x") + b"22 mtime=1700000000.5\n".ljust(512, b"\0") if format == "pax" else b""
    )
    starts = [0, *accumulate(len(before) + 512 + size + -size % 512 for size in sizes)]
    root.mkdir(parents=True)
    with (root / "joined.tar").open("wb") as file:
        for number, (start, size) in enumerate(zip(starts, sizes, strict=False)):
            name = b"part_001/video%07d/clip%07d_segment%d_step1-0-95.mp4" % (number // 3, number, number % 3)
            file.seek(start)
            file.write(before + _header(name, size, b"0") + b"\0\0\0\x18ftypisom")
        file.truncate(starts[-1] + 1024)
    cut(root / "joined.tar", starts[-1] + 1024)


def cut(joined: Path, size: int) -> None:
    """Copy a sparse file into pieces, holes as holes."""
    step = size // NUM_PIECES + 7
    with joined.open("rb") as source:
        for number in range(NUM_PIECES):
            start, stop = number * step, min((number + 1) * step, size)
            with (joined.parent / f"p.tar.split.{number:03d}").open("wb") as piece:
                position = start
                while position < stop:
                    try:
                        position = os.lseek(source.fileno(), position, os.SEEK_DATA)
                    except OSError:  # nothing but a hole follows
                        break
                    hole = min(stop, os.lseek(source.fileno(), position, os.SEEK_HOLE))
                    if position >= stop:
                        break
                    piece.seek(position - start)
                    piece.write(os.pread(source.fileno(), hole - position, position))
                    position = hole
                piece.truncate(stop - start)


def _header(name: bytes, size: int, typeflag: bytes) -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[100:136] = b"0000644\0" * 3 + b"%011o\0" % size
    block[136:148] = b"14524770400\0"
    block[148:156] = b" " * 8
    block[156:157] = typeflag
    block[257:265] = b"ustar\x0000"
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def local(root: Path, count: int, runs: int) -> list[list[Any]]:
    """Run the readers of a local tar; one row each."""
    rows: list[list[Any]] = []
    for name, code in (("ours: MemberScan", OURS), ("tarfile", TARFILE), ("ratarmountcore", RATARMOUNT)):
        rates = []
        cost = None
        for _ in range(runs):
            empty = run_isolated([sys.executable, "-c", START_UP[code]])
            cost = checked(run_isolated([sys.executable, "-c", code, str(root)]))
            found = json.loads(cost.output)["members"]
            if found != count:
                raise SystemExit(f"{name} found {found} members, {count} were written")
            rates.append(count / (cost.wall_seconds - empty.wall_seconds))
        assert cost is not None
        rows.append([name, f"{statistics.median(rates):,.0f}", f"{cost.max_rss_bytes / 1e6:,.0f}"])
    return rows


def over_http(root: Path, count: int, arguments: argparse.Namespace) -> tuple[list[list[Any]], list[dict[str, float]]]:
    """Run one walk and chains against the local Hub; one row each, and the figures of the chains."""
    sys.path.insert(0, str(ROOT / "tests"))
    from localhub import Faults, LocalHub

    rows: list[list[Any]] = []
    figures: list[dict[str, float]] = []
    (root / "joined.tar").unlink(missing_ok=True)
    faults = Faults(latency_seconds=arguments.latency_ms / 1000)
    with LocalHub(faults=faults) as hub:
        commit = hub.add_repo("bench/index", root, hash_contents=False)
        for chains in arguments.chains:
            hub.reset_counts()
            cost = checked(run_isolated([sys.executable, "-c", OVER_HTTP, hub.endpoint, commit, str(chains)]))
            found = json.loads(cost.output)
            if found["members"] != count:
                raise SystemExit(f"{chains} chains found {found['members']} members, {count} were written")
            counts = hub.counts()
            figure = {
                "members_per_second": count / found["seconds"],
                "requests": counts.cdn.num_requests / count,
                "bytes": counts.cdn.num_bytes / count,
                "cpu": found["cpu"] / count,
                "resolves": counts.resolve.num_requests,
                "chains": found.get("chains", 1),
            }
            figures.append(figure)
            rows.append(
                [
                    f"{chains} at once" if chains else "one walk (MemberScan)",
                    f"{figure['chains']:,}",
                    f"{figure['members_per_second']:,.0f}",
                    f"{figure['requests']:.3f}",
                    f"{figure['bytes']:,.0f}",
                    f"{figure['cpu'] * 1e6:,.0f}",
                    f"{figure['resolves']:,}",
                    f"{cost.max_rss_bytes / 1e6:,.0f}",
                ]
            )
    return rows, figures


def checked(cost: Cost) -> Cost:
    """Return the cost, or stop with what the process said."""
    if cost.code:
        raise SystemExit(cost.error)
    return cost


def extrapolated(figure: dict[str, float], count: int) -> str:
    """Say what all of the release would take."""
    per_part = NUM_CLIPS / NUM_PARTS
    # Requests to find where chains start do not grow with the part; those of walks are one per member.
    extra_requests = max(0.0, figure["requests"] - 1) * count
    extra_bytes = max(0.0, figure["bytes"] - 1536) * count
    requests = NUM_CLIPS + NUM_PARTS * extra_requests
    size = NUM_CLIPS * 1536 + NUM_PARTS * extra_bytes
    hours = NUM_CLIPS / figure["members_per_second"] / 3600
    return (
        f"For {NUM_CLIPS:,} members in {NUM_PARTS} parts of {per_part:,.0f}: {hours:.1f} h, "
        f"{requests / 1e6:.2f} million requests, {size / 1e9:,.0f} GB, {figure['cpu'] * NUM_CLIPS / 3600:.1f} CPU-hours.\n"
        f"Assumed: this run's {figure['members_per_second']:,.0f} members/s hold over a whole part, latency stays, the server "
        "refuses nothing;\none request of 1,536 bytes per member, and per part as many more as this run took to find where "
        f"{figure['chains']:,.0f} chains start."
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=20_000, help="members of the part (default: 20,000)")
    parser.add_argument("--latency-ms", type=float, default=20.0, help="before each answer (default: 20)")
    parser.add_argument("--chains", nargs="+", type=int, default=[32, 128, 256], help="chains at once; 0 is one walk")
    parser.add_argument("--one-walk-members", type=int, default=1_000, help="for one walk over HTTP; 0 leaves it out")
    parser.add_argument("--runs", type=int, default=3, help="runs of local readers, medians are printed (default: 3)")
    parser.add_argument("--only", choices=("all", "local", "http"), default="all")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=["gnu"])
    parser.add_argument("--folder", type=Path, help="where to; by default a temporary folder")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="opens2v-bench-", dir=arguments.folder))
    print(f"{machine()}; members of about {MEAN_BYTES / 1e6:.0f} MB, payloads sparse\n", flush=True)
    try:
        for format in arguments.formats:
            root = base / format
            write_tar(root, arguments.members, format)
            if arguments.only != "http":
                header = [f"local, {arguments.members:,} members ({format})", "members/s", "peak MB"]
                print(table(local(root, arguments.members, arguments.runs), header), end="\n\n", flush=True)
            if arguments.only != "local":
                print_http(base, root, format, arguments)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def print_http(base: Path, root: Path, format: str, arguments: argparse.Namespace) -> None:
    """Print the table over HTTP and what it means for the release."""
    rows: list[list[Any]] = []
    if arguments.one_walk_members:
        few = base / f"{format}-few"
        write_tar(few, arguments.one_walk_members, format)
        one = argparse.Namespace(**{**vars(arguments), "chains": [0]})
        rows += over_http(few, arguments.one_walk_members, one)[0]
    chained, figures = over_http(root, arguments.members, arguments)
    header = [
        f"HTTP at {arguments.latency_ms:g} ms ({format})",
        "chains in all",
        "members/s",
        "requests/member",
        "bytes/member",
        "CPU-µs/member",
        "resolves",
        "peak MB",
    ]
    print(table(rows + chained, header), end="\n\n")
    print(extrapolated(max(figures, key=lambda figure: figure["members_per_second"]), arguments.members), flush=True)


if __name__ == "__main__":
    main()
