"""How fast do chosen clips come out of split tars on the Hub, and what does it cost, beside other clients?

Starts a local Hub (tests/localhub) that answers after 30 ms and redirects to signed addresses on a second host, and reads the
same 300 ranges of about 2 MB from it, each client in a process of its own, the order of the clients changing from run to run:

    ours             HubStore and Fetcher, as `opens2v fetch` uses them; and as the loaders do, which want `bytes`
    ours, by obstore the same, made to read as it does from https:// addresses
    HfFileSystem     cat_file in 32 threads
    fsspec           cat_ranges of HfFileSystem
    httpx            Client in 32 threads, from /resolve on, following redirects (httpx2, which huggingface_hub uses)
    obstore alone    in 32 threads: signed addresses asked for once, then ranges of them, with no checks and nothing tried again:
                     the floor under ours; as `Bytes` of its own, and as Python's `bytes`

    python benchmarks/fetch.py --runs 5
    python benchmarks/fetch.py --latency-ms 5 --bandwidth-mb 40      # of one connection
    python benchmarks/fetch.py --tls                                 # to the second host, with a throwaway certificate

The Hub's addresses are https://, which ours reads by obstore; http:// is read by sockets of its own, for less CPU time. So of
the table without `--tls` the rows "ours, by obstore" are nearest to the Hub, and with `--tls` all rows of ours are. There the
server's share does not count the process that stands before it for TLS, which needs more than the client and slows all alike.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from measure import ROOT, machine, run_isolated, table
from tls_front import TlsFront

sys.path.insert(0, str(ROOT / "tests"))
from localhub import Faults, LocalHub

REPO = "someone/release"
COMMON = """
import hashlib, json, sys, time
facts = json.load(open(sys.argv[1]))
paths, ranges = facts["paths"], facts["ranges"]

