"""What does `opens2v stream` take on a catalog of a million clips: first row, peak memory, rows per second?

Generates a release of metadata only (captions, tags, scores; one box a clip, no masks, no videos), ingests it, and streams it.

    python benchmarks/stream_memory.py                # 1,000,000 clips
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import machine, run_isolated, table

WORDS = "a woman man dog walks beside the river under tall green trees and the camera moves left".split()  # noqa: SIM905


def write_release(root: Path, num_clips: int, num_parts: int = 4) -> None:
    """Write annotation files without masks, some 1 kB a record."""
    rng = random.Random(0)
    folder = root / "Jsons" / "mask_and_bbox_High-Quality"
    folder.mkdir(parents=True)
    captions = [" ".join(rng.choices(WORDS, k=60)) for _ in range(500)]
    for part in range(num_parts):
        with (folder / f"total_part{part + 1}.json").open("w", encoding="utf-8") as file:
            for number in range(part, num_clips, num_parts):
                record = {
                    "metadata": {
                        "cut": [0, 95], "crop": [0, 1280, 0, 720], "tech": round(rng.uniform(0, 3), 3), "motion": rng.random(),
                        "fps": 29.97, "num_frames": 95, "resolution": {"height": 720, "width": 1280},
                        "path": f"part_{number % 50:03d}/v{number // 3}/v{number // 3}_{number % 3}.mp4",
                        "aesthetic": rng.uniform(3, 7), "face_cut": [0, 95], "face_cap_qwen": captions[number % 500],
                    },
                    "word_tags": {"background": ["park"], "subject": ["woman"], "object": ["dog"], "pre_define": ["person"]},
                    "annotation": {
                        "ann_frame_data": {
                            "ann_frame_idx": 0, "box_format": "xyxy", "img_width": 1280, "img_height": 720,
                            "annotations": [
                                {"class_name": "woman", "bbox": [1.0, 2.0, 300.0, 400.0], "gme_score": 0.3, "aes_score": 5.0}
                            ],
                        }
                    },
                }  # fmt: skip
                key = f"v{number // 3:07d}_segment{number % 3}_step1-0-95_step2-0-95_step3_step4_step5"
                file.write(("{" if number == part else ",") + json.dumps(key) + ": " + json.dumps(record))
            file.write("}")


def first_row_seconds(command: list[str]) -> float:
    """Return the time from starting a process to its first line of output."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    process.stdout.readline()
    seconds = time.perf_counter() - start
    process.kill()
    process.wait()
    return seconds


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1_000_000)
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="opens2v-bench-"))
    try:
        write_release(base / "release", arguments.clips)
        opens2v = [sys.executable, "-m", "opens2v_data.cli"]
        cost = run_isolated([*opens2v, "ingest", str(base / "release"), str(base / "catalog"), "--quiet"])
        if cost.code:
            raise SystemExit(cost.error)
        print(
            f"{machine()}; {arguments.clips:,} clips; ingest {cost.wall_seconds:.0f} s, {cost.max_rss_bytes / 1e6:.0f} MB\n"
        )
        stream = [*opens2v, "stream", str(base / "catalog"), "--json", "--quiet"]
        rows = []
        for where in (None, "aesthetic > 5", "aesthetic > 6.99 AND has_subject(clip_id, 'woman', min_gme := 0.2)"):
            chosen = [*stream, *(["--where", where] if where else [])]
            first = statistics.median(first_row_seconds(chosen) for _ in range(5))
            cost = run_isolated(chosen)
            count = cost.output.count("\n") if cost.output else 0
            rows.append(
                [
                    where or "(all)",
                    f"{count:,}",
                    f"{first:.2f}",
                    f"{cost.max_rss_bytes / 1e6:,.0f}",
                    f"{count / cost.wall_seconds:,.0f}",
                ]
            )
        print(table(rows, ["where", "rows", "first row, s after process start", "peak MB", "rows/s"]))
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
