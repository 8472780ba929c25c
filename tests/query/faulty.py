"""Catalogs whose rows have every fault, by chance, and what Python makes of boxes and masks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from pycocotools import mask as coco

from catalog import releases
from opens2v_data.catalog.catalog import Catalog
from opens2v_data.query import Query
from opens2v_data.release.records import MaskRecord

Row = dict[str, Any]
Box = tuple[float | None, float | None, float | None, float | None]

PLACES = ("sample", "real", "faulty-1", "faulty-2", "faulty-3")
"""What `made_of` makes: the generated release, the real piece, and faulty ones by seed."""

NAMES = (
    "woman", "man in a hat", "blue top", "dogs", "dress", "100% wool", "'quoted' \"name\"", "ñandú", "glasses", "box", "", "--",
)  # fmt: skip
CAPTIONS = (
    "A woman walks her dog.", "Two WOMEN, men", "Nothing that is named", "the ÑANDÚ runs; a 'quoted' name", "boxes and dresses",
    "", "glass", "hat wool top",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Made:
    """A catalog, and its tables as rows."""

    query: Query

    def rows(self, table: str) -> list[Row]:
        return pq.read_table(self.query.catalog.root / f"{table}.parquet").to_pylist()

    def subjects(self) -> list[Row]:
        names = [row["name"] for row in self.rows("classes")]
        return [row | {"class_name": names[row["class_id"]]} for row in self.rows("subjects")]

    def pairs(self) -> list[Row]:
        names = [row["name"] for row in self.rows("classes")]
        return [
            row
            | {
                "pair_id": at,
                "class_name": names[row["class_id"]],
                "partner_class_name": names[row["partner_class_id"]],
            }
            for at, row in enumerate(self.rows("pairs"))
        ]


def write_faulty(root: Path, seed: int) -> None:
    """Write a release with every fault that the views look for, by chance."""
    chance = random.Random(seed)
    parts: dict[str, dict[str, Row]] = {}
    for part, numbers in (("total_part1", range(14)), ("total_part2", range(10, 24))):
        parts[part] = {}
        for number in numbers:
            record = releases.record(number, num_subjects=0)
            _add_subjects(record, number, chance)
            record["metadata"]["face_cap_qwen"] = chance.choice(CAPTIONS)
            if chance.random() < 0.15:
                del record["metadata"]["face_cap_qwen"]
            if chance.random() < 0.2:
                record["metadata"]["path"] = "folder0/shared.mp4"
            parts[part][releases.key_of(number)] = record
        releases.write_json(root, part, parts[part])
        paths = dict.fromkeys(f"{part}/{record['metadata']['path']}" for record in parts[part].values())
        files = [(path, releases.video(path)) for path in paths if chance.random() < 0.8]
        releases.write_tar(root, part, files or [(f"{part}/unused.mp4", b"x" * 10)])
    keys = [f"{part}/{key}" for part, tree in parts.items() for key in tree]
    pairs = [_pair(chance, [*keys, "total_part9/src999_part0_step1"]) for _ in range(60)]
    releases.write(root / "Jsons/cross_video_pairs/cross_frames_pairs.json", releases.encode({"src000": pairs}))


def _add_subjects(record: Row, number: int, chance: random.Random) -> None:
    frame = record["annotation"]["ann_frame_data"]
    masks: Row = {}
    for object_id in range(1, chance.randint(1, 6)):
        x1, y1 = chance.uniform(0, 30), chance.uniform(0, 15)
        box = [x1, y1, x1 + chance.uniform(0, 30), y1 + chance.uniform(0, 20)]
        if frame["annotations"] and chance.random() < 0.5:
            other = chance.choice(frame["annotations"])["bbox"]
            box = [edge + chance.uniform(-1, 1) for edge in other] if other else None
        if chance.random() < 0.1:
            box = chance.choice([None, [x1, y1, x1, y1], [x1, y1, x1 + 1, y1 + 1], [x1 + 5, y1, x1, y1 + 9]])
        annotation: Row = {"class_name": chance.choice(NAMES), "gme_score": chance.random(), "aes_score": 4.0}
        frame["annotations"].append(annotation | {"bbox": box})
        if chance.random() < 0.8:
            masks[str(object_id)] = releases.rle(chance.randint(0, 200))
    record["annotation"]["mask_map"] = {}
    record["annotation"]["mask_annotation"] = {str(number % 7): masks}


def _pair(chance: random.Random, keys: list[str]) -> Row:
    similarity = chance.choice(
        [0.95, float(np.nextafter(np.float32(0.95), np.float32(0))), 0.5, 1.0, None, chance.random()]
    )
    has_objects = chance.random() < 0.85
    return releases.pair(
        chance.choice(keys),
        chance.choice(keys),
        cur_object=chance.randint(1, 6) if has_objects else None,
        aft_object=chance.randint(1, 6) if has_objects else None,
        cur_class_name=chance.choice(NAMES[:4]),
        aft_class_name=chance.choice(NAMES[:3]),
        image_similarity=similarity,
        cur_frame_idx=chance.choice([0, 1, 2]),
        aft_frame_idx=chance.choice([0, 1, 2]),
    )


def made_of(place: str, request: pytest.FixtureRequest, root: Path) -> Made:
    """Return a catalog of one of `PLACES`; a faulty one is written below `root`."""
    name, _, seed = place.partition("-")
    if not seed:
        return Made(query=Query(Catalog.open(request.getfixturevalue(f"{name}_catalog")), threads=2))
    write_faulty(root / "release", int(seed))
    releases.make(root / "release", root / "catalog")
    return Made(query=Query(Catalog.open(root / "catalog"), threads=2))


def box_of(row: Row) -> Box:
    return row["x1"], row["y1"], row["x2"], row["y2"]


def area_of(box: Box) -> float | None:
    x1, y1, x2, y2 = box
    if x1 is None or y1 is None or x2 is None or y2 is None:
        return None
    return max(x2 - x1, 0.0) * max(y2 - y1, 0.0)


def iou_of(one: Box, other: Box) -> float | None:
    area, other_area = area_of(one), area_of(other)
    if area is None or other_area is None:
        return None
    edges: Any = (one, other)
    width = min(edges[0][2], edges[1][2]) - max(edges[0][0], edges[1][0])
    height = min(edges[0][3], edges[1][3]) - max(edges[0][1], edges[1][1])
    shared = max(width, 0.0) * max(height, 0.0)
    union = area + other_area - shared
    return shared / union if union > 0 else 0.0


def pixels_of(mask: MaskRecord) -> np.ndarray:
    return coco.decode({"size": [mask.height, mask.width], "counts": mask.counts.encode()}).astype(bool)  # type: ignore[arg-type]