def mark(data):
    # Length and a thousand bytes of each range are compared between the clients; the data is dropped, as a writer would.
    return hashlib.md5(len(data).to_bytes(8, "big") + bytes(data[:: max(1, len(data) // 1000)])).hexdigest()

def begin():
    global begun, imports
    begun, imports = time.perf_counter(), time.process_time()

def report(marks):
    marks = list(marks)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - imports
    digest = hashlib.md5("".join(marks).encode()).hexdigest()
    print(json.dumps({"seconds": seconds, "cpu": cpu, "imports": imports, "digest": digest}))
"""
OURS = """
from opens2v_data.archive import Part, Piece, http
from opens2v_data.archive.fetch import Delivered, FetchOptions, Fetcher, Wanted
from opens2v_data.archive.remote import HubStore
http.READS_BY_SOCKETS = IS_PLAIN
part = Part(name="p", layout="split-tar", pieces=tuple(Piece(path=path, size_bytes=facts["piece_bytes"]) for path in paths))
store = HubStore(facts["repo"], revision=facts["commit"], token=False)
begin()
wanted = (
    Wanted(key=None, part=part, name="clip", offset=piece * facts["piece_bytes"] + start, size_bytes=size)
    for piece, start, size in ranges
)
fetcher = Fetcher(store, FetchOptions(as_buffers=AS_BUFFERS))
report([mark(result.data) for result in fetcher.fetch(wanted) if isinstance(result, Delivered)])
"""
HF_CAT_FILE = """
from concurrent.futures import ThreadPoolExecutor
from huggingface_hub import HfFileSystem
fs = HfFileSystem()
begin()
names = [f"datasets/{facts['repo']}@{facts['commit']}/{path}" for path in paths]
with ThreadPoolExecutor(32) as pool:
    report(list(pool.map(lambda r: mark(fs.cat_file(names[r[0]], start=r[1], end=r[1] + r[2])), ranges)))
"""
CAT_RANGES = """
from huggingface_hub import HfFileSystem
fs = HfFileSystem()
begin()
names = [f"datasets/{facts['repo']}@{facts['commit']}/{path}" for path in paths]
report(map(mark, fs.cat_ranges([names[r[0]] for r in ranges], [r[1] for r in ranges], [r[1] + r[2] for r in ranges])))
"""
HTTPX = """
import os
from concurrent.futures import ThreadPoolExecutor
import httpx2
client = httpx2.Client(follow_redirects=True, timeout=60)
begin()
base = f"{os.environ['HF_ENDPOINT']}/datasets/{facts['repo']}/resolve/{facts['commit']}/"
def read(r):
    answer = client.get(base + paths[r[0]], headers={"Range": f"bytes={r[1]}-{r[1] + r[2] - 1}"})
    assert answer.status_code == 206
    return mark(answer.content)
with ThreadPoolExecutor(32) as pool:
    report(list(pool.map(read, ranges)))
"""
OBSTORE = """
from concurrent.futures import ThreadPoolExecutor
from obstore.store import HTTPStore
from opens2v_data.archive.remote import HubStore
hub = HubStore(facts["repo"], revision=facts["commit"], token=False)
begin()
addresses = [hub._flight(path).resolved(hub).address.url for path in paths]
plain = {"client_options": {"allow_http": True, "timeout": "60s"}, "retry_config": {"max_retries": 0}}
stores = [HTTPStore.from_url(address, **plain) for address in addresses]
def read(r):
    data = stores[r[0]].get_range("", start=r[1], length=r[2])
    return mark(AS(data))
with ThreadPoolExecutor(32) as pool:
    report(list(pool.map(read, ranges)))
"""
FLOOR = "obstore alone, 32 threads"
CLIENTS = {
    "ours": OURS.replace("AS_BUFFERS", "True").replace("IS_PLAIN", "True"),
    "ours, as bytes": OURS.replace("AS_BUFFERS", "False").replace("IS_PLAIN", "True"),
    "ours, by obstore": OURS.replace("AS_BUFFERS", "True").replace("IS_PLAIN", "False"),
    "ours, by obstore, as bytes": OURS.replace("AS_BUFFERS", "False").replace("IS_PLAIN", "False"),
    "HfFileSystem.cat_file, 32 threads": HF_CAT_FILE,
    "fsspec cat_ranges (HfFileSystem)": CAT_RANGES,
    "httpx, 32 threads": HTTPX,
    FLOOR: OBSTORE.replace("AS", "memoryview"),
    "obstore alone, as bytes": OBSTORE.replace("AS", "bytes"),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs of each client; medians are printed (default: 3)")
    parser.add_argument("--ranges", type=int, default=300)
    parser.add_argument("--latency-ms", type=float, default=30.0, help="of every answer (default: 30)")
    parser.add_argument("--bandwidth-mb", type=float, help="MB/s of one connection (default: as fast as it goes)")
    parser.add_argument("--tls", action="store_true", help="give ranges by https://")
    parser.add_argument("--only", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    arguments = parser.parse_args()
    rng = random.Random(0)
    piece_bytes, num_pieces = 96_000_000, 7
    paths = [f"Videos/p/p.tar.split.{number:03d}" for number in range(num_pieces)]
    ranges = []
    for _ in range(arguments.ranges):
        size = rng.randrange(1_500_000, 2_500_000)
        ranges.append((rng.randrange(num_pieces), rng.randrange(piece_bytes - size), size))
    wanted_bytes = sum(size for _, _, size in ranges)
    with tempfile.TemporaryDirectory(prefix="opens2v-bench-") as folder:
        root = Path(folder)
        for path in paths:
            (root / "repo" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "repo" / path).write_bytes(os.urandom(piece_bytes))
        with ExitStack() as stack:
            front = stack.enter_context(TlsFront(root)) if arguments.tls else None
            hub = stack.enter_context(LocalHub(cdn_front=front.endpoint if front else None))
            if front is not None:
                front.lead_to(int(hub.cdn_endpoint.rpartition(":")[2]))
                os.environ["SSL_CERT_FILE"] = str(front.authority)
            commit = hub.add_repo(REPO, root / "repo", hash_contents=False)
            facts = {"repo": REPO, "commit": commit, "paths": paths, "ranges": ranges, "piece_bytes": piece_bytes}
            (root / "facts.json").write_text(json.dumps(facts))
            hub.faults = Faults(
                latency_seconds=arguments.latency_ms / 1000,
                bandwidth_bytes_per_second=arguments.bandwidth_mb * 1e6 if arguments.bandwidth_mb else None,
                applies_to=frozenset({"resolve", "cdn", "api", "tree"}),
            )
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.only}
            for run in range(arguments.runs):
                names = arguments.only if run % 2 == 0 else arguments.only[::-1]
                for name in names:
                    found[name].append(measure(hub, root, name))
    line = f"{arguments.latency_ms:g} ms latency{', TLS' if arguments.tls else ''}"
    print(f"{machine()}; {len(ranges)} ranges, {wanted_bytes / 1e6:,.0f} MB, {line}\n")
    base = median(found.get("HfFileSystem.cat_file, 32 threads", []), "seconds")
    floor = median(found.get(FLOOR, []), "cpu")
    rows = []
    for name, runs in found.items():
        seconds = median(runs, "seconds")
        rows.append(
            [
                name,
                f"{wanted_bytes / 1e6 / seconds:,.0f}",
                f"{base / seconds:.1f}x" if base else "",
                f"{median(runs, 'cpu') / wanted_bytes * 1e9:.2f}",
                f"{median(runs, 'cpu') / floor:.2f}x" if floor else "",
                f"{median(runs, 'server_cpu') / wanted_bytes * 1e9:.2f}",
                f"{median(runs, 'imports'):.2f}",
                f"{median(runs, 'bytes') / wanted_bytes:.2f}x",
                f"{median(runs, 'requests'):,.0f}",
                f"{median(runs, 'resolves'):,.0f}",
                f"{max(one['rss'] for one in runs) / 1e6:,.0f}",
            ]
        )
    header = [
        "client",
        "MB/s",
        "HfFileSystem",
        "CPU-s per GB",
        "obstore alone",
        "server's",
        "CPU-s of imports",
        "bytes sent",
        "requests",
        "resolves",
        "peak MB",
    ]
    print(table(rows, header))
    digests = {one["digest"] for runs in found.values() for one in runs}
    print(f"\nall clients got the same bytes: {len(digests) == 1}")
    print("MB/s and CPU-s per GB from after the imports on; each client drops a range's bytes when it has them")
    print("The server runs on the same cores; its CPU-s per GB wanted stand beside, and count for no client")


def median(runs: list[dict[str, Any]], key: str) -> float:
    """Return the median of one figure."""
    return statistics.median(run[key] for run in runs) if runs else 0.0


def cpu_seconds_of(process_id: int) -> float:
    """Return the CPU seconds of another process so far; 0.0 where the kernel does not show them."""
    try:
        fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # utime and stime, proc(5)


def measure(hub: LocalHub, root: Path, name: str) -> dict[str, Any]:
    """Run one client once."""
    hub.reset_counts()
    home = root / "home"
    environment = hub.environment(home)
    server_cpu = cpu_seconds_of(hub.process_id)
    os.environ.update(environment)
    cost = run_isolated([sys.executable, "-c", COMMON + CLIENTS[name], str(root / "facts.json")], timeout=600)
    if cost.code:
        raise SystemExit(f"{name} failed: {cost.error[-2000:]}")
    answer = json.loads(cost.output)
    counts = hub.counts()
    return {
        "seconds": answer["seconds"],
        "digest": answer["digest"],
        "cpu": answer["cpu"],
        "imports": answer["imports"],
        "server_cpu": cpu_seconds_of(hub.process_id) - server_cpu,
        "rss": cost.max_rss_bytes,
        "bytes": counts.cdn.num_bytes + counts.resolve.num_bytes,
        "requests": counts.cdn.num_requests + counts.resolve.num_requests,
        "resolves": counts.resolve.num_requests,
    }


if __name__ == "__main__":
    main()
