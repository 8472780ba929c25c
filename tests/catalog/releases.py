"""Small releases for the tests of ingest: JSON, tars in pieces, pairs, views and plates, and the plain facts about them."""

from __future__ import annotations

import io
import itertools
import json
import random
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from opens2v_data.catalog.ingest import IngestOptions, IngestResult, ingest
from opens2v_data.release.layout import Release

SET = "mask_and_bbox_High-Quality"
CLASSES = ("woman", "man", "blue top", "dog", "necklace", "tree", "red car")
WIDTH, HEIGHT = 64, 36


def key_of(number: int) -> str:
    """Return a clip key as upstream spells it; three clips have one source video."""
    return f"src{number // 3:03d}_part{number % 3}_step1-0-{number + 40}_step2-0-{number + 40}_step3_step4_step5"


def rle(number: int) -> dict[str, Any]:
    """Return a mask as upstream writes it: a box and some holes, all zeros for every 11th."""
    random_ = np.random.default_rng(number)
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
    if number % 11:
        y, x = random_.integers(0, HEIGHT - 12), random_.integers(0, WIDTH - 12)
        pixels[y : y + 10, x : x + 10] = random_.random((10, 10)) < 0.8
    encoded: Any = coco.encode(pixels)
    return {"size": [HEIGHT, WIDTH], "counts": encoded["counts"].decode(), "score": [round(float(random_.random()), 6)]}


def record(number: int, *, num_subjects: int | None = None) -> dict[str, Any]:
    """Return a record as upstream's pipeline writes it; the same number gives the same record."""
    random_ = random.Random(number)
    count = number % 5 if num_subjects is None else num_subjects
    names = [random_.choice(CLASSES) for _ in range(count)]
    boxes = [
        [random_.uniform(0, 20), random_.uniform(0, 10), random_.uniform(21, 64), random_.uniform(11, 36)]
        for _ in names
    ]
    return {
        "metadata": {
            "cut": [0, number + 40],
            "crop": [0, WIDTH, 0, HEIGHT],
            "tech": random_.uniform(0, 3),
            "motion": random_.uniform(0, 0.1),
            "fps": 29.969999313354492,
            "num_frames": number + 40,
            "resolution": {"height": HEIGHT, "width": WIDTH},
            "path": f"folder{number % 4}/clip{number:04d}.mp4",
            "aesthetic": random_.uniform(3, 7),
            "face_cut": [number % 7, number + 40],
            "face_cap_qwen": f'Clip {number}: "{random_.choice(CLASSES)}" {{in}} a [garden], naïve \U0001f600 \\ of text.',
        },
        "word_tags": {
            "background": random_.sample(["park", "garden", "sea"], 2),
            "subject": names[:2],
            "object": names[2:],
            "pre_define": ["person"] * (number % 2),
        },
        "annotation": {
            "ann_frame_data": {
                "ann_frame_idx": number % 7,
                "annotations": [
                    {
                        "class_name": name,
                        "bbox": box,
                        "gme_score": random_.uniform(0, 0.5),
                        "aes_score": random_.uniform(2, 6),
                    }
                    for name, box in zip(names, boxes, strict=True)
                ],
                "box_format": "xyxy",
                "img_width": WIDTH,
                "img_height": HEIGHT,
                "foreground_ase_score": random_.uniform(3, 6),
                "background_ase_score": random_.uniform(3, 6),
            },
            "mask_map": {str(i): {"class_name": name} for i, name in enumerate(names, start=1)},
            "mask_annotation": {str(number % 7): {str(i): rle(10 * number + i) for i in range(1, count + 1)}},
        },
    }


def records(numbers: Iterable[int]) -> dict[str, Any]:
    """Return records by key."""
    return {key_of(number): record(number) for number in numbers}


def encode(tree: Any, *, indent: int | None = 4, ascii_only: bool = True) -> bytes:
    """Return JSON as upstream writes it, indented or compact."""
    separators = (",", ":") if indent is None else None
    return json.dumps(tree, indent=indent, separators=separators, ensure_ascii=ascii_only).encode()


