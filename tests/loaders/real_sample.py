"""The real piece of the upstream release, where the checkout has one beside it, or OPENS2V_REAL_RELEASE names one."""

from __future__ import annotations

import io
import json
import os
import tarfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from opens2v_data.triples import Clip, MaskRLE, Subject, Triple, View

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "upstream_sample" / "release"
FOLDER = Path(os.environ.get("OPENS2V_REAL_RELEASE") or _BESIDE)

needs_real_sample = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"the real upstream sample is not at {FOLDER}")


@cache
def video_bytes(part: str = "dataset1") -> bytes:
    """Return the only mp4 of a part, out of its joined pieces."""
    joined = b"".join(piece.read_bytes() for piece in sorted((FOLDER / "Videos" / part).glob("*.split.*")))
    with tarfile.open(fileobj=io.BytesIO(joined)) as tar:
        (member,) = [member for member in tar.getmembers() if member.name.endswith(".mp4")]
        extracted = tar.extractfile(member)
        assert extracted is not None
        return extracted.read()


@cache
def records(part: str = "dataset1") -> dict[str, Any]:
    """Return a part's records as upstream spells them."""
    return json.loads((FOLDER / "Jsons" / "mask_and_bbox" / f"{part}.json").read_text())


def triples(part: str = "dataset1") -> list[Triple]:
    """Return a part's records as values."""
    return [_triple(part, key, record) for key, record in records(part).items()]


def _triple(part: str, key: str, record: dict[str, Any]) -> Triple:
    metadata, annotation = record["metadata"], record["annotation"]
    ann_frame_idx = annotation["ann_frame_data"]["ann_frame_idx"]
    masks = annotation["mask_annotation"][str(ann_frame_idx)]
    x0, x1, y0, y1 = metadata["crop"]
    clip = Clip(
        clip_id=0,
        key=key,
        part=part,
        cluster_id=key.split("_part")[0],
        caption=metadata["face_cap_qwen"],
        fps=metadata["fps"],
        num_frames=metadata["num_frames"],
        width=metadata["resolution"]["width"],
        height=metadata["resolution"]["height"],
        cut=tuple(metadata["cut"]),
        face_cut=tuple(metadata["face_cut"]),
        crop_xyxy=(x0, y0, x1, y1),
        ann_frame_idx=ann_frame_idx,
        aesthetic=metadata["aesthetic"],
        motion=metadata["motion"],
        tech=metadata["tech"],
        tags={kind: tuple(words) for kind, words in record["word_tags"].items()},
        video=None,
        background_path=None,
    )
    subjects = tuple(
        Subject(
            object_id=number,
            class_name=box["class_name"],
            bbox_xyxy=tuple(box["bbox"]),
            gme_score=box["gme_score"],
            aes_score=box["aes_score"],
            mask=_mask(masks.get(str(number)), ann_frame_idx),
        )
        for number, box in enumerate(annotation["ann_frame_data"]["annotations"], start=1)
    )
    return Triple(clip=clip, subjects=subjects, views=_views(key, subjects))


def _mask(mask: dict[str, Any] | None, frame_idx: int) -> MaskRLE | None:
    if mask is None:
        return None
    height, width = mask["size"]
    counts = mask["counts"].encode()
    return MaskRLE(height=height, width=width, counts=counts, score=mask["score"][0], frame_idx=frame_idx)


def _views(key: str, subjects: tuple[Subject, ...]) -> tuple[View, ...]:
    folder = next(iter(sorted((FOLDER / "GPT-Frames").glob(key.split("_step3")[0] + "*"))), None)
    if folder is None:
        return ()
    ids = {subject.class_name: subject.object_id for subject in sorted(subjects, key=lambda s: s.gme_score or 0)}
    names = [path.stem.split("_", 1) for path in sorted(folder.glob("[0-9]*_*.png"))]
    return tuple(
        View(
            view_idx=int(number),
            class_name=name.replace("_", " "),
            object_id=ids.get(name.replace("_", " ")),
            path=str((folder / f"{number}_{name}.png").relative_to(FOLDER)),
            source_path=str((folder / "main_image.png").relative_to(FOLDER)),
        )
        for number, name in names
    )
