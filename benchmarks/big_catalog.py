"""How does a catalog of the release's full size look? Writes one: clips, subjects and pairs by the million, in minutes.

Every table is there, in order, with checksums, and the links between tables hold; distributions follow the upstream sample.
One thing is not as in a real catalog: a few thousand distinct mask blobs of real size are shared by all clips, since 5 M of
them would take 60 GB. Clips take their subjects' number, frame and masks from the blob they share, so that `opens2v verify`
finds nothing wrong. There is no release behind it: no clip's bytes can be read.

    python benchmarks/big_catalog.py --clips 5000000 /data/big5m
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import big_tables as tables
import numpy as np
import pyarrow as pa
from big_masks import MaskBlobs, write_blobs
from big_words import CaptionWords, ClassDraw

from opens2v_data.catalog import manifest as manifests
from opens2v_data.catalog.hashing import key_hashes
from opens2v_data.catalog.links import ClassNames
from opens2v_data.catalog.manifest import CatalogFile, Manifest, Source, SourceFile, SourceJson, SourcePart
from opens2v_data.catalog.schemas import CLASS_INDEX, KEYS, SCHEMA_VERSION, TABLES
from opens2v_data.catalog.sorting import RangeSorter
from opens2v_data.catalog.writer import TableWriter

NUM_PARTS = 13
NUM_BLOBS = 20_000
CHUNK_CLIPS = 65_536
"""Clips made at a time: some 400 MB with their subjects and captions."""
PIECE_BYTES = 10_737_418_240
ROWS_PER_RANGE = 500_000


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is known of every clip before any table is written: some 40 bytes a clip.

    Attributes:
        edges: `(parts + 1,)`, part i has clips edges[i] to edges[i + 1] - 1.
        cluster: per clip, its source video.
        cluster_first: `(clusters + 1,)`, the first clip of each.
        file: per clip, number of the video file it is cut from; it counts up, and clips of one file follow each other.
        blob: per clip.
        first_subject: `(N + 1,)`.
        rank: per subject, of its class.
    """

    edges: np.ndarray
    cluster: np.ndarray
    cluster_first: np.ndarray
    file: np.ndarray
    blob: np.ndarray
    first_subject: np.ndarray
    rank: np.ndarray

    def chunks(self) -> Iterator[tuple[int, int, int]]:
        """Give part, first clip and clip after the last, of chunks that lie within one part."""
        for part in range(len(self.edges) - 1):
            low, high = int(self.edges[part]), int(self.edges[part + 1])
            for lo in range(low, high, CHUNK_CLIPS):
                yield part, lo, min(lo + CHUNK_CLIPS, high)


def part_name(part: int) -> str:
    """Return a part's name by its index."""
    return f"total_part{part + 1}"


