"""The tables of a generated catalog, a chunk of clips at a time, all columns vectorised."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from big_words import PLACES, zipf_table
from pyarrow.compute import call_function as call

if TYPE_CHECKING:
    from big_catalog import Plan
    from big_masks import MaskBlobs
    from big_words import CaptionWords, ClassDraw

Columns = dict[str, Any]

_TAGS = pa.list_(pa.field("element", pa.string(), nullable=False))
_INTS = pa.list_(pa.field("element", pa.int32(), nullable=False))
_FPS = np.array([29.97, 25, 23.976, 30, 50, 59.94], np.float32)
_PRE_DEFINE = pa.array(["person", "human head", "object"])
_QUIRKS = pa.array(["nan", "box-outside-frame", "mask-size"])
_SOURCES = pa.array(["face_cap_qwen", "face_cap_glm", "face_cap_Aria", "cap"])
MAX_TAGS = 4
NO_BYTES_EVERY = 100
"""One file of so many is not in the release."""


def mixed(values: np.ndarray, *, seed: int) -> np.ndarray:
    """Return hashes of integers, `uint64` (splitmix64)."""
    mixed = values.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class Maker:
    """Makes the rows of one chunk of clips after another, in order.

    Args:
        plan, blobs, classes, words: what rows are made from.
        class_of: `(classes,)`, id by rank.
        num_pairs: rows of pairs in all, about.
        part_names: by index.

    Attributes:
        num_members, tar_bytes, json_bytes: per part, so far.
        quirks: counts, so far.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        blobs: MaskBlobs,
        classes: ClassDraw,
        words: CaptionWords,
        class_of: np.ndarray,
        num_pairs: int,
        part_names: list[str],
    ) -> None:
        self._plan, self._blobs, self._classes, self._words = plan, blobs, classes, words
        self._class_of = class_of
        self._part_names = part_names
        self._names = pa.array(classes.names)
        self._file_names = pa.array([name.replace(" ", "_") for name in classes.names])
        sizes = np.diff(plan.cluster_first)
        with_siblings = int(sizes[sizes > 1].sum())
        # One draw of eighteen meets a pair that is there already, or a clip without subjects.
        self._pairs_per_clip = 1.057 * num_pairs / max(1, with_siblings)
        self._places = pa.array(PLACES)
        self._place_table = zipf_table(len(PLACES), exponent=0.9, shift=3.0).astype(np.int32)
        self.num_members = [0] * len(part_names)
        self.tar_bytes = [0] * len(part_names)
        self.json_bytes = [1] * len(part_names)
        self.quirks: Counter[str] = Counter()

    def chunk(self, rng: np.random.Generator, part: int, lo: int, hi: int) -> dict[str, Columns]:
        """Return the columns of every table but classes and keys for clips `lo` to `hi` of one part."""
        plan, blobs = self._plan, self._blobs
        blob = plan.blob[lo:hi].astype(np.int64)
        ids = np.arange(lo, hi, dtype=np.int32)
        first = plan.first_subject[lo : hi + 1]
        row = np.repeat(np.arange(hi - lo), np.diff(first))
        slot = np.arange(first[0], first[-1]) - first[row]
        rank = plan.rank[first[0] : first[-1]]
        made: dict[str, Columns] = {}
        made["clips"] = self._clips(rng, part, ids, blob, row, rank, slot)
        made["subjects"] = self._subjects(rng, ids, blob, row, rank, slot)
        made["class_index"] = self._class_index(made["subjects"])
        made["captions"] = self._captions(rng, ids, rank, made["clips"]["caption_source"])
        made["members"], made["locations"] = self._videos(rng, part, ids, made["clips"]["path"])
        made["masks"] = self._masks(ids, blob)
        made["pairs"] = self._pairs(rng, ids)
        made["views"] = self._views(rng, ids, made["clips"]["clip_key"])
        made["backgrounds"] = self._backgrounds(rng, part, ids, made["clips"]["clip_key"])
        self.num_members[part] += len(made["members"]["member_id"])
        assert int(blobs.num_masks[blob].sum()) == int(made["clips"]["num_masks"].sum())
        return made

    def _clips(
        self,
        rng: np.random.Generator,
        part: int,
        ids: np.ndarray,
        blob: np.ndarray,
        row: np.ndarray,
        rank: np.ndarray,
        slot: np.ndarray,
    ) -> Columns:
        plan, blobs, count = self._plan, self._blobs, len(ids)
        cluster = plan.cluster[ids]
        first_of_cluster = plan.cluster_first[cluster]
        number = plan.file[ids] - plan.file[first_of_cluster] + 1
        frame = blobs.frame_idx[blob]
        cut_start = frame - np.where(rng.random(count) < 0.3, np.minimum(frame, rng.integers(0, 20, count)), 0)
        length = np.clip(rng.lognormal(4.8, 0.5, count), 20, 1200).astype(np.int32)
        face_end = frame + length
        cut_end = face_end + np.where(rng.random(count) < 0.3, rng.integers(0, 60, count), 0)
        is_cropped = rng.random(count) < 0.2
        margin = np.where(is_cropped, 40, 0)
        width, height = blobs.width[blob], blobs.height[blob]
        cluster_text = _cluster_text(cluster)
        path = _join(cluster_text, "_part", number, ".mp4")
        key = _join(
            *(cluster_text, "_part", number, "_step1", ids - first_of_cluster, "-", cut_start, "-", cut_end),
            *("_step2-", cut_start, "-", cut_end, "_step3_step4_step5"),
        )
        record_bytes = rng.integers(20_000, 180_000, count)
        ends = self.json_bytes[part] + np.cumsum(record_bytes)
        self.json_bytes[part] = int(ends[-1])
        # A person or an animal is a subject, what else there is an object; each word once, as upstream lists them.
        is_living = self._classes.is_living[rank]
        _, once = np.unique(row * 32_768 + rank, return_index=True)
        is_first = np.zeros(len(rank), bool)
        is_first[once] = True
        no_face = _missing(rng, count, 0.08)
        quirk = rng.choice(len(_QUIRKS), count)
        has_quirk = rng.random(count) < 0.01
        for index, times in enumerate(np.bincount(quirk[has_quirk], minlength=len(_QUIRKS)).tolist()):
            self.quirks[_QUIRKS[index].as_py()] += times
        num_places = rng.integers(1, 6, count)
        people = np.bincount(row[is_living & (slot < 8)], minlength=count) > 0
        return {
            "clip_id": ids,
            "clip_key": key,
            "part": pa.repeat(pa.scalar(self._part_names[part]), count),
            "cluster_id": cluster_text,
            "path": path,
            "fps": pa.array(rng.choice(_FPS, count, p=(0.4, 0.3, 0.15, 0.1, 0.03, 0.02))),
            "num_frames": cut_end + rng.integers(0, 40, count, np.int32),
            "width": width,
            "height": height + 2 * margin,
            "cut_start": cut_start,
            "cut_end": cut_end,
            "face_cut_start": pa.array(frame, mask=no_face),
            "face_cut_end": pa.array(face_end, mask=no_face),
            "crop_x0": np.zeros(count, np.int32),
            "crop_y0": margin,
            "crop_x1": width,
            "crop_y1": height + margin,
            "tech": pa.array(np.round(rng.gamma(6, 0.33, count), 3), mask=_missing(rng, count, 0.01)),
            "motion": pa.array(rng.lognormal(-4.2, 1.0, count).astype(np.float32), mask=_missing(rng, count, 0.01)),
            "aesthetic": pa.array(_normal(rng, count, 5, 0.7), mask=_missing(rng, count, 0.01)),
            "foreground_aesthetic": pa.array(_normal(rng, count, 4.8, 0.7), mask=_missing(rng, count, 0.02)),
            "background_aesthetic": pa.array(_normal(rng, count, 4.6, 0.7), mask=_missing(rng, count, 0.02)),
            "caption_source": _SOURCES.take(
                pa.array(rng.choice(4, count, p=(0.85, 0.1, 0.04, 0.01)), mask=_missing(rng, count, 0.001))
            ),
            "ann_frame_idx": frame,
            "num_subjects": np.bincount(row, minlength=count).astype(np.int32),
            "num_masks": blobs.num_masks[blob],
            "background_tags": _lists(
                self._places.take(
                    pa.array(self._place_table[rng.integers(0, 1 << 20, int(num_places.sum()), np.int32)])
                ),
                num_places,
            ),
            "subject_tags": self._tags(row, rank, is_first & is_living, count),
            "object_tags": self._tags(row, rank, is_first & ~is_living, count),
            "pre_define_tags": _lists(
                _PRE_DEFINE.take(pa.array(np.where(np.repeat(people, 1 + people), _turns(1 + people), 2))), 1 + people
            ),
            "quirks": _lists(_QUIRKS.take(pa.array(quirk[has_quirk])), has_quirk),
            "json_offset": ends - record_bytes,
        }

    def _tags(self, row: np.ndarray, rank: np.ndarray, wanted: np.ndarray, count: int) -> pa.Array:
        """Return the class names of wanted subjects by clip, the first four."""
        row, rank = row[wanted], rank[wanted]
        counts = np.bincount(row, minlength=count)
        kept = _turns(counts) < MAX_TAGS
        return _lists(self._names.take(pa.array(rank[kept])), np.minimum(counts, MAX_TAGS))

    def _subjects(
        self,
        rng: np.random.Generator,
        ids: np.ndarray,
        blob: np.ndarray,
        row: np.ndarray,
        rank: np.ndarray,
        slot: np.ndarray,
    ) -> Columns:
        blobs, count = self._blobs, len(row)
        shared = blobs.first[blob[row]] + slot
        # Around the mask; one box of fifty is somewhere else.
        box = blobs.box[shared] + rng.normal(0, 2.5, (count, 4)).astype(np.float32)
        width, height = blobs.width[blob[row]], blobs.height[blob[row]]
        is_off = rng.random(count) < 0.02
        box[is_off] += rng.uniform(-300, 300, (int(is_off.sum()), 1)).astype(np.float32)
        box = np.clip(box, 0, np.stack([width, height, width, height], axis=1)).astype(np.float32)
        box[:, 2:] = np.maximum(box[:, 2:], box[:, :2] + np.float32(1))
        no_box = _missing(rng, count, 0.005)
        has_mask = blobs.has_mask[shared]
        gme = rng.normal(0.3, 0.1, count).astype(np.float16).astype(np.float32)
        corners = {
            name: pa.array(box[:, index].copy(), mask=no_box) for index, name in enumerate(("x1", "y1", "x2", "y2"))
        }
        return {
            "clip_id": ids[row],
            "object_id": (slot + 1).astype(np.int16),
            "class_id": self._class_of[rank],
            **corners,
            "gme_score": pa.array(gme, mask=_missing(rng, count, 0.01)),
            "aes_score": pa.array(_normal(rng, count, 4.5, 0.7), mask=_missing(rng, count, 0.01)),
            "has_mask": pa.array(has_mask),
            "mask_is_empty": pa.array(blobs.is_empty[shared], mask=~has_mask),
            "mask_score": pa.array(blobs.score[shared], mask=~has_mask),
        }

    @staticmethod
    def _class_index(subjects: Columns) -> Columns:
        x1, y1, x2, y2 = (subjects[name] for name in ("x1", "y1", "x2", "y2"))
        area = call("multiply", [call("subtract", [x2, x1]), call("subtract", [y2, y1])])
        ints = {name: pa.array(subjects[name]) for name in ("class_id", "clip_id", "object_id")}
        return {**ints, "gme_score": subjects["gme_score"], "aes_score": subjects["aes_score"], "box_area": area}

    def _captions(self, rng: np.random.Generator, ids: np.ndarray, rank: np.ndarray, source: pa.Array) -> Columns:
        first = self._plan.first_subject[ids]
        num = self._plan.first_subject[ids + 1] - first
        named = np.full((len(ids), 3), -1, np.int64)
        for column in range(3):
            has = num > column
            named[has, column] = rank[first[has] - first[0] + column]
        captions = self._words.captions(rng, named)
        has_more = rng.random(len(ids)) < 0.01
        nothing = pa.scalar(None, pa.string())
        return {
            "clip_id": ids,
            "caption": call("if_else", [source.is_valid(), captions, nothing]),
            "alternatives": _lists(captions.filter(pa.array(has_more)), has_more),
        }

    def _videos(self, rng: np.random.Generator, part: int, ids: np.ndarray, paths: pa.Array) -> tuple[Columns, Columns]:
        """Return members in the order of the tar, which is not that of the JSON, and where each clip lies."""
        file = self._plan.file[ids]
        files, first_clip = np.unique(file, return_index=True)
        is_there = mixed(files, seed=7) % np.uint64(NO_BYTES_EVERY) != 0
        files, first_clip = files[is_there], first_clip[is_there]
        order = rng.permutation(len(files))
        place = np.argsort(order)
        size = np.clip(rng.lognormal(14.4, 0.6, len(files)), 50_000, 40_000_000).astype(np.int64)
        # 512 bytes of header, payload, zeros up to the next 512.
        steps = 512 + (size + 511) // 512 * 512
        header = self.tar_bytes[part] + np.cumsum(steps) - steps
        self.tar_bytes[part] = int(header[-1] + steps[-1]) if len(files) else self.tar_bytes[part]
        first_member = sum(self.num_members)
        path = paths.take(pa.array(first_clip[order]))
        folder = _join("part_", pa.array(self._plan.cluster[ids][first_clip[order]] % 500), "/")
        stem = _join(_cluster_text(self._plan.cluster[ids][first_clip[order]]), "/")
        name = _join(folder, stem, path)
        members = {
            "member_id": (first_member + np.arange(len(files))).astype(np.int32),
            "part": pa.repeat(pa.scalar(self._part_names[part]), len(files)),
            "name": name,
            "offset": header + 512,
            "size_bytes": size,
            "header_offset": header,
            "has_ftyp": pa.array(rng.random(len(files)) > 0.001),
        }
        at = np.minimum(np.searchsorted(files, file), max(0, len(files) - 1))
        located = files[at] == file if len(files) else np.zeros(len(file), bool)
        member = place[at[located]] if len(files) else at[located]
        locations = {
            "clip_id": ids[located],
            "member_id": (first_member + member).astype(np.int32),
            "part": pa.repeat(pa.scalar(self._part_names[part]), int(located.sum())),
            "name": name.take(pa.array(member)),
            "offset": members["offset"][member],
            "size_bytes": size[member],
        }
        return members, locations

    def _masks(self, ids: np.ndarray, blob: np.ndarray) -> Columns:
        blobs = self._blobs
        has = blobs.size_bytes[blob] > 0
        chosen = blob[has]
        places = {name: getattr(blobs, name)[chosen] for name in ("file_idx", "offset", "size_bytes")}
        return {"clip_id": ids[has], **places}

    def _pairs(self, rng: np.random.Generator, ids: np.ndarray) -> Columns:
        plan = self._plan
        first = plan.cluster_first[plan.cluster[ids]]
        size = plan.cluster_first[plan.cluster[ids] + 1] - first
        times = rng.poisson(self._pairs_per_clip, len(ids)) * (size > 1)
        clip = np.repeat(ids.astype(np.int64), times)
        first, size = np.repeat(first, times), np.repeat(size, times)
        step = 1 + (rng.random(len(clip)) * (size - 1)).astype(np.int64)
        partner = first + (clip - first + step) % np.maximum(size, 1)
        num = np.diff(plan.first_subject)
        mine = (rng.random(len(clip)) * num[clip]).astype(np.int64)
        other = np.where(rng.random(len(clip)) < 0.7, mine, (rng.random(len(clip)) * num[partner]).astype(np.int64))
        other = np.minimum(other, num[partner] - 1)
        is_whole = (num[clip] > 0) & (num[partner] > 0)
        # A pair of subjects stands once.
        identity = ((clip * 8 + step) * 64 + mine) * 64 + other
        _, once = np.unique(identity[is_whole], return_index=True)
        chosen = np.flatnonzero(is_whole)[once]
        clip, partner, mine, other = clip[chosen], partner[chosen], mine[chosen], other[chosen]
        count = len(clip)
        rank, partner_rank = plan.rank[plan.first_subject[clip] + mine], plan.rank[plan.first_subject[partner] + other]
        text = np.where(rank == partner_rank, 1, _normal(rng, count, 0.65, 0.1)).astype(np.float16)
        spread = np.where(rng.random(count) < 0.15, 0.004, 0.15)
        image = np.clip(1 - np.abs(rng.normal(0, 1, count)) * spread, 0.2, 1).astype(np.float16)
        is_unknown, is_older = rng.random(count) < 0.02, rng.random(count) < 0.005
        refs = _join("total_part99/gm", mixed(partner, seed=8) % np.uint64(10**9), "_part1_step1-0-95_step2-0-95")
        frame = self._blobs.frame_idx
        nothing = pa.scalar(None, pa.string())
        return {
            "clip_id": clip.astype(np.int32),
            "partner_clip_id": pa.array(partner.astype(np.int32), mask=is_unknown),
            "object_id": pa.array((mine + 1).astype(np.int16), mask=is_older),
            "partner_object_id": pa.array((other + 1).astype(np.int16), mask=is_older),
            "class_id": self._class_of[rank],
            "partner_class_id": self._class_of[partner_rank],
            "text_similarity": pa.array(text.astype(np.float32), mask=_missing(rng, count, 0.005)),
            "image_similarity": pa.array(image.astype(np.float32), mask=_missing(rng, count, 0.005)),
            "frame_idx": frame[plan.blob[clip]],
            "partner_frame_idx": frame[plan.blob[partner]],
            "clip_ref": pa.nulls(count, pa.string()),
            "partner_ref": call("if_else", [pa.array(is_unknown), refs, nothing]),
            "form": pa.array(["current", "older"]).take(pa.array(is_older.astype(np.int8))),
        }

    def _views(self, rng: np.random.Generator, ids: np.ndarray, keys: pa.Array) -> Columns:
        plan = self._plan
        num = plan.first_subject[ids + 1] - plan.first_subject[ids]
        times = np.where(rng.random(len(ids)) < 0.005, np.minimum(rng.integers(1, 5, len(ids)), num), 0)
        row, turn = np.repeat(np.arange(len(ids)), times), _turns(times)
        rank = plan.rank[plan.first_subject[ids[row]] + turn]
        key = keys.take(pa.array(row))
        name = self._file_names.take(pa.array(rank))
        return {
            "clip_id": ids[row],
            "twin_clip_ids": _lists(pa.array([], pa.int32()), np.zeros(len(row), np.int64), _INTS),
            "view_idx": turn.astype(np.int32),
            "class_id": self._class_of[rank],
            "path": _join("GPT-Frames/", key, "/", turn, "_", name, ".png"),
            "size_bytes": rng.integers(200_000, 2_500_000, len(row)),
            "source_path": _join("GPT-Frames/", key, "/main_image.png"),
            "folder_key": key,
        }

    def _backgrounds(self, rng: np.random.Generator, part: int, ids: np.ndarray, keys: pa.Array) -> Columns:
        row = np.flatnonzero(rng.random(len(ids)) < 0.5)
        return {
            "clip_id": ids[row],
            "path": _join(f"Background/{self._part_names[part]}/", keys.take(pa.array(row)), ".png"),
            "size_bytes": rng.integers(100_000, 2_000_000, len(row)),
        }


def _missing(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    return rng.random(count) < share


def _normal(rng: np.random.Generator, count: int, mean: float, spread: float) -> np.ndarray:
    return (mean + spread * rng.standard_normal(count, np.float32)).astype(np.float32)


def _turns(counts: np.ndarray) -> np.ndarray:
    """Return 0, 1, … for each count, one behind the other."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)


def _lists(values: pa.Array, counts: np.ndarray, kind: pa.DataType = _TAGS) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=kind)


def _cluster_text(cluster: np.ndarray) -> pa.Array:
    """Return names like upstream's `gm1252760410-365677148`."""
    number = mixed(cluster, seed=9)
    front = 10**9 + number % np.uint64(9 * 10**9)
    back = 10**8 + (number >> np.uint64(34)) % np.uint64(9 * 10**8)
    return _join("gm", front, "-", back)


def _join(*pieces: str | np.ndarray | pa.Array) -> pa.Array:
    """Return texts put together from texts and numbers, arrays or single ones."""
    arrays = [pa.scalar(piece) if isinstance(piece, str) else pa.array(piece).cast("string") for piece in pieces]
    return call("binary_join_element_wise", [*arrays, pa.scalar("")])
