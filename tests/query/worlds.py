"""Small random releases full of what breaks SQL, and plain Python over their tables: the second opinion on slices."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

import opens2v_data
from catalog.releases import encode, make, pair, record, video, write, write_json, write_tar
from opens2v_data.dataset import OpenS2V
from opens2v_data.query.slices import Slice

NAMES = (
    "woman", "Woman", " woman", "it's", '100% "wool"', "a?b", "$1 ?1", "-- no", "'; DROP VIEW clips; --",
    "café 😀", "%_\\", "{clips}", "a:gme>0.3", "/* ?", "');", "captions", "x\ny", "女人",
)  # fmt: skip
HASHES = 1 << 64

Row = dict[str, Any]


def write_random(root: Path, seed: int, *, num_clips: int = 24) -> None:
    """Write a release of two parts with missing and strange values; the same seed writes the same."""
    chance = random.Random(seed)
    parts = {name: {} for name in ("total_part1", "total_part2")}
    for number in range(num_clips):
        part = chance.choice(sorted(parts))
        cluster = f"{chance.choice(NAMES).strip()} {chance.randrange(num_clips // 3)}".replace("/", "_")
        parts[part][f"{cluster}_part{number}_step1-0-{number + 40}_step3"] = _record(chance, number)
    parts = {name: tree for name, tree in parts.items() if tree}
    for part, tree in parts.items():
        write_json(root, part, tree)
        there = sorted({one["metadata"]["path"] for one in tree.values() if "path" in one["metadata"]})
        kept = [name for name in there if chance.random() < 0.8]
        write_tar(
            root, part, [(f"{part}/{name}", video(name)) for name in kept], piece_bytes=chance.choice([700, 3001])
        )
    keys = [f"{part}/{key}" for part, tree in parts.items() for key in tree]
    clusters: dict[str, list[Any]] = {}
    for _ in range(num_clips):
        one, other = chance.choice(keys), chance.choice(keys)
        alike: Row = {"image_similarity": chance.choice([0.5, 0.96, 0.97, 0.98, 1.0, None])}
        clusters.setdefault(one.partition("/")[2].partition("_part")[0], []).append(pair(one, other, **alike))
    write(root / "Jsons/cross_video_pairs/cross_frames_pairs.json", encode(clusters))


def _record(chance: random.Random, number: int) -> Row:
    made = record(number, num_subjects=chance.randrange(5))
    about, frame = made["metadata"], made["annotation"]["ann_frame_data"]
    for name, values in {
        "aesthetic": (float("nan"), 5.0, 5.0, 4.25, 6.5),
        "motion": (float("nan"), 0.0, 0.05),
        "tech": (1.5, 1.5, 1e-300, -2.0),
    }.items():
        if chance.random() < 0.7:
            about[name] = chance.choice(values)
    about["face_cap_qwen"] = f"{chance.choice(NAMES)} and a {chance.choice(NAMES)}"
    about["path"] = f"{chance.choice(['a', 'b c'])}/{number % 7}.mp4"
    about["fps"] = chance.choice([0.0, 24.0, 29.97])
    for name in (
        "aesthetic",
        "motion",
        "tech",
        "cut",
        "face_cut",
        "crop",
        "fps",
        "resolution",
        "face_cap_qwen",
        "path",
    ):
        if chance.random() < 0.12:
            about.pop(name)
    for box in frame["annotations"]:
        box["class_name"] = chance.choice(NAMES[: chance.choice([3, len(NAMES)])])
        for name, values in {"gme_score": (0.3, 0.25, float("nan")), "aes_score": (4.5, 5.0)}.items():
            if chance.random() < 0.5:
                box[name] = chance.choice(values)
            elif chance.random() < 0.2:
                box.pop(name)
    made["word_tags"] = {
        name: [chance.choice(NAMES) for _ in range(chance.randrange(4))]
        for name in ("background", "subject", "object", "pre_define")
    }
    return made


class World:
    """An opened catalog, and its tables as plain rows.

    Attributes:
        opened: the catalog.
        clips: by id, with captions, sizes of files and categories.
        subjects: of each clip.
        links: clip, partner and image similarity of pairs with both clips.
        release: folder.
    """

    def __init__(
        self,
        *,
        opened: OpenS2V,
        clips: list[Row],
        subjects: list[list[Row]],
        links: list[tuple[int, int, float | None]],
        release: Path,
    ) -> None:
        self.opened, self.clips, self.subjects, self.links, self.release = opened, clips, subjects, links, release

    @property
    def all(self) -> Plain:
        """All clips."""
        return Plain(self, [clip["clip_id"] for clip in self.clips])

    def areas(self, clip: Row, subject: Row) -> float | None:
        """Return a box's share of the picture, as `area` means it."""
        size = clip["crop_width"] and clip["crop_height"] and float(clip["crop_width"]) * clip["crop_height"]
        return subject["box_area"] / size if subject["box_area"] is not None and size else None