def build(
    root: Path,
    *,
    num_clips: int,
    num_subjects_per_clip: float = 10,
    num_pairs: int | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Manifest:
    """Write a complete catalog.

    Args:
        root: an absent or empty folder.
        num_clips: rows of clips, exactly.
        num_subjects_per_clip: on average.
        num_pairs: about so many; None: two per clip.
        seed: the same seed and numbers give the same bytes.
        progress: called with a stage, how much is done and how much there is.

    Raises:
        ValueError: fewer clips than parts.
        FileExistsError: the folder holds files.
    """
    if num_clips < NUM_PARTS:
        raise ValueError(f"num_clips must be at least {NUM_PARTS}, one per part, got {num_clips}")
    root.mkdir(parents=True, exist_ok=True)
    if any(root.iterdir()):
        raise FileExistsError(f"expected an absent or empty folder, found files in {root}")
    report = progress or (lambda stage, done, total: None)
    report("mask blobs", 0, 1)
    blobs = write_blobs(
        root,
        np.random.default_rng([seed, 1]),
        num_blobs=min(NUM_BLOBS, num_clips),
        num_subjects=num_subjects_per_clip,
    )
    classes = ClassDraw(np.random.default_rng([seed, 2]))
    words = CaptionWords(np.random.default_rng([seed, 3]), classes)
    report("plan", 0, 1)
    plan = make_plan(blobs, classes, num_clips=num_clips, seed=seed)
    counts = np.bincount(plan.rank, minlength=len(classes.names))
    names = ClassNames(Counter(dict(zip(classes.names, counts.tolist(), strict=True))))
    class_of = np.array([names.id_of(name) for name in classes.names], np.int32)
    sorter = RangeSorter(CLASS_INDEX.arrow, by="class_id", folder=root / "sort", edges=names.edges(ROWS_PER_RANGE))
    maker = tables.Maker(
        plan=plan,
        blobs=blobs,
        classes=classes,
        words=words,
        class_of=class_of,
        num_pairs=2 * num_clips if num_pairs is None else num_pairs,
        part_names=[part_name(part) for part in range(NUM_PARTS)],
    )
    written: dict[str, CatalogFile] = {}
    hashes: list[np.ndarray] = []
    with ThreadPoolExecutor(2) as pool:
        streamed = [name for name in TABLES if name not in ("classes", "class_index", "keys")]
        with ExitStack() as stack:
            writers = {name: stack.enter_context(TableWriter(TABLES[name], root, pool)) for name in streamed}
            for number, (part, lo, hi) in enumerate(plan.chunks()):
                rng = np.random.default_rng([seed, 4, number])
                for name, columns in maker.chunk(rng, part, lo, hi).items():
                    if name == "class_index":
                        rows = [columns[field.name] for field in CLASS_INDEX.arrow]
                        sorter.add(pa.RecordBatch.from_arrays(rows, schema=CLASS_INDEX.arrow))
                    else:
                        writers[name].write_columns(**columns)
                    if name == "clips":
                        hashes.append(key_hashes(columns["clip_key"].to_pylist()))
                report("clips", hi, num_clips)
        written |= {name: _file(writer) for name, writer in writers.items()}
        with TableWriter(CLASS_INDEX, root, pool) as writer:
            for rows in sorter.sorted():
                names.count_clips(rows)
                writer.write(rows)
                report("class_index", writer.num_rows, len(plan.rank))
        sorter.close()
        written["class_index"] = _file(writer)
        written["keys"] = _write_keys(root, np.concatenate(hashes), pool)
    written["classes"] = _file(names.write(root))
    manifest = _manifest(root, plan, maker, blobs, written)
    manifests.save(manifest, root)
    return manifest


def make_plan(blobs: MaskBlobs, classes: ClassDraw, *, num_clips: int, seed: int) -> Plan:
    """Draw what tables share: parts, clusters, blobs and classes of all clips."""
    rng = np.random.default_rng([seed, 5])
    share = np.cumsum(rng.uniform(0.7, 1.3, NUM_PARTS))
    edges = np.concatenate([[0], np.round(share / share[-1] * num_clips)]).astype(np.int64)
    # Some 3 clips of one source video; those of one are mostly side by side, as upstream's JSON has them.
    sizes = rng.choice(np.arange(1, 7), num_clips, p=(0.2, 0.2, 0.24, 0.18, 0.1, 0.08)).astype(np.int64)
    sizes = sizes[: int(np.searchsorted(np.cumsum(sizes), num_clips)) + 1]
    sizes[-1] -= sizes.sum() - num_clips
    cluster_first = np.concatenate([[0], np.cumsum(sizes)])
    cluster = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    is_new = rng.random(num_clips) >= 0.1
    is_new[cluster_first[:-1]] = True
    for part, low in enumerate(edges[:-1]):
        is_new[low : edges[part + 1] : CHUNK_CLIPS] = True
    blob = rng.integers(0, len(blobs.width), num_clips, np.int16)
    num = np.diff(blobs.first)[blob]
    first_subject = np.concatenate([[0], np.cumsum(num)])
    rank = np.empty(int(first_subject[-1]), np.int16)
    for number, lo in enumerate(range(0, num_clips, CHUNK_CLIPS)):
        draws = np.random.default_rng([seed, 6, number])
        hi = min(lo + CHUNK_CLIPS, num_clips)
        row = np.repeat(np.arange(lo, hi), num[lo:hi])
        start, stop = int(first_subject[lo]), int(first_subject[hi])
        slot = np.arange(start, stop) - first_subject[row]
        # Clips of one video show much the same things: a slot's class is mostly the video's.
        of_cluster = tables.mixed(cluster[row].astype(np.uint64) * np.uint64(64) + slot.astype(np.uint64), seed=seed)
        shared = classes.table[(of_cluster & np.uint64(len(classes.table) - 1)).astype(np.int64)]
        own = classes.draw(draws, stop - start)
        rank[start:stop] = np.where(draws.random(stop - start) < 0.6, shared, own)
    return Plan(
        edges=edges,
        cluster=cluster,
        cluster_first=cluster_first,
        file=(np.cumsum(is_new) - 1).astype(np.int32),
        blob=blob,
        first_subject=first_subject,
        rank=rank,
    )


def _write_keys(root: Path, hashes: np.ndarray, pool: ThreadPoolExecutor) -> CatalogFile:
    order = np.argsort(hashes, kind="stable")
    with TableWriter(KEYS, root, pool) as writer:
        for lo in range(0, len(order), 1 << 20):
            chosen = order[lo : lo + (1 << 20)]
            writer.write_columns(key_hash=hashes[chosen], clip_id=chosen.astype(np.int32))
    return _file(writer)


def _file(writer: TableWriter) -> CatalogFile:
    assert writer.file is not None
    return writer.file


def _manifest(
    root: Path, plan: Plan, maker: tables.Maker, blobs: MaskBlobs, written: dict[str, CatalogFile]
) -> Manifest:
    (root / manifests.QUARANTINE_FILE).write_bytes(b"")
    quarantine = CatalogFile(path=manifests.QUARANTINE_FILE, size_bytes=0, sha256=hashlib.sha256(b"").hexdigest())
    files = (*blobs.files, quarantine)
    json_files, parts = [], []
    for part in range(NUM_PARTS):
        name, num_rows = part_name(part), int(plan.edges[part + 1] - plan.edges[part])
        path = f"Jsons/mask_and_bbox_High-Quality/{name}.json"
        json_files.append(
            SourceJson(
                path=path,
                part=name,
                size_bytes=maker.json_bytes[part],
                num_records=num_rows,
                num_rows=num_rows,
                num_quarantined=0,
            )
        )
        starts = range(0, maker.tar_bytes[part], PIECE_BYTES)
        pieces = tuple(
            SourceFile(
                path=f"Videos/{name}/{name}.tar.split.{number:03d}",
                size_bytes=min(PIECE_BYTES, maker.tar_bytes[part] - start),
            )
            for number, start in enumerate(starts)
        )
        parts.append(
            SourcePart(
                name=name,
                layout="split-tar",
                folder=f"Videos/{name}",
                pieces=pieces,
                num_members=maker.num_members[part],
            )
        )
    source = Source(
        uri=str(root / "no-release"),
        revision=None,
        json_glob=None,
        json_files=tuple(json_files),
        parts=tuple(parts),
        other_files=(),
    )
    num_clips, num_located = written["clips"].rows, written["locations"].rows
    report: dict[str, Any] = {
        "records": num_clips,
        "rows": num_clips,
        "quarantined": 0,
        "quarantined_by_reason": {},
        "quirks": dict(sorted(maker.quirks.items())),
        "clips_with_video": num_located,
        "clips_without_video": num_clips - num_located,
        "clips_without_path": 0,
        "members_no_clip_names": 0,
    }
    return Manifest(
        schema_version=SCHEMA_VERSION,
        digest=manifests.digest_of(written, files),
        source=source,
        tables=dict(sorted(written.items())),
        files=files,
        report=report,
    )


def main() -> None:
    """Write a catalog and say what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where to; absent or empty")
    parser.add_argument("--clips", type=int, default=5_000_000)
    parser.add_argument("--subjects-per-clip", type=float, default=10)
    parser.add_argument("--pairs", type=int, help="about so many (default: two per clip)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.perf_counter()

    def show(stage: str, done: int, total: int) -> None:
        print(f"{time.perf_counter() - start:7.1f} s  {stage} {done:,} of {total:,}", flush=True)

    manifest = build(
        arguments.folder,
        num_clips=arguments.clips,
        num_subjects_per_clip=arguments.subjects_per_clip,
        num_pairs=arguments.pairs,
        seed=arguments.seed,
        progress=show,
    )
    files = [*manifest.tables.values(), *manifest.files]
    for file in files:
        print(f"{file.path:24} {file.rows:>12,} rows {file.size_bytes / 1e6:>9,.1f} MB")
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{sum(file.size_bytes for file in files) / 1e9:.2f} GB in {time.perf_counter() - start:.0f} s, "
        f"{usage.ru_utime + usage.ru_stime:.0f} CPU-s, largest resident set {usage.ru_maxrss / 1024:,.0f} MB"
    )


if __name__ == "__main__":
    main()
