"""A clip's facts, and the record that upstream would have written for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from opens2v_data.sample.facts import ClipFacts, SubjectFacts, VideoFacts
from opens2v_data.sample.rle import encode_mask
from opens2v_data.sample.story import CAPTION_ALTERNATIVES, Take, clip_key, cluster_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opens2v_data.sample.film import Snapshot, Stage, Video

CAPTION_FIELDS = {"caption_glm": "face_cap_glm", "caption_aria": "face_cap_Aria", "caption_list": "cap"}
"""Where the caption stands, by quirk; everywhere else it is `face_cap_qwen`."""

NUM_UNMASKED = 2
"""Boxes without a mask in the clip that has more annotations than masks."""


def clip_facts(
    take: Take, stage: Stage, *, video_facts: VideoFacts | None, background_path: str | None, seed: int
) -> ClipFacts:
    """Work out everything that a record says about a take."""
    video = stage.video
    key = clip_key(take, video)
    rng = np.random.default_rng([seed, video.number, take.cut[0]])
    ann_frame_idx = (take.face_cut or take.cut)[0]
    subjects = _subjects(take, video, stage.snapshot(ann_frame_idx), rng)
    aes_scores = [subject.aes_score for subject in subjects if subject.aes_score is not None]
    background, subject_tags, object_tags = take.tags
    return ClipFacts(
        key=key,
        part=video.part,
        cluster=cluster_of(key),
        video=video_facts,
        record_path=video.record_path,
        caption=take.caption.replace("\ud83d", "\ufffd"),
        caption_alternatives=CAPTION_ALTERNATIVES if take.quirk == "caption_list" else (),
        caption_field=CAPTION_FIELDS.get(take.quirk or "", "face_cap_qwen"),
        cut=take.cut,
        face_cut=take.face_cut,
        crop_xyxy=video.crop_xyxy,
        fps=_single(float(video.fps)),
        num_frames=video.num_frames,
        width=video.width,
        height=video.height,
        ann_frame_idx=ann_frame_idx,
        aesthetic=None if take.aesthetic is None else _single(take.aesthetic + rng.uniform(-0.04, 0.04)),
        motion=None if take.quirk == "nan_motion" else _single(10 ** rng.uniform(-2.2, -0.6)),
        tech=round(float(rng.uniform(1.2, 3.4)), 3),
        foreground_aesthetic=_single(float(np.mean(aes_scores))),
        background_aesthetic=_single(rng.uniform(3.8, 5.6)),
        tags={
            "background": background,
            "subject": subject_tags,
            "object": object_tags,
            "pre_define": ("person", "human head"),
        },
        subjects=subjects,
        quirk=take.quirk,
        background_path=background_path,
    )


def _subjects(take: Take, video: Video, snapshot: Snapshot, rng: np.random.Generator) -> tuple[SubjectFacts, ...]:
    width, height = video.cropped_size
    subjects: list[SubjectFacts] = []
    last = len(take.subjects)
    for object_id, (class_name, what) in enumerate(take.subjects, start=1):
        mask = visible_mask(snapshot, what)
        bbox = _jittered(_tight_box(mask), width, height, rng)
        gme_score, aes_score = _half(rng.uniform(0.20, 0.52)), _single(rng.uniform(3.2, 6.2))
        mask_score = _half(rng.uniform(0.78, 0.998))
        if take.quirk == "mask_size":
            mask = mask[::2, ::2]
        has_mask = take.quirk != "null_mask_annotation" and not (
            take.quirk == "more_annotations_than_masks" and object_id > last - NUM_UNMASKED
        )
        if take.quirk == "missing_gme_score" and object_id == 2:
            gme_score = None
        if take.quirk == "box_out_of_frame" and object_id == last:
            bbox = (bbox[0], bbox[1], _single(width + 57.25), _single(height + 12.5))
        is_mapped_only = take.quirk == "mask_map_extra_class" and object_id == last
        subjects.append(
            SubjectFacts(
                object_id=object_id,
                class_name=class_name,
                bbox_xyxy=None if is_mapped_only else bbox,
                gme_score=None if is_mapped_only else gme_score,
                aes_score=None if is_mapped_only else aes_score,
                mask_counts=encode_mask(mask) if has_mask else None,
                mask_size=(mask.shape[0], mask.shape[1]) if has_mask else None,
                mask_score=mask_score if has_mask else None,
                mask_area=int(mask.sum()) if has_mask else None,
                mask_bits=np.packbits(mask).tobytes() if has_mask else None,
            )
        )
    return tuple(subjects)


def visible_mask(snapshot: Snapshot, what: str) -> np.ndarray:
    """Give the pixels of a story's `what` (see `story`), (H, W) bool; "" is nothing at all."""
    if not what:
        return np.zeros(snapshot.rgb.shape[:2], bool)
    if what.startswith("@"):
        mask = snapshot.regions[what[1:]]
    else:
        name, _, thinner = what.partition("~")
        actor, _, part = name.partition(".")
        mask = snapshot.parts[int(actor)][part] if part else snapshot.wholes[int(actor)]
        for _ in range(int(thinner or 0)):
            mask = mask & np.roll(mask, 1, axis=0) & np.roll(mask, 1, axis=1)
    if not mask.any():
        raise ValueError(f"nothing is seen of {what!r}: its actor is hidden or outside the frame")
    return mask