def object_of(items: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a JSON object of members whose values are given as bytes, keys twice included."""
    return b"{\n" + b",\n".join(json.dumps(key).encode() + b": " + value for key, value in items) + b"\n}"


def video(name: str) -> bytes:
    """Return what begins like an mp4 and is no other file's."""
    return b"\0\0\0\x18ftypisom\0\0\2\0" + random.Random(name).randbytes(200 + len(name) * 7 % 300)


def write(path: Path, data: bytes) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_json(
    root: Path, part: str, tree: Mapping[str, Any] | bytes, *, folder: str = SET, indent: int | None = 4
) -> Path:
    """Write a part's annotation file."""
    data = tree if isinstance(tree, bytes) else encode(tree, indent=indent)
    return write(root / f"Jsons/{folder}/{part}.json", data)


def tar_of(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return a GNU tar; a name may stand twice."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, payload in files:
            info = tarfile.TarInfo(name)
            info.size = len(payload)
            tar.addfile(info, io.BytesIO(payload))
    return buffer.getvalue()


def write_tar(root: Path, part: str, files: Iterable[tuple[str, bytes]], *, piece_bytes: int = 3001) -> bytes:
    """Write a part's tar in pieces; return it joined."""
    data = tar_of(files)
    for number, start in enumerate(range(0, len(data), piece_bytes)):
        write(root / f"Videos/{part}/{part}.tar.split.{number:03d}", data[start : start + piece_bytes])
    return data


def pair(
    cur: str, aft: str, *, cur_object: int | None = 1, aft_object: int | None = 1, **changes: Any
) -> dict[str, Any]:
    """Return a pair in upstream's current form; the older one has no objects."""
    values: dict[str, Any] = {"cur_id": cur, "aft_id": aft}
    if cur_object is not None:
        values |= {"cur_class_id": str(cur_object), "aft_class_id": str(aft_object)}
    values |= {"cur_class_name": "woman", "aft_class_name": "woman", "text_similarity": 1.0, "image_similarity": 0.875}
    return values | {"cur_frame_idx": 0, "aft_frame_idx": 0} | changes


def write_full(root: Path, *, num_clips: int = 40, indent: int | None = 4) -> dict[str, dict[str, Any]]:
    """Write a release of two parts with all that a release has; return the records by part."""
    parts = {"total_part2": records(range(num_clips)), "total_part10": records(range(num_clips // 2, num_clips + 10))}
    for part, tree in parts.items():
        write_json(root, part, tree, indent=indent)
        write_tar(
            root, part, [(f"{part}/{r['metadata']['path']}", video(r["metadata"]["path"])) for r in tree.values()]
        )
    keys = list(parts["total_part2"])
    clusters: dict[str, list[Any]] = {}
    for first, second in itertools.pairwise(keys):
        cluster = first.partition("_part")[0]
        clusters.setdefault(cluster, []).append(pair(f"total_part2/{first}", f"total_part10/{second}"))
    write(root / "Jsons/cross_video_pairs/cross_frames_pairs.json", encode(clusters, indent=indent))
    write(root / "Jsons/cross_video_pairs/cluster_videos.json", encode({c: [] for c in clusters}))
    for cluster, some in clusters.items():
        write(root / f"Jsons/cross_video_pairs/final_output/{cluster}.json", encode(some, indent=indent))
    for key in keys[:6]:
        older = key.replace("_step3_step4_step5", "_step4_step5_step6")
        for name in ("main_image.png", "0_woman.png", "1_blue_top.png"):
            write(root / f"GPT-Frames/{older}/{name}", f"png {key} {name}".encode())
        write(root / f"Background/total_part2/{key}.png", f"plate {key}".encode())
    return parts


def make(release: Path, catalog: Path, **options: Any) -> IngestResult:
    """Ingest with the given `IngestOptions`."""
    return ingest(Release.open(str(release)), catalog, IngestOptions(**options))


def tree_of(root: Path) -> dict[str, bytes]:
    """Return every file below a folder with its bytes."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