def open_world(catalog: Path, release: Path) -> World:
    """Read a catalog's tables without a query."""
    opened = opens2v_data.open(catalog)

    def table(name: str) -> list[Row]:
        return pq.ParquetFile(catalog / opened.catalog.manifest.tables[name].path).read().to_pylist()

    clips = table("clips")
    by_id: list[list[Row]] = [[] for _ in clips]
    classes = {row["class_id"]: row["name"] for row in table("classes")}
    areas = {(row["clip_id"], row["object_id"]): row["box_area"] for row in table("class_index")}
    for row in table("subjects"):
        extra = {"class_name": classes[row["class_id"]], "box_area": areas[row["clip_id"], row["object_id"]]}
        by_id[row["clip_id"]].append(row | extra)
    captions = {row["clip_id"]: row for row in table("captions")}
    sizes = {row["clip_id"]: row["size_bytes"] for row in table("locations")}
    for clip in clips:
        clip |= _derived(clip)
        clip["caption"] = captions[clip["clip_id"]]["caption"]
        clip["caption_alternatives"] = captions[clip["clip_id"]]["alternatives"]
        clip["video_size_bytes"] = sizes.get(clip["clip_id"])
    # By SQL of their own, which has its own tests.
    for row in opened.sql("SELECT clip_id, category, kinds FROM clip_categories").to_pylist():
        clips[row["clip_id"]] |= row
    links = [
        (row["clip_id"], row["partner_clip_id"], row["image_similarity"])
        for row in table("pairs")
        if row["clip_id"] is not None and row["partner_clip_id"] is not None
    ]
    return World(opened=opened, clips=clips, subjects=by_id, links=links, release=release)


def make_world(root: Path, seed: int, **options: Any) -> World:
    """Write a random release, ingest and open it."""
    write_random(root / "release", seed, **options)
    make(root / "release", root / "catalog")
    return open_world(root / "catalog", root / "release")


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _derived(clip: Row) -> Row:
    start, end = (
        _first(clip["face_cut_start"], clip["cut_start"], 0),
        _first(clip["face_cut_end"], clip["cut_end"], clip["num_frames"]),
    )
    wide = clip["width"] if clip["crop_x1"] is None else clip["crop_x1"] - clip["crop_x0"]
    high = clip["height"] if clip["crop_y1"] is None else clip["crop_y1"] - clip["crop_y0"]
    frames = None if end is None else end - start
    return {
        "span_start": start,
        "span_end": end,
        "span_frames": frames,
        # In float32, as fps is.
        "duration_seconds": float(np.float32(frames) / np.float32(clip["fps"]))
        if frames is not None and clip["fps"]
        else None,
        "crop_width": wide,
        "crop_height": high,
        "aspect_ratio": wide / high if wide is not None and high else None,
    }


def drawn(seed: int, text: str) -> int:
    """Return what `md5_number_lower` gives: the last 8 bytes of an MD5, little-endian."""
    return int.from_bytes(hashlib.md5(f"{seed}/{text}".encode(), usedforsecurity=False).digest()[8:], "little")


def sort_key(value: Any, is_descending: bool) -> Any:
    """Return a key that sorts null last either way."""
    return (value is None, _Backwards(value) if is_descending else value if value is not None else 0)


class _Backwards:
    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Backwards) -> bool:
        return self.value is not None and other.value < self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Backwards) and self.value == other.value


