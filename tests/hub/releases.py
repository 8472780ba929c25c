"""A release with many clips and no film: what shards, ranks, workers and resuming are tried on."""

from __future__ import annotations

import io
import json
import tarfile
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from opens2v_data.catalog.ingest import ingest
from opens2v_data.release.layout import Release

if TYPE_CHECKING:
    from pathlib import Path

PARTS = ("total_part1", "total_part2")
CLIPS_PER_PART = 75
CLIPS_PER_SOURCE = 5
PIECE_BYTES = 30_011
"""Not a multiple of 512, so that cuts fall into headers and payloads."""

PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
"""One red pixel."""


def make_catalog(release: Path, root: Path) -> Path:
    """Ingest a release; return the catalog's folder."""
    ingest(Release.open(str(release)), root)
    return root


def payload(part: str, number: int) -> bytes:
    """Return what stands for a clip's mp4: no two are alike."""
    return f"{part}/{number:03d};".encode() * (20 + number % 7)


def clip_key(number: int) -> str:
    """Return the key of a clip; five clips come from one source video."""
    return f"video{number // CLIPS_PER_SOURCE:03d}_segment{number % CLIPS_PER_SOURCE}_step1-0-49_step2-0-49_step3_step4_step5"


def write_many_clips(root: Path, *, clips_per_part: int = CLIPS_PER_PART) -> Path:
    """Write a release of two parts; every third clip has no subject, every tenth of the first part has a view."""
    for part in PARTS:
        records = {clip_key(number): _record(number) for number in range(clips_per_part)}
        _write_json(root / "Jsons" / "mask_and_bbox" / f"{part}.json", records)
        _write_tar(root / "Videos" / part, part, clips_per_part)
    pairs: dict[str, list[dict[str, Any]]] = {}
    for number in range(0, clips_per_part - 1, 2):
        pairs.setdefault(clip_key(number).split("_")[0], []).append(_pair(number))
    _write_json(root / "Jsons" / "cross_video_pairs" / "cross_frames_pairs.json", pairs)
    for number in range(1, clips_per_part, 10):
        folder = root / "GPT-Frames" / clip_key(number)
        folder.mkdir(parents=True)
        (folder / "0_woman.png").write_bytes(PNG)
        (folder / "main_image.png").write_bytes(PNG)
    return root


def _record(number: int) -> dict[str, Any]:
    subjects = [] if number % 3 == 0 else ["woman", "red dog"][: 1 + number % 2]
    boxes = [
        {"class_name": name, "bbox": [1.0, 2.0, 3.0 + number, 4.0], "gme_score": number / 300, "aes_score": 5.0}
        for name in subjects
    ]
    masks = {
        str(index): {"size": [8, 8], "counts": "P1`0", "score": [0.5]} for index, _ in enumerate(subjects, start=1)
    }
    return {
        "metadata": {
            "cut": [0, 49],
            "crop": [0, 640, 0, 360],
            "tech": 1 + number / 100,
            "motion": None if number % 11 == 0 else number / 1000,
            "fps": 30.0,
            "num_frames": 49,
            "resolution": {"height": 360, "width": 640},
            "path": f"{clip_key(number)}.mp4",
            "aesthetic": 4 + (number % 20) / 10,
            "face_cap_qwen": f"clip {number}, née \U0001f98a",
        },
        "word_tags": {"background": ["park"], "subject": subjects, "object": [], "pre_define": ["person"]},
        "annotation": {
            "ann_frame_data": {"ann_frame_idx": 0, "annotations": boxes, "box_format": "xyxy"},
            "mask_map": {str(index): {"class_name": name} for index, name in enumerate(subjects, start=1)},
            "mask_annotation": {"0": masks},
        },
    }


def _pair(number: int) -> dict[str, Any]:
    return {
        "cur_id": f"{PARTS[0]}/{clip_key(number)}",
        "aft_id": f"{PARTS[number % 4 // 2]}/{clip_key(number + 1)}",
        "cur_class_id": "1",
        "aft_class_id": "1",
        "cur_class_name": "woman",
        "aft_class_name": "woman",
        "text_similarity": 1.0,
        "image_similarity": 0.5 + number / 400,
        "cur_frame_idx": 0,
        "aft_frame_idx": 0,
    }


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def _write_tar(folder: Path, part: str, num_clips: int) -> None:
    joined = io.BytesIO()
    with tarfile.open(fileobj=joined, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(num_clips):
            data = payload(part, number)
            member = tarfile.TarInfo(f"{part}/{clip_key(number)}.mp4")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    folder.mkdir(parents=True)
    data = joined.getvalue()
    for index, start in enumerate(range(0, len(data), PIECE_BYTES)):
        (folder / f"{part}.tar.split.{index:03d}").write_bytes(data[start : start + PIECE_BYTES])
