"""A release and its catalog of many clips that are all the release's sample clip; for benchmarks that want many real ones."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from decode import the_clip
from measure import ROOT

PART = "dataset1"


def make(folder: Path, *, num_clips: int, clip: Path | None = None) -> tuple[Path, Path]:
    """Write a release of copies of a clip, and its catalog.

    Args:
        clip: an mp4; None: the release's sample clip where it lies beside the checkout, else a generated one.

    Returns:
        The release's folder and the catalog's. The mp4s lie in `release/extracted` besides, as upstream's loader reads them.
    """
    data, record = the_clip(clip), _record(clip)
    release, extracted = folder / "release", folder / "release" / "extracted"
    for name in (f"Videos/{PART}", "Jsons/mask_and_bbox", "extracted"):
        (release / name).mkdir(parents=True)
    records: dict[str, Any] = {}
    with tarfile.open(release / "Videos" / PART / f"{PART}.tar.split.000", "w") as tar:
        for number in range(num_clips):
            name = f"part_000/video{number:05}/clip.mp4"
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            (extracted / f"{number:05}.mp4").write_bytes(data)
            metadata = record["metadata"] | {"path": name}
            records[f"video{number:05}_part1_step1"] = record | {"metadata": metadata}
    (release / "Jsons" / "mask_and_bbox" / f"{PART}.json").write_text(json.dumps(records))
    command = [sys.executable, "-m", "opens2v_data.cli", "ingest", str(release), str(folder / "catalog"), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(f"ingest failed: {done.stderr[-2000:]}")
    return release, folder / "catalog"


def _record(clip: Path | None) -> dict[str, Any]:
    """Return the sample clip's record, or as much of one as a clip without a record needs."""
    from loaders import real_sample

    if clip is None and real_sample.FOLDER.is_dir():
        return next(iter(real_sample.records().values()))
    from opens2v_loaders import probe

    info = probe(the_clip(clip))
    last = info.num_frames_from_packets
    metadata = {
        "cut": [0, last],
        "face_cut": [0, last],
        "crop": [0, info.width, 0, info.height],
        "fps": 30.0,
        "num_frames": last,
        "resolution": {"height": info.height, "width": info.width},
        "face_cap_qwen": "a clip",
    }
    return {"metadata": metadata, "word_tags": {}, "annotation": {}}