def _tight_box(mask: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):  # a thing that was detected but not segmented: somewhere in the middle
        height, width = mask.shape
        return width * 0.42, height * 0.58, width * 0.48, height * 0.68
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _jittered(
    bbox: tuple[float, float, float, float], width: int, height: int, rng: np.random.Generator
) -> tuple[float, float, float, float]:
    """Move each edge by up to 1.5 pixels, as a detector would, and keep the box inside the frame."""
    x1, y1, x2, y2 = np.asarray(bbox) + rng.uniform(-1.5, 1.5, 4)
    return (
        _single(np.clip(x1, 0, width)), _single(np.clip(y1, 0, height)),
        _single(np.clip(x2, 0, width)), _single(np.clip(y2, 0, height)),
    )  # fmt: skip


def upstream_record(clip: ClipFacts, *, caption: str | None = None) -> dict[str, Any]:
    """Spell a clip as upstream does, in upstream's order of keys.

    Args:
        caption: instead of the clip's own.
    """
    x0, y0, x1, y1 = clip.crop_xyxy
    text: str | list[str] = caption if caption is not None else clip.caption
    if clip.caption_alternatives:
        text = [clip.caption, *clip.caption_alternatives]
    metadata: dict[str, Any] = {
        "cut": list(clip.cut),
        "crop": [x0, x1, y0, y1],
        "tech": clip.tech,
        "motion": clip.motion if clip.motion is not None else float("nan"),
        "fps": clip.fps,
        "num_frames": clip.num_frames,
        "resolution": {"height": clip.height, "width": clip.width},
        "path": clip.record_path,
        "aesthetic": clip.aesthetic,
        "face_cut": None if clip.face_cut is None else list(clip.face_cut),
        clip.caption_field: text,
    }
    if clip.quirk == "numbers_as_strings":
        metadata.update({name: str(metadata[name]) for name in ("motion", "fps", "num_frames", "aesthetic")})
    width, height = clip.cropped_size
    boxed = [subject for subject in clip.subjects if subject.bbox_xyxy is not None]
    masked = [subject for subject in clip.subjects if subject.mask_counts is not None]
    mapped = clip.subjects if clip.quirk == "null_mask_annotation" else masked
    return {
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "word_tags": {kind: list(words) for kind, words in clip.tags.items()},
        "annotation": {
            "ann_frame_data": {
                "ann_frame_idx": clip.ann_frame_idx,
                "annotations": [_annotation(subject, clip.quirk) for subject in boxed],
                "box_format": "xyxy",
                "img_width": width,
                "img_height": height,
                "foreground_ase_score": clip.foreground_aesthetic,
                "background_ase_score": clip.background_aesthetic,
            },
            "mask_map": {str(subject.object_id): {"class_name": subject.class_name} for subject in mapped},
            "mask_annotation": {
                str(clip.ann_frame_idx): {
                    str(subject.object_id): {
                        "size": list(subject.mask_size or ()),
                        "counts": subject.mask_counts,
                        "score": [subject.mask_score],
                    }
                    for subject in masked
                }
            }
            if masked
            else None,
        },
    }


def _annotation(subject: SubjectFacts, quirk: str | None) -> dict[str, Any]:
    scores: dict[str, Any] = {"gme_score": subject.gme_score, "aes_score": subject.aes_score}
    scores = {name: score for name, score in scores.items() if score is not None}
    if quirk == "numbers_as_strings":
        scores = {name: str(score) for name, score in scores.items()}
    return {"class_name": subject.class_name, "bbox": list(subject.bbox_xyxy or ()), **scores}


def dump_records(records: Iterable[tuple[str, Any]], *, indent: int | None) -> str:
    """Write records as one JSON object; unlike `json.dumps` of a dict, a key may occur twice.

    Args:
        indent: spaces a level, as upstream's indented files; None: one line without spaces.
    """
    if indent is None:
        return "{" + ",".join(json.dumps({key: value}, separators=(",", ":"))[1:-1] for key, value in records) + "}"
    return "{\n" + ",\n".join(json.dumps({key: value}, indent=indent)[2:-2] for key, value in records) + "\n}"


def _single(value: float | np.floating) -> float:
    """Round to float32, which is what upstream's models gave."""
    return float(np.float32(value))


def _half(value: float) -> float:
    """Round to float16, which is what upstream's similarities are."""
    return float(np.float16(value))