class Plain:
    """What a slice should be: ids in order, each step done at once."""

    def __init__(self, world: World, ids: Iterable[int], order: Sequence[tuple[str, bool]] = ()) -> None:
        self.world, self.order = world, tuple(order)
        self.ids = sorted(ids, key=self._key)

    def _key(self, clip_id: int) -> Any:
        clip = self.world.clips[clip_id]
        return (*(sort_key(clip[column], down) for column, down in self.order), clip_id)

    def _with(self, ids: Iterable[int]) -> Plain:
        return Plain(self.world, ids, self.order)

    def rows(self) -> list[Row]:
        return [self.world.clips[clip_id] for clip_id in self.ids]

    def where(self, predicate: Callable[[Row], Any]) -> Plain:
        return self._with(clip["clip_id"] for clip in self.rows() if predicate(clip) is True)

    def subject(
        self, name: str, *, is_there: bool = True, count: Callable[[int], bool] | None = None, **asked: Any
    ) -> Plain:
        """Keep clips with, or without, a subject of that name whose gme, aes and area pass the tests given."""
        columns = {"gme": "gme_score", "aes": "aes_score"}

        def has(clip: Row) -> bool:
            number = 0
            for subject in self.world.subjects[clip["clip_id"]]:
                values = {key: subject[column] for key, column in columns.items()} | {
                    "area": self.world.areas(clip, subject)
                }
                passes = all(values[key] is not None and test(values[key]) for key, test in asked.items())
                number += subject["class_name"] == name and passes
            return number > 0 and (count is None or count(number))

        return self.where(lambda clip: has(clip) is is_there)

    def near_duplicates(self, mode: str, similarity: float) -> Plain:
        inside, left_out = set(self.ids), set()
        for one, other, alike in self.world.links:
            if alike is None or alike < similarity or one == other:
                continue
            for clip_id, twin in ((one, other), (other, one)):
                if clip_id in inside and twin in inside and (mode == "only" or clip_id > twin):
                    left_out.add(clip_id)
        return self._with(left_out if mode == "only" else inside - left_out)

    def split(self, name: str, fractions: dict[str, float], seed: int, by: str) -> Plain:
        low = 0.0
        for known, share in fractions.items():
            if known == name:
                break
            low += share
        low, high = (min(round(end * HASHES), HASHES) for end in (low, low + fractions[name]))

        def key(clip: Row) -> str:
            return clip["cluster_id"] if by == "cluster" else f"{clip['part']}/{clip['clip_key']}"

        return self.where(lambda clip: low <= drawn(seed, key(clip)) < high)

    def sample(self, num_clips: int, by: str | None, seed: int) -> Plain:
        def chance(clip: Row) -> tuple[int, int]:
            return drawn(seed, f"{clip['part']}/{clip['clip_key']}"), clip["clip_id"]

        turns: Counter[Any] = Counter()
        drawn_: list[tuple[int, tuple[int, int]]] = []
        for clip in sorted(self.rows(), key=chance):
            value = None if by is None else repr(clip[by])
            drawn_.append((0 if by is None else turns[value], chance(clip)))
            turns[value] += 1
        return self._with(clip_id for _, (_, clip_id) in sorted(drawn_)[:num_clips])

    def sort(self, *columns: str) -> Plain:
        return Plain(self.world, self.ids, [(column.removeprefix("-"), column.startswith("-")) for column in columns])

    def limit(self, num_clips: int) -> Plain:
        return self._with(self.ids[:num_clips])

    def __and__(self, other: Plain) -> Plain:
        return self._with(set(self.ids) & set(other.ids))

    def __or__(self, other: Plain) -> Plain:
        return self._with(set(self.ids) | set(other.ids))

    def __sub__(self, other: Plain) -> Plain:
        return self._with(set(self.ids) - set(other.ids))

    def __invert__(self) -> Plain:
        return Plain(self.world, set(range(len(self.world.clips))) - set(self.ids))

    def facets(self, column: str) -> list[Row]:
        counts: Counter[Any] = Counter()
        for clip in self.rows():
            value = clip[column]
            counts.update(set(value) if isinstance(value, list) else [value])
        ranked = sorted(counts.items(), key=lambda item: (-item[1], sort_key(item[0], False)))
        return [{"value": value, "num_clips": number} for value, number in ranked]


def same(slice_: Slice, plain: Plain) -> None:
    """Check that a slice holds what it should, however it is asked."""
    assert slice_.ids().tolist() == plain.ids
    assert slice_.count() == len(slice_) == len(plain.ids)
